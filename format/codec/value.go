package codec

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"

	"github.com/fxamacker/cbor/v2"

	"mqt/format"
)

// appendValue writes what a library decoded as JSON. Bytes are base64, numbers
// that JSON has not are strings, as protobuf's JSON has them; the keys of a map
// are in order.
func appendValue(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case uint64:
		return strconv.AppendUint(dst, v, 10), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case big.Int:
		return v.Append(dst, 10), nil
	case float64:
		return appendFloat(dst, v, 64), nil
	case string:
		return format.AppendQuoted(dst, v), nil
	case cbor.ByteString:
		return appendBase64(dst, []byte(v)), nil
	case cbor.SimpleValue:
		return append(strconv.AppendUint(append(dst, `{"simple":`...), uint64(v), 10), '}'), nil
	case []any:
		return appendArray(dst, v)
	case map[any]any:
		return appendMap(dst, v)
	case cbor.Tag:
		dst = strconv.AppendUint(append(dst, `{"tag":`...), v.Number, 10)
		dst, err := appendValue(append(dst, `,"value":`...), v.Content)
		return append(dst, '}'), err
	}
	return nil, fmt.Errorf("a value of type %T", v) // cannot be: the library makes no other
}

func appendArray(dst []byte, list []any) (_ []byte, err error) {
	dst = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendValue(dst, v); err != nil {
			return nil, err
		}
		if len(dst) > MaxOutput {
			return nil, ErrTooLarge
		}
	}
	return append(dst, ']'), nil
}

func appendMap(dst []byte, m map[any]any) (_ []byte, err error) {
	type member struct {
		key   string
		value any
	}
	members := make([]member, 0, len(m))
	for k, v := range m {
		key, err := keyText(k)
		if err != nil {
			return nil, err
		}
		members = append(members, member{key, v})
	}
	slices.SortFunc(members, func(a, b member) int { return cmp.Compare(a.key, b.key) })
	dst = append(dst, '{')
	for i, e := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendValue(append(format.AppendQuoted(dst, e.key), ':'), e.value); err != nil {
			return nil, err
		}
		if len(dst) > MaxOutput {
			return nil, ErrTooLarge
		}
	}
	return append(dst, '}'), nil
}

// keyText is a key as a string: JSON has no others. A number is its digits.
func keyText(k any) (string, error) {
	switch k := k.(type) {
	case string:
		return k, nil
	case cbor.ByteString:
		return base64.StdEncoding.EncodeToString([]byte(k)), nil
	}
	b, err := appendValue(nil, k)
	return string(b), err
}

func appendBase64(dst, b []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(dst, '"'), b), '"')
}

func appendFloat(dst []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(dst, `"-Infinity"`...)
	}
	form := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		form = 'e'
	}
	return strconv.AppendFloat(dst, v, form, -1, bits)
}
