package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Options of a [Disk]. The zero value works.
type Options struct {
	// LockTimeout is how long OpenDisk waits for another process to let go of the
	// directory. Default 1 s.
	LockTimeout time.Duration
	// MaxBytes bounds the file; over it batches fail with ErrFull. Default 0: none
	// but the disk's.
	MaxBytes int64
	// MaxPending is how many bytes may wait to be written before Commit says full.
	// Default 64 MiB.
	MaxPending int64
	// Linger is how long what nobody waits for may wait for company. Default 100 ms.
	Linger time.Duration

	openFile  func(string, int, os.FileMode) (*os.File, error) // tests put faults into it
	committed func()                                           // tests look at the file when it is durable
	direct    bool                                             // tests: nothing goes to the journal
}

func (o Options) withDefaults() Options {
	if o.LockTimeout == 0 {
		o.LockTimeout = time.Second
	}
	if o.MaxPending == 0 {
		o.MaxPending = 64 << 20
	}
	if o.Linger == 0 {
		o.Linger = 100 * time.Millisecond
	}
	if o.openFile == nil {
		o.openFile = os.OpenFile
	}
	return o
}

// The files of a data directory. A store is made under the temporary name and
// renamed, so that one with its name is whole.
const (
	dataFile = "store.db"
	tempFile = "store.db.new"
	lockFile = "lock"
)

// Disk is a [Store] in a directory: what it said was durable survives the death
// of the process and of the power.
type Disk struct {
	opt  Options
	path string
	lock *bbolt.DB // an empty database is the portable lock
	db   *bbolt.DB

	pageSize    int
	opened      uint64 // how often, this time included
	lastSession atomic.Uint64
	reads       atomic.Uint64 // of queues

	// The committer's.
	txn     txn
	buried  []SessionID // ended in the current transaction
	dead    []SessionID // ended, and their records are still there
	stuck   bool        // the last transaction found the disk full
	short   bool        // what adds was refused for that, and there is no room yet
	reserve reserve
	journal journal
	behind  atomic.Bool // the journal has what the database does not have

	commits uint64 // transactions

	mu      sync.Mutex
	pending []request
	bytes   int64
	urgent  bool // somebody waits
	closing bool
	stats   Stats

	wake    chan struct{}
	done    chan []outcome
	owed    atomic.Int32 // what is in done, or being called by completeLoop
	ended   sync.WaitGroup
	failure atomic.Pointer[Error]
}

// OpenDisk opens the store in a directory, which it makes, with mode 0700, if
// need be. The error is an [*Error] of the kind ErrLocked, ErrCorrupt, ErrVersion,
// ErrForeign, ErrFull or ErrFailed, or the operating system's.
func OpenDisk(dir string, opt Options) (d *Disk, err error) {
	opt = opt.withDefaults()
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	lock, err := takeLock(dir, &bbolt.Options{Timeout: opt.LockTimeout})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = lock.Close()
		}
	}()
	// What is there may have been made by a process that was killed before it could do so.
	if err := syncDir(dir); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	path := filepath.Join(dir, dataFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(dir, opt); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
	}
	if err := inspect(path, opt); err != nil {
		return nil, err
	}
	db, err := openFile(path, opt)
	if err != nil {
		return nil, err
	}
	if worthCompacting(db) {
		if db, err = compact(dir, db, opt); err != nil {
			return nil, err
		}
	}
	// Info looks at the mapping, and later that may be on the move.
	d = &Disk{opt: opt, path: path, lock: lock, db: db, pageSize: db.Info().PageSize, reserve: newReserve(dir, opt), wake: make(chan struct{}, 1), done: make(chan []outcome, 4)}
	d.reserve.whole()
	d.txn = txn{d: d, fresh: map[uint64]*Message{}, refs: map[uint64]int{}}
	err = d.openJournal(dir)
	if err == nil {
		err = d.countOpening()
	}
	for errors.Is(err, ErrFull) && (d.reserve.giveUp() || d.takeParts()) {
		err = d.countOpening()
	}
	if err == nil {
		err = d.view(d.findLast)
	}
	if err != nil {
		_ = errors.Join(d.journal.close(), db.Close())
		return nil, err
	}
	d.stats.DeadSessions = len(d.dead)
	d.ended.Add(2)
	go d.commitLoop()
	go d.completeLoop()
	return d, nil
}

// makeDir makes a directory, and those above it, that are still there after the
// power has failed.
func makeDir(dir string) error {
	dir = filepath.Clean(dir)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // it keeps them in a journal, and has no such call
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}

// takeLock keeps other processes out of the directory.
func takeLock(dir string, o *bbolt.Options) (*bbolt.DB, error) {
	path := filepath.Join(dir, lockFile)
	lock, err := openBolt(path, o)
	if errors.Is(err, ErrCorrupt) && !o.ReadOnly {
		// Its making was cut short. There is nothing in it.
		if err = os.Remove(path); err == nil {
			lock, err = openBolt(path, o)
		}
	}
	return lock, err
}

// create makes an empty store.
func create(dir string, opt Options) error {
	temp := filepath.Join(dir, tempFile)
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(temp, 0o600, &bbolt.Options{OpenFile: opt.openFile})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range bucketNames() {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte("meta")).Put([]byte("version"), binary.AppendUvarint(nil, formatVersion))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	return putInPlace(dir)
}

// putInPlace gives a finished file its name.
func putInPlace(dir string) error {
	if err := os.Rename(filepath.Join(dir, tempFile), filepath.Join(dir, dataFile)); err != nil {
		return err
	}
	return syncDir(dir)
}

// inspect looks whether a file is a whole store of ours, before it is opened
// for writing. The database maps the file, and what is mapped and not there
// kills the process.
func inspect(path string, opt Options) error {
	if fileSize(path) == 0 {
		return &Error{Path: path, Kind: ErrCorrupt, Err: errors.New("it is empty")}
	}
	var f *os.File
	db, err := openBolt(path, &bbolt.Options{ReadOnly: true, Timeout: opt.LockTimeout,
		OpenFile: func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
			f, err = os.OpenFile(name, flag, mode)
			return f, err
		}})
	if err != nil {
		if f != nil {
			_ = f.Close() // a panic leaves it open
		}
		return err
	}
	defer func() { _ = db.Close() }()
	err = guard(path, func() error {
		return db.View(func(tx *bbolt.Tx) error {
			info, err := os.Stat(path)
			if err == nil && info.Size() < tx.Size() {
				err = corrupt("%d of %d bytes are there", info.Size(), tx.Size())
			}
			if err == nil {
				err = checkVersion(tx)
			}
			return err
		})
	})
	if err != nil {
		return err
	}
	return guard(path, func() error {
		_, err := verify(path, db.Info().PageSize)
		return err
	})
}

func checkVersion(tx *bbolt.Tx) error {
	meta := tx.Bucket([]byte("meta"))
	if meta == nil {
		return ErrForeign
	}
	value := meta.Get([]byte("version"))
	if value == nil {
		return ErrForeign
	}
	v, err := parseNumber(value)
	switch {
	case err != nil || v == 0:
		return ErrForeign
	case v > versionOpen:
		return fmt.Errorf("%w: format %d, known is %d", ErrVersion, v, versionOpen)
	}
	_, err = newBuckets(tx)
	return err
}

// openBolt opens the database with its errors made ours.
func openBolt(path string, o *bbolt.Options) (db *bbolt.DB, err error) {
	err = guard(path, func() error {
		db, err = bbolt.Open(path, 0o600, o)
		return err
	})
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, &Error{Path: path, Kind: ErrLocked}
	case errors.As(err, new(*Error)):
		return nil, err
	case errors.As(err, new(syscall.Errno)): // the system's: no permission, no memory
		return nil, fmt.Errorf("store: %w", err)
	}
	return nil, &Error{Path: path, Kind: ErrCorrupt, Err: err}
}

// openFile opens the store for writing.
func openFile(path string, opt Options) (*bbolt.DB, error) {
	return openBolt(path, &bbolt.Options{
		Timeout: opt.LockTimeout, FreelistType: bbolt.FreelistMapType, MaxSize: int(opt.MaxBytes), OpenFile: opt.openFile,
		// What the file does not keep is found by a walk: see syncFreelist.
		NoFreelistSync: true,
	})
}

// guard turns what the database does with a damaged file, which is to panic or
// to touch memory that is not there, into an error.
func guard(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &Error{Path: path, Kind: ErrCorrupt, Err: fmt.Errorf("%v", r)}
		}
	}()
	err = f()
	if errors.As(err, new(*Error)) {
		return err
	}
	for _, kind := range []error{ErrCorrupt, ErrVersion, ErrForeign} {
		if errors.Is(err, kind) {
			return &Error{Path: path, Kind: kind, Err: err}
		}
	}
	return err
}

// compactFrom is the size from which an almost empty file is made small.
const compactFrom = 16 << 20

// worthCompacting reports whether most of the file is empty, were it beyond the last page that was ever used: the database
// makes a large file larger by 16 MiB at a time.
func worthCompacting(db *bbolt.DB) bool {
	size, pages := fileSize(db.Path()), int64(0)
	if size < compactFrom || db.View(func(tx *bbolt.Tx) error { pages = tx.Size(); return nil }) != nil {
		return false
	}
	return pages-freeBytes(db, db.Info().PageSize) < size/4
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

func freeBytes(db *bbolt.DB, pageSize int) int64 {
	s := db.Stats()
	return int64(s.FreePageN+s.PendingPageN) * int64(pageSize)
}

// compact writes what the file holds into another and puts that in its place.
func compact(dir string, db *bbolt.DB, opt Options) (*bbolt.DB, error) {
	temp := filepath.Join(dir, tempFile)
	err := os.Remove(temp)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = guard(db.Path(), func() error { return copyTo(temp, db, opt) })
	}
	if err := errors.Join(err, db.Close()); err != nil {
		_ = os.Remove(temp)
		if errors.Is(err, ErrCorrupt) {
			return nil, err
		}
		return nil, fmt.Errorf("store: compact: %w", err)
	}
	if err := putInPlace(dir); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return openFile(filepath.Join(dir, dataFile), opt)
}

func copyTo(temp string, db *bbolt.DB, opt Options) error {
	to, err := bbolt.Open(temp, 0o600, &bbolt.Options{OpenFile: opt.openFile})
	if err != nil {
		return err
	}
	return errors.Join(bbolt.Compact(to, db, 4<<20), to.Close())
}

// view runs a read transaction.
func (d *Disk) view(f func(*bbolt.Tx) error) error {
	return guard(d.path, func() error { return d.db.View(f) })
}

// findLast finds what was given out before, and sessions that have ended but
// are not taken apart.
func (d *Disk) findLast(tx *bbolt.Tx) error {
	b, err := newBuckets(tx)
	if err != nil {
		return err
	}
	last := lastID(b.sessions)
	dead := map[SessionID]bool{}
	for _, bucket := range []*bbolt.Bucket{b.queue, b.subs, b.received, b.sent} {
		last = max(last, lastID(bucket))
		c := bucket.Cursor()
		for k, v := c.First(); len(k) >= 8; {
			if b.sessions.Get(k[:8]) == nil {
				if _, err := unseal(k, v); err != nil {
					return err // not ended, but hit
				}
				dead[SessionID(binary.BigEndian.Uint64(k))] = true
			}
			next := appendID(nil, binary.BigEndian.Uint64(k)+1)
			k, v = c.Seek(next)
		}
	}
	for s := range dead {
		d.dead = append(d.dead, s)
	}
	d.lastSession.Store(last)
	return nil
}

// countOpening writes that the store was opened once more, and so finds out
// whether it can be written to.
func (d *Disk) countOpening() error {
	d.chooseFreelist()
	err := guard(d.path, func() error {
		return d.db.Update(func(tx *bbolt.Tx) (err error) {
			meta := tx.Bucket([]byte("meta"))
			if d.opened, err = readOpened(meta); err != nil {
				return err
			}
			if err := d.takeJournal(tx); err != nil {
				return err
			}
			d.opened++
			number := binary.AppendUvarint(nil, d.opened)
			return errors.Join(meta.Put([]byte("opened"), number),
				meta.Put([]byte("opened sealed"), seal(number, 0, []byte("opened sealed"))))
		})
	})
	switch {
	case err == nil || errors.Is(err, ErrCorrupt):
		return err
	case noRoom(err):
		return &Error{Path: d.path, Kind: ErrFull, Err: err}
	}
	return &Error{Path: d.path, Kind: ErrFailed, Err: err}
}

// maxOpened is far more often than a store is opened, and few enough for positions.
const maxOpened = 1 << 31

// readOpened reads how often the store was opened, which is there with and without a
// checksum: older versions know only the one without.
func readOpened(meta *bbolt.Bucket) (n uint64, err error) {
	v := meta.Get([]byte("opened"))
	if v == nil {
		return 0, nil
	}
	if n, err = parseNumber(v); err != nil {
		return 0, err
	}
	least := uint64(0)
	if v = meta.Get([]byte("opened sealed")); v != nil {
		if v, err = unseal([]byte("opened sealed"), v); err != nil {
			return 0, err
		}
		if least, err = parseNumber(v); err != nil {
			return 0, err
		}
	}
	if n < least || n >= maxOpened {
		return 0, corrupt("number of openings")
	}
	return n, nil
}

// First implements [Store].
func (d *Disk) First() Position { return FirstPosition(d.opened) }

// lastID returns the greatest identifier that a key begins with.
func lastID(b *bbolt.Bucket) uint64 {
	k, _ := b.Cursor().Last()
	if len(k) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(k)
}

// NewSession implements [Store].
func (d *Disk) NewSession() SessionID { return SessionID(d.lastSession.Add(1)) }

// Err implements [Store].
func (d *Disk) Err() error {
	if e := d.failure.Load(); e != nil {
		return e
	}
	return nil
}

// Stats implements [Store].
func (d *Disk) Stats() Stats {
	d.mu.Lock()
	s := d.stats
	s.Pending = d.bytes
	d.mu.Unlock()
	s.FileBytes, s.FreeBytes = fileSize(d.path), freeBytes(d.db, d.pageSize)
	return s
}

// Close implements [Store].
func (d *Disk) Close() error {
	d.mu.Lock()
	closed := d.closing
	d.closing = true
	d.mu.Unlock()
	if closed {
		return ErrClosed
	}
	d.signal()
	d.ended.Wait()
	defer func() { _ = d.journal.close() }()
	switch err := d.Err(); {
	case errors.Is(err, ErrCorrupt):
		// Having panicked, the database may hold its locks for ever.
		return errors.Join(err, d.lock.Close())
	case err != nil:
		return errors.Join(err, d.db.Close(), d.lock.Close())
	}
	err := d.finish()
	for noRoom(err) && (d.reserve.giveUp() || d.relieve()) {
		err = d.finish()
	}
	return errors.Join(err, d.db.Close(), d.lock.Close())
}
