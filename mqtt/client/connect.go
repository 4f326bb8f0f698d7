package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/transport"
)

// first makes the first connection.
func (c *Client) first(ctx context.Context) error {
	d := c.dials
	r := d.opt.Reconnect
	if r != nil && r.First {
		d.trouble = &trouble{since: time.Now()}
	}
	for {
		err := c.connect(ctx)
		if err == nil {
			return nil
		}
		c.mu.Lock()
		d.failures++
		delay, again := c.again(err)
		c.mu.Unlock()
		if r == nil || !r.First || !again {
			return err
		}
		if f := c.run.onState; f != nil {
			f(Connecting, err)
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// connect makes one attempt, two if the Server refuses a version that was not
// asked for. The error is a *ConnectError.
func (c *Client) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	if c.stopping {
		c.mu.Unlock()
		return &ConnectError{Err: ErrClosed}
	}
	d := c.dials
	d.cancel = cancel
	c.mu.Unlock()
	if err := c.credentials(ctx); err != nil {
		return &ConnectError{Err: err}
	}
	timeout := c.patience()
	ctx, done := context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("no answer within %v: %w", timeout, context.DeadlineExceeded))
	defer done()

	err := c.attempt(ctx)
	refused, ok := errors.AsType[*ConnectError](err)
	if ok && refused.ReasonCode == mqtt.UnsupportedProtocolVersion && d.opt.Version == 0 && c.fallBack() {
		err = c.attempt(ctx)
	}
	c.mu.Lock()
	d.cancel = nil
	c.mu.Unlock()
	return err
}

// secret is what Credentials gave.
type secret struct {
	password []byte
	fresh    bool // it was asked for with renew, and has been of no use yet
	stale    bool // the Server does not take it any more
	asked    bool
}

// credentials asks for what the next CONNECT is to have.
func (c *Client) credentials(ctx context.Context) error {
	f := c.run.credentials
	if f == nil {
		return nil
	}
	c.mu.Lock()
	d := c.dials
	renew := d.secret.stale || !d.secret.asked
	c.mu.Unlock()
	password, err := f(ctx, renew)
	if err != nil {
		return err
	}
	c.mu.Lock()
	d.secret = secret{password: password, fresh: renew, asked: true}
	c.mu.Unlock()
	return nil
}

// password is what CONNECT has, nil for none. mu is held.
func (c *Client) password() []byte {
	if d := c.dials; d.secret.password == nil {
		return d.opt.Password
	}
	return c.dials.secret.password
}

func (c *Client) fallBack() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version != mqtt.V50 {
		return false
	}
	c.version = mqtt.V311
	return true
}

// attempt dials, sends CONNECT and waits for the answer.
func (c *Client) attempt(ctx context.Context) error {
	nc, err := c.dial(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &ConnectError{Err: err}
	}
	opt := c.dials.opt
	answered := make(chan error, 1)
	l := &link{c: c, opening: &opening{answered: answered}}
	l.conn = transport.New(nc, opt.Transport)

	c.mu.Lock()
	if c.stopping {
		c.mu.Unlock()
		l.conn.Abort(ErrClosed)
		return &ConnectError{Err: ErrClosed}
	}
	p := c.connectPacket()
	l.version, l.opening.clean = c.version, p.CleanStart
	l.inLimit = opt.MaximumPacketSize
	if n := opt.TopicAliasMaximum; n > 0 {
		l.aliases = &aliases{}
		l.aliases.in.Reset(n)
	}
	l.began = time.Now()
	err = l.beginAuth(p)
	var frame []byte
	if err == nil {
		frame, err = p.Append(nil, c.version)
	}
	if err != nil {
		c.mu.Unlock()
		l.conn.Abort(err)
		return &ConnectError{Err: err}
	}
	c.link = l
	c.trace(Sent, p)
	c.mu.Unlock()

	l.conn.Start(l)
	l.conn.Append(nil, frame)
	select {
	case err = <-answered:
		return err
	case <-ctx.Done():
	}
	l.conn.Abort(context.Cause(ctx))
	return <-answered // nil if the CONNACK came just in time: the Client then loses this connection
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	o := c.dials.opt
	if o.Dial != nil {
		return o.Dial(ctx)
	}
	return transport.Dial(ctx, o.Endpoint, o.DialOptions)
}

// connectPacket makes the CONNECT of the next attempt. mu is held.
func (c *Client) connectPacket() *mqtt.Connect {
	o := c.dials.opt
	p := &mqtt.Connect{
		Version: c.version, CleanStart: c.cleanStart(), KeepAlive: o.KeepAlive, ClientID: c.clientID, Will: o.Will,
		Username: o.Username, HasUsername: o.hasUsername(), Password: c.password(), HasPassword: c.password() != nil,
	}
	if c.version < mqtt.V50 {
		return p
	}
	for _, n := range []struct {
		id mqtt.PropertyID
		n  uint32
	}{
		{mqtt.SessionExpiryInterval, o.SessionExpiryInterval},
		{mqtt.ReceiveMaximum, uint32(o.ReceiveMaximum)},
		{mqtt.MaximumPacketSize, o.MaximumPacketSize},
		{mqtt.TopicAliasMaximum, uint32(o.TopicAliasMaximum)},
	} {
		if n.n > 0 {
			p.Properties = append(p.Properties, mqtt.Num(n.id, n.n))
		}
	}
	p.Properties = append(p.Properties, o.Properties...)
	return p
}

// cleanStart decides Clean Start, which before 5.0 is Clean Session and ends
// the Session with the connection as well. mu is held.
func (c *Client) cleanStart() bool {
	o := c.dials.opt
	switch {
	case c.version < mqtt.V50:
		return !o.KeepSession || c.clientID == "" // [MQTT-3.1.1: 3.1.3-7]
	case c.connack != nil:
		// A reconnect: the Session is ours if it outlived the connection.
		return !o.KeepSession && o.SessionExpiryInterval == 0
	}
	return !o.KeepSession
}

// onConnack handles the Server's answer. mu is held.
func (l *link) onConnack(p *mqtt.Connack) error {
	c := l.c
	o := l.opening
	if o == nil {
		return protocolError("MQTT-3.2.0-2", "a second CONNACK")
	}
	if p.ReasonCode != mqtt.Success {
		o.refused = &ConnectError{ReasonCode: p.ReasonCode, Connack: p}
		return o.refused
	}
	if p.SessionPresent && o.clean {
		// We hold no state; without Clean Start it is the caller who says that the Session is ours.
		return protocolError("MQTT-3.2.2-4", "session present after a clean start")
	}
	c.connack = p
	if id, ok := p.Properties.Text(mqtt.AssignedClientIdentifier); ok {
		c.clientID = id
	}
	l.limits(p.Properties)
	l.up = true
	if c.backoff() != nil {
		l.accepted = l.moment(time.Now())
	}
	l.resume(p.SessionPresent)
	l.startKeepAlive(p.Properties)
	c.setState(Connected, nil)
	o.answered <- nil
	l.opening = nil
	return nil
}

// limits reads what the Server allows.
func (l *link) limits(ps mqtt.Properties) {
	l.maximumPacketSize = ps.NumberOr(mqtt.MaximumPacketSize, 0)
	l.maximumQoS = mqtt.QoS(ps.NumberOr(mqtt.MaximumQoS, uint32(mqtt.QoS2)))
	l.noRetain = ps.NumberOr(mqtt.RetainAvailable, 1) == 0
	l.topicAliasMaximum = uint16(ps.NumberOr(mqtt.TopicAliasMaximum, 0))
	if l.aliases != nil {
		l.aliases.out.Reset(min(l.topicAliasMaximum, l.c.dials.opt.TopicAliasMaximum))
	}
}

// Closed is called by the transport when the connection has ended.
func (l *link) Closed(err error) {
	c := l.c
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("the server closed the connection: %w", err)
	}
	c.mu.Lock()
	c.closing++
	l.stopTimers()
	up := l.up
	l.up = false
	if c.link == l {
		c.link = nil
	}
	if !up {
		refused, stopping := l.opening.refused, c.stopping
		c.mu.Unlock()
		if refused == nil {
			refused = &ConnectError{Err: err}
		}
		l.opening.answered <- refused
		if stopping {
			c.finish(ErrClosed)
		}
		return
	}
	l.endPings(lost(err))
	l.endAuth(lost(err))
	c.lost(l, err)
}

// Ended is called by the transport when the socket is closed too.
func (l *link) Ended() {
	l.c.mu.Lock()
	l.c.closing--
	l.c.wake()
	l.c.mu.Unlock()
}

func protocolError(statement, text string) *mqtt.Error {
	return &mqtt.Error{Code: mqtt.ProtocolError, Statement: statement, Text: text}
}

func (c *Client) trace(d Direction, p mqtt.Packet) {
	if f := c.run.trace; f != nil {
		f(d, p)
	}
}
