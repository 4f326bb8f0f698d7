package transport

import (
	"errors"
	"os"
	"time"
)

// combine is how many writes one goroutine makes for the others before it goes back to its own work.
const combine = 16

// flush sends what is buffered, unless another goroutine does so already.
func (c *Conn) flush() {
	c.mu.Lock()
	c.work.dirty = false // it is there while that is true
	c.flushWork()
}

// flushLate is the flush that a loop owed.
func (c *Conn) flushLate() {
	c.mu.Lock()
	c.work.late = false // it is there while that is true
	c.flushWork()
}

// flushWork is what both do. mu is held, and released.
func (c *Conn) flushWork() {
	w := c.work
	if w.flushing || (w.out == nil && c.filt() == nil) {
		c.relax()
		c.mu.Unlock()
		return
	}
	w.flushing = true
	c.drain()
}

// drainUnless drains, unless another goroutine does so already. Called with mu held, which it releases.
func (c *Conn) drainUnless() {
	w := c.begin()
	if w.flushing {
		c.mu.Unlock()
		return
	}
	w.flushing = true
	c.drain()
}

// drain writes until nothing is left or the socket is full; a goroutine takes over then. This is flat combining: what
// others append meanwhile is sent by the one who holds flushing, and nobody waits for a write. Called with mu held and
// flushing set by the caller; releases mu.
func (c *Conn) drain() {
	w, p := c.work, c.poll()
	for i := 0; c.next(); i++ {
		w.edge = false
		cur := w.cur
		c.mu.Unlock()
		n, err := c.sock().write(cur)
		c.mu.Lock()
		c.sent(n)
		switch full := errors.Is(err, errWouldBlock); {
		case !full && i < combine:
		case p == nil:
			c.mu.Unlock()
			go c.drainBlocked()
			return
		case p.park(full):
			c.mu.Unlock()
			return
		case full:
			continue
		}
		if err != nil {
			c.failWrite(err)
		}
	}
	c.settle()
	c.mu.Unlock()
}

// drainBlocked is drain for a full socket: it waits for room, and lives until all is sent.
func (c *Conn) drainBlocked() {
	nc, sock := c.nc(), c.sock()
	c.mu.Lock()
	w := c.work // which stays, for flushing
	w.blocked = true
	for c.next() {
		c.count()
		_ = nc.SetWriteDeadline(c.writeDeadline())
		cur := w.cur
		c.mu.Unlock()
		n, err := sock.writeWait(cur)
		c.mu.Lock()
		c.sent(n)
		if err != nil && n == 0 {
			c.failBlocked(err)
		}
	}
	w.blocked = false
	if !w.done {
		_ = nc.SetWriteDeadline(time.Time{})
	}
	c.settle()
	c.mu.Unlock()
}

// writeDeadline is when a blocked write has waited long enough. mu is held.
func (c *Conn) writeDeadline() time.Time {
	switch {
	case c.state.has(isClosing):
		return c.work.end.closeAt
	case c.opt.StallTimeout < 0:
		return time.Time{}
	}
	return time.Now().Add(c.opt.StallTimeout)
}

// failBlocked ends a blocked write that made no progress. mu is held.
func (c *Conn) failBlocked(err error) {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		c.failWrite(err)
		return
	}
	if !c.state.has(isClosing) {
		c.abort(ErrSlowConsumer)
		return
	}
	if time.Now().Before(c.work.end.closeAt) {
		return // the deadline was one from before Close
	}
	c.abort(ErrCloseTimeout)
}

// settle ends a drain. mu is held.
func (c *Conn) settle() {
	w := c.work
	w.flushing, w.edge = false, false
	c.uncount()
	switch {
	case w.done:
		if p := c.poll(); p != nil {
			p.flushed()
		}
	case c.state.has(isClosing):
		c.ended()
	}
	c.relax()
}

// next makes cur hold bytes to send; false when there are none. mu is held, and released while filters work.
func (c *Conn) next() bool {
	w, f := c.work, c.filt()
	for {
		if w.broken {
			c.drop()
			return false
		}
		if w.cur != nil {
			if w.cur.left > 0 {
				return true
			}
			w.written()
		}
		if f != nil {
			if !c.encode() {
				return false
			}
			continue
		}
		if w.out == nil {
			return false
		}
		w.cur, w.out, w.replies = w.out, nil, 0
	}
}

// sent notes progress. mu is held.
func (c *Conn) sent(n int) {
	if n == 0 {
		return
	}
	w := c.work
	w.cur.advance(n)
	if w.wait != nil {
		w.wait.since = time.Time{}
	}
	if w.full && c.buffered() <= c.opt.OutLimit/2 {
		w.full, w.drained = false, true
		c.wake()
	}
}

// failWrite drops what cannot be sent. The reader goes on for a moment: a DISCONNECT that the peer sent before it closed
// must still be fed, or its Will would be published. mu is held.
func (c *Conn) failWrite(err error) {
	if c.work.broken {
		return
	}
	c.work.broken = true
	c.ends().werr = err
	c.wake()
}

// drop releases everything buffered. mu is held, and nobody else is flushing.
func (c *Conn) drop() {
	for _, o := range []**outbuf{&c.work.out, &c.work.cur} {
		if *o != nil {
			(*o).release()
			*o = nil
		}
	}
	c.filt().drop()
}

// ended tells the reader that the closing flush is over. Without a reader the socket is closed here. mu is held.
func (c *Conn) ended() {
	w := c.work
	w.done = true
	if !c.state.has(isStarted) {
		w.linger = false
		if c.poll() == nil || !w.flushing { // else settle closes it
			_ = c.nc().Close()
		}
		return
	}
	w.linger = w.linger && !w.broken && halfClose(c.nc()) == nil
	c.wake()
}
