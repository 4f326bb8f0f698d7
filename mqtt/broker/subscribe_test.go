package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mqt/mqtt"
)

// Sections 4.7 and 4.8.2: a filter that is none is a Protocol Error of the whole
// SUBSCRIBE or UNSUBSCRIBE [MQTT-4.13.1-1], [MQTT-3.1.1: 4.8.0-1], of which
// nothing is done; one over a limit of ours fails alone, and the others of the
// packet stand. The codes are in the order of the filters [MQTT-3.9.3-1],
// [MQTT-3.11.3-1]. U+0000 and bad UTF-8 are a Malformed Packet.
func TestInvalidFilters(t *testing.T) {
	bad := []string{"", "a#", "#a", "+a", "a+", "a/#/b", "##", "#/#", "a/+b/c", "a/b#", "++", "+#",
		"$share//x", "$share/+/x", "$share/#/x", "$share/a+/x", "$share/g", "$share/g/", "$share/", "$share/g/a#", "$share/g/##"}
	good := []string{"#", "+", "/", "//", "+/+", "/#", "a/+/#", "$share/g/#", "$share/g//", "$share/g/+", "$share", "$share2/g", "$SYS/#", "\ufeff"}
	deep := strings.Repeat("/", 200)
	sent := slices.Concat([]string{deep}, good, []string{deep})
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		s := &mqtt.Subscribe{PacketID: 1}
		for _, f := range sent {
			s.Subscriptions = append(s.Subscriptions, mqtt.Subscription{Filter: f, QoS: mqtt.QoS1})
		}
		p := w.client(v, "x")
		p.send(s)
		codes := next[*mqtt.Suback](p).ReasonCodes
		equal(w.t, "codes", len(codes), len(sent)) // [MQTT-3.8.4-6]
		for i, f := range sent {
			want := mqtt.GrantedQoS1
			switch {
			case f == deep && v < mqtt.V50:
				want = mqtt.UnspecifiedError // [MQTT-3.1.1: 3.9.3-2]
			case f == deep:
				want = mqtt.TopicFilterInvalid
			}
			equal(w.t, f, codes[i], want)
		}
		for _, f := range bad {
			q := w.client(v, "y")
			q.send(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "t"}, {Filter: f}}})
			q.gone(mqtt.TopicFilterInvalid)
			q, _ = w.connect(v, "y", func(c *mqtt.Connect) { c.CleanStart = true })
			q.send(&mqtt.Unsubscribe{PacketID: 1, Filters: []string{"t", f}})
			q.gone(mqtt.TopicFilterInvalid)
			equal(w.t, f, int(w.b.Stats().Subscriptions), len(good))
		}
		p.send(&mqtt.Unsubscribe{PacketID: 2, Filters: sent})
		for i, code := range next[*mqtt.Unsuback](p).ReasonCodes { // 3.1.1 has none
			want := mqtt.Success
			if sent[i] == deep {
				want = mqtt.NoSubscriptionExisted
			}
			equal(w.t, sent[i], code, want)
		}
		equal(w.t, "left", w.b.Stats().Subscriptions, 0)
	})
}

// SUBSCRIBE and UNSUBSCRIBE that break the standard, by hand.
func TestBrokenSubscribe(t *testing.T) {
	id := []byte{0, 1}
	for _, c := range []struct {
		name     string
		from, to mqtt.Version
		first    byte
		body     []byte
		code     mqtt.ReasonCode
	}{
		{"no filter [MQTT-3.8.3-2]", mqtt.V50, mqtt.V50, 0x82, join(id, []byte{0}), mqtt.ProtocolError},
		{"no filter", mqtt.V31, mqtt.V311, 0x82, id, 0},
		{"identifier 0 [MQTT-2.2.1-3]", mqtt.V50, mqtt.V50, 0x82, join([]byte{0, 0, 0}, text("t"), []byte{0}), mqtt.ProtocolError},
		{"flags [MQTT-3.8.1-1]", mqtt.V31, mqtt.V50, 0x80, join(id, text("t"), []byte{0}), mqtt.MalformedPacket},
		{"flags", mqtt.V31, mqtt.V50, 0x83, join(id, text("t"), []byte{0}), mqtt.MalformedPacket},
		{"QoS 3", mqtt.V50, mqtt.V50, 0x82, join(id, []byte{0}, text("t"), []byte{3}), mqtt.ProtocolError},
		{"QoS 3 [MQTT-3.1.1: 3-8.3-4]", mqtt.V31, mqtt.V311, 0x82, join(id, text("t"), []byte{3}), 0},
		{"reserved bits [MQTT-3.8.3-5]", mqtt.V50, mqtt.V50, 0x82, join(id, []byte{0}, text("t"), []byte{0x40}), mqtt.MalformedPacket},
		{"reserved bits of 3.1.1", mqtt.V31, mqtt.V311, 0x82, join(id, text("t"), []byte{4}), 0},
		{"retain handling 3", mqtt.V50, mqtt.V50, 0x82, join(id, []byte{0}, text("t"), []byte{0x30}), mqtt.ProtocolError},
		{"no options", mqtt.V50, mqtt.V50, 0x82, join(id, []byte{0}, text("t")), mqtt.MalformedPacket},
		{"no options", mqtt.V31, mqtt.V311, 0x82, join(id, text("t")), 0},
		{"half a filter", mqtt.V50, mqtt.V50, 0x82, join(id, []byte{0, 0, 5, 't'}), mqtt.MalformedPacket},
		{"no properties", mqtt.V50, mqtt.V50, 0x82, id, mqtt.MalformedPacket},
		{"no identifier", mqtt.V31, mqtt.V50, 0x82, nil, mqtt.MalformedPacket},
		{"subscription identifier 0", mqtt.V50, mqtt.V50, 0x82, join(id, []byte{2, 0x0b, 0}, text("t"), []byte{0}), mqtt.ProtocolError},
		{"subscription identifier twice", mqtt.V50, mqtt.V50, 0x82, join(id, []byte{4, 0x0b, 1, 0x0b, 2}, text("t"), []byte{0}),
			mqtt.ProtocolError},
		{"subscription identifier of five bytes", mqtt.V50, mqtt.V50, 0x82,
			join(id, []byte{6, 0x0b, 0x80, 0x80, 0x80, 0x80, 1}, text("t"), []byte{0}), mqtt.MalformedPacket},
		{"foreign property", mqtt.V50, mqtt.V50, 0x82, join(id, []byte{3, 0x23, 0, 1}, text("t"), []byte{0}), mqtt.MalformedPacket},
		{"U+0000", mqtt.V50, mqtt.V50, 0x82, join(id, []byte{0}, text("a\x00"), []byte{0}), mqtt.MalformedPacket},
		{"not UTF-8 [MQTT-3.8.3-1]", mqtt.V50, mqtt.V50, 0x82, join(id, []byte{0}, text("\xff"), []byte{0}), mqtt.MalformedPacket},
		{"no local on a share [MQTT-3.8.3-4]", mqtt.V50, mqtt.V50, 0x82, join(id, []byte{0}, text("$share/g/t"), []byte{4}), mqtt.ProtocolError},
		{"UNSUBSCRIBE of nothing [MQTT-3.10.3-2]", mqtt.V50, mqtt.V50, 0xa2, join(id, []byte{0}), mqtt.ProtocolError},
		{"UNSUBSCRIBE of nothing", mqtt.V31, mqtt.V311, 0xa2, id, 0},
		{"UNSUBSCRIBE flags [MQTT-3.10.1-1]", mqtt.V31, mqtt.V50, 0xa0, join(id, text("t")), mqtt.MalformedPacket},
		{"UNSUBSCRIBE half a filter", mqtt.V50, mqtt.V50, 0xa2, join(id, []byte{0, 0, 5, 't'}), mqtt.MalformedPacket},
		{"UNSUBSCRIBE with an identifier", mqtt.V50, mqtt.V50, 0xa2, join(id, []byte{2, 0x0b, 1}, text("t")), mqtt.MalformedPacket},
	} {
		for _, v := range versions {
			if v < c.from || v > c.to {
				continue
			}
			t.Run(v.String()+"/"+c.name, func(t *testing.T) {
				inWorld(t, Options{}, func(w *world) {
					p := w.client(v, "x")
					p.sendRaw(packet(c.first, c.body))
					p.gone(c.code)
					equal(t, "subscriptions", w.b.Stats().Subscriptions, 0)
				})
			})
		}
	}
}

// Section 4.7: what matches [MQTT-3.3.2-3], by the broker and not only by
// topic's table.
func TestMatching(t *testing.T) {
	for _, c := range []struct {
		filter   string
		yes, not []string
	}{
		{"#", []string{"a", "/", "a/b", "/a"}, []string{"$SYSTEM", "$a/b"}}, // [MQTT-4.7.2-1]
		{"+", []string{"a", "A"}, []string{"/", "a/", "$a"}},
		{"+/b", []string{"a/b", "/b"}, []string{"$a/b", "b", "a/b/c"}},
		{"a/#", []string{"a", "a/", "a/b/c"}, []string{"b", "ab", "/a"}},
		{"a/+", []string{"a/", "a/b"}, []string{"a", "a/b/c"}},
		{"+/+", []string{"/", "a/b", "/a"}, []string{"a"}},
		{"/+", []string{"/a", "/"}, []string{"a", "/a/b"}},
		{"$a/#", []string{"$a", "$a/b"}, []string{"a/b"}},
		{"$a/+", []string{"$a/b"}, []string{"$a"}},
		{"a//b", []string{"a//b"}, []string{"a/b", "a/x/b"}},
		{"a/+/b", []string{"a//b", "a/x/b"}, []string{"a/b"}},
		{"\u00c5", []string{"\u00c5"}, []string{"A\u030a", "\u212b", "\u00e5"}}, // [MQTT-4.7.3-4]: neither folded nor normalised
	} {
		for _, share := range []string{"", "$share/g/"} {
			inWorld(t, Options{}, func(w *world) {
				sub, pub := w.client(mqtt.V50, "sub"), w.client(mqtt.V50, "pub")
				for _, name := range slices.Concat(c.yes, c.not) { // retained ones as well
					pub.put(retained(mqtt.QoS0, 0, name, name))
				}
				sub.subscribe(mqtt.QoS0, share+c.filter)
				kept := map[string]bool{}
				for _, pkt := range sub.take() {
					kept[string(pkt.(*mqtt.Publish).Topic)] = true
				}
				if share == "" {
					equal(t, "retained for "+c.filter, len(kept), len(c.yes))
				} else {
					equal(t, "retained for "+share+c.filter, len(kept), 0)
				}
				for _, name := range c.yes {
					pub.send(publish(mqtt.QoS0, 0, name, "live"))
					sub.message(name, "live")
					equal(t, name+" retained for "+share+c.filter, kept[name], share == "")
				}
				for _, name := range c.not {
					pub.send(publish(mqtt.QoS0, 0, name, "live"))
					sub.quiet()
				}
			})
		}
	}
}

// [MQTT-3.8.3-3]: not to the publisher itself, by this subscription; a will
// comes from its client as any other message.
func TestNoLocal(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		noLocal := func(f string) *mqtt.Subscribe {
			return &mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: f, QoS: mqtt.QoS2, NoLocal: true}}}
		}
		p, _ := w.connect(mqtt.V50, "x", func(c *mqtt.Connect) {
			persistent(c)
			c.Will = &mqtt.Will{Topic: "t", Payload: []byte("will"), QoS: mqtt.QoS1}
		})
		p.send(noLocal("t"))
		next[*mqtt.Suback](p)
		other := w.client(mqtt.V50, "other")
		other.send(noLocal("#"))
		next[*mqtt.Suback](other)
		for qos := range mqtt.QoS2 + 1 {
			p.put(publish(qos, 1, "t", "mine"))
			other.complete(other.message("t", "mine"))
			p.quiet()
			other.put(publish(qos, 1, "t", "other's"))
			p.complete(p.message("t", "other's"))
			other.quiet()
		}
		p.drop()
		other.message("t", "will")
		p, ack := w.connect(mqtt.V50, "x", persistent)
		equal(t, "session present", ack.SessionPresent, true)
		p.quiet() // its own will was not kept for it

		p.subscribe(mqtt.QoS0, "+") // without No Local
		p.send(publish(mqtt.QoS0, 0, "t", "mine"))
		p.message("t", "mine")
		p.quiet()
	})
}

// [MQTT-3.3.4-2], [MQTT-3.3.4-3], [MQTT-3.3.4-4]: one copy at the highest QoS
// with all identifiers, beside others and beside No Local.
func TestOverlapping(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		sub, single, pub := w.client(v, "sub"), w.client(v, "single"), w.client(v, "pub")
		single.subscribe(mqtt.QoS1, "a/+")
		for _, c := range []struct {
			filter string
			qos    mqtt.QoS
			id     uint32
		}{{"a/b", 0, 3}, {"a/#", 2, 268_435_455}, {"#", 1, 0}, {"+/b", 0, 3}} {
			s := subscribeTo(c.filter)
			s.Subscriptions[0].QoS = c.qos
			if c.id > 0 && v >= mqtt.V50 {
				s.Properties = mqtt.Properties{mqtt.Num(mqtt.SubscriptionIdentifier, c.id)}
			}
			sub.send(s)
			next[*mqtt.Suback](sub)
		}
		pub.subscribe(mqtt.QoS0, "other")
		if v >= mqtt.V50 {
			pub.send(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "a/b", NoLocal: true}}})
			next[*mqtt.Suback](pub)
		}
		for range 2 { // the second time by the publisher's memory
			pub.put(publish(mqtt.QoS2, 1, "a/b", "x"))
			m := sub.message("a/b", "x")
			equal(w.t, "QoS", m.QoS, mqtt.QoS2)
			var ids []uint32
			for _, p := range m.Properties {
				ids = append(ids, p.Number)
			}
			slices.Sort(ids)
			want := []uint32{3, 3, 268_435_455}
			if v < mqtt.V50 {
				want = nil
			}
			equal(w.t, "identifiers", ids, want)
			sub.complete(m)
			sub.quiet()
			m = single.message("a/b", "x")
			equal(w.t, "properties of the other", len(m.Properties), 0)
			single.complete(m)
			pub.quiet()
		}
	})
}

// The merging of routes where the publisher's own No Local subscription stands
// first among those of one filter.
func TestOverlappingBehindNoLocal(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		pub := w.client(mqtt.V50, "pub")
		pub.send(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "a/b", NoLocal: true}, {Filter: "a/+", NoLocal: true}}})
		next[*mqtt.Suback](pub)
		sub := w.client(mqtt.V50, "sub")
		sub.subscribe(mqtt.QoS0, "a/b", "a/+")
		pub.send(publish(mqtt.QoS0, 0, "a/b", "x"))
		sub.message("a/b", "x")
		sub.quiet()
		pub.quiet()
	})
}

// [MQTT-3.3.4-6] and section 3.3.2.3.8: a client names no Subscription
// Identifier, and its own do not travel.
func TestSubscriptionIdentifierFromAClient(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.client(mqtt.V50, "x")
		p.sendRaw(packet(0x30, text("t"), []byte{2, 0x0b, 1}))
		p.gone(mqtt.ProtocolError)
	})
}

// [MQTT-3.8.4-3]: the same filter again replaces options and identifier, and
// loses nothing of what is under way.
func TestRepeatedSubscribeReplaces(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub, _ := w.connect(mqtt.V50, "sub", withReceiveMaximum(1))
		pub := w.client(mqtt.V50, "pub")
		sub.subscribe(mqtt.QoS2, "t", "$share/g/s")
		for i := range 3 {
			pub.put(publish(mqtt.QoS1, 1, "t", fmt.Sprint(i)))
		}
		again := subscribeTo("t", mqtt.Num(mqtt.SubscriptionIdentifier, 7))
		again.Subscriptions = append(again.Subscriptions, mqtt.Subscription{Filter: "$share/g/s", QoS: mqtt.QoS1})
		first := sub.message("t", "0")
		sub.send(again)
		equal(t, "granted", next[*mqtt.Suback](sub).ReasonCodes, []mqtt.ReasonCode{0, 1})
		equal(t, "subscriptions", w.b.Stats().Subscriptions, 2)
		pub.put(publish(mqtt.QoS1, 1, "t", "3"))
		m := sub.message("t", "3") // QoS 0 now, so that nothing holds it back
		id, _ := m.Properties.Number(mqtt.SubscriptionIdentifier)
		equal(t, "QoS, identifier", []int{int(m.QoS), int(id)}, []int{0, 7})
		sub.complete(first)
		for i := 1; i < 3; i++ {
			m := sub.message("t", fmt.Sprint(i))
			equal(t, "QoS", m.QoS, mqtt.QoS1)
			sub.complete(m)
		}
		pub.put(publish(mqtt.QoS2, 1, "s", ""))
		m = sub.message("s", "")
		equal(t, "QoS of the share", m.QoS, mqtt.QoS1)
		sub.complete(m)
		sub.quiet()
	})
}

// [MQTT-3.10.4-1], [MQTT-3.10.4-2], [MQTT-3.10.4-3]: bytes are compared, nothing
// new comes, what is under way is completed, also over a reconnect. UNSUBACK
// comes in any case [MQTT-3.1.1: 3.10.4-5].
func TestUnsubscribe(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		sub, _ := w.connect(v, "sub", persistent)
		pub := w.client(v, "pub")
		sub.subscribe(mqtt.QoS2, "a/b", "a/+", "$share/g/s")
		sub.send(&mqtt.Unsubscribe{PacketID: 5, Filters: []string{"a/#", "+/b", "A/B", "s"}})
		ack := next[*mqtt.Unsuback](sub)
		equal(w.t, "id", ack.PacketID, 5) // [MQTT-3.10.4-4], [MQTT-3.10.4-5]
		for _, code := range ack.ReasonCodes {
			equal(w.t, "code", code, mqtt.NoSubscriptionExisted)
		}
		pub.put(publish(mqtt.QoS2, 1, "a/b", "rec"))
		pub.put(publish(mqtt.QoS2, 1, "a/b", "not"))
		pub.put(publish(mqtt.QoS1, 1, "s", "shared"))
		rec, not, shared := sub.message("a/b", "rec"), sub.message("a/b", "not"), sub.message("s", "shared")
		sub.send(pubrec(rec.PacketID))
		next[*mqtt.Pubrel](sub)
		sub.send(&mqtt.Unsubscribe{PacketID: 6, Filters: []string{"a/+", "a/b", "$share/g/s", "a/b"}})
		if codes := next[*mqtt.Unsuback](sub).ReasonCodes; v == mqtt.V50 { // [MQTT-3.10.4-6]
			equal(w.t, "codes", codes, []mqtt.ReasonCode{0, 0, 0, mqtt.NoSubscriptionExisted})
		}
		equal(w.t, "subscriptions", w.b.Stats().Subscriptions, 0)
		pub.put(publish(mqtt.QoS2, 1, "a/b", "new"))
		pub.put(publish(mqtt.QoS2, 1, "s", "new"))
		sub.quiet()
		sub.drop()
		sub, _ = w.connect(v, "sub", persistent)
		equal(w.t, "PUBREL", next[*mqtt.Pubrel](sub).PacketID, rec.PacketID)
		equal(w.t, "again", sub.message("a/b", "not").PacketID, not.PacketID)
		equal(w.t, "again", sub.message("s", "shared").PacketID, shared.PacketID)
		sub.send(pubcomp(rec.PacketID), pubrec(not.PacketID), puback(shared.PacketID))
		next[*mqtt.Pubrel](sub)
		sub.send(pubcomp(not.PacketID))
		sub.quiet()
	})
}

// A filter that is long is not kept when its subscription has ended: nothing counts it
// then, and each Session might have one.
func TestLongFilterGoes(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.client(mqtt.V50, "x")
		for _, filters := range [][]string{{strings.Repeat("a", 60_000)}, {strings.Repeat("b", 60_000), "short"}, {"short", "c"}} {
			p.subscribe(mqtt.QoS0, filters...)
			p.subscribe(mqtt.QoS0, filters...)
			equal(t, "subscriptions", w.b.Stats().Subscriptions, int64(len(filters)))
			p.send(&mqtt.Unsubscribe{PacketID: 1, Filters: filters})
			equal(t, "UNSUBACK", next[*mqtt.Unsuback](p).ReasonCodes, make([]mqtt.ReasonCode, len(filters)))
			equal(t, "left", w.b.Stats().Subscriptions, 0)
		}
		s := w.b.sessions.get("x")
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := len(s.subs.first.filter()); n > longFilter {
			t.Errorf("%d bytes of a filter are kept", n)
		}
	})
}

// [MQTT-3.8.4-4] and the table of section 3.3.1: which retained messages a
// SUBSCRIBE brings [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11].
func TestRetainHandling(t *testing.T) {
	for handling, want := range [][4]int{{1, 1, 1, 1}, {1, 0, 1, 0}, {0, 0, 0, 0}} {
		inWorld(t, Options{}, func(w *world) {
			pub := w.client(mqtt.V50, "pub")
			pub.put(retained(mqtt.QoS1, 1, "r", "x"))
			sub, _ := w.connect(mqtt.V50, "sub", persistent)
			s := subscribeTo("r")
			s.Subscriptions[0].RetainHandling = byte(handling)
			count := func() int {
				sub.send(s)
				next[*mqtt.Suback](sub)
				return len(sub.take())
			}
			got := [4]int{count(), count(), 0, 0}
			sub.send(&mqtt.Unsubscribe{PacketID: 1, Filters: []string{"r"}})
			next[*mqtt.Unsuback](sub)
			got[2] = count()
			sub.drop()
			sub, _ = w.connect(mqtt.V50, "sub", persistent)
			sub.quiet()
			got[3] = count() // the Session's subscription exists [MQTT-3.3.1-10]
			equal(t, fmt.Sprint("first, again, after UNSUBSCRIBE, after a reconnect; handling ", handling), got, want)
		})
	}
}

// [MQTT-3.3.1-12], [MQTT-3.3.1-13], and 1 to a new subscription in any case
// [MQTT-3.3.1-8].
func TestRetainAsPublished(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		pub := w.client(mqtt.V50, "pub")
		for _, share := range []string{"", "$share/g/"} {
			as, not := w.client(mqtt.V50, "as"), w.client(mqtt.V50, "not")
			as.send(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: share + "as/#", QoS: mqtt.QoS2, RetainAsPublished: true}}})
			next[*mqtt.Suback](as)
			not.subscribe(mqtt.QoS2, share+"not/#")
			for qos := range mqtt.QoS2 + 1 {
				for _, retain := range []bool{true, false} {
					m := publish(qos, 1, "as/x", "x")
					m.Retain = retain
					pub.put(m)
					got := as.message("as/x", "x")
					equal(t, "as published", got.Retain, retain)
					as.complete(got)
					m = publish(qos, 1, "not/x", "x")
					m.Retain = retain
					pub.put(m)
					got = not.message("not/x", "x")
					equal(t, "not as published", got.Retain, false)
					not.complete(got)
				}
			}
			pub.put(retained(mqtt.QoS0, 0, "as/x", ""))
			equal(t, "the message that clears", as.message("as/x", "").Retain, true)
			late := w.client(mqtt.V50, "late")
			late.subscribe(mqtt.QoS0, "not/x")
			equal(t, "to a new subscription", late.message("not/x", "x").Retain, true)
			pub.put(retained(mqtt.QoS0, 0, "not/x", ""))
			late.message("not/x", "")
			not.message("not/x", "")
		}
	})
}

// RETAIN survives the queue and a redelivery as it was.
func TestRetainAsPublishedInTheQueue(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub, _ := w.connect(mqtt.V50, "sub", persistent)
		sub.send(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "t", QoS: mqtt.QoS1, RetainAsPublished: true}}})
		next[*mqtt.Suback](sub)
		sub.drop()
		w.client(mqtt.V50, "pub").put(retained(mqtt.QoS1, 1, "t", "x"))
		for range 2 {
			sub, _ = w.connect(mqtt.V50, "sub", persistent)
			equal(t, "RETAIN", sub.message("t", "x").Retain, true)
			sub.drop()
		}
	})
}

// [MQTT-3.8.4-5]: many filters in one packet are as many packets: one SUBACK,
// each with its retained message, also those that repeat one
// [MQTT-3.1.1: 3.8.4-3].
func TestManyFiltersInOnePacket(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		w.client(v, "pub").put(retained(mqtt.QoS1, 1, "r", "x"))
		sub := w.client(v, "sub")
		s := &mqtt.Subscribe{PacketID: 3}
		for i := range 12 {
			s.Subscriptions = append(s.Subscriptions, mqtt.Subscription{Filter: []string{"r", "+", "r", "#"}[i%4], QoS: mqtt.QoS(i % 3)})
		}
		sub.send(s)
		equal(w.t, "SUBACK", next[*mqtt.Suback](sub).PacketID, 3) // [MQTT-3.8.4-1], [MQTT-3.8.4-2]
		equal(w.t, "retained messages", len(sub.take()), 12)
		equal(w.t, "subscriptions", w.b.Stats().Subscriptions, 3)
	})
}

// More subscriptions than a session keeps in a list.
func TestManySubscriptions(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub, _ := w.connect(mqtt.V50, "sub", persistent)
		pub := w.client(mqtt.V50, "pub")
		const n = 300
		for i := range n {
			sub.subscribe(mqtt.QoS1, fmt.Sprint("t/", i))
			sub.subscribe(mqtt.QoS1, fmt.Sprint("t/", i))
		}
		equal(t, "subscriptions", w.b.Stats().Subscriptions, n)
		for i := 0; i < n; i += 2 {
			sub.send(&mqtt.Unsubscribe{PacketID: 1, Filters: []string{fmt.Sprint("t/", i)}})
			equal(t, "UNSUBACK", next[*mqtt.Unsuback](sub).ReasonCodes[0], mqtt.Success)
		}
		sub.drop()
		sub, _ = w.connect(mqtt.V50, "sub", persistent)
		for i := range n {
			pub.put(publish(mqtt.QoS1, 1, fmt.Sprint("t/", i), ""))
			if i%2 == 1 {
				sub.complete(sub.message(fmt.Sprint("t/", i), ""))
			}
		}
		sub.quiet()
		sub.send(&mqtt.Disconnect{Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 0)}})
		equal(t, "left", w.b.Stats().Subscriptions, 0)
	})
}

// The deepest filter and name there are.
func TestDeepestTopics(t *testing.T) {
	inWorld(t, Options{MaxTopicLevels: 65_536}, func(w *world) {
		sub, pub := w.client(mqtt.V50, "sub"), w.client(mqtt.V50, "pub")
		name := strings.Repeat("/", 65_534)
		sub.subscribe(mqtt.QoS0, strings.Repeat("+/", 32_767)+"#", name+"+", name)
		pub.put(retained(mqtt.QoS0, 0, name, "deep"))
		sub.message(name, "deep")
		sub.take()
		sub.send(&mqtt.Unsubscribe{PacketID: 1, Filters: []string{strings.Repeat("+/", 32_767) + "#", name + "+", name}})
		next[*mqtt.Unsuback](sub)
		pub.put(retained(mqtt.QoS0, 0, name, ""))
		equal(t, "left", w.b.Stats().Retained+w.b.Stats().Subscriptions, 0)
	})
}

// Who was not told by CONNACK what is off loses the filter, not the connection.
func TestFeaturesOffBefore50(t *testing.T) {
	inWorld(t, Options{NoWildcard: true, NoShared: true}, func(w *world) {
		p := w.client(mqtt.V311, "x")
		p.send(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "a/#"}, {Filter: "$share/g/a"}, {Filter: "a"}}})
		equal(t, "codes", fmt.Sprint(next[*mqtt.Suback](p).ReasonCodes), fmt.Sprint([]mqtt.ReasonCode{0x80, 0x80, 0}))
		p.quiet()
	})
}
