package broker

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"mqt/mqtt"
)

// complete sends what a client owes for a message and checks the answers.
func (p *peer) complete(m *mqtt.Publish) {
	p.t.Helper()
	switch m.QoS {
	case mqtt.QoS1:
		p.send(puback(m.PacketID))
	case mqtt.QoS2:
		p.send(pubrec(m.PacketID))
		equal(p.t, "PUBREL", next[*mqtt.Pubrel](p).PacketID, m.PacketID)
		p.send(pubcomp(m.PacketID))
	}
}

// put publishes and goes through with the flow; it returns the Reason Code.
func (p *peer) put(m *mqtt.Publish) (code mqtt.ReasonCode) {
	p.t.Helper()
	p.send(m)
	switch m.QoS {
	case mqtt.QoS1:
		ack := next[*mqtt.Puback](p)
		equal(p.t, "PUBACK", ack.PacketID, m.PacketID)
		code = ack.ReasonCode
	case mqtt.QoS2:
		rec := next[*mqtt.Pubrec](p)
		equal(p.t, "PUBREC", rec.PacketID, m.PacketID)
		if code = rec.ReasonCode; code.Failed() {
			return code
		}
		p.send(pubrel(m.PacketID))
		comp := next[*mqtt.Pubcomp](p)
		equal(p.t, "PUBCOMP", comp.PacketID, m.PacketID)
		equal(p.t, "PUBCOMP", comp.ReasonCode, mqtt.Success)
	}
	return code
}

// dup is m sent again.
func dup(m *mqtt.Publish) *mqtt.Publish {
	again := *m
	again.Dup = true
	return &again
}

// retained is a message with RETAIN set.
func retained(qos mqtt.QoS, id mqtt.PacketID, topic, payload string, ps ...mqtt.Property) *mqtt.Publish {
	m := publish(qos, id, topic, payload, ps...)
	m.Retain = true
	return m
}

// [MQTT-3.8.4-8]: the lower of the QoS published and the QoS granted, and DUP 0
// at QoS 0 [MQTT-4.3.1-1].
func TestQoSIsTheLowerOfTheTwo(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		pub := w.client(v, "pub")
		for granted := mqtt.QoS0; granted <= mqtt.QoS2; granted++ {
			sub := w.client(v, "sub")
			sub.subscribe(granted, "t")
			for qos := mqtt.QoS0; qos <= mqtt.QoS2; qos++ {
				pub.put(publish(qos, 1, "t", "x"))
				m := sub.message("t", "x")
				equal(w.t, fmt.Sprintf("published %d, granted %d", qos, granted), m.QoS, min(qos, granted))
				equal(w.t, "RETAIN, DUP", [2]bool{m.Retain, m.Dup}, [2]bool{})
				sub.complete(m)
			}
			sub.quiet()
		}
	})
}

// [MQTT-3.3.1-3]: the publisher's DUP does not travel, and [MQTT-4.3.2-5] a
// QoS 1 message with DUP is a message like any other.
func TestDupDoesNotTravel(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		sub, pub := w.client(v, "sub"), w.client(v, "pub")
		sub.subscribe(mqtt.QoS2, "t")
		for _, qos := range []mqtt.QoS{mqtt.QoS1, mqtt.QoS2} {
			pub.put(dup(publish(qos, 1, "t", "x")))
			m := sub.message("t", "x")
			equal(w.t, "DUP", m.Dup, false)
			sub.complete(m)
		}
		one := publish(mqtt.QoS1, 1, "t", "y")
		pub.put(one)
		pub.put(dup(one))
		sub.complete(sub.message("t", "y"))
		sub.complete(sub.message("t", "y"))
	})
}

// [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17],
// [MQTT-3.3.2-18], [MQTT-3.3.2-20]: what travels does so unchanged and in order,
// and nothing is invented.
func TestPropertiesTravel(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub, pub := w.client(mqtt.V50, "sub"), w.client(mqtt.V50, "pub")
		sub.subscribe(mqtt.QoS2, "t")
		ps := mqtt.Properties{
			mqtt.User("z", "1"), mqtt.Num(mqtt.PayloadFormatIndicator, 1), mqtt.User("a", "2"), mqtt.Str(mqtt.ContentType, "text/plain"),
			mqtt.User("z", "1"), mqtt.Str(mqtt.ResponseTopic, "answers/x"), mqtt.Bin(mqtt.CorrelationData, []byte{0, 1, 255}), mqtt.User("", ""),
		}
		for qos := range mqtt.QoS2 + 1 {
			m := publish(qos, 1, "t", "x", ps...)
			pub.put(m)
			got := sub.message("t", "x")
			equal(t, "properties", fmt.Sprint(got.Properties), fmt.Sprint(ps))
			sub.complete(got)
			pub.put(publish(qos, 1, "t", "bare"))
			got = sub.message("t", "bare")
			equal(t, "properties", len(got.Properties), 0)
			sub.complete(got)
		}
		old := w.client(mqtt.V311, "old")
		old.subscribe(mqtt.QoS0, "t")
		pub.put(publish(mqtt.QoS0, 0, "t", "x", ps...))
		old.message("t", "x") // [MQTT-2.2.2-1]
	})
}

// Section 3.3.2.3.4: what a Topic Alias may be.
func TestTopicAliasErrors(t *testing.T) {
	alias := func(n uint32) mqtt.Property { return mqtt.Num(mqtt.TopicAlias, n) }
	for _, c := range []struct {
		name string
		send []*mqtt.Publish
		code mqtt.ReasonCode
	}{
		{"0 [MQTT-3.3.2-8]", []*mqtt.Publish{publish(0, 0, "t", "", alias(0))}, mqtt.TopicAliasInvalid},
		{"above the maximum [MQTT-3.3.2-9]", []*mqtt.Publish{publish(0, 0, "t", "", alias(5))}, mqtt.TopicAliasInvalid},
		{"above the maximum, empty", []*mqtt.Publish{publish(0, 0, "", "", alias(5))}, mqtt.TopicAliasInvalid},
		{"unknown", []*mqtt.Publish{publish(0, 0, "t", "", alias(1)), publish(0, 0, "", "", alias(2))}, mqtt.ProtocolError},
		{"empty topic without one", []*mqtt.Publish{publish(0, 0, "", "")}, mqtt.ProtocolError},
		{"twice", []*mqtt.Publish{publish(0, 0, "t", "", alias(1), alias(1))}, mqtt.ProtocolError},
		{"of a wild name", []*mqtt.Publish{publish(0, 0, "a/#", "", alias(1))}, mqtt.TopicNameInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, Options{TopicAliasMaximum: 4}, func(w *world) {
				p := w.client(mqtt.V50, "x")
				for _, m := range c.send {
					p.send(m)
				}
				p.gone(c.code)
			})
		})
	}
}

// Where there are none, the first is above the maximum.
func TestNoTopicAlias(t *testing.T) {
	inWorld(t, Options{NoTopicAlias: true}, func(w *world) {
		p := w.client(mqtt.V50, "x")
		p.send(publish(0, 0, "t", "", mqtt.Num(mqtt.TopicAlias, 1)))
		p.gone(mqtt.TopicAliasInvalid) // [MQTT-3.3.2-9]
	})
}

// [MQTT-3.3.2-7]: aliases end with their connection, [MQTT-3.3.2-12] all up to
// the maximum are taken, and those of one client are none of another's.
func TestTopicAliasIsPerConnection(t *testing.T) {
	inWorld(t, Options{TopicAliasMaximum: 3}, func(w *world) {
		sub := w.client(mqtt.V50, "sub")
		sub.subscribe(mqtt.QoS2, "#")
		a, _ := w.connect(mqtt.V50, "a", persistent)
		b := w.client(mqtt.V50, "b")
		for i := range uint32(3) {
			a.send(publish(mqtt.QoS0, 0, fmt.Sprint("a/", i), "", mqtt.Num(mqtt.TopicAlias, i+1)))
			b.send(publish(mqtt.QoS0, 0, fmt.Sprint("b/", i), "", mqtt.Num(mqtt.TopicAlias, i+1)))
		}
		sub.take()
		for i := range uint32(3) {
			a.put(publish(mqtt.QoS2, 1, "", "", mqtt.Num(mqtt.TopicAlias, i+1)))
			m := sub.message(fmt.Sprint("a/", i), "")
			equal(t, "alias", m.Properties.Has(mqtt.TopicAlias), false)
			sub.complete(m)
			b.put(publish(mqtt.QoS1, 1, "", "", mqtt.Num(mqtt.TopicAlias, i+1)))
			sub.complete(sub.message(fmt.Sprint("b/", i), ""))
		}
		a.drop()
		a, _ = w.connect(mqtt.V50, "a", persistent)
		a.send(publish(mqtt.QoS0, 0, "", "", mqtt.Num(mqtt.TopicAlias, 1)))
		a.gone(mqtt.ProtocolError)
	})
}

// Section 3.4.2.1: 0x10 when nobody is there; 3.1.1 knows no codes.
func TestNoMatchingSubscribers(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		pub := w.client(v, "pub")
		want := mqtt.NoMatchingSubscribers
		if v < mqtt.V50 {
			want = mqtt.Success
		}
		equal(w.t, "PUBACK", pub.put(publish(mqtt.QoS1, 1, "t", "")), want)
		equal(w.t, "PUBREC", pub.put(publish(mqtt.QoS2, 1, "t", "")), want)
		pub.subscribe(mqtt.QoS0, "t")
		pub.send(publish(mqtt.QoS1, 1, "t", ""))
		for _, pkt := range pub.take() {
			if ack, ok := pkt.(*mqtt.Puback); ok {
				equal(w.t, "PUBACK", ack.ReasonCode, mqtt.Success)
			}
		}
	})
}

// Section 4.7.2: $SYS is the server's own.
func TestClientsDoNotPublishToSys(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		sub, pub := w.client(v, "sub"), w.client(v, "pub")
		sub.subscribe(mqtt.QoS2, "$SYS/#", "#")
		want := mqtt.NotAuthorized
		if v < mqtt.V50 {
			want = mqtt.Success // [MQTT-3.1.1: 3.3.5-2]: acknowledged, or closed
		}
		for _, name := range []string{"$SYS", "$SYS/x", "$SYS/broker/uptime"} {
			equal(w.t, "PUBACK", pub.put(retained(mqtt.QoS1, 1, name, "lie")), want)
			equal(w.t, "PUBREC", pub.put(retained(mqtt.QoS2, 1, name, "lie")), want)
			pub.put(retained(mqtt.QoS0, 0, name, "lie"))
		}
		sub.quiet()
		equal(w.t, "retained", w.b.Stats().Retained, 0)
		equal(w.t, "$SYSTEM", pub.put(publish(mqtt.QoS1, 1, "$SYSTEM", "fine")).Failed(), false)
	})
}

// [MQTT-4.3.3-9]: after a PUBREC of 0x80 or more the identifier is free.
func TestRefusedQoS2IsOver(t *testing.T) {
	inWorld(t, Options{ReceiveMaximum: 2}, func(w *world) {
		sub, pub := w.client(mqtt.V50, "sub"), w.client(mqtt.V50, "pub")
		sub.subscribe(mqtt.QoS0, "t")
		for range 5 {
			equal(t, "PUBREC", pub.put(publish(mqtt.QoS2, 9, "$SYS/x", "")), mqtt.NotAuthorized)
		}
		equal(t, "PUBREC", pub.put(publish(mqtt.QoS2, 9, "t", "x")), mqtt.Success)
		sub.message("t", "x")
		pub.send(publish(mqtt.QoS2, 9, "$SYS/x", ""), pubrel(9))
		next[*mqtt.Pubrec](pub)
		equal(t, "PUBCOMP", next[*mqtt.Pubcomp](pub).ReasonCode, mqtt.PacketIdentifierNotFound)
	})
}

// [MQTT-4.3.3-10], [MQTT-4.4.0-1]: what was received of a QoS 2 flow outlives
// the connection, unless the Session does not.
func TestInboundQoS2OverReconnect(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		sub := w.client(v, "sub")
		sub.subscribe(mqtt.QoS0, "t")
		pub, _ := w.connect(v, "pub", persistent)
		a, b := publish(mqtt.QoS2, 1, "t", "a"), publish(mqtt.QoS2, 2, "t", "b")
		pub.send(a, b, pubrel(2))
		sub.message("t", "a")
		sub.message("t", "b")
		for range 2 {
			pub.drop()
			pub, _ = w.connect(v, "pub", persistent)
			pub.send(dup(a))
			equal(w.t, "PUBREC", next[*mqtt.Pubrec](pub).PacketID, 1)
			sub.quiet()
		}
		pub.send(pubrel(1), pubrel(2))
		equal(w.t, "PUBCOMP", next[*mqtt.Pubcomp](pub).ReasonCode, mqtt.Success)
		want := mqtt.PacketIdentifierNotFound
		if v < mqtt.V50 {
			want = mqtt.Success
		}
		equal(w.t, "PUBCOMP", next[*mqtt.Pubcomp](pub).ReasonCode, want)
		pub.send(a)
		next[*mqtt.Pubrec](pub)
		sub.message("t", "a") // a new message [MQTT-4.3.3-12]

		pub.drop()
		pub = w.client(v, "pub") // and a new Session
		pub.send(dup(a))
		next[*mqtt.Pubrec](pub)
		sub.message("t", "a")
	})
}

// [MQTT-4.3.3-4], [MQTT-4.3.3-6]: PUBREC repeats PUBREL and never PUBLISH; what
// is not known is answered 0x92, or like anything else in 3.1.1.
func TestOutboundQoS2Answers(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		sub, pub := w.client(v, "sub"), w.client(v, "pub")
		sub.subscribe(mqtt.QoS2, "t")
		pub.put(publish(mqtt.QoS2, 1, "t", "x"))
		m := sub.message("t", "x")
		for range 3 {
			sub.send(pubrec(m.PacketID))
			equal(w.t, "PUBREL", *next[*mqtt.Pubrel](sub), *pubrel(m.PacketID))
		}
		sub.send(pubcomp(m.PacketID), pubcomp(m.PacketID))
		sub.quiet()
		sub.send(pubrec(m.PacketID))
		want := mqtt.PacketIdentifierNotFound
		if v < mqtt.V50 {
			want = mqtt.Success
		}
		equal(w.t, "PUBREL", next[*mqtt.Pubrel](sub).ReasonCode, want)
		sub.send(puback(99), pubcomp(99))
		sub.quiet()
	})
}

// [MQTT-4.4.0-2]: a refusal ends the flow: no PUBREL, nothing again.
func TestRefusedDeliveryIsOver(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		ask := func(c *mqtt.Connect) {
			persistent(c)
			c.Properties = append(c.Properties, mqtt.Num(mqtt.ReceiveMaximum, 1))
		}
		sub, _ := w.connect(mqtt.V50, "sub", ask)
		sub.subscribe(mqtt.QoS2, "t")
		pub := w.client(mqtt.V50, "pub")
		pub.put(publish(mqtt.QoS2, 1, "t", "two"))
		pub.put(publish(mqtt.QoS1, 1, "t", "one"))
		pub.put(publish(mqtt.QoS1, 1, "t", "last"))
		m := sub.message("t", "two")
		sub.send(&mqtt.Pubrec{Ack: mqtt.Ack{PacketID: m.PacketID, ReasonCode: mqtt.UnspecifiedError}})
		m = sub.message("t", "one") // its quota is free [MQTT-4.9.0-1]
		sub.send(&mqtt.Puback{Ack: mqtt.Ack{PacketID: m.PacketID, ReasonCode: mqtt.PayloadFormatInvalid}})
		sub.complete(sub.message("t", "last"))
		sub.drop()
		sub, _ = w.connect(mqtt.V50, "sub", ask)
		sub.quiet()
	})
}

// Topic Names are bytes: no normalisation, U+FEFF is kept [MQTT-1.5.4-3],
// [MQTT-4.7.3-4], up to 65,535 of them.
func TestTopicNamesAreBytes(t *testing.T) {
	eachVersion(t, Options{MaxTopicLevels: 65_536}, func(w *world, v mqtt.Version) {
		sub, pub := w.client(v, "sub"), w.client(v, "pub")
		names := []string{"\ufeffx", "x\ufeff", "\u00e9", "e\u0301", " ", "/", "//", "/a/", "A", "a", "\U0010ffff", "$", "$x/y",
			strings.Repeat("x", 65_535), strings.Repeat("/", 65_535)}
		for _, name := range names {
			sub.subscribe(mqtt.QoS0, name)
		}
		for i, name := range names {
			pub.send(publish(mqtt.QoS0, 0, name, fmt.Sprint(i)))
			sub.message(name, fmt.Sprint(i))
			sub.quiet()
		}
	})
}

// The payload is any bytes, of any length.
func TestPayloadsAreBytes(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		sub, other, pub := w.client(v, "sub"), w.client(v, "other"), w.client(v, "pub")
		sub.subscribe(mqtt.QoS2, "t")
		other.subscribe(mqtt.QoS2, "+")
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		for _, n := range []int{0, 1, 13, 14, 15, 16, 17, 256, 4095, 4096, 4097, 16_383, 65_536, 1 << 20} {
			payload := string(bytes.Repeat(all, n/256+1)[:n])
			for qos := range mqtt.QoS2 + 1 {
				pub.put(publish(qos, 1, "t", payload))
				for _, p := range []*peer{sub, other} {
					p.complete(p.message("t", payload))
				}
			}
		}
	})
}

// [MQTT-2.2.1-3]: the two directions count apart.
func TestPacketIDsOfTheTwoSidesAreApart(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		p := w.client(v, "x")
		p.subscribe(mqtt.QoS2, "t")
		p.send(publish(mqtt.QoS2, 1, "t", "x"))
		var rec *mqtt.Pubrec
		var m *mqtt.Publish
		for _, pkt := range p.take() {
			switch q := pkt.(type) {
			case *mqtt.Pubrec:
				rec = q
			case *mqtt.Publish:
				m = q
			}
		}
		if rec == nil || m == nil || m.PacketID != 1 || rec.PacketID != 1 {
			w.t.Fatalf("got %v and %v, want both with identifier 1", rec, m)
		}
		p.send(pubrel(1))
		next[*mqtt.Pubcomp](p)
		p.send(pubrec(1))
		next[*mqtt.Pubrel](p)
		p.send(pubcomp(1))
		p.quiet()
	})
}

// The answers of one connection leave in the order of what they answer, also
// PUBACKs [MQTT-4.6.0-2], PUBRECs [MQTT-4.6.0-3], and a SUBSCRIBE sees what was
// published before it.
func TestEffectsAreInOrder(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		p := w.client(v, "x")
		sub := &mqtt.Subscribe{PacketID: 9, Subscriptions: []mqtt.Subscription{{Filter: "r", QoS: mqtt.QoS1}}}
		p.send(retained(mqtt.QoS1, 4, "r", "kept"), publish(mqtt.QoS1, 5, "o", ""), publish(mqtt.QoS1, 3, "o", ""), sub,
			publish(mqtt.QoS2, 8, "o", ""), publish(mqtt.QoS2, 7, "o", ""), &mqtt.Pingreq{}, pubrel(7), pubrel(8),
			&mqtt.Unsubscribe{PacketID: 6, Filters: []string{"r"}}, retained(mqtt.QoS1, 2, "r", "newer"))
		equal(w.t, "PUBACK", next[*mqtt.Puback](p).PacketID, 4)
		equal(w.t, "PUBACK", next[*mqtt.Puback](p).PacketID, 5)
		equal(w.t, "PUBACK", next[*mqtt.Puback](p).PacketID, 3)
		next[*mqtt.Suback](p)
		p.message("r", "kept")
		equal(w.t, "PUBREC", next[*mqtt.Pubrec](p).PacketID, 8)
		equal(w.t, "PUBREC", next[*mqtt.Pubrec](p).PacketID, 7)
		next[*mqtt.Pingresp](p)
		equal(w.t, "PUBCOMP", next[*mqtt.Pubcomp](p).PacketID, 7)
		equal(w.t, "PUBCOMP", next[*mqtt.Pubcomp](p).PacketID, 8)
		next[*mqtt.Unsuback](p)
		equal(w.t, "PUBACK", next[*mqtt.Puback](p).PacketID, 2)
		p.quiet()
	})
}

// [MQTT-3.2.2-15]: 0x95 as soon as the length is known, before a byte of it is
// kept.
func TestPacketTooLarge(t *testing.T) {
	eachVersion(t, Options{MaximumPacketSize: 1000}, func(w *world, v mqtt.Version) {
		p := w.client(v, "fits")
		most := publish(mqtt.QoS1, 1, "t", "")
		most.Payload = make([]byte, 1000-most.Size(v)-1) // one more byte of Remaining Length
		equal(w.t, "size", most.Size(v), 1000)
		p.put(most)
		p.sendRaw([]byte{0x30, 0xe6, 0x07}) // 998 and 3
		p.gone(mqtt.PacketTooLarge)
	})
}

// STANDARD: before CONNECT little is believed.
func TestLargeConnectIsNotBelieved(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		for _, claim := range [][]byte{{0x10, 0xff, 0xff, 0xff, 0x7f}, {0x10, 0x80, 0x80, 0x80, 1}, {0x10, 0xff, 0xff, 0xff, 0xff, 0x7f}} {
			p := w.dial(v)
			p.sendRaw(claim)
			p.refused(mqtt.Success)
		}
	})
}

// [MQTT-3.2.2-11], [MQTT-3.2.2-14]: more than CONNACK allows.
func TestFeaturesThatAreOff(t *testing.T) {
	q0, q1 := mqtt.QoS0, mqtt.QoS1
	for _, c := range []struct {
		name string
		o    Options
		send mqtt.Packet
		code mqtt.ReasonCode
	}{
		{"QoS 1 at most 0", Options{MaximumQoS: &q0}, publish(mqtt.QoS1, 1, "t", ""), mqtt.QoSNotSupported},
		{"QoS 2 at most 1", Options{MaximumQoS: &q1}, publish(mqtt.QoS2, 1, "t", ""), mqtt.QoSNotSupported},
		{"retain", Options{NoRetain: true}, retained(mqtt.QoS0, 0, "t", ""), mqtt.RetainNotSupported},
		{"plus", Options{NoWildcard: true}, subscribeTo("+/x"), mqtt.WildcardSubscriptionsNotSupported},
		{"hash", Options{NoWildcard: true}, subscribeTo("#"), mqtt.WildcardSubscriptionsNotSupported},
		{"hash in a share", Options{NoWildcard: true}, subscribeTo("$share/g/a/#"), mqtt.WildcardSubscriptionsNotSupported},
		{"share", Options{NoShared: true}, subscribeTo("$share/g/a"), mqtt.SharedSubscriptionsNotSupported},
		{"identifier", Options{NoSubscriptionID: true}, subscribeTo("t", mqtt.Num(mqtt.SubscriptionIdentifier, 1)),
			mqtt.SubscriptionIdentifiersNotSupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachVersion(t, c.o, func(w *world, v mqtt.Version) {
				if v < mqtt.V50 && c.name == "identifier" {
					return // it has none
				}
				p := w.client(v, "x")
				p.send(c.send)
				if _, ok := c.send.(*mqtt.Subscribe); ok && v < mqtt.V50 { // CONNACK did not tell
					next[*mqtt.Suback](p)
					p.quiet()
				} else {
					p.gone(c.code)
				}
				equal(w.t, "kept", w.b.Stats().Subscriptions+w.b.Stats().Retained, 0)
			})
		})
	}
}

func subscribeTo(filter string, ps ...mqtt.Property) *mqtt.Subscribe {
	return &mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: filter}}, Properties: ps}
}

// [MQTT-3.2.2-9], [MQTT-3.2.2-10], [MQTT-3.2.2-12], [MQTT-3.2.2-13]: a SUBSCRIBE
// above the Maximum QoS is granted what there is, as SUBACK tells
// [MQTT-3.8.4-7]; a will above it is refused.
func TestMaximumQoSOfSubscriptionsAndWills(t *testing.T) {
	q0 := mqtt.QoS0
	eachVersion(t, Options{MaximumQoS: &q0, NoRetain: true}, func(w *world, v mqtt.Version) {
		p := w.client(v, "x")
		p.send(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "t", QoS: mqtt.QoS2}}})
		equal(w.t, "granted", next[*mqtt.Suback](p).ReasonCodes[0], mqtt.Success)
		for _, c := range []struct {
			will mqtt.Will
			code mqtt.ReasonCode
		}{
			{mqtt.Will{Topic: "w", QoS: mqtt.QoS1}, mqtt.QoSNotSupported},
			{mqtt.Will{Topic: "w", Retain: true}, mqtt.RetainNotSupported},
		} {
			p := w.dial(v)
			p.send(&mqtt.Connect{Version: v, ClientID: "y", CleanStart: true, Will: &c.will})
			if v < mqtt.V50 {
				c.code = mqtt.ServerUnavailable
			}
			p.refused(c.code)
		}
	})
}
