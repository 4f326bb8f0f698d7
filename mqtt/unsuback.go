package mqtt

// Unsuback is UNSUBACK, section 3.11. Before 5.0 it has no Reason Codes.
type Unsuback struct {
	PacketID    PacketID
	Properties  Properties
	ReasonCodes []ReasonCode
}

// Type returns TypeUnsuback.
func (*Unsuback) Type() Type { return TypeUnsuback }

// Size is the packet's length on the wire.
func (u *Unsuback) Size(v Version) int { return packetSize(u.bodySize(v)) }

func (u *Unsuback) bodySize(v Version) int {
	if v < V50 {
		return 2
	}
	return 2 + u.Properties.wireSize(v) + len(u.ReasonCodes)
}

// Append encodes the packet behind dst.
func (u *Unsuback) Append(dst []byte, v Version) ([]byte, error) {
	n := u.bodySize(v)
	if err := encodable(TypeUnsuback, n, u.Properties); err != nil {
		return dst, err
	}
	dst = appendHeader(dst, TypeUnsuback, 0, n)
	dst = append(dst, byte(u.PacketID>>8), byte(u.PacketID))
	if v < V50 {
		return dst, nil
	}
	dst = u.Properties.append(dst, v)
	for _, r := range u.ReasonCodes {
		dst = append(dst, byte(r))
	}
	return dst, nil
}

func decodeUnsuback(body []byte, v Version) (*Unsuback, error) {
	c := &cursor{p: body}
	u := &Unsuback{PacketID: c.packetID(TypeUnsuback, Server)}
	if v >= V50 {
		u.Properties = c.properties(nil, TypeUnsuback, Server).Clone()
		u.ReasonCodes = c.reasons(TypeUnsuback, v, "MQTT-3.11.3-2")
	}
	return u, c.end()
}
