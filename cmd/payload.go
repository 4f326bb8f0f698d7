package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"mqt/format"
	"mqt/mqtt"
	"mqt/mqtt/topic"
)

// maxRecord is the longest line: more does not fit into a packet.
const maxRecord = 256 << 20

// source makes messages. It has one of: the payload of one message, or the
// records of a stream.
type source struct {
	payload  []byte
	in       io.Reader // nil: the payload
	delim    byte
	encoding format.Encoding
	json     bool
	old      bool         // before 5.0: there are no properties
	message  mqtt.Message // what all have in common
}

// source reads what -m, -f, -s and -n give, or prepares to read the records of
// -l and --json.
func (o *pubOptions) source(s *Stdio) (*source, error) {
	src := &source{encoding: o.encoding, delim: '\n', message: mqtt.Message{
		Topic: o.topic, QoS: o.qos, Retain: o.retain, Properties: o.connect.props.publish}}
	if o.nul {
		src.delim = 0
	}
	var err error
	switch {
	case o.file == "-":
		src.payload, err = io.ReadAll(s.In)
	case o.flag("file").given():
		src.payload, err = readFile(o.flag("file").typed, o.file)
	case o.stdin:
		if src.payload, err = io.ReadAll(s.In); err != nil {
			err = fmt.Errorf("stdin: %w", err)
		}
	case o.lines, o.json:
		src.in, src.json = s.In, o.json
		return src, nil
	default:
		src.payload = []byte(o.message)
	}
	if err == nil {
		src.payload, err = src.decode(src.payload)
	}
	return src, err
}

func (s *source) decode(text []byte) ([]byte, error) {
	payload, err := s.encoding.Decode(text)
	if err != nil {
		return nil, &usageError{text: plain(err)}
	}
	return payload, nil
}

// make turns a record into a message. nil means that there is none.
func (s *source) make(record []byte) (*mqtt.Message, error) {
	if s.json {
		if len(bytes.TrimSpace(record)) == 0 {
			return nil, nil
		}
		m, err := format.DecodeJSON(record)
		if err != nil {
			return nil, err
		}
		if err := topic.ValidateName(m.Topic); err != nil {
			return nil, err
		}
		if s.old && len(m.Properties) > 0 {
			return nil, errors.New("the message has properties, and the server speaks no MQTT 5 that could carry them")
		}
		return m.Message, nil
	}
	payload, err := s.decode(record)
	if err != nil {
		return nil, err
	}
	m := s.message
	m.Payload = payload
	return &m, nil
}

// records are some that were read together, in memory of their own, or the
// error that ends the input: io.EOF at its end.
type records struct {
	list [][]byte
	err  error
}

// read sends the records of the input until it ends, or until stop. The last
// one need not have a delimiter.
func (s *source) read(out chan<- records, stop <-chan struct{}) {
	buf := make([]byte, 0, 64<<10)
	for {
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		n, err := s.in.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		end := bytes.LastIndexByte(buf[len(buf)-n:], s.delim) + 1
		if end > 0 {
			end += len(buf) - n
		}
		r := records{list: split(bytes.Clone(buf[:end]), s.delim), err: err}
		buf = buf[:copy(buf, buf[end:])]
		if errors.Is(err, io.EOF) && len(buf) > 0 {
			r.list = append(r.list, bytes.Clone(buf))
		}
		if err == nil && len(buf) > maxRecord {
			r.err = fmt.Errorf("a line is longer than the %d bytes of the largest packet", maxRecord)
		}
		if len(r.list) == 0 && r.err == nil {
			continue
		}
		select {
		case out <- r:
		case <-stop:
			return
		}
		if r.err != nil {
			return
		}
	}
}

// split cuts b, which ends with a delimiter, at each.
func split(b []byte, delim byte) [][]byte {
	var list [][]byte
	for len(b) > 0 {
		i := bytes.IndexByte(b, delim)
		list = append(list, b[:i:i])
		b = b[i+1:]
	}
	return list
}
