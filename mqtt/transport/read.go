package transport

import (
	"errors"
	"io"
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
	left  int    // bytes that may still be read; only loops count them
}

// Shared by all connections; a pool holds no state.
var turns = sync.Pool{New: func() any { return new(turn) }}

// run is the reader: parked in the socket without a buffer until there is something to do.
func (c *Conn) run() {
	for !c.attend() {
		err := c.sock().park(c.turn)
		g := c.gor()
		switch {
		case err == nil && g.trim:
			g.trim, g.frame = false, 0
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
	g := c.gor()
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
		case c.state.has(isClosing):
			return true
		case c.unwritable() != nil && c.opt.Linger < 0:
			c.abort(c.work.end.werr)
		case c.work.isDrained():
			c.work.drained = false
			c.relax()
			c.mu.Unlock()
			t := turns.Get().(*turn)
			c.callDrained(&t.batch)
			t.batch.Flush()
			turns.Put(t)
			c.mu.Lock()
		case c.state.has(isPaused):
			c.reading.set(again)
			c.waitPaused()
		default:
			return false
		}
	}
}

// waitPaused is wait for the handler to resume, which it has not for ever if nothing can be written. mu is held.
func (c *Conn) waitPaused() {
	if c.unwritable() != nil {
		defer time.AfterFunc(c.opt.Linger, c.abortUnwritable).Stop()
	}
	c.wait()
}

// abortUnwritable is abort for why nothing can be written.
func (c *Conn) abortUnwritable() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abort(c.unwritable())
}

// wait parks the reader until signal. mu is held.
func (c *Conn) wait() {
	g := c.gor()
	if g.cond == nil {
		g.cond = sync.NewCond(&c.mu)
	}
	g.cond.Wait()
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
		_ = c.nc().SetReadDeadline(time.Time{})
	case c.work.end.last:
		c.abort(c.work.end.werr)
	default:
		c.work.end.last = true
		_ = c.nc().SetReadDeadline(time.Now().Add(c.opt.Linger))
	}
}

// turn reads what the socket holds and feeds it. It reports whether the reader has to leave the parked read.
func (c *Conn) turn() (leave bool) {
	g := c.gor()
	if g.frame == 0 {
		g.frame = uintptr(unsafe.Pointer(&leave))
	}
	t := turns.Get().(*turn)
	leave = c.readAll(t)
	t.batch.Flush()
	c.filt().parkLayers()
	turns.Put(t)
	if !leave && c.reading.has(fed) && c.tooDeep(uintptr(unsafe.Pointer(&leave))) {
		g.trim = true
		return true
	}
	return leave
}

// readAll reads until the socket is empty: only then is it sure that no end of stream hides behind the data. A loop knows
// that from its events, and may have to serve others first.
func (c *Conn) readAll(t *turn) (leave bool) {
	work, n := c.takeRest(t)
	p := c.poll()
	ok := true
	c.reading.unset(fed)
	if c.reading.has(again) {
		c.reading.unset(again)
		if n > 0 {
			c.state.unset(isResumed) // that is done with this: the next is another one
			n, ok = c.feed(t, work[:n])
		}
	}
	for sum := 0; ok; {
		if c.state.has(isClosing | isPaused) {
			c.keepRest(work, n)
			return true
		}
		if t.batch.Enough() {
			if n > 0 {
				c.reading.set(again)
			}
			c.keepRest(work, n)
			return false
		}
		if c.state.has(isResumed) && c.state.unset(isResumed) && n > 0 {
			// Paused and resumed before the reader had noticed.
			n, ok = c.feed(t, work[:n])
			continue
		}
		if p != nil && !p.mayRead(t) {
			c.keepRest(work, n)
			return false
		}
		if n == len(work) {
			if work = c.grow(work); work == nil {
				return true
			}
		}
		m, err := c.fill(t, work[n:min(len(work), n+p.most(t, n))])
		if m > 0 {
			c.reading.set(fed)
			if n, ok = c.feed(t, work[:n+m]); !ok {
				break
			}
			if m > overlapFrom {
				t.batch.overlap()
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
	c.rest().uncount() // a packet that is whole now is not to be counted here and where it is kept
	used, err := c.h.Feed(&t.batch, p)
	if err != nil {
		c.close(err, true)
		return 0, false
	}
	if left = len(p) - used; left == 0 {
		return 0, true
	}
	if r := c.rest(); r != nil {
		c.hold(r, cap(r.b)) // if that ends us, isClosing is set
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
	t.batch.overlap()
	c.readFailed(err)
	return true
}

// readFailed ends the connection for a reader that can read no more. What is buffered is still sent: the peer may only
// have closed its half, and TLS or WebSocket may have to say what was wrong.
func (c *Conn) readFailed(err error) {
	if errors.Is(err, net.ErrClosed) {
		err = ErrClosed
	}
	if err == io.EOF && c.filt() == nil && c.unanswered() { //nolint:errorlint // as it is
		return
	}
	c.mu.Lock()
	c.ends().eof = true
	c.closeLocked(err, false)
}

// unanswered pauses a connection whose peer still waits for answers, though it will send nothing more.
func (c *Conn) unanswered() bool {
	a, ok := c.h.(Answerer)
	if !ok || c.state.has(isClosing) {
		return false
	}
	c.Pause() // first: who answers may resume at once
	if a.Unanswered() {
		if p := c.poll(); p != nil {
			p.reading.set(readable | hup) // the end is read again, without an event
		}
		return true
	}
	c.Resume()
	return false
}

// rest returns the bytes that Feed left, nil when there are none. They are the reader's, though they are in work: that is
// sure to stay while they are there.
func (c *Conn) rest() *inbuf {
	if !c.reading.has(resting) {
		return nil
	}
	return c.work.rest
}

// setRest has rest return r.
func (c *Conn) setRest(r *inbuf) {
	if r == nil && !c.reading.has(resting) {
		return
	}
	c.mu.Lock()
	c.begin().rest = r
	if r == nil {
		c.reading.unset(resting)
		c.relax()
	} else {
		c.reading.set(resting)
	}
	c.mu.Unlock()
}

// takeRest returns the buffer to read into and how many bytes at its front Feed has seen already.
func (c *Conn) takeRest(t *turn) (work []byte, n int) {
	r := c.rest()
	if r == nil {
		return t.buf[:], 0
	}
	if len(r.b) > readChunk/2 {
		return r.b[:cap(r.b)], len(r.b)
	}
	n = copy(t.buf[:], r.b)
	c.setRest(nil)
	r.release()
	return t.buf[:], n
}

// keepRest keeps the first n bytes of work for the next turn. c.rest() is work's owner, or nil when it is the turn's.
func (c *Conn) keepRest(work []byte, n int) {
	r := c.rest()
	if n > readChunk/2 && r != nil {
		r.b = work[:n]
		return
	}
	var kept *inbuf
	if n > 0 {
		kept = keepBytes(work[:n])
	}
	c.setRest(kept)
	r.release()
	if kept != nil {
		c.hold(kept, cap(kept.b))
	}
}

// grow returns a larger buffer that begins with all of work, nil if there may be none and the connection ends. It
// doubles what has really arrived and never trusts a length that the peer claims.
func (c *Conn) grow(work []byte) []byte {
	size := min(2*len(work), c.opt.InLimit)
	if size <= len(work) {
		c.close(ErrTooLarge, true)
		return nil
	}
	old, larger := c.rest(), &inbuf{}
	old.uncount() // it goes as soon as it is copied
	c.setRest(larger)
	if !c.hold(larger, size) {
		old.release()
		return nil
	}
	b := make([]byte, size)
	copy(b, work)
	larger.b = b[:len(work)]
	old.release()
	return b
}

// finish is the end of the reader: the closing flush, Closed, the socket.
func (c *Conn) finish() {
	c.keepRest(nil, 0)
	c.mu.Lock()
	for !c.work.done {
		c.wait()
	}
	c.stopAlarm()
	end := c.work.end
	err, linger := end.err, c.work.linger && !end.eof
	c.mu.Unlock()
	c.h.Closed(err)
	if linger && c.opt.Budget.mayLinger() {
		c.discard()
		c.opt.Budget.lingered()
	}
	_ = c.nc().Close()
	if e, ok := c.h.(Ender); ok {
		e.Ended()
	}
}

// discard reads until the peer has closed too. Closing with unread bytes would send a reset, and that can destroy what
// the peer has not read yet, the DISCONNECT or CONNACK that says why.
func (c *Conn) discard() {
	nc := c.nc()
	_ = nc.SetReadDeadline(time.Now().Add(c.opt.Linger))
	buf := make([]byte, 1<<10)
	for sum := 0; sum < lingerBytes; {
		n, err := nc.Read(buf)
		if err != nil {
			return
		}
		if sum += n; n == len(buf) && n < lingerChunk {
			buf = make([]byte, lingerChunk)
		}
	}
}
