package transport

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// link is a net.Conn with TLS, WebSocket or both on top of a socket, handshakes done. It can be read and written like
// any other; New takes it apart.
type link struct {
	net.Conn // the socket
	tls      *tls.Conn
	below    *tlsBelow // what tls reads and writes
	ws       *webSocket
	pre      []byte        // bytes behind the WebSocket handshake
	took     time.Duration // of a Listener: the handshakes

	wmu sync.Mutex
}

// belowWS is what WebSocket stands on.
func (l *link) belowWS() net.Conn {
	if l.tls != nil {
		return l.tls
	}
	return l.Conn
}

// Read reads what the frames hold.
func (l *link) Read(p []byte) (int, error) {
	for {
		n := copy(p, l.pre)
		var err error
		if l.pre = l.pre[n:]; n == 0 {
			n, err = l.belowWS().Read(p)
		}
		if l.ws == nil || n == 0 {
			return n, err
		}
		n, werr := l.ws.decode(p[:n])
		if len(l.ws.say) > 0 {
			l.wmu.Lock()
			_, rerr := l.belowWS().Write(l.ws.say)
			l.ws.say = l.ws.say[:0]
			l.wmu.Unlock()
			werr = cmp.Or(werr, rerr)
		}
		if err = cmp.Or(werr, err); n > 0 || err != nil {
			return n, err
		}
	}
}

// Write writes p as one frame.
func (l *link) Write(p []byte) (int, error) {
	if l.ws == nil {
		return l.belowWS().Write(p)
	}
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if _, err := l.belowWS().Write(l.ws.appendFrame(&l.ws.writing, nil, ws.OpBinary, p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close closes the socket; TLS says so first.
func (l *link) Close() error {
	if l.tls != nil {
		return l.tls.Close()
	}
	return l.Conn.Close()
}

// detach hands the layers over to c.
func (l *link) detach(c *Conn) *filters {
	f := &filters{tls: l.tls, below: l.below, ws: l.ws, pre: l.pre, took: l.took}
	if l.below != nil {
		l.below.c, l.below.Conn = c, c.nc()
	}
	return f
}

// tlsAnswers is how many bytes TLS may have unsent of what nobody gave it to send.
const tlsAnswers = 4 << 10

// tlsSilent is how much ciphertext may bring no plaintext: the largest record, and a little. It is collected by crypto/tls,
// which would take 64 KiB of a message of the handshake that never ends; behind it none is that long.
const tlsSilent = 20 << 10

var errTLSSilent = errors.New("transport: TLS records without data")

// filters are the layers between the socket and Feed. A nil *filters is a plain connection.
type filters struct {
	tls      *tls.Conn
	below    *tlsBelow
	ws       *webSocket
	pre      []byte
	dry      bool    // crypto/tls has nothing left; asking it would only make the stack grow
	silent   int     // bytes of ciphertext since the last plaintext
	wire     *outbuf // ciphertext; guarded by the Conn's mu
	encoding bool    // TLS is given something to send; guarded by mu
	answers  int     // bytes in wire that TLS wrote on its own while it read; guarded by mu
	farewell bool    // the Close frame and close_notify are written
	took     time.Duration
}

func (f *filters) copies() bool { return f != nil }
func (f *filters) reserve() int {
	if f == nil || f.ws == nil {
		return 0
	}
	return wsReserve
}

// holds reports whether the layers may bring something without the socket.
func (f *filters) holds() bool { return f != nil && (len(f.pre) > 0 || f.tls != nil && !f.dry) }

func (f *filters) buffered() int {
	if f == nil || f.wire == nil {
		return 0
	}
	return f.wire.left
}

func (f *filters) drop() {
	if f != nil && f.wire != nil {
		f.wire.release()
		f.wire = nil
	}
}

// tlsBelow is the socket as crypto/tls sees it: itself while the handshake lasts, later the bytes of the current turn
// and the Conn's out-buffer. It never blocks then.
type tlsBelow struct {
	net.Conn
	c   *Conn
	got []byte // ciphertext not yet taken
	own bool   // got is a copy, not in the buffer of a turn
	err error  // what comes behind it
}

func (b *tlsBelow) Read(p []byte) (int, error) {
	if b.c == nil {
		return b.Conn.Read(p)
	}
	if len(b.got) > 0 {
		n := copy(p, b.got)
		b.got = b.got[n:]
		return n, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	return 0, errWouldBlock
}

func (b *tlsBelow) Write(p []byte) (int, error) {
	if b.c == nil {
		return b.Conn.Write(p)
	}
	c := b.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.work.isBroken() {
		return 0, ErrClosed
	}
	f := c.filt()
	if !f.encoding {
		// Answers to KeyUpdate, and alerts. A peer that asks for them and does not read gets no more than this.
		if f.answers += len(p); f.answers > tlsAnswers {
			c.abort(ErrSlowConsumer)
			return 0, ErrClosed
		}
	}
	if f.wire == nil {
		f.wire = newOutbuf(0)
	}
	f.wire.append(p)
	return len(p), nil
}

// Close and the deadlines belong to the Conn once it drives the socket.

func (b *tlsBelow) Close() error {
	if b.c == nil {
		return b.Conn.Close()
	}
	return nil
}

func (b *tlsBelow) SetDeadline(t time.Time) error {
	if b.c == nil {
		return b.Conn.SetDeadline(t)
	}
	return nil
}

func (b *tlsBelow) SetReadDeadline(t time.Time) error {
	if b.c == nil {
		return b.Conn.SetReadDeadline(t)
	}
	return nil
}

func (b *tlsBelow) SetWriteDeadline(t time.Time) error {
	if b.c == nil {
		return b.Conn.SetWriteDeadline(t)
	}
	return nil
}

// fill reads into p what the layers let through. It never blocks. No bytes and no error means that what came was for the
// layers alone, and there may be more.
func (c *Conn) fill(t *turn, p []byte) (int, error) {
	f := c.filt()
	if f == nil {
		return c.fillBare(t, p)
	}
	n, err := c.fillBelow(f, t, p)
	if f.ws != nil && n > 0 {
		var werr error
		n, werr = f.ws.decode(p[:n])
		err = cmp.Or(werr, err)
		c.wsReply(f.ws, werr != nil)
	}
	return n, err
}

// fillBare reads the socket itself.
func (c *Conn) fillBare(t *turn, p []byte) (int, error) {
	n, err := c.sock().read(p)
	if l := c.poll(); l != nil {
		l.wasRead(t, n, len(p), err)
	}
	return n, err
}

// fillBelow is fill below WebSocket.
func (c *Conn) fillBelow(f *filters, t *turn, p []byte) (int, error) {
	if len(f.pre) > 0 {
		n := copy(p, f.pre)
		if f.pre = f.pre[n:]; len(f.pre) == 0 {
			f.pre = nil
		}
		return n, nil
	}
	if f.tls == nil {
		return c.fillBare(t, p)
	}
	for {
		if !f.dry {
			n, err := f.tls.Read(p)
			if f.dry = errors.Is(err, errWouldBlock); f.dry && n > 0 {
				err = nil
			}
			if n > 0 || !f.dry {
				f.silent = 0
				return n, err
			}
			if f.silent > tlsSilent {
				return 0, errTLSSilent
			}
		}
		if t.raw == nil {
			t.raw = make([]byte, readChunk)
		}
		m, err := 0, errWouldBlock
		if l := c.poll(); l == nil {
			m, err = c.fillBare(t, t.raw)
		} else if l.mayReadSocket(t) {
			m, err = c.fillBare(t, t.raw[:min(len(t.raw), t.left)])
		}
		if errors.Is(err, errWouldBlock) {
			c.flushWire()
			return 0, err
		}
		f.silent += m
		f.below.got, f.below.own, f.below.err, f.dry = t.raw[:m], false, err, false
	}
}

// flushWire sends what crypto/tls wrote on its own while reading.
func (c *Conn) flushWire() {
	c.mu.Lock()
	if c.filt().wire == nil {
		c.mu.Unlock()
		return
	}
	c.drainUnless()
}

// wsReply hands the replies that decode made to whoever writes.
func (c *Conn) wsReply(w *webSocket, closed bool) {
	if len(w.say) == 0 {
		return
	}
	c.mu.Lock()
	// A peer that sends pings and does not read gets no more pongs than this, but always the Close frame.
	if closed || len(w.reply) < wsReplies {
		w.reply = append(w.reply, w.say...)
	}
	w.say = w.say[:0]
	w.closeSent = w.closeSent || closed
	if closed {
		// What came before a Close frame is fed first; its answers and our own Close leave when the connection closes.
		c.mu.Unlock()
		return
	}
	c.drainUnless()
}

// encode takes what was appended through the layers, towards cur. It reports false when there was nothing. mu is held,
// and released while TLS works.
func (c *Conn) encode() bool {
	f, w := c.filt(), c.work
	if f.wire != nil {
		w.cur, f.wire, f.answers = f.wire, nil, 0
		return true
	}
	o, bye := c.plain()
	if o == nil && (!bye || f.tls == nil) {
		return false
	}
	if f.tls == nil {
		w.cur = o
		return true
	}
	f.encoding = true
	c.mu.Unlock()
	var err error
	if o != nil {
		_, err = f.tls.Write(o.b[o.pos:])
		o.release()
	}
	if bye && err == nil {
		err = f.tls.CloseWrite()
	}
	c.mu.Lock()
	f.encoding = false
	if err != nil {
		c.failWrite(err)
	}
	return true
}

// plain returns what TLS, or the socket, has to send next: WebSocket replies before data, but a Close frame after all
// data, when the connection closes. bye says that nothing comes after it. mu is held.
func (c *Conn) plain() (o *outbuf, bye bool) {
	f, out, end := c.filt(), c.work.out, c.state.has(isClosing)
	w := f.ws
	switch {
	case w != nil && len(w.reply) > 0 && (!w.closeSent || (end && out == nil)):
		o = newOutbuf(0)
		o.append(w.reply)
		w.reply = w.reply[:0]
	case out != nil:
		o, c.work.out, c.work.replies = out, nil, 0
		if w != nil {
			w.seal(o)
		}
	case end && !f.farewell:
		f.farewell, bye = true, true
		if w != nil && !w.closeSent {
			o = newOutbuf(0)
			o.append(w.appendFrame(&w.writing, nil, ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
		}
	}
	return o, bye
}

// parkLayers keeps the ciphertext that crypto/tls has not taken: its buffer goes back to the pool.
func (f *filters) parkLayers() {
	if f == nil || f.below == nil {
		return
	}
	b := f.below
	switch {
	case len(b.got) == 0:
		b.got = nil // it would keep the buffer
	case !b.own:
		b.got, b.own = bytes.Clone(b.got), true
	}
}
