package broker

import (
	"fmt"
	"testing"
	"time"

	"mqt/mqtt"
)

// expiring asks for a Session that outlives its connection by so many seconds.
func expiring(seconds uint32) func(*mqtt.Connect) {
	return func(c *mqtt.Connect) {
		c.CleanStart = false
		c.Properties = append(c.Properties, mqtt.Num(mqtt.SessionExpiryInterval, seconds))
	}
}

// [MQTT-3.1.4-3], [MQTT-3.1.1: 3.1.4-2]: whoever comes second stays, in each
// combination of Clean Start, and the Session does what the second one asked for
// [MQTT-3.1.2-4], [MQTT-3.1.4-4].
func TestTakeOverInEachCombination(t *testing.T) {
	clean := func(*mqtt.Connect) {}
	asks := map[string]func(*mqtt.Connect){"clean": clean, "kept": persistent}
	for firstName, first := range asks {
		for secondName, second := range asks {
			t.Run(firstName+" then "+secondName, func(t *testing.T) {
				eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
					pub := w.client(v, "pub")
					old, _ := w.connect(v, "x", first)
					old.subscribe(mqtt.QoS1, "t")
					pub.put(publish(mqtt.QoS1, 1, "t", "a"))
					old.message("t", "a")
					p, ack := w.connect(v, "x", second)
					old.gone(mqtt.SessionTakenOver)
					resumed := firstName == "kept" && secondName == "kept" // [MQTT-3.1.1: 3.1.2-6]
					equal(w.t, "session present", ack.SessionPresent, resumed && v > mqtt.V31)
					if resumed {
						equal(w.t, "DUP", p.message("t", "a").Dup, true)
					}
					pub.put(publish(mqtt.QoS1, 1, "t", "b"))
					if resumed {
						p.message("t", "b")
					}
					p.quiet()
					stats := w.b.Stats()
					equal(w.t, "connections, sessions", [2]int64{stats.Connections, stats.Sessions}, [2]int64{2, 2})
					p.send(&mqtt.Disconnect{})
					want := int64(1)
					if secondName == "kept" {
						want = 2
					}
					equal(w.t, "sessions after all", w.b.Stats().Sessions, want)
				})
			})
		}
	}
}

// Clients that never stop taking each other's place.
func TestTakeOverAgainAndAgain(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		var old *peer
		for i := range 50 {
			p, ack := w.connect(v, "x", persistent)
			equal(w.t, "session present", ack.SessionPresent, i > 0 && v > mqtt.V31)
			if old != nil {
				old.gone(mqtt.SessionTakenOver)
			}
			old = p
		}
		old.quiet()
	})
}

// Section 3.1.4: the keep alive and the end of the old connection do nothing to
// the new one.
func TestTheOldConnectionIsForgotten(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		w.connect(v, "x", func(c *mqtt.Connect) { persistent(c); c.KeepAlive = 1 })
		p, _ := w.connect(v, "x", persistent)
		p.subscribe(mqtt.QoS1, "t")
		time.Sleep(time.Hour)
		p.quiet()
		w.client(v, "pub").put(publish(mqtt.QoS1, 1, "t", "x"))
		p.message("t", "x")
	})
}

// Section 3.1.2.11.2: to the second [MQTT-3.1.2-23], [MQTT-4.1.0-2].
func TestSessionExpiryIsPrecise(t *testing.T) {
	for _, c := range []struct {
		expiry uint32
		after  time.Duration
		want   bool
	}{
		{0, 0, false}, {3, 2990 * time.Millisecond, true}, {3, 3010 * time.Millisecond, false},
		{Never, 1000 * time.Hour, true}, {Never - 1, 1000 * time.Hour, true},
	} {
		inWorld(t, Options{}, func(w *world) {
			p, _ := w.connect(mqtt.V50, "x", expiring(c.expiry))
			time.Sleep(time.Hour) // it counts from the end of the connection
			p.drop()
			time.Sleep(c.after)
			want := int64(0)
			if c.want {
				want = 1
			}
			equal(t, "sessions", w.b.Stats().Sessions, want)
			_, ack := w.connect(mqtt.V50, "x", persistent)
			equal(t, fmt.Sprintf("%+v", c), ack.SessionPresent, c.want)
		})
	}
}

// Each connection says anew how long the Session lives.
func TestSessionExpiryOfTheLastConnection(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p, _ := w.connect(mqtt.V50, "x", expiring(100))
		p.drop()
		p, _ = w.connect(mqtt.V50, "x", expiring(3))
		p.drop()
		time.Sleep(4 * time.Second)
		_, ack := w.connect(mqtt.V50, "x", expiring(0))
		equal(t, "session present", ack.SessionPresent, false)
	})
}

// Section 3.14.2.2.2: DISCONNECT may change the interval, but not from 0.
func TestSessionExpiryAtDisconnect(t *testing.T) {
	bye := func(seconds uint32) *mqtt.Disconnect {
		return &mqtt.Disconnect{Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, seconds)}}
	}
	for _, c := range []struct {
		at, to uint32
		limit  uint32
		after  time.Duration
		kept   bool
	}{
		{100, 0, 0, 0, false}, {100, 3, 0, 2900 * time.Millisecond, true}, {100, 3, 0, 3100 * time.Millisecond, false},
		{3, 100, 0, 99 * time.Second, true}, {3, Never, 0, 1000 * time.Hour, true}, {0, 0, 0, 0, false},
		{3, 100, 10, 11 * time.Second, false},
	} {
		inWorld(t, Options{MaxSessionExpiry: c.limit}, func(w *world) {
			p, _ := w.connect(mqtt.V50, "x", expiring(c.at))
			p.send(bye(c.to))
			if got := p.take(); len(got) > 0 || !p.closed.Load() {
				t.Fatalf("after DISCONNECT: %v", got)
			}
			time.Sleep(c.after)
			_, ack := w.connect(mqtt.V50, "x", persistent)
			equal(t, fmt.Sprintf("%+v", c), ack.SessionPresent, c.kept)
		})
	}
	t.Run("from 0", func(t *testing.T) {
		inWorld(t, Options{}, func(w *world) {
			p, _ := w.connect(mqtt.V50, "x", expiring(0))
			p.send(bye(5))
			p.gone(mqtt.ProtocolError)
			equal(t, "sessions", w.b.Stats().Sessions, 0)
		})
	})
}

// [MQTT-3.14.4-1], [MQTT-3.14.4-2]: behind DISCONNECT nothing is handled, and
// nothing is sent.
func TestNothingBehindDisconnect(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		sub := w.client(v, "sub")
		sub.subscribe(mqtt.QoS0, "#")
		p, _ := w.connect(v, "x", persistent)
		p.send(publish(mqtt.QoS1, 1, "t", "before"), &mqtt.Disconnect{}, publish(mqtt.QoS1, 2, "t", "behind"), &mqtt.Pingreq{})
		sub.message("t", "before")
		sub.quiet()
		next[*mqtt.Puback](p)
		if got := p.take(); len(got) > 0 || !p.closed.Load() {
			t.Errorf("behind DISCONNECT: %v", got)
		}
	})
}

// Which codes a client's DISCONNECT may have, section 3.14.2.1.
func TestDisconnectReasonCodes(t *testing.T) {
	allowed := map[byte]bool{0x00: true, 0x04: true, 0x80: true, 0x81: true, 0x82: true, 0x83: true, 0x90: true, 0x93: true, 0x94: true,
		0x95: true, 0x96: true, 0x97: true, 0x98: true, 0x99: true}
	inWorld(t, Options{}, func(w *world) {
		for code := range 256 {
			p := w.client(mqtt.V50, "x")
			p.sendRaw(packet(0xe0, []byte{byte(code)}))
			if !allowed[byte(code)] {
				p.gone(mqtt.ProtocolError) // [MQTT-3.14.2-1]
				continue
			}
			if got := p.take(); len(got) > 0 || !p.closed.Load() {
				t.Errorf("0x%02x: %v, closed %v", code, got, p.closed.Load())
			}
		}
	})
}

// [MQTT-4.1.0-1], [MQTT-4.1.0-2]: all of a Session stays while it lives
// [MQTT-3.1.1: 3.1.2-4], what comes meanwhile joins it [MQTT-4.5.0-1],
// [MQTT-3.1.1: 3.1.2-5], and nothing of it is there afterwards.
func TestSessionStateStays(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		p, _ := w.connect(v, "x", persistent)
		pub := w.client(v, "pub")
		p.subscribe(mqtt.QoS2, "t")
		pub.put(publish(mqtt.QoS1, 1, "t", "one"))
		p.message("t", "one")
		p.send(publish(mqtt.QoS2, 7, "o", "")) // not released
		next[*mqtt.Pubrec](p)
		p.drop()
		pub.put(publish(mqtt.QoS0, 0, "t", "zero")) // not kept for who is away
		pub.put(publish(mqtt.QoS2, 1, "t", "two"))
		p, _ = w.connect(v, "x", persistent)
		p.message("t", "one")
		p.complete(p.message("t", "two"))
		p.send(pubrel(7))
		equal(w.t, "PUBCOMP", next[*mqtt.Pubcomp](p).ReasonCode, mqtt.Success)
		p.quiet()
		p.send(publish(mqtt.QoS2, 7, "o", ""))
		next[*mqtt.Pubrec](p)
		p = w.client(v, "x") // [MQTT-3.1.2-4]
		p.send(pubrel(7))
		if code := next[*mqtt.Pubcomp](p).ReasonCode; v == mqtt.V50 {
			equal(w.t, "PUBCOMP", code, mqtt.PacketIdentifierNotFound)
		}
		pub.put(publish(mqtt.QoS2, 1, "t", "x"))
		p.quiet()
	})
}

// [MQTT-3.1.1: 3.1.2-6]: a clean session ends with its connection.
func TestCleanSessionEnds(t *testing.T) {
	for _, v := range []mqtt.Version{mqtt.V31, mqtt.V311} {
		inWorld(t, Options{}, func(w *world) {
			w.client(v, "x").subscribe(mqtt.QoS1, "t")
			p := w.client(v, "x")
			p.subscribe(mqtt.QoS1, "t")
			p.drop()
			equal(t, "sessions", w.b.Stats().Sessions, 0)
			_, ack := w.connect(v, "x", persistent)
			equal(t, "session present", ack.SessionPresent, false)
		})
	}
}

// A clean start in 5.0 begins a Session that may well stay.
func TestCleanStartThatStays(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p, _ := w.connect(mqtt.V50, "x", func(c *mqtt.Connect) {
			c.Properties = mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 10)}
		})
		p.subscribe(mqtt.QoS1, "t")
		p.drop()
		p, ack := w.connect(mqtt.V50, "x", persistent)
		equal(t, "session present", ack.SessionPresent, true)
		w.client(mqtt.V50, "pub").put(publish(mqtt.QoS1, 1, "t", "x"))
		p.message("t", "x")
	})
}

// [MQTT-4.6.0-5]: what was queued comes in order, behind what was under way,
// and before what is new.
func TestQueueKeepsOrder(t *testing.T) {
	eachVersion(t, Options{MaxInflight: 5}, func(w *world, v mqtt.Version) {
		sub, _ := w.connect(v, "sub", persistent)
		sub.subscribe(mqtt.QoS2, "t")
		pub := w.client(v, "pub")
		n := 0
		put := func(count int) {
			for range count {
				pub.put(publish(mqtt.QoS1+mqtt.QoS(n%2), 1, "t", fmt.Sprint(n)))
				n++
			}
		}
		put(8)
		sub.take()
		sub.drop()
		put(8)
		sub, _ = w.connect(v, "sub", persistent)
		want := 0
		for pending := sub.take(); len(pending) > 0; pending = sub.take() {
			if n < 30 {
				put(1)
			}
			for _, pkt := range pending {
				switch m := pkt.(type) {
				case *mqtt.Publish:
					equal(w.t, "payload", string(m.Payload), fmt.Sprint(want))
					equal(w.t, "DUP", m.Dup, want < 5)
					want++
					if m.QoS == mqtt.QoS1 {
						sub.send(puback(m.PacketID))
					} else {
						sub.send(pubrec(m.PacketID))
					}
				case *mqtt.Pubrel:
					sub.send(pubcomp(m.PacketID))
				}
			}
		}
		equal(w.t, "messages", want, n)
	})
}
