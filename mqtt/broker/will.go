package broker

import (
	"time"

	"mqt/mqtt"
)

// will is a Will Message with its delay, section 3.1.2.5.
type will struct {
	*mqtt.Will
	delay time.Duration
	at    time.Duration // when it is due, 0: not yet known
}

// willAt is when the will is due that waits for its delay, 0: none does. s.mu is
// held.
func (s *session) willAt() time.Duration {
	if s.will == nil {
		return 0
	}
	return s.will.at
}

func newWill(p *mqtt.Connect) *will {
	if p.Will == nil {
		return nil
	}
	delay := p.Will.Properties.NumberOr(mqtt.WillDelayInterval, 0)
	return &will{Will: p.Will, delay: time.Duration(delay) * time.Second}
}

// takeWill takes the will out that is due, nil: none is. s.mu is held.
func (s *session) takeWill(t *turn, now time.Duration) *will {
	at := s.willAt()
	if at == 0 || now < at {
		return nil
	}
	w := s.will
	s.setWill(t, nil)
	return w
}

// publishWill publishes the will of s [MQTT-3.1.2-8], [MQTT-3.1.1: 3.1.2-8], as
// its Will Retain says [MQTT-3.1.2-14], [MQTT-3.1.2-15]. Its properties travel in
// their order [MQTT-3.1.3-10], but for the delay; its expiry counts from now. It and
// the record without it are one commitment of their own.
func (b *Broker) publishWill(t *turn, s *session, w *will) {
	t.apart(func() { b.publishWillIn(t, s, w) })
}

func (b *Broker) publishWillIn(t *turn, s *session, w *will) {
	if acl := b.acl.Load(); acl != nil && !s.rightsBy(acl).MayPublish(w.Topic) { // any more
		b.count.deniedPublish.Add(1)
		b.opt.Log.Info("will denied", "client", s.clientID, "user", s.owner.name, "topic", w.Topic)
		s.stageWillDone(t)
		return
	}
	t.pub.begin(w.Topic, w.Payload, w.Properties.Without(mqtt.WillDelayInterval), w.QoS, w.Retain, s)
	b.publish(t, nil)
	s.stageWillDone(t)
}
