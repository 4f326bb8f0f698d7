package broker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mqt/mqtt"
)

var versions = []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V50}

// eachVersion runs a test once for each version.
func eachVersion(t *testing.T, o Options, test func(w *world, v mqtt.Version)) {
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			inWorld(t, o, func(w *world) { test(w, v) })
		})
	}
}

// [MQTT-3.3.4-1]: none, PUBACK [MQTT-4.3.2-4], PUBREC [MQTT-4.3.3-8] and what
// follows, all with the identifier of the PUBLISH [MQTT-2.2.1-5].
func TestDeliveryAtEachQoS(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		sub, pub := w.client(v, "sub"), w.client(v, "pub")
		sub.subscribe(mqtt.QoS2, "a/+")
		pub.send(publish(mqtt.QoS0, 0, "a/0", "zero"))
		equal(w.t, "QoS", sub.message("a/0", "zero").QoS, mqtt.QoS0)

		pub.send(publish(mqtt.QoS1, 7, "a/1", "one"))
		equal(w.t, "PUBACK", next[*mqtt.Puback](pub).PacketID, 7)
		m := sub.message("a/1", "one")
		equal(w.t, "QoS", m.QoS, mqtt.QoS1)
		sub.send(puback(m.PacketID))

		pub.send(publish(mqtt.QoS2, 8, "a/2", "two"))
		equal(w.t, "PUBREC", next[*mqtt.Pubrec](pub).PacketID, 8)
		m = sub.message("a/2", "two")
		pub.send(pubrel(8))
		equal(w.t, "PUBCOMP", next[*mqtt.Pubcomp](pub).PacketID, 8)
		sub.send(pubrec(m.PacketID))
		equal(w.t, "PUBREL", next[*mqtt.Pubrel](sub).PacketID, m.PacketID)
		sub.send(pubcomp(m.PacketID))
		sub.quiet()
		pub.quiet()
	})
}

// STANDARD: more copies of a QoS 2 PUBLISH before PUBREL give a PUBREC each and
// one delivery [MQTT-4.3.3-10].
func TestQoS2DuplicateBeforePubrel(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		sub, pub := w.client(v, "sub"), w.client(v, "pub")
		sub.subscribe(mqtt.QoS0, "t")
		m := publish(mqtt.QoS2, 1, "t", "x")
		again := *m
		again.Dup = true
		pub.send(m, &again, &again)
		for range 3 {
			next[*mqtt.Pubrec](pub)
		}
		sub.message("t", "x")
		sub.quiet()
		pub.send(pubrel(1), pubrel(1))
		equal(w.t, "first PUBCOMP", next[*mqtt.Pubcomp](pub).ReasonCode, mqtt.Success)
		want := mqtt.Success
		if v == mqtt.V50 {
			want = mqtt.PacketIdentifierNotFound
		}
		equal(w.t, "second PUBCOMP", next[*mqtt.Pubcomp](pub).ReasonCode, want)
		pub.send(m)
		sub.message("t", "x")
	})
}

// [MQTT-3.3.1-1], [MQTT-4.3.2-2], [MQTT-4.3.3-2]: DUP 0 at first, then 1.
func TestRedeliveryInOrderWithDup(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		sub, _ := w.connect(v, "sub", persistent)
		sub.subscribe(mqtt.QoS2, "t/#")
		pub := w.client(v, "pub")
		pub.send(publish(mqtt.QoS1, 1, "t/1", "a"), publish(mqtt.QoS2, 2, "t/2", "b"), publish(mqtt.QoS2, 3, "t/3", "c"))
		first := sub.message("t/1", "a")
		second := sub.message("t/2", "b")
		third := sub.message("t/3", "c")
		for _, m := range []*mqtt.Publish{first, second, third} {
			equal(w.t, "DUP at first", m.Dup, false)
		}
		sub.send(pubrec(second.PacketID))
		next[*mqtt.Pubrel](sub)
		sub.drop()
		pub.send(publish(mqtt.QoS1, 4, "t/4", "d"))

		sub, ack := w.connect(v, "sub", persistent)
		equal(w.t, "session present", ack.SessionPresent, v > mqtt.V31)
		equal(w.t, "PUBREL", next[*mqtt.Pubrel](sub).PacketID, second.PacketID)
		m := sub.message("t/1", "a")
		equal(w.t, "DUP", m.Dup, true)
		equal(w.t, "id", m.PacketID, first.PacketID)
		m = sub.message("t/3", "c")
		equal(w.t, "DUP", m.Dup, true)
		equal(w.t, "id", m.PacketID, third.PacketID)
		m = sub.message("t/4", "d")
		equal(w.t, "DUP of what was queued", m.Dup, false)
		sub.quiet()
	})
}

// [MQTT-3.1.4-3], [MQTT-3.1.1: 3.1.4-2].
func TestTakeOver(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		old := w.client(v, "x")
		w.client(v, "x")
		old.gone(mqtt.SessionTakenOver)
	})
}

// Section 3.3.1.3: RETAIN is 0 to who was there [MQTT-3.1.1: 3.3.1-9] and 1 to a
// new subscription [MQTT-3.1.1: 3.3.1-6], [MQTT-3.1.1: 3.3.1-8]; an empty one
// clears [MQTT-3.3.1-6].
func TestRetained(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		pub := w.client(v, "pub")
		live := w.client(v, "live")
		live.subscribe(mqtt.QoS0, "r/#")
		m := publish(mqtt.QoS0, 0, "r", "kept")
		m.Retain = true
		pub.send(m)
		equal(w.t, "RETAIN to who was there", live.message("r", "kept").Retain, false)
		sub := w.client(v, "sub")
		sub.subscribe(mqtt.QoS1, "r/#") // matches the parent level as well
		equal(w.t, "RETAIN to a new subscription", sub.message("r", "kept").Retain, true)
		m = publish(mqtt.QoS0, 0, "r", "")
		m.Retain = true
		pub.send(m)
		sub.message("r", "")
		late := w.client(v, "late")
		late.subscribe(mqtt.QoS1, "r")
		late.quiet()
	})
}

func TestWillAtKeepAlive(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		sub := w.client(v, "sub")
		sub.subscribe(mqtt.QoS1, "will")
		dead, _ := w.connect(v, "dead", func(c *mqtt.Connect) {
			c.KeepAlive = 2
			c.Will = &mqtt.Will{Topic: "will", Payload: []byte("gone"), QoS: mqtt.QoS1}
		})
		time.Sleep(2900 * time.Millisecond)
		dead.quiet()
		sub.quiet()
		time.Sleep(200 * time.Millisecond)
		dead.gone(mqtt.KeepAliveTimeout)
		sub.message("will", "gone")
	})
}

func TestWillDelayAndSessionEnd(t *testing.T) {
	will := func(delay, expiry uint32) func(*mqtt.Connect) {
		return func(c *mqtt.Connect) {
			c.CleanStart = false
			c.Properties = mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, expiry)}
			c.Will = &mqtt.Will{Topic: "will", Payload: []byte("x"), Properties: mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, delay)}}
		}
	}
	for _, c := range []struct{ delay, expiry, after uint32 }{{3, 100, 3}, {100, 4, 4}, {5, 0, 0}} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				sub := w.client(mqtt.V50, "sub")
				sub.subscribe(mqtt.QoS0, "will")
				dead, _ := w.connect(mqtt.V50, "dead", will(c.delay, c.expiry))
				dead.drop()
				if c.after > 0 {
					time.Sleep(time.Duration(c.after)*time.Second - 50*time.Millisecond)
					sub.quiet()
				}
				time.Sleep(100 * time.Millisecond)
				m := sub.message("will", "x")
				equal(t, "properties", len(m.Properties), 0)
			})
		})
	}
	t.Run("resumed in time", func(t *testing.T) {
		inWorld(t, Options{}, func(w *world) {
			sub := w.client(mqtt.V50, "sub")
			sub.subscribe(mqtt.QoS0, "will")
			dead, _ := w.connect(mqtt.V50, "dead", will(3, 100))
			dead.drop()
			time.Sleep(2 * time.Second)
			_, ack := w.connect(mqtt.V50, "dead", will(3, 100))
			equal(t, "session present", ack.SessionPresent, true)
			time.Sleep(10 * time.Second)
			sub.quiet()
		})
	})
}

// [MQTT-4.1.0-2].
func TestSessionExpires(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		ask := func(c *mqtt.Connect) {
			c.CleanStart = false
			c.Properties = mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 5)}
		}
		p, _ := w.connect(mqtt.V50, "p", ask)
		p.subscribe(mqtt.QoS1, "t")
		p.drop()
		time.Sleep(4900 * time.Millisecond)
		p, ack := w.connect(mqtt.V50, "p", ask)
		equal(t, "session present", ack.SessionPresent, true)
		p.drop()
		time.Sleep(5100 * time.Millisecond)
		equal(t, "subscriptions left", w.b.Stats().Subscriptions, 0)
		_, ack = w.connect(mqtt.V50, "p", ask)
		equal(t, "session present", ack.SessionPresent, false)
	})
}

// [MQTT-3.3.4-2], [MQTT-3.3.4-4].
func TestOverlappingSubscriptions(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub, pub := w.client(mqtt.V50, "sub"), w.client(mqtt.V50, "pub")
		for i, f := range []string{"a/#", "a/b", "+/b"} {
			sub.send(&mqtt.Subscribe{PacketID: 1, Properties: mqtt.Properties{mqtt.Num(mqtt.SubscriptionIdentifier, uint32(i+1))},
				Subscriptions: []mqtt.Subscription{{Filter: f, QoS: mqtt.QoS(i)}}})
			next[*mqtt.Suback](sub)
		}
		pub.send(publish(mqtt.QoS2, 1, "a/b", "x"))
		m := sub.message("a/b", "x")
		equal(t, "QoS", m.QoS, mqtt.QoS2)
		var sum uint32
		for _, p := range m.Properties {
			sum += p.Number
		}
		equal(t, "identifiers", []int{len(m.Properties), int(sum)}, []int{3, 6})
		sub.quiet()
	})
}

func TestSharedSubscriptionTakesTurns(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		pub := w.client(mqtt.V50, "pub")
		var members []*peer
		for i := range 3 {
			m := w.client(mqtt.V50, fmt.Sprint("m", i))
			m.subscribe(mqtt.QoS1, "$share/g/t/#")
			members = append(members, m)
		}
		for i := range 9 {
			pub.send(publish(mqtt.QoS1, mqtt.PacketID(i+1), "t/x", fmt.Sprint(i)))
		}
		for i, m := range members {
			equal(t, fmt.Sprint("messages of member ", i), len(m.take()), 3)
		}
	})
}

// Section 4.8.2: what a member whose Session ends has not acknowledged goes to
// another member.
func TestSharedMessageIsHandedOver(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		pub := w.client(mqtt.V50, "pub")
		a, b := w.client(mqtt.V50, "a"), w.client(mqtt.V50, "b")
		a.subscribe(mqtt.QoS1, "$share/g/t")
		b.subscribe(mqtt.QoS1, "$share/g/t")
		pub.send(publish(mqtt.QoS1, 1, "t", "1"), publish(mqtt.QoS1, 2, "t", "2"))
		a.message("t", "1")
		b.message("t", "2")
		a.drop()
		b.message("t", "1")
	})
}

func TestReceiveMaximumHoldsBack(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub, _ := w.connect(mqtt.V50, "sub", func(c *mqtt.Connect) {
			c.Properties = mqtt.Properties{mqtt.Num(mqtt.ReceiveMaximum, 2)}
		})
		sub.subscribe(mqtt.QoS1, "t")
		pub := w.client(mqtt.V50, "pub")
		for i := range 5 {
			pub.send(publish(mqtt.QoS1, mqtt.PacketID(i+1), "t", fmt.Sprint(i)))
		}
		pub.send(publish(mqtt.QoS0, 0, "other", ""))
		first := sub.message("t", "0")
		sub.message("t", "1")
		sub.quiet()
		sub.send(puback(first.PacketID))
		sub.message("t", "2")
		sub.quiet()
	})
}

func TestReceiveMaximumExceeded(t *testing.T) {
	inWorld(t, Options{ReceiveMaximum: 3}, func(w *world) {
		pub, ack := w.connect(mqtt.V50, "pub", nil)
		n, _ := ack.Properties.Number(mqtt.ReceiveMaximum)
		equal(t, "announced", n, 3)
		for i := range 4 {
			pub.send(publish(mqtt.QoS2, mqtt.PacketID(i+1), "t", ""))
		}
		for range 3 {
			next[*mqtt.Pubrec](pub)
		}
		pub.gone(mqtt.ReceiveMaximumExceeded)
	})
}

func TestMessageExpiryCountsDown(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub, _ := w.connect(mqtt.V50, "sub", persistent)
		sub.subscribe(mqtt.QoS1, "t")
		sub.drop()
		pub := w.client(mqtt.V50, "pub")
		pub.send(publish(mqtt.QoS1, 1, "t", "short", mqtt.Num(mqtt.MessageExpiryInterval, 3)),
			publish(mqtt.QoS1, 2, "t", "long", mqtt.Num(mqtt.MessageExpiryInterval, 10)))
		time.Sleep(4 * time.Second)
		sub, _ = w.connect(mqtt.V50, "sub", persistent)
		left, _ := sub.message("t", "long").Properties.Number(mqtt.MessageExpiryInterval)
		equal(t, "left", left, 6)
		sub.quiet()
	})
}

func TestMaximumPacketSizeDropsOnlyThatMessage(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub, _ := w.connect(mqtt.V50, "sub", func(c *mqtt.Connect) {
			c.Properties = mqtt.Properties{mqtt.Num(mqtt.MaximumPacketSize, 40)}
		})
		sub.subscribe(mqtt.QoS1, "t")
		pub := w.client(mqtt.V50, "pub")
		pub.send(publish(mqtt.QoS1, 1, "t", "before"), publish(mqtt.QoS1, 2, "t", strings.Repeat("x", 40)),
			publish(mqtt.QoS0, 0, "t", strings.Repeat("x", 40)), publish(mqtt.QoS1, 3, "t", "behind"))
		sub.message("t", "before")
		sub.message("t", "behind")
		equal(t, "counted", w.b.Stats().DroppedTooLarge, 2)
	})
}

func TestTopicAlias(t *testing.T) {
	inWorld(t, Options{TopicAliasMaximum: 2}, func(w *world) {
		sub := w.client(mqtt.V50, "sub")
		sub.subscribe(mqtt.QoS0, "#")
		pub := w.client(mqtt.V50, "pub")
		alias := mqtt.Num(mqtt.TopicAlias, 2)
		pub.send(publish(mqtt.QoS0, 0, "a", "1", alias), publish(mqtt.QoS0, 0, "", "2", alias),
			publish(mqtt.QoS0, 0, "b", "3", alias), publish(mqtt.QoS0, 0, "", "4", alias))
		for i, name := range []string{"a", "a", "b", "b"} {
			m := sub.message(name, fmt.Sprint(i+1))
			equal(t, "properties", len(m.Properties), 0)
		}
		pub.send(publish(mqtt.QoS0, 0, "c", "", mqtt.Num(mqtt.TopicAlias, 3)))
		pub.gone(mqtt.TopicAliasInvalid)
	})
}

func TestQueueIsBounded(t *testing.T) {
	inWorld(t, Options{MaxQueue: 3}, func(w *world) {
		sub, _ := w.connect(mqtt.V311, "sub", persistent)
		sub.subscribe(mqtt.QoS1, "t")
		sub.drop()
		pub := w.client(mqtt.V311, "pub")
		for i := range 5 {
			pub.send(publish(mqtt.QoS1, mqtt.PacketID(i+1), "t", fmt.Sprint(i)))
		}
		equal(t, "dropped", w.b.Stats().DroppedQueue, 2)
		sub, _ = w.connect(mqtt.V311, "sub", persistent)
		equal(t, "kept", len(sub.take()), 3)
	})
}

func TestConnectTimeout(t *testing.T) {
	inWorld(t, Options{ConnectTimeout: time.Second}, func(w *world) {
		p := w.dial(mqtt.V50)
		p.sendRaw([]byte{0x10})
		time.Sleep(900 * time.Millisecond)
		p.quiet()
		time.Sleep(200 * time.Millisecond)
		if got := p.take(); len(got) > 0 || !p.closed.Load() {
			t.Errorf("open, or told %v", got)
		}
	})
}

// [MQTT-4.9.0-3]: a client that acknowledges nothing still gets QoS 0 and
// answers.
func TestQoS0IsNotHeldUpByFlowControl(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub, _ := w.connect(mqtt.V50, "sub", func(c *mqtt.Connect) {
			c.Properties = mqtt.Properties{mqtt.Num(mqtt.ReceiveMaximum, 1)}
		})
		sub.subscribe(mqtt.QoS1, "t")
		pub := w.client(mqtt.V50, "pub")
		pub.send(publish(mqtt.QoS1, 1, "t", "1"), publish(mqtt.QoS1, 2, "t", "2"), publish(mqtt.QoS0, 0, "t", "0"))
		sub.message("t", "1")
		sub.message("t", "0")
		sub.send(&mqtt.Pingreq{})
		next[*mqtt.Pingresp](sub)
		sub.quiet()
	})
}

// A Session with more in flight than an out-buffer holds is resumed piece by
// piece, and nothing of it is lost.
func TestResumeBeyondTheOutBuffer(t *testing.T) {
	inWorld(t, Options{OutLimit: 1000}, func(w *world) {
		sub, _ := w.connect(mqtt.V50, "sub", persistent)
		sub.subscribe(mqtt.QoS1, "t")
		pub := w.client(mqtt.V50, "pub")
		const n = 50
		for i := range n {
			pub.send(publish(mqtt.QoS1, mqtt.PacketID(i+1), "t", strings.Repeat("x", 100)+fmt.Sprint(i)))
		}
		equal(t, "first time", len(sub.take()), n)
		sub.drop()
		sub, _ = w.connect(mqtt.V50, "sub", persistent)
		for i := range n {
			m := sub.message("t", strings.Repeat("x", 100)+fmt.Sprint(i))
			equal(t, "DUP", m.Dup, true)
		}
	})
}

// A QoS 1 message that the out-buffer refuses waits, and QoS 0 is dropped.
func TestSlowConsumer(t *testing.T) {
	inWorld(t, Options{OutLimit: 1000}, func(w *world) {
		sub := w.client(mqtt.V50, "sub")
		sub.subscribe(mqtt.QoS1, "t")
		<-sub.turn // reads no more than what it waits for
		pub := w.client(mqtt.V50, "pub")
		payload := strings.Repeat("x", 300)
		for i := range 20 {
			pub.send(publish(mqtt.QoS1, mqtt.PacketID(i+1), "t", payload+fmt.Sprint(i)), publish(mqtt.QoS0, 0, "t", payload))
			next[*mqtt.Puback](pub)
		}
		sub.turn <- struct{}{}
		qos1 := 0
		for _, pkt := range sub.take() {
			if m := pkt.(*mqtt.Publish); m.QoS == mqtt.QoS1 {
				equal(t, "in order", string(m.Payload), payload+fmt.Sprint(qos1))
				equal(t, "DUP", m.Dup, false)
				qos1++
			}
		}
		equal(t, "QoS 1", qos1, 20)
		if w.b.Stats().DroppedSlow == 0 {
			t.Error("no QoS 0 message was dropped and counted")
		}
	})
}

// A client whose limit is below what must be sent to it cannot be served.
func TestTinyMaximumPacketSize(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		_, ack := w.connect(mqtt.V50, "tiny", func(c *mqtt.Connect) {
			c.Properties = mqtt.Properties{mqtt.Num(mqtt.MaximumPacketSize, 6)}
		})
		equal(t, "reason", ack.ReasonCode, mqtt.PacketTooLarge)
	})
}

// Section 3.3.2.3.5: a Response Topic is a Topic Name [MQTT-3.3.2-14], [MQTT-4.7.3-1].
func TestBadResponseTopic(t *testing.T) {
	for _, bad := range []string{"", "+", "a/#", "a+"} {
		inWorld(t, Options{}, func(w *world) {
			pub := w.client(mqtt.V50, "pub")
			pub.send(publish(mqtt.QoS0, 0, "t", "", mqtt.Str(mqtt.ResponseTopic, "ok")))
			pub.send(publish(mqtt.QoS0, 0, "t", "", mqtt.Str(mqtt.ResponseTopic, bad)))
			pub.gone(mqtt.ProtocolError)
		})
	}
}
