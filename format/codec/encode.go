package codec

import (
	"slices"
	"strings"
)

// encoder is a codec that can make what it decodes.
type encoder interface {
	Encode(payload []byte) ([]byte, error)
}

// Encoder makes payloads that a Table with the same chain of codecs decodes. It
// is safe for concurrent use.
type Encoder struct {
	steps []packing // in the order of their work
}

type packing struct {
	name  string
	codec encoder
}

// ParseEncoder compiles the chain of one specification
//
//	[=]CODEC[:ARGS][|CODEC[:ARGS]]...
//
// in the language of Parse, and thus from the outermost codec to the innermost:
// gzip|cbor makes CBOR of JSON, and packs that. The error is a *SpecError, also
// for a codec that only decodes: sparkplug.
func ParseEncoder(spec string, read ReadFile) (*Encoder, error) {
	chain := strings.TrimPrefix(spec, "=")
	if k, _ := named(chain); k == nil {
		return nil, &SpecError{Spec: spec, Text: "is no CODEC; they are " + strings.Join(encoders(), ", ")}
	}
	steps, err := parseChain(spec, chain, read)
	if err != nil {
		return nil, err
	}
	e := &Encoder{}
	for _, s := range slices.Backward(steps) {
		c, ok := s.codec.(encoder)
		if !ok {
			return nil, &SpecError{Spec: spec, Text: s.name + " can only be decoded, not made"}
		}
		e.steps = append(e.steps, packing{s.name, c})
	}
	return e, nil
}

// encoders are the names of the codecs that do more than to decode.
func encoders() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return name == "sparkplug" })
}

// Encode makes the payload of JSON, or packs it. The result may share memory
// with payload. The error is an *Error.
func (e *Encoder) Encode(payload []byte) ([]byte, error) {
	for _, s := range e.steps {
		if len(payload) > MaxOutput { // Decode would not unpack it
			return nil, &Error{s.name, ErrTooLarge}
		}
		out, err := s.codec.Encode(payload)
		if err != nil {
			return nil, &Error{s.name, err}
		}
		payload = out
	}
	return payload, nil
}
