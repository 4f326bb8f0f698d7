// Package codec decodes payloads: it finds the codec of a message by its topic
// and turns the payload into JSON, or, where the codec only unpacks, into the
// bytes that were packed. Encoder does the reverse.
//
//	codec.go      Table: which Topic Filter has which chain of codecs
//	encode.go     Encoder: a chain of codecs from its end to its beginning
//	spec.go       the language of --decode and --encode
//	json.go, cbor.go, msgpack.go, avro.go, protobuf.go, sparkplug.go
//	unpack.go     gzip, zlib, zstd, base64
//	value.go      Go values as JSON
//	tree.go       JSON as Go values
//
// Payloads come from strangers. What a step may make of one is bounded
// ([MaxOutput]), so is nesting ([MaxDepth]), and a payload that cannot be
// decoded is an error of that message alone.
package codec

import (
	"errors"
	"fmt"

	"mqt/format"
	"mqt/mqtt/topic"
)

// Bounds of what a payload may grow to.
const (
	// MaxOutput is the most that a step of a chain may make, in bytes.
	MaxOutput = 64 << 20
	// MaxTree is the largest input, in bytes, of codecs that build a tree of
	// it first, which takes many times the room: cbor, avro, protobuf, sparkplug.
	MaxTree = 16 << 20
	// MaxDepth is how deep values may nest.
	MaxDepth = 128
)

// What stopped a payload.
var (
	ErrTooLarge = errors.New("larger than may be decoded")
	ErrTooDeep  = errors.New("nested too deep")
	ErrTrailing = errors.New("more bytes behind the value")
)

// Codec is one step: it makes JSON of a payload, or unpacks it. It is safe for
// concurrent use.
type Codec interface {
	// Decode returns the decoded payload, which may share memory with payload.
	Decode(topic string, payload []byte) ([]byte, error)
}

// Error is a payload that a codec could not decode, or not make.
type Error struct {
	Codec string // its name
	Err   error
}

func (e *Error) Error() string { return fmt.Sprintf("codec: no %s: %v", e.Codec, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Table has the chains of codecs by Topic Filter. It is safe for concurrent
// use.
type Table struct {
	rules []rule
}

type rule struct {
	filter string // "" is every topic
	steps  []step
}

type step struct {
	name  string
	codec Codec
	json  bool
}

// Decode returns what the first matching chain makes of the payload, nil where
// no filter matches. An empty payload, which clears a retained message, is left
// alone unless the codec knows what it means. The Err of the result is an
// *Error.
func (t *Table) Decode(name string, payload []byte) *format.Decoded {
	for _, r := range t.rules {
		if r.filter == "" || topic.Match(r.filter, name) {
			d := r.decode(name, payload)
			if d.Err != nil && len(payload) == 0 {
				return nil
			}
			return d
		}
	}
	return nil
}

func (r *rule) decode(name string, payload []byte) *format.Decoded {
	out := &format.Decoded{Text: payload}
	for _, s := range r.steps {
		text, err := s.codec.Decode(name, out.Text)
		if err == nil && len(text) > MaxOutput {
			err = ErrTooLarge
		}
		if err != nil {
			return &format.Decoded{Err: &Error{s.name, err}}
		}
		out.Text, out.JSON = text, s.json
	}
	return out
}
