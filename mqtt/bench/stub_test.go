package bench

import (
	"context"
	"hash/crc32"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stub is a Server over net.Pipe that breaks the contract as it is told.
type stub struct {
	run    uint32
	refuse func(connection int) bool // answer CONNECT with Server busy
	grant  func(q mqtt.QoS) mqtt.ReasonCode
	// on is asked for each measured message that goes to a subscriber.
	on func(seq uint64, p *mqtt.Publish) fault
	// deny is asked for each measured message that comes: its acknowledgement.
	deny func(seq uint64) mqtt.ReasonCode
	// hold is when nothing is handled, on time since the stub began.
	holdFrom, holdFor time.Duration
	// after n measured messages the subscribers' connections are cut.
	cutAfter uint64
	// compAfter is how long a PUBREL waits for its PUBCOMP.
	compAfter time.Duration

	began  time.Time
	mu     sync.Mutex
	conns  int
	subs   map[*stubConn][]mqtt.Subscription
	held   []func() // reordered: sent behind the next message
	turn   int      // of shared subscriptions
	spoilt int      // messages
	away   map[string]*session
	forget bool // Sessions are not kept
}

// session is what a client that said goodbye has left.
type session struct {
	subs  []mqtt.Subscription
	queue []queued
}

type queued struct {
	p mqtt.Publish
	f fault
}

// fault is what happens to a delivery.
type fault byte

const (
	deliver fault = iota
	lose
	twice   // without DUP
	twiceD  // with DUP
	swap    // behind the next
	spoil   // a bit is changed, of another byte each time
	wrong   // the topic's subscriber gets a message that was never sent
	another // a payload of somebody else comes too
)

func newStub() *stub {
	return &stub{began: time.Now(), subs: make(map[*stubConn][]mqtt.Subscription), away: make(map[string]*session)}
}

// stubConn is one connection. Packets are queued, as a pipe has no buffer.
type stubConn struct {
	s    *stub
	nc   net.Conn
	r    mqtt.Reader
	out  chan []byte
	next mqtt.PacketID
	id   string // Client Identifier
	keep bool   // the Session
}

func (s *stub) dial(context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	s.mu.Lock()
	s.conns++
	c := &stubConn{s: s, nc: theirs, r: mqtt.Reader{From: mqtt.Client}, out: make(chan []byte, 1<<16)}
	n := s.conns
	s.mu.Unlock()
	go c.write()
	go c.read(n)
	return ours, nil
}

func (c *stubConn) write() {
	for b := range c.out {
		if _, err := c.nc.Write(b); err != nil {
			break
		}
	}
	c.nc.Close()
	for range c.out {
	}
}

func (c *stubConn) read(n int) {
	defer func() {
		c.s.mu.Lock()
		if subs := c.s.subs[c]; subs != nil && c.keep && !c.s.forget {
			c.s.away[c.id] = &session{subs: subs}
		}
		delete(c.s.subs, c)
		close(c.out)
		c.s.mu.Unlock()
	}()
	var buf []byte
	chunk := make([]byte, 4096)
	for {
		got, err := c.nc.Read(chunk)
		if err != nil {
			return
		}
		if at := time.Since(c.s.began); c.s.holdFor > 0 && at >= c.s.holdFrom && at < c.s.holdFrom+c.s.holdFor {
			time.Sleep(c.s.holdFrom + c.s.holdFor - at)
		}
		buf = append(buf, chunk[:got]...)
		for {
			pkt, size, err := c.r.Read(buf)
			if err != nil {
				return
			}
			if size == 0 {
				break
			}
			c.s.mu.Lock()
			on := c.handle(n, pkt)
			c.s.mu.Unlock()
			if !on {
				return
			}
			buf = buf[size:]
		}
	}
}

func (c *stubConn) send(p mqtt.Packet) {
	b, err := p.Append(nil, c.r.Version)
	if err != nil {
		panic(err)
	}
	c.out <- b
}

func ackOf(id mqtt.PacketID, code mqtt.ReasonCode) mqtt.Ack {
	return mqtt.Ack{PacketID: id, ReasonCode: code}
}

func (c *stubConn) handle(n int, pkt mqtt.Packet) bool {
	switch p := pkt.(type) {
	case *mqtt.Connect:
		c.r.Version = p.Version
		if c.s.refuse != nil && c.s.refuse(n) {
			c.send(&mqtt.Connack{ReasonCode: mqtt.ServerBusy})
			return false
		}
		c.id, c.keep = p.ClientID, p.Properties.NumberOr(mqtt.SessionExpiryInterval, 0) > 0 || p.Version < mqtt.V50 && !p.CleanStart
		old := c.s.away[c.id]
		delete(c.s.away, c.id)
		if p.CleanStart {
			old = nil
		}
		c.send(&mqtt.Connack{SessionPresent: old != nil})
		if old != nil {
			c.s.subs[c] = old.subs
			for i := range old.queue {
				c.deliver(&old.queue[i].p, old.queue[i].f)
			}
		}
	case *mqtt.Subscribe:
		code := mqtt.ReasonCode(p.Subscriptions[0].QoS)
		if c.s.grant != nil {
			code = c.s.grant(p.Subscriptions[0].QoS)
		}
		c.s.subs[c] = append(c.s.subs[c], p.Subscriptions[0])
		c.send(&mqtt.Suback{PacketID: p.PacketID, ReasonCodes: []mqtt.ReasonCode{code}})
	case *mqtt.Publish:
		c.publish(p)
	case *mqtt.Pubrel:
		if c.s.compAfter > 0 {
			c.s.mu.Unlock()
			time.Sleep(c.s.compAfter)
			c.s.mu.Lock()
		}
		c.send(&mqtt.Pubcomp{Ack: ackOf(p.PacketID, 0)})
	case *mqtt.Pubrec:
		c.send(&mqtt.Pubrel{Ack: ackOf(p.PacketID, 0)})
	case *mqtt.Disconnect:
		return false
	}
	return true
}

func (c *stubConn) publish(p *mqtt.Publish) {
	var st stamp
	counts := st.read(p.Payload, c.s.run) == ours && st.kind == measured
	var code mqtt.ReasonCode
	if counts && c.s.deny != nil {
		code = c.s.deny(st.seq)
	}
	switch p.QoS {
	case mqtt.QoS1:
		c.send(&mqtt.Puback{Ack: ackOf(p.PacketID, code)})
	case mqtt.QoS2:
		c.send(&mqtt.Pubrec{Ack: ackOf(p.PacketID, code)})
	}
	if code.Failed() {
		return
	}
	c.s.spread(p, st.seq, counts)
}

// matches knows the filters of package bench.
func matches(filter, topic string) bool {
	if rest, ok := strings.CutPrefix(filter, "$share/"); ok {
		_, filter, _ = strings.Cut(rest, "/")
	}
	return filter == topic || strings.HasSuffix(filter, "/+") && strings.HasPrefix(topic, strings.TrimSuffix(filter, "+"))
}

// spread passes a message on: to one member of a shared subscription, and to
// all others.
func (s *stub) spread(p *mqtt.Publish, seq uint64, counts bool) {
	topic := string(p.Topic)
	decide := func(sub mqtt.Subscription) (mqtt.Publish, fault) {
		q := *p
		q.QoS = min(p.QoS, sub.QoS)
		f := deliver
		if counts && s.on != nil {
			f = s.on(seq, &q)
		}
		return q, f
	}
	var sharing []*stubConn
	for to, subs := range s.subs {
		if !matches(subs[0].Filter, topic) {
			continue
		}
		if strings.HasPrefix(subs[0].Filter, "$share/") {
			sharing = append(sharing, to)
			continue
		}
		if counts && s.cutAfter > 0 && seq >= s.cutAfter {
			to.nc.Close()
			continue
		}
		q, f := decide(subs[0])
		to.deliver(&q, f)
	}
	if len(sharing) > 0 {
		slices.SortFunc(sharing, func(a, b *stubConn) int { return strings.Compare(a.id, b.id) })
		s.turn++
		to := sharing[s.turn/3%len(sharing)]
		q, f := decide(s.subs[to][0])
		to.deliver(&q, f)
	}
	for _, a := range s.away {
		if matches(a.subs[0].Filter, topic) && min(p.QoS, a.subs[0].QoS) > 0 {
			q, f := decide(a.subs[0])
			q.Topic, q.Payload = slices.Clone(q.Topic), slices.Clone(q.Payload)
			a.queue = append(a.queue, queued{q, f})
		}
	}
}

func (c *stubConn) deliver(p *mqtt.Publish, f fault) {
	p.Payload = append([]byte(nil), p.Payload...)
	p.Topic = append([]byte(nil), p.Topic...)
	push := func(dup bool) {
		q := *p
		q.Dup, q.PacketID = dup, 0
		if q.QoS > 0 {
			c.next = c.next%65535 + 1
			q.PacketID = c.next
		}
		c.send(&q)
	}
	held := c.s.held
	c.s.held = nil
	switch f {
	case deliver:
		push(false)
	case lose:
	case twice:
		push(false)
		push(false)
	case twiceD:
		push(false)
		push(true)
	case swap:
		c.s.held = append(c.s.held, func() { push(false) })
	case spoil:
		p.Payload[c.s.spoilt%len(p.Payload)] ^= 1
		c.s.spoilt++
		push(false)
	case wrong:
		push(false)
		st := stamp{kind: measured, run: c.s.run, seq: 1 << 40}
		st.put(p.Payload)
		push(false)
	case another:
		push(false)
		p.Payload = []byte("good morning, this is none of yours")
		push(false)
	}
	for _, h := range held {
		h()
	}
}

// scenario is a small run against the stub: 10 messages a second and publisher
// for 10 seconds, without warm-up.
func (s *stub) scenario() Scenario {
	sc := Scenario{
		Client: client.Options{Dial: s.dial, NoKeepAlive: true}, Target: "stub", InProcess: true, RunID: "test",
		Publishers: 1, QoS: []mqtt.QoS{1}, RatePerClient: 10, Duration: 10 * time.Second, WarmUp: -1,
	}
	s.run = crc32.ChecksumIEEE([]byte("test"))
	return sc
}
