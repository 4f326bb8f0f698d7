package broker

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"mqt/mqtt"
)

// withReceiveMaximum asks for a Session that stays and takes n messages at a
// time.
func withReceiveMaximum(n uint32) func(*mqtt.Connect) {
	return func(c *mqtt.Connect) {
		persistent(c)
		c.Properties = append(c.Properties, mqtt.Num(mqtt.ReceiveMaximum, n))
	}
}

// fill publishes n messages "0", "1", … at a QoS, in one batch.
func (p *peer) fill(topic string, qos mqtt.QoS, n int) {
	p.t.Helper()
	var all []mqtt.Packet
	for i := range n {
		all = append(all, publish(qos, mqtt.PacketID(i%65_535+1), topic, fmt.Sprint(i)))
		if qos == mqtt.QoS2 {
			all = append(all, pubrel(mqtt.PacketID(i%65_535+1)))
		}
	}
	p.send(all...)
	p.take()
}

// [MQTT-3.3.4-9], [MQTT-4.9.0-1], [MQTT-4.9.0-2]: never more than the client's
// Receive Maximum, held back and not lost, at both QoS.
func TestReceiveMaximumOfTheClient(t *testing.T) {
	for qos := mqtt.QoS1; qos <= mqtt.QoS2; qos++ {
		for _, limit := range []int{1, 2, 7} {
			t.Run(fmt.Sprintf("QoS %d, %d", qos, limit), func(t *testing.T) {
				inWorld(t, Options{}, func(w *world) {
					sub, _ := w.connect(mqtt.V50, "sub", withReceiveMaximum(uint32(limit)))
					sub.subscribe(qos, "t")
					w.client(mqtt.V50, "pub").fill("t", qos, 30)
					var open []*mqtt.Publish
					for i := range 30 {
						for len(open) < limit && len(open)+i < 30 {
							open = append(open, sub.message("t", fmt.Sprint(i+len(open))))
						}
						sub.quiet()
						if qos == mqtt.QoS2 {
							sub.send(pubrec(open[0].PacketID))
							next[*mqtt.Pubrel](sub) // not held up, and no room yet [MQTT-3.3.4-10]
							sub.quiet()
							sub.send(pubcomp(open[0].PacketID))
						} else {
							sub.send(puback(open[0].PacketID))
						}
						open = open[1:]
					}
					sub.quiet()
				})
			})
		}
	}
}

// The quota starts anew with the connection, at what that one asks for.
func TestReceiveMaximumIsPerConnection(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub, _ := w.connect(mqtt.V50, "sub", withReceiveMaximum(5))
		sub.subscribe(mqtt.QoS1, "t")
		w.client(mqtt.V50, "pub").fill("t", mqtt.QoS1, 8)
		equal(t, "at first", len(sub.take()), 5)
		sub.drop()
		sub, _ = w.connect(mqtt.V50, "sub", withReceiveMaximum(2))
		for i := range 8 {
			m := sub.message("t", fmt.Sprint(i)) // in order, also beyond the quota [MQTT-4.6.0-1]
			equal(t, "DUP", m.Dup, i < 5)
			if i < 7 {
				n := sub.message("t", fmt.Sprint(i+1))
				sub.quiet()
				sub.send(puback(m.PacketID))
				equal(t, "DUP", n.Dup, i+1 < 5)
				// Put it back: it is looked at first in the next round.
				sub.mu.Lock()
				sub.got = slices.Insert(sub.got, 0, mqtt.Packet(n))
				sub.mu.Unlock()
			}
		}
	})
}

// Section 3.3.4: a client with more under way than our Receive Maximum, counted
// over both QoS.
func TestReceiveMaximumOfTheServer(t *testing.T) {
	two := func(id mqtt.PacketID) mqtt.Packet { return publish(mqtt.QoS2, id, "t", "") }
	one := func(id mqtt.PacketID) mqtt.Packet { return publish(mqtt.QoS1, id, "t", "") }
	for _, c := range []struct {
		name string
		send []mqtt.Packet
		over bool
	}{
		{"full", []mqtt.Packet{two(1), two(2), two(3)}, false},
		{"QoS 2 too many", []mqtt.Packet{two(1), two(2), two(3), two(4)}, true},
		{"QoS 1 too many", []mqtt.Packet{two(1), two(2), two(3), one(4)}, true},
		{"QoS 1 is answered at once", []mqtt.Packet{two(1), two(2), one(3), one(4), one(5), one(6)}, false},
		{"the same again", []mqtt.Packet{two(1), two(2), two(3), two(3), two(1)}, false},
		{"QoS 0 does not count", []mqtt.Packet{two(1), two(2), two(3), publish(0, 0, "t", ""), &mqtt.Pingreq{}}, false},
		{"released", []mqtt.Packet{two(1), two(2), two(3), pubrel(2), one(4), two(5)}, false},
		{"released once", []mqtt.Packet{two(1), two(2), two(3), pubrel(2), two(5), one(6)}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, Options{ReceiveMaximum: 3}, func(w *world) {
				p := w.client(mqtt.V50, "x")
				p.send(c.send...)
				got := p.take()
				if !c.over {
					equal(t, "closed", p.closed.Load(), false)
					return
				}
				d, ok := got[len(got)-1].(*mqtt.Disconnect)
				if !ok || d.ReasonCode != mqtt.ReceiveMaximumExceeded || !p.closed.Load() {
					t.Errorf("got %v, want 0x93", got[len(got)-1])
				}
			})
		})
	}
	t.Run("3.1.1 is not told", func(t *testing.T) {
		inWorld(t, Options{ReceiveMaximum: 3}, func(w *world) {
			p := w.client(mqtt.V311, "x")
			for i := range mqtt.PacketID(100) {
				p.send(two(i + 1))
			}
			equal(t, "PUBREC", len(p.take()), 100)
		})
	})
}

// Section 4.3: an acknowledgement that the message under its identifier does not
// wait for is a Protocol Error [MQTT-4.13.1-1], [MQTT-3.1.1: 4.8.0-1], and the
// message is still under way. One for an identifier that is not in use is none.
func TestMisplacedAcknowledgement(t *testing.T) {
	for _, c := range []struct {
		name     string
		qos      mqtt.QoS
		from     mqtt.Version
		released bool        // the client has had its PUBREL
		wrong    mqtt.Packet // the message has the first identifier
	}{
		{"PUBREC of QoS 1", mqtt.QoS1, mqtt.V31, false, pubrec(1)},
		{"PUBREC of QoS 1, refused", mqtt.QoS1, mqtt.V50, false, &mqtt.Pubrec{Ack: mqtt.Ack{PacketID: 1, ReasonCode: mqtt.UnspecifiedError}}},
		{"PUBCOMP of QoS 1", mqtt.QoS1, mqtt.V31, false, pubcomp(1)},
		{"PUBACK of QoS 2", mqtt.QoS2, mqtt.V31, false, puback(1)},
		{"PUBCOMP of QoS 2 before its PUBREC", mqtt.QoS2, mqtt.V31, false, pubcomp(1)},
		{"PUBACK of QoS 2 behind its PUBREL", mqtt.QoS2, mqtt.V31, true, puback(1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
				if v < c.from {
					return
				}
				sub, _ := w.connect(v, "sub", persistent)
				sub.subscribe(mqtt.QoS2, "t")
				pub := w.client(v, "pub")
				pub.send(publish(c.qos, 1, "t", "m"), pubrel(1))
				pub.take()
				id := sub.message("t", "m").PacketID
				equal(w.t, "PacketID", id, 1)
				sub.send(puback(2), pubcomp(2))
				sub.quiet()
				if c.released {
					sub.send(pubrec(id))
					equal(w.t, "PUBREL", next[*mqtt.Pubrel](sub).PacketID, id)
				}
				sub.send(c.wrong)
				sub.gone(mqtt.ProtocolError)
				sub, _ = w.connect(v, "sub", persistent)
				if c.released {
					equal(w.t, "PUBREL", next[*mqtt.Pubrel](sub).PacketID, id)
					return
				}
				m := sub.message("t", "m")
				equal(w.t, "PacketID", m.PacketID, id)
				equal(w.t, "DUP", m.Dup, true)
			})
		})
	}
}

// [MQTT-2.2.1-4]: identifiers go round at 65,535 and leave out those in use.
func TestPacketIDsGoRound(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub, pub := w.client(mqtt.V311, "sub"), w.client(mqtt.V311, "pub")
		sub.subscribe(mqtt.QoS2, "t")
		open := map[mqtt.PacketID]bool{}
		kept, sent, round := 0, 0, 0
		last := mqtt.PacketID(0)
		const batch = 5000
		for sent < 150_000 {
			pub.fill("t", mqtt.QoS1, batch)
			var acks []mqtt.Packet
			for i, pkt := range sub.take() {
				m := pkt.(*mqtt.Publish)
				if m.PacketID == 0 || open[m.PacketID] {
					t.Fatalf("identifier %d is 0 or in use", m.PacketID)
				}
				if m.PacketID < last {
					round++
				}
				last = m.PacketID
				if i%1000 == 0 { // some are never acknowledged
					open[m.PacketID] = true
					kept++
					continue
				}
				acks = append(acks, puback(m.PacketID))
			}
			sent += len(acks) + batch/1000
			sub.send(acks...)
		}
		equal(t, "in use", len(open), 150)
		if round < 2 {
			t.Errorf("the identifiers went round %d times, want 2", round)
		}
	})
}

// All 65,535 identifiers in use: the next messages wait for one.
func TestAllPacketIDsInUse(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub, _ := w.connect(mqtt.V311, "sub", persistent)
		sub.subscribe(mqtt.QoS1, "t")
		w.client(mqtt.V311, "pub").fill("t", mqtt.QoS1, 65_540)
		got := sub.take()
		equal(t, "in flight", len(got), 65_535)
		used := make(map[mqtt.PacketID]bool, len(got))
		for _, pkt := range got {
			used[pkt.(*mqtt.Publish).PacketID] = true
		}
		equal(t, "different identifiers", len(used), 65_535)
		sub.send(&mqtt.Pingreq{})
		next[*mqtt.Pingresp](sub)
		sub.quiet()
		sub.send(puback(777))
		equal(t, "the one that is free", sub.message("t", "65535").PacketID, 777)
		sub.drop()
		sub, _ = w.connect(mqtt.V311, "sub", persistent)
		again := sub.take()
		equal(t, "again", len(again), 65_535)
		for i, pkt := range again[:65_534] { // all but "776", in order
			want := i
			if i >= 776 {
				want++
			}
			if string(pkt.(*mqtt.Publish).Payload) != fmt.Sprint(want) {
				t.Fatalf("message %d is %s, want %d", i, pkt.(*mqtt.Publish).Payload, want)
			}
		}
	})
}

// Options.MaxInflight is a limit of ours below the client's.
func TestMaxInflight(t *testing.T) {
	eachVersion(t, Options{MaxInflight: 3}, func(w *world, v mqtt.Version) {
		sub := w.client(v, "sub")
		sub.subscribe(mqtt.QoS2, "t")
		w.client(v, "pub").fill("t", mqtt.QoS2, 10)
		for i := 0; i < 9; i += 3 {
			got := sub.take()
			equal(w.t, "in flight", len(got), 3)
			for k, pkt := range got {
				m := pkt.(*mqtt.Publish)
				equal(w.t, "payload", string(m.Payload), fmt.Sprint(i+k))
				sub.send(pubrec(m.PacketID))
			}
			for _, pkt := range sub.take() {
				sub.send(pubcomp(pkt.(*mqtt.Pubrel).PacketID))
			}
		}
		sub.complete(sub.message("t", "9"))
	})
}

// [MQTT-4.6.0-1], [MQTT-4.6.0-4]: again and again until PUBACK [MQTT-4.3.2-3],
// PUBREC [MQTT-4.3.3-3] or PUBCOMP [MQTT-4.3.3-5], in the first order, PUBREL in
// the order of PUBREC, and nothing at any other time [MQTT-4.4.0-1].
func TestRedeliveryRepeats(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		sub, _ := w.connect(v, "sub", persistent)
		sub.subscribe(mqtt.QoS2, "#")
		pub := w.client(v, "pub")
		var ids []mqtt.PacketID
		for i := range 9 {
			qos := mqtt.QoS1 + mqtt.QoS(i%2)
			pub.put(publish(qos, 1, "t", fmt.Sprint(i)))
			ids = append(ids, sub.message("t", fmt.Sprint(i)).PacketID)
		}
		for _, i := range []int{7, 1, 5} {
			sub.send(pubrec(ids[i]))
			next[*mqtt.Pubrel](sub)
		}
		time.Sleep(24 * time.Hour)
		sub.quiet()
		for range 3 {
			sub.drop()
			sub, _ = w.connect(v, "sub", persistent)
			for _, i := range []int{7, 1, 5} {
				equal(w.t, "PUBREL", next[*mqtt.Pubrel](sub).PacketID, ids[i])
			}
			for _, i := range []int{0, 2, 3, 4, 6, 8} {
				m := sub.message("t", fmt.Sprint(i))
				equal(w.t, "DUP, id", []int{int(bit(m.Dup)), int(m.PacketID)}, []int{1, int(ids[i])})
			}
			sub.quiet()
		}
		for _, i := range []int{0, 2, 4, 6, 8} {
			sub.send(puback(ids[i]))
		}
		for _, i := range []int{7, 1, 5} {
			sub.send(pubcomp(ids[i]))
		}
		sub.send(pubrec(ids[3]), pubcomp(ids[3]))
		next[*mqtt.Pubrel](sub)
		sub.drop()
		sub, _ = w.connect(v, "sub", persistent)
		sub.quiet()
	})
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// [MQTT-3.1.2-24], [MQTT-3.1.2-25]: a message that the next connection is too
// small for counts as delivered, in flight or in the queue, and the client's
// limit counts the fixed header.
func TestMaximumPacketSizeOfTheNextConnection(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub, _ := w.connect(mqtt.V50, "sub", persistent)
		sub.subscribe(mqtt.QoS2, "t")
		pub := w.client(mqtt.V50, "pub")
		exact := publish(mqtt.QoS1, 1, "t", "12345678901234567890123456")
		zero := publish(mqtt.QoS0, 0, "t", "1234567890123456789012345678")
		zeroLarge := publish(mqtt.QoS0, 0, "t", string(zero.Payload)+"9")
		large := publish(mqtt.QoS1, 1, "t", "123456789012345678901234567")
		limit := uint32(exact.Size(mqtt.V50))
		for _, m := range []*mqtt.Publish{large, exact} {
			pub.put(m)
			sub.message("t", string(m.Payload))
		}
		two := publish(mqtt.QoS2, 2, "t", string(large.Payload))
		pub.put(two)
		sub.message("t", string(two.Payload))
		sub.drop()
		pub.put(large)
		pub.put(two)
		pub.put(exact)
		ask := func(c *mqtt.Connect) {
			withReceiveMaximum(1)(c)
			c.Properties = append(c.Properties, mqtt.Num(mqtt.MaximumPacketSize, limit))
		}
		sub, _ = w.connect(mqtt.V50, "sub", ask)
		for range 2 {
			sub.complete(sub.message("t", string(exact.Payload)))
		}
		sub.quiet()
		equal(t, "counted", w.b.Stats().DroppedTooLarge, 4)
		equal(t, "size", uint32(zero.Size(mqtt.V50)), limit)
		pub.put(zeroLarge)
		pub.put(zero)
		sub.message("t", string(zero.Payload))
		sub.quiet()
		equal(t, "counted", w.b.Stats().DroppedTooLarge, 5)
		sub.drop()
		sub, _ = w.connect(mqtt.V50, "sub", persistent)
		sub.quiet()
	})
}

// [MQTT-3.3.2-5], [MQTT-3.3.2-6], [MQTT-4.3.3-7]: what waits expires, what has
// been sent does not, and goes on with what is left.
func TestMessageExpiry(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub, _ := w.connect(mqtt.V50, "sub", withReceiveMaximum(2))
		sub.subscribe(mqtt.QoS2, "t")
		pub := w.client(mqtt.V50, "pub")
		expiry := func(n uint32) mqtt.Property { return mqtt.Num(mqtt.MessageExpiryInterval, n) }
		for i, m := range []*mqtt.Publish{
			publish(mqtt.QoS2, 1, "t", "rec", expiry(5)), publish(mqtt.QoS1, 1, "t", "ack", expiry(5)),
			publish(mqtt.QoS1, 1, "t", "waits", expiry(5)), publish(mqtt.QoS2, 1, "t", "longer", expiry(100)),
			publish(mqtt.QoS1, 1, "t", "never"), publish(mqtt.QoS1, 1, "t", "zero", expiry(0)),
		} {
			if code := pub.put(m); code != mqtt.Success {
				t.Errorf("message %d: %v", i, code)
			}
		}
		rec := sub.message("t", "rec")
		sub.message("t", "ack")
		left := func(m *mqtt.Publish) int64 {
			if n, ok := m.Properties.Number(mqtt.MessageExpiryInterval); ok {
				return int64(n)
			}
			return -1
		}
		equal(t, "at once", left(rec), 5)
		sub.send(pubrec(rec.PacketID))
		next[*mqtt.Pubrel](sub)
		time.Sleep(6200 * time.Millisecond)
		sub.drop()
		sub, _ = w.connect(mqtt.V50, "sub", withReceiveMaximum(2))
		next[*mqtt.Pubrel](sub)
		m := sub.message("t", "ack")
		equal(t, "under way", left(m), 0)
		sub.send(pubcomp(rec.PacketID))
		m = sub.message("t", "longer")
		equal(t, "left of 100", left(m), 94)
		sub.complete(m)
		m = sub.message("t", "never")
		equal(t, "never", left(m), -1)
		sub.complete(m)
		sub.quiet()
		equal(t, "counted", w.b.Stats().DroppedExpired, 2)
	})
}

// An interval of 3 s is 3 s, not 2.9 nor 3.1.
func TestMessageExpiryIsPrecise(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{2999 * time.Millisecond, 1}, {3 * time.Second, 0}} {
		inWorld(t, Options{}, func(w *world) {
			sub, _ := w.connect(mqtt.V50, "sub", persistent)
			sub.subscribe(mqtt.QoS1, "t")
			sub.drop()
			w.client(mqtt.V50, "pub").put(publish(mqtt.QoS1, 1, "t", "", mqtt.Num(mqtt.MessageExpiryInterval, 3)))
			time.Sleep(c.after)
			sub, _ = w.connect(mqtt.V50, "sub", persistent)
			equal(t, fmt.Sprint("after ", c.after), len(sub.take()), c.want)
		})
	}
}
