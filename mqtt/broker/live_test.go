package broker

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/transport"
)

// live is a broker outside a bubble, for tests that need real goroutines to
// run at the same time.
type live struct {
	*Broker
	t        *testing.T
	listener *transport.Listener // nil: connections are pipes
	served   chan error
}

func liveBroker(t *testing.T, o Options) *live {
	t.Helper()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &live{Broker: b, t: t, served: make(chan error, 1)}
}

// The URLs that listen is given.
const (
	byTCP  = "mqtt://127.0.0.1:0"
	byUnix = "unix://"
	// portable in front of them has goroutines drive the connections.
	portable = "portable+"
)

// eachEngine runs f with what drives connections best here, and with goroutines.
func eachEngine(t *testing.T, f func(t *testing.T, engine string)) {
	t.Run("best", func(t *testing.T) { f(t, "") })
	t.Run("goroutines", func(t *testing.T) { f(t, portable) })
}

// listen makes the clients come by TCP or a Unix socket, without it they come
// by pipes, which hold no byte: who writes waits for who reads.
func (b *live) listen(url string) {
	b.t.Helper()
	url, b.opt.Portable = strings.CutPrefix(url, portable)
	if url == byUnix {
		dir, err := os.MkdirTemp("", "mqt") // t.TempDir is too long for a socket
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { _ = os.RemoveAll(dir) })
		url += dir + "/s"
	}
	if err := b.open(b.t.Context(), url); err != nil {
		b.t.Fatal(err)
	}
}

func (b *live) open(ctx context.Context, url string) error {
	e, err := transport.ParseURL(url)
	if err != nil {
		return err
	}
	b.listener, err = b.Listen(ctx, e, transport.ListenOptions{})
	if err != nil {
		return err
	}
	go func() { b.served <- b.Serve(ctx, b.listener) }()
	return nil
}

func (b *live) stop() {
	b.t.Helper()
	if b.listener != nil {
		_ = b.listener.Close()
		if err := <-b.served; err != nil {
			b.t.Error(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.t.Context()), 60*time.Second)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		b.t.Error(err)
	}
}

// dial opens a connection to the broker.
func (b *live) dial() net.Conn {
	if b.listener != nil {
		nc, err := net.Dial(b.listener.Addr().Network(), b.listener.Addr().String())
		if err != nil {
			b.t.Error(err)
		}
		return nc
	}
	near, far := net.Pipe()
	tc := transport.New(far, transport.Options{OutLimit: b.opt.OutLimit, Linger: -1})
	tc.Start(b.Accept(tc))
	return near
}

// livePeer is a client whose reader runs in the goroutine that calls await.
type livePeer struct {
	t    *testing.T
	nc   net.Conn
	v    mqtt.Version
	r    mqtt.Reader
	buf  []byte // read, not decoded yet from at on
	at   int
	out  []byte
	acks []byte // written before await reads again
}

// client connects and takes the CONNACK. It may be called by any goroutine.
func (b *live) client(t *testing.T, v mqtt.Version, id string, change func(*mqtt.Connect)) *livePeer {
	p := &livePeer{t: t, nc: b.dial(), v: v, r: mqtt.Reader{From: mqtt.Server, Version: v}}
	c := &mqtt.Connect{Version: v, ClientID: id, CleanStart: true}
	if change != nil {
		change(c)
	}
	p.write(c)
	p.await(func(pkt mqtt.Packet) bool { _, ok := pkt.(*mqtt.Connack); return ok })
	return p
}

// write sends packets at once; an error is left to the reader.
func (p *livePeer) write(pkts ...mqtt.Packet) {
	p.out = p.out[:0]
	for _, pkt := range pkts {
		p.out, _ = pkt.Append(p.out, p.v)
	}
	_, _ = p.nc.Write(p.out)
}

// ack owes the next packet of a flow.
func (p *livePeer) ack(t mqtt.Type, id mqtt.PacketID) {
	p.acks = mqtt.AppendAck(p.acks, t, id, mqtt.Success, p.v)
}

// await reads packets until stop says so; false: the connection ended before.
func (p *livePeer) await(stop func(mqtt.Packet) bool) bool {
	for {
		pkt, n, err := p.r.Read(p.buf[p.at:])
		if err != nil {
			p.t.Errorf("the broker sent % x: %v", p.buf[p.at:], err)
			return false
		}
		if n > 0 {
			p.at += n
			if stop(pkt) {
				return true
			}
			continue
		}
		p.buf = append(p.buf[:0], p.buf[p.at:]...)
		p.at = 0
		if len(p.acks) > 0 {
			_, _ = p.nc.Write(p.acks)
			p.acks = p.acks[:0]
		}
		if cap(p.buf)-len(p.buf) < 4096 {
			p.buf = append(make([]byte, 0, 2*cap(p.buf)+8192), p.buf...)
		}
		m, err := p.nc.Read(p.buf[len(p.buf):cap(p.buf)])
		p.buf = p.buf[:len(p.buf)+m]
		if m == 0 && err != nil {
			return false
		}
	}
}
