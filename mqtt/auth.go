package mqtt

// Auth is AUTH, section 3.15: enhanced authentication, 5.0 only.
type Auth struct {
	ReasonCode ReasonCode
	Properties Properties
}

// Type returns TypeAuth.
func (*Auth) Type() Type { return TypeAuth }

// Size is the packet's length on the wire.
func (a *Auth) Size(Version) int {
	return packetSize(a.bodySize())
}

// bodySize is 0 where nothing is said. Unlike DISCONNECT, AUTH leaves out all
// or nothing, section 3.15.2.
func (a *Auth) bodySize() int {
	if a.ReasonCode == Success && len(a.Properties) == 0 {
		return 0
	}
	return 1 + a.Properties.wireSize(V50)
}

// Append encodes the packet behind dst.
func (a *Auth) Append(dst []byte, v Version) ([]byte, error) {
	if v < V50 {
		return dst, &EncodeError{TypeAuth, "it needs 5.0"}
	}
	n := a.bodySize()
	if err := encodable(TypeAuth, n, a.Properties); err != nil {
		return dst, err
	}
	dst = appendHeader(dst, TypeAuth, 0, n)
	if n == 0 {
		return dst, nil
	}
	return a.Properties.append(append(dst, byte(a.ReasonCode)), v), nil
}

func decodeAuth(body []byte, from Side) (*Auth, error) {
	a := &Auth{}
	c := &cursor{p: body}
	if len(body) > 0 {
		a.ReasonCode = ReasonCode(c.byte())
	}
	if !reasonAllowed(TypeAuth, a.ReasonCode, from) {
		return a, protocolError("MQTT-3.15.2-1", "AUTH with a wrong reason code")
	}
	if len(body) == 0 {
		return a, nil
	}
	a.Properties = c.properties(nil, TypeAuth, from).Clone()
	if err := c.end(); err != nil {
		return a, err
	}
	if !a.Properties.Has(AuthenticationMethod) {
		return a, protocolError("3.15.2.2.2", "AUTH without an authentication method")
	}
	return a, nil
}
