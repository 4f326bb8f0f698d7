package broker

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
)

// again restarts the broker both ways.
func again() map[string]func(*kept) {
	return map[string]func(*kept){"restart": (*kept).restart, "crash": (*kept).crash}
}

func eachRestart(t *testing.T, o Options, test func(w *kept, restart func())) {
	t.Helper()
	for name, f := range again() {
		t.Run(name, func(t *testing.T) {
			inStore(t, o, func(w *kept) { test(w, func() { f(w) }) })
		})
	}
}

// Sessions are there again with their subscriptions, options and identifiers;
// those without expiry are not.
func TestRestartKeepsSubscriptions(t *testing.T) {
	eachRestart(t, Options{}, func(w *kept, restart func()) {
		a := w.durable(mqtt.V50, "a")
		a.send(&mqtt.Subscribe{PacketID: 1, Properties: mqtt.Properties{mqtt.Num(mqtt.SubscriptionIdentifier, 77)},
			Subscriptions: []mqtt.Subscription{{Filter: "x/+", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2}, {Filter: "gone", QoS: 1}}})
		a.send(&mqtt.Unsubscribe{PacketID: 2, Filters: []string{"gone"}})
		a.take()
		a.subscribe(mqtt.QoS1, "$share/g/s")
		b := w.durable(mqtt.V311, "b")
		b.subscribe(mqtt.QoS1, "$share/g/s")
		w.client(mqtt.V50, "clean").subscribe(mqtt.QoS1, "x/+")
		restart()
		equal(w.t, "sessions", w.b.Stats().Sessions, 2)
		equal(w.t, "subscriptions", w.b.Stats().Subscriptions, 3)
		a, ack := w.connect(mqtt.V50, "a", persistent)
		equal(w.t, "session present", ack.SessionPresent, true)
		pub := w.client(mqtt.V50, "pub")
		p := publish(2, 1, "x/1", "m")
		p.Retain = true
		pub.send(p)
		m := a.message("x/1", "m")
		a.send(publish(1, 1, "x/1", "mine")) // No Local
		next[*mqtt.Puback](a)
		id, _ := m.Properties.Number(mqtt.SubscriptionIdentifier)
		equal(w.t, "QoS, RETAIN, identifier", fmt.Sprint(m.QoS, m.Retain, id), fmt.Sprint(mqtt.QoS2, true, 77))
		a.send(pubrec(m.PacketID))
		next[*mqtt.Pubrel](a)
		for i := range 2 { // the group has both: in turn, or to who is there
			pub.send(publish(0, 0, "s", fmt.Sprint(i)))
			a.message("s", fmt.Sprint(i))
		}
		a.quiet()
	})
}

// What is queued comes in order, and what was sent comes first, with DUP and its
// identifier; a PUBREL comes before all. What was acknowledged does not come.
func TestRestartKeepsQueueAndFlight(t *testing.T) {
	eachRestart(t, Options{}, func(w *kept, restart func()) {
		s, _ := w.connect(mqtt.V50, "s", func(c *mqtt.Connect) {
			persistent(c)
			c.Properties = append(c.Properties, mqtt.Num(mqtt.ReceiveMaximum, 4))
		})
		s.subscribe(mqtt.QoS2, "t")
		pub := w.client(mqtt.V50, "pub")
		for i := range 8 {
			pub.send(publish(mqtt.QoS(1+i%2), 5, "t", fmt.Sprint(i)))
			pub.send(pubrel(5))
		}
		ids := map[string]mqtt.PacketID{}
		for i := range 4 {
			ids[fmt.Sprint(i)] = s.message("t", fmt.Sprint(i)).PacketID
		}
		s.send(pubrec(ids["3"]))
		next[*mqtt.Pubrel](s)
		s.send(pubrec(ids["1"]))
		next[*mqtt.Pubrel](s)
		s.send(puback(ids["0"]))
		s.message("t", "4")
		s.drop()
		for i := 8; i < 100; i++ {
			pub.send(publish(mqtt.QoS(1+i%2), 5, "t", fmt.Sprint(i)))
			pub.send(pubrel(5))
		}
		restart()
		s = w.durable(mqtt.V50, "s")
		for _, id := range []string{"3", "1"} {
			equal(w.t, "PUBREL", next[*mqtt.Pubrel](s).PacketID, ids[id])
		}
		m := s.message("t", "2")
		equal(w.t, "sent before", fmt.Sprint(m.Dup, m.PacketID), fmt.Sprint(true, ids["2"]))
		m = s.message("t", "4")
		equal(w.t, "sent before", m.Dup, true)
		for i := 5; i < 100; i++ {
			m = s.message("t", fmt.Sprint(i))
			equal(w.t, "never sent", m.Dup, false)
		}
		s.send(pubcomp(ids["3"]), pubcomp(ids["1"]))
		s.quiet()
		restart()
		s = w.durable(mqtt.V50, "s")
		equal(w.t, "unacknowledged", len(s.take()), 97)
	})
}

// An inbound QoS 2 message that is known before a restart is known after it, and
// one that was released is not.
func TestRestartKeepsReceived(t *testing.T) {
	eachRestart(t, Options{}, func(w *kept, restart func()) {
		s, a := w.durable(mqtt.V50, "s"), w.durable(mqtt.V50, "a")
		s.subscribe(mqtt.QoS0, "t")
		a.send(publish(2, 5, "t", "one"), publish(2, 6, "t", "two"), pubrel(6))
		s.message("t", "one")
		s.message("t", "two")
		restart()
		s, a = w.durable(mqtt.V50, "s"), w.durable(mqtt.V50, "a")
		p := publish(2, 5, "t", "one")
		p.Dup = true
		a.send(p)
		equal(w.t, "PUBREC", next[*mqtt.Pubrec](a).ReasonCode, mqtt.Success)
		s.quiet()
		a.send(pubrel(5))
		equal(w.t, "PUBCOMP", next[*mqtt.Pubcomp](a).ReasonCode, mqtt.Success)
		a.send(publish(2, 6, "t", "three"))
		next[*mqtt.Pubrec](a)
		s.message("t", "three")
		restart()
		a = w.durable(mqtt.V50, "a")
		a.send(pubrel(5))
		equal(w.t, "PUBCOMP", next[*mqtt.Pubcomp](a).ReasonCode, mqtt.PacketIdentifierNotFound)
	})
}

// Retained messages are there, and what is below $SYS is not kept.
func TestRestartKeepsRetained(t *testing.T) {
	eachRestart(t, Options{SysInterval: time.Second}, func(w *kept, restart func()) {
		pub := w.client(mqtt.V50, "pub")
		retain := func(topic, payload string, ps ...mqtt.Property) {
			p := publish(1, 1, topic, payload, ps...)
			p.Retain = true
			pub.send(p)
			next[*mqtt.Puback](pub)
		}
		retain("r/1", "old")
		retain("r/1", "new", mqtt.Str(mqtt.ContentType, "text/plain"))
		retain("r/2", "cleared")
		retain("r/2", "")
		retain("r/3", "short", mqtt.Num(mqtt.MessageExpiryInterval, 100))
		time.Sleep(40 * time.Second)
		restart()
		for x, err := range w.memory.Retained() {
			if err != nil || isOurs(x.Topic) {
				t.Errorf("%+v %v", x, err)
			}
		}
		s := w.client(mqtt.V50, "s")
		s.subscribe(mqtt.QoS1, "r/#")
		got := s.take()
		slices.SortFunc(got, func(a, b mqtt.Packet) int {
			return slices.Compare(a.(*mqtt.Publish).Topic, b.(*mqtt.Publish).Topic)
		})
		if len(got) != 2 {
			w.t.Fatalf("got %v", got)
		}
		one, three := got[0].(*mqtt.Publish), got[1].(*mqtt.Publish)
		kind, _ := one.Properties.Text(mqtt.ContentType)
		left, _ := three.Properties.Number(mqtt.MessageExpiryInterval)
		equal(w.t, "r/1", fmt.Sprint(string(one.Payload), kind, one.Retain), fmt.Sprint("new", "text/plain", true))
		if left == 0 || left > 60 {
			w.t.Errorf("%d seconds are left of r/3, want 60", left)
		}
	})
}

// Wills are published when their delay is over, once, and not if the client comes
// back; a Session ends when it expires, restart or not.
func TestRestartGoesOnWithDeadlines(t *testing.T) {
	eachRestart(t, Options{}, func(w *kept, restart func()) {
		s := w.durable(mqtt.V50, "s")
		s.subscribe(mqtt.QoS1, "will/#")
		with := func(id string, expiry, delay uint32) *peer {
			p, _ := w.connect(mqtt.V50, id, func(c *mqtt.Connect) {
				c.CleanStart = false
				c.Properties = mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, expiry)}
				c.Will = &mqtt.Will{Topic: "will/" + id, Payload: []byte("gone"), QoS: 1,
					Properties: mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, delay)}}
			})
			return p
		}
		with("delayed", 1000, 100).drop()
		with("back", 1000, 100).drop()
		with("expires", 50, 100).drop()
		with("at once", 1000, 0)
		with("connected", 1000, 60)
		with("polite", 1000, 0).send(&mqtt.Disconnect{})
		time.Sleep(20 * time.Second)
		restart()
		s = w.durable(mqtt.V50, "s")
		s.message("will/at once", "gone")
		s.quiet()
		with("back", 1000, 5000)
		time.Sleep(31 * time.Second) // 51
		s.message("will/expires", "gone")
		s.quiet()
		equal(w.t, "sessions", w.b.Stats().Sessions, 6)
		time.Sleep(20 * time.Second) // 71
		s.quiet()
		time.Sleep(12 * time.Second) // 83: 60 after the restart
		s.message("will/connected", "gone")
		time.Sleep(20 * time.Second) // 103
		s.message("will/delayed", "gone")
		s.quiet()
		for range 4 {
			s.send(&mqtt.Pingreq{})
		}
		restart()
		time.Sleep(time.Second)
		s = w.durable(mqtt.V50, "s")
		equal(w.t, "in flight, once each", len(s.take()), 4)
		time.Sleep(time.Hour)
		synctest.Wait()
		equal(w.t, "sessions", w.b.Stats().Sessions, 1) // s, which is here
	})
}

// A clean start leaves nothing of the Session before it.
func TestRestartAfterCleanStart(t *testing.T) {
	eachRestart(t, Options{}, func(w *kept, restart func()) {
		w.durable(mqtt.V50, "s").subscribe(mqtt.QoS1, "t")
		w.client(mqtt.V50, "s")
		restart()
		_, ack := w.connect(mqtt.V50, "s", persistent)
		equal(w.t, "session present", ack.SessionPresent, false)
	})
}

// A long queue is on disk, but for a little; it comes back whole and in order,
// and what comes meanwhile is behind it.
func TestLongQueueIsOnDisk(t *testing.T) {
	inStore(t, Options{}, func(w *kept) {
		const n = 5000
		s := w.durable(mqtt.V50, "s")
		s.subscribe(mqtt.QoS2, "t")
		s.drop()
		empty := w.b.Stats().Memory
		pub := w.client(mqtt.V50, "pub")
		for i := range n {
			pub.send(publish(1, 1, "t", fmt.Sprintf("%0256d", i)))
		}
		pub.take()
		stats := w.b.Stats()
		equal(t, "waiting", stats.Waiting, n)
		if grown := stats.Memory - empty; grown > 100<<10 {
			t.Errorf("%d messages take %d bytes", n, grown)
		}
		w.checkAway("s", n)
		w.crash()
		equal(t, "waiting after a crash", w.b.Stats().Waiting, n)
		pub = w.client(mqtt.V50, "pub")
		s, _ = w.connect(mqtt.V50, "s", func(c *mqtt.Connect) {
			persistent(c)
			c.Properties = append(c.Properties, mqtt.Num(mqtt.ReceiveMaximum, 100))
		})
		for got := 0; got < n+100; {
			var acks []mqtt.Packet
			for _, pkt := range s.take() {
				m := pkt.(*mqtt.Publish)
				want := fmt.Sprintf("%0256d", got)
				if string(m.Payload) != want || m.Dup {
					t.Fatalf("message %d is %s, DUP %v", got, m.Payload[240:], m.Dup)
				}
				got++
				acks = append(acks, puback(m.PacketID))
			}
			if len(acks) == 0 {
				t.Fatalf("nothing comes behind %d", got)
			}
			if got == 200 {
				for i := range 100 {
					pub.send(publish(1, 1, "t", fmt.Sprintf("%0256d", n+i)))
				}
			}
			s.send(acks...)
		}
		s.quiet()
		equal(t, "waiting at the end", w.b.Stats().Waiting, 0)
		w.b.mu.Lock()
		k := w.b.sessions.get("s").keep
		w.b.mu.Unlock()
		if k.disk.n != 0 || k.disk.bytes != 0 || len(k.pending) > 0 || !k.late.empty() {
			t.Errorf("left over: %+v", k)
		}
		synctest.Wait()
		for x := range w.memory.Sessions() {
			if x.Count != 0 {
				t.Errorf("the store has %d left", x.Count)
			}
		}
	})
}

// checkAway looks at what a session that is away has in memory.
func (w *kept) checkAway(id string, n int) {
	w.t.Helper()
	w.b.mu.Lock()
	s := w.b.sessions.get(id)
	w.b.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	have, _ := s.backlog()
	equal(w.t, "backlog", have, n)
	if s.queue.n > awayWindow || !s.keep.late.empty() || len(s.keep.pending) > 0 {
		w.t.Errorf("in memory are %d messages and %d, %d of them not durable", s.queue.n, s.keep.late.n, len(s.keep.pending))
	}
}

// Section 3.1.2.5: the will of a Session that no restart brings back is published
// when the server shuts down, to those who are there afterwards.
func TestShutdownPublishesWills(t *testing.T) {
	inStore(t, Options{}, func(w *kept) {
		w.durable(mqtt.V311, "s").subscribe(mqtt.QoS1, "will/#")
		for id, with := range map[string]func(*mqtt.Connect){"clean": func(*mqtt.Connect) {}, "delayed": willing(0, 10)} {
			w.connect(mqtt.V50, id, func(c *mqtt.Connect) {
				with(c)
				c.Will = &mqtt.Will{Topic: "will/" + id, Payload: []byte("gone"), QoS: mqtt.QoS1, Retain: true}
			})
		}
		w.restart()
		s := w.durable(mqtt.V311, "s")
		equal(t, "queued", len(s.take()), 2)
		s.subscribe(mqtt.QoS0, "will/+")
		equal(t, "retained", len(s.take()), 2)
	})
}

// [MQTT-2.2.1-4]: a message that is never acknowledged keeps its Packet
// Identifier, and nobody waits for it when the others come round to it.
func TestIdentifierInUseIsPassedOver(t *testing.T) {
	for name, with := range map[string]func(*mqtt.Connect){"kept": persistent, "clean": func(*mqtt.Connect) {}} {
		t.Run(name, func(t *testing.T) {
			inStore(t, Options{}, func(w *kept) {
				s, _ := w.connect(mqtt.V50, "s", with)
				s.subscribe(mqtt.QoS2, "t")
				pub := w.client(mqtt.V50, "pub")
				pub.put(publish(mqtt.QoS1, 1, "t", "held"))
				held := s.message("t", "held").PacketID
				w.b.sessions.get("s").keep.next += 65_534
				for i := range mqtt.QoS2 {
					pub.put(publish(1+i, 1, "t", "later"))
					if id := s.message("t", "later").PacketID; id == held {
						t.Error("the identifier is in use", id)
					}
				}
				s.quiet()
			})
		})
	}
}

// [MQTT-3.3.1-1]: what was queued for a client that was connected when the process
// died may have been sent, and nobody knows. That stays so if it dies again.
func TestUnsureIsDup(t *testing.T) {
	inStore(t, Options{}, func(w *kept) {
		s, _ := w.connect(mqtt.V50, "s", func(c *mqtt.Connect) {
			persistent(c)
			c.Properties = append(c.Properties, mqtt.Num(mqtt.ReceiveMaximum, 1))
		})
		s.subscribe(mqtt.QoS2, "t")
		pub := w.client(mqtt.V50, "pub")
		pub.put(publish(mqtt.QoS2, 1, "t", "sent"))
		pub.put(publish(mqtt.QoS2, 1, "t", "perhaps"))
		for range 2 {
			w.crash()
			w.client(mqtt.V50, "pub").put(publish(mqtt.QoS2, 1, "t", "new"))
		}
		s = w.durable(mqtt.V50, "s")
		for _, want := range []struct {
			payload string
			dup     bool
		}{{"sent", true}, {"perhaps", true}, {"new", false}, {"new", false}} {
			equal(t, "DUP of "+want.payload, s.message("t", want.payload).Dup, want.dup)
		}
	})
}
