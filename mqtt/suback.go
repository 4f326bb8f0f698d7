package mqtt

// Suback is SUBACK, section 3.9: one Reason Code for each Topic Filter, in
// order.
type Suback struct {
	PacketID    PacketID
	Properties  Properties
	ReasonCodes []ReasonCode
}

// Type returns TypeSuback.
func (*Suback) Type() Type { return TypeSuback }

// Size is the packet's length on the wire.
func (s *Suback) Size(v Version) int {
	return packetSize(2 + s.Properties.wireSize(v) + len(s.ReasonCodes))
}

// Append encodes the packet behind dst. Before 5.0 every failure is 0x80.
func (s *Suback) Append(dst []byte, v Version) ([]byte, error) {
	n := 2 + s.Properties.wireSize(v) + len(s.ReasonCodes)
	if err := encodable(TypeSuback, n, s.Properties); err != nil {
		return dst, err
	}
	dst = appendHeader(dst, TypeSuback, 0, n)
	dst = append(dst, byte(s.PacketID>>8), byte(s.PacketID))
	dst = s.Properties.append(dst, v)
	for _, r := range s.ReasonCodes {
		if v < V50 && r.Failed() {
			r = UnspecifiedError // [MQTT-3.1.1: 3.9.3-2]
		}
		dst = append(dst, byte(r))
	}
	return dst, nil
}

func decodeSuback(body []byte, v Version) (*Suback, error) {
	c := &cursor{p: body}
	s := &Suback{PacketID: c.packetID(TypeSuback, Server)}
	if v >= V50 {
		s.Properties = c.properties(nil, TypeSuback, Server).Clone()
	}
	s.ReasonCodes = c.reasons(TypeSuback, v, "MQTT-3.9.3-2")
	return s, c.end()
}

// reasons reads the list of Reason Codes that ends a SUBACK or UNSUBACK.
func (c *cursor) reasons(t Type, v Version, statement string) []ReasonCode {
	if c.err != nil {
		return nil
	}
	if len(c.p) == 0 {
		section := "MQTT-3.8.4-6"
		if t == TypeUnsuback {
			section = "3.11.3"
		}
		c.fail(malformed(section, t.String()+" without a reason code"))
		return nil
	}
	codes := make([]ReasonCode, 0, len(c.p))
	for _, b := range c.p {
		r := ReasonCode(b)
		wrong := !reasonAllowed(t, r, Server)
		if v < V50 {
			wrong = r > GrantedQoS2 && r != UnspecifiedError
		}
		if wrong {
			c.fail(protocolError(statement, t.String()+" with a wrong reason code"))
			return nil
		}
		codes = append(codes, r)
	}
	c.p = nil
	return codes
}
