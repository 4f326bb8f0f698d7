package transport

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/gobwas/ws"
)

// farEnd is the other end of a fake socket.
type farEnd struct {
	fakeNet
	s    *fake
	read int
}

func (e *farEnd) Write(p []byte) (int, error) {
	if e.s.isClosed() {
		return 0, io.ErrClosedPipe
	}
	e.s.arrive(event{data: bytes.Clone(p)})
	return len(p), nil
}

func (e *farEnd) Read(p []byte) (int, error) {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	for e.read == len(e.s.out) {
		if e.s.closed || e.s.halfShut {
			return 0, io.EOF
		}
		e.s.cond.Wait()
	}
	n := copy(p, e.s.out[e.read:])
	e.read += n
	return n, nil
}

func (e *farEnd) Close() error { return nil }

func (e *farEnd) SetWriteDeadline(time.Time) error { return nil }

// gathering keeps what is written.
type gathering struct {
	net.Conn
	bytes.Buffer
}

func (g *gathering) Write(p []byte) (int, error) { return g.Buffer.Write(p) }
func (g *gathering) Read(p []byte) (int, error)  { return g.Conn.Read(p) }

// layered is a connection over a fake, with TLS, WebSocket or both between, and the client's end of it.
type layered struct {
	s    *fake
	c    *Conn
	wire *wiretap // what near writes to and reads from
	near *link
	log  string // the client's secrets
}

// layers is what there may be between.
type layers struct {
	name    string
	version uint16 // of TLS, 0: none
	ws      bool
}

var everyLayers = []layers{
	{"ws", 0, true}, {"TLS 1.2", tls.VersionTLS12, false}, {"TLS 1.3", tls.VersionTLS13, false}, {"wss", tls.VersionTLS13, true},
}

// layer makes the handshakes inside a synctest bubble.
func layer(t *testing.T, l layers, o Options, drive func(*fake, Options) *Conn) *layered {
	t.Helper()
	s := newFake()
	far := &link{Conn: s}
	n := &layered{s: s, wire: &wiretap{}, near: &link{}}
	if l.version != 0 {
		server, client := certs(t)
		server.SessionTicketsDisabled = true
		var keys bytes.Buffer
		client.ServerName, client.MaxVersion, client.KeyLogWriter = "localhost", l.version, &keys
		client.DynamicRecordSizingDisabled = true
		client.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		a, b := net.Pipe()
		n.wire.Conn, far.below = a, &tlsBelow{Conn: b}
		n.near.tls, far.tls = tls.Client(n.wire, client), tls.Server(far.below, server)
		done := make(chan error)
		go func() { done <- far.tls.HandshakeContext(t.Context()) }()
		check(t, n.near.tls.HandshakeContext(t.Context()))
		check(t, <-done)
		n.wire.suite, n.log = n.near.tls.ConnectionState().CipherSuite, keys.String()
	}
	n.wire.Conn = &farEnd{s: s}
	n.near.Conn = n.wire
	if l.ws {
		far.ws, n.near.ws = newWebSocket(ws.StateServerSide), newWebSocket(ws.StateClientSide)
	}
	n.c = drive(s, o)
	n.c.filt = far.detach(n.c)
	return n
}

// everyLayer runs f with each engine and all kinds of layers.
func everyLayer(t *testing.T, o Options, f func(t *testing.T, n *layered, r *recorder)) {
	for name, drive := range fakeEngines {
		for _, l := range everyLayers {
			t.Run(l.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := layer(t, l, o, drive)
					f(t, n, newRecorder())
					time.Sleep(2 * DefaultLinger)
					synctest.Wait()
					if !n.s.isClosed() {
						t.Error("the socket stays open")
					}
				})
			})
		}
	}
}

// gather returns what the client sends for what say writes.
func (n *layered) gather(say func()) []byte {
	g := &gathering{Conn: n.wire.Conn}
	n.wire.Conn = g
	say()
	n.wire.Conn = g.Conn
	return g.Bytes()
}

// What has come in one piece is fed at once, in pieces as large as the records, however much of the turn is left.
func TestRecordsAreNotCutUp(t *testing.T) {
	for name, drive := range fakeEngines {
		for _, less := range []int{0, 1, 6, 100} {
			t.Run(fmt.Sprint(name, " ", less), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := layer(t, layers{version: tls.VersionTLS13}, Options{}, drive)
					r := newRecorder()
					var feeds, copied int
					r.feed = func(_ *Batch, p []byte) (int, error) {
						feeds++
						if p := n.c.poll; p != nil && !within(n.c.filt.below.got, p.loop.turn.raw) {
							copied++
						}
						return len(p), nil
					}
					wire := n.gather(func() {
						for range 5 {
							_, _ = n.near.Write(make([]byte, 16<<10-22))
						}
					})[:readChunk-less]
					n.c.Start(r)
					synctest.Wait()
					n.s.arrive(event{data: wire})
					synctest.Wait()
					if feeds > 8 || copied > 0 {
						t.Errorf("%d calls of Feed, %d with ciphertext in a copy", feeds, copied)
					}
					n.c.Abort(nil)
					_ = r.end(t)
					synctest.Wait()
				})
			})
		}
	}
}

// within reports whether p lies in buf, or is empty.
func within(p, buf []byte) bool {
	at, from := uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(unsafe.Pointer(unsafe.SliceData(buf)))
	return len(p) == 0 || at >= from && at < from+uintptr(cap(buf))
}
