package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/bbolt"
)

// The journal takes small groups in the place of the database: one write and one sync for each, in the place of a write for
// every page of the tree that is touched and two syncs. The database gets them all in one transaction later. What is
// not in it by the next start is in the journal.
//
// It is a file of one size that is written from its beginning again and again. A group is a frame:
//
//	checksum 4, length of the operations 4, epoch 8, number 8, operations
//
// It begins on a page of its own, so that a write that is torn harms none before it. Frames are numbered, and the database
// says with which number begins what it does not have. A frame of another epoch or number is an old one. The epoch is drawn
// at each opening, so that no client can know it and send a payload that looks like a frame.
const (
	journalFile  = "journal"
	journalPage  = 4096
	journalSize  = 1 << 20
	journalGroup = 64 << 10 // a larger group goes to the database at once, which costs no more, and so does the end of a Session
	journalOps   = 4096     // which bounds how long the transaction takes that moves them to the database
	frameHead    = 24
)

// journal is the committer's.
type journal struct {
	f      *os.File // nil: there is none
	at     int64    // where the next frame goes
	epoch  uint64
	number uint64 // of the next frame
	buf    []byte
	held   []request // what is in it, and not in the database
	ends   []int     // of each frame in held
	part   int       // how many frames the next transaction takes, 0: all
	bytes  int       // of what is held
	ops    int
}

// putMark writes into the database which frame is the first that it does not have.
func putMark(meta *bbolt.Bucket, epoch, first uint64) error {
	key := []byte("journal")
	return meta.Put(key, seal(binary.AppendUvarint(binary.AppendUvarint(nil, epoch), first), 0, key))
}

func readMark(meta *bbolt.Bucket) (epoch, first uint64, err error) {
	key := []byte("journal")
	value, err := unseal(key, meta.Get(key))
	if err != nil {
		return 0, 0, err
	}
	r := parser{p: value}
	epoch, first = r.uvarint(math.MaxUint64), r.uvarint(math.MaxUint64)
	if !r.end() {
		return 0, 0, corrupt("mark of the journal")
	}
	return epoch, first, nil
}

func putVersion(meta *bbolt.Bucket, version uint64) error {
	return meta.Put([]byte("version"), binary.AppendUvarint(nil, version))
}

// makeJournal makes the file of a store that was closed, or never had one.
func makeJournal(dir string, opt Options) (err error) {
	path := filepath.Join(dir, journalFile)
	if fileSize(path) == journalSize {
		return nil
	}
	f, err := opt.openFile(path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	// Zeros, and no hole: room that is there is not asked for again.
	_, err = f.Write(make([]byte, journalSize))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		return syncDir(dir)
	}
	_ = os.Remove(path)
	return err
}

// fits reports whether the group may go to the journal.
func (d *Disk) fits(group []request) bool {
	j := &d.journal
	if j.f == nil || d.stuck || !d.reserve.whole() {
		return false
	}
	bytes, ops := 0, 0
	for _, r := range group {
		if r.b.err != nil {
			continue
		}
		if r.b.ends {
			return false
		}
		bytes += r.b.size
		ops += len(r.b.ops)
	}
	return ops > 0 && bytes <= journalGroup && j.ops+ops <= journalOps
}

// note writes the group into the journal. false: it has no room for that.
func (d *Disk) note(group []request) (done bool, err error) {
	j := &d.journal
	if err := d.Err(); err != nil {
		return false, err
	}
	if j.buf, err = appendFrame(j.buf[:0], j.epoch, j.number, group); err != nil {
		return false, nil // the database will say what it is
	}
	if j.at+int64(len(j.buf)) > journalSize {
		return false, nil
	}
	if _, err = j.f.WriteAt(j.buf, j.at); noRoom(err) {
		return false, nil // a file system that never writes in place; half a frame is none
	}
	if err == nil {
		err = syncData(j.f)
	}
	if err != nil {
		return false, d.fail(j.f.Name(), err)
	}
	j.at += int64(len(j.buf)+journalPage-1) / journalPage * journalPage
	j.number++
	for _, r := range group {
		if r.b.err != nil {
			continue // it goes back to its owner
		}
		j.bytes += r.b.size
		j.ops += len(r.b.ops)
		j.held = append(j.held, r)
	}
	j.ends = append(j.ends, len(j.held))
	d.behind.Store(true)
	return true, nil
}

// taken returns how many frames a transaction takes, and of how many batches these are.
func (j *journal) taken() (frames, batches int) {
	if frames = len(j.ends); j.part > 0 {
		frames = j.part
	}
	if frames > 0 {
		batches = j.ends[frames-1]
	}
	return frames, batches
}

// moved is called when the database has what it was to take.
func (d *Disk) moved() {
	j := &d.journal
	frames, n := j.taken()
	if frames == 0 {
		return
	}
	for _, r := range j.held[:n] {
		j.bytes -= r.b.size
		j.ops -= len(r.b.ops)
	}
	j.held = slices.Delete(j.held, 0, n)
	j.ends = slices.Delete(j.ends, 0, frames)
	for i := range j.ends {
		j.ends[i] -= n
	}
	if len(j.held) > 0 {
		return
	}
	j.at = 0
	if cap(j.buf) > keepTxn {
		j.buf = nil
	}
	d.behind.Store(false)
}

// move brings into a transaction what is in the journal.
func (j *journal) move(x *txn, meta *bbolt.Bucket) error {
	frames, n := j.taken()
	if frames == 0 {
		return nil
	}
	for _, r := range j.held[:n] {
		if err := x.apply(r.b); err != nil {
			return err
		}
	}
	return putMark(meta, j.epoch, j.number-uint64(len(j.ends)-frames))
}

// relieve moves what is in the journal a part at a time, where there is no room for all at once: each transaction leaves some
// for the next. It reports whether there was room for any.
func (d *Disk) relieve() (moved bool) {
	j := &d.journal
	defer func() { j.part = 0 }()
	for j.part = len(j.ends) / 2; j.part > 0; {
		switch err := d.update(nil, false); {
		case err == nil:
			moved, j.part = true, min(j.part, len(j.ends))
		case errors.Is(err, ErrFull):
			j.part /= 2
		default:
			return false
		}
	}
	return moved
}

// finish is the last transaction.
func (d *Disk) finish() error {
	d.db.NoFreelistSync = false // the next start need not walk the file
	err := guard(d.path, func() error { return d.db.Update(d.leaveNothing) })
	if err != nil {
		d.txn.forget()
	}
	return err
}

// leaveNothing moves all, so that the next start needs no journal, nor does an older program.
func (d *Disk) leaveNothing(tx *bbolt.Tx) error {
	if _, err := d.txn.run(tx, nil, true, 0); err != nil {
		return err
	}
	return putVersion(tx.Bucket([]byte("meta")), formatVersion)
}

func (j *journal) close() error {
	if j.f == nil {
		return nil
	}
	return j.f.Close()
}

// appendFrame encodes a group.
func appendFrame(dst []byte, epoch, number uint64, group []request) ([]byte, error) {
	from := len(dst)
	dst = append(dst, make([]byte, frameHead)...)
	w := opWriter{p: dst}
	for _, r := range group {
		if r.b.err == nil {
			w.batch(r.b)
		}
	}
	dst = w.p
	n := binary.BigEndian
	n.PutUint32(dst[from+4:], uint32(len(dst)-from-frameHead))
	n.PutUint64(dst[from+8:], epoch)
	n.PutUint64(dst[from+16:], number)
	n.PutUint32(dst[from:], sum(nil, dst[from+4:]))
	return dst, w.err
}

// frameAt returns what is in the frame at a place, if there is one of this epoch.
func frameAt(file []byte, at int, epoch uint64) (number uint64, ops []byte, ok bool) {
	p := file[at:]
	if len(p) < frameHead {
		return 0, nil, false
	}
	n := binary.BigEndian
	length := uint64(n.Uint32(p[4:]))
	if n.Uint64(p[8:]) != epoch || length > uint64(len(p)-frameHead) {
		return 0, nil, false
	}
	p = p[:frameHead+length]
	return n.Uint64(p[16:]), p[frameHead:], n.Uint32(p) == sum(nil, p[4:])
}

// readJournal returns what the frames from number first on have, most of them at the most, in their order, and how many there
// are. Those before first, at the beginning, the database has. The last one may be torn: nobody was told that it is durable.
// One before a whole one may not.
func readJournal(file []byte, epoch, first uint64, most int) (b *Batch, frames int, err error) {
	b = &Batch{}
	next, at := first, 0
	for at < len(file) {
		number, ops, ok := frameAt(file, at, epoch)
		if !ok || number != next && (number > next || next > first) {
			break
		}
		if number == next {
			if next-first < uint64(most) {
				err = readOps(b, ops)
			}
			next++
		}
		if err != nil {
			return nil, 0, err
		}
		at += (frameHead + len(ops) + journalPage - 1) / journalPage * journalPage
	}
	for ; at < len(file); at += journalPage {
		if number, _, ok := frameAt(file, at, epoch); ok && number >= next {
			return nil, 0, corrupt("journal: there is %d, and %d is not whole", number, next)
		}
	}
	return b, int(next - first), nil
}

// unread returns what the database does not have, from the journal of a store that was not closed: what the first frames have,
// most of them at the most, and how many there are.
func unread(dir string, meta *bbolt.Bucket, most int) (b *Batch, frames int, err error) {
	version, err := parseNumber(meta.Get([]byte("version")))
	if err != nil || version < versionOpen {
		return &Batch{}, 0, err
	}
	path := filepath.Join(dir, journalFile)
	epoch, first, err := readMark(meta)
	if err != nil {
		return nil, 0, err
	}
	file, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(file) != journalSize {
		err = corrupt("journal: it has %d bytes", len(file))
	}
	if err == nil {
		b, frames, err = readJournal(file, epoch, first, most)
	}
	if errors.Is(err, ErrCorrupt) {
		err = &Error{Path: path, Kind: ErrCorrupt, Err: err}
	}
	return b, frames, err
}

// leftFrames is how many frames the database does not have.
func (d *Disk) leftFrames() (n int, err error) {
	err = d.view(func(tx *bbolt.Tx) (err error) {
		_, n, err = unread(filepath.Dir(d.path), tx.Bucket([]byte("meta")), 0)
		return err
	})
	return n, err
}

// openJournal opens the file. A store that was closed can do without, one that was not has one.
func (d *Disk) openJournal(dir string) error {
	left, err := d.leftFrames()
	if err != nil || d.opt.direct || left == 0 && makeJournal(dir, d.opt) != nil {
		return err
	}
	f, err := d.opt.openFile(filepath.Join(dir, journalFile), os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	var epoch [8]byte
	_, _ = rand.Read(epoch[:]) // never fails
	d.journal = journal{f: f, epoch: binary.BigEndian.Uint64(epoch[:]), number: 1}
	return nil
}

// takeJournal takes into the first transaction what an earlier process has left in the journal, and says that it is used
// again.
func (d *Disk) takeJournal(tx *bbolt.Tx) error {
	meta := tx.Bucket([]byte("meta"))
	if err := d.takeFrames(tx, math.MaxInt); err != nil {
		return err
	}
	if d.journal.f == nil {
		return putVersion(meta, formatVersion)
	}
	return errors.Join(putMark(meta, d.journal.epoch, d.journal.number), putVersion(meta, versionOpen))
}

// takeFrames takes into a transaction what some of the frames have that an earlier process has left.
func (d *Disk) takeFrames(tx *bbolt.Tx, most int) error {
	b, frames, err := unread(filepath.Dir(d.path), tx.Bucket([]byte("meta")), most)
	if err == nil && frames > 0 {
		_, err = d.txn.run(tx, []request{{b: b}}, true, 0)
		d.buried = nil // findLast finds them
	}
	return err
}

// takeParts takes them a part at a time, as relieve does. It reports whether there was room for any.
func (d *Disk) takeParts() (taken bool) {
	left, err := d.leftFrames()
	for n := left / 2; err == nil && n > 0; {
		switch err = d.takePart(n); {
		case err == nil:
			left -= n
			taken, n = true, min(n, left)
		case noRoom(err):
			err, n = nil, n/2
		}
	}
	return taken && err == nil
}

func (d *Disk) takePart(n int) error {
	d.chooseFreelist()
	return guard(d.path, func() error {
		return d.db.Update(func(tx *bbolt.Tx) error {
			if err := d.takeFrames(tx, n); err != nil {
				return err
			}
			meta := tx.Bucket([]byte("meta"))
			epoch, first, err := readMark(meta)
			return errors.Join(err, putMark(meta, epoch, first+uint64(n)))
		})
	})
}

// reading is somebody who has to see what is durable, whether the database has it or not.
type reading struct {
	f    func(*bbolt.Tx) error
	seen bool // f was called
}

// look runs a read transaction on all that is durable.
func (d *Disk) look(f func(*bbolt.Tx) error) error {
	if d.behind.Load() {
		r, done := &reading{f: f}, make(chan error, 1)
		d.enqueue(request{b: &Batch{}, read: r, done: func(err error) { done <- err }})
		if err := <-done; err != nil || r.seen {
			return err
		}
	}
	return d.view(f)
}

// serve lets those read who wait for it. The disk may be so full that the database cannot have what is in the journal: then
// they see what it would be like.
func (d *Disk) serve(readers []request) (out []outcome) {
	for _, r := range readers {
		err := d.Err()
		if err == nil && len(d.journal.held) > 0 {
			r.read.seen = true
			err = d.pretend(func(tx *bbolt.Tx) error {
				if _, err := d.txn.run(tx, nil, true, 0); err != nil {
					return err
				}
				return r.read.f(tx)
			})
			d.txn.forget()
			d.buried = nil
		}
		out = append(out, outcome{r.done, err})
	}
	return out
}

// errPretended ends a transaction that changes nothing.
var errPretended = errors.New("store: pretended")

// pretend runs a transaction that is taken back.
func (d *Disk) pretend(f func(*bbolt.Tx) error) error {
	err := guard(d.path, func() error {
		return d.db.Update(func(tx *bbolt.Tx) error {
			if err := f(tx); err != nil {
				return err
			}
			return errPretended
		})
	})
	if errors.Is(err, errPretended) {
		return nil
	}
	return err
}

// split takes those that read out of a group.
func split(group []request) (rest, readers []request) {
	if !slices.ContainsFunc(group, func(r request) bool { return r.read != nil }) {
		return group, nil
	}
	for _, r := range group {
		if r.read != nil {
			readers = append(readers, r)
		} else {
			rest = append(rest, r)
		}
	}
	return rest, readers
}
