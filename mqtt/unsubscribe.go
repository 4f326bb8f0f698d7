package mqtt

// Unsubscribe is UNSUBSCRIBE, section 3.10.
type Unsubscribe struct {
	PacketID   PacketID
	Filters    []string
	Properties Properties
}

// Type returns TypeUnsubscribe.
func (*Unsubscribe) Type() Type { return TypeUnsubscribe }

// Size is the packet's length on the wire.
func (u *Unsubscribe) Size(v Version) int { return packetSize(u.bodySize(v)) }

func (u *Unsubscribe) bodySize(v Version) int {
	n := 2 + u.Properties.wireSize(v)
	for _, f := range u.Filters {
		n += 2 + len(f)
	}
	return n
}

// Append encodes the packet behind dst.
func (u *Unsubscribe) Append(dst []byte, v Version) ([]byte, error) {
	n := u.bodySize(v)
	if err := encodable(TypeUnsubscribe, n, u.Properties); err != nil {
		return dst, err
	}
	for _, f := range u.Filters {
		if err := encodable(TypeUnsubscribe, 0, nil, len(f)); err != nil {
			return dst, err
		}
	}
	dst = appendHeader(dst, TypeUnsubscribe, 2, n)
	dst = append(dst, byte(u.PacketID>>8), byte(u.PacketID))
	dst = u.Properties.append(dst, v)
	for _, f := range u.Filters {
		dst = appendString(dst, f)
	}
	return dst, nil
}

func decodeUnsubscribe(body []byte, v Version) (*Unsubscribe, error) {
	c := &cursor{p: body}
	u := &Unsubscribe{PacketID: c.packetID(TypeUnsubscribe, Client)}
	if v >= V50 {
		u.Properties = c.properties(nil, TypeUnsubscribe, Client).Clone()
	}
	for len(c.p) > 0 {
		if len(u.Filters) == maxFilters {
			return u, tooMany("3.10.3", "topic filters")
		}
		u.Filters = append(u.Filters, string(c.text())) // [MQTT-3.10.3-1]
	}
	if err := c.end(); err != nil {
		return u, err
	}
	if len(u.Filters) == 0 {
		return u, protocolError("MQTT-3.10.3-2", "UNSUBSCRIBE without a topic filter")
	}
	return u, nil
}
