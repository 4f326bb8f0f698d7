package store

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"mqt/mqtt"
)

func messages() []*Message {
	return []*Message{
		{Topic: "t"},
		{Topic: "a/b", Payload: []byte("x"), QoS: 2, Born: time.UnixMilli(1_700_000_000_001)},
		{Topic: strings.Repeat("x", 65_535), Payload: make([]byte, 70_000), QoS: 1, Expires: true},
		{Topic: "t", Expires: true, Expiry: 0xFFFFFFFF, Properties: mqtt.Properties{mqtt.User("a", ""), mqtt.User("a", ""),
			mqtt.Str(mqtt.ResponseTopic, "r"), mqtt.Bin(mqtt.CorrelationData, nil), mqtt.Num(mqtt.PayloadFormatIndicator, 1)}},
	}
}

func sessions() []Session {
	return []Session{
		{},
		{ClientID: "c", Username: "u", Expiry: 0xFFFFFFFF, Left: time.UnixMilli(1), Unsure: 1<<32 - 1},
		{ClientID: "c", Will: &mqtt.Will{Topic: "w", Payload: []byte("p"), QoS: 2, Retain: true,
			Properties: mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, 3), mqtt.User("k", "v")}}},
	}
}

func entries() []entry {
	return []entry{
		{message: 1, qos: 1},
		{message: 1 << 40, size: 300, qos: 2, retain: true, identifiers: []uint32{1, maxIdentifier}, share: "$share/g/f"},
		{order: 7},
		{},
	}
}

func FuzzMessage(f *testing.F) {
	for _, m := range messages() {
		p, err := appendMessage(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		m, err := parseMessage(p)
		if err != nil {
			return
		}
		again, err := appendMessage(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		n, err := parseMessage(again)
		if err != nil || !sameMessage(m, n) {
			t.Fatalf("%x is %+v, and then %+v, %v", p, m, n, err)
		}
	})
}

func sameMessage(a, b *Message) bool {
	return a.Topic == b.Topic && bytes.Equal(a.Payload, b.Payload) && reflect.DeepEqual(a.Properties, b.Properties) &&
		a.QoS == b.QoS && a.Expires == b.Expires && a.Expiry == b.Expiry && a.Born.Equal(b.Born)
}

func FuzzSession(f *testing.F) {
	for _, s := range sessions() {
		p, err := appendSession(nil, &s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		s, err := parseSession(p)
		if err != nil {
			return
		}
		again, err := appendSession(nil, &s)
		if err != nil {
			t.Fatal(err)
		}
		n, err := parseSession(again)
		if err != nil || !reflect.DeepEqual(s, n) {
			t.Fatalf("%x is %+v, and then %+v, %v", p, s, n, err)
		}
	})
}

// FuzzRecords decodes the other records, which have one encoding each.
func FuzzRecords(f *testing.F) {
	for _, e := range entries() {
		f.Add(byte(0), "", appendEntry(nil, &e))
	}
	sub := Subscription{Subscription: mqtt.Subscription{Filter: "f/#", QoS: 2, NoLocal: true, RetainHandling: 2}, Identifier: 5}
	f.Add(byte(1), "f/#", appendSub(nil, &sub, false))
	sub.Filter = strings.Repeat("f", maxKeyText+1)
	f.Add(byte(1), sub.Filter, appendSub(nil, &sub, true))
	f.Add(byte(2), "t", appendRetained(nil, 4, "t", false))
	f.Add(byte(3), "", []byte{0x80, 1})
	f.Fuzz(func(t *testing.T, kind byte, text string, p []byte) {
		key, hashed := appendText(nil, text)
		var again []byte
		switch kind % 4 {
		case 0:
			e, err := parseEntry(p)
			if err != nil {
				return
			}
			again = appendEntry(nil, &e)
		case 1:
			s, err := parseSub(key, p)
			if err != nil {
				return
			}
			if s.Filter != text {
				t.Fatalf("filter %q of %q", s.Filter, text)
			}
			again = appendSub(nil, &s, hashed)
		case 2:
			id, topic, err := parseRetained(key, p)
			if err != nil {
				return
			}
			if topic != text {
				t.Fatalf("topic %q of %q", topic, text)
			}
			again = appendRetained(nil, id, topic, hashed)
		default:
			_, _ = parseNumber(p)
			again = p
		}
		if !bytes.Equal(p, again) {
			t.Fatalf("%x became %x", p, again)
		}
	})
}

func TestRoundTrip(t *testing.T) {
	for _, m := range messages() {
		p, err := appendMessage(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := parseMessage(p); err != nil || !sameMessage(m, n) && len(m.Properties) < 4 {
			t.Errorf("%.80v became %.80v, %v", m, n, err)
		}
		for n := range min(len(p)-1, 100) {
			if _, err := parseMessage(p[:n]); err == nil && n < len(p)-len(m.Payload) {
				t.Errorf("%d bytes of a message are one", n)
			}
		}
	}
	for _, s := range sessions() {
		p, err := appendSession(nil, &s)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := parseSession(p); err != nil || !reflect.DeepEqual(n, s) {
			t.Errorf("%+v became %+v, %v", s, n, err)
		}
	}
	for _, e := range entries() {
		if n, err := parseEntry(appendEntry(nil, &e)); err != nil || !reflect.DeepEqual(n, e) {
			t.Errorf("%+v became %+v, %v", e, n, err)
		}
	}
}

func TestSeal(t *testing.T) {
	key, value := []byte("key"), []byte("value")
	p := seal(append([]byte("before"), value...), 6, key)[6:]
	if v, err := unseal(key, p); err != nil || !bytes.Equal(v, value) {
		t.Errorf("%q, %v", v, err)
	}
	for i := range p {
		q := bytes.Clone(p)
		q[i] ^= 1
		if _, err := unseal(key, q); err == nil {
			t.Errorf("byte %d is not covered", i)
		}
	}
	if _, err := unseal([]byte("kez"), p); err == nil {
		t.Error("the key is not covered")
	}
}

// TestPacketID: identifiers follow from positions, and none is 0.
func TestPacketID(t *testing.T) {
	for p, want := range map[Position]mqtt.PacketID{0: 0, 1: 1, 65_535: 65_535, 65_536: 1, 1 << 63: 32_768} {
		if got := p.PacketID(); got != want {
			t.Errorf("%d has %d, want %d", p, got, want)
		}
	}
	last := Position(0)
	for n := range uint64(1000) {
		if p := FirstPosition(n); p <= last && n > 0 || n > 0 && p < last+1<<31 {
			t.Fatalf("%d begins at %d, after %d", n, p, last)
		} else {
			last = p
		}
	}
}
