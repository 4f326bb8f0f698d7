package format

import (
	"encoding/hex"
	"errors"
	"testing"
)

// TestErrors holds what people read: one line, and no control character of a
// stranger's in it.
func TestErrors(t *testing.T) {
	_, template := ParseTemplate("a%Q", TemplateOptions{})
	_, encoding := ParseEncoding("octal")
	_, digits := Hex.Decode([]byte("abc"))
	_, line := DecodeJSON([]byte("{\"a\\u001b\":1}"))
	_, syntax := DecodeJSON([]byte(`{"topic":`))
	tests := []struct {
		err  error
		want string
	}{
		{template, `format: "a%Q", character 2: unknown letter "Q"`},
		{encoding, `format: no encoding "octal": raw, hex, base64 or escaped`},
		{digits, `format: payload is not hex: encoding/hex: odd length hex string`},
		{&FloatError{Topic: "a\x1b", Len: 3, Want: 8}, `format: payload of 3 bytes on topic a\x1b is no 8-byte floating point number`},
		{line, `format: JSON message, "a\x1b": is not known; there are tst topic qos retain payloadlen mid dup properties payload payload_base64`},
		{syntax, `format: JSON message: not JSON: unexpected end of JSON input`},
	}
	for _, tt := range tests {
		if tt.err == nil || tt.err.Error() != tt.want {
			t.Errorf("%v, want %s", tt.err, tt.want)
		}
	}
	if !errors.Is(digits, hex.ErrLength) || errors.Unwrap(syntax) == nil {
		t.Error("the cause is not wrapped")
	}
}

func TestStyle(t *testing.T) {
	seen := map[string]bool{}
	for p := Plain; p <= Faint; p++ {
		if got := (Style{}).Paint(p, "x"); got != "x" {
			t.Errorf("%d without colour: %q", p, got)
		}
		got := Style{Color: true}.Paint(p, "x")
		if seen[got] || (got == "x") != (p == Plain) {
			t.Errorf("%d: %q", p, got)
		}
		seen[got] = true
	}
	if got := (Style{Color: true}).Paint(Bad, ""); got != "" {
		t.Errorf("nothing painted: %q", got)
	}
}
