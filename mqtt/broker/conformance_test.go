package broker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/access"
)

// Statements that no other test has for its subject.

// noTexts checks for the two properties that must give way where they do not fit. A
// server that never sends them, but for the Reason String of CONNACK and
// DISCONNECT, cannot send one that does not.
func noTexts(t *testing.T, pkt mqtt.Packet, ps mqtt.Properties) {
	t.Helper()
	if ps.Has(mqtt.ReasonString) || ps.Has(mqtt.UserProperty) {
		t.Errorf("%s carries a text: %v", pkt.Type(), ps)
	}
}

// Answers of every kind, good and bad, to a client that has no room for texts:
// CONNACK [MQTT-3.2.2-19], [MQTT-3.2.2-20], PUBACK [MQTT-3.4.2-2],
// [MQTT-3.4.2-3], PUBREC [MQTT-3.5.2-2], [MQTT-3.5.2-3], PUBREL
// [MQTT-3.6.2-2], [MQTT-3.6.2-3], PUBCOMP [MQTT-3.7.2-2], [MQTT-3.7.2-3],
// SUBACK [MQTT-3.9.2-1], [MQTT-3.9.2-2], UNSUBACK [MQTT-3.11.2-1],
// [MQTT-3.11.2-2] and DISCONNECT [MQTT-3.14.2-3], [MQTT-3.14.2-4]; and, but for
// CONNACK and DISCONNECT, to one that wants to hear of problems and to one that
// does not [MQTT-3.1.2-29].
func TestAnswersCarryNoTexts(t *testing.T) {
	for _, ps := range []mqtt.Properties{
		{mqtt.Num(mqtt.MaximumPacketSize, 20)}, {mqtt.Num(mqtt.RequestProblemInformation, 0)}, nil,
	} {
		inWorld(t, Options{}, func(w *world) {
			small := ps.Has(mqtt.MaximumPacketSize)
			ask := func(c *mqtt.Connect) { c.Properties = ps }
			p, ack := w.connect(mqtt.V50, "x", ask)
			noTexts(t, ack, ack.Properties)
			p.send(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "t", QoS: mqtt.QoS2}, {Filter: strings.Repeat("/", 200)}}})
			suback := next[*mqtt.Suback](p)
			noTexts(t, suback, suback.Properties)
			equal(t, "SUBACK", suback.ReasonCodes, []mqtt.ReasonCode{mqtt.GrantedQoS2, mqtt.TopicFilterInvalid})
			p.send(publish(mqtt.QoS1, 1, "o", ""), publish(mqtt.QoS1, 2, "$SYS/x", ""), publish(mqtt.QoS2, 3, "t", ""), publish(mqtt.QoS2, 4, "$SYS/x", ""),
				pubrel(3), pubrel(9), pubrec(1), pubrec(9))
			seen := map[string]int{}
			for _, pkt := range p.take() {
				switch a := pkt.(type) {
				case *mqtt.Puback:
					noTexts(t, a, a.Properties)
				case *mqtt.Pubrec:
					noTexts(t, a, a.Properties)
				case *mqtt.Pubrel:
					noTexts(t, a, a.Properties)
				case *mqtt.Pubcomp:
					noTexts(t, a, a.Properties)
				}
				seen[pkt.Type().String()]++
			}
			equal(t, "answers", fmt.Sprint(seen), "map[PUBACK:2 PUBCOMP:2 PUBLISH:1 PUBREC:2 PUBREL:2]")
			p.send(&mqtt.Unsubscribe{PacketID: 2, Filters: []string{"t", "none"}})
			unsuback := next[*mqtt.Unsuback](p)
			noTexts(t, unsuback, unsuback.Properties)
			p.send(&mqtt.Pingresp{})
			d := next[*mqtt.Disconnect](p)
			equal(t, "DISCONNECT tells why", d.Properties.Has(mqtt.ReasonString), ps == nil)
			equal(t, "DISCONNECT has a User Property", d.Properties.Has(mqtt.UserProperty), false)

			p = w.dial(mqtt.V50)
			c := &mqtt.Connect{Version: mqtt.V50, ClientID: "y", Properties: ps, Will: &mqtt.Will{Topic: "$SYS/x"}}
			p.send(c)
			refusal := next[*mqtt.Connack](p)
			equal(t, "refusal", refusal.ReasonCode, mqtt.NotAuthorized)
			equal(t, "CONNACK tells why", refusal.Properties.Has(mqtt.ReasonString), ps == nil)
			if small && refusal.Size(mqtt.V50) > 20 {
				t.Errorf("a CONNACK of %d bytes", refusal.Size(mqtt.V50))
			}
		})
	}
}

// The server makes no use of Topic Aliases, so none is above the client's
// Topic Alias Maximum [MQTT-3.1.2-26], [MQTT-3.3.2-11], nor sent to one that has
// none [MQTT-3.1.2-27]; what a publisher sends with one travels without.
func TestNoTopicAliasFromTheServer(t *testing.T) {
	for _, limit := range []int64{-1, 0, 1, 65_535} {
		inWorld(t, Options{}, func(w *world) {
			sub, _ := w.connect(mqtt.V50, "sub", func(c *mqtt.Connect) {
				if limit >= 0 {
					c.Properties = mqtt.Properties{mqtt.Num(mqtt.TopicAliasMaximum, uint32(limit))}
				}
			})
			pub := w.client(mqtt.V50, "pub")
			pub.send(retained(mqtt.QoS0, 0, "t/kept", "", mqtt.Num(mqtt.TopicAlias, 4)), retained(mqtt.QoS0, 0, "t/kept", "x"))
			sub.subscribe(mqtt.QoS0, "t/#")
			equal(t, "properties", len(sub.message("t/kept", "x").Properties), 0)
			for i := range uint32(9) {
				name := fmt.Sprint("t/", i%3)
				pub.send(publish(mqtt.QoS0, 0, name, "x", mqtt.Num(mqtt.TopicAlias, i%3+1)))
				equal(t, "properties", len(sub.message(name, "x").Properties), 0)
			}
		})
	}
}

// [MQTT-4.3.3-13]: the flow of a QoS 2 message goes on though the message has
// expired, on the next connection too.
func TestInboundQoS2OutlivesItsExpiry(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		away, _ := w.connect(mqtt.V50, "away", persistent)
		away.subscribe(mqtt.QoS2, "t")
		away.drop()
		pub, _ := w.connect(mqtt.V50, "pub", persistent)
		for id, expiry := range []uint32{0, 1, 2} {
			pub.send(publish(mqtt.QoS2, mqtt.PacketID(id+1), "t", "x", mqtt.Num(mqtt.MessageExpiryInterval, expiry)))
			equal(t, "PUBREC", next[*mqtt.Pubrec](pub).ReasonCode, mqtt.Success)
		}
		time.Sleep(time.Minute)
		pub.send(dup(publish(mqtt.QoS2, 1, "t", "x", mqtt.Num(mqtt.MessageExpiryInterval, 0))), pubrel(1))
		equal(t, "PUBREC again", next[*mqtt.Pubrec](pub).PacketID, 1)
		equal(t, "PUBCOMP", *next[*mqtt.Pubcomp](pub), *pubcomp(1))
		pub.drop()
		pub, _ = w.connect(mqtt.V50, "pub", persistent)
		pub.send(pubrel(2), pubrel(3))
		equal(t, "PUBCOMP", *next[*mqtt.Pubcomp](pub), *pubcomp(2))
		equal(t, "PUBCOMP", *next[*mqtt.Pubcomp](pub), *pubcomp(3))
		away, _ = w.connect(mqtt.V50, "away", persistent)
		away.quiet()
	})
}

// [MQTT-3.1.1: 3.1.2-7]: what is retained is no part of a Session, and stays
// when that ends.
func TestRetainedOutlivesItsPublisher(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		pub := w.client(v, "pub")
		pub.put(retained(mqtt.QoS1, 1, "r", "kept"))
		pub.send(&mqtt.Disconnect{})
		equal(w.t, "sessions", w.b.Stats().Sessions, 0)
		time.Sleep(1000 * time.Hour)
		sub := w.client(v, "sub")
		sub.subscribe(mqtt.QoS1, "r")
		sub.message("r", "kept")
	})
}

// AUTH, and the CONNACK behind it, have the method and its data and no texts
// that might not fit [MQTT-3.15.2-2], [MQTT-3.15.2-3].
func TestAuthCarriesNoTexts(t *testing.T) {
	inWorld(t, Options{Users: scramUsers(t)}, func(w *world) {
		p := w.dial(mqtt.V50)
		l := newLogin(t, access.ScramSHA256, "user", "pencil")
		c := &mqtt.Connect{Version: mqtt.V50, ClientID: "x", CleanStart: true}
		l.begin(c)
		p.send(c)
		asked := func() *mqtt.Auth {
			t.Helper()
			a := next[*mqtt.Auth](p)
			noTexts(t, a, a.Properties)
			equal(t, "properties of AUTH", len(a.Properties), 2)
			return a
		}
		p.send(l.packet(mqtt.ContinueAuthentication, l.step(l.data(asked().Properties))))
		ack := next[*mqtt.Connack](p)
		equal(t, "CONNACK", ack.ReasonCode, mqtt.Success)
		noTexts(t, ack, ack.Properties)
		l = newLogin(t, access.ScramSHA256, "user", "pencil")
		p.send(l.packet(mqtt.ReAuthenticate, l.step(nil)))
		p.send(l.packet(mqtt.ContinueAuthentication, l.step(l.data(asked().Properties))))
		equal(t, "AUTH", asked().ReasonCode, mqtt.Success)
	})
}
