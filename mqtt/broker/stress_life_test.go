package broker

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"mqt/mqtt"
	"mqt/mqtt/store/storetest"
)

// lives is what is known of the connections that wanted to be one client.
type lives struct {
	b     *live
	id    string
	began atomic.Int64 // connections, so far

	mu      sync.Mutex
	tickets map[string]int // of those that have seen their CONNACK, in that order
}

// What connections of one Client Identifier do comes in the order of the connections,
// their wills as well, and each will once at most, however they end: by take-over, clean
// start, DISCONNECT with another expiry, loss, keep alive, expiry, a kick. In the end
// nothing is left of them.
func TestStressLives(t *testing.T) {
	for _, engine := range []string{"", portable} {
		for _, keep := range []bool{false, true} {
			t.Run(fmt.Sprint(engine, " store ", keep), func(t *testing.T) { testStressLives(t, engine, keep) })
		}
	}
}

func testStressLives(t *testing.T, engine string, keep bool) {
	var o Options
	memory := storetest.NewMemory()
	if keep {
		o.Store = memory
	}
	b := liveBroker(t, o)
	b.listen(engine + byUnix)
	clients := make([]*lives, 3)
	seen := make([][]string, len(clients))
	for i := range clients {
		clients[i] = &lives{b: b, id: fmt.Sprint("c", i), tickets: map[string]int{}}
	}
	watch := b.client(t, mqtt.V50, "watch", nil)
	watch.write(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "life/#", QoS: 1}}})
	watch.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypeSuback })
	var watching, all sync.WaitGroup
	watching.Go(func() {
		watch.await(func(pkt mqtt.Packet) bool {
			m, ok := pkt.(*mqtt.Publish)
			if !ok {
				return false
			}
			watch.ack(mqtt.TypePuback, m.PacketID)
			if string(m.Topic) == "life/over" {
				return true
			}
			i := m.Topic[len("life/c")] - '0'
			seen[i] = append(seen[i], string(m.Payload))
			return false
		})
	})
	for g := range 9 {
		rnd := rand.New(rand.NewPCG(5, uint64(g)))
		all.Go(func() {
			for range 60 {
				clients[g%len(clients)].live(t, rnd)
			}
		})
	}
	all.Wait()
	eventually(t, func() string { // expiry and delays are a second at most
		if s := b.Stats(); s.Connections != 1 || s.Sessions != 1 {
			return fmt.Sprintf("%+v is left", s)
		}
		b.mu.Lock() // the end of a Session is under way for a moment longer
		defer b.mu.Unlock()
		if n := len(b.passages); n > 0 {
			return fmt.Sprintf("%d are under way", n)
		}
		return ""
	})
	watch2 := b.client(t, mqtt.V50, "ends", nil)
	watch2.write(publish(mqtt.QoS1, 1, "life/over", ""))
	watching.Wait()
	for i, c := range clients {
		c.check(t, seen[i])
	}
	watch.nc.Close()
	watch2.nc.Close()
	b.stop()
	equal(t, "under way", len(b.passages), 0)
	if keep {
		equal(t, "in the store", sessionsOf(memory), 0)
	}
}

// live is one connection, from its beginning to any end.
func (l *lives) live(t *testing.T, rnd *rand.Rand) {
	name := fmt.Sprint(l.began.Add(1))
	p := &livePeer{t: t, nc: l.b.dial(), v: mqtt.V50, r: mqtt.Reader{From: mqtt.Server, Version: mqtt.V50}}
	defer p.nc.Close()
	expiry, keepAlive := uint32(rnd.IntN(2)), uint16(rnd.IntN(2))
	p.write(&mqtt.Connect{Version: mqtt.V50, ClientID: l.id, CleanStart: rnd.IntN(3) == 0, KeepAlive: keepAlive,
		Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, expiry)},
		Will: &mqtt.Will{Topic: "life/" + l.id, QoS: mqtt.QoS1, Payload: []byte("will " + name),
			Properties: mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, uint32(rnd.IntN(2)))}}})
	if rnd.IntN(10) == 0 {
		return // before it knows
	}
	if !p.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypeConnack }) {
		return // a newer one came
	}
	l.mu.Lock()
	l.tickets[name] = len(l.tickets)
	l.mu.Unlock()
	p.write(subscribeTo("elsewhere"), publish(mqtt.QoS1, 1, "life/"+l.id, "1st "+name), publish(mqtt.QoS2, 2, "life/"+l.id, "2nd "+name))
	if rnd.IntN(2) == 0 {
		p.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypePubrec }) // or it is taken over
	}
	switch rnd.IntN(6) {
	case 0:
		p.write(&mqtt.Disconnect{})
	case 1:
		p.write(&mqtt.Disconnect{ReasonCode: 0x04})
	case 2:
		p.write(&mqtt.Disconnect{ReasonCode: 0x04, Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 0)}})
	case 3:
		l.kick()
	case 4:
		if keepAlive > 0 {
			p.await(func(mqtt.Packet) bool { return false }) // until it is closed for it
		}
	}
}

// kick closes whoever is connected just now.
func (l *lives) kick() {
	l.b.mu.Lock()
	s := l.b.sessions.get(l.id)
	l.b.mu.Unlock()
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil && !s.muted {
		s.conn.kick(mqtt.AdministrativeAction, errShutdown)
	}
}

// check looks at what was seen. The ticket of a connection that has taken it too late,
// when another had taken over, says nothing: nor has that one sent anything.
func (l *lives) check(t *testing.T, seen []string) {
	last, came := -1, map[string]int{}
	for _, m := range seen {
		came[m]++
	}
	for _, m := range seen {
		what, name, _ := strings.Cut(m, " ")
		ticket, ok := l.tickets[name]
		switch {
		case came[m] > 1:
			t.Errorf("%s: %s came %d times", l.id, m, came[m])
		case what != "will" && !ok:
			t.Errorf("%s: %s without a CONNACK", l.id, m)
		case came["1st "+name] == 0:
		case ticket < last:
			t.Errorf("%s: %s of connection %d behind one of %d", l.id, m, ticket, last)
		default:
			last = ticket
		}
	}
	if last < 10 || len(came) < 30 {
		t.Errorf("%s: %d of %d were connected, %d messages came", l.id, last, len(l.tickets), len(came))
	}
}
