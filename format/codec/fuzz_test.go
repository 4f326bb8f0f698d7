package codec

import (
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"
)

// fuzz holds for every codec: no payload ends the program, what is called JSON
// is, and what is not decoded has an *Error.
func fuzz(f *testing.F, spec string, seeds ...[]byte) {
	table := mustParse(f, "="+spec)
	for _, s := range seeds {
		f.Add("spBv1.0/g/NBIRTH/n", s)
		f.Add("spBv1.0/g/DDATA/n/d", s)
	}
	f.Add("cleared", []byte{})
	f.Fuzz(func(t *testing.T, topic string, payload []byte) {
		d := table.Decode(topic, payload)
		if d == nil {
			if len(payload) > 0 {
				t.Error("nothing was decoded")
			}
			return
		}
		if d.Err != nil {
			if _, ok := errors.AsType[*Error](d.Err); !ok || d.Text != nil {
				t.Errorf("%v with %q", d.Err, d.Text)
			}
			return
		}
		if d.JSON && (!json.Valid(d.Text) || !utf8.Valid(d.Text)) {
			t.Errorf("no JSON: %q", d.Text)
		}
		if len(d.Text) > MaxOutput {
			t.Errorf("%d bytes", len(d.Text))
		}
	})
}

func FuzzCBOR(f *testing.F) {
	fuzz(f, "cbor", fromHex(f, "bf61610161629f0203ffff"), fromHex(f, "d818456449455446"), fromHex(f, "c11a514b67b0"), fromHex(f, "c249010000000000000000"),
		fromHex(f, "a1414101"), fromHex(f, "f97e00"), fromHex(f, "5f42010243030405ff"))
}

func FuzzMsgpack(f *testing.F) {
	fuzz(f, "msgpack", fromHex(f, "82a27a7a01a161d903616263"), fromHex(f, "d6ff514b67b0"), fromHex(f, "d405aa"), fromHex(f, "c70003"),
		fromHex(f, "c70cff0000000000000000514b67b0"), fromHex(f, "8193010203c0"), fromHex(f, "cb7ff0000000000000"), fromHex(f, "c9ffffffff01"))
}

func FuzzAvro(f *testing.F) {
	fuzz(f, "avro:reading.avsc", fromHex(f, "08726f6f6d000046c102020e0000"), fromHex(f, "08726f6f6d000046c1000402040600"), fromHex(f, "c3010000000000000000"))
}

func FuzzProtobuf(f *testing.F) {
	fuzz(f, "protobuf:house.proto#Outer", fromHex(f, "0a030a0161120608b0cfadd205"), fromHex(f, "1a021a00"), fromHex(f, "2202080112030a01ff"))
}

func FuzzSparkplug(f *testing.F) {
	fuzz(f, "sparkplug", metrics(pb{}.text(1, "temp").num(2, 1).num(4, 3).num(10, 7)), metrics(pb{}.num(2, 1).num(7, 1)),
		metrics(pb{}.num(4, 32).bytes(16, []byte{9, 0, 0, 0, 0xa0, 0x80})), metrics(pb{}.num(4, 33).bytes(16, []byte("a\x00b"))),
		metrics(pb{}.num(4, 16).bytes(17, pb{}.text(2, "a").num(3, 1).bytes(4, pb{}.bytes(1, pb{}.num(1, 0xff))))))
}

func FuzzUnpack(f *testing.F) {
	for _, spec := range []string{"gzip", "zlib", "zstd"} {
		f.Add(spec, packed(f, spec, []byte(`{"a":[1,2,3]}`)))
	}
	f.Add("base64", []byte("eyJhIjpbMSwyLDNdfQ=="))
	f.Add("gzip", []byte{})
	f.Fuzz(func(t *testing.T, spec string, payload []byte) {
		table, err := Parse([]string{"=" + spec + "|json"}, testFile)
		if err != nil {
			return
		}
		switch d := table.Decode("t", payload); {
		case d == nil && len(payload) > 0:
			t.Error("nothing was decoded")
		case d != nil && d.Err == nil && !json.Valid(d.Text):
			t.Errorf("no JSON: %q", d.Text)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a/#=json", "x=y=gzip|json", "=protobuf:house.proto#Reading", "#=avro:reading.avsc", "=gzip+zstd+base64+cbor", "=json:x", "a=b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		if len(spec) > 200 {
			return
		}
		table, err := Parse([]string{spec}, testFile)
		if e, ok := errors.AsType[*SpecError](err); err != nil && (!ok || e.Spec != spec) {
			t.Fatalf("%T %v", err, err)
		}
		if err == nil && len(table.rules[0].steps) == 0 {
			t.Errorf("%q has no codec", spec)
		}
	})
}

// FuzzEncode holds that what is made of JSON can be decoded, and that the JSON
// that this gives stays the same from then on.
func FuzzEncode(f *testing.F) {
	specs := []string{"cbor", "msgpack", "base64|cbor", "avro:reading.avsc", "protobuf:house.proto#Outer"}
	for _, s := range []string{`{"b":[1,-2.5,1e3],"a":{"":null}}`, `"\ud800\u0000ü"`, "18446744073709551616", "-0", "0.1e-7",
		`{"room":"r","celsius":"NaN","note":{"string":"n"},"samples":[1]}`, `{"reading":{"state":"ON","serial":"7"},"at":"2016-12-31T13:09:52Z"}`} {
		f.Add([]byte(s))
	}
	var encoders []*Encoder
	var tables []*Table
	for _, spec := range specs {
		encoders, tables = append(encoders, mustEncoder(f, spec)), append(tables, mustParse(f, "="+spec))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		for i, spec := range specs {
			text := payload
			for again := range 2 {
				b, err := encoders[i].Encode(text)
				if _, ok := errors.AsType[*Error](err); ok && again == 0 {
					break
				} else if err != nil {
					t.Fatalf("%s: %q of %q: %v", spec, text, payload, err)
				}
				d := tables[i].Decode("t", b)
				if d == nil || d.Err != nil || again > 0 && !sameJSON(string(d.Text), string(text)) {
					t.Fatalf("%s: %q became %x and %+v", spec, text, b, d)
				}
				text = d.Text
			}
		}
	})
}
