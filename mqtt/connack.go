package mqtt

// Connack is CONNACK, section 3.2: the server's answer to CONNECT.
type Connack struct {
	SessionPresent bool
	// ReasonCode is written before 5.0 as its Connect Return Code, and read
	// from it as its 5.0 twin.
	ReasonCode ReasonCode
	Properties Properties
}

// Type returns TypeConnack.
func (*Connack) Type() Type { return TypeConnack }

// Size is the packet's length on the wire.
func (c *Connack) Size(v Version) int { return packetSize(2 + c.Properties.wireSize(v)) }

// Append encodes the packet behind dst.
func (c *Connack) Append(dst []byte, v Version) ([]byte, error) {
	n := 2 + c.Properties.wireSize(v)
	if err := encodable(TypeConnack, n, c.Properties); err != nil {
		return dst, err
	}
	dst = appendHeader(dst, TypeConnack, 0, n)
	code := byte(c.ReasonCode)
	if v < V50 {
		code = c.ReasonCode.ConnectReturnCode()
	}
	// 3.1 knows no Session Present: its byte is unused.
	return c.Properties.append(append(dst, bit(c.SessionPresent && v != V31), code), v), nil
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func decodeConnack(body []byte, v Version) (*Connack, error) {
	cur := &cursor{p: body}
	c := &Connack{}
	flags, code := cur.byte(), cur.byte()
	if v == V31 {
		flags = 0 // unused
	}
	if flags > 1 {
		cur.fail(malformed("MQTT-3.2.2-1", "reserved connect acknowledge flags are set"))
	}
	c.SessionPresent, c.ReasonCode = flags == 1, ReasonCode(code)
	switch {
	case cur.err != nil:
	case v < V50 || refusal311(c.ReasonCode, cur.p):
		r, ok := ConnackReason(code)
		if !ok {
			return c, malformed("3.1.1: 3.2.2.3", "reserved connect return code")
		}
		c.ReasonCode = r
	case !reasonAllowed(TypeConnack, c.ReasonCode, Server):
		return c, protocolError("MQTT-3.2.2-8", "CONNACK with a wrong reason code")
	default:
		c.Properties = cur.properties(nil, TypeConnack, Server).Clone()
	}
	if err := cur.end(); err != nil {
		return c, err
	}
	if c.SessionPresent && c.ReasonCode != Success {
		return c, protocolError("MQTT-3.2.2-6", "session present in a refusal")
	}
	return c, nil
}

// refusal311 tells that a CONNACK answers a CONNECT of 5.0 in the form of
// 3.1.1, without Property Length: its servers refuse the version so.
func refusal311(r ReasonCode, rest []byte) bool {
	return len(rest) == 0 && r != Success && !r.Failed()
}
