package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Server whose every packet a test writes itself.
type fake struct {
	t     *testing.T
	conns chan net.Conn
	dials atomic.Int32
	down  atomic.Bool      // refuse to be dialled
	loops *transport.Loops // nil: goroutines drive the clients, over pipes
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, conns: make(chan net.Conn, 16)}
	if strings.HasSuffix(t.Name(), onLoop) {
		f.loops = &transport.Loops{}
	}
	return f
}

const onLoop = "/loop"

// eachEngine runs a test that does not depend on time twice: over pipes, in a
// time of its own, and with clients of a loop, over sockets.
func eachEngine(t *testing.T, test func(t *testing.T)) {
	t.Run("goroutine", func(t *testing.T) { synctest.Test(t, test) })
	t.Run(onLoop[1:], test)
}

func (f *fake) dial(context.Context) (net.Conn, error) {
	f.dials.Add(1)
	if f.down.Load() {
		return nil, errors.New("fake: down")
	}
	if f.loops != nil {
		return f.socket()
	}
	ours, theirs := net.Pipe()
	f.conns <- theirs
	return ours, nil
}

// sockets returns both ends of a TCP connection.
func sockets() (ours, theirs net.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if ours, err = net.Dial("tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	if theirs, err = l.Accept(); err != nil {
		ours.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// socket is dial for a loop.
func (f *fake) socket() (net.Conn, error) {
	ours, theirs, err := sockets()
	if err != nil {
		return nil, err
	}
	f.t.Cleanup(func() { theirs.Close() })
	f.conns <- theirs
	return ours, nil
}

// peer is one Network Connection on the Server's side.
type peer struct {
	t       *testing.T
	nc      net.Conn
	r       mqtt.Reader
	buf     []byte
	skip    int // bytes of the packet given out last
	connect *mqtt.Connect
}

// accept waits for a connection and reads its CONNECT.
func (f *fake) accept() *peer {
	f.t.Helper()
	p := &peer{t: f.t, nc: <-f.conns}
	p.connect = next[*mqtt.Connect](p)
	p.r.Version = p.connect.Version
	return p
}

// welcome accepts a connection with a CONNACK of those properties.
func (f *fake) welcome(sessionPresent bool, ps ...mqtt.Property) *peer {
	f.t.Helper()
	p := f.accept()
	p.send(&mqtt.Connack{SessionPresent: sessionPresent, Properties: ps})
	return p
}

func (p *peer) send(pkts ...mqtt.Packet) {
	p.t.Helper()
	var b []byte
	for _, pkt := range pkts {
		var err error
		if b, err = pkt.Append(b, p.r.Version); err != nil {
			p.t.Fatal(err)
		}
	}
	p.raw(b)
}

func (p *peer) raw(b []byte) {
	p.t.Helper()
	if _, err := p.nc.Write(b); err != nil {
		p.t.Fatalf("fake: write: %v", err)
	}
}

// packet reads the next packet, which is valid until the one after it.
func (p *peer) packet() (mqtt.Packet, error) {
	p.buf = p.buf[p.skip:]
	p.skip = 0
	for {
		pkt, n, err := p.r.Read(p.buf)
		if err != nil || n > 0 {
			p.skip = n
			return pkt, err
		}
		chunk := make([]byte, 64<<10)
		n, err = p.nc.Read(chunk)
		if err != nil {
			return nil, err
		}
		p.buf = append(p.buf, chunk[:n]...)
	}
}

// next reads the next packet and fails if it is of another type.
func next[P mqtt.Packet](p *peer) P {
	p.t.Helper()
	pkt, err := p.packet()
	if err != nil {
		p.t.Fatalf("fake: read: %v", err)
	}
	want, ok := pkt.(P)
	if !ok {
		p.t.Fatalf("got %s %+v, want %T", pkt.Type(), pkt, want)
	}
	return want
}

// silent fails if the client sends anything within d.
func (p *peer) silent(d time.Duration) {
	p.t.Helper()
	if strings.HasSuffix(p.t.Name(), onLoop) {
		d = min(d, 20*time.Millisecond) // of real time
	}
	_ = p.nc.SetReadDeadline(time.Now().Add(d))
	pkt, err := p.packet()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("got %+v, %v; want silence", pkt, err)
	}
	_ = p.nc.SetReadDeadline(time.Time{})
}

// closed fails unless the client closes without another packet.
func (p *peer) closed() {
	p.t.Helper()
	if pkt, err := p.packet(); !errors.Is(err, io.EOF) {
		p.t.Fatalf("got %+v, %v; want the end", pkt, err)
	}
}

func ack(id mqtt.PacketID, code mqtt.ReasonCode) mqtt.Ack {
	return mqtt.Ack{PacketID: id, ReasonCode: code}
}

// connected returns a client of the fake and the fake's end.
func connected(f *fake, o client.Options, ps ...mqtt.Property) (*client.Client, *peer) {
	f.t.Helper()
	o.Dial, o.Transport.Loops = f.dial, f.loops
	type result struct {
		c   *client.Client
		err error
	}
	done := make(chan result)
	go func() {
		c, err := client.Connect(context.Background(), o)
		done <- result{c, err}
	}()
	p := f.welcome(false, ps...)
	r := <-done
	if r.err != nil {
		f.t.Fatal(r.err)
	}
	return r.c, p
}

// end closes the client and waits for it.
func end(c *client.Client) {
	c.Close()
	<-c.Done()
}

func publish(t *testing.T, c *client.Client, qos mqtt.QoS, payload string) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	err := c.PublishAsync(&mqtt.Message{Topic: "t", QoS: qos, Payload: []byte(payload)}, func(_ mqtt.ReasonCode, err error) { ended <- err })
	if err != nil {
		t.Fatal(err)
	}
	return ended
}

// expect reads a PUBLISH and compares what matters.
func (p *peer) expect(payload string, dup bool) mqtt.PacketID {
	p.t.Helper()
	m := next[*mqtt.Publish](p)
	if string(m.Payload) != payload || m.Dup != dup {
		p.t.Fatalf("PUBLISH %q with DUP %v, want %q with %v", m.Payload, m.Dup, payload, dup)
	}
	return m.PacketID
}
