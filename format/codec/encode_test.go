package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func mustEncoder(t testing.TB, spec string) *Encoder {
	t.Helper()
	e, err := ParseEncoder(spec, testFile)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestEncode has what must come out as hex. That of CBOR is of RFC 8949,
// appendix A; that of MessagePack follows its specification by hand.
func TestEncode(t *testing.T) {
	tests := []struct{ spec, payload, want string }{
		{"json", ` {"a": 1.50} `, hex.EncodeToString([]byte(` {"a": 1.50} `))},
		{"cbor", "0", "00"},
		{"cbor", "23", "17"},
		{"cbor", "24", "1818"},
		{"cbor", "1000000", "1a000f4240"},
		{"cbor", "-1000", "3903e7"},
		{"cbor", "18446744073709551615", "1bffffffffffffffff"},
		{"cbor", "18446744073709551616", "c249010000000000000000"},
		{"cbor", "-18446744073709551616", "3bffffffffffffffff"},
		{"cbor", "-18446744073709551617", "c349010000000000000000"},
		{"cbor", "1.5", "f93e00"},
		{"cbor", "1.1", "fb3ff199999999999a"},
		{"cbor", "100000.0", "fa47c35000"},
		{"cbor", "1e300", "fb7e37e43c8800759c"},
		{"cbor", "[false, true, null]", "83f4f5f6"},
		{"cbor", `"\u00fc"`, "62c3bc"},
		{"cbor", `{"b": [2, 3], "a": {}}`, "a26162820203" + "6161a0"},
		{"cbor", "[" + strings.Repeat("1,", 24) + "1]", "9819" + strings.Repeat("01", 25)},
		{"cbor", "[" + strings.Repeat("1,", 255) + "1]", "990100" + strings.Repeat("01", 256)},
		{"msgpack", "null", "c0"},
		{"msgpack", "[false, true, -1]", "93c2c3ff"},
		{"msgpack", `{"zz": 1, "a": "abc"}`, "82a27a7a01a161a3616263"},
		{"msgpack", "18446744073709551615", "cfffffffffffffffff"},
		{"msgpack", "-9223372036854775808", "d38000000000000000"},
		{"msgpack", "128", "cc80"},
		{"msgpack", "1.5", "cb3ff8000000000000"},
		{"base64", "\x00\xff", hex.EncodeToString([]byte("AP8="))},
		{"base64|cbor", "[]", hex.EncodeToString([]byte("gA=="))},
		{"=base64+cbor", "[]", hex.EncodeToString([]byte("gA=="))},
		{"protobuf:house.proto#Reading", `{"room":"room","celsius":-12.375,"samples":[1,2],"state":"ON"}`, "0a04726f6f6d15000046c11a0201022801"},
		{"protobuf:house.desc#Reading", `{"room":"a"}`, "0a0161"},
		{"avro:reading.avsc", `{"room":"room","celsius":-12.375,"note":null,"samples":[1,2]}`, "08726f6f6d000046c10004020400"},
	}
	for _, tt := range tests {
		got, err := mustEncoder(t, tt.spec).Encode([]byte(tt.payload))
		if hex.EncodeToString(got) != tt.want || err != nil {
			t.Errorf("%s %.60s: %x %v, want %s", tt.spec, tt.payload, got, err, tt.want)
		}
	}
}

// TestEncodeDecode: what one word makes, the same word decodes.
func TestEncodeDecode(t *testing.T) {
	const reading = `{"room":"küche","celsius":-12.375,"samples":[1,-2],"state":"ON","serial":"9007199254740993"}`
	const avro = `{"room":"küche","celsius":-12.375,"note":"n","samples":[1,-2]}`
	deep := strings.Repeat("[", MaxDepth-1) + "1" + strings.Repeat("]", MaxDepth-1)
	tree := []string{"null", "-0", "-0.1", "1e+300", `"\"\\[ü"`, `{"a":[1,{"b":false}],"c":{}}`, "[[],{}]", "-9223372036854775808", "54000440400040000000", deep,
		"[" + strings.Repeat("1,", 1<<16) + `"` + strings.Repeat("x", 1<<16) + `"]`}
	tests := []struct {
		spec     string
		payloads []string
	}{
		{"json", tree}, {"cbor", tree}, {"msgpack", tree}, {"gzip|json", tree}, {"base64|zstd|cbor", tree}, {"zlib+msgpack", tree},
		{"gzip", []string{"", "x\x00\xff"}}, {"zlib", []string{"", "x\x00\xff"}}, {"zstd", []string{"", "x\x00\xff"}},
		{"base64", []string{"x\x00\xff"}},
		{"protobuf:house.proto#Reading", []string{reading}},
		{"protobuf:house.desc#Reading", []string{reading}},
		{"gzip|protobuf:house.proto#Outer", []string{`{"reading":` + reading + `,"at":"2016-12-31T13:09:52Z"}`}},
		{"avro:reading.avsc", []string{avro}}, {"zstd|avro:reading.avsc", []string{avro}},
	}
	for _, tt := range tests {
		for _, payload := range tt.payloads {
			packed, err := mustEncoder(t, tt.spec).Encode([]byte(payload))
			if err != nil {
				t.Errorf("%s %.60q: %v", tt.spec, payload, err)
				continue
			}
			d := mustParse(t, "="+tt.spec).Decode("t", packed)
			if d == nil || d.Err != nil || !sameJSON(string(d.Text), payload) {
				t.Errorf("%s %.60q: %+v", tt.spec, payload, d)
			}
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	tests := []struct {
		spec, payload, text string
		is                  error
	}{
		{"json", "{", "no json: unexpected end of JSON input", nil},
		{"gzip|json", "x", "no json: invalid character", nil},
		{"cbor", "", "no cbor: empty", nil},
		{"cbor", "\"\xff\"", "no cbor: not UTF-8", nil},
		{"cbor", "1 2", "no cbor: invalid character", nil},
		{"cbor", `{"a":1,"\u0061":2}`, `the key "a" comes twice`, nil},
		{"cbor", "1e999", "the number 1e999 is too large", nil},
		{"cbor", strings.Repeat("1", maxDigits+1), "more than 1024 digits", nil},
		{"cbor", deep, "", ErrTooDeep},
		{"msgpack", deep, "", ErrTooDeep},
		{"msgpack", "[1e999]", "too large", nil},
		{"msgpack", "18446744073709551617", "more than 64 bits", nil},
		{"protobuf:house.proto#Reading", `{"rooms":1}`, "unknown field", nil},
		{"protobuf:house.proto#Reading", `{"room":1}`, "no protobuf: ", nil},
		{"protobuf:house.proto#Reading", ``, "empty", nil},
		{"protobuf:house.proto#Outer", strings.Repeat(`{"inner":`, MaxDepth) + "{}" + strings.Repeat("}", MaxDepth), "", ErrTooDeep},
		{"avro:reading.avsc", `{"room":1}`, "no avro: ", nil},
		{"avro:reading.avsc", `[]`, "no avro: ", nil},
		{"avro:reading.avsc", deep, "", ErrTooDeep},
	}
	for _, tt := range tests {
		out, err := mustEncoder(t, tt.spec).Encode([]byte(tt.payload))
		e, ok := errors.AsType[*Error](err)
		if !ok || out != nil || !strings.Contains(e.Error(), tt.text) || tt.is != nil && !errors.Is(e, tt.is) {
			t.Errorf("%s %.40s: %x %v, want %q %v", tt.spec, tt.payload, out, err, tt.text, tt.is)
		}
	}
	large := bytes.Repeat([]byte{' '}, MaxTree+1)
	for _, spec := range []string{"cbor", "msgpack", "avro:reading.avsc", "protobuf:house.proto#Reading"} {
		if _, err := mustEncoder(t, spec).Encode(large); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", spec, err)
		}
	}
	if _, err := mustEncoder(t, "base64").Encode(make([]byte, MaxOutput+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("base64: %v", err)
	}
}

func TestParseEncoderErrors(t *testing.T) {
	tests := []struct{ spec, text string }{
		{"", "is no CODEC; they are json, cbor, msgpack, protobuf, avro, gzip, zlib, zstd, base64"},
		{"xml", "is no CODEC"},
		{"a/#=json", "is no CODEC"},
		{"json|gzip", "json makes JSON"},
		{"cbor:x", "cbor has no arguments"},
		{"avro", "avro needs avro:SCHEMA.avsc"},
		{"protobuf:house.proto#M", `there is no message "M"`},
		{"sparkplug", "sparkplug can only be decoded"},
		{"gzip|sparkplug", "sparkplug can only be decoded"},
	}
	for _, tt := range tests {
		out, err := ParseEncoder(tt.spec, testFile)
		if e, ok := errors.AsType[*SpecError](err); !ok || out != nil || !strings.Contains(e.Error(), tt.text) {
			t.Errorf("%q: %v, want %q", tt.spec, err, tt.text)
		}
	}
}
