package mqtt

import "fmt"

// Type is a Control Packet type, section 2.1.2.
type Type byte

// The fifteen Control Packets.
const (
	TypeConnect     Type = 1
	TypeConnack     Type = 2
	TypePublish     Type = 3
	TypePuback      Type = 4
	TypePubrec      Type = 5
	TypePubrel      Type = 6
	TypePubcomp     Type = 7
	TypeSubscribe   Type = 8
	TypeSuback      Type = 9
	TypeUnsubscribe Type = 10
	TypeUnsuback    Type = 11
	TypePingreq     Type = 12
	TypePingresp    Type = 13
	TypeDisconnect  Type = 14
	TypeAuth        Type = 15
)

// String returns the standard's name, "PUBLISH".
func (t Type) String() string {
	names := [...]string{"", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
		"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"}
	if int(t) < len(names) && t > 0 {
		return names[t]
	}
	return fmt.Sprintf("packet type %d", byte(t))
}

// Side is one end of a Network Connection.
type Side byte

// The two ends.
const (
	Client Side = 1
	Server Side = 2
)

// senders says which side may send each packet, table 2-1.
var senders = [16]Side{
	TypeConnect: Client, TypeConnack: Server, TypePublish: Client | Server, TypePuback: Client | Server,
	TypePubrec: Client | Server, TypePubrel: Client | Server, TypePubcomp: Client | Server,
	TypeSubscribe: Client, TypeSuback: Server, TypeUnsubscribe: Client, TypeUnsuback: Server,
	TypePingreq: Client, TypePingresp: Server, TypeDisconnect: Client | Server, TypeAuth: Client | Server,
}

// Packet is one of the fifteen Control Packets, by pointer.
type Packet interface {
	// Type returns the Control Packet type.
	Type() Type
	// Size returns the number of bytes that Append adds, fixed header
	// included.
	Size(v Version) int
	// Append encodes the packet for version v behind dst. The error is an
	// *EncodeError; dst is then returned as it was.
	Append(dst []byte, v Version) ([]byte, error)
}

// Header is a fixed header, section 2.1.
type Header struct {
	Type  Type
	Flags byte
	// Size is the length of the fixed header itself, 2 to 5 bytes.
	Size int
	// Length is the Remaining Length: the bytes behind the fixed header.
	Length int
}

// ParseHeader reads the fixed header at the start of p. ok is false when p
// ends inside it; err is an *Error for a reserved type, wrong flags or a
// malformed length. v decides the flags that 3.1 allows; 0 before CONNECT.
func ParseHeader(p []byte, v Version) (h Header, ok bool, err error) {
	if len(p) == 0 {
		return h, false, nil
	}
	h.Type, h.Flags = Type(p[0]>>4), p[0]&0x0f
	if e := checkFlags(h.Type, h.Flags, v); e != nil {
		return h, false, e
	}
	n, size, e := uvarint(p[1:])
	if e != nil {
		return h, false, e
	}
	if size == 0 {
		return h, false, nil
	}
	h.Size, h.Length = 1+size, int(n)
	return h, true, nil
}

// checkFlags holds the flags of table 2-2 [MQTT-2.1.3-1].
func checkFlags(t Type, flags byte, v Version) *Error {
	want := byte(0)
	switch t {
	case 0:
		return malformed("2.1.2", "packet type 0 is reserved")
	case TypeAuth:
		if v != 0 && v < V50 {
			return malformed("3.1.1: 2.2.1", "packet type 15 is reserved")
		}
	case TypePublish:
		switch {
		case flags&6 == 6:
			return malformed("MQTT-3.3.1-4", "PUBLISH with both QoS bits set")
		case flags&0x0e == 8:
			return malformed("MQTT-3.3.1-2", "PUBLISH with DUP at QoS 0")
		}
		return nil
	case TypePubrel, TypeSubscribe, TypeUnsubscribe:
		want = 2
		if v == V31 {
			flags &^= 8 // 3.1 sets DUP on their redelivery
		}
	}
	if flags != want {
		return malformed(flagsStatement(t), t.String()+" with wrong fixed header flags")
	}
	return nil
}

// flagsStatement is the statement that holds the flags of packet t: its own
// where chapter 3 repeats the rule of chapter 2.
func flagsStatement(t Type) string {
	switch t {
	case TypePubrel:
		return "MQTT-3.6.1-1"
	case TypeSubscribe:
		return "MQTT-3.8.1-1"
	case TypeUnsubscribe:
		return "MQTT-3.10.1-1"
	case TypeDisconnect:
		return "MQTT-3.14.1-1"
	case TypeAuth:
		return "MQTT-3.15.1-1"
	}
	return "MQTT-2.1.3-1"
}

// packetSize is the whole packet's size for a body of n bytes.
func packetSize(n int) int { return 1 + uvarintSize(n) + n }

// appendHeader writes a fixed header for a body of n bytes.
func appendHeader(dst []byte, t Type, flags byte, n int) []byte {
	return appendUvarint(append(dst, byte(t)<<4|flags), uint32(n))
}

// encodable checks what would break the framing: the body's length, every
// string's, and numbers that their encoding does not hold.
func encodable(t Type, body int, ps Properties, texts ...int) error {
	if body > maxRemainingLength {
		return &EncodeError{t, fmt.Sprintf("%d bytes are more than a packet holds", body)}
	}
	for _, n := range texts {
		if n > maxString {
			return &EncodeError{t, fmt.Sprintf("a field of %d bytes is longer than 65535", n)}
		}
	}
	for i := range ps {
		if len(ps[i].Key) > maxString || len(ps[i].Value) > maxString {
			return &EncodeError{t, fmt.Sprintf("%s is longer than 65535 bytes", ps[i].ID)}
		}
		if ps[i].ID.kind() == kindNone {
			return &EncodeError{t, fmt.Sprintf("property 0x%02X does not exist", byte(ps[i].ID))}
		}
		if ps[i].Number > ps[i].ID.MaxNumber() {
			return &EncodeError{t, fmt.Sprintf("%s is %d, at most %d", ps[i].ID, ps[i].Number, ps[i].ID.MaxNumber())}
		}
	}
	return nil
}
