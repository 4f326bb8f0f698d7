package codec

import (
	_ "embed"
	"io/fs"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"mqt/format"
)

// sparkplugCodec decodes Sparkplug B, topics spBv1.0/GROUP/TYPE/NODE[/DEVICE].
// A DATA message names a metric by an alias that the BIRTH of its node gave it,
// and leaves out its type: both are put in again where the BIRTH was seen.
type sparkplugCodec struct {
	payload protoreflect.MessageDescriptor
	types   *dynamicpb.Types

	mu    sync.Mutex
	nodes map[string]*births // by GROUP/NODE
	known int                // metrics in nodes
	most  int                // maxBirths
}

// births are the metrics that one edge node has announced.
type births struct {
	aliases map[uint64]birth // unique among all devices of the node
	names   map[string]dataType
}

type birth struct {
	name string
	kind dataType
}

// maxBirths bounds the metrics that are remembered; those of later nodes are
// printed as they come.
const maxBirths = 1 << 18

//go:embed sparkplug.proto
var sparkplugProto []byte

const sparkplugFile = "sparkplug.proto"

func readSparkplug(path string) ([]byte, error) {
	if path != sparkplugFile { // the compiler asks for more
		return nil, fs.ErrNotExist
	}
	return sparkplugProto, nil
}

func newSparkplug(string, ReadFile) (Codec, error) {
	files, main, err := compile(sparkplugFile, readSparkplug)
	if err != nil {
		return nil, err
	}
	payload, err := findMessage(files, main, "Payload")
	return &sparkplugCodec{payload: payload, types: dynamicpb.NewTypes(files), nodes: make(map[string]*births), most: maxBirths}, err
}

// Decode prints the names of the specification. STATE messages are JSON.
func (c *sparkplugCodec) Decode(topic string, payload []byte) ([]byte, error) {
	levels := strings.Split(topic, "/")
	if len(levels) == 3 && levels[1] == "STATE" {
		return jsonCodec{}.Decode(topic, payload)
	}
	m, err := unmarshal(c.payload, c.types, payload)
	if err != nil {
		return nil, err
	}
	w := sparkplugWriter{}
	if len(levels) >= 4 {
		c.mu.Lock()
		defer c.mu.Unlock()
		node := levels[1] + "/" + levels[3]
		w.device = strings.Join(levels[4:], "/")
		switch levels[2] {
		case "NBIRTH":
			c.forget(node)
			c.remember(node, w.device, m)
		case "DBIRTH":
			c.remember(node, w.device, m)
		}
		w.births = c.nodes[node]
	}
	return w.message(nil, m), nil
}

func (c *sparkplugCodec) forget(node string) {
	if b := c.nodes[node]; b != nil {
		c.known -= len(b.aliases) + len(b.names)
		delete(c.nodes, node)
	}
}

func (c *sparkplugCodec) remember(node, device string, m protoreflect.Message) {
	b := c.nodes[node]
	if b == nil {
		b = &births{aliases: make(map[uint64]birth), names: make(map[string]dataType)}
		c.nodes[node] = b
	}
	before := len(b.aliases) + len(b.names)
	list := m.Get(field(m, "metrics")).List()
	for i := range list.Len() {
		metric := list.Get(i).Message()
		if c.known+len(b.aliases)+len(b.names)-before >= c.most {
			break
		}
		name, kind := metric.Get(field(metric, "name")).String(), dataType(metric.Get(field(metric, "datatype")).Uint())
		if alias := field(metric, "alias"); metric.Has(alias) {
			b.aliases[metric.Get(alias).Uint()] = birth{name, kind}
		}
		b.names[device+"\x00"+name] = kind
	}
	c.known += len(b.aliases) + len(b.names) - before
	if len(b.names) == 0 { // nothing to remember a node for
		delete(c.nodes, node)
	}
}

func field(m protoreflect.Message, name protoreflect.Name) protoreflect.FieldDescriptor {
	return m.Descriptor().Fields().ByName(name)
}

// sparkplugWriter prints one payload. Its depth is bounded by the decoding.
type sparkplugWriter struct {
	births *births // nil: none
	device string
}

func (w sparkplugWriter) message(dst []byte, m protoreflect.Message) []byte {
	kind := kindOf(m)
	switch m.Descriptor().Name() {
	case "PropertySet":
		return w.propertySet(dst, m)
	case "PropertySetList":
		return w.list(dst, m.Get(field(m, "propertyset")).List())
	case "Row":
		return w.list(dst, m.Get(field(m, "elements")).List())
	case "Cell", "PropertyValue":
		return w.value(dst, m, kind)
	case "DataSet":
		return w.dataSet(dst, m)
	case "Metric":
		b := w.birth(m)
		return w.object(dst, m, b.name, b.kind)
	case "Parameter":
		return w.object(dst, m, m.Get(field(m, "name")).String(), kind)
	}
	return w.object(dst, m, "", kind)
}

// birth is a metric's name and type, its own or those that were announced.
func (w sparkplugWriter) birth(m protoreflect.Message) birth {
	b := birth{m.Get(field(m, "name")).String(), kindOf(m)}
	if w.births == nil {
		return b
	}
	var was birth
	if b.name == "" {
		was = w.births.aliases[m.Get(field(m, "alias")).Uint()]
		b.name = was.name
	} else {
		was.kind = w.births.names[w.device+"\x00"+b.name]
	}
	if b.kind == 0 {
		b.kind = was.kind
	}
	return b
}

// object prints the fields in their order, and the one value of a oneof last.
func (w sparkplugWriter) object(dst []byte, m protoreflect.Message, name string, kind dataType) []byte {
	dst = append(dst, '{')
	key := func(name string) {
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(format.AppendQuoted(dst, name), ':')
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.ContainingOneof() != nil:
		case f.Name() == "name":
			if name != "" {
				key("name")
				dst = format.AppendQuoted(dst, name)
			}
		case f.Name() == "datatype" || f.Name() == "type":
			if kind != 0 {
				key(string(f.Name()))
				dst = format.AppendQuoted(dst, kind.String())
			}
		case !m.Has(f):
		case f.IsList():
			key(string(f.Name()))
			dst = w.list(dst, m.Get(f).List())
		default:
			key(string(f.Name()))
			dst = w.scalar(dst, f, m.Get(f))
		}
	}
	if m.Descriptor().Oneofs().Len() > 0 {
		key("value")
		dst = w.value(dst, m, kind)
	}
	return append(dst, '}')
}

func (w sparkplugWriter) list(dst []byte, l protoreflect.List) []byte {
	dst = append(dst, '[')
	for i := range l.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = w.message(dst, l.Get(i).Message())
	}
	return append(dst, ']')
}

// propertySet prints an object of key and value.
func (w sparkplugWriter) propertySet(dst []byte, m protoreflect.Message) []byte {
	keys, values := m.Get(field(m, "keys")).List(), m.Get(field(m, "values")).List()
	dst = append(dst, '{')
	for i := range min(keys.Len(), values.Len()) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(format.AppendQuoted(dst, keys.Get(i).String()), ':')
		dst = w.message(dst, values.Get(i).Message())
	}
	return append(dst, '}')
}

// dataSet prints each row as an array, whose values have the types of columns.
func (w sparkplugWriter) dataSet(dst []byte, m protoreflect.Message) []byte {
	columns, types, rows := m.Get(field(m, "columns")).List(), m.Get(field(m, "types")).List(), m.Get(field(m, "rows")).List()
	comma := func(i int) {
		if i > 0 {
			dst = append(dst, ',')
		}
	}
	dst = append(dst, `{"columns":[`...)
	for i := range columns.Len() {
		comma(i)
		dst = format.AppendQuoted(dst, columns.Get(i).String())
	}
	dst = append(dst, `],"types":[`...)
	for i := range types.Len() {
		comma(i)
		dst = format.AppendQuoted(dst, dataType(types.Get(i).Uint()).String())
	}
	dst = append(dst, `],"rows":[`...)
	for i := range rows.Len() {
		comma(i)
		row := rows.Get(i).Message()
		cells := row.Get(field(row, "elements")).List()
		dst = append(dst, '[')
		for j := range cells.Len() {
			comma(j)
			kind := dataType(0)
			if j < types.Len() {
				kind = dataType(types.Get(j).Uint())
			}
			dst = w.value(dst, cells.Get(j).Message(), kind)
		}
		dst = append(dst, ']')
	}
	return append(dst, `]}`...)
}

// value prints what the oneof holds, read as the type says.
func (w sparkplugWriter) value(dst []byte, m protoreflect.Message, kind dataType) []byte {
	f := m.WhichOneof(m.Descriptor().Oneofs().Get(0))
	if null := field(m, "is_null"); f == nil || null != nil && m.Get(null).Bool() {
		return append(dst, "null"...)
	}
	v := m.Get(f)
	switch f.Kind() {
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return kind.appendInteger(dst, v.Uint())
	case protoreflect.BytesKind:
		return kind.appendBytes(dst, v.Bytes())
	}
	return w.scalar(dst, f, v)
}

func (w sparkplugWriter) scalar(dst []byte, f protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return strconv.AppendBool(dst, v.Bool())
	case protoreflect.StringKind:
		return format.AppendQuoted(dst, v.String())
	case protoreflect.BytesKind:
		return appendBase64(dst, v.Bytes())
	case protoreflect.FloatKind:
		return appendFloat(dst, v.Float(), 32)
	case protoreflect.DoubleKind:
		return appendFloat(dst, v.Float(), 64)
	case protoreflect.MessageKind:
		return w.message(dst, v.Message())
	}
	return strconv.AppendUint(dst, v.Uint(), 10)
}

// kindOf is the type that a metric, parameter or property says it has.
func kindOf(m protoreflect.Message) dataType {
	for _, name := range []protoreflect.Name{"datatype", "type"} {
		if f := field(m, name); f != nil {
			return dataType(m.Get(f).Uint())
		}
	}
	return 0
}
