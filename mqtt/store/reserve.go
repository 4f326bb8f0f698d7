package store

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

const (
	reserveFile  = "reserve"
	reserveBytes = 1 << 20
	reserveAfter = 100 * time.Millisecond // between two attempts to make it
)

// errReserved is what an addition is refused with while the reserve is gone: it would take what removals need.
var errReserved = errors.New("what is left is for what makes room")

// reserve is a file whose place on the disk is given up when there is no other: a B+tree is never changed in place, so
// that even what only removes has to be written somewhere.
type reserve struct {
	path  string
	held  bool
	tried time.Time
}

func newReserve(dir string) reserve {
	r := reserve{path: filepath.Join(dir, reserveFile)}
	_ = os.Remove(r.probe())
	return r
}

// probe is the file that is written to find out whether there is room beside the reserve.
func (r *reserve) probe() string { return r.path + ".new" }

// hold makes the reserve, if it is not there, and reports whether it is.
func (r *reserve) hold() bool {
	if r.held || !r.tried.IsZero() && time.Since(r.tried) < reserveAfter {
		return r.held
	}
	r.tried = time.Now()
	if info, err := os.Stat(r.path); err == nil && info.Size() == reserveBytes {
		r.held = true
		return true
	}
	if r.held = writeNoise(r.path) == nil; !r.held {
		_ = os.Remove(r.path)
	}
	return r.held
}

// room reports whether there is room for the reserve or, where that is there, for as much beside it.
func (r *reserve) room() bool {
	if !r.held {
		return r.hold()
	}
	err := writeNoise(r.probe())
	return os.Remove(r.probe()) == nil && err == nil
}

// writeNoise fills a file with what no file system stores in less.
func writeNoise(path string) error {
	noise := make([]byte, reserveBytes)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(noise)
	return errors.Join(err, f.Sync(), f.Close())
}

// giveUp removes the reserve. It reports whether there is more room now.
func (r *reserve) giveUp() bool {
	if !r.held {
		return false
	}
	r.held, r.tried = false, time.Time{}
	return os.Remove(r.path) == nil
}

// mayAdd reports whether a group may add something: not what would leave no page for removals.
func (d *Disk) mayAdd(group []request) bool {
	bytes, adds := d.journal.bytes, false
	for _, r := range group {
		bytes += r.b.size
		adds = adds || r.b.grows && r.b.err == nil
	}
	if !adds || d.reserve.hold() {
		return true
	}
	s := d.db.Stats()
	return (s.FreePageN+s.PendingPageN)*d.pageSize >= 2*bytes+reserveBytes
}

// add writes a group, unless it must not.
func (d *Disk) add(group []request) error {
	if !d.mayAdd(group) {
		d.stuck = true
		return &Error{Path: d.path, Kind: ErrFull, Err: errReserved}
	}
	return d.update(group, true)
}

// removeOnly writes of a group that found no room what only removes, which makes some, and if that takes the reserve. What
// is still too much waits, unless the store closes and there is no room for any. It returns the batches that are through, first
// those that are refused.
func (d *Disk) removeOnly(group []request) (through []request, refused int) {
	var removers []request
	for _, r := range group {
		if r.b.grows || r.b.err != nil {
			through = append(through, r)
		} else {
			removers = append(removers, r)
		}
	}
	n := len(removers)
	for errors.Is(d.update(removers[:n], false), ErrFull) {
		if d.reserve.giveUp() || d.relieve() {
			continue
		}
		if n == 0 {
			break
		}
		n /= 2
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case n == 0 && d.closing:
		through, removers = append(through, removers...), nil
	case len(removers) > n:
		d.pending = append(removers[n:], d.pending...)
		d.urgent = d.urgent || n > 0
	}
	return append(through, removers[:n]...), len(through)
}
