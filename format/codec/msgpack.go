package codec

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tinylib/msgp/msgp"

	"mqt/format"
)

// msgpackCodec writes JSON while it reads, and keeps the order of maps.
type msgpackCodec struct{}

// Decode walks through one value that must be the whole payload.
func (msgpackCodec) Decode(_ string, payload []byte) ([]byte, error) {
	out, rest, err := appendMsgpack(nil, payload, MaxDepth)
	switch {
	case errors.Is(err, msgp.ErrShortBytes):
		return nil, errors.New("cut short")
	case err == nil && len(rest) > 0:
		return nil, ErrTrailing
	}
	return out, err
}

// appendMsgpack returns what lies behind the value too.
func appendMsgpack(dst, b []byte, depth int) (out, rest []byte, err error) {
	if len(dst) > MaxOutput {
		return nil, nil, ErrTooLarge
	}
	if depth == 0 {
		return nil, nil, ErrTooDeep
	}
	switch t := msgp.NextType(b); t {
	case msgp.NilType:
		rest, err = msgp.ReadNilBytes(b)
		return append(dst, "null"...), rest, err
	case msgp.BoolType:
		v, rest, err := msgp.ReadBoolBytes(b)
		return strconv.AppendBool(dst, v), rest, err
	case msgp.IntType:
		v, rest, err := msgp.ReadInt64Bytes(b)
		return strconv.AppendInt(dst, v, 10), rest, err
	case msgp.UintType:
		v, rest, err := msgp.ReadUint64Bytes(b)
		return strconv.AppendUint(dst, v, 10), rest, err
	case msgp.Float32Type:
		v, rest, err := msgp.ReadFloat32Bytes(b)
		return appendFloat(dst, float64(v), 32), rest, err
	case msgp.Float64Type:
		v, rest, err := msgp.ReadFloat64Bytes(b)
		return appendFloat(dst, v, 64), rest, err
	case msgp.StrType:
		v, rest, err := msgp.ReadStringZC(b)
		return format.AppendQuoted(dst, v), rest, err
	case msgp.BinType:
		v, rest, err := msgp.ReadBytesZC(b)
		return appendBase64(dst, v), rest, err
	case msgp.ArrayType:
		return appendMsgpackArray(dst, b, depth)
	case msgp.MapType:
		return appendMsgpackMap(dst, b, depth)
	case msgp.InvalidType:
		if len(b) == 0 {
			return nil, nil, msgp.ErrShortBytes
		}
		return nil, nil, fmt.Errorf("byte 0x%02x begins no value", b[0])
	}
	return appendMsgpackExtension(dst, b)
}

func appendMsgpackArray(dst, b []byte, depth int) (out, rest []byte, err error) {
	n, rest, err := msgp.ReadArrayHeaderBytes(b)
	dst = append(dst, '[')
	for i := uint32(0); err == nil && i < n; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst, rest, err = appendMsgpack(dst, rest, depth-1)
	}
	return append(dst, ']'), rest, err
}

func appendMsgpackMap(dst, b []byte, depth int) (out, rest []byte, err error) {
	n, rest, err := msgp.ReadMapHeaderBytes(b)
	dst = append(dst, '{')
	for i := uint32(0); err == nil && i < n; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, rest, err = appendMsgpackKey(dst, rest, depth-1); err == nil {
			dst, rest, err = appendMsgpack(append(dst, ':'), rest, depth-1)
		}
	}
	return append(dst, '}'), rest, err
}

// appendMsgpackKey writes a key as a string: a number as its digits. A map is
// no key, for quoting a string that holds strings doubles it at each depth.
func appendMsgpackKey(dst, b []byte, depth int) (out, rest []byte, err error) {
	switch t := msgp.NextType(b); t {
	case msgp.StrType, msgp.BinType:
		return appendMsgpack(dst, b, depth)
	case msgp.ArrayType, msgp.MapType:
		return nil, nil, fmt.Errorf("a key that is itself of type %v", t)
	}
	key, rest, err := appendMsgpack(nil, b, depth)
	return format.AppendQuoted(dst, key), rest, err
}

// appendMsgpackExtension writes a timestamp as RFC 3339 text, any other one as
// {"ext":TYPE,"data":BASE64}.
func appendMsgpackExtension(dst, b []byte) (out, rest []byte, err error) {
	kind, data, rest, err := readExtension(b)
	if err != nil {
		return nil, nil, err
	}
	if kind == msgp.MsgTimeExtension {
		at, _, err := msgp.ReadTimeUTCBytes(b)
		if err == nil && at.Year() >= 0 && at.Year() <= 9999 {
			return append(at.AppendFormat(append(dst, '"'), time.RFC3339Nano), '"'), rest, nil
		}
	}
	dst = strconv.AppendInt(append(dst, `{"ext":`...), int64(kind), 10)
	dst = base64.StdEncoding.AppendEncode(append(dst, `,"data":"`...), data)
	return append(dst, `"}`...), rest, nil
}

// readExtension takes one of any type; the library wants to be told which.
func readExtension(b []byte) (kind int8, data, rest []byte, err error) {
	var size uint64
	head := 1
	switch c := b[0]; {
	case c >= 0xd4 && c <= 0xd8: // fixext 1, 2, 4, 8, 16
		size = 1 << (c - 0xd4)
	case c >= 0xc7 && c <= 0xc9: // ext 8, 16, 32
		n := 1 << (c - 0xc7)
		if len(b) <= n {
			return 0, nil, nil, msgp.ErrShortBytes
		}
		for _, digit := range b[1 : 1+n] {
			size = size<<8 | uint64(digit)
		}
		head += n
	default:
		return 0, nil, nil, fmt.Errorf("byte 0x%02x begins no value", c)
	}
	if b = b[head:]; uint64(len(b)) < 1+size {
		return 0, nil, nil, msgp.ErrShortBytes
	}
	return int8(b[0]), b[1 : 1+size], b[1+size:], nil
}

// Encode keeps the order of keys. Integers take the shortest form that holds
// them, other numbers are of 64 bits.
func (msgpackCodec) Encode(payload []byte) ([]byte, error) {
	v, err := parseTree(payload)
	if err != nil {
		return nil, err
	}
	return packMsgpack(nil, v)
}

func packMsgpack(dst []byte, v any) (_ []byte, err error) {
	switch v := v.(type) {
	case bool:
		return msgp.AppendBool(dst, v), nil
	case string:
		return msgp.AppendString(dst, v), nil
	case json.Number:
		return packMsgpackNumber(dst, v.String())
	case []any:
		dst = msgp.AppendArrayHeader(dst, uint32(len(v)))
		for i := 0; err == nil && i < len(v); i++ {
			dst, err = packMsgpack(dst, v[i])
		}
		return dst, err
	case object:
		dst = msgp.AppendMapHeader(dst, uint32(len(v)))
		for i := 0; err == nil && i < len(v); i++ {
			dst, err = packMsgpack(msgp.AppendString(dst, v[i].key), v[i].value)
		}
		return dst, err
	}
	return msgp.AppendNil(dst), nil
}

func packMsgpackNumber(dst []byte, s string) ([]byte, error) {
	if isFloat(s) {
		f, err := readFloat(s)
		return msgp.AppendFloat64(dst, f), err
	}
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return msgp.AppendUint64(dst, n), nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return msgp.AppendInt64(dst, n), nil
	}
	// Decode prints large floats without a fraction; what it printed is one.
	if f, err := readFloat(s); err == nil && strconv.FormatFloat(f, 'f', -1, 64) == s {
		return msgp.AppendFloat64(dst, f), nil
	}
	return nil, fmt.Errorf("the integer %.30s has more than 64 bits", s)
}
