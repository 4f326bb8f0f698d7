package transport

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// flushAt is the size of an out-buffer that does not wait for the end of the turn.
const flushAt = 64 << 10

// Conn is one Network Connection. All methods may be called from any goroutine, also inside Feed, and never block.
//
// Most connections are idle most of the time, so this is what an idle one cannot do without, 80 bytes: what it has while
// something is under way is in work, and what not all of them have in extra.
type Conn struct {
	h     Handler
	opt   *Options
	extra *extra // nil for plain TCP in a loop; never changed once the Conn is made
	work  *work  // nil: nothing is under way; guarded by mu
	mu    sync.Mutex
	state state

	// Of a connection that a loop drives, see polled.
	fd     int32    // negative: it is closed
	seat   uint32   // in the loop
	peer   [16]byte // zero: see RemoteAddr
	port   uint16
	number uint8 // of the loop

	reading reading // the reader's own
}

// extra is what only some connections have.
type extra struct {
	filt *filters // nil for plain TCP and Unix sockets
	nc   net.Conn // below TLS and WebSocket; nil: the descriptor
	sock sock     // nil: the descriptor
	gor  *gor     // the portable engine, a goroutine; nil: a loop
	peer net.Addr // of a descriptor, if Conn has no room for it
}

// gor is what only the portable engine needs.
type gor struct {
	// Guarded by the Conn's mu.
	cond  *sync.Cond  // made when the reader first waits
	alarm *time.Timer // made when one is first set

	// Owned by the reader.
	frame    uintptr // where the first turn of this goroutine had its stack frame
	turns    uint32  // read turns so far
	lastTurn uint32  // Unix time of the last one
	trim     bool    // park on a new goroutine
}

// filt returns the layers, nil for a plain connection.
func (c *Conn) filt() *filters {
	if c.extra == nil {
		return nil
	}
	return c.extra.filt
}

// gor returns what the portable engine has, nil if a loop drives c.
func (c *Conn) gor() *gor {
	if c.extra == nil {
		return nil
	}
	return c.extra.gor
}

// poll returns what c is for its loop, nil if a goroutine drives it.
func (c *Conn) poll() *polled {
	if c.gor() != nil {
		return nil
	}
	return (*polled)(c)
}

// nc returns the net.Conn below TLS and WebSocket.
func (c *Conn) nc() net.Conn {
	if c.extra == nil || c.extra.nc == nil {
		return descriptorOf(c)
	}
	return c.extra.nc
}

// sock returns how the socket is reached.
func (c *Conn) sock() sock {
	if c.extra == nil || c.extra.sock == nil {
		return descriptorOf(c)
	}
	return c.extra.sock
}

// New prepares nc to be driven by a handler that [Conn.Start] is given, so that the handler can know its Conn first.
// The Conn owns nc from now on, which is of no use to anybody else any more. A connection that Dial or a Listener made is
// taken apart: its TLS and WebSocket layers are worked on bytes, between the socket and Feed. Any other net.Conn is read by
// a goroutine that blocks in Read.
func New(nc net.Conn, o Options) *Conn {
	if o.Loops != nil {
		return newConn(nc, o.Loops.share(o))
	}
	return newConn(nc, o.withDefaults())
}

func newConn(nc net.Conn, opt *Options) *Conn {
	l, layered := nc.(*link)
	if layered {
		nc = l.Conn
	}
	var c *Conn
	if opt.Loops != nil {
		c = takeOver(nc, opt)
	}
	if c == nil {
		c = newRead(nc, opt)
	}
	if layered {
		if c.extra == nil {
			c.extra = &extra{}
		}
		c.extra.filt = l.detach(c)
	}
	return c
}

// newReadBy returns a Conn over nc that a goroutine will read, which reaches the socket by s.
func newReadBy[S any, P interface {
	*S
	sock
}](nc net.Conn, opt *Options, s S) *Conn {
	g := &struct { // one object for the garbage collector
		c Conn
		x extra
		g gor
		s S
	}{s: s}
	g.c.opt, g.c.extra = opt, &g.x
	g.x.nc, g.x.sock, g.x.gor = nc, P(&g.s), &g.g
	return &g.c
}

// Start drives nc with h until it is closed.
func Start(nc net.Conn, h Handler, o Options) *Conn {
	c := New(nc, o)
	c.Start(h)
	return c
}

// Start begins to feed h. It must be called once.
func (c *Conn) Start(h Handler) {
	c.h = h
	c.mu.Lock()
	p := c.poll()
	if p != nil && !p.place() {
		err := c.work.end.err
		c.mu.Unlock()
		go c.over(err)
		return
	}
	c.state.set(isStarted)
	if p != nil {
		p.start()
	}
	c.mu.Unlock()
	if p == nil {
		go c.run()
	}
}

// over tells the handler that all is over, of a connection that found no loop.
func (c *Conn) over(err error) {
	c.h.Closed(err)
	if e, ok := c.h.(Ender); ok {
		e.Ended()
	}
}

// Append copies p to the out-buffer. It reports false, and takes nothing, when more than OutLimit waits there or the
// connection is closing. With a nil Batch it is sent at once.
func (c *Conn) Append(b *Batch, p []byte) bool {
	c.mu.Lock()
	w := c.room()
	if w == nil {
		c.mu.Unlock()
		return false
	}
	w.out.append(p)
	c.appended(b, w)
	return true
}

// AppendReply is Append for what answers the peer and cannot be left out. It is refused only to a peer that asks and
// does not read: when more than OutLimit of replies alone, or than 64 KiB above the Budget's high water, has gathered
// since the last were taken up for writing. To a peer that is gone it is taken and dropped: what that said before it went
// is still to be read.
func (c *Conn) AppendReply(b *Batch, p []byte) bool {
	c.mu.Lock()
	if c.shut() || c.work != nil && c.crowded(c.work.replies) {
		gone := !c.state.has(isClosing) && c.work.isBroken()
		c.mu.Unlock()
		return gone
	}
	w := c.open()
	w.replies += len(p)
	w.out.append(p)
	c.appended(b, w)
	return true
}

// Room reports whether Append would take a packet now. When not, Drained will be called once it would again.
func (c *Conn) Room() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shut() {
		return false
	}
	if c.crowded(c.buffered()) {
		c.begin().full = true
		return false
	}
	return true
}

// AppendShared appends head, which is copied, and body, which is referenced when it is 4 KiB or larger and must
// therefore never change.
func (c *Conn) AppendShared(b *Batch, head, body []byte) bool {
	c.mu.Lock()
	w := c.room()
	if w == nil {
		c.mu.Unlock()
		return false
	}
	w.out.append(head)
	if len(body) < shareFrom || c.filt().copies() {
		w.out.append(body)
	} else {
		w.out.share(body)
	}
	c.appended(b, w)
	return true
}

// shut reports whether nothing can be appended any more. mu is held.
func (c *Conn) shut() bool { return c.state.has(isClosing) || c.work.isBroken() }

// room returns c.work with an out-buffer if that takes another packet, else nil. mu is held.
func (c *Conn) room() *work {
	if c.shut() {
		return nil
	}
	if c.crowded(c.buffered()) {
		c.begin().full = true
		return nil
	}
	return c.open()
}

// appended sees to it that somebody flushes, and releases mu.
func (c *Conn) appended(b *Batch, w *work) {
	if b != nil {
		b.work++
	}
	switch {
	case w.flushing: // whoever flushes looks again before it stops
		if w.blocked {
			c.count()
		}
		c.mu.Unlock()
	case b == nil || w.out.left >= flushAt && b.direct(w.out):
		w.flushing = true
		c.drain()
	case w.dirty && !b.heavy:
		c.mu.Unlock()
	default:
		b.collect(c, w)
		c.mu.Unlock()
	}
}

// buffered is what waits to be sent. mu is held.
func (c *Conn) buffered() int {
	n := c.filt().buffered()
	if w := c.work; w != nil {
		if w.out != nil {
			n += w.out.left
		}
		if w.cur != nil {
			n += w.cur.left
		}
	}
	return n
}

// Buffered returns how many bytes wait to be sent.
func (c *Conn) Buffered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buffered()
}

// Pause stops reading after the current Feed, so that the peer is held back by TCP. While paused the end of the
// connection is only noticed by writing.
func (c *Conn) Pause() {
	c.mu.Lock()
	c.state.set(isPaused)
	c.mu.Unlock()
}

// Resume reads on. What Feed left unconsumed is presented first.
func (c *Conn) Resume() {
	c.mu.Lock()
	c.state.set(isResumed) // first: who sees isPaused fall may rely on it
	c.state.unset(isPaused)
	c.signal()
	c.mu.Unlock()
}

// Close sends what is buffered, in at most CloseTimeout, and closes; Closed is then called with err (ErrClosed for nil).
// Nothing is fed any more. The first reason given stays.
func (c *Conn) Close(err error) {
	c.close(err, true)
}

// Abort closes at once and drops what is buffered.
func (c *Conn) Abort(err error) {
	c.mu.Lock()
	c.abort(err)
	c.mu.Unlock()
}

// CloseWith is Close with last behind what is buffered, whatever waits there already, and nothing behind last: no other
// goroutine can append between the two.
func (c *Conn) CloseWith(last []byte, err error) {
	c.mu.Lock()
	if len(last) > 0 && !c.shut() {
		c.open().out.append(last)
	}
	c.closeLocked(err, true)
}

// close begins the closing flush; linger keeps the socket half open behind it.
func (c *Conn) close(err error, linger bool) {
	c.mu.Lock()
	c.closeLocked(err, linger)
}

// closeLocked is close with mu held, which it releases.
func (c *Conn) closeLocked(err error, linger bool) {
	if c.state.has(isClosing) {
		c.mu.Unlock()
		return
	}
	c.reason(err)
	w := c.work
	w.linger = linger && c.opt.Linger > 0
	w.end.closeAt = time.Now().Add(c.opt.CloseTimeout)
	if w.flushing {
		// The writer takes it from here; if it is blocked, it must not wait longer than this.
		if p := c.poll(); p != nil {
			p.hurry()
		} else {
			_ = c.nc().SetWriteDeadline(w.end.closeAt)
		}
		c.mu.Unlock()
		return
	}
	w.flushing = true
	c.drain()
}

// abort is Abort with mu held.
func (c *Conn) abort(err error) {
	if c.work.isDone() {
		return
	}
	c.reason(err)
	w, p := c.work, c.poll()
	w.broken, w.linger = true, false
	if p != nil {
		p.unpark()
	}
	if !w.flushing {
		c.drop()
	}
	c.ended()
	if p == nil {
		// Not Close: on a descriptor it would wait for the reader, who may be in a Feed, or be the caller.
		_ = c.nc().SetDeadline(longAgo())
	}
}

// reason notes why the connection closes. There is work with an end from then on. mu is held.
func (c *Conn) reason(err error) {
	if err == nil {
		err = ErrClosed
	}
	if e := c.ends(); e.err == nil {
		e.err = err
	}
	c.state.set(isClosing)
}

// signal wakes a reader that waits on cond, or for its turn in a loop. mu is held.
func (c *Conn) signal() {
	if p := c.poll(); p != nil {
		p.post()
	} else if cond := c.gor().cond; cond != nil {
		cond.Broadcast()
	}
}

// wake makes the reader leave the socket and look at the flags. mu is held.
func (c *Conn) wake() {
	c.signal()
	if c.poll() == nil {
		_ = c.nc().SetReadDeadline(longAgo())
	}
}

// longAgo is a deadline that has passed.
func longAgo() time.Time { return time.Unix(1, 0) }

// Unread reports whether the socket has brought something that the reader has not read: bytes, or the end of the stream. It
// is false once the connection closes, and where that cannot be told: only of a socket of a Unix system's it can.
func (c *Conn) Unread() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.state.has(isClosing) && c.sock().unread()
}

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc().RemoteAddr() }

// LocalAddr returns our own address.
func (c *Conn) LocalAddr() net.Addr { return c.nc().LocalAddr() }

// TLS returns what the TLS handshake agreed on, nil without TLS.
func (c *Conn) TLS() *tls.ConnectionState {
	if f := c.filt(); f != nil && f.tls != nil {
		s := f.tls.ConnectionState()
		return &s
	}
	if t, ok := c.nc().(*tls.Conn); ok {
		s := t.ConnectionState()
		return &s
	}
	return nil
}

// HandshakeTime is how long ago a Listener had accepted the connection when its handshakes were done and it was handed
// out; 0 where there were none.
func (c *Conn) HandshakeTime() time.Duration {
	if f := c.filt(); f != nil {
		return f.took
	}
	return 0
}
