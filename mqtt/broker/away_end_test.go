package broker

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
)

// until lets the store go on until the session has come so far.
func (w *kept) until(d *tardy, step uint8) {
	w.t.Helper()
	for {
		synctest.Wait()
		s := w.session("s")
		s.mu.Lock()
		now := s.keep.parting
		s.mu.Unlock()
		if now == step {
			return
		}
		if !d.one() {
			w.t.Fatal("it does not come so far")
		}
	}
}

func (d *tardy) all() {
	for d.one() {
		synctest.Wait()
	}
	synctest.Wait()
}

// What comes when they are about to leave stays behind, until the store has it.
func TestAwayOneMoreMeanwhile(t *testing.T) {
	inTardy(t, 100, func(w *kept, d *tardy, _, s *peer, _ []*mqtt.Publish) {
		s.drop()
		w.until(d, partLeaving)
		turn := w.b.beginTurn(nil)
		turn.pub.begin("q1", []byte("late"), nil, mqtt.QoS1, false, nil)
		w.b.publish(turn, nil)
		d.all()
		s = w.durable(mqtt.V50, "s")
		came := s.finishAll()
		turn.end()
		d.all()
		came = append(came, s.finishAll()...)
		equal(t, "came", came, append(numbers(0, 100), "late"))
		s.drop()
		s = w.durable(mqtt.V50, "s")
		s.quiet()
	})
}

// The same where the store refuses it.
func TestAwayOneMoreIsRefused(t *testing.T) {
	inTardy(t, 100, func(w *kept, d *tardy, a, s *peer, _ []*mqtt.Publish) {
		s.drop()
		w.until(d, partLeaving)
		w.faulty.Fail(store.ErrFull)
		a.send(publish(1, 9, "q1", "late"))
		w.faulty.Fail(nil)
		d.all()
		equal(t, "PUBACK", next[*mqtt.Puback](a).ReasonCode, mqtt.QuotaExceeded)
		equal(t, "waiting", w.b.Stats().Waiting, int64(100))
		equal(t, "on disk", w.session("s").keep.disk.n, 100)
	})
}

// What the store has refused and the client was sent all the same stays in memory: it comes again.
func TestAwayWithoutTheStore(t *testing.T) {
	inStore(t, Options{}, func(w *kept) {
		a, s := w.durable(mqtt.V50, "a"), w.durable(mqtt.V50, "s")
		s.subscribe(mqtt.QoS1, "r/#")
		for i := range 40 {
			p := publish(1, 9, fmt.Sprint("r/", i), "retained")
			p.Retain = true
			a.send(p)
			next[*mqtt.Puback](a)
		}
		s.finishAll()
		w.faulty.Fail(store.ErrFull)
		s.subscribe(mqtt.QoS1, "r/#") // nothing new, so that it succeeds
		equal(t, "retained", len(s.take()), 40)
		w.faulty.Fail(nil)
		s.drop()
		s = w.durable(mqtt.V50, "s")
		again := s.take()
		equal(t, "again", len(again), 40)
		for _, pkt := range again {
			equal(t, "DUP", pkt.(*mqtt.Publish).Dup, true)
			s.send(puback(pkt.(*mqtt.Publish).PacketID))
		}
		s.subscribe(mqtt.QoS2, "q2")
		s.subscribe(mqtt.QoS1, "q1")
		w.stand(a, s, 100) // and from then on the store has all
		s.drop()
		n, _ := w.inMemory("s")
		equal(t, "in memory", n, 0)
	})
}

// A return ends what was begun: the next time little stays where it is.
func TestAwayBeginsAnew(t *testing.T) {
	inStore(t, Options{}, func(w *kept) {
		a, s := w.standing(mqtt.V50)
		w.stand(a, s, 100)
		turn := w.b.beginTurn(nil)
		turn.pub.begin("q1", []byte("late"), nil, mqtt.QoS1, false, nil)
		w.b.publish(turn, nil)
		turn.own.Flush()
		s.send(puback(s.message("q1", "late").PacketID))
		s.drop() // and they cannot leave, for late is not durable
		s = w.durable(mqtt.V50, "s")
		got := s.take()
		for _, pkt := range got[:95] {
			if m := pkt.(*mqtt.Publish); m.QoS == mqtt.QoS2 {
				s.send(pubrec(m.PacketID))
			} else {
				s.send(puback(m.PacketID))
			}
		}
		s.finishAll()
		s.drop()
		for range 2 {
			n, _ := w.inMemory("s")
			equal(t, "in memory", n, 5)
			if turn != nil {
				turn.end()
				turn = nil
			}
		}
	})
}

// Of shared messages that were in flight another member has those of QoS 1 when the Session ends, and none of QoS 2
// [MQTT-4.8.2-5].
func TestAwaySharedEnd(t *testing.T) {
	for _, back := range []bool{false, true} {
		inStore(t, Options{}, func(w *kept) {
			a, s := w.durable(mqtt.V50, "a"), w.durable(mqtt.V50, "s")
			s.subscribe(mqtt.QoS2, "$share/g/q2")
			s.subscribe(mqtt.QoS1, "$share/g/q1")
			w.stand(a, s, 100)
			other := w.durable(mqtt.V50, "other")
			other.subscribe(mqtt.QoS2, "$share/g/q2")
			other.subscribe(mqtt.QoS1, "$share/g/q1")
			s.drop()
			n, _ := w.inMemory("s")
			equal(t, "in memory", n, 0)
			if back {
				w.durableWith("s", 10).drop()
			}
			w.client(mqtt.V50, "s") // a clean start
			got := other.take()
			equal(t, "handed over", len(got), 50)
			for _, pkt := range got {
				equal(t, "QoS", pkt.(*mqtt.Publish).QoS, mqtt.QoS1)
				other.send(puback(pkt.(*mqtt.Publish).PacketID))
			}
			equal(t, "waiting", w.b.Stats().Waiting, int64(0))
		})
	}
}

// However far they have come when the Session ends, nothing is left of them.
func TestAwayEnds(t *testing.T) {
	ends := map[string]func(w *kept, d *tardy){
		"clean start": func(w *kept, _ *tardy) {
			w.dial(mqtt.V50).send(&mqtt.Connect{Version: mqtt.V50, ClientID: "s", CleanStart: true})
		},
		"expiry": func(*kept, *tardy) { time.Sleep(2 * time.Hour) },
		"clean start of one who was back": func(w *kept, d *tardy) {
			c := &mqtt.Connect{Version: mqtt.V50, ClientID: "s"}
			persistent(c)
			w.dial(mqtt.V50).send(c)
			d.one()
			w.dial(mqtt.V50).send(&mqtt.Connect{Version: mqtt.V50, ClientID: "s", CleanStart: true})
		},
	}
	for name, end := range ends {
		for steps := range 7 {
			t.Run(fmt.Sprint(name, " after ", steps), func(t *testing.T) {
				inTardy(t, 100, func(w *kept, d *tardy, a, s *peer, got []*mqtt.Publish) {
					s.send(pubrec(got[1].PacketID), pubrec(got[3].PacketID), puback(got[2].PacketID))
					s.drop()
					a.send(publish(1, 9, "q1", "x"), publish(2, 10, "q2", "y"))
					for range steps {
						d.one()
						synctest.Wait()
					}
					end(w, d)
					d.all()
					equal(t, "waiting", w.b.Stats().Waiting, int64(0))
					equal(t, "counted", w.underWay(), int64(0))
				})
			})
		}
	}
}
