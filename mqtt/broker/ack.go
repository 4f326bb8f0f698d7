package broker

import "mqt/mqtt"

// puback ends a QoS 1 delivery, section 3.4. A failure ends it as well
// [MQTT-4.4.0-2], also that of a shared subscription [MQTT-4.8.2-6]. What is not
// known is not answered: the standard has no answer.
func (c *conn) puback(t *turn, p *mqtt.Puback) error {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		return errTakenOver
	}
	if s.flight == nil {
		return nil
	}
	w, ok := s.sender.Puback(p.PacketID)
	if !ok {
		return s.misplaced(p.PacketID)
	}
	s.land(t, w)
	s.pump(t)
	return nil
}

// misplaced is what an acknowledgement is that no message waits for: an error if
// one waits under its identifier for another kind, as the client's state is not
// ours then [MQTT-4.13.1-1], [MQTT-3.1.1: 4.8.0-1]. s.mu is held.
func (s *session) misplaced(id mqtt.PacketID) error {
	if _, known := s.sender.Get(id); known {
		return &mqtt.Error{Code: mqtt.ProtocolError, Statement: "MQTT-4.13.1-1",
			Text: "an acknowledgement of another kind than its message waits for"}
	}
	return nil
}

// pubrec is the first answer to a QoS 2 delivery, section 3.5.
func (c *conn) pubrec(t *turn, p *mqtt.Pubrec) error {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		return errTakenOver
	}
	var w queued
	var release, ok bool
	if s.flight != nil {
		w, release, ok = s.sender.Pubrec(p.PacketID, p.ReasonCode)
		if !ok {
			if err := s.misplaced(p.PacketID); err != nil {
				return err
			}
		}
	}
	switch {
	case release:
		s.stagePubrec(t, w)
		return c.ack(t, mqtt.TypePubrel, p.PacketID, mqtt.Success)
	case ok:
		s.land(t, w) // refused: the flow is over [MQTT-4.8.2-6]
		s.pump(t)
		return nil
	case p.ReasonCode.Failed():
		return nil
	case s.maySend(p.PacketID):
		return nil // it is early, and answers that when it comes again: it may not forget it
	}
	return c.ack(t, mqtt.TypePubrel, p.PacketID, mqtt.PacketIdentifierNotFound)
}

// pubcomp ends a QoS 2 delivery, section 3.7.
func (c *conn) pubcomp(t *turn, p *mqtt.Pubcomp) error {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		return errTakenOver
	}
	if s.flight == nil {
		return nil
	}
	w, ok := s.sender.Pubcomp(p.PacketID)
	if !ok {
		return s.misplaced(p.PacketID)
	}
	s.land(t, w)
	s.pump(t)
	return nil
}

// pubrel ends an inbound QoS 2 message, section 3.6 [MQTT-4.3.3-11], whether it
// has expired meanwhile or not [MQTT-4.3.3-13].
func (c *conn) pubrel(t *turn, p *mqtt.Pubrel) error {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		return errTakenOver
	}
	code := mqtt.PacketIdentifierNotFound
	if s.flight != nil {
		if s.receiver.Pubrel(p.PacketID) {
			code = mqtt.Success
		}
		s.receiver.Pubcomp()
		c.flags.put(full, s.receiver.Quota() == 0)
	}
	s.stageRelease(t, p.PacketID)
	return c.ack(t, mqtt.TypePubcomp, p.PacketID, code)
}
