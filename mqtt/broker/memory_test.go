package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"mqt/mqtt"
	"mqt/mqtt/topic"
)

// recount adds up what is kept, anew: what clients have without a message, and
// messages with their places.
func (w *world) recount() (standing, moving int64) {
	seen := make(map[*message]bool)
	keep := func(m *message) {
		if !seen[m] {
			seen[m] = true
			moving += int64(len(m.topic) + len(m.payload) + m.props.Memory() + 64)
		}
	}
	w.b.mu.Lock()
	sessions, conns := slices.Collect(w.b.sessions.all), w.b.conns.all()
	w.b.mu.Unlock()
	for _, s := range sessions {
		s.mu.Lock() // timers change it later
		standing += sessionCost + int64(len(s.clientID)+len(s.owner.name))
		for sub := range s.subs.all {
			standing += subscriptionCost + int64(len(sub.filter())+128*max(0, topic.Levels(sub.filter())-4))
		}
		if s.will != nil {
			standing += willCost + int64(len(s.will.Topic)+len(s.will.Payload)+s.will.Properties.Memory())
		}
		if s.flight == nil {
			s.mu.Unlock()
			continue
		}
		standing += flightCost
		queues := []*queue{&s.queue, &s.queue0}
		if s.keep != nil {
			queues = append(queues, &s.keep.late)
		}
		for _, q := range queues {
			for i := range q.n {
				d := q.ring[(q.head+i)%len(q.ring)].d
				moving += waitCost + int64(4*len(d.ids))
				keep(d.m)
			}
		}
		for _, e := range s.sender.All() {
			d := e.Value.d
			if d == nil {
				continue
			}
			moving += waitCost + int64(4*len(d.ids))
			keep(d.m)
		}
		s.mu.Unlock()
	}
	for _, c := range conns {
		c.feeding.Lock()
		if c.noted == nil {
			c.feeding.Unlock()
			continue
		}
		for alias := range w.b.opt.TopicAliasMaximum {
			if name, err := c.noted.aliases.Resolve(alias+1, nil); err == nil {
				standing += aliasCost + int64(len(name))
			}
		}
		for _, r := range c.noted.topics {
			standing += topicCost + int64(len(r.topic)+routeCost*len(r.direct)+8*len(r.groups))
			for _, to := range r.direct {
				standing += int64(4 * len(to.ids))
			}
		}
		c.feeding.Unlock()
	}
	for name, m := range w.b.retained.tree.All() {
		moving += retainedCost + int64(len(name)+128*max(0, topic.Levels(name)-4))
		keep(m)
	}
	return standing, moving
}

// underWay is what is counted of messages, and of out-buffers.
func (w *world) underWay() int64 {
	synctest.Wait()
	standing, _ := w.recount()
	return w.b.Stats().Memory - standing
}

// What every client takes, each the most that its size class of the allocator has.
func TestSizes(t *testing.T) {
	if strconv.IntSize < 64 {
		return // pointers are smaller, and so are these
	}
	for _, x := range []struct {
		what       string
		size, most uintptr
	}{{"session with its first subscription", unsafe.Sizeof(session{}), 176}, {"conn", unsafe.Sizeof(conn{}), 112},
		{"message with a delivery and a short payload", unsafe.Sizeof(note{}), 192}} {
		if x.size > x.most {
			t.Errorf("a %s takes %d bytes, at most %d are wanted", x.what, x.size, x.most)
		}
	}
}

func TestCostsAreNotBelowSizes(t *testing.T) {
	for _, x := range []struct {
		what       string
		cost, size uintptr
	}{
		{"session", sessionCost, unsafe.Sizeof(session{})}, {"flight", flightCost, unsafe.Sizeof(flight{})}, {"subscription", subscriptionCost, unsafe.Sizeof(subscription{})},
		{"will", willCost, unsafe.Sizeof(will{}) + unsafe.Sizeof(mqtt.Will{})}, {"route", routeCost, unsafe.Sizeof(route{})},
		{"topic", topicCost, unsafe.Sizeof(routing{})}, {"delivery", messageCost, unsafe.Sizeof(delivery{})},
		{"retained message", messageCost + retainedCost, unsafe.Sizeof(message{})},
	} {
		if x.cost < x.size {
			t.Errorf("a %s takes %d bytes, %d are counted", x.what, x.size, x.cost)
		}
	}
}

// chaos is a few clients that do anything.
type chaos struct {
	*world
	r     *rand.Rand
	peers map[string]*peer
}

var (
	chaosFilters = []string{"a", "a/b", "a/#", "+/b", "#", "$share/g/a/#", "$share/h/+/b", "a/b/c/d/e/f/g/+", strings.Repeat("long", 100) + "/#"}
	chaosTopics  = []string{"a", "a/b", "x/b", "a/b/c/d/e/f/g/h", strings.Repeat("long", 100) + "/x", strings.Repeat("z", 2000)}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// come connects a client, over an older connection or not.
func (x *chaos) come(id string) {
	c := hello(pick(x.r, versions), id)
	c.CleanStart = x.r.IntN(4) == 0
	if c.Version == mqtt.V50 {
		c.Properties = append(c.Properties, mqtt.Num(mqtt.SessionExpiryInterval, uint32(x.r.IntN(3)*50)),
			mqtt.Num(mqtt.ReceiveMaximum, uint32(1+x.r.IntN(4))))
	}
	if x.r.IntN(2) == 0 {
		c.Will = &mqtt.Will{Topic: pick(x.r, chaosTopics), Payload: make([]byte, x.r.IntN(500)), QoS: mqtt.QoS(x.r.IntN(3)), Retain: x.r.IntN(3) == 0}
		if c.Version == mqtt.V50 {
			c.Will.Properties = mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, uint32(x.r.IntN(60))), mqtt.User("key", "value")}
		}
	}
	p := x.dial(c.Version)
	p.send(c)
	x.peers[id] = p
}

// act lets a client do one thing.
func (x *chaos) act(p *peer) {
	id := mqtt.PacketID(1 + x.r.IntN(20))
	switch x.r.IntN(12) {
	case 0, 1:
		s := &mqtt.Subscribe{PacketID: id, Subscriptions: []mqtt.Subscription{
			{Filter: pick(x.r, chaosFilters), QoS: mqtt.QoS(x.r.IntN(3))}, {Filter: pick(x.r, chaosFilters), QoS: mqtt.QoS(x.r.IntN(3))}}}
		if p.v == mqtt.V50 && x.r.IntN(2) == 0 {
			s.Properties = mqtt.Properties{mqtt.Num(mqtt.SubscriptionIdentifier, uint32(id))}
		}
		p.send(s)
	case 2:
		p.send(&mqtt.Unsubscribe{PacketID: id, Filters: []string{pick(x.r, chaosFilters), pick(x.r, chaosFilters)}})
	case 3:
		p.drop()
	case 4:
		p.send(&mqtt.Disconnect{})
	case 5, 6, 7: // acknowledge some
		for _, pkt := range p.take() {
			if m, ok := pkt.(*mqtt.Publish); ok && m.QoS > 0 && x.r.IntN(4) > 0 {
				p.finish(m)
			}
		}
	default:
		x.publish(p, id)
	}
}

func (x *chaos) publish(p *peer, id mqtt.PacketID) {
	m := publish(mqtt.QoS(x.r.IntN(3)), 0, pick(x.r, chaosTopics), strings.Repeat("x", x.r.IntN(5000)))
	if m.QoS > 0 {
		m.PacketID = id
	}
	m.Retain = x.r.IntN(4) == 0
	if x.r.IntN(8) == 0 {
		m.Payload = nil
	}
	if p.v == mqtt.V50 {
		switch x.r.IntN(4) {
		case 0:
			m.Properties = mqtt.Properties{mqtt.Num(mqtt.MessageExpiryInterval, uint32(x.r.IntN(40)))}
		case 1:
			m.Properties = mqtt.Properties{mqtt.Num(mqtt.TopicAlias, uint32(1+x.r.IntN(3)))}
		}
	}
	p.send(m)
	if m.QoS == mqtt.QoS2 && x.r.IntN(3) > 0 {
		p.send(pubrel(id))
	}
}

// Whatever clients do, the account is what is kept, never more than the limit
// with what is spared for those who keep up, and 0 in the end.
func TestMemoryIsAccountedFor(t *testing.T) {
	for _, limit := range []int64{0, 60_000, 15_000} {
		for seed := range uint64(3) {
			inWorld(t, Options{MaxMemory: limit, MaxRetainedBytes: limit / 3, MaxQueue: 50, ReceiveMaximum: 20}, func(w *world) {
				x := &chaos{w, rand.New(rand.NewPCG(seed, uint64(limit))), make(map[string]*peer)}
				for i := range 400 {
					id := fmt.Sprint("client ", x.r.IntN(5))
					if p := x.peers[id]; p == nil || p.closed.Load() || x.r.IntN(20) == 0 {
						x.come(id)
					} else {
						x.act(p)
					}
					if x.r.IntN(10) == 0 {
						time.Sleep(time.Duration(x.r.IntN(20)) * time.Second)
					}
					synctest.Wait()
					standing, moving := w.recount()
					used := w.b.Stats().Memory
					if used != standing+moving {
						w.t.Fatalf("limit %d, seed %d, step %d: %d bytes are counted, there are %d and %d", limit, seed, i, used, standing, moving)
					}
					// Small wills of those who come back are let in, and who is there may send QoS 2.
					if most := w.b.limit().MaxMemory; used > most+most/8+5*(sessionCost+flightCost) {
						w.t.Fatalf("limit %d, seed %d, step %d: %d bytes", limit, seed, i, used)
					}
				}
				x.end()
			})
		}
	}
}

// end has everybody leave for good, and takes what is retained away.
func (x *chaos) end() {
	x.b.SetACL(aclOf(x.t, "everyone\nallow subscribe #\n")) // no more wills
	for i := range 5 {
		if id := fmt.Sprint("client ", i); x.b.sessions.get(id) != nil {
			x.client(mqtt.V311, id).send(&mqtt.Disconnect{})
		}
	}
	time.Sleep(time.Hour)
	x.b.SetACL(nil)
	p := x.client(mqtt.V311, "last")
	for name := range x.b.retained.tree.All() {
		m := publish(mqtt.QoS0, 0, name, "")
		m.Retain = true
		p.send(m)
	}
	p.send(&mqtt.Disconnect{})
	synctest.Wait()
	equal(x.t, "sessions", x.b.Stats().Sessions, 0)
	equal(x.t, "memory at the end", x.b.Stats().Memory, 0)
}

// Each thing that a client can have kept meets MaxMemory, with the Reason Code
// that the peer is owed, and there is room again once it is given up.
func TestMaxMemoryOfEverything(t *testing.T) {
	over := func(w *world, n int64) {
		equal(w.t, "exceeded", w.b.Stats().Exceeded[LimitMemory], n)
		if used := w.b.Stats().Memory; used > 100_000 {
			w.t.Errorf("%d bytes", used)
		}
	}
	long := strings.Repeat("x", 60_000)
	o := Options{MaxMemory: 100_000, MaxRetainedBytes: 1 << 20}
	eachVersion(t, o, func(w *world, v mqtt.Version) {
		p := w.client(v, "subscriber")
		p.send(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: long}, {Filter: long + "y"}, {Filter: long}}})
		full := mqtt.QuotaExceeded
		if v < mqtt.V50 {
			full = mqtt.UnspecifiedError
		}
		equal(w.t, "SUBACK", next[*mqtt.Suback](p).ReasonCodes, []mqtt.ReasonCode{0, full, 0})
		over(w, 1)
		p.send(&mqtt.Unsubscribe{PacketID: 1, Filters: []string{long}})
		next[*mqtt.Unsuback](p)
		p.subscribe(mqtt.QoS0, long+"y")
	})
	eachVersion(t, o, func(w *world, v mqtt.Version) {
		p := w.client(v, "retainer")
		for i, want := range []mqtt.ReasonCode{mqtt.NoMatchingSubscribers, mqtt.QuotaExceeded} {
			m := publish(mqtt.QoS1, 1, fmt.Sprint(i), long)
			m.Retain = true
			p.send(m)
			if ack := next[*mqtt.Puback](p); v == mqtt.V50 {
				equal(w.t, "PUBACK", ack.ReasonCode, want)
			}
		}
		over(w, 1)
	})
	eachVersion(t, o, func(w *world, v mqtt.Version) {
		leave := func(id string) *peer {
			p := w.dial(v)
			c := hello(v, id)
			persistent(c)
			c.Will = &mqtt.Will{Topic: "t", Payload: []byte(long)}
			p.send(c)
			return p
		}
		equal(w.t, "CONNACK", next[*mqtt.Connack](leave("a")).ReasonCode, mqtt.Success)
		leave("b").refused(refusedBy(v, mqtt.QuotaExceeded))
		over(w, 1)
		w.client(v, "c")
	})
	inWorld(t, o, func(w *world) {
		p := w.client(mqtt.V50, "aliases")
		for i, name := range []string{long, long + "y"} {
			p.send(publish(mqtt.QoS0, 0, name, "", mqtt.Num(mqtt.TopicAlias, uint32(i+1))))
		}
		p.gone(mqtt.QuotaExceeded)
		equal(t, "memory", w.b.Stats().Memory, 0)
	})
}

// Sessions that nobody comes back to do not fill the memory.
func TestMaxMemoryOfAbsentSessions(t *testing.T) {
	eachVersion(t, Options{MaxMemory: 100_000}, func(w *world, v mqtt.Version) {
		refused := 0
		for i := range 300 {
			p := w.dial(v)
			c := hello(v, fmt.Sprint(i))
			persistent(c)
			p.send(c)
			if next[*mqtt.Connack](p).ReasonCode != mqtt.Success {
				refused++
			}
			p.drop()
		}
		if s := w.b.Stats(); s.Memory > 100_000 || s.Sessions < 150 || s.Sessions+int64(refused) != 300 {
			w.t.Errorf("%d sessions in %d bytes, %d refused", s.Sessions, s.Memory, refused)
		}
		p, ack := w.connect(v, "0", persistent) // who has one may come back
		equal(w.t, "CONNACK", ack.ReasonCode, mqtt.Success)
		p.quiet()
	})
}

// Messages in flight to clients that never acknowledge meet the limit as well,
// and take nothing from one who does.
func TestMaxMemoryInFlight(t *testing.T) {
	eachVersion(t, Options{MaxMemory: 1 << 20}, func(w *world, v mqtt.Version) {
		pub, good := w.client(v, "pub"), w.client(v, "good")
		good.subscribe(mqtt.QoS1, "good")
		var bad []*peer
		for i := range 4 {
			p := w.client(v, fmt.Sprint("bad ", i))
			p.subscribe(mqtt.QoS1, fmt.Sprint("bad/", i))
			bad = append(bad, p)
		}
		for i := range 400 {
			pub.put(publish(mqtt.QoS1, 1, fmt.Sprint("bad/", i%4), strings.Repeat("x", 10_000)))
			pub.put(publish(mqtt.QoS1, 1, "good", "x"))
			good.finish(good.message("good", "x"))
		}
		s := w.b.Stats()
		if s.Memory > 9<<17 || s.DroppedMemory < 200 {
			w.t.Errorf("%d bytes, %d dropped", s.Memory, s.DroppedMemory)
		}
		for _, p := range bad {
			p.drop()
		}
		equal(w.t, "memory", w.underWay(), 0)
	})
}

// Filters that all match one topic, each with its identifier, make a message that
// is many times as large for one session, in its queue as well; and no more work
// than there are filters.
func TestOverlappingIdentifiersAreCounted(t *testing.T) {
	inWorld(t, Options{MaxMemory: 2 << 20}, func(w *world) {
		name := strings.Repeat("a/", 12) + "a"
		s := &session{}
		var rs []route
		const n = 4096
		for i := range n {
			rs = append(rs, route{s: s, ids: []uint32{uint32(i + 1)}})
		}
		if allocs := testing.AllocsPerRun(1, func() { equal(t, "routes", len(mergeRoutes(append([]route(nil), rs...))), 1) }); allocs > 10 {
			t.Errorf("%v allocations for %d filters", allocs, n)
		}
		sub, _ := w.connect(mqtt.V50, "sub", persistent)
		for i := range 512 {
			levels := strings.Split(name, "/")
			for bit := range 9 {
				if i>>bit&1 == 1 {
					levels[bit] = "+"
				}
			}
			sub.send(&mqtt.Subscribe{PacketID: 1, Properties: mqtt.Properties{mqtt.Num(mqtt.SubscriptionIdentifier, uint32(i+1))},
				Subscriptions: []mqtt.Subscription{{Filter: strings.Join(levels, "/"), QoS: mqtt.QoS1}}})
			next[*mqtt.Suback](sub)
		}
		sub.drop()
		pub := w.client(mqtt.V50, "pub")
		before := w.underWay()
		for range 100 {
			pub.put(publish(mqtt.QoS1, 1, name, "x"))
		}
		if grown := w.underWay() - before; grown < 100*4*512 {
			t.Errorf("100 messages with 512 identifiers are counted as %d bytes", grown)
		}
	})
}
