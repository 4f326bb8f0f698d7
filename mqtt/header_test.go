package mqtt_test

import (
	"errors"
	"testing"

	"mqt/mqtt"
)

// TestFixedHeaderFlags tries every first byte, in every version, from either side. What is wrong with it is said
// before a second byte is there.
func TestFixedHeaderFlags(t *testing.T) {
	statements := map[mqtt.Type]string{mqtt.TypePubrel: "MQTT-3.6.1-1", mqtt.TypeSubscribe: "MQTT-3.8.1-1", mqtt.TypeUnsubscribe: "MQTT-3.10.1-1",
		mqtt.TypeDisconnect: "MQTT-3.14.1-1", mqtt.TypeAuth: "MQTT-3.15.1-1"}
	for _, v := range []mqtt.Version{0, mqtt.V31, mqtt.V311, mqtt.V50} {
		for first := range 256 {
			kind, flags := mqtt.Type(first>>4), first&15
			statement := statements[kind]
			if statement == "" {
				statement = "MQTT-2.1.3-1"
			}
			ok := flags == 0
			switch kind {
			case 0:
				ok, statement = false, "2.1.2"
			case mqtt.TypePublish:
				qos, dup := flags>>1&3, flags&8 != 0
				ok = qos == 1 || qos == 2 || qos == 0 && !dup
				statement = map[bool]string{true: "MQTT-3.3.1-4", false: "MQTT-3.3.1-2"}[qos == 3]
			case mqtt.TypePubrel, mqtt.TypeSubscribe, mqtt.TypeUnsubscribe:
				ok = flags == 2 || v == mqtt.V31 && flags == 10
			case mqtt.TypeAuth:
				if v == mqtt.V31 || v == mqtt.V311 {
					ok, statement = false, "3.1.1: 2.2.1"
				}
			}
			for _, side := range []mqtt.Side{mqtt.Client, mqtt.Server} {
				r := &mqtt.Reader{From: side, Version: v}
				if !ok {
					wantError(t, r, []byte{byte(first)}, mqtt.MalformedPacket, statement)
				} else if p, n, err := r.Read([]byte{byte(first)}); p != nil || n != 0 || err != nil {
					t.Errorf("first byte %02x, version %s: packet %v, read %d, error %v", first, v, p, n, err)
				}
			}
		}
	}
}

// TestSides refuses a packet from the side that must not send it as soon as the fixed header is there.
func TestSides(t *testing.T) {
	firsts := []byte{0x10, 0x20, 0x30, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xa2, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0}
	onlyClient := map[mqtt.Type]bool{mqtt.TypeConnect: true, mqtt.TypeSubscribe: true, mqtt.TypeUnsubscribe: true, mqtt.TypePingreq: true}
	onlyServer := map[mqtt.Type]bool{mqtt.TypeConnack: true, mqtt.TypeSuback: true, mqtt.TypeUnsuback: true, mqtt.TypePingresp: true}
	for _, v := range []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V50} {
		for _, first := range firsts {
			kind := mqtt.Type(first >> 4)
			for _, side := range []mqtt.Side{mqtt.Client, mqtt.Server} {
				if kind == mqtt.TypeAuth && v < mqtt.V50 {
					continue // reserved: TestFixedHeaderFlags
				}
				r := &mqtt.Reader{From: side, Version: v}
				header := []byte{first, 100}
				switch {
				case side == mqtt.Server && onlyClient[kind], side == mqtt.Client && onlyServer[kind]:
					wantError(t, r, header, mqtt.ProtocolError, "2.1.2")
				case side == mqtt.Server && kind == mqtt.TypeDisconnect && v < mqtt.V50:
					wantError(t, r, header, mqtt.ProtocolError, "3.1.1: 3.14")
				default:
					if p, n, err := r.Read(header); p != nil || n != 0 || err != nil {
						t.Errorf("%s from %d, version %s: packet %v, read %d, error %v", kind, side, v, p, n, err)
					}
				}
			}
		}
	}
}

// TestRemainingLength reads every length of interest, and writes it again.
func TestRemainingLength(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 16383, 16384, 2097151, 2097152, 268435454, 268435455} {
		p := varint([]byte{0x30}, n)
		h, ok, err := mqtt.ParseHeader(p, mqtt.V311)
		if err != nil || !ok || h.Type != mqtt.TypePublish || h.Size != len(p) || h.Length != n {
			t.Errorf("length %d: %+v, %t, %v", n, h, ok, err)
		}
		for i := range p {
			if _, ok, err := mqtt.ParseHeader(p[:i], mqtt.V311); ok || err != nil {
				t.Errorf("length %d: after %d bytes %t, %v", n, i, ok, err)
			}
			if got := mqtt.Need(p[:i], mqtt.V311); got != 0 {
				t.Errorf("length %d: after %d bytes Need is %d", n, i, got)
			}
		}
		if got := mqtt.Need(p, mqtt.V311); got != len(p)+n {
			t.Errorf("length %d: Need is %d", n, got)
		}
		if n < 3 || n > 1<<22 {
			continue
		}
		publish := &mqtt.Publish{Topic: []byte("t"), Payload: make([]byte, n-3)}
		wire, err := publish.Append(nil, mqtt.V311)
		if err != nil || len(wire) != len(p)+n || string(wire[:len(p)]) != string(p) || publish.Size(mqtt.V311) != len(wire) {
			t.Errorf("length %d: header % x, %d bytes, error %v", n, wire[:len(p)], len(wire), err)
		}
	}
	if got := mqtt.Need([]byte{0x00, 0x00}, mqtt.V311); got != 0 {
		t.Errorf("Need of a malformed packet is %d", got)
	}
}

// TestMaximumPacketSize refuses what is too large by its fixed header alone, and never before.
func TestMaximumPacketSize(t *testing.T) {
	statements := map[mqtt.Side]string{mqtt.Client: "MQTT-3.2.2-15", mqtt.Server: "MQTT-3.1.2-24"}
	for side, statement := range statements {
		for _, length := range []int{0, 1, 100, 126, 127, 128, 16383, 16384, 268435455} {
			header := varint([]byte{0x30}, length)
			whole := uint32(len(header) + length)
			r := &mqtt.Reader{From: side, Version: mqtt.V311, MaximumPacketSize: whole - 1}
			wantError(t, r, header, mqtt.PacketTooLarge, statement)
			if _, n, err := r.Read(header[:len(header)-1]); n != 0 || err != nil {
				t.Errorf("%d bytes of %d: refused by half a header: %v", whole, r.MaximumPacketSize, err)
			}
			for _, limit := range []uint32{whole, whole + 1, 0xffffffff, 0} {
				r.MaximumPacketSize = limit
				if _, _, err := r.Read(header); err != nil && length > 0 {
					t.Errorf("%d bytes of %d: %v", whole, limit, err)
				}
			}
		}
	}
}

// TestUnsupportedVersion: beside the error stands what the answer needs.
func TestUnsupportedVersion(t *testing.T) {
	tests := []struct {
		name   string
		level  byte
		answer mqtt.Version
	}{
		{"MQTT", 0, 0}, {"MQTT", 3, mqtt.V31}, {"MQTT", 6, 6}, {"MQTT", 255, 255},
		{"MQTT", 0x83, mqtt.V31}, {"MQTT", 0x84, mqtt.V311}, {"MQTT", 0x85, mqtt.V50}, // bridges
		{"MQIsdp", 2, 2}, {"MQIsdp", 4, mqtt.V311}, {"MQIsdp", 0x83, mqtt.V31},
		{"mqtt", 4, 0}, {"", 5, 0}, {"HTTP", 5, 0},
	}
	for _, tt := range tests {
		body := append([]byte{0, byte(len(tt.name))}, tt.name...)
		body = append(body, tt.level, 2, 0, 0, 0, 0)
		p, _, err := new(mqtt.Reader).Read(frame(0x10, body))
		e, ok := errors.AsType[*mqtt.Error](err)
		if !ok || e.Code != mqtt.UnsupportedProtocolVersion {
			t.Errorf("%q level %d: error %v", tt.name, tt.level, err)
			continue
		}
		if c, ok := p.(*mqtt.Connect); !ok || c.Version != tt.answer {
			t.Errorf("%q level %d: beside the error %v, want version %d", tt.name, tt.level, p, tt.answer)
		}
	}
}

func TestNames(t *testing.T) {
	for v, want := range map[mqtt.Version]string{mqtt.V31: "3.1", mqtt.V311: "3.1.1", mqtt.V50: "5.0", 6: "level 6", 0: "level 0"} {
		if v.String() != want || v.Known() != (v >= 3 && v <= 5) {
			t.Errorf("version %d: %q, known %t", byte(v), v, v.Known())
		}
	}
	if got := mqtt.Type(0).String() + ", " + mqtt.Type(16).String() + ", " + mqtt.TypeAuth.String(); got != "packet type 0, packet type 16, AUTH" {
		t.Error(got)
	}
}
