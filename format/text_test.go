package format

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
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
			return unicode.IsControl(r) && r != '\t' || unicode.Is(unicode.Bidi_Control, r) && r != 0x61c
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
