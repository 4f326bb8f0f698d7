package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// Summary is what a store holds, and what is wrong with it.
type Summary struct {
	Path      string
	FileBytes int64
	FreeBytes int64 // of that, what is empty

	Sessions      int
	Subscriptions int
	Queued        int   // messages in queues or in flight, by session
	QueuedBytes   int64 // of these, by [Message.Size]
	Released      int   // outbound QoS 2 messages that wait for PUBCOMP
	Received      int   // inbound QoS 2 messages that wait for PUBREL
	Wills         int
	Retained      int
	RetainedBytes int64
	Messages      int   // kept once, whoever refers to them
	MessageBytes  int64 // of these, as they are on disk
	Leftover      int   // records of ended sessions, still to be removed

	// Notes are what may be a fault, or may be left of a power cut.
	Notes []string
	// Problems say what is wrong, at most maxProblems of them; empty: nothing.
	Problems []string
}

const maxProblems = 100

func (s *Summary) problem(format string, args ...any) {
	if len(s.Problems) < maxProblems {
		s.Problems = append(s.Problems, fmt.Sprintf(format, args...))
	}
}

// Check reads all of the store in a directory, which nobody may be using, and
// changes nothing. The error is that of a store that cannot be opened at all:
// fs.ErrNotExist, ErrLocked, ErrVersion, ErrForeign or ErrCorrupt. A store with
// Problems is damaged as well.
func Check(dir string) (*Summary, error) { return check(dir, os.OpenFile) }

// opening is os.OpenFile, or what a test has in its place.
type opening func(name string, flag int, mode os.FileMode) (*os.File, error)

func check(dir string, open opening) (*Summary, error) {
	path := filepath.Join(dir, dataFile)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	lock, err := takeLock(dir, &bbolt.Options{Timeout: time.Second, ReadOnly: true})
	switch {
	case err == nil:
		defer func() { _ = lock.Close() }()
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrCorrupt): // nobody can have it
		return nil, err
	}
	if err := inspect(path, Options{}.withDefaults()); err != nil {
		return nil, err
	}
	db, err := openBolt(path, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: time.Second})
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	s := &Summary{Path: path, FileBytes: fileSize(path)}
	if halved, err := verify(path, db.Info().PageSize); err == nil && halved {
		s.Notes = append(s.Notes, "one of the two meta pages is not whole: as after a power cut, or the last transaction is lost")
	}
	var left *Batch
	frames := 0
	err = guard(path, func() error {
		return db.View(func(tx *bbolt.Tx) (err error) {
			if left, frames, err = unread(dir, tx.Bucket([]byte("meta")), math.MaxInt); err != nil || frames > 0 {
				return err
			}
			if err := s.read(tx); err != nil {
				return err
			}
			s.readPages(tx)
			return nil
		})
	})
	if e := new(Error); errors.As(err, &e) && errors.Is(err, ErrCorrupt) && e.Path != path {
		return nil, err // the journal
	}
	if err == nil && frames > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("it was not closed: the last %d writes are in the journal", frames))
		if err = s.readBoth(db, left, open); err != nil && !errors.Is(err, ErrCorrupt) {
			return nil, err
		}
	}
	if err != nil {
		s.problem("%v", err)
	}
	return s, nil
}

// readBoth reads what the store is with what is in the journal: in a transaction that changes nothing, which needs a database
// that could be changed.
func (s *Summary) readBoth(ro *bbolt.DB, left *Batch, open opening) error {
	err := guard(s.Path, func() error {
		return ro.View(func(tx *bbolt.Tx) error { s.readPages(tx); return nil })
	})
	if err = errors.Join(err, ro.Close()); err != nil {
		return err
	}
	db, err := openFile(s.Path, Options{openFile: open.orRead}.withDefaults())
	if err != nil {
		return err
	}
	d := &Disk{path: s.Path, db: db}
	d.txn = txn{d: d, fresh: map[uint64]*Message{}, refs: map[uint64]int{}}
	err = d.pretend(func(tx *bbolt.Tx) error {
		if _, err := d.txn.run(tx, []request{{b: left}}, true, 0); err != nil {
			return err
		}
		return s.read(tx)
	})
	return errors.Join(err, db.Close())
}

// orRead opens a file for reading if it cannot be opened for more.
func (open opening) orRead(name string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := open(name, flag, mode)
	if err != nil {
		return open(name, os.O_RDONLY, mode)
	}
	return f, nil
}

// readPages lets the database look at its own.
func (s *Summary) readPages(tx *bbolt.Tx) {
	if len(s.Problems) > 0 {
		return
	}
	// It has a goroutine of its own, where guard does not reach: inspect has
	// verified every page.
	for err := range tx.Check() {
		s.problem("database: %v", err)
	}
}

// read reads all records.
func (s *Summary) read(tx *bbolt.Tx) error {
	s.FreeBytes = freeBytes(tx.DB(), tx.DB().Info().PageSize)
	b, err := newBuckets(tx)
	if err != nil {
		return err
	}
	refs := map[uint64]int{}
	for _, step := range []func(buckets, map[uint64]int) error{s.readSessions, s.readQueues, s.readRetained, s.readMessages} {
		if err := step(b, refs); err != nil {
			return err
		}
	}
	for id, n := range refs {
		s.problem("message %d is referred to by %d and is not there", id, n)
	}
	return s.readNumbers(b, tx.Bucket([]byte("meta")))
}

// readNumbers compares what counts up with what was given out.
func (s *Summary) readNumbers(b buckets, meta *bbolt.Bucket) error {
	if last := lastID(b.messages); b.messages.Sequence() < last {
		s.problem("message %d was given out, the next is %d", last, b.messages.Sequence()+1)
	}
	last := uint64(0)
	err := each(b.queue.Cursor(), nil, func(k, v []byte) error {
		_, e, err := parseQueue(k, v)
		last = max(last, e.order)
		return err
	})
	if b.queue.Sequence() < last {
		s.problem("PUBREC %d was noted, the next is %d", last, b.queue.Sequence()+1)
	}
	if _, openErr := readOpened(meta); openErr != nil {
		s.problem("%v", openErr)
	}
	return err
}

func (s *Summary) readSessions(b buckets, _ map[uint64]int) error {
	clients := map[string]SessionID{}
	err := eachSession(b, func(x *Saved) error {
		if other, twice := clients[x.ClientID]; twice {
			s.problem("client %q has sessions %d and %d", x.ClientID, other, x.ID)
		}
		clients[x.ClientID] = x.ID
		s.Sessions++
		s.Subscriptions += len(x.Subscriptions)
		s.Queued += x.Count
		s.QueuedBytes += x.Bytes
		s.Released += len(x.Released)
		s.Received += len(x.Received)
		if x.Will != nil {
			s.Wills++
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, bucket := range []*bbolt.Bucket{b.queue, b.subs, b.received, b.sent} {
		err := each(bucket.Cursor(), nil, func(k, _ []byte) error {
			if len(k) < 8 {
				return corrupt("record %x has no session", k)
			}
			if b.sessions.Get(k[:8]) == nil {
				s.Leftover++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readQueues counts references, those of ended sessions as well.
func (s *Summary) readQueues(b buckets, refs map[uint64]int) error {
	return each(b.queue.Cursor(), nil, func(k, v []byte) error {
		_, e, err := parseQueue(k, v)
		if err == nil && !e.released() {
			refs[e.message]++
		}
		return err
	})
}

func (s *Summary) readRetained(b buckets, refs map[uint64]int) error {
	return eachRetained(b, func(id uint64, m *Message) error {
		s.Retained++
		s.RetainedBytes += int64(m.Size())
		refs[id]++
		return nil
	})
}

// readMessages compares the references counted with those recorded, and leaves
// over those that point nowhere.
func (s *Summary) readMessages(b buckets, refs map[uint64]int) error {
	counted := 0
	err := each(b.messages.Cursor(), nil, func(k, v []byte) error {
		if _, err := parseMessage(v); err != nil || len(k) != 8 {
			return errors.Join(err, corrupt("message %x", clip(k)))
		}
		s.Messages++
		s.MessageBytes += int64(len(v))
		want, err := refCount(b.counts, k)
		if err != nil {
			return err
		}
		if want > 1 {
			counted++
		}
		id := messageID(k)
		switch have := refs[id]; {
		case have == 0:
			s.problem("message %d is referred to by nobody", id)
		case have != want:
			s.problem("message %d is referred to by %d, recorded are %d", id, have, want)
		}
		delete(refs, id)
		return nil
	})
	if err != nil {
		return err
	}
	n := 0
	if err := each(b.counts.Cursor(), nil, func(_, _ []byte) error { n++; return nil }); err != nil {
		return err
	}
	if n != counted {
		s.problem("%d counts of references for %d messages", n, counted)
	}
	return nil
}
