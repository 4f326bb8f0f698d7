package broker

import (
	"context"
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"mqt/mqtt"
	"mqt/mqtt/transport"
)

// world is a broker in a bubble of synctest: its timers run on the bubble's
// clock, and synctest.Wait says that it has nothing left to do.
type world struct {
	t *testing.T
	b *Broker
}

func inWorld(t *testing.T, o Options, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { // also when the test gives up
			if err := b.Shutdown(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}()
		test(&world{t, b})
	})
}

// peer is a client that does nothing by itself.
type peer struct {
	t  *testing.T
	nc net.Conn
	v  mqtt.Version

	turn   chan struct{} // who takes the token stops the peer from reading
	mu     sync.Mutex
	got    []mqtt.Packet
	open   mqtt.PacketID // of a test: a message that it has not acknowledged
	closed atomic.Bool
}

// dial opens a connection that has sent nothing yet.
func (w *world) dial(v mqtt.Version) *peer {
	w.t.Helper()
	return w.dialFrom(v, nil)
}

// located is a connection that comes from an address.
type located struct {
	net.Conn
	addr net.Addr
}

func (l located) RemoteAddr() net.Addr { return l.addr }

// dialFrom is dial from an address, nil for none.
func (w *world) dialFrom(v mqtt.Version, addr net.Addr) *peer {
	w.t.Helper()
	near, far := net.Pipe()
	if addr != nil {
		far = located{far, addr}
	}
	tc := transport.New(far, transport.Options{OutLimit: w.b.opt.OutLimit, Budget: &w.b.memory, Linger: -1})
	tc.Start(w.b.Accept(tc))
	p := &peer{t: w.t, nc: near, v: v, turn: make(chan struct{}, 1)}
	p.turn <- struct{}{}
	w.t.Cleanup(func() { near.Close() })
	go p.read()
	return p
}

func (p *peer) read() {
	r := mqtt.Reader{From: mqtt.Server, Version: p.v}
	var buf []byte
	chunk := make([]byte, 4096)
	for {
		<-p.turn
		p.turn <- struct{}{}
		n, err := p.nc.Read(chunk)
		buf = append(buf, chunk[:n]...)
		for {
			pkt, size, e := r.Read(buf)
			if e != nil {
				p.t.Errorf("the broker sent %x: %v", buf, e)
				return
			}
			if size == 0 {
				break
			}
			p.mu.Lock()
			p.got = append(p.got, keep(pkt))
			p.mu.Unlock()
			buf = buf[size:]
		}
		if err != nil {
			p.closed.Store(true)
			return
		}
	}
}

// keep copies what the Reader would use again.
func keep(pkt mqtt.Packet) mqtt.Packet {
	switch q := pkt.(type) {
	case *mqtt.Publish:
		c := *q
		c.Topic, c.Payload = append([]byte(nil), q.Topic...), append([]byte(nil), q.Payload...)
		c.Properties = q.Properties.Clone()
		return &c
	case *mqtt.Puback:
		c := *q
		return &c
	case *mqtt.Pubrec:
		c := *q
		return &c
	case *mqtt.Pubrel:
		c := *q
		return &c
	case *mqtt.Pubcomp:
		c := *q
		return &c
	}
	return pkt
}

// send writes packets, one after the other.
func (p *peer) send(pkts ...mqtt.Packet) {
	p.t.Helper()
	var b []byte
	for _, pkt := range pkts {
		var err error
		if b, err = pkt.Append(b, p.v); err != nil {
			p.t.Fatal(err)
		}
	}
	p.sendRaw(b)
}

func (p *peer) sendRaw(b []byte) {
	_, _ = p.nc.Write(b) // a broker that has closed shows in expectClosed
	synctest.Wait()
}

// drop ends the connection without a DISCONNECT.
func (p *peer) drop() {
	p.nc.Close()
	synctest.Wait()
}

// take returns what has come, and forgets it.
func (p *peer) take() []mqtt.Packet {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

// next returns the next packet, which must be a T.
func next[T mqtt.Packet](p *peer) T {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	var want T
	if len(p.got) == 0 {
		p.t.Fatalf("nothing came, want %T (closed: %v)", want, p.closed.Load())
	}
	got, ok := p.got[0].(T)
	if !ok {
		p.t.Fatalf("got %T %+v, want %T", p.got[0], p.got[0], want)
	}
	p.got = p.got[1:]
	return got
}

// quiet checks that nothing more has come and the connection is open.
func (p *peer) quiet() {
	p.t.Helper()
	if got := p.take(); len(got) > 0 {
		p.t.Fatalf("got %T %+v, want nothing", got[0], got[0])
	}
	if p.closed.Load() {
		p.t.Fatal("the broker closed the connection")
	}
}

// gone checks that the broker closed the connection, in 5.0 with a DISCONNECT
// of that code, and sent nothing else.
func (p *peer) gone(code mqtt.ReasonCode) {
	p.t.Helper()
	got := p.take()
	if !p.closed.Load() {
		p.t.Fatalf("the connection is open, got %v", got)
	}
	if p.v < mqtt.V50 {
		if len(got) > 0 {
			p.t.Fatalf("got %T before the end, want nothing", got[0])
		}
		return
	}
	if len(got) != 1 {
		p.t.Fatalf("got %d packets before the end, want a DISCONNECT", len(got))
	}
	if d, ok := got[0].(*mqtt.Disconnect); !ok || d.ReasonCode != code {
		p.t.Fatalf("got %+v, want DISCONNECT with %v", got[0], code)
	}
}

// connect dials and sends CONNECT; change may alter it.
func (w *world) connect(v mqtt.Version, id string, change func(*mqtt.Connect)) (*peer, *mqtt.Connack) {
	w.t.Helper()
	p := w.dial(v)
	c := &mqtt.Connect{Version: v, ClientID: id, CleanStart: true, KeepAlive: 0}
	if change != nil {
		change(c)
	}
	p.send(c)
	return p, next[*mqtt.Connack](p)
}

// client is connect for those who must be let in.
func (w *world) client(v mqtt.Version, id string) *peer {
	w.t.Helper()
	p, ack := w.connect(v, id, nil)
	if ack.ReasonCode != mqtt.Success {
		w.t.Fatalf("CONNACK %v", ack.ReasonCode)
	}
	return p
}

// persistent asks for a Session that stays.
func persistent(c *mqtt.Connect) {
	c.CleanStart = false
	if c.Version >= mqtt.V50 {
		c.Properties = append(c.Properties, mqtt.Num(mqtt.SessionExpiryInterval, 3600))
	}
}

// subscribe subscribes and checks the SUBACK.
func (p *peer) subscribe(qos mqtt.QoS, filters ...string) {
	p.t.Helper()
	s := &mqtt.Subscribe{PacketID: 77}
	for _, f := range filters {
		s.Subscriptions = append(s.Subscriptions, mqtt.Subscription{Filter: f, QoS: qos})
	}
	p.send(s)
	ack := next[*mqtt.Suback](p)
	for i, r := range ack.ReasonCodes {
		if r != mqtt.ReasonCode(qos) {
			p.t.Fatalf("SUBACK for %s: %v", filters[i], r)
		}
	}
}

func publish(qos mqtt.QoS, id mqtt.PacketID, topic, payload string, ps ...mqtt.Property) *mqtt.Publish {
	return &mqtt.Publish{QoS: qos, PacketID: id, Topic: []byte(topic), Payload: []byte(payload), Properties: ps}
}

func puback(id mqtt.PacketID) *mqtt.Puback   { return &mqtt.Puback{Ack: mqtt.Ack{PacketID: id}} }
func pubrec(id mqtt.PacketID) *mqtt.Pubrec   { return &mqtt.Pubrec{Ack: mqtt.Ack{PacketID: id}} }
func pubrel(id mqtt.PacketID) *mqtt.Pubrel   { return &mqtt.Pubrel{Ack: mqtt.Ack{PacketID: id}} }
func pubcomp(id mqtt.PacketID) *mqtt.Pubcomp { return &mqtt.Pubcomp{Ack: mqtt.Ack{PacketID: id}} }

// message receives a PUBLISH and checks topic and payload.
func (p *peer) message(topic, payload string) *mqtt.Publish {
	p.t.Helper()
	m := next[*mqtt.Publish](p)
	if string(m.Topic) != topic || string(m.Payload) != payload {
		p.t.Fatalf("got %q to %q, want %q to %q", m.Payload, m.Topic, payload, topic)
	}
	return m
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}
