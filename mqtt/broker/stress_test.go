package broker

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mqt/mqtt"
)

// ledger is what one receiver, or one group of them, has been given.
type ledger struct {
	mu    sync.Mutex
	t     *testing.T
	name  string
	once  bool // exactly once, at least once otherwise
	order bool // the first of each in the order of its publisher
	next  map[string]int
	seen  map[string]int
	left  int
	done  func()
}

func newLedger(t *testing.T, name string, messages int, once, order bool, done func()) *ledger {
	return &ledger{t: t, name: name, once: once, order: order, next: map[string]int{}, seen: map[string]int{}, left: messages, done: done}
}

// enter notes a message "n" to a topic.
func (l *ledger) enter(m *mqtt.Publish) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := string(m.Topic)
	n, err := strconv.Atoi(string(m.Payload))
	if err != nil {
		l.t.Errorf("%s: payload %q", l.name, m.Payload)
		return
	}
	key := name + " " + string(m.Payload)
	l.seen[key]++
	if l.seen[key] > 1 {
		if l.once {
			l.t.Errorf("%s: %s came %d times", l.name, key, l.seen[key])
		}
		return
	}
	if l.order && n != l.next[name] {
		l.t.Errorf("%s: %s, want %d", l.name, key, l.next[name])
	}
	l.next[name] = n + 1
	if l.left--; l.left == 0 {
		l.done()
	}
}

// stressed is a client that loses its connection now and then and goes on.
type stressed struct {
	b       *live
	visits  *atomic.Int64 // connections of all
	v       mqtt.Version
	id      string
	rnd     *rand.Rand
	stopped atomic.Bool
	p       *livePeer
	mu      sync.Mutex // p, for stop
	filters []string
	qos     mqtt.QoS
	rec     map[mqtt.PacketID]bool // QoS 2 received, no PUBREL yet
	book    func(*mqtt.Publish) *ledger
}

func (s *stressed) connect() {
	s.visits.Add(1)
	p := s.b.client(s.b.t, s.v, s.id, persistent)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.p = p
	if s.stopped.Load() {
		p.nc.Close()
	}
}

func (s *stressed) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped.Store(true)
	s.p.nc.Close()
}

// subscribe connects and waits for SUBACK.
func (s *stressed) subscribe() {
	s.connect()
	sub := &mqtt.Subscribe{PacketID: 1}
	for _, f := range s.filters {
		sub.Subscriptions = append(sub.Subscriptions, mqtt.Subscription{Filter: f, QoS: s.qos})
	}
	s.p.write(sub)
	s.p.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypeSuback })
}

// receive takes messages until stop. Every so often the connection goes, in
// any state of a flow.
func (s *stressed) receive() {
	for !s.stopped.Load() {
		s.p.await(func(pkt mqtt.Packet) bool {
			lost := s.rnd.IntN(150) == 0
			if lost && s.rnd.IntN(2) == 0 {
				s.p.nc.Close()
				return true
			}
			switch m := pkt.(type) {
			case *mqtt.Publish:
				s.take(m)
			case *mqtt.Pubrel:
				delete(s.rec, m.PacketID)
				s.p.ack(mqtt.TypePubcomp, m.PacketID)
			}
			if lost {
				s.p.acks = nil
				s.p.nc.Close()
			}
			return lost
		})
		if !s.stopped.Load() {
			s.p.nc.Close()
			s.connect()
		}
	}
}

func (s *stressed) take(m *mqtt.Publish) {
	switch m.QoS {
	case mqtt.QoS1:
		s.book(m).enter(m)
		s.p.ack(mqtt.TypePuback, m.PacketID)
	case mqtt.QoS2:
		if !s.rec[m.PacketID] {
			s.rec[m.PacketID] = true
			s.book(m).enter(m)
		}
		s.p.ack(mqtt.TypePubrec, m.PacketID)
	}
}

// publish sends n messages, a few at a time, and goes through with each flow
// whatever happens to the connection.
func (s *stressed) publish(topic string, qos mqtt.QoS, n int) {
	s.connect()
	for sent := 0; sent < n; {
		batch := min(s.rnd.IntN(20)+1, n-sent)
		open := map[mqtt.PacketID]*mqtt.Publish{} // not acknowledged
		rel := map[mqtt.PacketID]bool{}           // not complete
		for i := range batch {
			id := mqtt.PacketID(i + 1)
			open[id] = publish(qos, id, topic, fmt.Sprint(sent+i))
		}
		for again := false; len(open)+len(rel) > 0; again = true {
			s.offer(batch, open, rel, again)
		}
		sent += batch
	}
	s.p.nc.Close()
}

// offer sends what is open and takes answers until all is done or the
// connection is lost.
func (s *stressed) offer(batch int, open map[mqtt.PacketID]*mqtt.Publish, rel map[mqtt.PacketID]bool, again bool) {
	var all []mqtt.Packet
	if again {
		s.p.nc.Close()
		s.connect()
	}
	for i := range batch {
		id := mqtt.PacketID(i + 1)
		if rel[id] {
			all = append(all, pubrel(id))
		} else if m := open[id]; m != nil {
			m.Dup = again
			all = append(all, m)
		}
	}
	s.p.write(all...)
	s.p.await(func(pkt mqtt.Packet) bool {
		switch a := pkt.(type) {
		case *mqtt.Puback:
			delete(open, a.PacketID)
		case *mqtt.Pubrec:
			delete(open, a.PacketID)
			rel[a.PacketID] = true
			s.p.ack(mqtt.TypePubrel, a.PacketID)
		case *mqtt.Pubcomp:
			delete(rel, a.PacketID)
		}
		return len(open)+len(rel) == 0 || s.rnd.IntN(100) == 0
	})
}

// Publishers and subscribers of all versions, whose connections break in any
// state: QoS 1 at least once, QoS 2 exactly once, in order for each publisher,
// topic and QoS [MQTT-4.6.0-5], [MQTT-4.6.0-6]; in a shared group each message
// to one member.
func TestStress(t *testing.T) {
	for name, url := range map[string]string{"pipe": "", "TCP": byTCP, "TCP, goroutines": portable + byTCP} {
		t.Run(name, func(t *testing.T) {
			b := liveBroker(t, Options{ReceiveMaximum: 40, MaxInflight: 50})
			if url != "" {
				b.listen(url)
			}
			const publishers, messages = 6, 1500
			var subs, pubs sync.WaitGroup
			var visits atomic.Int64
			var receivers []*stressed
			finished := make(chan string, 16)
			expect := 0
			book := func(name string, n int, once, order bool) *ledger {
				expect++
				return newLedger(t, name, n, once, order, func() { finished <- name })
			}
			half := publishers / 2 * messages
			shared1, shared2 := book("group at QoS 1", half, false, false), book("group at QoS 2", half, true, false)
			add := func(id string, qos mqtt.QoS, choose func(*mqtt.Publish) *ledger, filters ...string) {
				s := &stressed{b: b, visits: &visits, v: versions[len(receivers)%3], id: id, rnd: rand.New(rand.NewPCG(1, uint64(len(receivers)))),
					filters: filters, qos: qos, rec: map[mqtt.PacketID]bool{}, book: choose}
				receivers = append(receivers, s)
				s.subscribe()
				subs.Go(s.receive)
			}
			for i := range 4 {
				one, two := book(fmt.Sprint(i, " at QoS 1"), half, false, true), book(fmt.Sprint(i, " at QoS 2"), half, true, true)
				add(fmt.Sprint("sub", i), mqtt.QoS2, func(m *mqtt.Publish) *ledger {
					if strings.HasPrefix(string(m.Topic), "s/1") {
						return one
					}
					return two
				}, "s/#", "s/+/1") // they overlap
			}
			for i := range 3 {
				add(fmt.Sprint("member", i), mqtt.QoS2, func(m *mqtt.Publish) *ledger {
					if strings.HasPrefix(string(m.Topic), "s/1") {
						return shared1
					}
					return shared2
				}, "$share/g/s/#")
			}
			for i := range publishers {
				s := &stressed{b: b, visits: &visits, v: versions[i%3], id: fmt.Sprint("pub", i), rnd: rand.New(rand.NewPCG(2, uint64(i)))}
				qos := mqtt.QoS(i%2 + 1)
				pubs.Go(func() { s.publish(fmt.Sprintf("s/%d/%d", qos, i), qos, messages) })
			}
			pubs.Wait()
			for late := time.After(time.Minute); expect > 0; expect-- {
				select {
				case <-finished:
				case <-late:
					t.Errorf("%d ledgers are not complete", expect)
					expect = 1
				}
			}
			for _, s := range receivers {
				s.stop()
			}
			subs.Wait()
			b.stop()
			stats := b.Stats()
			t.Logf("%d connections, %d messages sent", visits.Load(), stats.Sent)
			equal(t, "dropped", stats.DroppedQueue+stats.DroppedSlow+stats.DroppedTooLarge+stats.DroppedExpired, 0)
		})
	}
}

// QoS 0 on connections that last: each publisher's messages in order, and none
// twice; what is lost is counted.
func TestStressQoS0(t *testing.T) {
	b := liveBroker(t, Options{OutLimit: 4000})
	const publishers, subscribers, messages = 4, 4, 1500
	var subs, pubs sync.WaitGroup
	var got atomic.Int64
	for i := range subscribers {
		p := b.client(t, versions[i%3], fmt.Sprint("sub", i), nil)
		p.write(subscribeTo("q/#"))
		p.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypeSuback })
		subs.Go(func() {
			next, over := map[string]int{}, 0
			p.await(func(pkt mqtt.Packet) bool {
				m, ok := pkt.(*mqtt.Publish)
				if !ok {
					return false
				}
				if string(m.Topic) == "q/over" {
					over++
					p.ack(mqtt.TypePuback, m.PacketID)
					return over == publishers
				}
				n, _ := strconv.Atoi(string(m.Payload))
				if n < next[string(m.Topic)] {
					t.Errorf("%s: %d behind %d", m.Topic, n, next[string(m.Topic)]-1)
				}
				next[string(m.Topic)] = n + 1
				got.Add(1)
				return false
			})
			p.nc.Close()
		})
	}
	keeper := b.client(t, mqtt.V311, "keeper", nil)
	for i := range publishers {
		pubs.Go(func() {
			p := b.client(t, versions[i%3], fmt.Sprint("pub", i), nil)
			for n := range messages {
				p.write(publish(mqtt.QoS0, 0, fmt.Sprint("q/", i), fmt.Sprint(n)))
			}
			p.write(&mqtt.Pingreq{})
			p.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypePingresp })
			p.nc.Close()
		})
	}
	pubs.Wait()
	for done := false; !done; { // until each has seen the end, which may be dropped as well
		for range publishers {
			keeper.write(publish(mqtt.QoS0, 0, "q/over", ""))
		}
		done = b.Stats().Connections == 1
		runtime.Gosched()
	}
	subs.Wait()
	keeper.nc.Close()
	b.stop()
	if dropped := b.Stats().DroppedSlow; got.Load()+dropped < publishers*subscribers*messages {
		t.Errorf("%d came and %d were counted as dropped, of %d", got.Load(), dropped, publishers*subscribers*messages)
	}
}

// Many goroutines that all want to be the same client: one stays, nothing else
// does, and a clean start never finds a Session.
func TestStressTakeOver(t *testing.T) {
	for _, url := range []string{byUnix, byTCP, portable + byUnix, portable + byTCP} {
		b := liveBroker(t, Options{})
		b.listen(url)
		watch := b.client(t, mqtt.V50, "watch", nil)
		watch.write(subscribeTo("will"))
		var all sync.WaitGroup
		for g := range 12 {
			rnd := rand.New(rand.NewPCG(3, uint64(g)))
			all.Go(func() {
				for range 120 {
					takeOver(t, b, rnd)
				}
			})
		}
		all.Wait()
		watch.nc.Close()
		last := b.client(t, mqtt.V50, "same", nil)
		last.write(&mqtt.Pingreq{})
		if !last.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypePingresp }) {
			t.Error("the last one to come was closed")
		}
		last.write(&mqtt.Disconnect{})
		last.await(func(mqtt.Packet) bool { return false })
		last.nc.Close()
		eventually(t, func() string {
			s := b.Stats()
			if s.Connections != 0 || s.Sessions != 0 || s.Subscriptions != 0 {
				return fmt.Sprintf("%+v is left", s)
			}
			return ""
		})
		b.stop()
	}
}

// takeOver connects as "same" in one of many ways and does something.
func takeOver(t *testing.T, b *live, rnd *rand.Rand) {
	v := versions[rnd.IntN(3)]
	clean := rnd.IntN(2) == 0
	p := &livePeer{t: t, nc: b.dial(), v: v, r: mqtt.Reader{From: mqtt.Server, Version: v}}
	defer p.nc.Close()
	c := &mqtt.Connect{Version: v, ClientID: "same", CleanStart: clean}
	if v == mqtt.V50 && rnd.IntN(2) == 0 {
		c.Properties = mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, uint32(rnd.IntN(2)*100))}
	}
	if rnd.IntN(2) == 0 {
		c.Will = &mqtt.Will{Topic: "will", QoS: mqtt.QoS(rnd.IntN(3))}
		if v == mqtt.V50 {
			c.Will.Properties = mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, uint32(rnd.IntN(2)))}
		}
	}
	p.write(c)
	ok := p.await(func(pkt mqtt.Packet) bool {
		ack, ok := pkt.(*mqtt.Connack)
		if !ok {
			t.Errorf("got %v before CONNACK", pkt)
			return true
		}
		if ack.SessionPresent && clean || ack.ReasonCode != mqtt.Success {
			t.Errorf("CONNACK %v to a clean start (%v)", ack, clean)
		}
		return true
	})
	if !ok || rnd.IntN(4) == 0 {
		return // a newer one has come while it waited, or it goes by itself
	}
	sub := subscribeTo([]string{"x", "+", "$share/g/x", "will"}[rnd.IntN(4)])
	sub.Subscriptions[0].QoS = mqtt.QoS(rnd.IntN(3))
	p.write(sub, publish(mqtt.QoS2, 1, "x", ""), publish(mqtt.QoS1, 2, "x", ""), publish(mqtt.QoS0, 0, "x", ""), &mqtt.Pingreq{})
	p.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypePingresp }) // or it is taken over
	if rnd.IntN(2) == 0 {
		p.write(&mqtt.Disconnect{})
	}
}

// eventually waits until fault has none to tell.
func eventually(t *testing.T, fault func() string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for why := fault(); why != ""; why = fault() {
		if time.Now().After(deadline) {
			t.Fatal(why)
		}
		time.Sleep(time.Millisecond)
	}
}
