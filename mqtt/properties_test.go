package mqtt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"mqt/mqtt"
)

// propertyRow is a line of testdata/packets/properties.txt.
type propertyRow struct {
	id       mqtt.PropertyID
	name     string
	encoding string
	nonZero  bool
	in       map[string]allowance // by packet name, "WILL" for the Will Properties
}

type allowance struct {
	section string
	repeats bool
	only    mqtt.Side // 0: either side
}

// lines returns the lines of a table in testdata/packets, without comments.
func lines(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile("../testdata/packets/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			all = append(all, line)
		}
	}
	return all
}

func propertyRows(t *testing.T) []propertyRow {
	t.Helper()
	var rows []propertyRow
	for _, line := range lines(t, "properties.txt") {
		f := strings.Fields(line)
		id, err := strconv.ParseUint(f[0], 0, 8)
		if err != nil {
			t.Fatal(err)
		}
		row := propertyRow{id: mqtt.PropertyID(id), name: f[1], in: make(map[string]allowance)}
		row.encoding, row.nonZero = strings.CutSuffix(f[2], "+")
		for _, where := range f[3:] {
			where, section, _ := strings.Cut(where, ":")
			where, side, _ := strings.Cut(where, "@")
			where, repeats := strings.CutSuffix(where, "*")
			row.in[where] = allowance{section, repeats, sideNamed(side)}
		}
		rows = append(rows, row)
	}
	if len(rows) != 27 {
		t.Fatalf("%d properties, the standard has 27", len(rows))
	}
	return rows
}

// carrier builds a 5.0 packet around the bytes of its properties.
type carrier struct {
	name string
	t    mqtt.Type // 0: the Will Properties
	from []mqtt.Side
	wire func(props []byte) []byte
}

func carriers() []carrier {
	client, server := []mqtt.Side{mqtt.Client}, []mqtt.Side{mqtt.Server}
	both := []mqtt.Side{mqtt.Client, mqtt.Server}
	// around puts Property Length and properties between two parts of a body.
	around := func(first byte, before, after string) func([]byte) []byte {
		return func(props []byte) []byte {
			body := append(varint([]byte(before), len(props)), props...)
			return frame(first, append(body, after...))
		}
	}
	const connect = "\x00\x04MQTT\x05"
	return []carrier{
		{"CONNECT", mqtt.TypeConnect, client, around(0x10, connect+"\x02\x00\x00", "\x00\x00")},
		{"WILL", 0, client, around(0x10, connect+"\x06\x00\x00\x00\x00\x00", "\x00\x01w\x00\x00")},
		{"CONNACK", mqtt.TypeConnack, server, around(0x20, "\x00\x00", "")},
		{"PUBLISH", mqtt.TypePublish, both, around(0x30, "\x00\x01t", "payload")},
		{"PUBACK", mqtt.TypePuback, both, around(0x40, "\x00\x01\x00", "")},
		{"PUBREC", mqtt.TypePubrec, both, around(0x50, "\x00\x01\x00", "")},
		{"PUBREL", mqtt.TypePubrel, both, around(0x62, "\x00\x01\x00", "")},
		{"PUBCOMP", mqtt.TypePubcomp, both, around(0x70, "\x00\x01\x00", "")},
		{"SUBSCRIBE", mqtt.TypeSubscribe, client, around(0x82, "\x00\x01", "\x00\x01t\x00")},
		{"SUBACK", mqtt.TypeSuback, server, around(0x90, "\x00\x01", "\x00")},
		{"UNSUBSCRIBE", mqtt.TypeUnsubscribe, client, around(0xa2, "\x00\x01", "\x00\x01t")},
		{"UNSUBACK", mqtt.TypeUnsuback, server, around(0xb0, "\x00\x01", "\x00")},
		{"DISCONNECT", mqtt.TypeDisconnect, both, around(0xe0, "\x00", "")},
		{"AUTH", mqtt.TypeAuth, both, around(0xf0, "\x18", "")},
	}
}

// company is what the packet must hold beside the property: authentication data needs a method, as AUTH does.
func company(id mqtt.PropertyID, in string) []byte {
	method := in == "AUTH" || in == "CONNECT" && id == mqtt.AuthenticationData
	if !method || id == mqtt.AuthenticationMethod {
		return nil
	}
	return []byte("\x15\x00\x01m")
}

// values returns encodings of the property that are fine, and those that are not.
func (r *propertyRow) values() (fine, wrong [][]byte) {
	u := func(n int, v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v)[8-n:] }
	numbers := func(n int, largest uint64) {
		fine = append(fine, u(n, 1), u(n, largest))
		if r.nonZero {
			wrong = append(wrong, u(n, 0))
		} else {
			fine = append(fine, u(n, 0))
		}
	}
	switch r.encoding {
	case "bit":
		numbers(1, 1)
		wrong = append(wrong, []byte{2}, []byte{0x80}, []byte{0xff})
	case "two":
		numbers(2, 0xffff)
	case "four":
		numbers(4, 0xffffffff)
	case "varint":
		wrong = append(wrong, []byte{0})
		fine = append(fine, []byte{1}, varint(nil, 127), varint(nil, 128), varint(nil, 16384), varint(nil, 268435455))
	case "text":
		fine = append(fine, []byte("\x00\x00"), []byte("\x00\x04t\xc3\xa9x"), long('x'))
	case "binary":
		fine = append(fine, []byte("\x00\x00"), []byte("\x00\x03\x00\xff\xc0"), long(0xff))
	case "pair":
		fine = append(fine, []byte("\x00\x00\x00\x00"), []byte("\x00\x01k\x00\x02vv"), append(long('k'), long('v')...))
	}
	return fine, wrong
}

// long is a field of 65,535 bytes.
func long(c byte) []byte { return append([]byte{0xff, 0xff}, bytes.Repeat([]byte{c}, 0xffff)...) }

// malformed returns encodings that no value has.
func (r *propertyRow) malformed() [][]byte {
	texts := [][]byte{[]byte("\x00\x01\xff"), []byte("\x00\x03\xed\xa0\x80"), []byte("\x00\x02\xc0\x80"), []byte("\x00\x04\xf4\x90\x80\x80"), []byte("\x00\x01\x00")}
	switch r.encoding {
	case "varint":
		return [][]byte{{0x80, 0}, {0x81, 0}, {0xff, 0x80, 0}, {0x80, 0x80, 0x80, 0x80, 1}, {0xff, 0xff, 0xff, 0xff}}
	case "text":
		return texts
	case "pair":
		var all [][]byte
		for _, bad := range texts {
			all = append(all, append(bytes.Clone(bad), 0, 1, 'v'), append([]byte{0, 1, 'k'}, bad...))
		}
		return all
	}
	return nil
}

// TestProperties tries every property in every packet that has properties, from either side. Strings are sound, among
// them both of a pair [MQTT-1.5.7-1], Response Topic [MQTT-3.3.2-13] and Content Type [MQTT-3.3.2-19].
func TestProperties(t *testing.T) {
	for _, row := range propertyRows(t) {
		if row.id.String() != row.name {
			t.Errorf("property 0x%02x is called %q", byte(row.id), row.id)
		}
		if id, ok := mqtt.ParsePropertyID(row.name); !ok || id != row.id {
			t.Errorf("%s is parsed as 0x%02x, %t", row.name, byte(id), ok)
		}
		for _, c := range carriers() {
			a, ok := row.in[c.name]
			if row.id.AllowedIn(c.t) != ok {
				t.Errorf("%s allowed in %s: %t", row.name, c.name, !ok)
			}
			for _, from := range c.from {
				t.Run(fmt.Sprintf("%s/%s/%d", row.name, c.name, from), func(t *testing.T) {
					r := &mqtt.Reader{From: from, Version: mqtt.V50}
					switch {
					case !ok:
						row.refused(t, r, &c)
					case a.only != 0 && a.only != from:
						row.oneWay(t, r, &c)
					default:
						row.allowed(t, r, &c, a)
					}
				})
			}
		}
	}
}

// refused: "an Identifier which is not valid for its packet type … is a Malformed Packet", section 2.2.2.2.
func (r *propertyRow) refused(t *testing.T, reader *mqtt.Reader, c *carrier) {
	fine, _ := r.values()
	for _, v := range fine {
		wantError(t, reader, c.wire(append(company(r.id, c.name), r.with(v)...)), mqtt.MalformedPacket, "2.2.2.2")
	}
}

func (r *propertyRow) oneWay(t *testing.T, reader *mqtt.Reader, c *carrier) {
	fine, _ := r.values()
	for _, v := range fine {
		_, _, err := reader.Read(c.wire(append(company(r.id, c.name), r.with(v)...)))
		if e, ok := errors.AsType[*mqtt.Error](err); !ok || e.Code != mqtt.ProtocolError {
			t.Errorf("from the wrong side: error %v", err)
		}
	}
}

func (r *propertyRow) allowed(t *testing.T, reader *mqtt.Reader, c *carrier, a allowance) {
	others := company(r.id, c.name)
	fine, wrong := r.values()
	for _, v := range fine {
		props := append(bytes.Clone(others), r.with(v)...)
		wire := c.wire(props)
		p := wantPacket(t, reader, wire)
		if got := propertiesOf(t, p, c.t); len(got) == 0 || !bytes.Equal(r.with(v), encodeProperty(r.encoding, got[len(got)-1])) {
			t.Errorf("% .20x: read as %s", v, renderProperties(got))
		}
		wantEncoding(t, p, mqtt.V50, wire)

		props = append(props, r.with(v)...)
		if a.repeats {
			wantEncoding(t, wantPacket(t, reader, c.wire(props)), mqtt.V50, c.wire(props))
		} else {
			wantError(t, reader, c.wire(props), mqtt.ProtocolError, a.section)
		}
	}
	for _, v := range wrong {
		code, statement := mqtt.ProtocolError, a.section
		if r.id == mqtt.TopicAlias {
			code, statement = mqtt.TopicAliasInvalid, "MQTT-3.3.2-8"
		}
		wantError(t, reader, c.wire(append(bytes.Clone(others), r.with(v)...)), code, statement)
	}
	malformed := func(props []byte) {
		_, _, err := reader.Read(c.wire(props))
		if e, ok := errors.AsType[*mqtt.Error](err); !ok || e.Code != mqtt.MalformedPacket {
			t.Errorf("% x: error %v", props, err)
		}
	}
	for _, v := range r.malformed() {
		malformed(append(bytes.Clone(others), r.with(v)...))
	}
	for _, v := range fine {
		whole := append(bytes.Clone(others), r.with(v)...)
		for n := len(others) + 1; n < min(len(whole), 40); n++ {
			malformed(whole[:n])
		}
		malformed(whole[:len(whole)-1])
	}
}

// with is the property with that value.
func (r *propertyRow) with(value []byte) []byte { return append([]byte{byte(r.id)}, value...) }

// encodeProperty is the test's own encoding.
func encodeProperty(encoding string, p mqtt.Property) []byte {
	field := func(dst, b []byte) []byte {
		return append(binary.BigEndian.AppendUint16(dst, uint16(len(b))), b...)
	}
	id := []byte{byte(p.ID)}
	switch encoding {
	case "bit":
		return append(id, byte(p.Number))
	case "two":
		return binary.BigEndian.AppendUint16(id, uint16(p.Number))
	case "four":
		return binary.BigEndian.AppendUint32(id, p.Number)
	case "varint":
		return varint(id, int(p.Number))
	case "pair":
		return field(field(id, p.Key), p.Value)
	}
	return field(id, p.Value)
}

func propertiesOf(t *testing.T, p mqtt.Packet, in mqtt.Type) mqtt.Properties {
	t.Helper()
	switch p := p.(type) {
	case *mqtt.Connect:
		if in == 0 {
			return p.Will.Properties
		}
		return p.Properties
	case *mqtt.Connack:
		return p.Properties
	case *mqtt.Publish:
		return p.Properties
	case *mqtt.Puback:
		return p.Properties
	case *mqtt.Pubrec:
		return p.Properties
	case *mqtt.Pubrel:
		return p.Properties
	case *mqtt.Pubcomp:
		return p.Properties
	case *mqtt.Subscribe:
		return p.Properties
	case *mqtt.Suback:
		return p.Properties
	case *mqtt.Unsubscribe:
		return p.Properties
	case *mqtt.Unsuback:
		return p.Properties
	case *mqtt.Disconnect:
		return p.Properties
	case *mqtt.Auth:
		return p.Properties
	}
	t.Fatalf("%T has no properties", p)
	return nil
}

// TestUnknownProperties tries every identifier of one byte, and some of more, in every packet.
func TestUnknownProperties(t *testing.T) {
	known := make(map[int]bool)
	for _, row := range propertyRows(t) {
		known[int(row.id)] = true
	}
	for _, c := range carriers() {
		r := &mqtt.Reader{From: c.from[0], Version: mqtt.V50}
		for id := range 300 {
			if !known[id] {
				wire := c.wire(append(varint(nil, id), 0, 0, 0, 0, 0))
				wantError(t, r, wire, mqtt.MalformedPacket, "2.2.2.2")
			}
		}
		wantError(t, r, c.wire([]byte{0xff, 0xff, 0xff, 0x7f}), mqtt.MalformedPacket, "2.2.2.2")
		wantError(t, r, c.wire([]byte{0xff, 0xff, 0xff, 0xff}), mqtt.MalformedPacket, "1.5.5")
		wantError(t, r, c.wire([]byte{0xa6, 0x00, 0, 0, 0, 0}), mqtt.MalformedPacket, "MQTT-1.5.5-1")
		wantError(t, r, c.wire([]byte{0x80}), mqtt.MalformedPacket, "2.1.4")
	}
	if got := mqtt.PropertyID(0x7f).String(); got != "property 0x7F" {
		t.Errorf("an unknown property is called %q", got)
	}
	if _, ok := mqtt.ParsePropertyID("no-such-property"); ok {
		t.Error("an unknown name is parsed")
	}
	if _, ok := mqtt.ParsePropertyID(""); ok {
		t.Error("an empty name is parsed")
	}
}

// TestPropertyLength makes the Property Length wrong in every packet.
func TestPropertyLength(t *testing.T) {
	for _, c := range carriers() {
		r := &mqtt.Reader{From: c.from[0], Version: mqtt.V50}
		// The carrier with one User Property; its Property Length is the only byte of that value before 0x26.
		props := []byte("\x26\x00\x01k\x00\x01v")
		if c.name == "AUTH" {
			props = append([]byte("\x15\x00\x01m"), props...)
		}
		wire := c.wire(props)
		at := bytes.Index(wire, props) - 1
		for n := range 128 {
			if n == len(props) {
				continue
			}
			bad := bytes.Clone(wire)
			bad[at] = byte(n)
			p, _, err := r.Read(bad)
			_, isError := errors.AsType[*mqtt.Error](err)
			// In a PUBLISH, and where a list follows, a shorter Property Length can leave a packet that is valid.
			shorter := n < len(props) && (c.t == mqtt.TypePublish || n == 0)
			if !isError && !shorter {
				t.Errorf("%s: Property Length %d of %d: %v, error %v", c.name, n, len(props), p, err)
			}
		}
	}
}

func TestPropertiesAccess(t *testing.T) {
	ps := mqtt.Properties{
		mqtt.Num(mqtt.ReceiveMaximum, 7), mqtt.Str(mqtt.ReasonString, "why"), mqtt.Bin(mqtt.CorrelationData, []byte{0, 1}),
		mqtt.User("a", "1"), mqtt.User("b", "2"), mqtt.User("a", "3"),
	}
	if n, ok := ps.Number(mqtt.ReceiveMaximum); n != 7 || !ok {
		t.Error(n, ok)
	}
	if n, ok := ps.Number(mqtt.TopicAlias); n != 0 || ok {
		t.Error(n, ok)
	}
	if got := ps.NumberOr(mqtt.ReceiveMaximum, 65535); got != 7 {
		t.Error(got)
	}
	if got := ps.NumberOr(mqtt.TopicAliasMaximum, 65535); got != 65535 {
		t.Error(got)
	}
	if s, ok := ps.Text(mqtt.ReasonString); s != "why" || !ok {
		t.Error(s, ok)
	}
	if b, ok := ps.Bytes(mqtt.CorrelationData); string(b) != "\x00\x01" || !ok {
		t.Error(b, ok)
	}
	if p, ok := ps.Get(mqtt.UserProperty); string(p.Value) != "1" || !ok {
		t.Error(p, ok)
	}
	without := ps.Without(mqtt.UserProperty, mqtt.ReceiveMaximum)
	if got, want := renderProperties(without), `{reason-string="why" correlation-data="\x00\x01"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(ps) != 6 || ps[0].ID != mqtt.ReceiveMaximum || string(ps[5].Value) != "3" {
		t.Errorf("Without changed its receiver: %s", renderProperties(ps))
	}
	if got := ps.Without(mqtt.TopicAlias); &got[0] != &ps[0] {
		t.Error("Without copies though there is nothing to leave out")
	}
}

func TestPropertiesClone(t *testing.T) {
	ps := mqtt.Properties{mqtt.Num(mqtt.TopicAlias, 1), mqtt.Str(mqtt.ContentType, "text"), mqtt.Bin(mqtt.CorrelationData, nil), mqtt.User("k", "")}
	c := ps.Clone()
	if renderProperties(c) != renderProperties(ps) {
		t.Fatalf("got %s, want %s", renderProperties(c), renderProperties(ps))
	}
	ps[1].Value[0], ps[3].Key[0] = 'X', 'X'
	ps[0].Number = 9
	if got, want := renderProperties(c), `{topic-alias=1 content-type="text" correlation-data="" user-property="k":""}`; got != want {
		t.Errorf("the copy changed with the original: %s", got)
	}
	if c[0].Value != nil || c[0].Key != nil {
		t.Errorf("a number has a value: %v", c[0])
	}
	// An append to one value must not reach the next.
	_ = append(c[1].Value, "overwritten"...)
	if string(c[3].Key) != "k" {
		t.Errorf("the values of a copy overlap: %s", renderProperties(c))
	}
	if mqtt.Properties(nil).Clone() != nil || (mqtt.Properties{}).Clone() != nil {
		t.Error("a copy of nothing is something")
	}
}

func TestMaxNumber(t *testing.T) {
	largest := map[string]uint32{"bit": 1, "two": 0xffff, "four": 0xffffffff, "varint": 268435455}
	for _, row := range propertyRows(t) {
		want, isNumber := largest[row.encoding]
		if row.id.IsNumber() != isNumber || row.id.IsBinary() != (row.encoding == "binary") {
			t.Errorf("%s: IsNumber %t, IsBinary %t", row.name, row.id.IsNumber(), row.id.IsBinary())
		}
		if !isNumber {
			continue
		}
		if got := row.id.MaxNumber(); got != want {
			t.Errorf("%s: MaxNumber is %d, want %d", row.name, got, want)
		}
		p := &mqtt.Publish{Topic: []byte("t"), Properties: mqtt.Properties{mqtt.Num(row.id, want)}}
		if _, err := p.Append(nil, mqtt.V50); err != nil {
			t.Errorf("%s: the largest number: %v", row.name, err)
		}
		if want == 0xffffffff {
			continue
		}
		p.Properties[0].Number = want + 1
		_, err := p.Append(nil, mqtt.V50)
		if _, ok := errors.AsType[*mqtt.EncodeError](err); !ok {
			t.Errorf("%s: a number too large: error %v", row.name, err)
		}
	}
}
