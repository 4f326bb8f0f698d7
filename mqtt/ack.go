package mqtt

// Ack is the content that PUBACK, PUBREC, PUBREL and PUBCOMP share. Reason
// Code and Properties are left out before 5.0, and where they say nothing.
type Ack struct {
	PacketID   PacketID
	ReasonCode ReasonCode
	Properties Properties
}

// Puback is PUBACK, section 3.4: QoS 1, the message is taken over.
type Puback struct{ Ack }

// Pubrec is PUBREC, section 3.5: QoS 2 part 1, the message is taken over.
type Pubrec struct{ Ack }

// Pubrel is PUBREL, section 3.6: QoS 2 part 2, the Packet Identifier may go.
type Pubrel struct{ Ack }

// Pubcomp is PUBCOMP, section 3.7: QoS 2 part 3, it is gone.
type Pubcomp struct{ Ack }

// Type returns TypePuback.
func (*Puback) Type() Type { return TypePuback }

// Type returns TypePubrec.
func (*Pubrec) Type() Type { return TypePubrec }

// Type returns TypePubrel.
func (*Pubrel) Type() Type { return TypePubrel }

// Type returns TypePubcomp.
func (*Pubcomp) Type() Type { return TypePubcomp }

// Append encodes the packet behind dst.
func (a *Puback) Append(dst []byte, v Version) ([]byte, error) { return a.append(dst, TypePuback, v) }

// Append encodes the packet behind dst.
func (a *Pubrec) Append(dst []byte, v Version) ([]byte, error) { return a.append(dst, TypePubrec, v) }

// Append encodes the packet behind dst.
func (a *Pubrel) Append(dst []byte, v Version) ([]byte, error) { return a.append(dst, TypePubrel, v) }

// Append encodes the packet behind dst.
func (a *Pubcomp) Append(dst []byte, v Version) ([]byte, error) {
	return a.append(dst, TypePubcomp, v)
}

// Size is the packet's length on the wire.
func (a *Ack) Size(v Version) int { return packetSize(a.bodySize(v)) }

func (a *Ack) bodySize(v Version) int {
	switch {
	case v < V50 || a.ReasonCode == Success && len(a.Properties) == 0:
		return 2
	case len(a.Properties) == 0:
		return 3
	}
	return 3 + a.Properties.wireSize(v)
}

func (a *Ack) append(dst []byte, t Type, v Version) ([]byte, error) {
	n := a.bodySize(v)
	if err := encodable(t, n, a.Properties); err != nil {
		return dst, err
	}
	var flags byte
	if t == TypePubrel {
		flags = 2 // [MQTT-3.6.1-1]
	}
	dst = appendHeader(dst, t, flags, n)
	dst = append(dst, byte(a.PacketID>>8), byte(a.PacketID))
	if n > 2 {
		dst = append(dst, byte(a.ReasonCode))
	}
	if n > 3 {
		dst = a.Properties.append(dst, v)
	}
	return dst, nil
}

// AppendAck encodes one of the four acknowledgements without properties: it has
// no text that a receiver might have no room for [MQTT-3.4.2-2], [MQTT-3.4.2-3],
// [MQTT-3.5.2-2], [MQTT-3.5.2-3], [MQTT-3.6.2-2], [MQTT-3.6.2-3],
// [MQTT-3.7.2-2], [MQTT-3.7.2-3].
func AppendAck(dst []byte, t Type, id PacketID, code ReasonCode, v Version) []byte {
	a := Ack{PacketID: id, ReasonCode: code}
	dst, _ = a.append(dst, t, v) // without properties nothing can fail
	return dst
}

// decode reads the body of packet t in place.
func (a *Ack) decode(body []byte, t Type, v Version, from Side) error {
	c := cursor{p: body}
	a.PacketID = c.packetID(t, from)
	a.ReasonCode = Success
	a.Properties.forget()
	if v >= V50 && len(c.p) > 0 {
		a.ReasonCode = ReasonCode(c.byte())
		if !reasonAllowed(t, a.ReasonCode, from) {
			return protocolError(ackStatement(t), t.String()+" with a wrong reason code")
		}
		if len(c.p) > 0 {
			a.Properties = c.properties(a.Properties, t, from)
		}
	}
	return c.end()
}

func ackStatement(t Type) string {
	switch t {
	case TypePuback:
		return "MQTT-3.4.2-1"
	case TypePubrec:
		return "MQTT-3.5.2-1"
	case TypePubrel:
		return "MQTT-3.6.2-1"
	}
	return "MQTT-3.7.2-1"
}
