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
func (d *Disconnect) Size(v Version) int {
	return packetSize(codeAndPropertiesSize(d.ReasonCode, d.Properties, v))
}

// Append encodes the packet behind dst.
func (d *Disconnect) Append(dst []byte, v Version) ([]byte, error) {
	return appendCodeAndProperties(dst, TypeDisconnect, d.ReasonCode, d.Properties, v)
}

func decodeDisconnect(body []byte, v Version, from Side) (*Disconnect, error) {
	d := &Disconnect{}
	if v < V50 {
		return d, (&cursor{p: body}).end()
	}
	var err error
	d.ReasonCode, d.Properties, err = decodeCodeAndProperties(body, TypeDisconnect, from, "MQTT-3.14.2-1")
	return d, err
}

// DISCONNECT and AUTH have the same body: a Reason Code and properties, either
// of which may be left out when it says nothing.

func codeAndPropertiesSize(code ReasonCode, ps Properties, v Version) int {
	switch {
	case v < V50 || code == Success && len(ps) == 0:
		return 0
	case len(ps) == 0:
		return 1
	}
	return 1 + ps.wireSize(v)
}

func appendCodeAndProperties(dst []byte, t Type, code ReasonCode, ps Properties, v Version) ([]byte, error) {
	n := codeAndPropertiesSize(code, ps, v)
	if err := encodable(t, n, ps); err != nil {
		return dst, err
	}
	dst = appendHeader(dst, t, 0, n)
	if n > 0 {
		dst = append(dst, byte(code))
	}
	if n > 1 {
		dst = ps.append(dst, v)
	}
	return dst, nil
}

func decodeCodeAndProperties(body []byte, t Type, from Side, statement string) (ReasonCode, Properties, error) {
	if len(body) == 0 {
		return Success, nil, nil
	}
	c := &cursor{p: body}
	code := ReasonCode(c.byte())
	if !reasonAllowed(t, code, from) {
		return code, nil, protocolError(statement, t.String()+" with a wrong reason code")
	}
	var ps Properties
	if len(c.p) > 0 {
		ps = c.properties(nil, t, from).Clone()
	}
	return code, ps, c.end()
}
