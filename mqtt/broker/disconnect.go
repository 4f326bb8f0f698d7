package broker

import (
	"time"

	"mqt/mqtt"
)

// disconnect handles DISCONNECT, section 3.14.4.
func (c *conn) disconnect(t *turn, p *mqtt.Disconnect) error {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		return errTakenOver
	}
	if expiry, ok := p.Properties.Number(mqtt.SessionExpiryInterval); ok {
		if s.expiry == 0 && expiry != 0 {
			return &mqtt.Error{Code: mqtt.ProtocolError, Statement: "3.14.2.2.2",
				Text: "a session expiry interval where CONNECT had none"}
		}
		s.expiry = min(expiry, c.b.opt.MaxSessionExpiry)
	}
	if p.ReasonCode == mqtt.Success {
		s.setWill(t, nil) // [MQTT-3.14.4-3], [MQTT-3.1.1: 3.14.4-3], [MQTT-3.1.2-10]
	}
	return errDisconnected
}

// detach takes the connection from its session, whose will and expiry begin to
// run. Where the server shuts down without a store, the will is withheld: there is
// nobody left to send it to.
func (c *conn) detach(t *turn, shutdown bool) {
	s := c.s
	s.mu.Lock()
	if s.conn != c {
		s.mu.Unlock()
		return // taken over
	}
	s.conn = nil
	s.online.Store(nil)
	if s.muted || shutdown && s.owner.b.store == nil {
		s.setWill(t, nil) // it was not accepted yet, or nobody is left
	}
	s.muted = false
	now := c.b.timers.now()
	w := s.will
	if s.expiry == 0 {
		s.finish(t)
		return
	}
	if s.expiry != Never { // [MQTT-3.1.2-23]
		s.endAt = now + time.Duration(s.expiry)*time.Second
	}
	s.stageLeft()
	if shutdown {
		w = nil // whoever loads the Session publishes it
	}
	if w != nil {
		if w.delay > 0 {
			w.at, w = now+w.delay, nil
		} else {
			s.setWill(t, nil) // [MQTT-3.1.1: 3.1.2-10]
		}
	}
	c.b.timers.set(s, earliest(s.willAt(), s.endAt))
	s.trim(t)
	s.rest(t)
	s.mu.Unlock()
	if w != nil {
		c.b.publishWill(t, s, w)
	}
}
