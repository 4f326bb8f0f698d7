package mqtt

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// maxRemainingLength is the largest Remaining Length, section 2.1.4.
const maxRemainingLength = 268_435_455

// maxString is the longest UTF-8 Encoded String or Binary Data, section 1.5.4.
const maxString = 65_535

// maxProperties and maxFilters bound what a packet is decoded into. In memory a
// User Property is ten times its five bytes on the wire, and the standard has
// no other bound than the packet's size.
const (
	maxProperties = 16_384
	maxFilters    = 65_536
)

// ValidString reports whether s may be a UTF-8 Encoded String: well formed,
// without surrogates [MQTT-1.5.4-1] or U+0000 [MQTT-1.5.4-2], at most 65,535
// bytes. U+FEFF is kept as it is [MQTT-1.5.4-3].
func ValidString(s string) bool {
	return len(s) <= maxString && utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// cursor reads a packet's body and keeps the first error.
type cursor struct {
	p   []byte
	err *Error
}

func (c *cursor) fail(e *Error) {
	if c.err == nil {
		c.err = e
	}
	c.p = nil
}

func (c *cursor) short() { c.fail(malformed("2.1.4", "packet ends inside a field")) }

func (c *cursor) byte() byte {
	if len(c.p) < 1 {
		c.short()
		return 0
	}
	b := c.p[0]
	c.p = c.p[1:]
	return b
}

func (c *cursor) uint16() uint16 {
	if len(c.p) < 2 {
		c.short()
		return 0
	}
	n := binary.BigEndian.Uint16(c.p)
	c.p = c.p[2:]
	return n
}

func (c *cursor) uint32() uint32 {
	if len(c.p) < 4 {
		c.short()
		return 0
	}
	n := binary.BigEndian.Uint32(c.p)
	c.p = c.p[4:]
	return n
}

func (c *cursor) varint() uint32 {
	n, size, err := uvarint(c.p)
	if err != nil {
		c.fail(err)
		return 0
	}
	if size == 0 {
		c.short()
		return 0
	}
	c.p = c.p[size:]
	return n
}

// binary returns Binary Data, section 1.5.6, aliasing the body.
func (c *cursor) binary() []byte {
	n := int(c.uint16())
	if c.err != nil {
		return nil
	}
	if len(c.p) < n {
		c.short()
		return nil
	}
	b := c.p[:n:n]
	c.p = c.p[n:]
	return b
}

// text returns a UTF-8 Encoded String, section 1.5.4, aliasing the body.
func (c *cursor) text() []byte {
	b := c.binary()
	if c.err != nil {
		return nil
	}
	if !utf8.Valid(b) {
		c.fail(malformed("MQTT-1.5.4-1", "string is not well-formed UTF-8"))
		return nil
	}
	if bytes.IndexByte(b, 0) >= 0 {
		c.fail(malformed("MQTT-1.5.4-2", "string contains U+0000"))
		return nil
	}
	return b
}

// packetID returns a Packet Identifier that is not 0.
func (c *cursor) packetID(t Type, from Side) PacketID {
	id := c.uint16()
	if id == 0 && c.err == nil {
		// A Protocol Error rather than Malformed: the field is readable, its
		// value is what the standard forbids.
		c.fail(protocolError(packetIDStatement(t, from), "packet identifier is 0"))
	}
	return PacketID(id)
}

// packetIDStatement is the statement that a Packet Identifier of 0 breaks: who
// starts an exchange assigns one that is not 0, and the answer repeats it.
func packetIDStatement(t Type, from Side) string {
	switch t {
	case TypePublish:
		if from == Server {
			return "MQTT-2.2.1-4"
		}
		return "MQTT-2.2.1-3"
	case TypeSubscribe, TypeUnsubscribe:
		return "MQTT-2.2.1-3"
	case TypeSuback, TypeUnsuback:
		return "MQTT-2.2.1-6"
	}
	return "MQTT-2.2.1-5"
}

// end checks that the body was consumed whole.
func (c *cursor) end() error {
	if c.err != nil {
		return c.err
	}
	if len(c.p) > 0 {
		return malformed("2.1.4", "bytes left over after the last field")
	}
	return nil
}

// uvarint reads a Variable Byte Integer, section 1.5.5. size is 0 when p ends
// inside it.
func uvarint(p []byte) (n uint32, size int, err *Error) {
	for i := 0; i < len(p) && i < 4; i++ {
		b := p[i]
		n |= uint32(b&0x7f) << (7 * i)
		if b < 0x80 {
			if b == 0 && i > 0 {
				return 0, 0, malformed("MQTT-1.5.5-1", "variable byte integer is not minimal")
			}
			return n, i + 1, nil
		}
	}
	if len(p) >= 4 {
		return 0, 0, malformed("1.5.5", "variable byte integer is longer than 4 bytes")
	}
	return 0, 0, nil
}

func uvarintSize(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	}
	return 4
}

func appendUvarint(dst []byte, n uint32) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

// appendString writes a UTF-8 Encoded String or Binary Data; the caller has
// checked its length.
func appendString[S ~string | ~[]byte](dst []byte, s S) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}
