package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mqt/mqtt"
)

// payloads receives all that is there and acknowledges nothing.
func (p *peer) payloads() (all []string) {
	for _, pkt := range p.take() {
		if m, ok := pkt.(*mqtt.Publish); ok {
			all = append(all, string(m.Payload))
		}
	}
	return all
}

// Section 4.8.2: each message to one member of each group, and to every other
// subscription besides.
func TestSharedGroupsAreApart(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		pub := w.client(v, "pub")
		members := map[string][]*peer{}
		for _, group := range []string{"a", "b"} {
			for i := range 3 {
				p := w.client(v, group+fmt.Sprint(i))
				p.subscribe(mqtt.QoS0, "$share/"+group+"/t/#")
				members[group] = append(members[group], p)
			}
		}
		plain := w.client(v, "plain")
		plain.subscribe(mqtt.QoS0, "t/x")
		both := w.client(v, "both") // in a group and for itself: a copy for each [MQTT-4.8.2-3]
		both.subscribe(mqtt.QoS0, "t/#", "$share/c/t/#")
		const n = 30
		for i := range n {
			pub.send(publish(mqtt.QoS0, 0, "t/x", fmt.Sprint(i)))
		}
		for group, ps := range members {
			sum := 0
			for _, p := range ps {
				got := len(p.payloads())
				if sum += got; got == 0 {
					w.t.Errorf("a member of %s got nothing", group)
				}
			}
			equal(w.t, "messages to group "+group, sum, n)
		}
		equal(w.t, "messages to the plain one", len(plain.payloads()), n)
		equal(w.t, "messages to both", len(both.payloads()), 2*n)
	})
}

// [MQTT-4.8.2-3]: each member at the QoS it was granted.
func TestSharedQoS(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		pub := w.client(mqtt.V50, "pub")
		var members []*peer
		for qos := range mqtt.QoS2 + 1 {
			p := w.client(mqtt.V50, fmt.Sprint("m", qos))
			p.subscribe(qos, "$share/g/t")
			members = append(members, p)
		}
		for i := range 9 {
			pub.put(publish(mqtt.QoS2, 1, "t", fmt.Sprint(i)))
		}
		for granted, p := range members {
			got := p.take()
			equal(t, "messages", len(got), 3)
			for _, pkt := range got {
				equal(t, "QoS", pkt.(*mqtt.Publish).QoS, mqtt.QoS(granted))
			}
		}
	})
}

// [MQTT-4.8.2-6]: what a member refuses is not sent to another.
func TestSharedRefusalIsFinal(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		pub := w.client(mqtt.V50, "pub")
		a, b := w.client(mqtt.V50, "a"), w.client(mqtt.V50, "b")
		a.subscribe(mqtt.QoS2, "$share/g/t")
		b.subscribe(mqtt.QoS2, "$share/g/t")
		for _, qos := range []mqtt.QoS{mqtt.QoS1, mqtt.QoS2} {
			for range 2 {
				pub.put(publish(qos, 1, "t", "x"))
			}
			for _, p := range []*peer{a, b} {
				m := p.message("t", "x")
				refusal := mqtt.Ack{PacketID: m.PacketID, ReasonCode: mqtt.UnspecifiedError}
				if qos == mqtt.QoS1 {
					p.send(&mqtt.Puback{Ack: refusal})
				} else {
					p.send(&mqtt.Pubrec{Ack: refusal})
				}
			}
			a.quiet()
			b.quiet()
		}
		a.drop()
		b.quiet() // nor when its Session ends
	})
}

// Section 4.8.2: a member is lost in mid flow. QoS 1 without PUBACK goes to
// another when the Session ends, QoS 2 does not [MQTT-4.8.2-5], nor what was
// acknowledged; what was never sent does at any QoS.
func TestSharedMemberLost(t *testing.T) {
	for _, how := range []string{"drop", "disconnect", "expiry", "clean start", "protocol error"} {
		t.Run(how, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				pub := w.client(mqtt.V50, "pub")
				expiry := uint32(0)
				if how == "expiry" || how == "clean start" {
					expiry = 10
				}
				a, _ := w.connect(mqtt.V50, "a", func(c *mqtt.Connect) {
					c.Properties = mqtt.Properties{mqtt.Num(mqtt.ReceiveMaximum, 4), mqtt.Num(mqtt.SessionExpiryInterval, expiry)}
				})
				a.subscribe(mqtt.QoS2, "$share/g/t")
				for i, qos := range []mqtt.QoS{1, 1, 2, 2, 1, 2} {
					pub.put(publish(qos, 1, "t", fmt.Sprintf("%d at %d", i, qos)))
				}
				first := a.message("t", "0 at 1")
				a.message("t", "1 at 1")
				rec := a.message("t", "2 at 2")
				a.message("t", "3 at 2")
				a.quiet()                            // 4 and 5 wait
				a.send(pubrec(rec.PacketID))         // never ends
				next[*mqtt.Pubrel](a)                //
				b := w.client(mqtt.V50, "b")         // comes later
				b.subscribe(mqtt.QoS2, "$share/g/t") //
				a.send(&mqtt.Puback{Ack: mqtt.Ack{PacketID: first.PacketID}})
				a.message("t", "4 at 1") // takes the place
				b.quiet()
				switch how {
				case "drop", "expiry", "clean start":
					a.drop()
				case "disconnect":
					a.send(&mqtt.Disconnect{})
				case "protocol error":
					a.send(&mqtt.Pingresp{})
				}
				if expiry > 0 {
					b.quiet() // [MQTT-4.8.2-4]: it may come back
				}
				switch how {
				case "expiry":
					time.Sleep(11 * time.Second)
				case "clean start":
					w.client(mqtt.V50, "a")
				}
				got := b.payloads()
				slices.Sort(got)
				equal(t, "handed over", got, []string{"1 at 1", "4 at 1", "5 at 2"})
			})
		})
	}
}

// [MQTT-4.8.2-4]: a member that comes back in time goes on, and gets the same.
func TestSharedMemberComesBack(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		pub := w.client(v, "pub")
		a, _ := w.connect(v, "a", persistent)
		a.subscribe(mqtt.QoS2, "$share/g/t")
		pub.put(publish(mqtt.QoS1, 1, "t", "one"))
		pub.put(publish(mqtt.QoS2, 1, "t", "two"))
		a.payloads()
		b := w.client(v, "b")
		b.subscribe(mqtt.QoS2, "$share/g/t")
		a.drop()
		a, _ = w.connect(v, "a", persistent)
		equal(w.t, "again", a.payloads(), []string{"one", "two"})
		b.quiet()
	})
}

// A group prefers members that are there; with none of them it waits for one
// whose Session is kept, and QoS 0 is lost.
func TestSharedGroupOffline(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		pub := w.client(v, "pub")
		a, _ := w.connect(v, "a", persistent)
		b, _ := w.connect(v, "b", persistent)
		a.subscribe(mqtt.QoS1, "$share/g/t")
		b.subscribe(mqtt.QoS1, "$share/g/t")
		a.drop()
		for i := range 4 {
			pub.put(publish(mqtt.QoS1, 1, "t", fmt.Sprint(i)))
		}
		equal(w.t, "to the one who is there", b.payloads(), []string{"0", "1", "2", "3"})
		b.drop()
		pub.send(publish(mqtt.QoS0, 0, "t", "lost"))
		pub.put(publish(mqtt.QoS1, 1, "t", "4"))
		pub.put(publish(mqtt.QoS1, 1, "t", "5"))
		a, _ = w.connect(v, "a", persistent)
		b, _ = w.connect(v, "b", persistent)
		got := slices.Concat(a.payloads(), b.payloads())
		slices.Sort(got)
		equal(w.t, "after all", got, []string{"0", "1", "2", "3", "4", "5"})
	})
}

// A member with no room is passed over.
func TestSharedGroupPassesOverTheBusy(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		pub := w.client(mqtt.V50, "pub")
		a, _ := w.connect(mqtt.V50, "a", withReceiveMaximum(1))
		b := w.client(mqtt.V50, "b")
		a.subscribe(mqtt.QoS1, "$share/g/t")
		b.subscribe(mqtt.QoS1, "$share/g/t")
		for i := range 20 {
			pub.put(publish(mqtt.QoS1, 1, "t", fmt.Sprint(i)))
		}
		equal(t, "to the slow one", len(a.payloads()), 1)
		if n := len(b.take()); n < 18 {
			t.Errorf("the other got %d of 20, want all but one under way and one waiting", n)
		}
		for id := range mqtt.PacketID(3) { // until nothing waits
			a.send(puback(id + 1))
		}
		a.take()
		for i := range 10 {
			pub.put(publish(mqtt.QoS0, 0, "t", fmt.Sprint(i)))
		}
		equal(t, "in turn again", [2]int{len(a.payloads()), len(b.payloads())}, [2]int{5, 5})
	})
}

// So it is at QoS 0, where nothing waits and it would be lost: for a member that does not read, or one that is away.
func TestSharedGroupPassesOverWhoWouldMissIt(t *testing.T) {
	inWorld(t, Options{OutLimit: 1 << 10}, func(w *world) {
		pub := w.client(mqtt.V50, "pub")
		slow, fast := w.client(mqtt.V50, "slow"), w.client(mqtt.V50, "fast")
		for _, p := range []*peer{slow, fast} {
			p.subscribe(mqtt.QoS1, "$share/g/t")
		}
		<-slow.turn // it reads no more
		for range 100 {
			pub.put(publish(mqtt.QoS0, 0, "t", strings.Repeat("x", 200)))
		}
		n := len(fast.take())
		slow.turn <- struct{}{}
		equal(t, "both together", n+len(slow.take()), 100)
		equal(t, "dropped", w.b.Stats().DroppedSlow, 0)
	})
	inWorld(t, Options{}, func(w *world) {
		pub := w.client(mqtt.V50, "pub")
		deaf, away := w.durableAway("deaf", mqtt.QoS0), w.durableAway("away", mqtt.QoS1)
		for i := range 4 {
			pub.put(publish(mqtt.QoS1, 1, "t", fmt.Sprint(i)))
		}
		equal(t, "to who misses them", len(deaf().payloads()), 0)
		equal(t, "to who does not", len(away().payloads()), 4)
	})
}

// durableAway is a member of a group that is away, and comes back when it is called.
func (w *world) durableAway(id string, qos mqtt.QoS) (comes func() *peer) {
	p, _ := w.connect(mqtt.V50, id, persistent)
	p.subscribe(qos, "$share/g/t")
	p.drop()
	return func() *peer {
		p, _ := w.connect(mqtt.V50, id, persistent)
		return p
	}
}

// A member that unsubscribes gets nothing more, the last one ends the group.
func TestSharedUnsubscribe(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		pub := w.client(mqtt.V50, "pub")
		a, b := w.client(mqtt.V50, "a"), w.client(mqtt.V50, "b")
		for _, p := range []*peer{a, b} {
			p.subscribe(mqtt.QoS1, "$share/g/t", "$share/h/t")
		}
		equal(t, "subscriptions", w.b.Stats().Subscriptions, 4)
		a.send(&mqtt.Unsubscribe{PacketID: 1, Filters: []string{"$share/g/t", "t", "$share/x/t"}})
		equal(t, "codes", next[*mqtt.Unsuback](a).ReasonCodes,
			[]mqtt.ReasonCode{0, mqtt.NoSubscriptionExisted, mqtt.NoSubscriptionExisted})
		a.send(&mqtt.Unsubscribe{PacketID: 1, Filters: []string{"$share/h/t"}})
		next[*mqtt.Unsuback](a)
		for i := range 4 {
			pub.put(publish(mqtt.QoS1, 1, "t", fmt.Sprint(i)))
		}
		a.quiet()
		equal(t, "to the other, by both groups", len(b.payloads()), 8)
		b.drop()
		equal(t, "subscriptions", w.b.Stats().Subscriptions, 0)
		equal(t, "code", pub.put(publish(mqtt.QoS1, 1, "t", "")), mqtt.NoMatchingSubscribers)
	})
}

// A shared subscription takes all its session's identifiers apart, and its
// options are its member's own.
func TestSharedSubscriptionIdentifier(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		pub := w.client(mqtt.V50, "pub")
		var members []*peer
		for i := range uint32(2) {
			p := w.client(mqtt.V50, fmt.Sprint(i))
			p.send(subscribeTo("$share/g/t", mqtt.Num(mqtt.SubscriptionIdentifier, i+1)))
			next[*mqtt.Suback](p)
			members = append(members, p)
		}
		pub.put(publish(mqtt.QoS0, 0, "t", "x"))
		pub.put(publish(mqtt.QoS0, 0, "t", "x"))
		for i, p := range members {
			id, _ := p.message("t", "x").Properties.Number(mqtt.SubscriptionIdentifier)
			equal(t, "identifier", id, uint32(i+1))
		}
	})
}

// A message that is handed over goes to the new member as that one asked:
// RETAIN, QoS and what is left of its expiry.
func TestHandedOverAsTheNewMemberAsked(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		pub := w.client(mqtt.V50, "pub")
		a, _ := w.connect(mqtt.V50, "a", func(c *mqtt.Connect) {
			c.Properties = mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 3)}
		})
		a.send(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "$share/g/t", QoS: mqtt.QoS1, RetainAsPublished: true}}})
		next[*mqtt.Suback](a)
		pub.put(retained(mqtt.QoS2, 1, "t", "x", mqtt.Num(mqtt.MessageExpiryInterval, 10), mqtt.User("k", "v")))
		equal(t, "RETAIN", a.message("t", "x").Retain, true)
		b := w.client(mqtt.V50, "b")
		b.subscribe(mqtt.QoS2, "$share/g/t")
		a.drop()
		time.Sleep(3 * time.Second)
		m := b.message("t", "x")
		left, _ := m.Properties.Number(mqtt.MessageExpiryInterval)
		equal(t, "RETAIN", m.Retain, false)
		equal(t, "QoS, expiry, properties", []int{int(m.QoS), int(left), len(m.Properties)}, []int{2, 7, 2})
		b.complete(m)
	})
}

// Members come and go while messages arrive: with one that always stays,
// nothing is lost at QoS 1, and each message is acknowledged by one member.
func TestSharedGroupUnderChange(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		pub := w.client(mqtt.V50, "pub")
		stays := w.client(mqtt.V50, "stays")
		stays.subscribe(mqtt.QoS1, "$share/g/t")
		done := map[string]int{}
		work := func(p *peer, n int) {
			for _, pkt := range p.take() {
				m, ok := pkt.(*mqtt.Publish)
				if !ok || n == 0 {
					continue
				}
				n--
				done[string(m.Payload)]++
				p.send(puback(m.PacketID))
			}
		}
		sent := 0
		for round := range 60 {
			p, _ := w.connect(mqtt.V50, fmt.Sprint("m", round), withReceiveMaximum(uint32(round%5+1)))
			p.subscribe(mqtt.QoS1, "$share/g/t")
			for range 10 {
				pub.put(publish(mqtt.QoS1, 1, "t", fmt.Sprint(sent)))
				sent++
			}
			work(p, round%4) // a part of what it has
			switch round % 3 {
			case 0:
				p.send(&mqtt.Unsubscribe{PacketID: 1, Filters: []string{"$share/g/t"}})
				work(p, -1)
				p.drop()
				w.client(mqtt.V50, fmt.Sprint("m", round)).drop()
			case 1:
				p.drop()
				time.Sleep(2 * time.Hour)
			case 2:
				p.drop()
				w.client(mqtt.V50, fmt.Sprint("m", round)).drop()
			}
			work(stays, -1)
		}
		work(stays, -1)
		equal(t, "messages", len(done), sent)
		for payload, n := range done {
			if n != 1 {
				t.Errorf("message %s was acknowledged %d times", payload, n)
			}
		}
	})
}
