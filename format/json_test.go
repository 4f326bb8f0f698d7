package format

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"mqt/mqtt"
)

func TestJSON(t *testing.T) {
	user := message("t", "x", 0, mqtt.User("k", "v"), mqtt.Str(mqtt.ContentType, "c"), mqtt.User("k", "w"))
	user.TopicAlias, user.SubscriptionIdentifiers = 3, []uint32{5, 268435455}
	dup := message("t", "x", 2)
	dup.Dup = true
	utc := message("t", "x", 0)
	utc.At = time.Date(2026, 1, 2, 3, 4, 5, 999, time.UTC)
	const tst = `"tst":"2026-01-02T03:04:05.678901+0530"`
	tests := []struct {
		name string
		m    *Received
		p    JSON
		want string
	}{
		{"properties", user, JSON{}, `{` + tst + `,"topic":"t","qos":0,"retain":false,"payloadlen":1,"properties":{"user-properties":[{"k":"v"},{"k":"w"}],` +
			`"content-type":"c","topic-alias":3,"subscription-identifier":[5,268435455]},"payload":"x"}` + "\n"},
		{"dup", dup, JSON{NoEOL: true}, `{` + tst + `,"topic":"t","qos":2,"retain":false,"payloadlen":1,"mid":77,"dup":true,"payload":"x"}`},
		{"utc", utc, JSON{}, `{"tst":"2026-01-02T03:04:05.000000+0000","topic":"t","qos":0,"retain":false,"payloadlen":1,"payload":"x"}` + "\n"},
		{"wrong topic", message("a\xffb", "x", 0), JSON{}, `{` + tst + `,"topic":"a` + "\uFFFD" + `b","qos":0,"retain":false,"payloadlen":1,"payload":"x"}` + "\n"},
		{"value", message("t", " [1,\n\"a\x7f\u0085\"] ", 0), JSON{Value: true},
			`{` + tst + `,"topic":"t","qos":0,"retain":false,"payloadlen":13,"payload":[1,"a\u007f\u0085"]}` + "\n"},
		{"value of nothing", message("t", "", 0), JSON{Value: true}, `{` + tst + `,"topic":"t","qos":0,"retain":false,"payloadlen":0,"payload":null}` + "\n"},
		{"value not UTF-8", message("t", "\"\xff\"", 0), JSON{Value: true},
			`{` + tst + `,"topic":"t","qos":0,"retain":false,"payloadlen":3,"payload_base64":"Iv8i"}` + "\n"},
		{"value half", message("t", `{"a":`, 0), JSON{Value: true},
			`{` + tst + `,"topic":"t","qos":0,"retain":false,"payloadlen":5,"payload":"{\"a\":"}` + "\n"},
		{"pretty", message("t", `[]`, 0, mqtt.User("k", "v")), JSON{Pretty: true, Value: true}, "{\n  " + `"tst": "2026-01-02T03:04:05.678901+0530",` + `
  "topic": "t",
  "qos": 0,
  "retain": false,
  "payloadlen": 2,
  "properties": {
    "user-properties": [
      {
        "k": "v"
      }
    ]
  },
  "payload": []
}
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := string(tt.p.Append([]byte("before "), tt.m))
			if got != "before "+tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if !json.Valid([]byte(got[len("before "):])) {
				t.Error("not valid")
			}
		})
	}
}

func TestDecodeJSON(t *testing.T) {
	msg := func(topic, payload string, ps ...mqtt.Property) Received {
		return Received{Message: &mqtt.Message{Topic: topic, Payload: []byte(payload), Properties: ps}}
	}
	retained := msg("t", "x")
	retained.Retain = true
	timed := msg("t", "")
	timed.At = time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.FixedZone("", 19800))
	whole := msg("t", "x", mqtt.Num(mqtt.PayloadFormatIndicator, 1), mqtt.Bin(mqtt.CorrelationData, []byte{0xff}))
	whole.QoS, whole.PacketID, whole.Dup, whole.TopicAlias, whole.SubscriptionIdentifiers = 2, 9, true, 4, []uint32{1, 2}
	tests := []struct {
		line string
		want Received
		err  string
	}{
		{line: `{"topic":"t"}`, want: msg("t", "")},
		{line: ` { "payload" : "x" , "topic" : "t" } ` + "\n", want: msg("t", "x")},
		{line: `{"topic":"t","payload":null}`, want: msg("t", "")},
		{line: `{"topic":"t","payload": {"a" : [1e2]} }`, want: msg("t", `{"a" : [1e2]}`)},
		{line: `{"topic":"t","payload":12.50}`, want: msg("t", "12.50")},
		{line: `{"topic":"t","payload":true}`, want: msg("t", "true")},
		{line: `{"topic":"t","payload_base64":"AP8="}`, want: msg("t", "\x00\xff")},
		{line: `{"topic":"t","payload":"\u0000\ud83d\ude00\ufffd"}`, want: msg("t", "\x00\U0001f600\ufffd")},
		{line: `{"topic":"t","payload":"x","retain":1}`, want: retained},
		{line: `{"topic":"t","payload":"x","retain":true,"payloadlen":99}`, want: retained},
		{line: `{"topic":"t","tst":"2026-01-02T03:04:05.678901+0530"}`, want: timed},
		{line: `{"topic":"t","tst":"2026-01-02T03:04:05.678901+05:30"}`, want: timed},
		{line: `{"topic":"t","tst":"2026-01-02T03:04:05.678901Z+0530"}`, want: timed},
		{line: `{"topic":"t","tst":"2026-01-01T21:34:05.678901Z"}`, want: timed},
		{line: `{"topic":"t","payload":"x","qos":2,"mid":9,"dup":true,"properties":{"payload-format-indicator":1,"correlation-data_base64":"/w==",` +
			`"topic-alias":4,"subscription-identifier":1,"subscription-identifier":2}}`, want: whole},
		{line: `{"topic":"t","properties":{"user-properties":{"a":"1","b":"2","a":"3"}}}`,
			want: msg("t", "", mqtt.User("a", "1"), mqtt.User("b", "2"), mqtt.User("a", "3"))},
		{line: `{"topic":"t","properties":{"user-properties":[{"a":"1"},{"a":""}],"content-type":"c"}}`,
			want: msg("t", "", mqtt.User("a", "1"), mqtt.User("a", ""), mqtt.Str(mqtt.ContentType, "c"))},
		{line: ``, err: "not JSON: unexpected end"},
		{line: `[]`, err: "is not a JSON object"},
		{line: `null`, err: "is not a JSON object"},
		{line: `{"topic":"t"`, err: "not JSON"},
		{line: `{"topic":"t"} x`, err: "after top-level value"},
		{line: `{"topic":"t"}{"topic":"t"}`, err: "after top-level value"},
		{line: `{"topic":"t",}`, err: "not JSON"},
		{line: "{\"topic\":\"\xff\"}", err: "not UTF-8"},
		{line: `{}`, err: `"topic": is missing`},
		{line: `{"topic":""}`, err: `"topic": is empty`},
		{line: `{"topic":7}`, err: `"topic": is not a string`},
		{line: `{"topic":"t","payloda":"x"}`, err: `"payloda": is not known`},
		{line: `{"topic":"t","topic":"u"}`, err: `"topic": is there twice`},
		{line: `{"topic":"t","payload":"x","payload_base64":""}`, err: `"payload_base64": is there twice`},
		{line: `{"topic":"t","payload_base64":"?"}`, err: "is not base64"},
		{line: `{"topic":"t","payload":"\ud83d"}`, err: "half a surrogate pair"},
		{line: `{"topic":"t","qos":3}`, err: `"qos": is not a whole number from 0 to 2`},
		{line: `{"topic":"t","qos":"1"}`, err: `"qos"`},
		{line: `{"topic":"t","qos":-1}`, err: `"qos"`},
		{line: `{"topic":"t","mid":65536}`, err: `"mid"`},
		{line: `{"topic":"t","retain":null}`, err: `"retain": is neither true nor false`},
		{line: `{"topic":"t","tst":"yesterday"}`, err: `"tst": is not a time`},
		{line: `{"topic":"t","properties":[]}`, err: "is not a JSON object"},
		{line: `{"topic":"t","properties":{"content-typ":"c"}}`, err: `"content-typ": is no property of a message`},
		{line: `{"topic":"t","properties":{"receive-maximum":1}}`, err: "is no property of a message"},
		{line: `{"topic":"t","properties":{"user-property":"k"}}`, err: "is no property of a message"},
		{line: `{"topic":"t","properties":{"content-type_base64":"AA=="}}`, err: "is no property of a message"},
		{line: `{"topic":"t","properties":{"content-type":"a","content-type":"b"}}`, err: "is there twice"},
		{line: `{"topic":"t","properties":{"correlation-data":"a","correlation-data_base64":""}}`, err: "is there twice"},
		{line: `{"topic":"t","properties":{"topic-alias":0}}`, err: `"topic-alias": is 0`},
		{line: `{"topic":"t","properties":{"topic-alias":65536}}`, err: "from 0 to 65535"},
		{line: `{"topic":"t","properties":{"payload-format-indicator":2}}`, err: "from 0 to 1"},
		{line: `{"topic":"t","properties":{"subscription-identifier":[1,0]}}`, err: "is 0"},
		{line: `{"topic":"t","properties":{"user-properties":[{"a":1}]}}`, err: `"a": is not a string`},
		{line: `{"topic":"t","properties":{"user-properties":["a"]}}`, err: "is not a JSON object"},
	}
	for _, tt := range tests {
		got, err := DecodeJSON([]byte(tt.line))
		switch {
		case tt.err != "":
			if e, ok := errors.AsType[*DecodeError](err); !ok || !strings.Contains(e.Error(), tt.err) {
				t.Errorf("%s: error %v, want %q", tt.line, err, tt.err)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.line, err)
		default:
			same(t, got, &tt.want)
		}
	}
}

// same compares messages; properties other than User Properties have no order.
func same(t *testing.T, got, want *Received) {
	t.Helper()
	norm := func(r *Received) (Received, mqtt.Message) {
		c, m := *r, *r.Message
		c.Message = nil
		c.At = r.At.Truncate(time.Microsecond).UTC()
		c.SubscriptionIdentifiers = append([]uint32{}, c.SubscriptionIdentifiers...)
		m.Payload = append([]byte{}, m.Payload...)
		m.Properties = append(mqtt.Properties{}, m.Properties...)
		for i := range m.Properties {
			p := &m.Properties[i]
			p.Key, p.Value = append([]byte{}, p.Key...), append([]byte{}, p.Value...)
		}
		slices.SortStableFunc(m.Properties, func(a, b mqtt.Property) int { return int(a.ID) - int(b.ID) })
		return c, m
	}
	g, gm := norm(got)
	w, wm := norm(want)
	if !reflect.DeepEqual(g, w) || !reflect.DeepEqual(gm, wm) {
		t.Errorf("got  %+v %+v\nwant %+v %+v", g, gm, w, wm)
	}
}

// FuzzJSON: what is printed is valid JSON on one line without a control
// character, and what is read back is what was printed.
func FuzzJSON(f *testing.F) {
	f.Add("a/b", []byte("hello"), []byte("corr"), "k", "v", uint32(1), byte(1), int64(1767303245678901))
	f.Add("a\u0085", []byte("\xff\x00"), []byte{0xff}, "", "\x7f\x1b", uint32(0), byte(0xff), int64(0))
	f.Add("\xff", []byte(`{"a":[1]}`), []byte(nil), "\"\\", "\u00a0\u00c2\u0080", uint32(1<<28-1), byte(2), int64(-1))
	f.Add("t", []byte("\xc2"), []byte("\xc2\x9f"), "k", "\xc2\xbf", uint32(7), byte(0x30), int64(1))
	f.Fuzz(func(t *testing.T, topic string, payload, correlation []byte, key, value string, n uint32, bits byte, at int64) {
		m := &Received{Message: &mqtt.Message{Topic: topic, Payload: payload, QoS: mqtt.QoS(bits % 3), Retain: bits&4 != 0},
			Dup: bits&8 != 0, At: time.UnixMicro(at % (1 << 55)).UTC()}
		if m.QoS > 0 {
			m.PacketID = mqtt.PacketID(n)
		}
		if bits&16 != 0 {
			m.Properties = mqtt.Properties{mqtt.User(key, value), mqtt.Bin(mqtt.CorrelationData, correlation),
				mqtt.Num(mqtt.MessageExpiryInterval, n), mqtt.User(value, key), mqtt.Str(mqtt.ContentType, value)}
		}
		if bits&32 != 0 {
			m.TopicAlias, m.SubscriptionIdentifiers = uint16(n|1), []uint32{n%(1<<28-1) + 1, 9}[:1+n%2]
		}
		checkJSON(t, (&JSON{Value: true}).Append(nil, m))
		checkJSON(t, (&JSON{Pretty: true}).Append(nil, m))
		line := (&JSON{}).Append(nil, m)
		checkJSON(t, line)
		if n := strings.Count(string(line), "\n"); n != 1 {
			t.Errorf("%d lines", n)
		}
		if topic == "" || !utf8.ValidString(topic+" "+key+" "+value) {
			return // no message of the standard
		}
		got, err := DecodeJSON(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		same(t, got, m)
	})
}

func checkJSON(t *testing.T, line []byte) {
	t.Helper()
	if !json.Valid(line) || !utf8.Valid(line) {
		t.Errorf("not valid: %q", line)
	}
	if i := strings.IndexFunc(string(line), func(r rune) bool { return unicode.IsControl(r) && r != '\n' }); i >= 0 {
		t.Errorf("control character at %d: %q", i, line)
	}
}

// FuzzDecodeJSON: a line that is accepted survives being printed and read.
func FuzzDecodeJSON(f *testing.F) {
	for _, m := range sent() {
		f.Add((&JSON{}).Append(nil, m))
		f.Add((&JSON{Value: true}).Append(nil, m))
	}
	f.Add([]byte(`{"topic":"t","payload":"x","decoded":{"a":[1]},"decode_error":"no cbor"}`))
	f.Add([]byte(`{"topic":"t","payload_base64":"/w==","decoded_base64":"/w=="}`))
	f.Add([]byte(`{"topic":"t","retain":1,"tst":"2026-01-02T03:04:05Z","properties":{"user-properties":{"a":"1","a":"2"}}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := DecodeJSON(line)
		if err != nil {
			if _, ok := errors.AsType[*DecodeError](err); !ok {
				t.Fatalf("%T is no DecodeError", err)
			}
			return
		}
		if m.QoS == 0 {
			m.PacketID = 0 // not printed
		}
		if y := m.At.Year(); y < 0 || y > 9999 {
			t.Fatalf("year %d", y)
		}
		printed := (&JSON{}).Append(nil, m)
		checkJSON(t, printed)
		again, err := DecodeJSON(printed)
		if err != nil {
			t.Fatalf("%s: %v", printed, err)
		}
		_, offset := m.At.Zone()
		if offset%60 != 0 {
			t.Fatalf("zone with seconds %d", offset)
		}
		same(t, again, m)
	})
}

// TestJSONRoundTrip has payloads of every byte value in every length.
func TestJSONRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		m := message("t", "", 1)
		m.Payload = make([]byte, n)
		for i := range m.Payload {
			m.Payload[i] = byte(r.Uint32())
		}
		if n%2 == 0 { // text
			m.Payload = []byte(string([]rune(strings.ToValidUTF8(string(m.Payload), "\u0085\u2028\U0001f600"))))
		}
		m.Properties = mqtt.Properties{mqtt.Bin(mqtt.CorrelationData, m.Payload)}
		got, err := DecodeJSON((&JSON{}).Append(nil, m))
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, m)
	}
}

func TestAppendTime(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 10000 {
		zone := time.FixedZone("", 60*(r.IntN(2*14*60)-14*60))
		at := time.Unix(r.Int64N(400_000_000_000)-100_000_000_000, r.Int64N(1e9)).In(zone)
		if got, want := string(appendTime(nil, at)), at.Format("2006-01-02T15:04:05.000000-0700"); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}
