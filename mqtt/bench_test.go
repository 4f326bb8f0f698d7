package mqtt_test

import (
	"testing"

	"mqt/mqtt"
)

// hotPackets are those of the message path.
func hotPackets() []struct {
	name string
	v    mqtt.Version
	p    mqtt.Packet
} {
	ack := mqtt.Ack{PacketID: 1000}
	why := mqtt.Ack{PacketID: 1000, ReasonCode: mqtt.NoMatchingSubscribers, Properties: mqtt.Properties{mqtt.Str(mqtt.ReasonString, "why"), mqtt.User("k", "v")}}
	topic, payload := []byte("plant/line7/sensor/temperature"), make([]byte, 64)
	props := mqtt.Properties{mqtt.Num(mqtt.PayloadFormatIndicator, 1), mqtt.Num(mqtt.MessageExpiryInterval, 60), mqtt.Str(mqtt.ContentType, "application/json"),
		mqtt.Bin(mqtt.CorrelationData, []byte("12345678")), mqtt.User("unit", "C")}
	return []struct {
		name string
		v    mqtt.Version
		p    mqtt.Packet
	}{
		{"PUBLISH/QoS0/3.1.1", mqtt.V311, &mqtt.Publish{Topic: topic, Payload: payload}},
		{"PUBLISH/QoS1/3.1.1", mqtt.V311, &mqtt.Publish{Topic: topic, Payload: payload, QoS: 1, PacketID: 1000}},
		{"PUBLISH/QoS1/5.0", mqtt.V50, &mqtt.Publish{Topic: topic, Payload: payload, QoS: 1, PacketID: 1000}},
		{"PUBLISH/QoS1/5.0-alias", mqtt.V50, &mqtt.Publish{Payload: payload, QoS: 1, PacketID: 1000, Properties: mqtt.Properties{mqtt.Num(mqtt.TopicAlias, 1)}}},
		{"PUBLISH/QoS2/5.0-properties", mqtt.V50, &mqtt.Publish{Topic: topic, Payload: payload, QoS: 2, PacketID: 1000, Properties: props}},
		{"PUBLISH/QoS0/64KiB", mqtt.V311, &mqtt.Publish{Topic: topic, Payload: make([]byte, 64<<10)}},
		{"PUBACK/3.1.1", mqtt.V311, &mqtt.Puback{Ack: ack}},
		{"PUBACK/5.0", mqtt.V50, &mqtt.Puback{Ack: ack}},
		{"PUBACK/5.0-properties", mqtt.V50, &mqtt.Puback{Ack: why}},
		{"PUBREC/5.0", mqtt.V50, &mqtt.Pubrec{Ack: ack}},
		{"PUBREL/5.0", mqtt.V50, &mqtt.Pubrel{Ack: ack}},
		{"PUBCOMP/5.0", mqtt.V50, &mqtt.Pubcomp{Ack: ack}},
		{"PINGREQ", mqtt.V311, &mqtt.Pingreq{}},
		{"PINGRESP", mqtt.V311, &mqtt.Pingresp{}},
	}
}

func reader(p mqtt.Packet, v mqtt.Version) *mqtt.Reader {
	if p.Type() == mqtt.TypePingresp {
		return &mqtt.Reader{From: mqtt.Server, Version: v}
	}
	return &mqtt.Reader{Version: v}
}

// TestNoAllocations: the message path neither decodes nor encodes with allocations once it is warm.
func TestNoAllocations(t *testing.T) {
	for _, h := range hotPackets() {
		wire, err := h.p.Append(nil, h.v)
		if err != nil {
			t.Fatal(err)
		}
		r := reader(h.p, h.v)
		wantPacket(t, r, wire)
		if n := testing.AllocsPerRun(100, func() {
			if _, n, err := r.Read(wire); n != len(wire) || err != nil {
				t.Fatal(n, err)
			}
			r.Release()
		}); n != 0 {
			t.Errorf("%s: decode makes %v allocations", h.name, n)
		}
		if n := testing.AllocsPerRun(100, func() {
			if _, _, err := r.Read(wire[:len(wire)-1]); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: a packet that is not whole makes %v allocations", h.name, n)
		}
		buf := make([]byte, 0, len(wire))
		if n := testing.AllocsPerRun(100, func() {
			if out, err := h.p.Append(buf, h.v); len(out) != len(wire) || err != nil {
				t.Fatal(len(out), err)
			}
		}); n != 0 {
			t.Errorf("%s: encode makes %v allocations", h.name, n)
		}
	}
	buf := make([]byte, 0, 16)
	if n := testing.AllocsPerRun(100, func() { mqtt.AppendAck(buf, mqtt.TypePuback, 1, mqtt.NoMatchingSubscribers, mqtt.V50) }); n != 0 {
		t.Errorf("AppendAck makes %v allocations", n)
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, h := range hotPackets() {
		wire, err := h.p.Append(nil, h.v)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(h.name, func(b *testing.B) {
			r := reader(h.p, h.v)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := r.Read(wire); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, h := range hotPackets() {
		b.Run(h.name, func(b *testing.B) {
			buf := make([]byte, 0, h.p.Size(h.v))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.p.Append(buf, h.v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecodeOthers are the packets that allocate what may be kept.
func BenchmarkDecodeOthers(b *testing.B) {
	for _, h := range []struct {
		name string
		from mqtt.Side
		v    mqtt.Version
		p    mqtt.Packet
	}{
		{"CONNECT/3.1.1", mqtt.Client, mqtt.V311, &mqtt.Connect{Version: mqtt.V311, CleanStart: true, KeepAlive: 60, ClientID: "client-12345"}},
		{"CONNECT/5.0", mqtt.Client, mqtt.V50, &mqtt.Connect{Version: mqtt.V50, KeepAlive: 60, ClientID: "client-12345", HasUsername: true, Username: "user", HasPassword: true,
			Password: []byte("password"), Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 60), mqtt.Num(mqtt.ReceiveMaximum, 100)}}},
		{"SUBSCRIBE/3.1.1", mqtt.Client, mqtt.V311, &mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "plant/+/sensor/#", QoS: 1}}}},
		{"SUBACK/3.1.1", mqtt.Server, mqtt.V311, &mqtt.Suback{PacketID: 1, ReasonCodes: []mqtt.ReasonCode{1}}},
	} {
		wire, err := h.p.Append(nil, h.v)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(h.name, func(b *testing.B) {
			r := &mqtt.Reader{From: h.from, Version: h.v}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := r.Read(wire); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
