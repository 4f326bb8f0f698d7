package mqtt

// Subscribe is SUBSCRIBE, section 3.8.
type Subscribe struct {
	PacketID      PacketID
	Subscriptions []Subscription
	Properties    Properties
}

// Type returns TypeSubscribe.
func (*Subscribe) Type() Type { return TypeSubscribe }

// Size is the packet's length on the wire.
func (s *Subscribe) Size(v Version) int { return packetSize(s.bodySize(v)) }

func (s *Subscribe) bodySize(v Version) int {
	n := 2 + s.Properties.wireSize(v)
	for i := range s.Subscriptions {
		n += 3 + len(s.Subscriptions[i].Filter)
	}
	return n
}

// Append encodes the packet behind dst.
func (s *Subscribe) Append(dst []byte, v Version) ([]byte, error) {
	n := s.bodySize(v)
	if err := encodable(TypeSubscribe, n, s.Properties); err != nil {
		return dst, err
	}
	for i := range s.Subscriptions {
		sub := &s.Subscriptions[i]
		if err := encodable(TypeSubscribe, 0, nil, len(sub.Filter)); err != nil {
			return dst, err
		}
		if sub.QoS > QoS2 || sub.RetainHandling > 2 {
			return dst, &EncodeError{TypeSubscribe, "subscription options above 2"}
		}
	}
	dst = appendHeader(dst, TypeSubscribe, 2, n)
	dst = append(dst, byte(s.PacketID>>8), byte(s.PacketID))
	dst = s.Properties.append(dst, v)
	for i := range s.Subscriptions {
		dst = appendString(dst, s.Subscriptions[i].Filter)
		dst = append(dst, s.Subscriptions[i].options(v))
	}
	return dst, nil
}

func decodeSubscribe(body []byte, v Version) (*Subscribe, error) {
	c := &cursor{p: body}
	s := &Subscribe{PacketID: c.packetID(TypeSubscribe, Client)}
	if v >= V50 {
		s.Properties = c.properties(nil, TypeSubscribe, Client).Clone()
	}
	for len(c.p) > 0 {
		if len(s.Subscriptions) == maxFilters {
			return s, tooMany("3.8.3", "topic filters")
		}
		filter := string(c.text())
		sub, err := decodeOptions(c.byte(), v)
		if c.err == nil && err != nil {
			c.fail(err)
		}
		sub.Filter = filter // [MQTT-3.8.3-1]
		s.Subscriptions = append(s.Subscriptions, sub)
	}
	if err := c.end(); err != nil {
		return s, err
	}
	if len(s.Subscriptions) == 0 {
		return s, protocolError("MQTT-3.8.3-2", "SUBSCRIBE without a topic filter")
	}
	return s, nil
}

func decodeOptions(o byte, v Version) (s Subscription, err *Error) {
	s.QoS = QoS(o & 3)
	reserved := byte(0xc0)
	if v < V50 {
		reserved = 0xfc
	}
	switch {
	case o&reserved != 0:
		return s, malformed("MQTT-3.8.3-5", "reserved subscription options are set")
	case s.QoS > QoS2 && v < V50:
		// The standard itself spells the number so.
		return s, malformed("MQTT-3.1.1: 3-8.3-4", "a subscription with QoS 3")
	case s.QoS > QoS2:
		return s, protocolError("3.8.3.1", "a subscription with QoS 3")
	case o>>4&3 == 3:
		return s, protocolError("3.8.3.1", "retain handling is 3")
	}
	s.NoLocal, s.RetainAsPublished, s.RetainHandling = o&4 != 0, o&8 != 0, o>>4&3
	return s, nil
}
