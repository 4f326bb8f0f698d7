package broker

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"mqt/mqtt"
)

// packet is a Control Packet made by hand: what the codec would refuse to
// write.
func packet(first byte, body ...[]byte) []byte {
	all := join(body...)
	out := []byte{first}
	for n := len(all); ; {
		b := byte(n & 0x7f)
		if n >>= 7; n == 0 {
			return append(append(out, b), all...)
		}
		out = append(out, b|0x80)
	}
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// text is a UTF-8 Encoded String, or Binary Data, valid or not.
func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// props are properties made by hand, in front of them their length.
func props(parts ...[]byte) []byte {
	all := join(parts...)
	return append([]byte{byte(len(all))}, all...)
}

// refused checks that the broker closed the connection with a CONNACK of that
// code, or without one for Success.
func (p *peer) refused(code mqtt.ReasonCode) {
	p.t.Helper()
	got := p.take()
	if !p.closed.Load() {
		p.t.Fatalf("the connection is open, got %v", got)
	}
	if code == mqtt.Success {
		if len(got) > 0 {
			p.t.Fatalf("got %v, want nothing", got)
		}
		return
	}
	if len(got) != 1 {
		p.t.Fatalf("got %v, want one CONNACK with %v", got, code)
	}
	ack, ok := got[0].(*mqtt.Connack)
	if !ok || ack.ReasonCode != code || ack.SessionPresent { // [MQTT-3.2.2-6]
		p.t.Fatalf("got %v, want CONNACK with %v", got[0], code)
	}
}

// everyPacket has one sound packet of each type that version v has.
func everyPacket(v mqtt.Version) []mqtt.Packet {
	all := []mqtt.Packet{
		&mqtt.Connect{Version: v, ClientID: "x", CleanStart: true}, &mqtt.Connack{},
		publish(mqtt.QoS0, 0, "t", "x"), puback(1), pubrec(1), pubrel(1), pubcomp(1),
		&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "t"}}},
		&mqtt.Suback{PacketID: 1, ReasonCodes: []mqtt.ReasonCode{0}},
		&mqtt.Unsubscribe{PacketID: 1, Filters: []string{"t"}},
		&mqtt.Unsuback{PacketID: 1, ReasonCodes: []mqtt.ReasonCode{0}},
		&mqtt.Pingreq{}, &mqtt.Pingresp{}, &mqtt.Disconnect{},
	}
	if v == mqtt.V50 {
		all = append(all, &mqtt.Auth{ReasonCode: mqtt.ReAuthenticate,
			Properties: mqtt.Properties{mqtt.Str(mqtt.AuthenticationMethod, "PLAIN")}})
	}
	return all
}

// [MQTT-3.1.0-1]: what comes before CONNECT closes the connection, unanswered
// [MQTT-3.14.0-1].
func TestNothingBeforeConnect(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		for _, pkt := range everyPacket(v)[1:] {
			p := w.dial(v)
			p.send(pkt)
			p.refused(mqtt.Success)
		}
	})
}

// [MQTT-3.1.0-2]: and there is no second CONNACK [MQTT-3.2.0-2].
func TestSecondConnectIsAProtocolError(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		p := w.client(v, "x")
		p.send(&mqtt.Connect{Version: v, ClientID: "x", CleanStart: true})
		p.gone(mqtt.ProtocolError)
	})
}

// Table 2-1: who may send what.
func TestServersPacketsFromAClient(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		for _, pkt := range []mqtt.Packet{&mqtt.Connack{}, &mqtt.Suback{PacketID: 1, ReasonCodes: []mqtt.ReasonCode{0}},
			&mqtt.Unsuback{PacketID: 1, ReasonCodes: []mqtt.ReasonCode{0}}, &mqtt.Pingresp{}} {
			p := w.client(v, "x")
			p.send(pkt)
			p.gone(mqtt.ProtocolError)
		}
	})
}

// [MQTT-4.12.0-6], [MQTT-4.12.0-7]: without a method in CONNECT there is no AUTH.
func TestAuthWithoutAMethod(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		p := w.client(v, "x")
		p.sendRaw(packet(0xf0, []byte{0x19}, props([]byte{0x15}, text("PLAIN"))))
		p.gone(mqtt.ProtocolError)
	})
}

// [MQTT-3.1.2-1], [MQTT-3.1.2-2]: an unknown level is answered in the version
// that was asked for, 3.1.1's way below 5; another protocol is not answered.
func TestUnsupportedVersion(t *testing.T) {
	for _, c := range []struct {
		name   string
		level  byte
		answer mqtt.Version // 0: none
	}{
		{"MQTT", 0, mqtt.V311}, {"MQTT", 1, mqtt.V311}, {"MQTT", 2, mqtt.V311}, {"MQTT", 3, mqtt.V311},
		{"MQTT", 6, mqtt.V50}, {"MQTT", 7, mqtt.V50}, {"MQTT", 127, mqtt.V50}, {"MQTT", 255, mqtt.V50},
		{"MQTT", 0x84, mqtt.V311}, {"MQTT", 0x85, mqtt.V50}, {"MQIsdp", 0x83, mqtt.V31},
		{"MQIsdp", 4, mqtt.V311}, {"MQIsdp", 5, mqtt.V50}, {"MQIsdp", 2, mqtt.V31},
		{"mqtt", 4, 0}, {"MQTt", 5, 0}, {"", 4, 0}, {"HTTP", 5, 0}, {"MQTT ", 4, 0},
	} {
		t.Run(fmt.Sprint(c.name, c.level), func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				v := c.answer
				if v == 0 {
					v = mqtt.V50
				}
				p := w.dial(v)
				p.sendRaw(packet(0x10, text(c.name), []byte{c.level, 2, 0, 0}, text("x")))
				if c.answer == 0 {
					p.refused(mqtt.Success)
					return
				}
				p.refused(mqtt.UnsupportedProtocolVersion)
			})
		})
	}
}

// CONNECT that is not as section 3.1 wants it [MQTT-3.1.4-1]. 5.0 says why, and
// closes [MQTT-3.2.2-7]; 3.1.1 has no code for it and closes
// [MQTT-3.1.1: 3.1.4-1], [MQTT-3.1.1: 3.2.2-6].
func TestBrokenConnect(t *testing.T) {
	id, none := text("x"), []byte{0}
	for _, c := range []struct {
		name  string
		flags byte
		props []byte // 5.0 only; nil where the case is for all versions
		rest  []byte // behind them
		code  mqtt.ReasonCode
	}{
		{"reserved flag [MQTT-3.1.2-3]", 0x03, nil, id, mqtt.MalformedPacket},
		{"will QoS 3 [MQTT-3.1.2-12]", 0x1e, nil, id, mqtt.MalformedPacket},
		{"will QoS without will [MQTT-3.1.2-11]", 0x0a, nil, id, mqtt.MalformedPacket},
		{"will retain without will [MQTT-3.1.2-13]", 0x22, nil, id, mqtt.MalformedPacket},
		{"no client identifier [MQTT-3.1.3-3]", 0x02, nil, nil, mqtt.MalformedPacket},
		{"user name without its flag [MQTT-3.1.2-16]", 0x02, nil, join(id, text("u")), mqtt.MalformedPacket},
		{"password without its flag [MQTT-3.1.2-18]", 0x82, nil, join(id, text("u"), text("p")), mqtt.MalformedPacket},
		{"no password [MQTT-3.1.2-19]", 0xc2, nil, join(id, text("u")), mqtt.MalformedPacket},
		{"user name cut short", 0x82, nil, join(id, []byte{0, 9, 'u'}), mqtt.MalformedPacket},
		{"one byte left over", 0x02, nil, join(id, []byte{0}), mqtt.MalformedPacket},
		{"client identifier not UTF-8 [MQTT-3.1.3-4]", 0x02, nil, text("\xff"), mqtt.MalformedPacket},
		{"surrogate [MQTT-1.5.4-1]", 0x02, nil, text("\xed\xa0\x80"), mqtt.MalformedPacket},
		{"above U+10FFFF", 0x02, nil, text("\xf4\x90\x80\x80"), mqtt.MalformedPacket},
		{"overlong", 0x02, nil, text("\xc0\xaf"), mqtt.MalformedPacket},
		{"U+0000 [MQTT-1.5.4-2]", 0x02, nil, text("a\x00b"), mqtt.MalformedPacket},
		{"user name not UTF-8 [MQTT-3.1.3-12]", 0x82, nil, join(id, text("\xff")), mqtt.MalformedPacket},

		{"property length past the end", 0x02, []byte{200, 1}, id, mqtt.MalformedPacket},
		{"unknown property", 0x02, props([]byte{0x7f, 0}), id, mqtt.MalformedPacket},
		{"a server's property", 0x02, props([]byte{0x13, 0, 1}), id, mqtt.MalformedPacket},
		{"a PUBLISH's property", 0x02, props([]byte{0x23, 0, 1}), id, mqtt.MalformedPacket},
		{"the will's property", 0x02, props([]byte{0x18, 0, 0, 0, 1}), id, mqtt.MalformedPacket},
		{"receive maximum 0", 0x02, props([]byte{0x21, 0, 0}), id, mqtt.ProtocolError},
		{"maximum packet size 0", 0x02, props([]byte{0x27, 0, 0, 0, 0}), id, mqtt.ProtocolError},
		{"request problem information 2", 0x02, props([]byte{0x17, 2}), id, mqtt.ProtocolError},
		{"request response information 2", 0x02, props([]byte{0x19, 2}), id, mqtt.ProtocolError},
		{"receive maximum twice", 0x02, props([]byte{0x21, 0, 9, 0x21, 0, 9}), id, mqtt.ProtocolError},
		{"session expiry twice", 0x02, props([]byte{0x11, 0, 0, 0, 9, 0x11, 0, 0, 0, 9}), id, mqtt.ProtocolError},
		{"topic alias maximum twice", 0x02, props([]byte{0x22, 0, 9, 0x22, 0, 9}), id, mqtt.ProtocolError},
		{"authentication data without a method", 0x02, props([]byte{0x16}, text("x")), id, mqtt.ProtocolError},
		{"unknown authentication method", 0x02, props([]byte{0x15}, text("x")), id, mqtt.BadAuthenticationMethod},
		{"user property cut short", 0x02, props([]byte{0x26}, text("k")), id, mqtt.MalformedPacket},

		{"will delay twice", 0x06, none, join(id, props([]byte{0x18, 0, 0, 0, 1, 0x18, 0, 0, 0, 1}), text("t"), text("")),
			mqtt.ProtocolError},
		{"will with a topic alias", 0x06, none, join(id, props([]byte{0x23, 0, 1}), text("t"), text("")), mqtt.MalformedPacket},
		{"will with a payload format 2", 0x06, none, join(id, props([]byte{0x01, 2}), text("t"), text("")), mqtt.ProtocolError},
		{"will with a wild response topic [MQTT-3.3.2-14]", 0x06, none, join(id, props([]byte{0x08}, text("a/+")), text("t"), text("")),
			mqtt.ProtocolError},
		{"will with an empty response topic [MQTT-4.7.3-1]", 0x06, none, join(id, props([]byte{0x08}, text("")), text("t"), text("")),
			mqtt.ProtocolError},
	} {
		for _, v := range versions {
			if c.props != nil && v < mqtt.V50 {
				continue
			}
			if v == mqtt.V31 && c.name == "no password [MQTT-3.1.2-19]" {
				continue // 3.1 lets it be missing
			}
			t.Run(v.String()+"/"+c.name, func(t *testing.T) {
				inWorld(t, Options{}, func(w *world) {
					ps, code := c.props, c.code
					if v < mqtt.V50 {
						code = mqtt.Success
					} else if ps == nil {
						ps = none
					}
					p := w.dial(v)
					p.sendRaw(packet(0x10, head(v, c.flags), ps, c.rest))
					p.refused(code)
					equal(t, "sessions", w.b.Stats().Sessions, 0)
				})
			})
		}
	}
}

// head is the variable header of CONNECT up to the Keep Alive.
func head(v mqtt.Version, flags byte) []byte {
	name := "MQTT"
	if v == mqtt.V31 {
		name = "MQIsdp"
	}
	return join(text(name), []byte{byte(v), flags, 0, 0})
}

// Section 3.1.3.3: a Will Topic that is none. 3.1.1 has no code for it.
func TestWillTopicInvalid(t *testing.T) {
	for _, name := range []string{"", "a/+", "#", "a#"} {
		eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
			p := w.dial(v)
			p.send(&mqtt.Connect{Version: v, ClientID: "x", CleanStart: true, Will: &mqtt.Will{Topic: name}})
			want := mqtt.TopicNameInvalid
			if v < mqtt.V50 {
				want = mqtt.Success
			}
			p.refused(want)
		})
	}
}

// [MQTT-3.1.1: 3.1.2-22]; 5.0 allows it.
func TestPasswordWithoutUserName(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		p := w.dial(v)
		if v < mqtt.V50 {
			p.sendRaw(packet(0x10, head(v, 0x42), text("x"), text("secret")))
			p.refused(mqtt.Success)
			return
		}
		p.sendRaw(packet(0x10, head(v, 0x42), []byte{0}, text("x"), text("secret")))
		equal(w.t, "code", next[*mqtt.Connack](p).ReasonCode, mqtt.Success)
	})
}

// [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.1.3-8]: 3.1.1 needs a clean session
// for it [MQTT-3.1.1: 3.1.3-8], [MQTT-3.1.1: 3.1.3-9], 3.1 does not have it, 5.0
// assigns one in any case.
func TestEmptyClientID(t *testing.T) {
	for _, c := range []struct {
		v     mqtt.Version
		clean bool
		code  mqtt.ReasonCode
	}{
		{mqtt.V31, true, mqtt.ClientIdentifierNotValid}, {mqtt.V31, false, mqtt.ClientIdentifierNotValid},
		{mqtt.V311, true, mqtt.Success}, {mqtt.V311, false, mqtt.ClientIdentifierNotValid},
		{mqtt.V50, true, mqtt.Success}, {mqtt.V50, false, mqtt.Success},
	} {
		inWorld(t, Options{}, func(w *world) {
			seen := map[string]bool{}
			for range 3 {
				p := w.dial(c.v)
				p.send(&mqtt.Connect{Version: c.v, CleanStart: c.clean})
				if c.code != mqtt.Success {
					p.refused(c.code)
					continue
				}
				ack := next[*mqtt.Connack](p)
				equal(t, "session present", ack.SessionPresent, false)
				if c.v < mqtt.V50 {
					continue
				}
				id, ok := ack.Properties.Text(mqtt.AssignedClientIdentifier) // [MQTT-3.1.3-7], [MQTT-3.2.2-16]
				if !ok || id == "" || seen[id] {
					t.Errorf("assigned %q after %v", id, seen)
				}
				seen[id] = true
			}
		})
	}
}

// An assigned identifier names the Session as any other [MQTT-3.1.3-2].
func TestAssignedClientIDResumes(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p, ack := w.connect(mqtt.V50, "", persistent)
		id, _ := ack.Properties.Text(mqtt.AssignedClientIdentifier)
		p.subscribe(mqtt.QoS1, "t")
		p.drop()
		_, ack = w.connect(mqtt.V50, id, persistent)
		equal(t, "session present", ack.SessionPresent, true)
		equal(t, "assigned again", ack.Properties.Has(mqtt.AssignedClientIdentifier), false)
	})
}

// [MQTT-3.1.3-5]: 1 to 23 letters and digits must do, and we take what is
// longer and in other scripts.
func TestClientIDs(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		for _, id := range []string{"0123456789abcdefghijklm", "ABCDEFGHIJKLMNOPQRSTUVW", "nopqrstuvwxyzXYZ", "a b/+#$", "ü世界\ufeff",
			strings.Repeat("x", 65_535)} {
			w.client(v, id)
		}
		equal(w.t, "sessions", w.b.Stats().Sessions, 6)
	})
}

// [MQTT-3.1.4-2], [MQTT-3.1.4-6]: nothing behind a CONNECT that is refused is
// looked at.
func TestNothingBehindARefusedConnect(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		sub := w.client(v, "sub")
		sub.subscribe(mqtt.QoS0, "#")
		p := w.dial(v)
		bad := &mqtt.Connect{Version: v, ClientID: "x", CleanStart: true, Will: &mqtt.Will{Topic: "$SYS/x"}}
		m := publish(mqtt.QoS0, 0, "t", "x")
		m.Retain = true
		p.send(bad, m, &mqtt.Connect{Version: v, ClientID: "y", CleanStart: true})
		p.refused(mqtt.NotAuthorized)
		sub.quiet()
		equal(w.t, "sessions, retained", [2]int64{w.b.Stats().Sessions, w.b.Stats().Retained}, [2]int64{1, 0})
	})
}

// Section 3.1.4: a client need not wait for CONNACK, and CONNACK comes first
// [MQTT-3.2.0-1].
func TestPacketsBehindConnect(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		p := w.dial(v)
		p.send(&mqtt.Connect{Version: v, ClientID: "x", CleanStart: true},
			&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "t"}}},
			publish(mqtt.QoS1, 2, "t", "x"), &mqtt.Pingreq{})
		next[*mqtt.Connack](p)
		next[*mqtt.Suback](p)
		rest := p.take() // the message and the answers are not ordered with each other
		equal(w.t, "packets", len(rest), 3)
	})
}

// A CONNECT one byte at a time.
func TestConnectByteByByte(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		p := w.dial(v)
		b, _ := (&mqtt.Connect{Version: v, ClientID: "x", CleanStart: true}).Append(nil, v)
		for i := range b {
			p.quiet()
			p.sendRaw(b[i : i+1])
		}
		next[*mqtt.Connack](p)
	})
}

// Section 3.2.2.3: what differs from the defaults is said.
func TestConnackProperties(t *testing.T) {
	q0, q1 := mqtt.QoS0, mqtt.QoS1
	for _, c := range []struct {
		name string
		o    Options
		ask  func(*mqtt.Connect)
		id   mqtt.PropertyID
		want int64 // -1: not there
	}{
		{"receive maximum", Options{ReceiveMaximum: 9}, nil, mqtt.ReceiveMaximum, 9},
		{"full receive maximum", Options{ReceiveMaximum: 65_535}, nil, mqtt.ReceiveMaximum, -1},
		{"QoS 0 [MQTT-3.2.2-9]", Options{MaximumQoS: &q0}, nil, mqtt.MaximumQoS, 0},
		{"QoS 1 [MQTT-3.2.2-9]", Options{MaximumQoS: &q1}, nil, mqtt.MaximumQoS, 1},
		{"QoS 2", Options{}, nil, mqtt.MaximumQoS, -1},
		{"no retain", Options{NoRetain: true}, nil, mqtt.RetainAvailable, 0},
		{"retain", Options{}, nil, mqtt.RetainAvailable, -1},
		{"packet size", Options{MaximumPacketSize: 999}, nil, mqtt.MaximumPacketSize, 999},
		{"alias maximum", Options{TopicAliasMaximum: 7}, nil, mqtt.TopicAliasMaximum, 7},
		{"no aliases", Options{NoTopicAlias: true}, nil, mqtt.TopicAliasMaximum, 0},
		{"no wildcards", Options{NoWildcard: true}, nil, mqtt.WildcardSubscriptionAvailable, 0},
		{"no identifiers", Options{NoSubscriptionID: true}, nil, mqtt.SubscriptionIdentifierAvailable, 0},
		{"no shared", Options{NoShared: true}, nil, mqtt.SharedSubscriptionAvailable, 0},
		{"keep alive taken", Options{MaxKeepAlive: 60}, func(c *mqtt.Connect) { c.KeepAlive = 60 }, mqtt.ServerKeepAlive, -1},
		{"keep alive lowered", Options{MaxKeepAlive: 60}, func(c *mqtt.Connect) { c.KeepAlive = 61 }, mqtt.ServerKeepAlive, 60},
		{"keep alive 0", Options{MaxKeepAlive: 60}, func(c *mqtt.Connect) { c.KeepAlive = 0 }, mqtt.ServerKeepAlive, 60},
		{"expiry taken", Options{MaxSessionExpiry: 3600}, persistent, mqtt.SessionExpiryInterval, -1},
		{"expiry lowered", Options{MaxSessionExpiry: 10}, persistent, mqtt.SessionExpiryInterval, 10},
		{"client identifier", Options{}, nil, mqtt.AssignedClientIdentifier, -1},
		{"response information", Options{}, func(c *mqtt.Connect) {
			c.Properties = mqtt.Properties{mqtt.Num(mqtt.RequestResponseInformation, 0)}
		}, mqtt.ResponseInformation, -1}, // [MQTT-3.1.2-28]
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, c.o, func(w *world) {
				_, ack := w.connect(mqtt.V50, "x", c.ask)
				got := int64(-1)
				if n, ok := ack.Properties.Number(c.id); ok {
					got = int64(n)
				}
				equal(t, c.id.String(), got, c.want)
			})
		})
	}
}

// [MQTT-3.1.2-29]: a client that wants no reasons gets a CONNACK or DISCONNECT
// without them.
func TestRequestProblemInformation(t *testing.T) {
	for n, want := range []bool{false, true} {
		inWorld(t, Options{}, func(w *world) {
			ask := func(c *mqtt.Connect) {
				c.Properties = mqtt.Properties{mqtt.Num(mqtt.RequestProblemInformation, uint32(n))}
			}
			p, _ := w.connect(mqtt.V50, "x", ask)
			p.send(&mqtt.Pingresp{})
			equal(t, "reason string", next[*mqtt.Disconnect](p).Properties.Has(mqtt.ReasonString), want)
			_, ack := w.connect(mqtt.V50, "y", func(c *mqtt.Connect) {
				ask(c)
				c.Properties = append(c.Properties, mqtt.Str(mqtt.AuthenticationMethod, "x"))
			})
			equal(t, "reason string", ack.Properties.Has(mqtt.ReasonString), want)
		})
	}
}

// [MQTT-3.2.2-19], [MQTT-3.14.2-3]: a Reason String that would not fit is left
// out.
func TestReasonStringThatDoesNotFit(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p, _ := w.connect(mqtt.V50, "x", func(c *mqtt.Connect) {
			c.Properties = mqtt.Properties{mqtt.Num(mqtt.MaximumPacketSize, 20)}
		})
		p.send(&mqtt.Pingresp{})
		d := next[*mqtt.Disconnect](p)
		equal(t, "code", d.ReasonCode, mqtt.ProtocolError)
		equal(t, "properties", len(d.Properties), 0)
	})
}

// [MQTT-3.1.2-22]: 1.5 times the Keep Alive after the last whole packet, of
// any kind; a part of one is nothing. 0 is for ever. The value is the client's
// own [MQTT-3.2.2-22]. PINGREQ is answered [MQTT-3.12.4-1].
func TestKeepAlive(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		ask := func(c *mqtt.Connect) { c.KeepAlive = 10 }
		p, _ := w.connect(v, "x", ask)
		for _, pkt := range []mqtt.Packet{&mqtt.Pingreq{}, publish(mqtt.QoS0, 0, "t", ""), puback(5)} {
			time.Sleep(14_900 * time.Millisecond)
			p.send(pkt)
			if pkt.Type() == mqtt.TypePingreq {
				next[*mqtt.Pingresp](p)
			}
			p.quiet()
		}
		time.Sleep(14_000 * time.Millisecond)
		p.sendRaw([]byte{0x30, 9})
		p.quiet()
		time.Sleep(1100 * time.Millisecond)
		p.gone(mqtt.KeepAliveTimeout)

		never, _ := w.connect(v, "y", nil)
		time.Sleep(1000 * time.Hour)
		never.quiet()
	})
}

// [MQTT-3.1.2-21]: the Server's value holds.
func TestServerKeepAliveHolds(t *testing.T) {
	inWorld(t, Options{MaxKeepAlive: 2}, func(w *world) {
		p, _ := w.connect(mqtt.V50, "x", nil)
		old, _ := w.connect(mqtt.V311, "y", nil)
		time.Sleep(2990 * time.Millisecond)
		p.quiet()
		time.Sleep(20 * time.Millisecond)
		p.gone(mqtt.KeepAliveTimeout)
		time.Sleep(time.Hour)
		old.quiet() // it cannot be told
	})
}

// [MQTT-3.1.4-4], [MQTT-3.1.4-5], [MQTT-3.2.2-2], [MQTT-3.2.2-3]: a Session is
// found [MQTT-3.1.2-5] or begun [MQTT-3.1.2-6], by its Client Identifier
// [MQTT-3.1.3-2].
func TestSessionPresent(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		clean := func(*mqtt.Connect) {}
		for i, c := range []struct {
			ask  func(*mqtt.Connect)
			want bool
		}{
			{persistent, false}, {persistent, true}, {clean, false}, {persistent, false}, {persistent, true},
		} {
			p, ack := w.connect(v, "x", c.ask)
			equal(w.t, fmt.Sprint("session present at connect ", i), ack.SessionPresent, c.want && v > mqtt.V31)
			p.send(&mqtt.Disconnect{})
		}
	})
}

// The Session outlives versions: what 3.1.1 began, 5.0 goes on with.
func TestSessionAcrossVersions(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p, _ := w.connect(mqtt.V311, "x", persistent)
		p.subscribe(mqtt.QoS2, "t")
		p.drop()
		pub := w.client(mqtt.V50, "pub")
		pub.send(publish(mqtt.QoS2, 1, "t", "a", mqtt.Str(mqtt.ContentType, "text")))
		p, ack := w.connect(mqtt.V50, "x", persistent)
		equal(t, "session present", ack.SessionPresent, true)
		m := p.message("t", "a")
		equal(t, "content type", m.Properties.Has(mqtt.ContentType), true)
		p.drop()
		p, _ = w.connect(mqtt.V311, "x", persistent)
		equal(t, "DUP", p.message("t", "a").Dup, true)
	})
}

// Stats tell those who were refused from those whose packets were at fault.
func TestRefusedIsNoProtocolError(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.connect(mqtt.V50, "tiny", func(c *mqtt.Connect) {
			c.Properties = mqtt.Properties{mqtt.Num(mqtt.MaximumPacketSize, 6)}
		})
		s := w.b.Stats()
		equal(t, "refused, at fault", []int64{s.Refused, s.ProtocolErrors}, []int64{1, 0})
		p := w.client(mqtt.V50, "p")
		p.sendRaw([]byte{0x00, 0x00})
		p.gone(mqtt.MalformedPacket)
		s = w.b.Stats()
		equal(t, "refused, at fault", []int64{s.Refused, s.ProtocolErrors}, []int64{1, 1})
	})
}
