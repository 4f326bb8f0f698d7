package broker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"mqt/mqtt"
)

// The hostile cases: every packet a client may send, broken in each systematic
// way, and at random. The codec says what is wrong with it; the broker must
// act on that, and a pair of bystanders must lose nothing.

// hostility is a world with its bystanders.
type hostility struct {
	*world
	v        mqtt.Version
	sub, pub *peer
	cases    int
}

func underHostility(t *testing.T, test func(h *hostility)) {
	cases := 0
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			inWorld(t, Options{MaximumPacketSize: 1 << 20, ReceiveMaximum: 20}, func(w *world) {
				h := &hostility{world: w, v: v, sub: w.client(v, "bystander"), pub: w.client(v, "publisher")}
				h.sub.subscribe(mqtt.QoS2, "by/stander")
				test(h)
				cases += h.cases
				if h.sub.quiet(); w.b.Stats().Connections != 2 {
					t.Errorf("%d connections are left", w.b.Stats().Connections)
				}
			})
		})
	}
	t.Log(cases, "cases")
}

// bystanders exchange a message at the next QoS.
func (h *hostility) bystanders() {
	h.t.Helper()
	h.cases++
	m := publish(mqtt.QoS(h.cases%3), 1, "by/stander", fmt.Sprint(h.cases))
	h.pub.put(m)
	h.sub.complete(h.sub.message("by/stander", fmt.Sprint(h.cases)))
}

// inside sends p behind a CONNECT and checks how the broker takes it.
func (h *hostility) inside(what string, p []byte) {
	h.t.Helper()
	hostile := h.dial(h.v)
	connect, _ := (&mqtt.Connect{Version: h.v, ClientID: "hostile", CleanStart: true}).Append(nil, h.v)
	hostile.sendRaw(append(connect, p...))
	got := hostile.take()
	if len(got) == 0 || got[0].Type() != mqtt.TypeConnack {
		h.t.Fatalf("%s: % x: got %v, want a CONNACK first", what, p, got)
	}
	h.checkEnd(what, p, hostile, got[1:], h.verdict(p), true)
	hostile.drop()
	h.bystanders()
}

// verdict is what the codec says of the packets in p.
func (h *hostility) verdict(p []byte) *mqtt.Error {
	r := mqtt.Reader{From: mqtt.Client, Version: h.v, MaximumPacketSize: 1 << 20}
	for len(p) > 0 {
		pkt, n, err := r.Read(p)
		var fault *mqtt.Error
		if _, again := pkt.(*mqtt.Connect); again { // [MQTT-3.1.0-2]
			return &mqtt.Error{Code: mqtt.ProtocolError}
		}
		if errors.As(err, &fault) {
			return fault
		}
		if n == 0 || pkt.Type() == mqtt.TypeDisconnect {
			return nil
		}
		p = p[n:]
	}
	return nil
}

// checkEnd checks what came back, and that nothing came behind a DISCONNECT.
// exact: nothing else can have ended the connection before fault, or for none.
func (h *hostility) checkEnd(what string, p []byte, hostile *peer, got []mqtt.Packet, fault *mqtt.Error, exact bool) {
	h.t.Helper()
	for i, pkt := range got {
		d, ok := pkt.(*mqtt.Disconnect)
		switch {
		case !ok:
			continue
		case i < len(got)-1 || h.v < mqtt.V50:
			h.t.Fatalf("%s: % x: got %v", what, p, got)
		case !d.ReasonCode.Failed() || exact && fault == nil && d.ReasonCode == mqtt.MalformedPacket:
			h.t.Fatalf("%s: % x: got %v for what the codec takes", what, p, d)
		case exact && fault != nil && d.ReasonCode != fault.Code:
			h.t.Fatalf("%s: % x: got %v, want %v", what, p, d.ReasonCode, fault.Code)
		}
	}
	if fault == nil {
		return
	}
	if !hostile.closed.Load() {
		h.t.Fatalf("%s: % x: open, want it closed for %v", what, p, fault)
	}
	if last := len(got) - 1; h.v >= mqtt.V50 && (last < 0 || got[last].Type() != mqtt.TypeDisconnect) {
		h.t.Fatalf("%s: % x: got %v, want a DISCONNECT for %v", what, p, got, fault)
	}
}

// sound are packets with everything in them that a client may send, by name.
func (h *hostility) sound() map[string][]byte {
	user := mqtt.User("key", "value")
	will := mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, 1), mqtt.Num(mqtt.PayloadFormatIndicator, 1), mqtt.Num(mqtt.MessageExpiryInterval, 9),
		mqtt.Str(mqtt.ContentType, "c"), mqtt.Str(mqtt.ResponseTopic, "r"), mqtt.Bin(mqtt.CorrelationData, []byte("d")), user}
	message := mqtt.Properties{mqtt.Num(mqtt.PayloadFormatIndicator, 1), mqtt.Num(mqtt.MessageExpiryInterval, 9), mqtt.Num(mqtt.TopicAlias, 3),
		mqtt.Str(mqtt.ResponseTopic, "r"), mqtt.Bin(mqtt.CorrelationData, []byte("d")), user, mqtt.Str(mqtt.ContentType, "c")}
	reason := mqtt.Ack{PacketID: 258, Properties: mqtt.Properties{mqtt.Str(mqtt.ReasonString, "why"), user}}
	all := map[string]mqtt.Packet{
		"CONNECT": &mqtt.Connect{Version: h.v, ClientID: "hostile", CleanStart: true, KeepAlive: 60, Username: "user", HasUsername: true,
			Password: []byte("pass"), HasPassword: true, Will: &mqtt.Will{Topic: "hostile/will", Payload: []byte("w"), QoS: 1, Properties: will},
			Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 0), mqtt.Num(mqtt.ReceiveMaximum, 9),
				mqtt.Num(mqtt.MaximumPacketSize, 9999), mqtt.Num(mqtt.TopicAliasMaximum, 9), mqtt.Num(mqtt.RequestResponseInformation, 1),
				mqtt.Num(mqtt.RequestProblemInformation, 1), user}},
		"PUBLISH 0": publish(mqtt.QoS0, 0, "hostile/topic", "payload", message...),
		"PUBLISH 1": retained(mqtt.QoS1, 258, "hostile/topic", "payload", message...),
		"PUBLISH 2": dup(publish(mqtt.QoS2, 258, "hostile/topic", "payload", message...)),
		"PUBACK":    &mqtt.Puback{Ack: reason}, "PUBREC": &mqtt.Pubrec{Ack: reason},
		"PUBREL": &mqtt.Pubrel{Ack: reason}, "PUBCOMP": &mqtt.Pubcomp{Ack: reason},
		"SUBSCRIBE": &mqtt.Subscribe{PacketID: 258, Properties: mqtt.Properties{mqtt.Num(mqtt.SubscriptionIdentifier, 300), user},
			Subscriptions: []mqtt.Subscription{{Filter: "hostile/+", QoS: 2, RetainHandling: 2, RetainAsPublished: true, NoLocal: true}, {Filter: "$share/g/h"}}},
		"UNSUBSCRIBE": &mqtt.Unsubscribe{PacketID: 258, Properties: mqtt.Properties{user}, Filters: []string{"hostile/+", "$share/g/h"}},
		"PINGREQ":     &mqtt.Pingreq{},
		"DISCONNECT": &mqtt.Disconnect{ReasonCode: mqtt.DisconnectWithWill, Properties: mqtt.Properties{
			mqtt.Num(mqtt.SessionExpiryInterval, 0), mqtt.Str(mqtt.ReasonString, "why"), user}},
	}
	if h.v == mqtt.V50 {
		all["AUTH"] = &mqtt.Auth{ReasonCode: mqtt.ReAuthenticate, Properties: mqtt.Properties{mqtt.Str(mqtt.AuthenticationMethod, "m"),
			mqtt.Bin(mqtt.AuthenticationData, []byte("d")), mqtt.Str(mqtt.ReasonString, "why"), user}}
	}
	out := make(map[string][]byte, len(all))
	for name, pkt := range all {
		b, err := pkt.Append(nil, h.v)
		if err != nil {
			h.t.Fatal(err)
		}
		out[name] = b
	}
	return out
}

// broken yields the variants of a sound packet.
func (h *hostility) broken(name string, sound []byte, yield func(what string, p []byte)) {
	n := mqtt.Need(sound, h.v)
	header, _, _ := mqtt.ParseHeader(sound, h.v)
	body := sound[header.Size:n]
	yield(name+" sound", sound)
	for i := range body {
		yield(fmt.Sprintf("%s cut at %d", name, i), packet(sound[0], body[:i]))
		for _, b := range []byte{0, 1, 0x7f, 0x80, 0xff, body[i] ^ 0x20} {
			changed := append([]byte(nil), body...)
			changed[i] = b
			yield(fmt.Sprintf("%s with %02x at %d", name, b, i), packet(sound[0], changed))
		}
	}
	for i := range sound {
		yield(fmt.Sprintf("%s that ends at %d", name, i), sound[:i])
	}
	for _, more := range [][]byte{{0}, {0xff}, {0, 0}, []byte("left over")} {
		yield(fmt.Sprintf("%s and % x", name, more), packet(sound[0], body, more))
	}
	for flags := range byte(16) {
		yield(fmt.Sprintf("%s with flags %x", name, flags), packet(sound[0]&0xf0|flags, body))
	}
	for _, claim := range [][]byte{{0x80}, {0x80, 0}, {0x80, 0x80, 0x80, 0x80, 1}, {0xff, 0xff, 0xff, 0xff, 0x7f}, {0xff, 0xff, 0xff, 0x7f},
		{0x80, 0x80, 0x40}, {byte(len(body)) | 0x80, 0}, {byte(len(body)) | 0x80, 0x80, 0x80, 0x00}} {
		yield(fmt.Sprintf("%s that claims % x", name, claim), append(append([]byte{sound[0]}, claim...), body...))
	}
}

// foreign yields packets of 5.0 with each property once and twice.
func (h *hostility) foreign(yield func(what string, p []byte)) {
	value := map[mqtt.PropertyID][]byte{0x01: {0}, 0x17: {1}, 0x19: {1}, 0x24: {1}, 0x25: {1}, 0x28: {1}, 0x29: {1}, 0x2a: {1},
		0x13: {0, 1}, 0x21: {0, 1}, 0x22: {0, 1}, 0x23: {0, 1}, 0x02: {0, 0, 0, 1}, 0x11: {0, 0, 0, 1}, 0x18: {0, 0, 0, 1}, 0x27: {0, 0, 0, 99},
		0x0b: {1}, 0x26: join(text("k"), text("v"))}
	id := []byte{0, 9}
	for prop := range mqtt.PropertyID(0x30) {
		v, ok := value[prop]
		if !ok {
			v = text("x")
		}
		one := append([]byte{byte(prop)}, v...)
		for _, ps := range [][]byte{props(one), props(one, one), props([]byte{byte(prop)}), {byte(len(one)) + 9, byte(prop)}} {
			for _, c := range []struct {
				name  string
				first byte
				body  [][]byte
			}{
				{"PUBLISH", 0x30, [][]byte{text("hostile/t"), ps, []byte("payload")}}, {"PUBLISH 2", 0x34, [][]byte{text("hostile/t"), id, ps}},
				{"PUBACK", 0x40, [][]byte{id, {0}, ps}}, {"PUBREC", 0x50, [][]byte{id, {0}, ps}}, {"PUBREL", 0x62, [][]byte{id, {0}, ps}},
				{"PUBCOMP", 0x70, [][]byte{id, {0}, ps}}, {"SUBSCRIBE", 0x82, [][]byte{id, ps, text("hostile/t"), {0}}},
				{"UNSUBSCRIBE", 0xa2, [][]byte{id, ps, text("hostile/t")}}, {"DISCONNECT", 0xe0, [][]byte{{0}, ps}}, {"AUTH", 0xf0, [][]byte{{0x19}, ps}},
				{"CONNECT", 0x10, [][]byte{head(mqtt.V50, 2), ps, text("x")}},
			} {
				yield(fmt.Sprintf("%s with property %02x: % x", c.name, prop, ps), packet(c.first, c.body...))
			}
		}
	}
}

// [MQTT-4.13.1-1], [MQTT-4.13.2-1], [MQTT-3.1.1: 4.8.0-1]: each closes.
func TestHostilePackets(t *testing.T) {
	underHostility(t, func(h *hostility) {
		for name, sound := range h.sound() {
			h.broken(name, sound, h.inside)
		}
		for first := range 256 { // every first byte with bodies of little
			for _, body := range [][]byte{{}, {0}, {0, 0}, {0, 1}, {0, 1, 0}, {0, 1, 'x', 0}} {
				h.inside("first byte", packet(byte(first), body))
			}
		}
		if h.v == mqtt.V50 {
			h.foreign(h.inside)
		}
	})
}

// The same where there has been no CONNECT: nothing but that is heard, and a
// broken one is refused in its own version.
func TestHostileBeforeConnect(t *testing.T) {
	underHostility(t, func(h *hostility) {
		before := func(what string, p []byte) {
			r := mqtt.Reader{}
			pkt, n, err := r.Read(p)
			v := h.v
			connect, isConnect := pkt.(*mqtt.Connect)
			if isConnect && connect.Version != 0 {
				v = min(max(connect.Version, mqtt.V31), mqtt.V50)
			}
			hostile := h.dial(v)
			hostile.sendRaw(p)
			got := hostile.take()
			switch closed := hostile.closed.Load(); {
			case len(got) > 0 && !isConnect:
				h.t.Fatalf("%s: % x: got %v", what, p, got)
			case err != nil && !closed:
				h.t.Fatalf("%s: % x: open, want it closed for %v", what, p, err)
			case err != nil && len(got) > 0 && !got[0].(*mqtt.Connack).ReasonCode.Failed():
				h.t.Fatalf("%s: % x: got %v", what, p, got)
			case err == nil && n > 0 && len(got) == 0 && !closed:
				h.t.Fatalf("%s: % x: no answer", what, p)
			}
			hostile.drop()
			h.bystanders()
		}
		for name, sound := range h.sound() {
			h.broken(name, sound, before)
		}
		if h.v == mqtt.V50 {
			h.foreign(before)
		}
	})
}

// Sequences of sound packets with random damage, in random pieces. The seed is
// in the name of what fails.
func TestHostileAtRandom(t *testing.T) {
	underHostility(t, func(h *hostility) {
		var sound [][]byte
		for _, name := range []string{"CONNECT", "PUBLISH 0", "PUBLISH 1", "PUBLISH 2", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
			"UNSUBSCRIBE", "PINGREQ", "DISCONNECT"} {
			sound = append(sound, h.sound()[name])
		}
		for seed := range uint64(1500) {
			rnd := rand.New(rand.NewPCG(seed, uint64(h.v)))
			var p []byte
			for range rnd.IntN(6) + 1 {
				p = append(p, sound[rnd.IntN(len(sound)-1)+1]...) // a CONNECT ends all
			}
			for range rnd.IntN(4) {
				switch at := rnd.IntN(len(p)); rnd.IntN(4) {
				case 0:
					p[at] ^= 1 << rnd.IntN(8)
				case 1:
					p[at] = byte(rnd.IntN(256))
				case 2:
					p = append(p[:at:at], p[min(len(p), at+rnd.IntN(5)):]...)
				case 3:
					p = append(p[:at:at], append([]byte{byte(rnd.IntN(256))}, p[at:]...)...)
				}
				if len(p) == 0 {
					p = []byte{0xc0, 0}
				}
			}
			hostile := h.client(h.v, "hostile")
			for rest := p; len(rest) > 0; {
				n := rnd.IntN(len(rest)) + 1
				hostile.sendRaw(rest[:n])
				rest = rest[n:]
			}
			h.checkEnd(fmt.Sprint("seed ", seed), p, hostile, hostile.take(), h.verdict(p), false)
			hostile.drop()
			h.bystanders()
		}
	})
}
