package broker

import (
	"mqt/mqtt"
	"mqt/mqtt/topic"
)

// unsubscribe handles UNSUBSCRIBE, section 3.10.4: all its filters
// [MQTT-3.10.4-6] with one UNSUBACK in any case [MQTT-3.10.4-4],
// [MQTT-3.10.4-5], without texts [MQTT-3.11.2-1], [MQTT-3.11.2-2]. What is under way to the
// client is completed [MQTT-3.10.4-3]. The codes of UNSUBACK are in the order of
// the filters [MQTT-3.11.3-1]; 3.1.1 has none [MQTT-3.1.1: 3.10.4-5].
func (c *conn) unsubscribe(t *turn, p *mqtt.Unsubscribe) error {
	for _, filter := range p.Filters {
		if err := topic.ValidateFilter(filter); err != nil {
			return invalidTopic(err) // [MQTT-4.13.1-1], [MQTT-3.1.1: 4.8.0-1]
		}
	}
	unsuback := &mqtt.Unsuback{PacketID: p.PacketID, ReasonCodes: make([]mqtt.ReasonCode, len(p.Filters))}
	s := c.s
	s.mu.Lock()
	if s.conn != c {
		s.mu.Unlock()
		return errTakenOver
	}
	for i, filter := range p.Filters {
		sub, ok := s.subs.get(filter) // compared byte by byte [MQTT-3.10.4-1]
		s.stageUnsubscribe(t, filter)
		if !ok {
			unsuback.ReasonCodes[i] = mqtt.NoSubscriptionExisted
			continue
		}
		s.subs.delete(filter)
		t.tally.held -= sub.cost()
		c.b.unroute(sub) // no new messages from here [MQTT-3.10.4-2]
	}
	s.mu.Unlock()
	return c.answer(t, unsuback)
}
