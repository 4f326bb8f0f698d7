package mqtt

// Auth is AUTH, section 3.15: enhanced authentication, 5.0 only.
type Auth struct {
	ReasonCode ReasonCode
	Properties Properties
}

// Type returns TypeAuth.
func (*Auth) Type() Type { return TypeAuth }

// Size is the packet's length on the wire.
func (a *Auth) Size(v Version) int {
	return packetSize(codeAndPropertiesSize(a.ReasonCode, a.Properties, v))
}

// Append encodes the packet behind dst.
func (a *Auth) Append(dst []byte, v Version) ([]byte, error) {
	if v < V50 {
		return dst, &EncodeError{TypeAuth, "it needs 5.0"}
	}
	return appendCodeAndProperties(dst, TypeAuth, a.ReasonCode, a.Properties, v)
}

func decodeAuth(body []byte, from Side) (*Auth, error) {
	a := &Auth{}
	if len(body) == 0 && from == Client {
		return a, protocolError("MQTT-3.15.2-1", "AUTH from a client with reason Success")
	}
	var err error
	a.ReasonCode, a.Properties, err = decodeCodeAndProperties(body, TypeAuth, from, "MQTT-3.15.2-1")
	if err == nil && !a.Properties.Has(AuthenticationMethod) && a.ReasonCode != Success {
		err = protocolError("3.15.2.2.2", "AUTH without an authentication method")
	}
	return a, err
}
