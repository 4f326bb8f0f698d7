package broker

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"mqt/mqtt"
	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

// inMemory is how many messages a session has in memory, and how many there are of all in its flight.
func (w *kept) inMemory(id string) (n, inFlight int) {
	w.t.Helper()
	synctest.Wait()
	s := w.session(id)
	c, ok := s.describe()
	if !ok {
		w.t.Fatal("it has ended")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		for _, e := range s.sender.All() {
			if e.Value.d != nil {
				n++
			}
		}
		n += s.queue.n
	}
	return n + s.keep.late.n, c.InFlight
}

// stand has a publisher send n messages of QoS 1 and 2 in turn, which s gets but does not acknowledge.
func (w *kept) stand(from *peer, s *peer, n int) (got []*mqtt.Publish) {
	w.t.Helper()
	for i := range n {
		qos := mqtt.QoS(1 + i%2)
		from.send(publish(qos, 9, fmt.Sprint("q", qos), fmt.Sprint(i)))
		if qos == 2 {
			next[*mqtt.Pubrec](from)
			from.send(pubrel(9))
			next[*mqtt.Pubcomp](from)
		} else {
			next[*mqtt.Puback](from)
		}
		got = append(got, s.message(fmt.Sprint("q", qos), fmt.Sprint(i)))
	}
	return got
}

func (w *kept) standing(v mqtt.Version) (a, s *peer) {
	w.t.Helper()
	a, s = w.durable(v, "a"), w.durable(v, "s")
	s.subscribe(mqtt.QoS2, "q2")
	s.subscribe(mqtt.QoS1, "q1")
	return a, s
}

// What was in flight to one who leaves is on the disk, and comes again as it would have: PUBREL in the order of the
// PUBRECs [MQTT-4.6.0-4], PUBLISH with DUP under its Packet Identifier in its order, then what is new.
func TestAwayFlight(t *testing.T) {
	for _, v := range []mqtt.Version{mqtt.V311, mqtt.V50} {
		inStore(t, Options{}, func(w *kept) {
			a, s := w.standing(v)
			got := w.stand(a, s, 200)
			var released []mqtt.PacketID
			for _, i := range []int{7, 3, 9} { // QoS 2
				s.send(pubrec(got[i].PacketID))
				equal(t, "PUBREL", next[*mqtt.Pubrel](s).PacketID, got[i].PacketID)
				released = append(released, got[i].PacketID)
			}
			var rest []*mqtt.Publish
			for i, m := range got {
				switch {
				case i == 4 || i == 100: // QoS 1, in the turn that says goodbye
				case m.PacketID != released[0] && m.PacketID != released[1] && m.PacketID != released[2]:
					rest = append(rest, m)
				}
			}
			s.send(puback(got[4].PacketID), puback(got[100].PacketID), &mqtt.Disconnect{})
			n, inFlight := w.inMemory("s")
			equal(t, "in memory", n, 0)
			equal(t, "in flight", inFlight, 198)
			equal(t, "counted", w.underWay(), int64(0))
			a.send(publish(1, 9, "q1", "new"))
			next[*mqtt.Puback](a)
			for range 2 { // the second time from what was read back
				s = w.durable(v, "s")
				for _, id := range released {
					equal(t, "PUBREL again", next[*mqtt.Pubrel](s).PacketID, id)
				}
				for _, m := range rest {
					again := s.message(string(m.Topic), string(m.Payload))
					if again.PacketID != m.PacketID || again.QoS != m.QoS || !again.Dup {
						t.Fatalf("got %+v again, was %+v", again, m)
					}
				}
				s.message("q1", "new")
				s.quiet()
				s.drop()
				n, _ = w.inMemory("s")
				equal(t, "in memory", n, 0)
			}
			s = w.durable(v, "s")
			s.finishAll()
			s.drop()
			if q, err := w.memory.ReadQueue(w.storeID("s"), 0, 10, 1<<20); err != nil || len(q) > 0 {
				t.Errorf("the store has still %v, %v", q, err)
			}
			if _, inFlight := w.inMemory("s"); inFlight != 0 {
				t.Errorf("%d are in flight", inFlight)
			}
			equal(t, "counted", w.underWay(), int64(0))
			equal(t, "waiting", w.b.Stats().Waiting, int64(0))
		})
	}
}

func (w *kept) session(id string) *session {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	return w.b.sessions.get(id)
}

func (w *kept) storeID(id string) store.SessionID { return w.session(id).keep.id }

// durableWith is durable with a Receive Maximum.
func (w *kept) durableWith(id string, most uint32) *peer {
	w.t.Helper()
	p, _ := w.connect(mqtt.V50, id, func(c *mqtt.Connect) {
		persistent(c)
		c.Properties = append(c.Properties, mqtt.Num(mqtt.ReceiveMaximum, most))
	})
	return p
}

// finishAll acknowledges all that comes, and returns the payloads.
func (p *peer) finishAll() (came []string) {
	p.t.Helper()
	for {
		got := p.take()
		if len(got) == 0 {
			return came
		}
		for _, pkt := range got {
			switch m := pkt.(type) {
			case *mqtt.Publish:
				if came = append(came, string(m.Payload)); m.QoS == mqtt.QoS2 {
					p.send(pubrec(m.PacketID))
				} else {
					p.send(puback(m.PacketID))
				}
			case *mqtt.Pubrel:
				p.send(pubcomp(m.PacketID))
			}
		}
	}
}

// Little stays where it is.
func TestAwayWithLittle(t *testing.T) {
	inStore(t, Options{}, func(w *kept) {
		a, s := w.standing(mqtt.V50)
		w.stand(a, s, awayWindow)
		s.drop()
		n, _ := w.inMemory("s")
		equal(t, "in memory", n, awayWindow)
	})
}

// A queue that may be short has room for as much as it had before they left.
func TestAwayFlightIsNoQueue(t *testing.T) {
	inStore(t, Options{MaxQueue: 10}, func(w *kept) {
		a, s := w.standing(mqtt.V50)
		w.stand(a, s, 100)
		s.drop()
		for i := range 11 {
			a.send(publish(1, 9, "q1", fmt.Sprint("new", i)))
			if ack := next[*mqtt.Puback](a); ack.ReasonCode.Failed() != (i == 10) {
				t.Errorf("%d: %v", i, ack.ReasonCode)
			}
		}
	})
}

// Nor does it lose that when its client comes back and takes a part of them.
func TestAwayFlightIsNoQueueAfterwards(t *testing.T) {
	for _, leave := range []bool{false, true} {
		inStore(t, Options{MaxQueue: 20}, func(w *kept) {
			a, s := w.standing(mqtt.V50)
			w.stand(a, s, 100)
			s.drop()
			s = w.durableWith("s", 10)
			equal(t, "sent", len(s.take()), 10)
			if leave {
				s.drop()
			}
			_, inFlight := w.inMemory("s")
			equal(t, "in flight", inFlight, 100)
			for i := range 20 {
				a.send(publish(1, 9, "q1", fmt.Sprint("new", i)))
				equal(t, "PUBACK", next[*mqtt.Puback](a).ReasonCode, mqtt.Success)
			}
		})
	}
}

// A PUBREC that was under way when the connection broke is not denied: the client would forget the message, and take it
// for another when it comes again.
func TestAwayEarlyPubrec(t *testing.T) {
	inStore(t, Options{}, func(w *kept) {
		a, s := w.standing(mqtt.V50)
		got := w.stand(a, s, 100)
		s.drop()
		w.faulty.Hold()
		s = w.dial(mqtt.V50)
		c := &mqtt.Connect{Version: mqtt.V50, ClientID: "s"}
		persistent(c)
		s.send(c, pubrec(got[1].PacketID), pubrec(12345))
		w.faulty.Release()
		next[*mqtt.Connack](s)
		rel := 0
		for _, pkt := range s.take() {
			if p, ok := pkt.(*mqtt.Pubrel); ok {
				if rel++; p.PacketID != 12345 || p.ReasonCode != mqtt.PacketIdentifierNotFound {
					t.Errorf("got %+v", p)
				}
			}
		}
		equal(t, "PUBREL", rel, 1)
	})
}

// Nor is one of a message that has been read back and waits for its turn.
func TestAwayEarlyPubrecOfOneThatIsBack(t *testing.T) {
	inStore(t, Options{}, func(w *kept) {
		a, s := w.standing(mqtt.V50)
		got := w.stand(a, s, 100)
		s.drop()
		s = w.durableWith("s", 10)
		for _, x := range got[:10] {
			s.message(string(x.Topic), string(x.Payload))
		}
		s.send(pubrec(got[51].PacketID))
		s.quiet()
	})
}

// What is not durable, or could be found again, does not leave: whatever the store is slow with.
func TestAwayWaits(t *testing.T) {
	inStore(t, Options{}, func(w *kept) {
		a, s := w.standing(mqtt.V50)
		got := w.stand(a, s, 100)
		w.faulty.Hold()
		a.send(publish(1, 9, "q1", "late"))
		m := s.message("q1", "late") // QoS 1 does not wait for the store
		s.send(puback(m.PacketID), puback(got[0].PacketID))
		s.drop()
		if n, _ := w.inMemory("s"); n < 99 {
			t.Errorf("%d in memory", n)
		}
		w.faulty.Release()
		n, inFlight := w.inMemory("s")
		equal(t, "in memory", n, 0)
		equal(t, "in flight", inFlight, 99)
		next[*mqtt.Puback](a)

		w.faulty.Fail(store.ErrFull)
		s = w.durable(mqtt.V50, "s")
		for _, x := range got[1:] {
			s.message(string(x.Topic), string(x.Payload))
		}
		s.drop()
		w.faulty.Fail(nil)
		s = w.durable(mqtt.V50, "s")
		for _, x := range got[1:] {
			s.message(string(x.Topic), string(x.Payload))
		}
		s.quiet()
		w.faulty.Fail(errors.New("broken"))
		s.drop()
		if n, _ := w.inMemory("s"); n == 0 {
			t.Error("they left for a store that has failed")
		}
	})
}

// tardy is a store that has what is committed only when it is let go, one batch after the other.
type tardy struct {
	*storetest.Memory
	mu   sync.Mutex
	held bool
	list []func()
}

func (d *tardy) Commit(b *store.Batch, done func(error)) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.held {
		return d.Memory.Commit(b, done)
	}
	d.list = append(d.list, func() { d.Memory.Commit(b, done) })
	return false
}

func (d *tardy) hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = true
}

// one lets go the first that is held, the last with all that comes.
func (d *tardy) one() (more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held = len(d.list) > 0; d.held {
		d.list[0]()
		d.list = d.list[1:]
	}
	return d.held
}

// inTardy has a session with n messages in flight, and then a store that is slow.
func inTardy(t *testing.T, n int, test func(w *kept, d *tardy, a, s *peer, got []*mqtt.Publish)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &tardy{Memory: storetest.NewMemory()}
		w := &kept{world: &world{t: t}, memory: d.Memory, faulty: storetest.NewFaulty(d)}
		w.o.Store = w.faulty
		b, err := New(w.o)
		if err != nil {
			t.Fatal(err)
		}
		w.b = b
		defer w.end()
		a, s := w.standing(mqtt.V50)
		got := w.stand(a, s, n)
		d.hold()
		test(w, d, a, s, got)
	})
}

// leftWith lets the store go on, and checks what it has when those in flight are left to it.
func (w *kept) leftWith(d *tardy, want []string) {
	w.t.Helper()
	left := false
	for more := true; more; {
		more = d.one()
		if n, _ := w.inMemory("s"); n > 0 || left {
			continue
		}
		left = true
		q, err := w.memory.ReadQueue(w.storeID("s"), 0, 1000, 1<<30)
		if err != nil {
			w.t.Fatal(err)
		}
		var have []string
		for _, x := range q {
			have = append(have, string(x.Payload))
		}
		equal(w.t, "in the store when they leave", have, want)
	}
	if !left {
		w.t.Error("they are still in memory")
	}
}

func numbers(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

// Nothing leaves that the store does not have yet, or still has though it was acknowledged: the client would get it again.
func TestAwayLeavesNothingBehind(t *testing.T) {
	inTardy(t, 100, func(w *kept, d *tardy, a, s *peer, got []*mqtt.Publish) {
		a.send(publish(1, 9, "q1", "acknowledged before it is durable"), publish(1, 10, "q1", "late"))
		m := s.message("q1", "acknowledged before it is durable")
		s.message("q1", "late")
		s.send(puback(m.PacketID), puback(got[0].PacketID))
		s.drop()
		w.leftWith(d, append(numbers(1, 100), "late"))
	})
}

// The same where the publisher's turn comes to its end when the client is already away: what it has sent, and been
// acknowledged, is in the store behind the end of the connection.
func TestAwayWhileATurnLasts(t *testing.T) {
	for _, acknowledged := range []bool{false, true} {
		inTardy(t, 100, func(w *kept, d *tardy, _, s *peer, got []*mqtt.Publish) {
			turn := w.b.beginTurn(nil)
			turn.pub.begin("q1", []byte("late"), nil, mqtt.QoS1, false, nil)
			w.b.publish(turn, nil)
			turn.own.Flush()
			m := s.message("q1", "late")
			want := append(numbers(1, 100), "late")
			if acknowledged {
				s.send(puback(m.PacketID))
				want = want[:99]
			}
			s.send(puback(got[0].PacketID))
			s.drop()
			held := len(d.list)
			turn.end()
			if len(d.list) != held+1 {
				t.Fatalf("%d commits are held, then %d", held, len(d.list))
			}
			w.leftWith(d, want)
		})
	}
}

// Who is back keeps in flight what it is sent again, and who leaves once more has not been away all the time.
func TestAwayAndBack(t *testing.T) {
	for _, released := range []int{0, 1, 2, 3, 4, 5} {
		inTardy(t, 100, func(w *kept, d *tardy, _, s *peer, got []*mqtt.Publish) {
			s.drop()
			s = w.dial(mqtt.V50)
			c := &mqtt.Connect{Version: mqtt.V50, ClientID: "s"}
			persistent(c)
			s.send(c)
			for range released {
				d.one()
				synctest.Wait()
			}
			if got := s.take(); len(got) > 0 {
				s.send(puback(got[1].(*mqtt.Publish).PacketID))
				s.drop()
				w.leftWith(d, numbers(1, 100))
				return
			}
			for d.one() {
				synctest.Wait()
			}
			next[*mqtt.Connack](s)
			var answers []mqtt.Packet
			for _, x := range got {
				m := s.message(string(x.Topic), string(x.Payload))
				if answers = append(answers, puback(m.PacketID)); m.QoS == mqtt.QoS2 {
					answers[len(answers)-1] = pubrec(m.PacketID)
				}
			}
			s.send(answers...)
			s.finishAll()
			s.drop()
			s = w.durable(mqtt.V50, "s")
			s.quiet()
		})
	}
}
