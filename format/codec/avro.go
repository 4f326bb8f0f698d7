package codec

import (
	"bytes"

	"github.com/twmb/avro"
)

type avroCodec struct{ schema *avro.Schema }

func newAvro(file string, read ReadFile) (Codec, error) {
	text, err := read(file)
	if err != nil {
		return nil, err
	}
	schema, err := avro.Parse(string(text))
	if err != nil {
		return nil, err
	}
	return avroCodec{schema}, nil
}

// Decode tells the single-object encoding, which has the schema's fingerprint,
// by its marker from bare binary. Nested values are bounded by the library.
func (c avroCodec) Decode(_ string, payload []byte) ([]byte, error) {
	if len(payload) > MaxTree {
		return nil, ErrTooLarge
	}
	var v any
	var rest []byte
	var err error
	if bytes.HasPrefix(payload, []byte{0xc3, 0x01}) {
		rest, err = c.schema.DecodeSingleObject(payload, &v)
	} else {
		rest, err = c.schema.Decode(payload, &v)
	}
	switch {
	case err != nil:
		return nil, err
	case len(rest) > 0:
		return nil, ErrTrailing
	}
	return c.schema.EncodeJSON(v)
}

// Encode makes bare binary of JSON in the shape that Decode prints.
func (c avroCodec) Encode(payload []byte) ([]byte, error) {
	if err := checkTree(payload); err != nil {
		return nil, err
	}
	var v any
	if err := c.schema.DecodeJSON(payload, &v); err != nil {
		return nil, err
	}
	return c.schema.AppendEncode(nil, v)
}
