package cmd

import (
	"errors"
	"fmt"

	"mqt/format"
	"mqt/format/codec"
)

// decoder is --decode. A payload that it cannot decode is told once for each
// topic, and counted.
type decoder struct {
	table  *codec.Table
	s      *Stdio
	told   map[string]bool
	failed int
}

// maxTold is how many topics are named that were not decoded.
const maxTold = 20

// decoder compiles --decode, behind it the codec that --output names for all
// that it leaves; nil: there is none.
func (o *subOptions) decoder(s *Stdio) (*decoder, error) {
	specs := o.decode
	if o.outputCodec() {
		specs = append(specs[:len(specs):len(specs)], "="+o.output)
	}
	if len(specs) == 0 {
		return nil, nil
	}
	files := schemaFiles{flag: o.flag("decode").typed}
	table, err := codec.Parse(specs, files.read)
	if err != nil {
		return nil, files.fault(err, "it is FILTER=CODEC, such as 'sensors/#=gzip|json' or =cbor for all topics")
	}
	return &decoder{table: table, s: s, told: make(map[string]bool)}, nil
}

// schemaFiles are those that a specification of codecs names.
type schemaFiles struct {
	flag   string
	unread []error
}

func (f *schemaFiles) read(path string) ([]byte, error) {
	text, err := readFile(f.flag, path)
	if err != nil {
		f.unread = append(f.unread, err)
	}
	return text, err
}

// fault tells a file that cannot be read from a mistake of usage. Not all of
// unread are one: the compiler of Protocol Buffers asks for files that it has
// itself.
func (f *schemaFiles) fault(err error, hint string) error {
	for _, e := range f.unread {
		if errors.Is(err, e) {
			return e
		}
	}
	return &usageError{text: f.flag + " " + oneLine(plain(err)), hint: hint}
}

// decode puts into m what its codec makes of the payload.
func (d *decoder) decode(m *format.Received) {
	if d == nil {
		return
	}
	m.Decoded = d.table.Decode(m.Topic, m.Payload)
	if m.Decoded == nil || m.Decoded.Err == nil {
		return
	}
	d.failed++
	if len(d.told) >= maxTold || d.told[m.Topic] {
		return
	}
	d.told[m.Topic] = true
	fmt.Fprintf(d.s.Err, "mqt sub: %s: %s; more of this topic are only counted\n",
		format.AppendEscaped(nil, m.Topic), format.AppendEscaped(nil, shorten(oneLine(plain(m.Decoded.Err)))))
	if len(d.told) == maxTold {
		fmt.Fprintln(d.s.Err, "mqt sub: other topics that cannot be decoded are only counted")
	}
}

// sum tells how many payloads were not decoded, if that was not said.
func (d *decoder) sum() {
	if d != nil && d.failed > len(d.told) {
		fmt.Fprintf(d.s.Err, "mqt sub: %d payloads were not decoded\n", d.failed)
	}
}
