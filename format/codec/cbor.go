package codec

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

type cborCodec struct {
	mode   cbor.DecMode
	scalar cbor.EncMode
}

func newCBOR(string, ReadFile) (Codec, error) {
	mode, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:  MaxDepth,
		MaxArrayElements: MaxTree,
		MaxMapPairs:      MaxTree,
		TimeTagToAny:     cbor.TimeTagToRFC3339Nano,
		// As a string, so that it can be the key of a map.
		DefaultByteStringType: reflect.TypeFor[cbor.ByteString](),
	}.DecMode()
	if err != nil {
		return nil, err
	}
	scalar, err := cbor.EncOptions{ShortestFloat: cbor.ShortestFloat16, BigIntConvert: cbor.BigIntConvertShortest}.EncMode()
	return cborCodec{mode, scalar}, err
}

// Decode prints maps by their keys in order.
func (c cborCodec) Decode(_ string, payload []byte) ([]byte, error) {
	if len(payload) > MaxTree {
		return nil, ErrTooLarge
	}
	var v any
	if err := c.mode.Unmarshal(payload, &v); err != nil {
		return nil, err
	}
	return appendValue(nil, v)
}

// Encode keeps the order of keys. Numbers take the shortest form that holds
// them, those without a fraction or exponent an integer of any size.
func (c cborCodec) Encode(payload []byte) ([]byte, error) {
	v, err := parseTree(payload)
	if err != nil {
		return nil, err
	}
	return c.append(nil, v)
}

// The major types of RFC 8949, section 3.1, that have values within.
const (
	cborArray = 4
	cborMap   = 5
)

func (c cborCodec) append(dst []byte, v any) (_ []byte, err error) {
	switch v := v.(type) {
	case []any:
		dst = appendCBORHead(dst, cborArray, len(v))
		for i := 0; err == nil && i < len(v); i++ {
			dst, err = c.append(dst, v[i])
		}
		return dst, err
	case object:
		dst = appendCBORHead(dst, cborMap, len(v))
		for i := 0; err == nil && i < len(v); i++ {
			if dst, err = c.append(dst, v[i].key); err == nil {
				dst, err = c.append(dst, v[i].value)
			}
		}
		return dst, err
	case json.Number:
		n, err := cborNumber(v.String())
		if err != nil {
			return nil, err
		}
		b, err := c.scalar.Marshal(n)
		return append(dst, b...), err
	}
	b, err := c.scalar.Marshal(v)
	return append(dst, b...), err
}

// maxDigits bounds the time that an integer takes.
const maxDigits = 1024

func cborNumber(s string) (any, error) {
	if isFloat(s) {
		return readFloat(s)
	}
	n, ok := new(big.Int).SetString(s[:min(len(s), maxDigits)], 10)
	if !ok || len(s) > maxDigits {
		return nil, fmt.Errorf("%.20s... has more than %d digits", s, maxDigits)
	}
	return n, nil
}

// appendCBORHead is for n up to 32 bits, which MaxTree sees to.
func appendCBORHead(dst []byte, major byte, n int) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n < 1<<8:
		return append(dst, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
}
