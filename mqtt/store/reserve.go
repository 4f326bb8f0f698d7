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
	reservePart  = 64 << 10
	reserveAfter = 100 * time.Millisecond // between two attempts to make it
)

// errReserved is what an addition is refused with that would take what removals need.
var errReserved = errors.New("what is left is for what makes room")

// reserve is a file whose place on the disk is given up when there is no other: a B+tree is never changed in place, so
// that even what only removes has to be written somewhere.
type reserve struct {
	path  string
	open  func(string, int, os.FileMode) (*os.File, error)
	bytes int       // that are held
	tried time.Time // to make it whole
	again time.Time // to make it larger than it is
}

func newReserve(dir string, opt Options) reserve {
	r := reserve{path: filepath.Join(dir, reserveFile), open: opt.openFile}
	_ = os.Remove(r.probe())
	return r
}

// probe is the file that is written to find out whether there is room beside the reserve.
func (r *reserve) probe() string { return r.path + ".new" }

// whole makes all of the reserve, if it is not there, and reports whether it is.
func (r *reserve) whole() bool {
	if r.bytes < reserveBytes && due(&r.tried) {
		if info, err := os.Stat(r.path); err == nil && info.Size() == reserveBytes {
			r.bytes = reserveBytes
		} else {
			r.extend(reserveBytes)
		}
	}
	return r.bytes == reserveBytes
}

// hold makes a part of the reserve, where there is no room for all, and reports whether it has n bytes.
func (r *reserve) hold(n int) bool {
	if n > reserveBytes {
		return false
	}
	if r.bytes < n && due(&r.again) {
		if r.extend((n + reservePart - 1) / reservePart * reservePart); r.bytes >= n {
			r.again = time.Time{} // there may be room for more
		}
	}
	return r.bytes >= n
}

// due reports whether it is time for an attempt, and takes note of it.
func due(last *time.Time) bool {
	now := time.Now()
	if now.Sub(*last) < reserveAfter {
		return false
	}
	*last = now
	return true
}

// extend fills the file up to n bytes, with what no file system stores in less. If there is no room for all that, it is what it
// was.
func (r *reserve) extend(n int) {
	f, err := r.open(r.path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	noise := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	_, err = f.WriteAt(noise[r.bytes:], int64(r.bytes))
	if err = errors.Join(err, f.Sync()); err == nil {
		r.bytes = n
	} else if f.Truncate(int64(r.bytes)) != nil {
		r.bytes = 0
	}
	_ = f.Close() // it is synced
	if r.bytes == 0 {
		_ = os.Remove(r.path)
	}
}

// giveUp removes the reserve. It reports whether there is more room now.
func (r *reserve) giveUp() bool {
	if r.bytes == 0 {
		return false
	}
	*r = reserve{path: r.path, open: r.open}
	return os.Remove(r.path) == nil
}

// beside reports whether there is room for as much again.
func (r *reserve) beside() bool {
	p := reserve{path: r.probe(), open: r.open}
	p.extend(reserveBytes)
	return p.giveUp()
}

// free is how many bytes of the database are empty.
func (d *Disk) free() int {
	s := d.db.Stats()
	return (s.FreePageN + s.PendingPageN) * d.pageSize
}

// mayAdd reports whether a group may add something: not what would leave less than the reserve for removals, in the database
// and in a part of the reserve.
func (d *Disk) mayAdd(group []request) bool {
	bytes, adds := d.journal.bytes, false
	for _, r := range group {
		bytes += r.b.size
		adds = adds || r.b.grows && r.b.err == nil
	}
	return !adds || d.reserve.whole() || d.reserve.hold(2*bytes+reserveBytes-d.free())
}

// room reports whether a little would be added, on a disk that was full.
func (d *Disk) room() bool {
	need := reserveBytes - d.free()
	if need > 0 && d.reserve.bytes == reserveBytes {
		return d.reserve.beside()
	}
	return d.reserve.whole() || d.reserve.hold(need)
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
