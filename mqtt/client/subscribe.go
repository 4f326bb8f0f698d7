package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"mqt/mqtt"
	"mqt/mqtt/flow"
	"mqt/mqtt/topic"
)

// subscribed is a SUBSCRIBE that the Server granted, less what was unsubscribed
// or replaced since: what a new Session needs.
type subscribed struct {
	subs  []mqtt.Subscription
	props mqtt.Properties
}

// request is a SUBSCRIBE or UNSUBSCRIBE under way.
type request struct {
	id      mqtt.PacketID // 0 while it is not sent
	subs    []mqtt.Subscription
	filters []string // of an UNSUBSCRIBE
	props   mqtt.Properties
	again   bool          // made by resume: nobody waits for it
	ended   chan response // nil if again
}

type response struct {
	codes []mqtt.ReasonCode
	err   error
}

func (r *request) end(a response) {
	if r.ended != nil {
		r.ended <- a
	}
}

// Subscribe sends a SUBSCRIBE and waits for the SUBACK. It returns the Reason
// Code of each filter: the QoS granted or, from 0x80, a failure; then the error
// is a *SubscribeError as well. With Options.Reconnect the subscriptions are
// made again when a later connection finds no Session. props may hold a
// Subscription Identifier and User Properties, 5.0 only.
func (c *Client) Subscribe(ctx context.Context, subs []mqtt.Subscription, props mqtt.Properties) ([]mqtt.ReasonCode, error) {
	if err := validateSubscriptions(subs, props); err != nil {
		return nil, err
	}
	return c.request(ctx, &request{subs: slices.Clone(subs), props: props})
}

// Unsubscribe sends an UNSUBSCRIBE and waits for the UNSUBACK. A 3.1.1 Server
// gives no Reason Codes: all are Success then.
func (c *Client) Unsubscribe(ctx context.Context, filters []string, props mqtt.Properties) ([]mqtt.ReasonCode, error) {
	var faults []error
	if len(filters) == 0 { // [MQTT-3.10.3-2]
		faults = append(faults, errors.New("client: UNSUBSCRIBE without a Topic Filter"))
	}
	for _, f := range filters {
		if err := topic.ValidateFilter(f); err != nil {
			faults = append(faults, fmt.Errorf("client: %w", err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return c.request(ctx, &request{filters: slices.Clone(filters), props: props})
}

func validateSubscriptions(subs []mqtt.Subscription, props mqtt.Properties) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("client: "+format, args...)) }
	if len(subs) == 0 { // [MQTT-3.8.3-2]
		fault("SUBSCRIBE without a Topic Filter")
	}
	for i := range subs {
		s := &subs[i]
		if err := topic.ValidateFilter(s.Filter); err != nil {
			fault("%w", err)
			continue
		}
		if s.QoS > mqtt.QoS2 || s.RetainHandling > 2 {
			fault("%s: QoS and Retain Handling go up to 2", s.Filter)
		}
		if _, _, shared, _ := topic.SplitShare(s.Filter); shared && s.NoLocal { // [MQTT-3.8.3-4]
			fault("%s: No Local on a Shared Subscription", s.Filter)
		}
	}
	for i := range props {
		if id := props[i].ID; !id.AllowedIn(mqtt.TypeSubscribe) {
			fault("%s is no property of SUBSCRIBE", id)
		}
	}
	return errors.Join(faults...)
}

// request sends r, again after a reconnect, and waits for the answer.
func (c *Client) request(ctx context.Context, r *request) ([]mqtt.ReasonCode, error) {
	r.ended = make(chan response, 1)
	c.mu.Lock()
	switch {
	case c.state == Closed:
		defer c.mu.Unlock()
		return nil, c.err
	case c.stopping:
		c.mu.Unlock()
		return nil, ErrClosed
	}
	c.requests = append(c.requests, r)
	l := c.link
	if c.open() {
		l.request(r)
	}
	c.mu.Unlock()
	if l != nil {
		l.flush()
	}
	select {
	case a := <-r.ended:
		return a.codes, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// request writes a SUBSCRIBE or UNSUBSCRIBE. mu is held.
func (l *link) request(r *request) {
	c := l.c
	state := flow.SubscribeSent
	if r.filters != nil {
		state = flow.UnsubscribeSent
	}
	id, ok := c.send.Reserve(state, outgoing{})
	if !ok {
		l.fail(r, errors.New("client: all packet identifiers are in use"))
		return
	}
	var p mqtt.Packet = &mqtt.Subscribe{PacketID: id, Subscriptions: r.subs, Properties: r.props}
	if r.filters != nil {
		p = &mqtt.Unsubscribe{PacketID: id, Filters: r.filters, Properties: r.props}
	}
	err := l.allowed(r)
	if n := l.maximumPacketSize; err == nil && n > 0 && p.Size(l.version) > int(n) {
		err = ErrPacketTooLarge
	}
	if err == nil {
		err = l.control(p)
	}
	if err != nil {
		c.send.Release(state, id)
		l.fail(r, err)
		return
	}
	r.id = id
}

// allowed checks a SUBSCRIBE against the features of the Server, section
// 3.2.2.3.11 to 13: to ask for what it lacks is a Protocol Error.
func (l *link) allowed(r *request) error {
	ps := l.c.connack.Properties
	codes := make([]mqtt.ReasonCode, len(r.subs))
	denied := false
	for i := range r.subs {
		_, inner, shared, _ := topic.SplitShare(r.subs[i].Filter)
		switch {
		case shared && ps.NumberOr(mqtt.SharedSubscriptionAvailable, 1) == 0:
			codes[i] = mqtt.SharedSubscriptionsNotSupported
		case topic.ValidateName(inner) != nil && ps.NumberOr(mqtt.WildcardSubscriptionAvailable, 1) == 0:
			codes[i] = mqtt.WildcardSubscriptionsNotSupported
		case r.props.Has(mqtt.SubscriptionIdentifier) && ps.NumberOr(mqtt.SubscriptionIdentifierAvailable, 1) == 0:
			codes[i] = mqtt.SubscriptionIdentifiersNotSupported
		}
		denied = denied || codes[i] != 0
	}
	if !denied {
		return nil
	}
	return &SubscribeError{Filters: filtersOf(r.subs), ReasonCodes: codes}
}

// fail ends a request that cannot be sent. mu is held.
func (l *link) fail(r *request, err error) {
	a := response{err: err}
	if denied, ok := errors.AsType[*SubscribeError](err); ok {
		a.codes = denied.ReasonCodes
	}
	l.c.forgetRequest(r)
	r.end(a)
	if r.again {
		l.conn.Close(err)
	}
}

func (c *Client) forgetRequest(r *request) {
	// A new slice: resume walks over the old one.
	c.requests = slices.DeleteFunc(slices.Clone(c.requests), func(o *request) bool { return o == r })
	if len(c.requests) == 0 {
		c.requests = nil
	}
}

// take returns the request that an acknowledgement answers. mu is held.
func (l *link) take(id mqtt.PacketID, state flow.State) *request {
	if _, ok := l.c.send.Release(state, id); !ok {
		return nil
	}
	l.progress = true
	for _, r := range l.c.requests {
		if r.id == id {
			l.c.forgetRequest(r)
			return r
		}
	}
	return nil
}

// onSuback ends a SUBSCRIBE. mu is held.
func (l *link) onSuback(p *mqtt.Suback) error {
	r := l.take(p.PacketID, flow.SubscribeSent)
	if r == nil {
		return nil
	}
	if len(p.ReasonCodes) != len(r.subs) { // [MQTT-3.8.4-6]
		r.end(response{err: lost(errBadSuback())})
		return errBadSuback()
	}
	l.c.remember(r, p.ReasonCodes)
	err := denied(filtersOf(r.subs), p.ReasonCodes, p.Properties)
	if r.again {
		return err
	}
	r.end(response{p.ReasonCodes, err})
	return nil
}

func errBadSuback() error {
	return protocolError("MQTT-3.8.4-6", "an acknowledgement without one reason code for each filter")
}

// onUnsuback ends an UNSUBSCRIBE. mu is held.
func (l *link) onUnsuback(p *mqtt.Unsuback) error {
	r := l.take(p.PacketID, flow.UnsubscribeSent)
	if r == nil {
		return nil
	}
	codes := p.ReasonCodes
	if l.version < mqtt.V50 {
		codes = make([]mqtt.ReasonCode, len(r.filters))
	}
	if len(codes) != len(r.filters) {
		r.end(response{err: lost(errBadSuback())})
		return errBadSuback()
	}
	for i, f := range r.filters {
		if !codes[i].Failed() {
			l.c.forget(f)
		}
	}
	r.end(response{codes, denied(r.filters, codes, p.Properties)})
	return nil
}

func denied(filters []string, codes []mqtt.ReasonCode, ps mqtt.Properties) error {
	if !slices.ContainsFunc(codes, mqtt.ReasonCode.Failed) {
		return nil
	}
	text, _ := ps.Text(mqtt.ReasonString)
	return &SubscribeError{Filters: filters, ReasonCodes: codes, ReasonString: text}
}

// remember keeps what was granted for a Session to come. mu is held.
func (c *Client) remember(r *request, codes []mqtt.ReasonCode) {
	d := c.dials
	if c.backoff() == nil || r.again {
		return
	}
	kept := subscribed{props: r.props}
	for i := range r.subs {
		if codes[i].Failed() {
			continue
		}
		c.forget(r.subs[i].Filter) // it is replaced [MQTT-3.8.4-3]
		kept.subs = append(kept.subs, r.subs[i])
	}
	if kept.subs != nil {
		d.subscribed = append(d.subscribed, kept)
	}
}

// forget drops a filter that is not subscribed any more. mu is held.
func (c *Client) forget(filter string) {
	d := c.dials
	if d == nil {
		return
	}
	for i := range d.subscribed {
		s := &d.subscribed[i]
		// A new slice: a request under way may share the old one.
		s.subs = slices.DeleteFunc(slices.Clone(s.subs), func(s mqtt.Subscription) bool { return s.Filter == filter })
	}
	d.subscribed = slices.DeleteFunc(d.subscribed, func(s subscribed) bool { return len(s.subs) == 0 })
}

func filtersOf(subs []mqtt.Subscription) []string {
	filters := make([]string, len(subs))
	for i := range subs {
		filters[i] = subs[i].Filter
	}
	return filters
}
