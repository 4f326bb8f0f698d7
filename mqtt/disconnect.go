package mqtt

// Disconnect is DISCONNECT, section 3.14. Before 5.0 only a client sends it
// and it is empty.
type Disconnect struct {
	ReasonCode ReasonCode
	Properties Properties
}

// Type returns TypeDisconnect.
func (*Disconnect) Type() Type { return TypeDisconnect }

// Size is the packet's length on the wire.
func (d *Disconnect) Size(v Version) int { return packetSize(d.bodySize(v)) }

// bodySize leaves out the Reason Code and the properties where they say
// nothing.
func (d *Disconnect) bodySize(v Version) int {
	switch {
	case v < V50 || d.ReasonCode == Success && len(d.Properties) == 0:
		return 0
	case len(d.Properties) == 0:
		return 1
	}
	return 1 + d.Properties.wireSize(v)
}

// Append encodes the packet behind dst.
func (d *Disconnect) Append(dst []byte, v Version) ([]byte, error) {
	n := d.bodySize(v)
	if err := encodable(TypeDisconnect, n, d.Properties); err != nil {
		return dst, err
	}
	dst = appendHeader(dst, TypeDisconnect, 0, n)
	if n > 0 {
		dst = append(dst, byte(d.ReasonCode))
	}
	if n > 1 {
		dst = d.Properties.append(dst, v)
	}
	return dst, nil
}

func decodeDisconnect(body []byte, v Version, from Side) (*Disconnect, error) {
	d := &Disconnect{}
	c := &cursor{p: body}
	if v < V50 || len(body) == 0 {
		return d, c.end()
	}
	d.ReasonCode = ReasonCode(c.byte())
	if !reasonAllowed(TypeDisconnect, d.ReasonCode, from) {
		return d, protocolError("MQTT-3.14.2-1", "DISCONNECT with a wrong reason code")
	}
	if len(c.p) > 0 {
		d.Properties = c.properties(nil, TypeDisconnect, from).Clone()
	}
	return d, c.end()
}
