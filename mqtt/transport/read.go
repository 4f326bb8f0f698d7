package transport

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

const (
	readChunk   = 64 << 10
	overlapFrom = 4 << 10 // a read of more than this is answered before the next one, so that pipelines overlap
	maxRead     = 256 << 10
	yieldAfter  = 3 * readChunk // bytes in one turn before the others get the processor
	trimAfter   = 8             // seconds of silence, see tooDeep
	lingerBytes = 4 << 20       // discarded at most while lingering
	lingerChunk = 8 << 10       // at once
)

// turn is what one read turn needs. It is taken from a pool when bytes arrive and given back before parking.
type turn struct {
	batch Batch
	buf   [readChunk]byte
	raw   []byte // ciphertext, for TLS only
}

// Shared by all connections; a pool holds no state.
var turns = sync.Pool{New: func() any { return new(turn) }}

// run is the reader: parked in the socket without a buffer until there is something to do.
func (c *Conn) run() {
	for !c.attend() {
		err := c.sock.park(c.turn)
		switch {
		case err == nil && c.trim:
			c.trim, c.gor.frame = false, 0
			go c.run()
			return
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.expired()
		default:
			c.readFailed(err)
		}
	}
	c.finish()
}

// tooDeep decides whether to park on a new goroutine: the stack that a handler has made grow never shrinks to the first
// 2 KiB again, and would be most of what an idle connection costs. That is worth its 10 µs after the first two turns
// (CONNECT and SUBSCRIBE, so that a storm of connects uses the grown stacks in turn), after a long silence (more may
// follow), and now and then; a busy connection is left alone. frame is where the caller's stack frame is: it moves when the stack grows.
func (c *Conn) tooDeep(frame uintptr) bool {
	g := c.gor
	g.turns++
	now := uint32(time.Now().Unix())
	quiet := now-g.lastTurn >= trimAfter && g.turns > 1
	g.lastTurn = now
	if frame == g.frame {
		return false
	}
	return quiet || g.turns <= 2 || (g.turns >= 8 && g.turns&(g.turns-1) == 0)
}

// attend does what others asked the reader for. It reports whether the connection has ended.
func (c *Conn) attend() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closing.Load():
			return true
		case c.unwritable() != nil && (c.paused.Load() || c.opt.Linger < 0):
			c.abort(c.end.werr)
		case c.drained:
			c.drained = false
			c.mu.Unlock()
			t := turns.Get().(*turn)
			c.callDrained(&t.batch)
			t.batch.Flush()
			turns.Put(t)
			c.mu.Lock()
		case c.paused.Load():
			c.again = true
			c.wait()
		default:
			return false
		}
	}
}

// wait parks the reader until signal. mu is held.
func (c *Conn) wait() {
	if c.gor.cond == nil {
		c.gor.cond = sync.NewCond(&c.mu)
	}
	c.gor.cond.Wait()
}

func (c *Conn) callDrained(b *Batch) {
	if d, ok := c.h.(Drainer); ok {
		d.Drained(b)
	}
}

// expired clears the deadline that woke the reader. After a write error it is given a moment to read on, which is over
// when the deadline comes a second time.
func (c *Conn) expired() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.unwritable() == nil:
		_ = c.nc.SetReadDeadline(time.Time{})
	case c.last:
		c.abort(c.end.werr)
	default:
		c.last = true
		_ = c.nc.SetReadDeadline(time.Now().Add(c.opt.Linger))
	}
}

// turn reads what the socket holds and feeds it. It reports whether the reader has to leave the parked read.
func (c *Conn) turn() (leave bool) {
	if c.gor.frame == 0 {
		c.gor.frame = uintptr(unsafe.Pointer(&leave))
	}
	t := turns.Get().(*turn)
	leave = c.readAll(t)
	t.batch.Flush()
	c.filt.parkLayers()
	turns.Put(t)
	if !leave && c.fed && c.tooDeep(uintptr(unsafe.Pointer(&leave))) {
		c.trim = true
		return true
	}
	return leave
}

// readAll reads until the socket is empty: only then is it sure that no end of stream hides behind the data. A loop knows
// that from its events, and may have to serve others first.
func (c *Conn) readAll(t *turn) (leave bool) {
	work, n := c.takeRest(t)
	ok := true
	c.fed = false
	if c.again {
		c.again = false
		if n > 0 {
			c.resumed.Store(false) // that is done with this: the next is another one
			n, ok = c.feed(t, work[:n])
		}
	}
	for sum := 0; ok; {
		if c.closing.Load() || c.paused.Load() {
			c.keepRest(work, n)
			return true
		}
		if c.resumed.CompareAndSwap(true, false) && n > 0 {
			// Paused and resumed before the reader had noticed.
			n, ok = c.feed(t, work[:n])
			continue
		}
		if c.poll != nil && !c.poll.mayRead() {
			c.keepRest(work, n)
			return false
		}
		if n == len(work) {
			if work = c.grow(work); work == nil {
				return true
			}
		}
		m, err := c.fill(t, work[n:min(len(work), n+c.poll.most(n))])
		if m > 0 {
			c.fed = true
			if n, ok = c.feed(t, work[:n+m]); !ok {
				break
			}
			if m > overlapFrom {
				t.batch.Flush()
			}
		}
		if err != nil {
			c.keepRest(work, n)
			return c.stopped(t, err)
		}
		if sum += max(m, overlapFrom); sum >= yieldAfter {
			sum = 0
			runtime.Gosched()
		}
	}
	c.keepRest(work, 0)
	return true
}

// feed hands p to the handler, moves what it left to the front of p and returns how much that is. False means that the
// connection is closing.
func (c *Conn) feed(t *turn, p []byte) (left int, ok bool) {
	c.rest.uncount() // a packet that is whole now is not to be counted here and where it is kept
	used, err := c.h.Feed(&t.batch, p)
	if err != nil {
		c.shut(err, true)
		return 0, false
	}
	if left = len(p) - used; left == 0 {
		return 0, true
	}
	if c.rest != nil {
		c.hold(c.rest, cap(c.rest.b)) // if that ends us, closing is set
	}
	if used > 0 {
		copy(p, p[used:])
	}
	return left, true
}

// stopped handles why fill brought no more.
func (c *Conn) stopped(t *turn, err error) (leave bool) {
	if errors.Is(err, errWouldBlock) {
		return false
	}
	t.batch.Flush()
	c.readFailed(err)
	return true
}

// readFailed ends the connection for a reader that can read no more. What is buffered is still sent: the peer may only
// have closed its half, and TLS or WebSocket may have to say what was wrong.
func (c *Conn) readFailed(err error) {
	c.eof = true
	if errors.Is(err, net.ErrClosed) {
		err = ErrClosed
	}
	c.shut(err, false)
}

// takeRest returns the buffer to read into and how many bytes at its front Feed has seen already.
func (c *Conn) takeRest(t *turn) (work []byte, n int) {
	r := c.rest
	if r == nil {
		return t.buf[:], 0
	}
	if len(r.b) > readChunk/2 {
		return r.b[:cap(r.b)], len(r.b)
	}
	n = copy(t.buf[:], r.b)
	c.rest = nil
	r.release()
	return t.buf[:], n
}

// keepRest keeps the first n bytes of work for the next turn. c.rest is work's owner, or nil when it is the turn's.
func (c *Conn) keepRest(work []byte, n int) {
	r := c.rest
	if n > readChunk/2 && r != nil {
		r.b = work[:n]
		return
	}
	c.rest = nil
	if n > 0 {
		c.rest = keepBytes(work[:n])
	}
	r.release()
	if c.rest != nil {
		c.hold(c.rest, cap(c.rest.b))
	}
}

// grow returns a larger buffer that begins with all of work, nil if there may be none and the connection ends. It
// doubles what has really arrived and never trusts a length that the peer claims.
func (c *Conn) grow(work []byte) []byte {
	size := min(2*len(work), c.opt.InLimit)
	if size <= len(work) {
		c.shut(ErrTooLarge, true)
		return nil
	}
	old := c.rest
	old.uncount() // it goes as soon as it is copied
	c.rest = &inbuf{}
	if !c.hold(c.rest, size) {
		old.release()
		return nil
	}
	b := make([]byte, size)
	copy(b, work)
	c.rest.b = b[:len(work)]
	old.release()
	return b
}

// finish is the end of the reader: the closing flush, Closed, the socket.
func (c *Conn) finish() {
	c.keepRest(nil, 0)
	c.mu.Lock()
	for !c.done {
		c.wait()
	}
	c.stopAlarm()
	err, linger := c.end.err, c.linger && !c.eof
	c.mu.Unlock()
	c.h.Closed(err)
	if linger && c.opt.Budget.mayLinger() {
		c.discard()
		c.opt.Budget.lingered()
	}
	_ = c.nc.Close()
	if e, ok := c.h.(Ender); ok {
		e.Ended()
	}
}

// discard reads until the peer has closed too. Closing with unread bytes would send a reset, and that can destroy what
// the peer has not read yet, the DISCONNECT or CONNACK that says why.
func (c *Conn) discard() {
	_ = c.nc.SetReadDeadline(time.Now().Add(c.opt.Linger))
	buf := make([]byte, 1<<10)
	for sum := 0; sum < lingerBytes; {
		n, err := c.nc.Read(buf)
		if err != nil {
			return
		}
		if sum += n; n == len(buf) && n < lingerChunk {
			buf = make([]byte, lingerChunk)
		}
	}
}
