package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"mqt/mqtt"
)

func TestText(t *testing.T) {
	tests := []struct {
		name           string
		p              Text
		topic, payload string
		want           string
	}{
		{"plain", Text{}, "t", "a\x00\xffb\x1b", "a\x00\xffb\x1b\n"},
		{"plain empty", Text{}, "t", "", "\n"},
		{"no line end", Text{NoEOL: true}, "t", "a\n", "a\n"},
		{"topic", Text{Topic: true}, "a b", "x y", "a b x y\n"},
		{"topic empty", Text{Topic: true}, "t", "", "t (null)\n"},
		{"topic escaped", Text{Topic: true, Encoding: Escaped}, "t\x1b[2J", "a\r\n\u202e", `t\x1b[2J a\r\n\u202e` + "\n"},
		{"hex", Text{Encoding: Hex}, "t", "\x00\xff", "00ff\n"},
		{"base64", Text{Topic: true, Encoding: Base64}, "t", "\x00\xff", "t AP8=\n"},
		{"colour", Text{Topic: true, Style: Style{Color: true}}, "t\x1b", "x", "\x1b[36mt\\x1b\x1b[0m x\n"},
	}
	for _, tt := range tests {
		m := message(tt.topic, tt.payload, 0)
		if got := string(tt.p.Append([]byte("> "), m)); got != "> "+tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, "> "+tt.want)
		}
	}
}

// decoded are what codecs make.
func decoded() map[string]*Decoded {
	return map[string]*Decoded{
		"json":   {Text: []byte(`{"b": 1.50, "a": ["` + "\u202e\u0085" + `"]}`), JSON: true},
		"bytes":  {Text: []byte("\xffx\x1b")},
		"none":   {Text: []byte{}},
		"failed": {Err: errors.New("codec: no cbor: EOF\x1b")},
	}
}

func TestTextDecoded(t *testing.T) {
	tests := []struct {
		decoded string
		p       Text
		payload string
		want    string
	}{
		{"json", Text{}, "x", `{"b":1.50,"a":["\u202e\u0085"]}` + "\n"},
		{"json", Text{Topic: true, NoEOL: true}, "x", `t {"b":1.50,"a":["\u202e\u0085"]}`},
		{"json", Text{Pretty: true}, "x", "{\n  \"b\": 1.50,\n  \"a\": [\n    \"\\u202e\\u0085\"\n  ]\n}\n"},
		{"json", Text{Encoding: Escaped}, "x", `{"b":1.50,"a":["\u202e\u0085"]}` + "\n"},
		{"bytes", Text{}, "x", "\xffx\x1b\n"},
		{"bytes", Text{Encoding: Escaped}, "x", `\xffx\x1b` + "\n"},
		{"bytes", Text{Encoding: Hex}, "x", "ff781b\n"},
		{"none", Text{Topic: true}, "x", "t (null)\n"},
		{"none", Text{}, "x", "\n"},
		{"failed", Text{}, "a\x1b", `{"decode_error":"no cbor: EOF\u001b","payload":"a\u001b"}` + "\n"},
		{"failed", Text{Topic: true}, "\xff", `t {"decode_error":"no cbor: EOF\u001b","payload_base64":"/w=="}` + "\n"},
		{"failed", Text{Encoding: Hex}, "a", "61\n"},
		{"", Text{Pretty: true}, `{"a":[]}`, "{\n  \"a\": []\n}\n"},
		{"", Text{Pretty: true}, "a\x1b", "a\x1b\n"},
		{"", Text{Pretty: true, Topic: true}, "", "t (null)\n"},
		{"", Text{Encoding: Hexdump}, "", "00000000\n"},
		{"", Text{Encoding: Hexdump, Topic: true}, "0123456789abcdef\x00\x7f\xff", "t\n" +
			"00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n" +
			"00000010  00 7f ff                                          |...|\n00000013\n"},
	}
	for _, tt := range tests {
		m := message("t", tt.payload, 0)
		m.Decoded = decoded()[tt.decoded]
		if got := string(tt.p.Append(nil, m)); got != tt.want {
			t.Errorf("%s %+v: %q, want %q", tt.decoded, tt.p, got, tt.want)
		}
	}
}

func TestTemplateDecoded(t *testing.T) {
	for name, want := range map[string]string{
		"json":   `{"b":1.50,"a":["\u202e\u0085"]} 1b 1`,
		"bytes":  "\xffx\x1b 1b 1",
		"failed": "\x1b 1b 1",
	} {
		p, err := ParseTemplate("%p %x %l", TemplateOptions{NoEOL: true})
		if err != nil {
			t.Fatal(err)
		}
		m := message("t", "\x1b", 0)
		m.Decoded = decoded()[name]
		if got := string(p.Append(nil, m)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestTemplateEscape: the format's own characters are the user's, the
// message's are not obeyed.
func TestTemplateEscape(t *testing.T) {
	m := message("t\x1b[2J", "\x1b]52;c;eA==\a\u009b\xff", 1, mqtt.Str(mqtt.ContentType, "c\u202e"), mqtt.Str(mqtt.ResponseTopic, "r\u061c"),
		mqtt.Bin(mqtt.CorrelationData, []byte("\x9b")), mqtt.User("k\x1b", "v\x00"))
	p, err := ParseTemplate(`\e[1m%t|%p|%C|%R|%D|%P|%9.2t|%q\e[0m`, TemplateOptions{Escape: true})
	if err != nil {
		t.Fatal(err)
	}
	want := "\x1b[1m" + `t\x1b[2J|\x1b]52;c;eA==\x07\u009b\xff|c\u202e|r\u061c|\x9b|k\x1b:v\x00|       t\x1b|1` + "\x1b[0m\n"
	if got := string(p.Append(nil, m)); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	m = sent()["full"]
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(20, func() { buf = p.Append(buf[:0], m) }); n > 2 { // two texts beyond ASCII
		t.Errorf("%v allocations", n)
	}
}

func TestHuman(t *testing.T) {
	m := sent()["full"]
	const head = "2026-01-02 03:04:05.678  house/kitchen/temp  QoS 1  retained  8 B\n" +
		"  payload-format-indicator: 1\n  message-expiry-interval: 3600\n  content-type: text/plain\n  response-topic: house/reply\n" +
		"  correlation-data: id-42\n  user-property: unit=C\n  user-property: place=by the window\n  user-property: unit=K\n  subscription-identifier: 12\n"
	if got, want := string((&Human{}).Append(nil, m)), head+"  21.5 \u00b0C\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	tests := []struct{ decoded, payload, body string }{
		{"", "", "(null)"},
		{"", `{"a":1}`, "{\n    \"a\": 1\n  }"},
		{"", "one\r\ntwo\x1b\n", `one` + "\n  " + `two\x1b`},
		{"", "\x00\xff", "00000000  00 ff                                             |..|\n  00000002"},
		{"json", "x", "{\n    \"b\": 1.50,\n    \"a\": [\n      \"\\u202e\\u0085\"\n    ]\n  }"},
		{"bytes", "x", "00000000  ff 78 1b                                          |.x.|\n  00000003"},
		{"failed", "x", `not decoded: no cbor: EOF\x1b` + "\n  x"},
	}
	for _, tt := range tests {
		m := message("t", tt.payload, 0)
		m.Decoded = decoded()[tt.decoded]
		_, got, _ := strings.Cut(string((&Human{}).Append(nil, m)), "\n")
		if got != "  "+tt.body+"\n" {
			t.Errorf("%s %q: %q, want %q", tt.decoded, tt.payload, got, tt.body)
		}
	}
	large := message("t", strings.Repeat("\xff", 5000), 2)
	large.Dup = true
	got := string((&Human{Style: Style{Color: true}}).Append(nil, large))
	if n := strings.Count(got, "\n"); n != 1+humanDump/16+1 || !strings.Contains(got, "3 976 more bytes") || !strings.Contains(got, "duplicate") {
		t.Errorf("%d lines: %q", n, got)
	}
}

// FuzzHuman: whatever came, a terminal shows it and obeys nothing.
func FuzzHuman(f *testing.F) {
	f.Add("t\x1b", []byte("\x1b]52;c;eA==\a"), "k\u202e", "v\xff", byte(0))
	f.Add("t", []byte(`{"a":"`+"\u2066\u009b"+`"}`), "k", "v", byte(1))
	f.Add("t", []byte("\x00\x01\x02"), "", "\x7f", byte(2))
	f.Fuzz(func(t *testing.T, topic string, payload []byte, key, value string, bits byte) {
		m := message(topic, string(payload), 1, mqtt.User(key, value), mqtt.Str(mqtt.ContentType, value), mqtt.Bin(mqtt.CorrelationData, payload))
		switch bits % 3 {
		case 1:
			m.Decoded = &Decoded{Err: errors.New(key)}
		case 2:
			m.Decoded = &Decoded{Text: payload, JSON: json.Valid(payload) && utf8.Valid(payload)}
		}
		template, err := ParseTemplate("%t %p %C %P %D %j %J", TemplateOptions{Escape: true, Pretty: bits&4 != 0})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []Printer{&Human{}, &Text{Topic: true, Encoding: Escaped, Pretty: bits&4 != 0}, &Text{Encoding: Hexdump}, &JSON{Value: bits&8 != 0}, template} {
			got := string(p.Append(nil, m))
			if !utf8.ValidString(got) {
				t.Errorf("%T: not UTF-8: %q", p, got)
			}
			if i := strings.IndexFunc(got, func(r rune) bool {
				return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r)
			}); i >= 0 {
				t.Errorf("%T: obeyed at %d: %q", p, i, got)
			}
		}
	})
}

func TestAppendEscaped(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", ""},
		{`plain \ "text"` + "\t", `plain \ "text"` + "\t"},
		{"\x00\a\b\x1b]0;x\a\x7f", `\x00\x07\x08\x1b]0;x\x07\x7f`},
		{"line\r\nline", `line\r\nline`},
		{"stra\u00dfe \u2603 \U0001f600", "stra\u00dfe \u2603 \U0001f600"},
		{"\u0085\u009b31m", `\u0085\u009b31m`},
		{"\u202eevil\u2066 \u2028 \u200f", `\u202eevil\u2066 \u2028 \u200f`},
		{"a\xffb\xe2\x82", `a\xffb\xe2\x82`},
		{"\ufffd", "\ufffd"},
	}
	for _, tt := range tests {
		if got := string(AppendEscaped(nil, tt.text)); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
		if got := string(AppendEscaped(nil, []byte(tt.text))); got != tt.want {
			t.Errorf("bytes %q: %q, want %q", tt.text, got, tt.want)
		}
	}
}

func FuzzAppendEscaped(f *testing.F) {
	f.Add("a\x1b\u009b\xff\u202e")
	f.Fuzz(func(t *testing.T, text string) {
		got := string(AppendEscaped(nil, text))
		if !utf8.ValidString(got) {
			t.Errorf("%q: not UTF-8: %q", text, got)
		}
		if i := strings.IndexFunc(got, func(r rune) bool {
			return unicode.IsControl(r) && r != '\t' || unicode.Is(unicode.Bidi_Control, r)
		}); i >= 0 {
			t.Errorf("%q: obeyed at %d: %q", text, i, got)
		}
	})
}

func TestEncoding(t *testing.T) {
	payload := []byte("\x00\xffhello")
	for _, name := range []string{"raw", "hex", "base64"} {
		e, err := ParseEncoding(name)
		if err != nil || e.String() != name {
			t.Fatalf("%s: %v %v", name, e, err)
		}
		back, err := e.Decode(e.Append(nil, payload))
		if err != nil || !bytes.Equal(back, payload) {
			t.Errorf("%s: %q %v", name, back, err)
		}
	}
	for _, tt := range []struct {
		e          Encoding
		text, want string
		fault      bool
	}{
		{Hex, "00 FF\n6a", "\x00\xffj", false},
		{Hex, "0", "", true},
		{Hex, "0g", "", true},
		{Base64, "AP8=\n", "\x00\xff", false},
		{Base64, "AP8", "", true},
		{Base64, "A", "", true},
	} {
		got, err := tt.e.Decode([]byte(tt.text))
		_, typed := errors.AsType[*EncodingError](err)
		if string(got) != tt.want || typed != tt.fault {
			t.Errorf("%v %q: %q %v", tt.e, tt.text, got, err)
		}
	}
	if _, err := ParseEncoding("octal"); err == nil {
		t.Error("octal is an encoding")
	}
}
