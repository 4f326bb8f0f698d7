package transport

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// flushAt is the size of an out-buffer that does not wait for the end of the turn.
const flushAt = 64 << 10

// Conn is one Network Connection. All methods may be called from any goroutine, also inside Feed, and never block.
type Conn struct {
	nc   net.Conn // below TLS and WebSocket
	sock sock
	h    Handler
	opt  *Options
	filt *filters // nil for plain TCP and Unix sockets
	poll *polled  // nil: the portable engine, a goroutine
	gor  *gor     // of that

	in, sum atomic.Uint64
	closing atomic.Bool // nothing is fed any more; set with mu held
	paused  atomic.Bool // set with mu held
	resumed atomic.Bool // rest is to be presented again

	mu       sync.Mutex // guards what follows, but for what the reader owns
	counted  int32      // on the budget, in grains
	replies  int        // bytes of AppendReply in out
	out      *outbuf    // appended, nil when clean
	cur      *outbuf    // being written by whoever set flushing
	end      *ending    // nil before it begins to close, and nothing went wrong
	dirty    bool       // some batch owes a flush
	blocked  bool       // that goroutine waits for the socket
	flushing bool       // one goroutine writes; the others leave their bytes to it
	full     bool       // an Append was refused
	drained  bool       // Drained is due
	broken   bool       // what is buffered is dropped
	done     bool       // the closing flush is over
	started  bool
	linger   bool // half close, then wait for the peer

	// Owned by the reader.
	again bool   // rest must be presented without waiting for more
	eof   bool   // the peer will send nothing more
	fed   bool   // this turn
	trim  bool   // park on a new goroutine
	last  bool   // nothing can be written, the reader reads on for a moment
	rest  *inbuf // bytes that Feed left; nil when there are none
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
}

// ending is how a connection ends.
type ending struct {
	err     error     // why it closes
	werr    error     // why nothing can be written any more
	closeAt time.Time // end of a closing flush
}

// ends returns c.end, made now if there was none. mu is held.
func (c *Conn) ends() *ending {
	if c.end == nil {
		c.end = &ending{}
	}
	return c.end
}

// unwritable is why nothing can be written any more, nil if it can. mu is held.
func (c *Conn) unwritable() error {
	if c.end == nil {
		return nil
	}
	return c.end.werr
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
		g := &struct {
			Conn
			gor
		}{Conn: Conn{nc: nc, opt: opt, sock: newSock(nc)}}
		c = &g.Conn
		c.gor = &g.gor
	}
	if layered {
		c.filt = l.detach(c)
	}
	return c
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
	c.started = true
	byLoop := c.poll != nil && c.poll.start()
	c.mu.Unlock()
	if !byLoop {
		if c.gor == nil { // there is no loop
			c.gor = &gor{}
		}
		go c.run()
	}
}

// Append copies p to the out-buffer. It reports false, and takes nothing, when more than OutLimit waits there or the
// connection is closing. With a nil Batch it is sent at once.
func (c *Conn) Append(b *Batch, p []byte) bool {
	c.mu.Lock()
	o := c.room()
	if o == nil {
		c.mu.Unlock()
		return false
	}
	o.append(p)
	c.appended(b, o)
	return true
}

// AppendReply is Append for what answers the peer and cannot be left out. It is refused only to a peer that asks and
// does not read: when more than OutLimit of replies alone, or than 64 KiB above the Budget's high water, has gathered
// since the last were taken up for writing.
func (c *Conn) AppendReply(b *Batch, p []byte) bool {
	c.mu.Lock()
	if c.broken || c.closing.Load() || c.crowded(c.replies) {
		c.mu.Unlock()
		return false
	}
	c.replies += len(p)
	o := c.open()
	o.append(p)
	c.appended(b, o)
	return true
}

// Room reports whether Append would take a packet now. When not, Drained will be called once it would again.
func (c *Conn) Room() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken || c.closing.Load() {
		return false
	}
	if c.crowded(c.buffered()) {
		c.full = true
		return false
	}
	return true
}

// AppendShared appends head, which is copied, and body, which is referenced when it is 4 KiB or larger and must
// therefore never change.
func (c *Conn) AppendShared(b *Batch, head, body []byte) bool {
	c.mu.Lock()
	o := c.room()
	if o == nil {
		c.mu.Unlock()
		return false
	}
	o.append(head)
	if len(body) < shareFrom || c.filt.copies() {
		o.append(body)
	} else {
		o.share(body)
	}
	c.appended(b, o)
	return true
}

// room returns the out-buffer if it takes another packet. mu is held.
func (c *Conn) room() *outbuf {
	if c.broken || c.closing.Load() {
		return nil
	}
	if c.crowded(c.buffered()) {
		c.full = true
		return nil
	}
	return c.open()
}

// open returns the out-buffer. mu is held.
func (c *Conn) open() *outbuf {
	if c.out == nil {
		c.out = newOutbuf(c.filt.reserve())
	}
	return c.out
}

// appended sees to it that somebody flushes, and releases mu.
func (c *Conn) appended(b *Batch, o *outbuf) {
	switch {
	case c.flushing: // whoever flushes looks again before it stops
		if c.blocked {
			c.count()
		}
		c.mu.Unlock()
	case b == nil || o.left >= flushAt:
		c.flushing = true
		c.drain()
	case c.dirty:
		c.mu.Unlock()
	default:
		c.dirty = true
		c.mu.Unlock()
		b.dirty = append(b.dirty, c)
	}
}

// buffered is what waits to be sent. mu is held.
func (c *Conn) buffered() int {
	n := c.filt.buffered()
	if c.out != nil {
		n += c.out.left
	}
	if c.cur != nil {
		n += c.cur.left
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
	c.paused.Store(true)
	c.mu.Unlock()
}

// Resume reads on. What Feed left unconsumed is presented first.
func (c *Conn) Resume() {
	c.mu.Lock()
	c.resumed.Store(true) // first: who sees paused fall may rely on it
	c.paused.Store(false)
	c.signal()
	c.mu.Unlock()
}

// Close sends what is buffered, in at most CloseTimeout, and closes; Closed is then called with err (ErrClosed for nil).
// Nothing is fed any more. The first reason given stays.
func (c *Conn) Close(err error) {
	c.shut(err, true)
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
	if len(last) > 0 && !c.broken && !c.closing.Load() {
		c.open().append(last)
	}
	c.shutLocked(err, true)
}

// shut begins the closing flush; linger keeps the socket half open behind it.
func (c *Conn) shut(err error, linger bool) {
	c.mu.Lock()
	c.shutLocked(err, linger)
}

// shutLocked is shut with mu held, which it releases.
func (c *Conn) shutLocked(err error, linger bool) {
	if c.closing.Load() {
		c.mu.Unlock()
		return
	}
	c.reason(err)
	c.linger = linger && c.opt.Linger > 0
	c.end.closeAt = time.Now().Add(c.opt.CloseTimeout)
	if c.flushing {
		// The writer takes it from here; if it is blocked, it must not wait longer than this.
		if c.poll != nil {
			c.poll.hurry()
		} else {
			_ = c.nc.SetWriteDeadline(c.end.closeAt)
		}
		c.mu.Unlock()
		return
	}
	c.flushing = true
	c.drain()
}

// abort is Abort with mu held.
func (c *Conn) abort(err error) {
	if c.done {
		return
	}
	c.reason(err)
	c.broken = true
	c.linger = false
	if c.poll != nil {
		c.poll.unpark()
	}
	if !c.flushing {
		c.drop()
	}
	c.ended()
	if c.poll == nil {
		// Not Close: on a descriptor it would wait for the reader, who may be in a Feed, or be the caller.
		_ = c.nc.SetDeadline(longAgo())
	}
}

// reason notes why the connection closes. mu is held.
func (c *Conn) reason(err error) {
	if err == nil {
		err = ErrClosed
	}
	if e := c.ends(); e.err == nil {
		e.err = err
	}
	c.closing.Store(true)
}

// signal wakes a reader that waits on cond, or for its turn in a loop. mu is held.
func (c *Conn) signal() {
	switch {
	case c.poll != nil:
		c.poll.post()
	case c.gor != nil && c.gor.cond != nil:
		c.gor.cond.Broadcast()
	}
}

// wake makes the reader leave the socket and look at the flags. mu is held.
func (c *Conn) wake() {
	c.signal()
	if c.poll == nil {
		_ = c.nc.SetReadDeadline(longAgo())
	}
}

// longAgo is a deadline that has passed.
func longAgo() time.Time { return time.Unix(1, 0) }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// LocalAddr returns our own address.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// TLS returns what the TLS handshake agreed on, nil without TLS.
func (c *Conn) TLS() *tls.ConnectionState {
	if c.filt == nil || c.filt.tls == nil {
		if t, ok := c.nc.(*tls.Conn); ok {
			s := t.ConnectionState()
			return &s
		}
		return nil
	}
	s := c.filt.tls.ConnectionState()
	return &s
}

// HandshakeTime is how long ago a Listener had accepted the connection when its handshakes were done and it was handed
// out; 0 where there were none.
func (c *Conn) HandshakeTime() time.Duration {
	if c.filt == nil {
		return 0
	}
	return c.filt.took
}

// Stats returns the bytes read and written so far.
func (c *Conn) Stats() Stats {
	return Stats{In: c.in.Load(), Out: c.sum.Load()}
}
