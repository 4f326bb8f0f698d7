package broker

import (
	"errors"
	"strings"

	"mqt/mqtt"
	"mqt/mqtt/topic"
)

// subscribe handles SUBSCRIBE, section 3.8.4: its SUBACK [MQTT-3.8.4-1],
// [MQTT-3.8.4-2] first, which has no texts [MQTT-3.9.2-1], [MQTT-3.9.2-2], then
// the retained messages of each filter [MQTT-3.8.4-4], as if each had come alone
// [MQTT-3.8.4-5].
func (c *conn) subscribe(t *turn, p *mqtt.Subscribe) error {
	for i := range p.Subscriptions {
		if err := topic.ValidateFilter(p.Subscriptions[i].Filter); err != nil {
			return invalidTopic(err) // not data that the protocol allows [MQTT-4.13.1-1], [MQTT-3.1.1: 4.8.0-1]
		}
		if err := c.b.permits(p, &p.Subscriptions[i]); err != nil && c.version >= mqtt.V50 {
			return err // older clients were not told by CONNACK: see addSubscription
		}
	}
	id := p.Properties.NumberOr(mqtt.SubscriptionIdentifier, 0)
	suback := &mqtt.Suback{PacketID: p.PacketID, ReasonCodes: make([]mqtt.ReasonCode, len(p.Subscriptions))}
	var retained, added []*subscription
	unchanged := true
	for i := range p.Subscriptions {
		want := c.s.wanted(&p.Subscriptions[i], id)
		want.QoS = min(want.QoS, *c.b.opt.MaximumQoS) // [MQTT-3.2.2-10]
		sub, before, code, err := c.addSubscription(t, &want)
		if err != nil {
			return err
		}
		suback.ReasonCodes[i] = code // [MQTT-3.8.4-6], [MQTT-3.8.4-7], [MQTT-3.9.3-1]
		if code.Failed() {
			continue
		}
		fresh := before == nil
		if fresh && c.s.durable() {
			added = append(added, sub)
		}
		unchanged = unchanged && !fresh && sub.equals(before)
		// [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]; shared ones get none. In 3.1.1 it is always 0
		// [MQTT-3.1.1: 3.3.1-6], [MQTT-3.1.1: 3.8.4-3].
		if (sub.RetainHandling == 0 || sub.RetainHandling == 1 && fresh) && !isShared(sub.filter()) {
			retained = append(retained, sub)
		}
	}
	if c.s.durable() {
		c.storing = &storing{suback: suback, retained: retained, added: added, unchanged: unchanged}
		t.wait = true
		return errStoring
	}
	return c.subscribed(t, suback, retained)
}

// subscribed sends SUBACK and the retained messages.
func (c *conn) subscribed(t *turn, suback *mqtt.Suback, retained []*subscription) error {
	if err := c.answer(t, suback); err != nil {
		return err
	}
	c.flushAcks(t)
	c.b.tidy.arm()
	for _, sub := range retained {
		c.b.sendRetained(t, c, sub)
	}
	return nil
}

// permits checks what is an error of the whole packet.
func (b *Broker) permits(p *mqtt.Subscribe, sub *mqtt.Subscription) error {
	shared := isShared(sub.Filter)
	switch {
	case shared && sub.NoLocal:
		return &mqtt.Error{Code: mqtt.ProtocolError, Statement: "MQTT-3.8.3-4", Text: "No Local on a shared subscription"}
	case shared && b.opt.NoShared:
		return &mqtt.Error{Code: mqtt.SharedSubscriptionsNotSupported, Statement: "3.2.2.3.13", Text: "shared subscriptions are off"}
	case b.opt.NoWildcard && strings.ContainsAny(sub.Filter, "+#"):
		return &mqtt.Error{Code: mqtt.WildcardSubscriptionsNotSupported, Statement: "3.2.2.3.11", Text: "wildcard subscriptions are off"}
	case b.opt.NoSubscriptionID && p.Properties.Has(mqtt.SubscriptionIdentifier):
		return &mqtt.Error{Code: mqtt.SubscriptionIdentifiersNotSupported, Statement: "3.2.2.3.12", Text: "subscription identifiers are off"}
	}
	return nil
}

func isShared(filter string) bool { return strings.HasPrefix(filter, "$share/") }

// addSubscription makes what is wanted a subscription of the session, sub, in the
// place of one with the same filter [MQTT-3.8.4-3], before.
func (c *conn) addSubscription(t *turn, want *subscription) (sub, before *subscription, code mqtt.ReasonCode, err error) {
	group, inner, shared, err := topic.SplitShare(want.filter())
	if err != nil {
		return nil, nil, 0, invalidTopic(err)
	}
	if c.b.oversize(want.filter()) {
		c.b.exceeded(LimitTopic, c.clientID(), c.tc.RemoteAddr())
		return nil, nil, mqtt.TopicFilterInvalid, nil
	}
	if c.version < mqtt.V50 {
		var fault *mqtt.Error
		asked := want.wire()
		if errors.As(c.b.permits(&mqtt.Subscribe{}, &asked), &fault) {
			return nil, nil, fault.Code, nil
		}
	}
	s := c.s
	if !s.maySubscribe(inner) {
		return nil, nil, mqtt.NotAuthorized, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		return nil, nil, 0, errTakenOver
	}
	before, known := s.subs.get(want.filter())
	if !known && s.subs.len() >= c.b.limit().MaxSubscriptions {
		c.b.exceeded(LimitSubscriptions, s.clientID, nil)
		return nil, nil, mqtt.QuotaExceeded, nil
	}
	if !known {
		if !t.affords(want.cost()) {
			c.b.exceeded(LimitMemory, s.clientID, nil)
			return nil, nil, mqtt.QuotaExceeded, nil
		}
		t.tally.held += want.cost()
	}
	sub = s.subs.set(want)
	s.stageSubscribe(t, sub)
	if shared {
		c.b.shared.join(group, inner, sub)
	} else {
		c.b.subs.Put(&sub.entry)
	}
	return sub, before, mqtt.ReasonCode(sub.QoS), nil
}

// unroute takes a subscription out of the trees.
func (b *Broker) unroute(sub *subscription) {
	if group, inner, shared, _ := topic.SplitShare(sub.filter()); shared {
		b.shared.leave(group, inner, sub.session())
		return
	}
	b.subs.Delete(sub.filter(), sub.session())
}
