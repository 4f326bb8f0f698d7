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

// detach takes the connection from its session, unless another has it. It is within
// c.feeding.
func (c *conn) detach(t *turn, shutdown bool) {
	if !c.departs() {
		return
	}
	s := c.s
	s.mu.Lock()
	end := s.lose(t, c, shutdown)
	s.mu.Unlock()
	end.settle(t)
}

// lose takes c from its session, whose will and expiry begin to run. Where the
// server shuts down without a store, the will is withheld: there is nobody left to
// send it to. s.mu is held, and c.feeding.
func (s *session) lose(t *turn, c *conn, shutdown bool) remains {
	s.conn = nil
	s.online.Store(nil)
	if s.muted {
		s.muted = false
		s.setWill(t, c.storing.will) // it was not accepted yet
	}
	if shutdown && s.owner.b.store == nil {
		s.setWill(t, nil)
	}
	now := s.owner.b.timers.now()
	w := s.will
	if s.expiry == 0 {
		return s.finish(t)
	}
	if s.expiry != Never { // [MQTT-3.1.2-23]
		s.endAt = now + time.Duration(s.expiry)*time.Second
	}
	s.stageLeft()
	switch {
	case w == nil:
	case shutdown:
		w = nil // whoever loads the Session publishes it
	case w.at != 0:
		w = nil // it was waiting before c came
	case w.delay > 0:
		w.at, w = now+w.delay, nil
	default:
		s.setWill(t, nil) // [MQTT-3.1.1: 3.1.2-10]
	}
	s.owner.b.timers.set(s, earliest(s.willAt(), s.endAt))
	s.trim(t)
	if !shutdown {
		s.part(t)
	}
	s.rest(t)
	return remains{s: s, will: w}
}

// remains are what is left to do for a Session that has lost its connection or has
// ended, with no lock held; the zero value is nothing.
type remains struct {
	s     *session
	will  *will // to be published
	ended bool
	subs  []*subscription
	left  []*delivery // for other members of their groups
}

func (r remains) settle(t *turn) {
	if r.ended {
		r.s.owner.b.forgetSession(r.s)
		for _, sub := range r.subs {
			r.s.owner.b.unroute(sub)
		}
	}
	if len(r.left) > 0 {
		t.apart(func() {
			for _, d := range r.left {
				d.group.handOver(t, d)
			}
		})
	}
	if r.will != nil {
		r.s.owner.b.publishWill(t, r.s, r.will)
	}
}
