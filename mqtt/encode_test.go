package mqtt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"mqt/mqtt"
)

// TestEncodeErrors: what does not fit the wire is refused, and nothing is written.
func TestEncodeErrors(t *testing.T) {
	tooLong := strings.Repeat("x", 65536)
	long := mqtt.Properties{mqtt.Str(mqtt.ReasonString, tooLong)}
	unknown := mqtt.Properties{{ID: 0x7f}}
	tests := []struct {
		name string
		v    mqtt.Version
		p    mqtt.Packet
	}{
		{"unknown version", 0, &mqtt.Connect{Version: 6}},
		{"no version", 0, &mqtt.Connect{}},
		{"long client identifier", 0, &mqtt.Connect{Version: mqtt.V50, ClientID: tooLong}},
		{"long user name", 0, &mqtt.Connect{Version: mqtt.V50, HasUsername: true, Username: tooLong}},
		{"long password", 0, &mqtt.Connect{Version: mqtt.V50, HasPassword: true, Password: []byte(tooLong)}},
		{"password alone", 0, &mqtt.Connect{Version: mqtt.V311, HasPassword: true}},
		{"password alone, 3.1", 0, &mqtt.Connect{Version: mqtt.V31, HasPassword: true}},
		{"long will topic", 0, &mqtt.Connect{Version: mqtt.V50, Will: &mqtt.Will{Topic: tooLong}}},
		{"long will payload", 0, &mqtt.Connect{Version: mqtt.V50, Will: &mqtt.Will{Payload: []byte(tooLong)}}},
		{"will at QoS 3", 0, &mqtt.Connect{Version: mqtt.V50, Will: &mqtt.Will{QoS: 3}}},
		{"will properties", 0, &mqtt.Connect{Version: mqtt.V50, Will: &mqtt.Will{Properties: long}}},
		{"CONNECT properties", 0, &mqtt.Connect{Version: mqtt.V50, Properties: unknown}},
		{"CONNACK properties", mqtt.V50, &mqtt.Connack{Properties: long}},
		{"long topic", mqtt.V311, &mqtt.Publish{Topic: []byte(tooLong)}},
		{"QoS 3", mqtt.V311, &mqtt.Publish{Topic: []byte("t"), QoS: 3}},
		{"PUBLISH properties", mqtt.V50, &mqtt.Publish{Topic: []byte("t"), Properties: unknown}},
		{"long user property", mqtt.V50, &mqtt.Publish{Topic: []byte("t"), Properties: mqtt.Properties{mqtt.User(tooLong, "")}}},
		{"more than a packet holds", mqtt.V311, &mqtt.Publish{Topic: []byte("t"), Payload: make([]byte, 268435455-2)}},
		{"PUBACK properties", mqtt.V50, &mqtt.Puback{Ack: mqtt.Ack{Properties: long}}},
		{"PUBREC properties", mqtt.V50, &mqtt.Pubrec{Ack: mqtt.Ack{Properties: long}}},
		{"PUBREL properties", mqtt.V50, &mqtt.Pubrel{Ack: mqtt.Ack{Properties: long}}},
		{"PUBCOMP properties", mqtt.V50, &mqtt.Pubcomp{Ack: mqtt.Ack{Properties: unknown}}},
		{"SUBSCRIBE properties", mqtt.V50, &mqtt.Subscribe{Properties: long}},
		{"long filter", mqtt.V50, &mqtt.Subscribe{Subscriptions: []mqtt.Subscription{{Filter: "a"}, {Filter: tooLong}}}},
		{"subscription at QoS 3", mqtt.V50, &mqtt.Subscribe{Subscriptions: []mqtt.Subscription{{Filter: "a", QoS: 3}}}},
		{"Retain Handling 3", mqtt.V50, &mqtt.Subscribe{Subscriptions: []mqtt.Subscription{{Filter: "a", RetainHandling: 3}}}},
		{"SUBACK properties", mqtt.V50, &mqtt.Suback{Properties: long}},
		{"UNSUBSCRIBE properties", mqtt.V50, &mqtt.Unsubscribe{Properties: long}},
		{"long filter to leave", mqtt.V50, &mqtt.Unsubscribe{Filters: []string{tooLong}}},
		{"UNSUBACK properties", mqtt.V50, &mqtt.Unsuback{Properties: long}},
		{"DISCONNECT properties", mqtt.V50, &mqtt.Disconnect{Properties: long}},
		{"AUTH properties", mqtt.V50, &mqtt.Auth{Properties: long}},
		{"AUTH before 5.0", mqtt.V311, &mqtt.Auth{}},
	}
	for _, tt := range tests {
		got, err := tt.p.Append([]byte("before"), tt.v)
		e, ok := errors.AsType[*mqtt.EncodeError](err)
		if !ok || e.Packet != tt.p.Type() || e.Text == "" || !strings.Contains(e.Error(), tt.p.Type().String()) {
			t.Errorf("%s: error %v", tt.name, err)
		}
		if string(got) != "before" {
			t.Errorf("%s: %d bytes were written", tt.name, len(got)-len("before"))
		}
	}
}

// TestLargestPacket: the Remaining Length may be 268,435,455, and the head of such a packet is all that is written.
func TestLargestPacket(t *testing.T) {
	p := &mqtt.Publish{Topic: []byte("t"), Payload: make([]byte, 268435455-3)}
	head, err := p.AppendHead(nil, mqtt.V311)
	if want := unhex("30 ff ff ff 7f 00 01 74"); err != nil || !bytes.Equal(head, want) || p.Size(mqtt.V311) != 5+268435455 {
		t.Errorf("head % x, size %d, error %v", head, p.Size(mqtt.V311), err)
	}
}

// TestOlderVersions writes packets that hold more than the version knows: the rest is left out.
func TestOlderVersions(t *testing.T) {
	why := mqtt.Properties{mqtt.Str(mqtt.ReasonString, "why")}
	tests := []struct {
		p    mqtt.Packet
		want string
	}{
		{&mqtt.Connack{ReasonCode: mqtt.Banned, Properties: why}, "20 02 00 05"},
		{&mqtt.Publish{Topic: []byte("t"), Payload: []byte("p"), Properties: why}, "30 04 00 01 74 70"},
		{&mqtt.Puback{Ack: mqtt.Ack{PacketID: 1, ReasonCode: mqtt.NotAuthorized, Properties: why}}, "40 02 00 01"},
		{&mqtt.Pubrel{Ack: mqtt.Ack{PacketID: 1, ReasonCode: mqtt.PacketIdentifierNotFound}}, "62 02 00 01"},
		{&mqtt.Subscribe{PacketID: 1, Properties: why, Subscriptions: []mqtt.Subscription{{Filter: "a", QoS: 1, NoLocal: true, RetainAsPublished: true, RetainHandling: 2}}}, "82 06 00 01 00 01 61 01"},
		{&mqtt.Suback{PacketID: 1, Properties: why, ReasonCodes: []mqtt.ReasonCode{2, mqtt.NotAuthorized}}, "90 04 00 01 02 80"},
		{&mqtt.Unsubscribe{PacketID: 1, Properties: why, Filters: []string{"a"}}, "a2 05 00 01 00 01 61"},
		{&mqtt.Unsuback{PacketID: 1, Properties: why, ReasonCodes: []mqtt.ReasonCode{mqtt.NoSubscriptionExisted}}, "b0 02 00 01"},
		{&mqtt.Disconnect{ReasonCode: mqtt.ServerShuttingDown, Properties: why}, "e0 00"},
	}
	for _, tt := range tests {
		for _, v := range []mqtt.Version{mqtt.V31, mqtt.V311} {
			wantEncoding(t, tt.p, v, unhex(tt.want))
		}
	}
}

func TestAppendAck(t *testing.T) {
	for kind, want := range map[mqtt.Type]string{mqtt.TypePuback: "40 02 12 34", mqtt.TypePubrec: "50 02 12 34", mqtt.TypePubrel: "62 02 12 34", mqtt.TypePubcomp: "70 02 12 34"} {
		for _, v := range []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V50} {
			if got := mqtt.AppendAck(nil, kind, 0x1234, mqtt.Success, v); !bytes.Equal(got, unhex(want)) {
				t.Errorf("%s %s: % x", kind, v, got)
			}
		}
	}
	if got, want := mqtt.AppendAck([]byte("x"), mqtt.TypePubrec, 1, mqtt.QuotaExceeded, mqtt.V50), "x\x50\x03\x00\x01\x97"; string(got) != want {
		t.Errorf("% x", got)
	}
}

// TestSharedFrame writes a PUBLISH once and patches identifier and DUP for each receiver.
func TestSharedFrame(t *testing.T) {
	for _, n := range []int{1, 100, 200, 20000} {
		for _, v := range []mqtt.Version{mqtt.V311, mqtt.V50} {
			p := &mqtt.Publish{Topic: bytes.Repeat([]byte("t"), n), QoS: mqtt.QoS1, Properties: mqtt.Properties{mqtt.Num(mqtt.MessageExpiryInterval, 5)}, Payload: []byte("payload")}
			shared, err := p.Append(nil, v)
			if err != nil {
				t.Fatal(err)
			}
			binary.BigEndian.PutUint16(shared[mqtt.PacketIDAt(shared):], 0xabcd)
			shared[0] |= mqtt.DupFlag
			p.PacketID, p.Dup = 0xabcd, true
			wantEncoding(t, p, v, shared)
			head, err := p.AppendHead(nil, v)
			if err != nil || !bytes.Equal(append(head, p.Payload...), shared) {
				t.Errorf("the head of a topic of %d bytes: error %v", n, err)
			}
		}
	}
}

// TestOwnership: a PUBLISH lies in the bytes that were read, its message does not, and neither does any packet that
// may be kept.
func TestOwnership(t *testing.T) {
	p := &mqtt.Publish{QoS: mqtt.QoS1, Retain: true, PacketID: 1, Topic: []byte("topic"), Payload: []byte("payload"), Properties: mqtt.Properties{
		mqtt.Num(mqtt.TopicAlias, 1), mqtt.Num(mqtt.SubscriptionIdentifier, 2), mqtt.Str(mqtt.ContentType, "type"), mqtt.User("k", "v")}}
	wire, err := p.Append(nil, mqtt.V50)
	if err != nil {
		t.Fatal(err)
	}
	r := &mqtt.Reader{From: mqtt.Server, Version: mqtt.V50}
	got := wantPacket(t, r, wire).(*mqtt.Publish)
	if &got.Payload[0] != &wire[len(wire)-len("payload")] {
		t.Error("the payload was copied")
	}
	if cap(got.Payload) != len(got.Payload) {
		t.Error("an append to the payload reaches what follows it")
	}
	m := got.Message("name")
	want := renderProperties(m.Properties)
	clear(wire)
	if m.Topic != "name" || string(m.Payload) != "payload" || m.QoS != mqtt.QoS1 || !m.Retain || renderProperties(m.Properties) != want {
		t.Errorf("the message changed with the input: %+v", m)
	}
	if want != `{content-type="type" user-property="k":"v"}` {
		t.Errorf("the message has the properties %s", want)
	}
	for _, v := range vectors(t) {
		if !v.valid() || v.wire[0]>>4 >= byte(mqtt.TypePublish) && v.wire[0]>>4 <= byte(mqtt.TypePubcomp) {
			continue
		}
		v.each(t, func(t *testing.T, r *mqtt.Reader) {
			wire := bytes.Clone(v.wire)
			p, _, _ := r.Read(wire)
			clear(wire)
			if got := render(p); got != v.meaning {
				t.Errorf("the packet changed with the input: %s", got)
			}
		})
	}
}

// TestRelease: an idle Reader holds nothing of what it read, nor much room.
func TestRelease(t *testing.T) {
	many := make(mqtt.Properties, 1000)
	for i := range many {
		many[i] = mqtt.User("k", "v")
	}
	for _, n := range []int{1, 16, 1000} {
		wire, err := (&mqtt.Publish{Topic: []byte("t"), Payload: []byte("p"), Properties: many[:n]}).Append(nil, mqtt.V50)
		if err != nil {
			t.Fatal(err)
		}
		r := &mqtt.Reader{Version: mqtt.V50}
		p := wantPacket(t, r, wire).(*mqtt.Publish)
		if len(p.Properties) != n {
			t.Fatalf("%d properties, want %d", len(p.Properties), n)
		}
		ps := p.Properties
		r.Release()
		if p.Topic != nil || p.Payload != nil || len(p.Properties) != 0 || cap(p.Properties) > 64 {
			t.Errorf("after Release: %v, room for %d properties", p, cap(p.Properties))
		}
		if n <= 16 && ps[0].Value != nil {
			t.Errorf("%d properties, room for %d: after Release one still points into the input", n, cap(ps))
		}
		roundTrip(t, wantPacket(t, r, wire), mqtt.Client, mqtt.V50)
	}
}
