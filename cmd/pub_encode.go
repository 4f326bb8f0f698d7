package cmd

import (
	cryptorand "crypto/rand"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"mqt/format/codec"
	"mqt/mqtt"
)

// encoder compiles --encode; nil: there is none. What -n publishes stays empty.
func (o *pubOptions) encoder() (*codec.Encoder, error) {
	if o.encode == "" || o.input == "null-message" {
		return nil, nil
	}
	files := schemaFiles{flag: o.flag("encode").typed}
	e, err := codec.ParseEncoder(o.encode, files.read)
	if err != nil {
		return nil, files.fault(err, "it is CODEC, such as cbor or 'gzip|json', in the words of sub --decode")
	}
	return e, nil
}

// encoded does to a message what --encode says.
func (s *source) encoded(m *mqtt.Message, err error) (*mqtt.Message, error) {
	if err != nil || m == nil || s.encode == nil {
		return m, err
	}
	m.Payload, err = s.encode.Encode(m.Payload)
	return m, err
}

func (o *pubOptions) readSize(s string) (err error) {
	if o.size, err = parseSize(s); err == nil && o.size > maxRecord {
		err = fmt.Errorf("it is at most the %d bytes of the largest packet", maxRecord)
	}
	return err
}

// randomPayload is what --size asks for, the same in each run with --seed.
func (o *pubOptions) randomPayload() []byte {
	b := make([]byte, o.size)
	if !o.flag("seed").given() {
		_, _ = cryptorand.Read(b) // never fails
		return b
	}
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], o.seed)
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return b
}
