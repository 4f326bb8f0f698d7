package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync/atomic"

	"mqt/format"
	"mqt/format/codec"
	"mqt/mqtt"
	"mqt/mqtt/topic"
)

// maxRecord is the longest payload or line: more does not fit into a packet.
const maxRecord = 256 << 20

// source makes messages. It has one of: the payload of one message, or the
// records of a stream.
type source struct {
	payload  []byte
	in       io.Reader // nil: the payload
	delim    byte
	encoding format.Encoding
	json     bool
	old      bool           // before 5.0: there are no properties
	message  mqtt.Message   // what all have in common
	from     topicFrom      // nil: all have one topic
	fill     *filler        // nil: there are no templates
	verbatim bool           // there are none in the payload
	encode   *codec.Encoder // nil: the payload stays
	topic    string         // the last that was valid
	lent     []mqtt.Message
	ending   atomic.Bool // nothing more shall be read
}

// source reads what -m, -f, -s and -n give, or prepares to read the records of
// -l, --nul, --topic-from and --json.
func (o *pubOptions) source(s *Stdio) (*source, error) {
	src := &source{encoding: o.encoding, delim: '\n', json: o.input == "json", from: o.from, message: mqtt.Message{
		Topic: o.topic, QoS: o.qos, Retain: o.retain, Properties: o.connect.props.publish}}
	if o.nul {
		src.delim = 0
	}
	var err error
	if src.fill, err = o.filler(); err != nil {
		return nil, err
	}
	if src.encode, err = o.encoder(); err != nil {
		return nil, err
	}
	if o.streams() {
		src.in = s.In
		return src, nil
	}
	if src.payload, err = o.payload(s); err != nil {
		return nil, err
	}
	return src, src.prepare(o.input == "size")
}

// payload reads or makes the payload of a message that is no stream.
func (o *pubOptions) payload(s *Stdio) ([]byte, error) {
	switch {
	case o.input == "stdin-file", o.input == "file" && o.file == "-":
		return readPayload("stdin", s.In)
	case o.input == "file":
		return readPayloadFile(o.flag("file").typed, o.file)
	case o.input == "message":
		return []byte(o.message), nil
	case o.input == "size":
		return o.randomPayload(), nil
	}
	return nil, nil
}

// prepare does to the payload what need not be done for each message.
func (s *source) prepare(random bool) (err error) {
	switch {
	case random:
		s.verbatim, s.encoding = true, format.Raw
	case s.fill != nil:
		_, err = s.fill.parser.Parse(string(s.payload))
	default:
		s.payload, err = s.encoding.Decode(s.payload)
	}
	if err != nil {
		return &usageError{text: plain(err)}
	}
	if s.encode != nil && (s.fill == nil || s.verbatim) {
		if s.payload, err = s.encode.Encode(s.payload); err != nil {
			return &exitError{code: exitFailed, err: errors.New("the payload: " + oneLine(plain(err)))}
		}
		s.encode = nil
	}
	return nil
}

// readPayloadFile reads a file that may be endless, such as a device.
func readPayloadFile(flag, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err == nil {
		defer f.Close()
		var b []byte
		if b, err = readPayload(flag+" "+path, f); err == nil {
			return b, nil
		}
	}
	if p, ok := errors.AsType[*os.PathError](err); ok {
		err = fmt.Errorf("%s: %s: %w", flag, path, p.Err)
	}
	return nil, err
}

// readPayload reads all of r, but not more than a packet can hold.
func readPayload(name string, r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxRecord+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case len(b) > maxRecord:
		return nil, fmt.Errorf("%s: more than the %d bytes of the largest packet", name, maxRecord)
	}
	return b, nil
}

// one returns the next message of those that are no stream.
func (s *source) one() (*mqtt.Message, error) {
	if s.fill != nil {
		return s.make(s.payload)
	}
	m := s.borrow()
	*m = s.message
	m.Payload = s.payload
	return m, nil
}

// borrow makes messages many at a time, which costs less.
func (s *source) borrow() *mqtt.Message {
	if len(s.lent) == 0 {
		s.lent = make([]mqtt.Message, 64)
	}
	m := &s.lent[0]
	s.lent = s.lent[1:]
	return m
}

// make turns a record into a message. nil means that there is none.
func (s *source) make(record []byte) (*mqtt.Message, error) {
	if s.json {
		return s.encoded(s.decodeJSON(record))
	}
	return s.encoded(s.raw(record))
}

// raw makes a message of a record that is a payload, perhaps with a topic.
func (s *source) raw(record []byte) (*mqtt.Message, error) {
	name := s.message.Topic
	var err error
	if s.from != nil {
		var found string
		if found, record, err = s.from(record); err != nil {
			return nil, err
		}
		if s.fill != nil {
			s.fill.next(found)
		}
		if name == "" {
			name = found
		}
	} else if s.fill != nil {
		s.fill.next("")
	}
	if s.fill != nil {
		filled, err := s.fill.fill(&s.fill.topic, []byte(name))
		if err != nil {
			return nil, err
		}
		name = string(filled)
		if !s.verbatim {
			record, err = s.fill.fill(&s.fill.payload, record)
		}
		if err != nil {
			return nil, err
		}
	}
	if record, err = s.encoding.Decode(record); err != nil {
		return nil, err
	}
	if name != s.topic {
		if err := topic.ValidateName(name); err != nil {
			return nil, err
		}
		s.topic = name
	}
	m := s.borrow()
	*m = s.message
	m.Topic, m.Payload = s.topic, record
	return m, nil
}

func (s *source) decodeJSON(record []byte) (*mqtt.Message, error) {
	if len(bytes.TrimSpace(record)) == 0 {
		return nil, nil
	}
	r, err := format.DecodeJSON(s.defaults(record))
	if err != nil {
		return nil, err
	}
	if err := topic.ValidateName(r.Topic); err != nil {
		return nil, err
	}
	if s.old && len(r.Properties) > 0 {
		return nil, errors.New("the message has properties, and the server speaks no MQTT 5 that could carry them")
	}
	return r.Message, nil
}

// defaults adds what -t, -q and -r say to a JSON object that does not say it.
func (s *source) defaults(record []byte) []byte {
	if s.message.Topic == "" && s.message.QoS == 0 && !s.message.Retain {
		return record
	}
	object := bytes.TrimSpace(record)
	var has struct{ Topic, QoS, Retain json.RawMessage }
	if json.Unmarshal(object, &has) != nil || object[0] != '{' {
		return record // which DecodeJSON explains
	}
	out := []byte{'{'}
	add := func(key, value string) { out = append(append(out, strconv.Quote(key)+":"+value...), ',') }
	if has.Topic == nil && s.message.Topic != "" {
		text, _ := json.Marshal(s.message.Topic) // a string always can be
		add("topic", string(text))
	}
	if has.QoS == nil {
		add("qos", strconv.Itoa(int(s.message.QoS)))
	}
	if has.Retain == nil {
		add("retain", strconv.FormatBool(s.message.Retain))
	}
	rest := bytes.TrimSpace(object[1:])
	if rest[0] == '}' {
		out = bytes.TrimSuffix(out, []byte{','})
	}
	return append(out, rest...)
}

// records are some that were read together, in memory of their own, or the
// error that ends the input: io.EOF at its end.
type records struct {
	list [][]byte
	err  error
}

// chunk is how much is read at once; a longer record makes it grow for a while.
const chunk = 64 << 10

// read sends the records of the input until it ends, or until stop. The last
// one need not have a delimiter.
func (s *source) read(out chan<- records, stop <-chan struct{}) {
	buf := make([]byte, 0, chunk)
	for !s.ending.Load() {
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, min(2*cap(buf), maxRecord+chunk)), buf...)
		}
		n, err := s.in.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		end := bytes.LastIndexByte(buf[len(buf)-n:], s.delim) + 1
		if end > 0 {
			end += len(buf) - n
		}
		r := records{err: err}
		r.list, buf = cut(buf, end, s.delim)
		if errors.Is(err, io.EOF) && len(buf) > 0 {
			r.list = append(r.list, buf)
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

// cut takes the records in buf[:end] out of it, and returns them in memory of
// their own, and what is left: much is not copied, little does not hold the
// memory for more.
func cut(buf []byte, end int, delim byte) (list [][]byte, rest []byte) {
	if end == 0 {
		return nil, buf
	}
	if end < cap(buf)/2 {
		list = split(bytes.Clone(buf[:end]), delim)
		return list, buf[:copy(buf, buf[end:])]
	}
	left := buf[end:]
	rest = append(make([]byte, 0, max(chunk, 2*len(left))), left...)
	return split(slices.Clip(buf[:end]), delim), rest
}

// split cuts b, which ends with a delimiter, at each.
func split(b []byte, delim byte) [][]byte {
	list := make([][]byte, 0, bytes.Count(b, []byte{delim}))
	for len(b) > 0 {
		i := bytes.IndexByte(b, delim)
		list = append(list, b[:i:i])
		b = b[i+1:]
	}
	return list
}
