package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/flow"
)

// trouble is a time without a connection that was of use.
type trouble struct {
	since time.Time // the loss, and later by how long connections were up
	cause error     // the loss that began it; nil: there never was one
}

// left is how much of b.Within there is.
func (t *trouble) left(b *Backoff) time.Duration { return time.Until(t.since.Add(b.Within)) }

// minPatience is what an attempt has at least.
const minPatience = time.Second

// patience bounds the next attempt.
func (c *Client) patience() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.dials
	if b := c.backoff(); b != nil && b.Within > 0 && d.trouble != nil {
		return min(d.opt.ConnectTimeout, max(d.trouble.left(b), minPatience))
	}
	return d.opt.ConnectTimeout
}

// lost goes on after the connection l has ended: with the next one, or with the
// end. mu is held, and released.
func (c *Client) lost(l *link, err error) {
	if b := c.backoff(); b != nil {
		d, now := c.dials, time.Now()
		up := now.Sub(l.time(l.accepted))
		if d.trouble == nil || d.trouble.cause == nil || l.useful || up >= b.lasting() {
			d.trouble, d.failures = &trouble{now, err}, 0
			d.secret.fresh = false
		} else {
			d.trouble.since = d.trouble.since.Add(up) // nothing came, but nothing was amiss
		}
	}
	c.send.DropReserved()
	for _, r := range c.requests {
		r.id = 0
	}
	c.tryAgain(err)
}

// tryAgain sets the timer of the next attempt, or ends the Client. mu is held,
// and released.
func (c *Client) tryAgain(err error) {
	if c.stopping {
		c.mu.Unlock()
		c.finish(ErrClosed)
		return
	}
	if c.dials != nil {
		c.dials.failures++
	}
	delay, again := c.again(err)
	if !again {
		err = c.verdict(err)
		c.mu.Unlock()
		c.finish(lost(err))
		return
	}
	c.setState(Reconnecting, err)
	if c.stopping { // Close while OnState was told
		c.mu.Unlock()
		c.finish(ErrClosed)
		return
	}
	c.dials.retry = time.AfterFunc(delay, c.reconnect)
	c.mu.Unlock()
}

// maxTakeOvers is how many take-overs in a row are answered by a new connection.
const maxTakeOvers = 3

// again decides whether the cause allows another attempt, and when. mu is held.
func (c *Client) again(err error) (time.Duration, bool) {
	b := c.backoff()
	if b == nil || c.stopping || c.exhausted() {
		return 0, false
	}
	d := c.dials
	if e, ok := errors.AsType[*DisconnectError](err); ok && b.Within == 0 {
		// A take-over may be our own doing: the CONNECT of a connection that
		// broke, read late. When it happens again and again there is somebody
		// to fight with.
		if e.ReasonCode != mqtt.SessionTakenOver {
			d.takeOver = 0
		} else if d.takeOver++; d.takeOver <= maxTakeOvers {
			return b.delay(d.takeOver), true
		}
	}
	if c.expired(err) {
		d.secret.stale = true
	} else if permanent(err) {
		return 0, false
	}
	delay := b.delay(d.failures)
	if b.Within > 0 && d.trouble != nil {
		delay = max(min(delay, d.trouble.left(b)), 0)
	}
	return delay, true
}

// expired tells that the Server does not take the credentials, which can be
// renewed: they are not fresh. mu is held.
func (c *Client) expired(err error) bool {
	if c.run.credentials == nil || c.dials.secret.fresh {
		return false
	}
	var code mqtt.ReasonCode
	if e, ok := errors.AsType[*ConnectError](err); ok {
		code = e.ReasonCode
	} else if e, ok := errors.AsType[*DisconnectError](err); ok {
		code = e.ReasonCode
	}
	return code == mqtt.BadUserNameOrPassword || code == mqtt.NotAuthorized || code == mqtt.MaximumConnectTime
}

// exhausted tells that Attempts or Within are. mu is held.
func (c *Client) exhausted() bool {
	b, d := c.backoff(), c.dials
	return b.Attempts > 0 && d.failures > b.Attempts || b.Within > 0 && d.trouble != nil && d.trouble.left(b) <= 0
}

// permanent reports whether a new connection would end the same way.
func permanent(err error) bool {
	if e, ok := errors.AsType[*ConnectError](err); ok && e.permanent() {
		return true
	}
	if e, ok := errors.AsType[*DisconnectError](err); ok && e.permanent() {
		return true
	}
	if _, ok := errors.AsType[*mqtt.Error](err); ok {
		return true // a Server that breaks the standard will do so again
	}
	if _, ok := errors.AsType[*SubscribeError](err); ok {
		return true
	}
	return errors.Is(err, ErrServerNotAuthenticated)
}

// verdict is the error that a Client without another attempt ends with. mu is
// held.
func (c *Client) verdict(err error) error {
	d := c.dials
	if c.backoff() == nil || d.trouble == nil || d.trouble.cause == nil || !c.exhausted() || permanent(err) {
		return err
	}
	return &RetryError{After: time.Since(d.trouble.since), Cause: d.trouble.cause, Last: err}
}

// reconnect is one attempt, on the timer's goroutine.
func (c *Client) reconnect() {
	err := c.connect(context.Background())
	if err == nil {
		return
	}
	c.mu.Lock()
	if c.state == Closed {
		c.mu.Unlock()
		return
	}
	c.tryAgain(err)
}

// resume takes up the Session on a new connection [MQTT-3.1.2-23]:
// acknowledgements of both sides, subscriptions, and what must be sent again before anything new. mu is
// held.
func (l *link) resume(present bool) {
	c := l.c
	if !present {
		c.newSession()
	}
	if l.version >= mqtt.V50 {
		c.recv.Reset(c.dials.opt.ReceiveMaximum)
	} else {
		c.recv.Reset(0) // the Server was told nothing
	}
	c.send.Reset(l.window())
	for _, r := range c.requests {
		l.request(r)
	}
	l.resend()
}

// window is our send quota: the Server's Receive Maximum, or less by choice.
func (l *link) window() uint16 {
	n := int(l.c.connack.Properties.NumberOr(mqtt.ReceiveMaximum, 65535))
	if own := l.c.dials.opt.InFlight; own > 0 {
		n = min(n, own)
	}
	return uint16(n)
}

// newSession drops the state of a Session that the Server does not have
// [MQTT-3.2.2-5]. Our messages are published anew, but for those that it took
// over before; subscriptions are made again. mu is held.
func (c *Client) newSession() {
	c.recv = flow.Receiver{}
	c.held = nil
	c.publishAnew()
	d := c.dials
	if d.subscribed == nil {
		return
	}
	again := make([]*request, 0, len(d.subscribed)+len(c.requests))
	c.requests = slices.DeleteFunc(c.requests, func(r *request) bool { return r.again })
	for _, s := range d.subscribed {
		again = append(again, &request{subs: s.subs, props: s.props, again: true})
	}
	c.requests = append(again, c.requests...)
}

// publishAnew makes first publications of the messages under way, in their
// order. mu is held.
func (c *Client) publishAnew() {
	var received flow.Sender[outgoing]
	for id, e := range c.send.All() {
		if e.State != flow.PubrelSent {
			continue
		}
		c.send.Pubcomp(id)
		if c.dials.opt.ResendReceived {
			received.Restore(id, flow.PublishQoS2, e.Value)
			continue
		}
		c.dials.later = append(c.dials.later, func() { e.Value.end(mqtt.Success, nil) })
	}
	for id, e := range c.send.All() {
		received.Restore(id, e.State, e.Value)
	}
	c.send = received
	for id := range c.send.All() {
		c.markUnsent(id)
	}
}

// resend sends again what the Session holds, as far as quota and the transport
// go. mu is held.
func (l *link) resend() {
	c := l.c
	if !c.send.Pending() || l.ending {
		return
	}
	b := batches.Get().(*Batch)
	for !l.blocked {
		id, e, ok := c.send.Resend()
		if !ok {
			break
		}
		if e.State == flow.PubrelSent {
			l.ack(mqtt.TypePubrel, id, mqtt.Success)
			continue
		}
		l.push(&b.out) // PUBRELs first
		_, fresh := c.dials.unsent[id]
		delete(c.dials.unsent, id)
		err := l.admit(e.Value.m)
		if err == nil {
			err = l.publish(b, e.Value.m, id, !fresh)
		}
		if err != nil { // what the last connection took, this one does not
			o := c.drop(id)
			c.dials.later = append(c.dials.later, func() { o.end(0, err) })
		}
	}
	l.push(&b.out)
	b.Flush()
	batches.Put(b)
}

func (c *Client) markUnsent(id mqtt.PacketID) {
	d := c.dials
	if d.unsent == nil {
		d.unsent = make(map[mqtt.PacketID]struct{})
	}
	d.unsent[id] = struct{}{}
}
