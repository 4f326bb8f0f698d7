package store

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// request is a batch that waits.
type request struct {
	b    *Batch
	done func(error) // nil: nobody waits
	read *reading    // nil: it writes
}

// outcome is a batch that is through.
type outcome struct {
	done func(error)
	err  error
}

// lingerOps is how many operations that nobody waits for may wait.
const lingerOps = 512

// Commit implements [Store].
func (d *Disk) Commit(b *Batch, done func(error)) (full bool) {
	return d.enqueue(request{b: b, done: done})
}

func (d *Disk) enqueue(r request) (full bool) {
	b, done := r.b, r.done
	d.mu.Lock()
	closed := d.closing
	wake := false
	if !closed {
		wake = len(d.pending) == 0
		d.pending = append(d.pending, r)
		d.bytes += int64(b.size)
		if !d.urgent && (done != nil || len(d.pending) >= lingerOps) {
			d.urgent, wake = true, true
		}
		full = d.bytes > d.opt.MaxPending
	}
	d.mu.Unlock()
	switch {
	case closed && done != nil:
		go done(ErrClosed)
	case wake:
		d.signal()
	}
	return full
}

func (d *Disk) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// groupBytes bounds one transaction.
const groupBytes = 16 << 20

// take returns the next group: all that waits, up to a bound, if somebody waits
// for it, if the store closes, or by force.
func (d *Disk) take(force bool) (group []request, end bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.urgent && !d.closing && !force {
		return nil, false
	}
	n, bytes := 0, 0
	for n < len(d.pending) && bytes < groupBytes {
		bytes += d.pending[n].b.size
		n++
	}
	group = d.pending[:n:n]
	if d.pending = d.pending[n:]; len(d.pending) == 0 {
		d.pending, d.urgent = nil, false
	}
	return group, d.closing && n == 0
}

// waiting reports whether anything waits, were it only for company.
func (d *Disk) waiting() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.pending) > 0
}

// commitLoop is the committer: while it writes one group the next one forms,
// and no timer delays anybody who waits.
func (d *Disk) commitLoop() {
	defer d.ended.Done()
	defer close(d.done)
	timer := time.NewTimer(d.opt.Linger)
	defer timer.Stop()
	force := false
	for {
		group, end := d.take(force)
		force = false
		if len(group) > 0 || d.reclaiming() && !end {
			d.commit(group)
			continue
		}
		if end {
			return
		}
		var linger, look <-chan time.Time
		switch {
		case d.waiting():
			timer.Reset(d.opt.Linger)
			linger = timer.C
		case d.short:
			timer.Reset(roomEvery * d.opt.Linger)
			look = timer.C
		}
		select {
		case <-d.wake:
		case <-linger:
			force = true
		case <-look:
			d.findRoom()
		}
	}
}

// reclaiming reports whether there is work although nothing waits.
func (d *Disk) reclaiming() bool { return len(d.dead) > 0 && !d.stuck && d.Err() == nil }

// completeLoop calls whoever waits, while the committer goes on.
func (d *Disk) completeLoop() {
	defer d.ended.Done()
	for out := range d.done {
		call(out)
		d.owed.Add(-1)
	}
}

func call(out []outcome) {
	for _, o := range out {
		o.done(o.err)
	}
}

// complete calls whoever waits, behind those before: by the committer itself if it
// has nothing else to do, which saves a lone client the way over another thread.
func (d *Disk) complete(out []outcome, idle bool) {
	if idle && d.owed.Load() == 0 {
		call(out)
		return
	}
	d.owed.Add(1)
	d.done <- out
}

// commit makes a group durable, or not, and hands over the outcomes.
func (d *Disk) commit(group []request) {
	begin := time.Now()
	group, readers := split(group)
	err := d.write(group, len(readers) > 0)
	refused := 0
	if errors.Is(err, ErrFull) {
		group, refused = d.removeOnly(group)
	}
	out := d.serve(readers)
	ops, bytes, full := 0, 0, 0
	for i, r := range group {
		e := err
		switch {
		case r.b.err != nil:
			e = r.b.err
		case errors.Is(err, ErrFull) && i >= refused:
			e = d.Err()
		}
		if ops += len(r.b.ops); errors.Is(e, ErrFull) {
			full++
		}
		if bytes += r.b.size; r.done != nil {
			out = append(out, outcome{r.done, e})
		}
	}
	if slices.ContainsFunc(group, func(r request) bool { return r.b.grows && r.b.err == nil }) && (err == nil || full > 0) {
		d.short = err != nil
	}
	d.mu.Lock()
	d.stats.Short = d.short
	d.bytes -= int64(bytes)
	d.stats.Full += uint64(full)
	d.stats.DeadSessions = len(d.dead)
	if err == nil && len(group) > 0 {
		d.stats.Commits++
		d.stats.Batches += uint64(len(group))
		d.stats.Ops += uint64(ops)
		d.stats.LastCommit = time.Since(begin)
	}
	idle := len(d.pending) == 0
	d.mu.Unlock()
	if len(out) > 0 {
		d.complete(out, idle)
	}
}

// roomEvery is how many times Options.Linger pass between two looks for room on a disk that was full.
const roomEvery = 20

// findRoom looks whether there is room again, though nobody asks for any.
func (d *Disk) findRoom() {
	if !d.room() {
		return
	}
	d.short, d.stuck = false, false
	d.mu.Lock()
	d.stats.Short = false
	d.mu.Unlock()
}

// write makes a group durable: in the journal if it is small and nobody has to see the database.
func (d *Disk) write(group []request, direct bool) error {
	if !direct && d.fits(group) {
		if done, err := d.note(group); done || err != nil {
			return err
		}
	}
	if !direct && len(d.dead) == 0 && empty(group) {
		return d.Err()
	}
	return d.add(group)
}

func empty(group []request) bool {
	return !slices.ContainsFunc(group, func(r request) bool { return len(r.b.ops) > 0 })
}

// fail ends the store.
func (d *Disk) fail(path string, err error) error {
	d.failure.Store(&Error{Path: path, Kind: ErrFailed, Err: err})
	return d.Err()
}

// What a transaction removes of ended sessions, with others' work and without. That makes at most one record per operation, and
// so many more may go: where it is never quiet, what ended sessions leave behind does not pile up.
const (
	reclaimBeside = 200
	reclaimAlone  = 4000
)

// syncFreelist is the number of free pages up to which their list is written
// with each transaction. A longer one costs more than the data; it is found
// again by a walk through the file if the process dies.
const syncFreelist = 4096

func (d *Disk) chooseFreelist() { d.db.NoFreelistSync = d.db.Stats().FreePageN > syncFreelist }

// unmapEvery is after how many transactions the pages they read are given back.
const unmapEvery = 1024

// update writes a group in one transaction, with one sync of the data and one
// of the page that makes it valid. With grow false, only those batches that add
// nothing. The error is ErrFull, after which all is as before, or final.
func (d *Disk) update(group []request, grow bool) error {
	if err := d.Err(); err != nil {
		return err
	}
	if len(d.dead) == 0 && len(d.journal.held) == 0 && empty(group) {
		return nil
	}
	d.chooseFreelist()
	limit := reclaimAlone
	if d.journal.part > 0 {
		limit = 0
	} else if len(group) > 0 || !grow {
		limit = reclaimBeside + d.journal.ops
		for _, r := range group {
			limit += len(r.b.ops)
		}
	}
	before, gone := -1, 0
	err := guard(d.path, func() error {
		return d.db.Update(func(tx *bbolt.Tx) (err error) {
			before = tx.ID() - 1
			gone, err = d.txn.run(tx, group, grow, limit)
			return err
		})
	})
	if err == nil {
		d.moved()
		d.dead = append(d.dead[gone:], d.buried...)
		d.buried, d.stuck = nil, false
		if d.commits++; d.commits%unmapEvery == 0 {
			_ = d.view(func(tx *bbolt.Tx) error { unmap(tx); return nil })
		}
		if d.opt.committed != nil {
			d.opt.committed()
		}
		return nil
	}
	d.txn.forget()
	d.buried = nil
	if d.full(err, before) {
		d.stuck = true
		return &Error{Path: d.path, Kind: ErrFull, Err: err}
	}
	return d.fail(d.path, err)
}

// run puts into a transaction what is in the journal, and a group.
func (x *txn) run(tx *bbolt.Tx, group []request, grow bool, limit int) (gone int, err error) {
	if err := x.begin(tx); err != nil {
		return 0, err
	}
	if err := x.d.journal.move(x, tx.Bucket([]byte("meta"))); err != nil {
		return 0, err
	}
	for _, r := range group {
		if r.b.err != nil || !grow && r.b.grows {
			continue
		}
		if err := x.apply(r.b); err != nil {
			return 0, err
		}
	}
	if len(x.d.dead) > 0 {
		if gone, err = x.reclaim(x.d.dead, limit); err != nil {
			return 0, err
		}
	}
	return gone, x.settle()
}

// noRoom reports whether a transaction was refused room by a write. An error of
// a sync says so too on some systems, and that is final.
func noRoom(err error) bool {
	var write *fs.PathError
	return errors.Is(err, bolterrors.ErrMaxSizeReached) || errors.As(err, &write) && write.Op == "write" &&
		(errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}

// full reports whether a transaction failed for lack of room and left nothing
// behind: the page that would make it valid is still the old one. Pages that were
// written were free, and are again.
func (d *Disk) full(err error, before int) bool {
	now := -2
	return noRoom(err) && d.view(func(tx *bbolt.Tx) error { now = tx.ID(); return nil }) == nil && now == before
}
