package transport

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
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
	n.c.extra.filt = far.detach(n.c)
	return n
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
						if p := n.c.poll(); p != nil && !within(n.c.filt().below.got, p.loop().turn.raw) {
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

// piecemeal brings wire in to the socket in pieces from a byte to more than a turn reads, and pauses and resumes meanwhile.
func piecemeal(n *layered, wire []byte, rnd *rand.Rand) {
	for len(wire) > 0 {
		size := 1 + rnd.IntN([]int{1, 100, 5000, 30_000, 200_000}[rnd.IntN(5)])
		p := wire[:min(len(wire), size)]
		wire = wire[len(p):]
		n.s.arrive(event{data: bytes.Clone(p)})
		switch rnd.IntN(6) {
		case 0:
			n.s.arrive(event{})
		case 1:
			n.c.Pause()
		case 2:
			time.Sleep(time.Millisecond)
		case 3:
			n.c.Pause()
			time.Sleep(time.Millisecond)
		}
		n.c.Resume()
	}
}

// ways are how a connection may end behind all that was sent, and what Closed is told, nil: something.
var ways = []struct {
	name string
	end  func(n *layered)
	err  error
}{
	{"FIN", func(n *layered) { n.s.arrive(event{err: io.EOF}) }, io.EOF},
	{"farewell", func(n *layered) {
		if n.near.ws != nil {
			_, _ = n.near.belowWS().Write(frame(ws.OpClose, true, true, "\x03\xe8"))
		} else {
			_ = n.near.tls.CloseWrite()
		}
	}, io.EOF},
	{"cut", func(n *layered) {
		wire := n.gather(func() { _, _ = n.near.Write(make([]byte, 1000)) })
		n.s.arrive(event{data: wire[:len(wire)/2], err: io.EOF})
	}, nil},
	{"Close", func(n *layered) { n.c.Close(errTest) }, errTest},
	{"Abort", func(n *layered) { n.c.Abort(errTest) }, errTest},
}

// Whatever pieces the socket takes and brings them in, paused or not, all bytes come through the layers, and the end behind them.
func TestRandomSchedulesOfLayers(t *testing.T) {
	for name, drive := range fakeEngines {
		for _, l := range everyLayers {
			t.Run(l.name+"/"+name, func(t *testing.T) {
				for seed := range uint64(2 * len(ways)) {
					synctest.Test(t, func(t *testing.T) {
						rnd := rand.New(rand.NewPCG(seed, 3))
						n := layer(t, l, Options{OutLimit: 1 << (10 + rnd.IntN(10)), StallTimeout: -1}, drive)
						layersAtRandom(t, n, rnd, seed)
					})
				}
			})
		}
	}
}

func layersAtRandom(t *testing.T, n *layered, rnd *rand.Rand, seed uint64) {
	const senders, count = 3, 60
	r := newRecorder()
	next := map[uint16]uint32{}
	r.feed = func(_ *Batch, p []byte) (int, error) {
		k, err := stressRead(p, next)
		if len(p)%5 == 0 && k > 0 {
			n.c.Pause()
			time.AfterFunc(time.Microsecond, n.c.Resume)
		}
		return k, err
	}
	wire := n.gather(func() {
		for seq := range uint32(100) {
			_, _ = n.near.Write(stressPacket(9, seq, rnd.IntN([]int{50, 2000, 40_000}[rnd.IntN(3)])))
			if n.near.ws != nil && seq%9 == 0 {
				_, _ = n.near.belowWS().Write(frame(ws.OpPing, true, true, "are you there"))
			}
		}
	})
	got, ended := map[uint16]uint32{}, make(chan error, 1)
	go func() { ended <- n.receive(got) }()
	n.s.set(func() { n.s.room = 0 })
	n.c.Start(r)
	var wg sync.WaitGroup
	for who := range uint16(senders) {
		rnd := rand.New(rand.NewPCG(seed, uint64(who)+5))
		wg.Go(func() { stressSend(n.c, who, count, rnd) })
	}
	arriving := rand.New(rand.NewPCG(seed, 99))
	wg.Go(func() { piecemeal(n, wire, arriving) })
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for open := true; open; {
		n.s.set(func() { n.s.room, n.s.short = rnd.IntN(9000), rnd.IntN(5000) })
		time.Sleep(time.Duration(rnd.IntN(3)) * time.Millisecond)
		select {
		case <-done:
			open = false
		default:
		}
	}
	n.s.set(func() { n.s.room, n.s.short = -1, 0 })
	time.Sleep(time.Second)
	synctest.Wait()
	if next[9] != 100 {
		t.Errorf("seed %d: fed %d packets", seed, next[9])
	}
	way := ways[seed%uint64(len(ways))]
	way.end(n)
	if err := r.end(t); way.err != nil && !errors.Is(err, way.err) {
		t.Errorf("seed %d: %s: Closed(%v)", seed, way.name, err)
	}
	time.Sleep(2 * DefaultLinger)
	synctest.Wait()
	if err := <-ended; !errors.Is(err, io.EOF) && way.name != "Abort" && way.name != "cut" {
		t.Errorf("seed %d: %s: the client's end: %v", seed, way.name, err)
	}
	for who := range uint16(senders) {
		if got[who] != count {
			t.Errorf("seed %d: sender %d: %d packets", seed, who, got[who])
		}
	}
	if !n.s.isClosed() {
		t.Errorf("seed %d: %s: the socket stays open", seed, way.name)
	}
}

// receive reads what the client gets to its end.
func (n *layered) receive(next map[uint16]uint32) error {
	var have []byte
	buf := make([]byte, 8<<10)
	for {
		k, err := n.near.Read(buf)
		have = append(have, buf[:k]...)
		used, rerr := stressRead(have, next)
		have = have[used:]
		if err = cmp.Or(rerr, err); err != nil {
			return err
		}
	}
}

// A peer that vanishes or closes while reading is paused, with bytes in the layers, takes nothing of them away, and who resumes
// is fed them to the end.
func TestPausedWithBytesInTheLayers(t *testing.T) {
	for name, drive := range fakeEngines {
		for _, l := range everyLayers {
			for _, hangUp := range []error{nil, io.EOF, syscall.ECONNRESET} {
				t.Run(fmt.Sprint(l.name, "/", name, "/", hangUp), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { pausedWithBytes(t, layer(t, l, Options{}, drive), hangUp) })
				})
			}
		}
	}
}

func pausedWithBytes(t *testing.T, n *layered, hangUp error) {
	const each, count = 1000, 50
	r := newRecorder()
	fed := 0
	r.feed = func(_ *Batch, p []byte) (int, error) { // a packet, then a rest
		n.c.Pause()
		if len(p) < each {
			return 0, nil
		}
		fed++
		return each, nil
	}
	wire := n.gather(func() {
		for range count {
			_, _ = n.near.Write(make([]byte, each))
		}
	})
	n.c.Start(r)
	n.s.arrive(event{data: wire, err: hangUp})
	for range 4 * count {
		synctest.Wait()
		n.c.Resume()
	}
	synctest.Wait()
	if fed != count {
		t.Errorf("fed %d packets", fed)
	}
	want := hangUp
	if hangUp == nil {
		want = errTest
		n.c.Close(errTest)
	}
	if err := r.end(t); !errors.Is(err, want) {
		t.Errorf("Closed(%v)", err)
	}
	time.Sleep(2 * DefaultLinger)
	synctest.Wait()
}

// Who closes with bytes in the layers, or still to be sent, is neither fed nor held up by them.
func TestCloseWithBytesInTheLayers(t *testing.T) {
	for name, drive := range fakeEngines {
		for _, l := range everyLayers {
			for _, room := range []int{-1, 0, 500} {
				t.Run(fmt.Sprint(l.name, "/", name, "/", room), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { closeWithBytes(t, layer(t, l, Options{}, drive), room) })
				})
			}
		}
	}
}

func closeWithBytes(t *testing.T, n *layered, room int) {
	r := newRecorder()
	fed := 0
	r.feed = func(b *Batch, p []byte) (int, error) {
		fed++
		n.c.Append(b, make([]byte, 1000))
		n.c.Close(errTest)
		return len(p), nil
	}
	wire := n.gather(func() {
		for range 20 {
			_, _ = n.near.Write(make([]byte, 10_000))
		}
	})
	got := make(chan int, 1)
	go func() {
		all, _ := io.ReadAll(n.near)
		got <- len(all)
	}()
	n.s.set(func() { n.s.room = room })
	n.c.Start(r)
	start := time.Now()
	n.s.arrive(event{data: wire})
	if room >= 0 {
		time.AfterFunc(time.Second, func() { n.s.set(func() { n.s.room = -1 }) })
	}
	if err := r.end(t); !errors.Is(err, errTest) || fed != 1 {
		t.Errorf("Closed(%v), fed %d times", err, fed)
	}
	time.Sleep(2*DefaultLinger + time.Second)
	synctest.Wait()
	if d := <-got; d != 1000 {
		t.Errorf("the client got %d bytes", d)
	}
	if !n.s.isClosed() || time.Since(start) > time.Minute {
		t.Error("the socket stays open")
	}
}
