package broker

import (
	"bytes"
	"strings"

	"mqt/mqtt"
	"mqt/mqtt/topic"
)

// publish handles an inbound PUBLISH, section 3.3.4. One that is not permitted
// is acknowledged to 3.1.1 like any other [MQTT-3.1.1: 3.3.5-2].
func (c *conn) publish(t *turn, p *mqtt.Publish) error {
	t.tally.received++
	t.tally.payload += int64(len(p.Payload))
	if err := c.throttleMessage(t); err != nil {
		return err
	}
	name, err := c.topicName(t, p)
	if err != nil {
		return err
	}
	if p.QoS > *c.b.opt.MaximumQoS {
		return &mqtt.Error{Code: mqtt.QoSNotSupported, Statement: "MQTT-3.2.2-11", Text: "QoS above the Maximum QoS"}
	}
	if p.Retain && c.b.opt.NoRetain {
		return &mqtt.Error{Code: mqtt.RetainNotSupported, Statement: "MQTT-3.2.2-14", Text: "retained messages are off"}
	}
	if err := badResponse(p.Properties); err != nil {
		return err
	}
	switch {
	case p.QoS == mqtt.QoS1 && c.flags.has(full):
		return &mqtt.Error{Code: mqtt.ReceiveMaximumExceeded, Statement: "MQTT-3.3.4-7",
			Text: "more messages under way than the Receive Maximum"}
	case p.QoS == mqtt.QoS2:
		duplicate, err := c.receive(t, p.PacketID)
		if err != nil {
			return err
		}
		if duplicate {
			// Known and not yet released: acknowledged again, not delivered
			// again [MQTT-4.3.3-10]. It may not be durable yet.
			t.wait = t.wait || c.s.durable()
			return c.ack(t, mqtt.TypePubrec, p.PacketID, mqtt.Success)
		}
	}
	code := mqtt.NotAuthorized
	if c.b.oversize(name) {
		c.b.exceeded(LimitTopic, c.clientID(), c.tc.RemoteAddr())
		code = mqtt.TopicNameInvalid
	} else if !isOurs(name) && c.mayPublish(name) {
		t.pub.begin(name, p.Payload, t.travelling(p.Properties), p.QoS, p.Retain, c.s)
		before := t.stagedOps()
		code = c.b.publish(t, c)
		t.wait = t.wait || p.QoS > mqtt.QoS0 && t.stagedOps() > before
	}
	return c.acknowledge(t, p, code)
}

// isOurs reports whether only the server publishes to the topic, section 4.7.2.
func isOurs(name string) bool { return name == "$SYS" || strings.HasPrefix(name, "$SYS/") }

// badResponse checks a Response Topic, which is a Topic Name, section 3.3.2.3.5.
func badResponse(ps mqtt.Properties) error {
	response, ok := ps.Bytes(mqtt.ResponseTopic)
	switch {
	case ok && len(response) == 0:
		return &mqtt.Error{Code: mqtt.ProtocolError, Statement: "MQTT-4.7.3-1", Text: "the response topic is empty"}
	case ok && bytes.ContainsAny(response, "+#"):
		return &mqtt.Error{Code: mqtt.ProtocolError, Statement: "MQTT-3.3.2-14", Text: "the response topic has a wildcard"}
	}
	return nil
}

// topicName resolves an alias and returns the Topic Name as a string that may
// be kept. A publisher mostly repeats its topics, which then cost nothing.
func (c *conn) topicName(t *turn, p *mqtt.Publish) (string, error) {
	if alias, ok := p.Properties.Number(mqtt.TopicAlias); ok {
		name, err := c.resolve(t, uint16(alias), p.Topic)
		if err != nil || len(p.Topic) == 0 {
			return name, err
		}
	}
	k := c.notes()
	if k.lastTopic == string(p.Topic) {
		return k.lastTopic, nil
	}
	for i := range k.topics {
		if k.topics[i].topic == string(p.Topic) {
			return k.topics[i].topic, nil
		}
	}
	name := string(p.Topic)
	if err := topic.ValidateName(name); err != nil {
		return "", invalidTopic(err) // [MQTT-3.3.2-2]
	}
	if len(name) <= longTopic {
		k.lastTopic = name
	}
	return name, nil
}

// longTopic is the length above which a name is not remembered beside the aliases
// and routes, which are counted.
const longTopic = 1 << 10

// resolve finds the name of a Topic Alias, or gives it another.
func (c *conn) resolve(t *turn, alias uint16, name []byte) (string, error) {
	aliases := &c.notes().aliases
	if len(name) > 0 {
		old, err := aliases.Resolve(alias, nil)
		grow := int64(len(name) - len(old))
		if err != nil {
			grow += aliasCost // it is new, or the error comes again
		}
		if grow > 0 && !t.affords(grow) {
			c.b.exceeded(LimitMemory, c.clientID(), c.tc.RemoteAddr())
			return "", &mqtt.Error{Code: mqtt.QuotaExceeded, Statement: "4.13", Text: "the memory for topic aliases is used up"}
		}
		if found, err := aliases.Resolve(alias, name); err != nil {
			return found, err
		}
		c.charge(t, grow)
	}
	return aliases.Resolve(alias, nil)
}

// travelling returns the properties that go on to subscribers, unaltered and in
// their order [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16],
// [MQTT-3.3.2-17], [MQTT-3.3.2-18], [MQTT-3.3.2-20].
func (t *turn) travelling(ps mqtt.Properties) mqtt.Properties {
	if !ps.Has(mqtt.TopicAlias) {
		return ps
	}
	t.inProps = t.inProps[:0]
	for i := range ps {
		if ps[i].ID != mqtt.TopicAlias {
			t.inProps = append(t.inProps, ps[i])
		}
	}
	return t.inProps
}

// receive notes a QoS 2 Packet Identifier. QoS 1 needs none: it is
// acknowledged in the turn that brings it, so it finds room or it does not.
func (c *conn) receive(t *turn, id mqtt.PacketID) (duplicate bool, err error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.conn != c {
		return false, errTakenOver
	}
	c.s.fly(t)
	duplicate, err = c.s.receiver.Publish(id, mqtt.QoS2)
	c.flags.put(full, c.s.receiver.Quota() == 0)
	if err == nil && !duplicate {
		c.s.stageReceive(t, id)
	}
	return duplicate, err
}

// publish stores t.pub where it is retained and sends it to its subscribers. c
// is the publisher, nil for a will. What is retained and finds no room is not
// accepted at all where the publisher can be told so, section 3.4.2.1: it may
// publish it again. A publisher who cannot be told loses only that it is kept. So
// is a message of which all is dropped, for no queue has room for it; where one
// subscriber gets it, or it is retained, the queues of the others are theirs.
func (b *Broker) publish(t *turn, c *conn) mqtt.ReasonCode {
	told := c != nil && c.version >= mqtt.V50 && t.pub.qos > mqtt.QoS0
	// Without RETAIN nothing that is kept changes [MQTT-3.3.1-8].
	if t.pub.retain && !b.opt.NoRetain && !b.retain(t) && told {
		return mqtt.QuotaExceeded
	}
	code := b.distribute(t, c)
	if code == mqtt.QuotaExceeded && (!told || t.pub.retain) {
		return mqtt.Success
	}
	return code
}

// acknowledge answers a PUBLISH by its QoS [MQTT-3.3.4-1], [MQTT-4.3.2-4],
// [MQTT-4.3.3-8].
func (c *conn) acknowledge(t *turn, p *mqtt.Publish, code mqtt.ReasonCode) error {
	switch p.QoS {
	case mqtt.QoS1:
		return c.ack(t, mqtt.TypePuback, p.PacketID, code)
	case mqtt.QoS2:
		if code.Failed() && c.version >= mqtt.V50 {
			c.s.mu.Lock()
			if c.s.flight != nil { // the Session has not ended meanwhile
				c.s.receiver.Pubrec(p.PacketID, code) // the flow ends here
				c.flags.put(full, c.s.receiver.Quota() == 0)
				c.s.stageRelease(t, p.PacketID)
			}
			c.s.mu.Unlock()
		}
		return c.ack(t, mqtt.TypePubrec, p.PacketID, code)
	}
	return nil
}
