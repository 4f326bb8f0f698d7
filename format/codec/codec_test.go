package codec

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// testFile reads testdata; house.desc is the descriptor set of house.proto.
func testFile(path string) ([]byte, error) {
	if path == "house.desc" {
		return descriptors("house.proto")
	}
	return os.ReadFile(filepath.Join("testdata", path))
}

func descriptors(file string) ([]byte, error) {
	files, main, err := compile(file, testFile)
	if err != nil {
		return nil, err
	}
	set := &descriptorpb.FileDescriptorSet{}
	var last *descriptorpb.FileDescriptorProto
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if d := protodesc.ToFileDescriptorProto(f); f.Path() == main {
			last = d
		} else {
			set.File = append(set.File, d)
		}
		return true
	})
	set.File = append(set.File, last)
	return proto.Marshal(set)
}

func mustParse(t testing.TB, specs ...string) *Table {
	t.Helper()
	table, err := Parse(specs, testFile)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func packed(t testing.TB, kind string, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	switch kind {
	case "gzip":
		w := gzip.NewWriter(&b)
		_, _ = w.Write(text)
		w.Close()
	case "zlib":
		w := zlib.NewWriter(&b)
		_, _ = w.Write(text)
		w.Close()
	case "zstd":
		w, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(text)
		w.Close()
	}
	return b.Bytes()
}

// TestDecode has payloads as hex. Those of CBOR are of RFC 8949, appendix A;
// those of MessagePack follow its specification by hand.
func TestDecode(t *testing.T) {
	tests := []struct{ spec, payload, want string }{
		{"json", hex.EncodeToString([]byte(` {"a": [1.50, null]} `)), ` {"a": [1.50, null]} `},
		{"json", hex.EncodeToString([]byte(`7`)), `7`},
		{"cbor", "1bffffffffffffffff", "18446744073709551615"},
		{"cbor", "3bffffffffffffffff", "-18446744073709551616"},
		{"cbor", "c249010000000000000000", "18446744073709551616"},
		{"cbor", "f97e00", `"NaN"`},
		{"cbor", "f9fc00", `"-Infinity"`},
		{"cbor", "fa47c35000", "100000"},
		{"cbor", "fb7e37e43c8800759c", "1e+300"},
		{"cbor", "f7", "null"},
		{"cbor", "f0", `{"simple":16}`},
		{"cbor", "c11a514b67b0", `"2013-03-21T20:04:00Z"`},
		{"cbor", "d818456449455446", `{"tag":24,"value":"ZElFVEY="}`},
		{"cbor", "a26161016162820203", `{"a":1,"b":[2,3]}`},
		{"cbor", "a201020304", `{"1":2,"3":4}`},
		{"cbor", "bf61610161629f0203ffff", `{"a":1,"b":[2,3]}`},
		{"cbor", "a1414101", `{"QQ==":1}`},
		{"cbor", "62c3bc", `"ü"`},
		{"msgpack", "c0", "null"},
		{"msgpack", "93c2c3ff", "[false,true,-1]"},
		{"msgpack", "82a27a7a01a161d903616263", `{"zz":1,"a":"abc"}`},
		{"msgpack", "8101c402ff00", `{"1":"/wA="}`},
		{"msgpack", "cfffffffffffffffff", "18446744073709551615"},
		{"msgpack", "d38000000000000000", "-9223372036854775808"},
		{"msgpack", "ca3dcccccd", "0.1"},
		{"msgpack", "cb7ff0000000000000", `"Infinity"`},
		{"msgpack", "d6ff514b67b0", `"2013-03-21T20:04:00Z"`},
		{"msgpack", "d405aa", `{"ext":5,"data":"qg=="}`},
		{"msgpack", "c70003", `{"ext":3,"data":""}`},
		{"msgpack", "a2c328", `"` + "\ufffd" + `("`},
		{"gzip", hex.EncodeToString(packed(t, "gzip", []byte("text\x00"))), "text\x00"},
		{"zlib", hex.EncodeToString(packed(t, "zlib", []byte("text"))), "text"},
		{"zstd", hex.EncodeToString(packed(t, "zstd", []byte("text"))), "text"},
		{"gzip", hex.EncodeToString(packed(t, "gzip", nil)), ""},
		{"base64", hex.EncodeToString([]byte("AP8=\n")), "\x00\xff"},
		{"base64", hex.EncodeToString([]byte("_-8")), "\xff\xef"},
		{"gzip|json", hex.EncodeToString(packed(t, "gzip", []byte(`{"a":1}`))), `{"a":1}`},
		{"zstd+cbor", hex.EncodeToString(packed(t, "zstd", []byte{0x83, 1, 2, 3})), `[1,2,3]`},
		{"base64|zlib|json", hex.EncodeToString(base64Of(packed(t, "zlib", []byte("{}")))), `{}`},
		{"protobuf:house.proto#Reading", "0a04726f6f6d15000046c11a0201022801", `{"room":"room","celsius":-12.375,"samples":[1,2],"state":"ON","serial":"0"}`},
		{"protobuf:house.proto#house.Reading", "", `{"room":"","celsius":0,"samples":[],"state":"OFF","serial":"0"}`},
		{"protobuf:house.desc#Reading", "0a0161", `{"room":"a","celsius":0,"samples":[],"state":"OFF","serial":"0"}`},
		{"protobuf:house.proto#Outer", "0a030a0161120608a0dc9ec305", `{"reading":{"room":"a","celsius":0,"samples":[],"state":"OFF","serial":"0"},"at":"2016-12-31T13:09:52Z"}`},
		{"protobuf:import/deep/up.proto", "0a020801", `{"one":{"n":1}}`},
		{"avro:reading.avsc", "08726f6f6d 000046c1 00 04 0204 00", `{"room":"room","celsius":-12.375,"note":null,"samples":[1,2]}`},
	}
	for _, tt := range tests {
		d := mustParse(t, "="+tt.spec).Decode("t", fromHex(t, tt.payload))
		if d.Err != nil || !sameJSON(string(d.Text), tt.want) {
			t.Errorf("%s %s: %q %v, want %q", tt.spec, tt.payload, d.Text, d.Err, tt.want)
		}
		if d.JSON && !json.Valid(d.Text) {
			t.Errorf("%s: not valid: %q", tt.spec, d.Text)
		}
	}
}

// sameJSON allows for protojson, which varies its white space on purpose.
func sameJSON(got, want string) bool {
	if got == want {
		return true
	}
	var g, w bytes.Buffer
	return json.Compact(&g, []byte(got)) == nil && json.Compact(&w, []byte(want)) == nil && g.String() == w.String()
}

func base64Of(b []byte) []byte {
	return appendBase64(nil, b)[1 : len(appendBase64(nil, b))-1]
}

func TestDecodeErrors(t *testing.T) {
	deep := func(c byte, n int) string { return hex.EncodeToString(bytes.Repeat([]byte{c}, n)) }
	const part = 1 << 20 // members and frames of which many follow each other
	bomb := func(kind string) string {
		return strings.Repeat(hex.EncodeToString(packed(t, kind, make([]byte, part))), MaxOutput/part+1)
	}
	tests := []struct {
		spec, payload, text string
		is                  error
	}{
		{"json", "7b", "unexpected end of JSON input", nil},
		{"json", "22ff22", "not UTF-8", nil},
		{"cbor", "82 01", "EOF", nil},
		{"cbor", "0101", "extraneous", nil},
		{"cbor", "a2616101616102", "duplicate", nil},
		{"cbor", "a1800 1", "invalid map key", nil},
		{"cbor", deep(0x81, 1<<20), "nested", nil},
		{"cbor", "9b7fffffffffffffff", "", nil},
		{"msgpack", "a2", "cut short", nil},
		{"msgpack", "c1", "0xc1 begins no value", nil},
		{"msgpack", "0101", "", ErrTrailing},
		{"msgpack", deep(0x91, 1<<20), "", ErrTooDeep},
		{"msgpack", deep(0x81, 1<<20), "a key that is itself of type map", nil},
		{"msgpack", "ddffffffff", "cut short", nil},
		{"msgpack", "dfffffffff", "cut short", nil},
		{"msgpack", "c9ffffffff01", "cut short", nil},
		{"msgpack", "c8", "cut short", nil},
		{"msgpack", "c7", "cut short", nil},
		{"msgpack", "d4", "cut short", nil},
		{"gzip", "00", "EOF", nil},
		{"gzip", hex.EncodeToString(packed(t, "gzip", []byte("text"))[:14]), "cut short", nil},
		{"gzip", bomb("gzip"), "", ErrTooLarge},
		{"zlib", hex.EncodeToString(packed(t, "zlib", []byte("text"))[:8]), "cut short", nil},
		{"zstd", bomb("zstd"), "", ErrTooLarge},
		{"zstd", "28b52ffd", "", nil},
		{"base64", "2a", "other characters", nil},
		{"gzip|json", hex.EncodeToString(packed(t, "gzip", []byte("{"))), "no json", nil},
		{"protobuf:house.proto#Reading", "0a05", "", nil},
		{"protobuf:house.proto#Outer", "1a" + "ff", "", nil},
		{"avro:reading.avsc", "08", "", nil},
		{"avro:reading.avsc", "c3010000000000000000", "fingerprint", nil},
		{"avro:reading.avsc", "08726f6f6d 000046c1 00 00 00 00", "", ErrTrailing},
		{"sparkplug", "ff", "no sparkplug: cannot parse", nil},
	}
	for _, tt := range tests {
		d := mustParse(t, "="+tt.spec).Decode("t", fromHex(t, tt.payload))
		e, ok := errors.AsType[*Error](d.Err)
		if !ok || d.Text != nil || !strings.Contains(e.Error(), tt.text) || tt.is != nil && !errors.Is(e, tt.is) {
			t.Errorf("%s %.40s: %v, want %q %v", tt.spec, tt.payload, d.Err, tt.text, tt.is)
		}
	}
	large := bytes.Repeat([]byte{0xc0}, MaxTree+1)
	for _, spec := range []string{"cbor", "avro:reading.avsc", "protobuf:house.proto#Reading", "sparkplug"} {
		if d := mustParse(t, "="+spec).Decode("t", large); !errors.Is(d.Err, ErrTooLarge) {
			t.Errorf("%s: %v", spec, d.Err)
		}
	}
}

func TestParse(t *testing.T) {
	table := mustParse(t, "a/+=json", "a/b=gzip", "x=y/#=gzip|json", "$SYS/#=base64", "#=cbor")
	tests := []struct{ topic, steps string }{
		{"a/b", "json"}, {"a/b/c", "cbor"}, {"x=y/z", "gzip json"}, {"$SYS/a", "base64"}, {"$other", ""},
	}
	for _, tt := range tests {
		var names []string
		for _, r := range table.rules {
			if (&Table{rules: []rule{r}}).Decode(tt.topic, []byte("x")) != nil {
				for _, s := range r.steps {
					names = append(names, s.name)
				}
				break
			}
		}
		if got := strings.Join(names, " "); got != tt.steps {
			t.Errorf("%s: %q, want %q", tt.topic, got, tt.steps)
		}
	}
	if d := mustParse(t, "=json").Decode("$SYS/x", []byte("1")); d == nil || !d.JSON {
		t.Error("no filter is every topic")
	}
	if d := mustParse(t, "=gzip").Decode("t", packed(t, "gzip", nil)); d == nil || d.JSON || d.Err != nil {
		t.Errorf("gzip makes bytes: %+v", d)
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ spec, text string }{
		{"", "is no FILTER=CODEC"},
		{"json", "is no FILTER=CODEC"},
		{"a=xml", "is no FILTER=CODEC; the codecs are json, cbor"},
		{"a/#/b=json", "the filter"},
		{"a=json:x", "json has no arguments"},
		{"a=json|gzip", "json makes JSON"},
		{"a=avro", "avro needs avro:SCHEMA.avsc"},
		{"a=protobuf", "protobuf needs protobuf:FILE#MESSAGE"},
		{"a=protobuf:none.proto#M", "file does not exist"},
		{"a=protobuf:house.proto#M", `there is no message "M"`},
		{"a=protobuf:house.proto", "there are several messages"},
		{"a=protobuf:house.proto#Twin", `there are several messages "Twin"`},
		{"a=protobuf:broken.proto#M", "broken.proto:"},
		{"a=protobuf:reading.avsc#M", "is no descriptor set"},
		{"a=protobuf:empty.desc#M", "of no files"},
		{"a=avro:house.proto", "avro"},
		{"a=avro:none.avsc", "file does not exist"},
		{"a=gzip|xml", "gzip"},
	}
	for _, tt := range tests {
		table, err := Parse([]string{"=json", tt.spec}, func(path string) ([]byte, error) {
			switch path {
			case "none.proto", "none.avsc":
				return nil, fs.ErrNotExist
			case "broken.proto":
				return []byte("syntax = 1;"), nil
			case "empty.desc":
				return nil, nil
			}
			return testFile(path)
		})
		if e, ok := errors.AsType[*SpecError](err); !ok || table != nil || !strings.Contains(e.Error(), tt.text) {
			t.Errorf("%q: %v, want %q", tt.spec, err, tt.text)
		}
	}
}

// TestNoPayload: what clears a retained message is no fault.
func TestNoPayload(t *testing.T) {
	for _, spec := range []string{"json", "cbor", "msgpack", "avro:reading.avsc", "gzip", "zlib", "zstd", "gzip|json"} {
		if d := mustParse(t, "="+spec).Decode("t", nil); d != nil {
			t.Errorf("%s: %q %v", spec, d.Text, d.Err)
		}
	}
}

func TestMessageOfOne(t *testing.T) {
	if d := mustParse(t, "=protobuf:import/one.proto").Decode("t", []byte{8, 1}); d.Err != nil || !sameJSON(string(d.Text), `{"n":1}`) {
		t.Errorf("%s %v", d.Text, d.Err)
	}
}
