package mqtt

import (
	"bytes"
	"encoding/binary"
)

// Publish is PUBLISH, section 3.3, as it is on the wire. After decoding,
// Topic, Payload and the properties' bytes alias the input: they are valid
// until the next read. [Publish.Message] makes an owned copy.
type Publish struct {
	Dup    bool
	QoS    QoS
	Retain bool
	// Topic is empty where a Topic Alias stands for it.
	Topic []byte
	// PacketID is 0 at QoS 0.
	PacketID   PacketID
	Properties Properties
	Payload    []byte
}

// Type returns TypePublish.
func (*Publish) Type() Type { return TypePublish }

// Size is the packet's length on the wire.
func (p *Publish) Size(v Version) int { return packetSize(p.bodySize(v)) }

func (p *Publish) bodySize(v Version) int {
	n := 2 + len(p.Topic) + p.Properties.wireSize(v) + len(p.Payload)
	if p.QoS > 0 {
		n += 2
	}
	return n
}

// Append encodes the packet behind dst.
func (p *Publish) Append(dst []byte, v Version) ([]byte, error) {
	dst, err := p.AppendHead(dst, v)
	if err != nil {
		return dst, err
	}
	return append(dst, p.Payload...), nil
}

// AppendHead encodes all but the payload, so that large payloads can be shared
// between packets instead of copied.
func (p *Publish) AppendHead(dst []byte, v Version) ([]byte, error) {
	n := p.bodySize(v)
	if err := encodable(TypePublish, n, p.Properties, len(p.Topic)); err != nil {
		return dst, err
	}
	if p.QoS > QoS2 {
		return dst, &EncodeError{TypePublish, "QoS above 2"}
	}
	dst = appendHeader(dst, TypePublish, p.flags(), n)
	dst = appendString(dst, p.Topic)
	if p.QoS > 0 {
		dst = binary.BigEndian.AppendUint16(dst, uint16(p.PacketID))
	}
	return p.Properties.append(dst, v), nil
}

func (p *Publish) flags() byte {
	return bit(p.Dup)<<3 | byte(p.QoS)<<1 | bit(p.Retain)
}

// DupFlag is the bit of a PUBLISH's first byte that says redelivery
// [MQTT-3.3.1-1].
const DupFlag = 0x08

// PacketIDAt returns where the Packet Identifier stands in an encoded PUBLISH
// of QoS 1 or 2, so that one encoding serves many receivers.
func PacketIDAt(frame []byte) int {
	at := 1
	for frame[at] >= 0x80 {
		at++
	}
	at++
	return at + 2 + int(binary.BigEndian.Uint16(frame[at:]))
}

// decode reads a PUBLISH's body in place; p's Properties are reused.
func (p *Publish) decode(h Header, body []byte, v Version, from Side) error {
	p.Dup, p.QoS, p.Retain = h.Flags&DupFlag != 0, QoS(h.Flags>>1&3), h.Flags&1 != 0
	c := cursor{p: body}
	p.Topic = c.text() // [MQTT-3.3.2-1]
	p.PacketID = 0
	if p.QoS > 0 {
		p.PacketID = c.packetID(TypePublish, from)
	}
	p.Properties.forget()
	if v >= V50 && c.err == nil {
		if len(c.p) > 0 && c.p[0] == 0 {
			c.p = c.p[1:]
		} else {
			p.Properties = c.properties(p.Properties, TypePublish, from)
		}
	}
	if c.err != nil {
		return c.err
	}
	p.Payload = c.p
	if len(p.Topic) == 0 && !p.Properties.Has(TopicAlias) {
		if v < V50 {
			return malformed("MQTT-4.7.3-1", "PUBLISH without a topic name")
		}
		return protocolError("3.3.2.1", "PUBLISH with neither a topic name nor an alias")
	}
	return nil
}

// Message returns the Application Message that the packet carries to topic,
// which is not p.Topic where an alias was used. It shares no memory with p.
func (p *Publish) Message(topic string) *Message {
	m := &Message{Topic: topic, Payload: bytes.Clone(p.Payload), QoS: p.QoS, Retain: p.Retain}
	if len(p.Properties) > 0 {
		m.Properties = p.Properties.Without(TopicAlias, SubscriptionIdentifier).Clone()
	}
	return m
}
