package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"mqt/mqtt"
)

// awayLife is a client that comes and goes while the store is slow, and publishers whose turns may last.
type awayLife struct {
	*kept
	d     *tardy
	r     *rand.Rand
	s     *peer
	sent  int
	want  [3][]string // by QoS
	got   [3][]string
	seen  map[string]bool        // at QoS 1
	known map[mqtt.PacketID]bool // it has sent PUBREC, and has had no PUBREL
	owes  []mqtt.Packet          // answers
	in    bool                   // it had its CONNACK
	open  []*turn                // of publishers
}

// Each message comes in its order, at QoS 2 exactly once and at QoS 1 again only with DUP, however often the client comes
// and goes, whatever the store is slow with; and in the end nothing is left.
func TestAwayLives(t *testing.T) {
	lives := 1000
	if testing.Short() || raceEnabled {
		lives = 200
	}
	for seed := range lives {
		inTardy(t, 0, func(w *kept, d *tardy, _, s *peer, _ []*mqtt.Publish) {
			d.all()
			l := &awayLife{kept: w, d: d, r: rand.New(rand.NewPCG(uint64(seed), 9)), s: s, in: true, known: map[mqtt.PacketID]bool{}, seen: map[string]bool{}}
			for range 80 {
				l.step()
			}
			l.conclude()
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func (l *awayLife) step() {
	switch n := l.r.IntN(26); {
	case n < 6:
		l.publish()
	case n < 8:
		if len(l.open) > 0 {
			i := l.r.IntN(len(l.open))
			l.open[i].end()
			l.open = slices.Delete(l.open, i, i+1)
		}
	case n < 12:
		l.answerSome()
	case n < 14:
		l.s.drop()
	case n < 16:
		l.answerSome()
		l.s.drop()
	case n < 18:
		l.comeBack([]uint32{5, 40, 100, 65535, 65535}[l.r.IntN(5)])
	case n < 20:
		l.d.hold()
	case n < 24:
		for range 1 + l.r.IntN(3) {
			l.d.one()
			synctest.Wait()
		}
	default:
		l.d.all()
	}
}

func (l *awayLife) publish() {
	turn := l.b.beginTurn(nil)
	for range 1 + l.r.IntN(50) {
		qos := mqtt.QoS(1 + l.r.IntN(2))
		x := strconv.Itoa(l.sent)
		l.sent++
		turn.pub.begin(fmt.Sprint("q", qos), []byte(x), nil, qos, false, nil)
		l.b.publish(turn, nil)
		l.want[qos] = append(l.want[qos], x)
	}
	turn.own.Flush()
	if l.r.IntN(2) == 0 {
		turn.end()
	} else {
		l.open = append(l.open, turn)
	}
}

// comeBack is the client on a new connection, where it may answer early what it had on the old one.
func (l *awayLife) comeBack(most uint32) {
	l.hear()
	early := l.owes
	if l.owes = nil; l.r.IntN(3) > 0 {
		early = nil
	}
	if !l.s.closed.Load() && l.r.IntN(2) == 0 {
		l.s.drop() // else it is taken over
	}
	s := l.dial(mqtt.V50)
	c := &mqtt.Connect{Version: mqtt.V50, ClientID: "s"}
	persistent(c)
	c.Properties = append(c.Properties, mqtt.Num(mqtt.ReceiveMaximum, most))
	s.send(append([]mqtt.Packet{c}, early...)...)
	l.hear() // what the old one had until then
	l.s, l.in = s, false
	l.hear()
}

// hear takes what has come.
func (l *awayLife) hear() {
	for _, pkt := range l.s.take() {
		switch p := pkt.(type) {
		case *mqtt.Publish:
			l.message(p)
		case *mqtt.Connack:
			l.in = true
		case *mqtt.Pubrel:
			if p.ReasonCode.Failed() {
				if l.known[p.PacketID] {
					l.t.Errorf("PUBREL of %v: %v", p.PacketID, p.ReasonCode)
				}
				continue
			}
			delete(l.known, p.PacketID)
			l.owes = append(l.owes, pubcomp(p.PacketID))
		}
	}
}

func (l *awayLife) message(p *mqtt.Publish) {
	x := string(p.Payload)
	switch {
	case p.QoS == mqtt.QoS2:
		if !l.known[p.PacketID] {
			l.known[p.PacketID] = true
			l.got[2] = append(l.got[2], x)
		}
		l.owes = append(l.owes, pubrec(p.PacketID))
		return
	case !l.seen[x]:
		l.seen[x] = true
		l.got[1] = append(l.got[1], x)
	case !p.Dup:
		l.t.Errorf("%s again without DUP", x)
	}
	l.owes = append(l.owes, puback(p.PacketID))
}

func (l *awayLife) answerSome() {
	l.hear()
	l.answer(l.r.IntN(len(l.owes) + 1))
}

// answer sends the first n answers.
func (l *awayLife) answer(n int) {
	if l.in && !l.s.closed.Load() {
		l.s.send(l.owes[:n]...)
	}
	l.owes = slices.Clone(l.owes[n:])
}

// conclude lets all come to its end.
func (l *awayLife) conclude() {
	t := l.t
	for _, x := range l.open {
		x.end()
	}
	l.d.all()
	l.comeBack(65535)
	for l.hear(); len(l.owes) > 0; l.hear() {
		l.answer(len(l.owes))
	}
	equal(t, "QoS 1", l.got[1], l.want[1])
	equal(t, "QoS 2", l.got[2], l.want[2])
	equal(t, "waiting", l.b.Stats().Waiting, int64(0))
	equal(t, "counted", l.underWay(), int64(0))
	if c, _ := l.session("s").describe(); c.InFlight+c.Queued+c.QueuedBytes+c.FlightBytes != 0 {
		t.Errorf("%+v", c)
	}
	if q, err := l.memory.ReadQueue(l.storeID("s"), 0, 10, 1<<20); err != nil || len(q) > 0 {
		t.Errorf("the store has still %v, %v", q, err)
	}
}
