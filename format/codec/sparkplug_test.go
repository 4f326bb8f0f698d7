package codec

import (
	"encoding/binary"
	"math"
	"strconv"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// pb builds Protocol Buffers by hand, so that the schema is tested too.
type pb []byte

func (p pb) num(field protowire.Number, v uint64) pb {
	return protowire.AppendVarint(protowire.AppendTag(p, field, protowire.VarintType), v)
}

func (p pb) bytes(field protowire.Number, v []byte) pb {
	return protowire.AppendBytes(protowire.AppendTag(p, field, protowire.BytesType), v)
}

func (p pb) text(field protowire.Number, v string) pb { return p.bytes(field, []byte(v)) }

func (p pb) float(field protowire.Number, v float32) pb {
	return protowire.AppendFixed32(protowire.AppendTag(p, field, protowire.Fixed32Type), math.Float32bits(v))
}

func (p pb) double(field protowire.Number, v float64) pb {
	return protowire.AppendFixed64(protowire.AppendTag(p, field, protowire.Fixed64Type), math.Float64bits(v))
}

func metrics(list ...pb) pb {
	p := pb{}.num(1, 1700000000000)
	for _, m := range list {
		p = p.bytes(2, m)
	}
	return p.num(3, 7)
}

func TestSparkplug(t *testing.T) {
	const head, tail = `{"timestamp":1700000000000,"metrics":[`, `],"seq":7}`
	minus := func(n int64) uint64 { return uint64(n) }
	le := func(size int, n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n)[:size] }
	tests := []struct {
		name, topic string
		payload     pb
		want        string
	}{
		{"unknown alias", "spBv1.0/g/NDATA/n", metrics(pb{}.num(2, 9).num(10, 5)), `{"alias":9,"value":5}`},
		{"birth", "spBv1.0/g/NBIRTH/n", metrics(
			pb{}.text(1, "bdSeq").num(4, 8).num(11, 3),
			pb{}.text(1, "temp").num(2, 1).num(3, 5).num(4, 3).num(10, uint64(uint32(minus(-40)))),
			pb{}.text(1, "name").num(4, 12).text(15, "a\x1b")),
			`{"name":"bdSeq","datatype":"UInt64","value":3},{"name":"temp","alias":1,"timestamp":5,"datatype":"Int32","value":-40},` +
				`{"name":"name","datatype":"String","value":"a\u001b"}`},
		{"alias", "spBv1.0/g/NDATA/n", metrics(pb{}.num(2, 1).num(10, uint64(uint32(minus(-1))))),
			`{"name":"temp","alias":1,"datatype":"Int32","value":-1}`},
		{"type by name", "spBv1.0/g/NDATA/n", metrics(pb{}.text(1, "bdSeq").num(11, 4)), `{"name":"bdSeq","datatype":"UInt64","value":4}`},
		{"device", "spBv1.0/g/DBIRTH/n/d", metrics(pb{}.text(1, "on").num(2, 2).num(4, 11).num(14, 1)),
			`{"name":"on","alias":2,"datatype":"Boolean","value":true}`},
		{"device alias", "spBv1.0/g/DDATA/n/d", metrics(pb{}.num(2, 2).num(7, 1), pb{}.num(2, 1).num(10, 1)),
			`{"name":"on","alias":2,"datatype":"Boolean","is_null":true,"value":null},{"name":"temp","alias":1,"datatype":"Int32","value":1}`},
		{"other node", "spBv1.0/g/NDATA/m", metrics(pb{}.num(2, 1).num(10, 1)), `{"alias":1,"value":1}`},
		{"reborn", "spBv1.0/g/NBIRTH/n", metrics(pb{}.text(1, "new").num(2, 3).num(4, 9).float(12, 0.1)),
			`{"name":"new","alias":3,"datatype":"Float","value":0.1}`},
		{"forgotten", "spBv1.0/g/NDATA/n", metrics(pb{}.num(2, 1).num(10, 1)), `{"alias":1,"value":1}`},
		{"integers", "t", metrics(
			pb{}.num(4, 1).num(10, 0xff), pb{}.num(4, 2).num(10, 0x8000), pb{}.num(4, 4).num(11, minus(-2)), pb{}.num(4, 5).num(10, 255),
			pb{}.num(4, 13).num(11, 1700000000001), pb{}.num(4, 99).num(10, 1)),
			`{"datatype":"Int8","value":-1},{"datatype":"Int16","value":-32768},{"datatype":"Int64","value":-2},{"datatype":"UInt8","value":255},` +
				`{"datatype":"DateTime","value":1700000000001},{"datatype":"99","value":1}`},
		{"doubles", "t", metrics(pb{}.num(4, 10).double(13, math.NaN()), pb{}.num(4, 17).bytes(16, []byte{0xff})),
			`{"datatype":"Double","value":"NaN"},{"datatype":"Bytes","value":"/w=="}`},
		{"arrays", "t", metrics(
			pb{}.num(4, 22).bytes(16, []byte{0xff, 1}), pb{}.num(4, 24).bytes(16, le(4, minus(-5))), pb{}.num(4, 29).bytes(16, le(8, math.MaxUint64)),
			pb{}.num(4, 30).bytes(16, le(4, uint64(math.Float32bits(1.5)))), pb{}.num(4, 32).bytes(16, []byte{9, 0, 0, 0, 0xa0, 0x80}),
			pb{}.num(4, 33).bytes(16, []byte("ab\x00\x00c\x00")), pb{}.num(4, 31).bytes(16, []byte{1})),
			`{"datatype":"Int8Array","value":[-1,1]},{"datatype":"Int32Array","value":[-5]},{"datatype":"UInt64Array","value":[18446744073709551615]},` +
				`{"datatype":"FloatArray","value":[1.5]},{"datatype":"BooleanArray","value":[true,false,true,false,false,false,false,false,true]},` +
				`{"datatype":"StringArray","value":["ab","","c"]},{"datatype":"DoubleArray","value":"AQ=="}`},
		{"booleans that are not there", "t", metrics(pb{}.num(4, 32).bytes(16, []byte{0xff, 0xff, 0xff, 0xff})), `{"datatype":"BooleanArray","value":"/////w=="}`},
		{"properties", "t", metrics(pb{}.text(1, "p").bytes(8, pb{}.num(1, 0).text(8, "d")).
			bytes(9, pb{}.text(1, "quality").text(1, "more").bytes(2, pb{}.num(1, 3).num(3, 192)).
				bytes(2, pb{}.num(1, 21).bytes(10, pb{}.bytes(1, pb{}.text(1, "x").bytes(2, pb{}.num(1, 12).text(8, "y"))))))),
			`{"name":"p","metadata":{"is_multi_part":false,"description":"d"},"properties":{"quality":192,"more":[{"x":"y"}]},"value":null}`},
		{"data set", "t", metrics(pb{}.num(4, 16).bytes(17, pb{}.num(1, 2).text(2, "a").text(2, "b").num(3, 1).num(3, 12).
			bytes(4, pb{}.bytes(1, pb{}.num(1, 0xff)).bytes(1, pb{}.text(6, "x"))).bytes(4, pb{}.bytes(1, pb{})))),
			`{"datatype":"DataSet","value":{"columns":["a","b"],"types":["Int8","String"],"rows":[[-1,"x"],[null]]}}`},
		{"template", "t", metrics(pb{}.num(4, 19).bytes(18, pb{}.text(1, "v1").bytes(2, pb{}.text(1, "m").num(4, 11).num(14, 0)).
			bytes(3, pb{}.text(1, "q").num(2, 1).num(3, 0xfe)).text(4, "ref").num(5, 0))),
			`{"datatype":"Template","value":{"version":"v1","metrics":[{"name":"m","datatype":"Boolean","value":false}],` +
				`"parameters":[{"name":"q","type":"Int8","value":-2}],"template_ref":"ref","is_definition":false}}`},
	}
	table := mustParse(t, "=sparkplug")
	for _, tt := range tests {
		d := table.Decode(tt.topic, tt.payload)
		if want := head + tt.want + tail; d.Err != nil || string(d.Text) != want {
			t.Errorf("%s:\n got %s %v\nwant %s", tt.name, d.Text, d.Err, want)
		}
	}
	if d := table.Decode("spBv1.0/STATE/host", []byte(`{"online":true}`)); d.Err != nil || string(d.Text) != `{"online":true}` {
		t.Errorf("STATE: %s %v", d.Text, d.Err)
	}
}

// TestSparkplugBound: births of however many nodes do not grow for ever.
func TestSparkplugBound(t *testing.T) {
	codec, err := newSparkplug("", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := codec.(*sparkplugCodec)
	c.most = 1000
	var many pb
	for i := range c.most / 4 {
		many = many.bytes(2, pb{}.text(1, strconv.Itoa(i)).num(2, uint64(i)))
	}
	for i := range 4 {
		if _, err := c.Decode("spBv1.0/g/NBIRTH/"+strconv.Itoa(i), many); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 100 {
		if _, err := c.Decode("spBv1.0/g/NBIRTH/none"+strconv.Itoa(i), metrics()); err != nil {
			t.Fatal(err)
		}
	}
	sum := 0
	for _, b := range c.nodes {
		sum += len(b.aliases) + len(b.names)
	}
	if sum != c.known || sum > c.most+1 || len(c.nodes) > 4 {
		t.Errorf("%d metrics of %d nodes are remembered, counted are %d", sum, len(c.nodes), c.known)
	}
	for i := range 4 {
		if _, err := c.Decode("spBv1.0/g/NBIRTH/"+strconv.Itoa(i), metrics()); err != nil {
			t.Fatal(err)
		}
	}
	if c.known != 0 || len(c.nodes) != 0 {
		t.Errorf("%d metrics of %d nodes are left", c.known, len(c.nodes))
	}
}
