package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"mqt/mqtt"
	"mqt/mqtt/topic"
)

// Done is told the end of a message that [Batch.Publish] has accepted, with the
// token given there: the Reason Code of PUBACK, PUBREC or PUBCOMP, and a
// *PublishError for a failure, or an error that is ErrConnectionLost or
// ErrClosed. It is called once, on the goroutine that reads, or at QoS 0 before
// Publish returns; it must not block, nor call a method that waits.
type Done func(token uint64, code mqtt.ReasonCode, err error)

// outgoing is one of our messages under way.
type outgoing struct {
	m     *mqtt.Message
	done  Done
	token uint64
}

func (o *outgoing) end(code mqtt.ReasonCode, err error) {
	if o.done != nil {
		o.done(o.token, code, err)
	}
}

// Publish sends a message and waits for the PUBACK or PUBCOMP; at QoS 0 until
// it is with the transport. It waits for room and, with Options.Reconnect, for a
// connection. The error is a *PublishError when the Server or its limits deny
// the message, ErrConnectionLost when its fate is not known, or ctx's: the
// message then stays under way. m must not change until Publish has returned,
// at QoS 1 and 2 not until its acknowledgement.
func (c *Client) Publish(ctx context.Context, m *mqtt.Message) (mqtt.ReasonCode, error) {
	type result struct {
		code mqtt.ReasonCode
		err  error
	}
	var ended chan result
	var done Done
	if m.QoS > mqtt.QoS0 {
		ended = make(chan result, 1)
		done = func(_ uint64, code mqtt.ReasonCode, err error) { ended <- result{code, err} }
	}
	for {
		err := c.publishNow(m, 0, done)
		if err == nil {
			break
		}
		if !errors.Is(err, ErrWindowFull) && !errors.Is(err, ErrNotConnected) {
			return 0, err
		}
		if err := c.waitRoom(ctx, m.QoS); err != nil {
			return 0, err
		}
	}
	if ended == nil {
		return mqtt.Success, nil
	}
	select {
	case r := <-ended:
		return r.code, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// PublishAsync sends a message and does not wait. When it returns nil, done
// (nil is allowed) is called once, as for [Batch.Publish], which costs less. The
// error is ErrWindowFull, ErrNotConnected, a *PublishError for a limit of the
// Server, or the Client's; nothing was sent then and done is not called.
func (c *Client) PublishAsync(m *mqtt.Message, done func(mqtt.ReasonCode, error)) error {
	if done == nil {
		return c.publishNow(m, 0, nil)
	}
	return c.publishNow(m, 0, func(_ uint64, code mqtt.ReasonCode, err error) { done(code, err) })
}

func (c *Client) publishNow(m *mqtt.Message, token uint64, done Done) error {
	b := batches.Get().(*Batch)
	err := b.Publish(c, m, token, done)
	b.Flush()
	batches.Put(b)
	return err
}

// Publish sends m with client c, as PublishAsync does: it never waits, and what
// it accepts is sent by Flush at the latest. Without a connection, a Client that
// will reconnect accepts QoS 1 and 2 as far as the window goes. m must not
// change until done is called. In steady state nothing is allocated.
func (b *Batch) Publish(c *Client, m *mqtt.Message, token uint64, done Done) error {
	o := outgoing{m, done, token}
	c.mu.Lock()
	err := c.publish(b, m, o)
	c.mu.Unlock()
	if err == nil && m.QoS == mqtt.QoS0 {
		o.end(mqtt.Success, nil)
	}
	return err
}

// publish starts the flow of a message. mu is held.
func (c *Client) publish(b *Batch, m *mqtt.Message, o outgoing) error {
	if m.Topic != c.topic || m.Topic == "" {
		if err := topic.ValidateName(m.Topic); err != nil {
			return &PublishError{ReasonCode: mqtt.TopicNameInvalid, Err: err}
		}
		c.topic = m.Topic
	}
	if len(m.Properties) > 0 || m.QoS > mqtt.QoS2 {
		if err := validate(m); err != nil {
			return err
		}
	}
	l := c.link
	switch {
	case c.state == Closed:
		return c.err
	case c.stopping:
		return ErrClosed
	case !c.open():
		return c.publishLater(m, o)
	case l.blocked:
		return ErrWindowFull
	}
	if err := l.admit(m); err != nil {
		return err
	}
	id, ok := c.send.Publish(m.QoS, o)
	if !ok {
		return ErrWindowFull
	}
	if err := l.publish(b, m, id, false); err != nil {
		c.drop(id)
		return err
	}
	return nil
}

// drop ends the flow of a message that is not sent. mu is held.
func (c *Client) drop(id mqtt.PacketID) outgoing {
	o, ok := c.send.Puback(id)
	if !ok {
		o, _, _ = c.send.Pubrec(id, mqtt.UnspecifiedError)
	}
	return o
}

// validate checks what only a caller can get wrong.
func validate(m *mqtt.Message) error {
	if m.QoS > mqtt.QoS2 {
		return &PublishError{ReasonCode: mqtt.ProtocolError, Err: fmt.Errorf("QoS %d", m.QoS)}
	}
	for i := range m.Properties {
		id := m.Properties[i].ID
		if !id.AllowedIn(mqtt.TypePublish) || id == mqtt.SubscriptionIdentifier { // [MQTT-3.3.4-6]
			return &PublishError{ReasonCode: mqtt.ProtocolError, Err: fmt.Errorf("%s is no property of a message", id)}
		}
		if id == mqtt.ResponseTopic { // [MQTT-3.3.2-14]
			if err := topic.ValidateName(string(m.Properties[i].Value)); err != nil {
				return &PublishError{ReasonCode: mqtt.ProtocolError, Err: fmt.Errorf("response topic: %w", err)}
			}
		}
	}
	return nil
}

// publishLater takes a message for the next connection. mu is held.
func (c *Client) publishLater(m *mqtt.Message, o outgoing) error {
	if m.QoS == mqtt.QoS0 || c.backoff() == nil {
		return ErrNotConnected
	}
	id, ok := c.send.Publish(m.QoS, o)
	if !ok {
		return ErrWindowFull
	}
	c.markUnsent(id)
	return nil
}

// admit checks a message against the Server's limits. mu is held.
func (l *link) admit(m *mqtt.Message) error {
	switch {
	case m.QoS > l.maximumQoS: // [MQTT-3.2.2-11]
		return &PublishError{ReasonCode: mqtt.QoSNotSupported}
	case m.Retain && l.noRetain: // [MQTT-3.2.2-14]
		return &PublishError{ReasonCode: mqtt.RetainNotSupported}
	}
	if len(m.Properties) > 0 {
		if alias, ok := m.Properties.Number(mqtt.TopicAlias); ok && l.version >= mqtt.V50 &&
			(alias == 0 || alias > uint32(l.topicAliasMaximum)) { // [MQTT-3.3.2-8], [MQTT-3.3.2-9], [MQTT-3.2.2-17], [MQTT-3.2.2-18]
			return &PublishError{ReasonCode: mqtt.TopicAliasInvalid}
		}
	}
	p := mqtt.Publish{QoS: m.QoS, Properties: m.Properties, Payload: m.Payload}
	size := p.Size(l.version) + len(m.Topic) + 3 // and an alias, or a longer length
	if size <= 1<<16 && l.maximumPacketSize == 0 {
		return nil
	}
	if l.maximumPacketSize > 0 && size > int(l.maximumPacketSize) || size > 256<<20 { // [MQTT-3.2.2-15]
		return &PublishError{ReasonCode: mqtt.PacketTooLarge, Err: ErrPacketTooLarge}
	}
	return nil
}

// copyFrom is the size from which a payload is not copied through the encoder.
const copyFrom = 4 << 10

// publish writes a PUBLISH. mu is held.
func (l *link) publish(b *Batch, m *mqtt.Message, id mqtt.PacketID, dup bool) error {
	p := mqtt.Publish{Dup: dup, QoS: m.QoS, Retain: m.Retain, PacketID: id, Properties: m.Properties}
	// The topic stands in front of the frame, only to be a []byte.
	b.frame = append(b.frame[:0], m.Topic...)
	p.Topic = b.frame
	var alias uint16
	if l.aliases != nil && l.topicAliasMaximum > 0 {
		alias = l.alias(b, &p, m)
	}
	p.Payload = m.Payload
	start := len(b.frame)
	var err error
	var body []byte
	if len(m.Payload) < copyFrom {
		b.frame, err = p.Append(b.frame, l.version)
	} else {
		b.frame, err = p.AppendHead(b.frame, l.version)
		if body = m.Payload; m.QoS == mqtt.QoS0 {
			body = bytes.Clone(body) // the caller may use it again
		}
	}
	if err != nil {
		if alias != 0 {
			l.aliases.out.Forget(alias)
		}
		return &PublishError{ReasonCode: mqtt.MalformedPacket, Err: err}
	}
	if l.c.run.trace != nil {
		q := p
		l.c.trace(Sent, &q)
	}
	l.write(b, b.frame[start:], body)
	return nil
}

// alias lets a Topic Alias stand for the topic, if the Server takes them and
// the caller does not choose them. It returns one that is new.
func (l *link) alias(b *Batch, p *mqtt.Publish, m *mqtt.Message) uint16 {
	if m.Properties.Has(mqtt.TopicAlias) {
		l.aliases.out.Reset(0)
		return 0
	}
	alias, known := l.aliases.out.Assign(m.Topic)
	if alias == 0 {
		return 0
	}
	b.props = append(append(b.props[:0], m.Properties...), mqtt.Num(mqtt.TopicAlias, uint32(alias)))
	p.Properties = b.props
	if known {
		p.Topic = nil
		return 0
	}
	return alias
}

// Window returns how many messages of QoS 1 and 2 can be published at this
// moment.
func (c *Client) Window() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.window()
}

func (c *Client) window() int {
	if !c.open() || c.link.blocked {
		return 0
	}
	return c.send.Quota()
}

// WaitWindow waits until Window is above 0, which holds for QoS 0 too.
func (c *Client) WaitWindow(ctx context.Context) error { return c.waitRoom(ctx, mqtt.QoS1) }

func (c *Client) waitRoom(ctx context.Context, qos mqtt.QoS) error {
	return c.wait(ctx, func() bool {
		if qos == mqtt.QoS0 {
			return c.open() && !c.link.blocked
		}
		return c.window() > 0
	})
}
