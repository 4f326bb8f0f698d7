package broker

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"mqt/mqtt"
	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

// unsynced is a store that loses all that was not synced when the power fails. It
// is synced when it is told.
type unsynced struct {
	*storetest.Memory
	mu      sync.Mutex
	waiting []func()
}

func (u *unsynced) Commit(b *store.Batch, done func(error)) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting = append(u.waiting, func() { u.Memory.Commit(b, done) })
	return false
}

// sync makes the first n of what waits durable.
func (u *unsynced) sync(n int) {
	u.mu.Lock()
	some := u.waiting[:min(n, len(u.waiting))]
	u.waiting = u.waiting[len(some):]
	u.mu.Unlock()
	for _, f := range some {
		f()
	}
	synctest.Wait()
}

// all syncs until nothing waits.
func (u *unsynced) all() {
	for {
		synctest.Wait()
		u.mu.Lock()
		n := len(u.waiting)
		u.mu.Unlock()
		if n == 0 {
			return
		}
		u.sync(n)
	}
}

// cutLife is a publisher and a subscriber that obey the standard, over power cuts
// of the broker.
type cutLife struct {
	*world
	r     *rand.Rand
	disk  *unsynced
	a, s  *peer
	next  int
	free  []mqtt.PacketID
	open  map[mqtt.PacketID]*mqtt.Publish // not acknowledged, nil: PUBREL is
	order []mqtt.PacketID                 // of these
	owed  map[int]bool                    // what the broker has accepted, and may not lose

	known    map[mqtt.PacketID]bool // inbound at QoS 2, no PUBREL yet
	got      map[int]int
	last     [3]int
	qos      map[int]mqtt.QoS
	twice    map[int]bool // the publisher sent it again
	messages int
}

// Nothing that was acknowledged is lost when the power fails, nothing comes twice
// at QoS 2, and all is in order, whatever part of it was on the disk.
func TestPowerCuts(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &cutLife{world: &world{t: t}, r: rand.New(rand.NewPCG(seed, 3)), disk: &unsynced{Memory: storetest.NewMemory()},
					open: map[mqtt.PacketID]*mqtt.Publish{}, owed: map[int]bool{}, known: map[mqtt.PacketID]bool{},
					got: map[int]int{}, last: [3]int{-1, -1, -1}, qos: map[int]mqtt.QoS{}, twice: map[int]bool{}}
				for id := range mqtt.PacketID(20) {
					l.free = append(l.free, id+1)
				}
				l.run()
			})
		})
	}
}

func (l *cutLife) run() {
	l.boot()
	l.s.send(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "t", QoS: 2}}})
	l.disk.all()
	next[*mqtt.Suback](l.s)
	for range 600 {
		l.step()
	}
	for range 50 { // until all is said
		l.disk.all()
		l.publisher()
		l.subscriber()
	}
	for n := range l.owed {
		if l.got[n] == 0 {
			l.t.Errorf("%d was acknowledged at QoS %d and has not come", n, l.qos[n])
		}
	}
	if len(l.open) > 0 || l.messages < 50 {
		l.t.Errorf("%d are not acknowledged, %d came", len(l.open), l.messages)
	}
	l.disk.all()
	for x := range l.disk.Sessions() {
		if x.Count > 0 || len(x.Received) > 0 || len(x.Released) > 0 {
			l.t.Errorf("left in the store: %+v", x)
		}
	}
	l.end(l.b)
}

func (l *cutLife) end(b *Broker) {
	if err := b.Shutdown(context.WithoutCancel(l.t.Context())); err != nil {
		l.t.Error(err)
	}
	synctest.Wait()
}

func (l *cutLife) step() {
	switch l.r.IntN(16) {
	case 0, 1, 2, 3, 4:
		l.publish()
	case 5, 6, 7:
		l.publisher()
	case 8, 9, 10:
		l.subscriber()
	case 11, 12, 13:
		l.disk.sync(1 + l.r.IntN(4))
	case 14:
		if l.r.IntN(3) == 0 { // it is away, or takes over
			l.s.drop()
			l.s = l.enter("s")
		}
	case 15:
		if l.r.IntN(3) == 0 {
			l.cut()
		}
	}
}

// boot starts a broker and connects to it.
func (l *cutLife) boot() {
	b, err := New(Options{Store: l.disk})
	if err != nil {
		l.t.Fatal(err)
	}
	l.b = b
	l.disk.all()
	l.a = l.enter("a")
	l.s = l.enter("s")
	for _, id := range l.order { // [MQTT-4.4.0-1]
		if p := l.open[id]; p != nil {
			p.Dup = true
			n, _ := strconv.Atoi(string(p.Payload))
			l.twice[n] = true
			l.a.send(p)
		} else {
			l.a.send(pubrel(id))
		}
	}
}

func (l *cutLife) enter(id string) *peer {
	p := l.dial(mqtt.V50)
	c := &mqtt.Connect{Version: mqtt.V50, ClientID: id}
	persistent(c)
	p.send(c)
	l.disk.all()
	if ack := next[*mqtt.Connack](p); ack.ReasonCode.Failed() || l.next > 0 && !ack.SessionPresent {
		l.t.Fatalf("CONNACK %+v", ack)
	}
	return p
}

func (l *cutLife) cut() {
	synctest.Wait()
	old := l.b
	// What has arrived has arrived.
	l.publisher()
	l.subscriber()
	l.disk = &unsynced{Memory: l.disk.Clone()}
	l.a.nc.Close()
	l.s.nc.Close()
	l.end(old)
	l.boot()
}

func (l *cutLife) publish() {
	if len(l.free) == 0 {
		return
	}
	id := l.free[0]
	l.free = l.free[1:]
	n := l.next
	l.next++
	l.qos[n] = mqtt.QoS(1 + l.r.IntN(2))
	p := publish(l.qos[n], id, "t", strconv.Itoa(n))
	l.open[id] = p
	l.order = append(l.order, id)
	l.a.send(p)
}

// publisher does what the answers ask of it.
func (l *cutLife) publisher() {
	for _, pkt := range l.a.take() {
		switch p := pkt.(type) {
		case *mqtt.Puback:
			l.accepted(p.PacketID)
			l.done(p.PacketID)
		case *mqtt.Pubrec:
			l.accepted(p.PacketID)
			if _, ok := l.open[p.PacketID]; !ok {
				l.t.Fatalf("PUBREC %d for nothing", p.PacketID)
			}
			l.open[p.PacketID] = nil
			l.a.send(pubrel(p.PacketID))
		case *mqtt.Pubcomp:
			l.done(p.PacketID)
		default:
			l.t.Fatalf("the publisher got %v", pkt)
		}
	}
}

func (l *cutLife) accepted(id mqtt.PacketID) {
	if p := l.open[id]; p != nil {
		n, _ := strconv.Atoi(string(p.Payload))
		l.owed[n] = true
	}
}

func (l *cutLife) done(id mqtt.PacketID) {
	delete(l.open, id)
	l.order = slices.DeleteFunc(l.order, func(x mqtt.PacketID) bool { return x == id })
	l.free = append(l.free, id)
}

// subscriber takes what has come, and answers it.
func (l *cutLife) subscriber() {
	for _, pkt := range l.s.take() {
		switch p := pkt.(type) {
		case *mqtt.Publish:
			n, _ := strconv.Atoi(string(p.Payload))
			if again := l.got[n] > 0; again && !p.Dup && !l.twice[n] { // [MQTT-3.3.1-1]
				l.t.Errorf("%d came again at QoS %d with DUP 0", n, p.QoS)
			}
			if p.QoS == mqtt.QoS1 {
				l.count(n)
				l.s.send(puback(p.PacketID))
				continue
			}
			if !l.known[p.PacketID] {
				l.known[p.PacketID] = true
				l.count(n)
			}
			l.s.send(pubrec(p.PacketID))
		case *mqtt.Pubrel:
			delete(l.known, p.PacketID)
			l.s.send(pubcomp(p.PacketID))
		default:
			l.t.Fatalf("the subscriber got %v", pkt)
		}
	}
}

func (l *cutLife) count(n int) {
	l.messages++
	l.got[n]++
	switch qos := l.qos[n]; {
	case l.got[n] > 1 && qos == mqtt.QoS2:
		l.t.Errorf("%d came %d times; known are %v", n, l.got[n], slices.Sorted(maps.Keys(l.known)))
	case l.got[n] == 1 && n < l.last[qos]:
		l.t.Errorf("%d came behind %d", n, l.last[qos])
	case l.got[n] == 1:
		l.last[qos] = n
	}
}
