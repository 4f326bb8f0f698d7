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
	c.dirty = false
	if c.flushing || (c.out == nil && c.filt == nil) {
		c.mu.Unlock()
		return
	}
	c.flushing = true
	c.drain()
}

// drain writes until nothing is left or the socket is full; a goroutine takes over then. This is flat combining: what
// others append meanwhile is sent by the one who holds flushing, and nobody waits for a write. Called with mu held and
// flushing set by the caller; releases mu.
func (c *Conn) drain() {
	for i := 0; c.next(); i++ {
		if c.poll != nil {
			c.poll.edge = false
		}
		c.mu.Unlock()
		n, err := c.sock.write(c.cur)
		c.mu.Lock()
		c.sent(n)
		switch full := errors.Is(err, errWouldBlock); {
		case !full && i < combine:
		case c.poll == nil:
			c.mu.Unlock()
			go c.drainBlocked()
			return
		case c.poll.park(full):
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
	c.mu.Lock()
	c.blocked = true
	for c.next() {
		c.count()
		_ = c.nc.SetWriteDeadline(c.writeDeadline())
		c.mu.Unlock()
		n, err := c.sock.writeWait(c.cur)
		c.mu.Lock()
		c.sent(n)
		if err != nil && n == 0 {
			c.failBlocked(err)
		}
	}
	c.blocked = false
	if !c.done {
		_ = c.nc.SetWriteDeadline(time.Time{})
	}
	c.settle()
	c.mu.Unlock()
}

// writeDeadline is when a blocked write has waited long enough. mu is held.
func (c *Conn) writeDeadline() time.Time {
	switch {
	case c.closing.Load():
		return c.end.closeAt
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
	if !c.closing.Load() {
		c.abort(ErrSlowConsumer)
		return
	}
	if time.Now().Before(c.end.closeAt) {
		return // the deadline was one from before Close
	}
	c.abort(ErrCloseTimeout)
}

// settle ends a drain. mu is held.
func (c *Conn) settle() {
	c.flushing = false
	c.uncount()
	switch {
	case c.closing.Load() && !c.done:
		c.ended()
	case c.done && c.poll != nil:
		c.poll.flushed()
	}
}

// next makes cur hold bytes to send; false when there are none. mu is held, and released while filters work.
func (c *Conn) next() bool {
	for {
		if c.broken {
			c.drop()
			return false
		}
		if c.cur != nil {
			if c.cur.left > 0 {
				return true
			}
			c.cur.release()
			c.cur = nil
		}
		if c.filt != nil {
			if !c.encode() {
				return false
			}
			continue
		}
		if c.out == nil {
			return false
		}
		c.cur, c.out, c.replies = c.out, nil, 0
	}
}

// sent notes progress. mu is held.
func (c *Conn) sent(n int) {
	if n == 0 {
		return
	}
	c.cur.advance(n)
	c.sum.Add(uint64(n))
	if c.full && c.buffered() <= c.opt.OutLimit/2 {
		c.full = false
		c.drained = true
		c.wake()
	}
}

// failWrite drops what cannot be sent. The reader goes on for a moment: a DISCONNECT that the peer sent before it closed
// must still be fed, or its Will would be published. mu is held.
func (c *Conn) failWrite(err error) {
	if c.broken {
		return
	}
	c.broken = true
	c.ends().werr = err
	c.wake()
}

// drop releases everything buffered. mu is held, and nobody else is flushing.
func (c *Conn) drop() {
	for _, o := range []**outbuf{&c.out, &c.cur} {
		if *o != nil {
			(*o).release()
			*o = nil
		}
	}
	c.filt.drop()
}

// ended tells the reader that the closing flush is over. Without a reader the socket is closed here. mu is held.
func (c *Conn) ended() {
	c.done = true
	if !c.started {
		c.linger = false
		if c.poll == nil || !c.flushing { // else settle closes it
			_ = c.nc.Close()
		}
		return
	}
	c.linger = c.linger && !c.broken && halfClose(c.nc) == nil
	c.wake()
}
