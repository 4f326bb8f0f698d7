package codec

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"

	"mqt/format"
)

// dataType is that of a metric, section 6.4.17 of the Eclipse Sparkplug
// Specification 3.0. Values of less than 64 bits travel in unsigned fields.
type dataType uint64

const (
	typeInt8 dataType = iota + 1
	typeInt16
	typeInt32
	typeInt64
	typeUInt8
	typeUInt16
	typeUInt32
	typeUInt64
	typeFloat
	typeDouble
	typeBoolean
	typeString
	typeDateTime
	typeText
	typeUUID
	typeDataSet
	typeBytes
	typeFile
	typeTemplate
	typePropertySet
	typePropertySetList
	typeInt8Array
	typeInt16Array
	typeInt32Array
	typeInt64Array
	typeUInt8Array
	typeUInt16Array
	typeUInt32Array
	typeUInt64Array
	typeFloatArray
	typeDoubleArray
	typeBooleanArray
	typeStringArray
	typeDateTimeArray
)

func (t dataType) String() string {
	names := [...]string{"Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean",
		"String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet", "PropertySetList",
		"Int8Array", "Int16Array", "Int32Array", "Int64Array", "UInt8Array", "UInt16Array", "UInt32Array", "UInt64Array",
		"FloatArray", "DoubleArray", "BooleanArray", "StringArray", "DateTimeArray"}
	if t < dataType(len(names)) {
		return names[t]
	}
	return strconv.FormatUint(uint64(t), 10)
}

// appendInteger gives a number its sign again.
func (t dataType) appendInteger(dst []byte, n uint64) []byte {
	switch t {
	case typeInt8:
		return strconv.AppendInt(dst, int64(int8(n)), 10)
	case typeInt16:
		return strconv.AppendInt(dst, int64(int16(n)), 10)
	case typeInt32:
		return strconv.AppendInt(dst, int64(int32(n)), 10)
	case typeInt64:
		return strconv.AppendInt(dst, int64(n), 10)
	}
	return strconv.AppendUint(dst, n, 10)
}

// appendBytes prints an array type as an array, anything else, and an array
// that is not whole, as base64.
func (t dataType) appendBytes(dst, b []byte) []byte {
	size := t.elementSize()
	switch {
	case t == typeBooleanArray && len(b) >= 4:
		return appendBooleans(dst, b)
	case t == typeStringArray:
		return appendStrings(dst, b)
	case size == 0 || len(b)%size != 0:
		return appendBase64(dst, b)
	}
	dst = append(dst, '[')
	for i := 0; i < len(b); i += size {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = t.appendElement(dst, b[i:i+size])
	}
	return append(dst, ']')
}

// elementSize is that of arrays of numbers, 0 for all else.
func (t dataType) elementSize() int {
	switch t {
	case typeInt8Array, typeUInt8Array:
		return 1
	case typeInt16Array, typeUInt16Array:
		return 2
	case typeInt32Array, typeUInt32Array, typeFloatArray:
		return 4
	case typeInt64Array, typeUInt64Array, typeDoubleArray, typeDateTimeArray:
		return 8
	}
	return 0
}

// appendElement prints a number, least significant byte first.
func (t dataType) appendElement(dst, b []byte) []byte {
	var wide [8]byte
	copy(wide[:], b)
	n := binary.LittleEndian.Uint64(wide[:])
	switch t {
	case typeFloatArray:
		return appendFloat(dst, float64(math.Float32frombits(uint32(n))), 32)
	case typeDoubleArray:
		return appendFloat(dst, math.Float64frombits(n), 64)
	case typeInt8Array, typeInt16Array, typeInt32Array, typeInt64Array:
		return (t - typeInt8Array + typeInt8).appendInteger(dst, n)
	}
	return strconv.AppendUint(dst, n, 10)
}

// appendBooleans reads how many there are, then bits from the highest down.
func appendBooleans(dst, b []byte) []byte {
	n, bits := uint64(binary.LittleEndian.Uint32(b)), b[4:]
	if n > 8*uint64(len(bits)) {
		return appendBase64(dst, b)
	}
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendBool(dst, bits[i/8]&(0x80>>(i%8)) != 0)
	}
	return append(dst, ']')
}

// appendStrings reads strings that end with NUL.
func appendStrings(dst, b []byte) []byte {
	dst = append(dst, '[')
	for i := 0; len(b) > 0; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		text, rest, _ := bytes.Cut(b, []byte{0})
		dst, b = format.AppendQuoted(dst, text), rest
	}
	return append(dst, ']')
}
