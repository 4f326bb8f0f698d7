// Package client is the Client of the MQTT standards 3.1, 3.1.1 and 5.0.
//
// [Connect] returns a [Client] after the CONNACK. Publish waits for the
// acknowledgement, PublishAsync and [Batch.Publish] do not; Receive returns
// messages in the order of the wire, and Delivery.Ack acknowledges one once it
// has been handled.
//
// A Client is light: it has no goroutine but the one that its transport reads
// with, and holds no buffer while it is idle. All methods may be called from
// any goroutine.
//
// # Many Clients
//
// By default each Client reads with a goroutine of its own. That is the right
// thing for one Client, or a few: nothing has to be set up for it, and a callback
// that blocks holds up that Client alone. A process with thousands of them lets
// them share transport.Loops, in Options.Transport: each costs a fraction of the
// memory then, and less processor time. In return no callback may block:
// OnMessage, OnReceived, OnState and [Done] are called by the loop, and what one
// of them waits for, all Clients of that loop wait for. So they must not write to
// a file or a terminal, send to a channel that may be full, or hold a lock that
// somebody holds while doing so. Receive, Publish, and everything else that the
// Client's user calls, may block as ever. Loops that are Parked are best where
// other goroutines publish all the time.
//
//	client.go     Client: state, waiting, the end
//	connect.go    CONNECT, CONNACK, the fall-back to 3.1.1
//	auth.go       AUTH, SCRAM
//	reconnect.go  the next connection, Session or none, what is sent again
//	read.go       packets in; one switch
//	write.go      packets out
//	publish.go    messages out
//	receive.go    messages in, the stream, acknowledgement
//	subscribe.go  SUBSCRIBE, UNSUBSCRIBE
//	keepalive.go  PINGREQ, PINGRESP
package client

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/flow"
)

// Client is one Client with one Session, over one Network Connection after
// another.
type Client struct {
	run running

	mu       sync.Mutex // guards all below
	dials    *dials     // nil when there will be no other connection
	link     *link      // the Network Connection, also before its CONNACK; nil between two
	clientID string
	connack  *mqtt.Connack // of the last connection

	// The Session.
	send     flow.Sender[outgoing]
	recv     flow.Receiver
	held     map[mqtt.PacketID]*Delivery // QoS 2, not acknowledged by the consumer
	requests []*request

	stream   atomic.Pointer[stream] // nil while no message has come for Receive
	topic    string                 // the last Topic Name that was found valid
	changed  chan struct{}          // closed at the next change; nil when nobody waits
	done     chan struct{}          // nil until asked for
	err      error
	closing  int32 // sockets whose connection has ended
	state    State
	version  mqtt.Version
	stopping bool // Disconnect or Close was called
	ended    bool
}

// dials is what making connections needs.
type dials struct {
	opt *Options

	// Guarded by Client.mu.
	takeOver   int // connections in a row that were taken over
	failures   int // attempts in a row
	trouble    *trouble
	secret     secret
	retry      *time.Timer
	cancel     context.CancelFunc // of the attempt under way
	subscribed []subscribed
	unsent     map[mqtt.PacketID]struct{} // in send, but never written to a connection
	later      []func()                   // callbacks to make without mu, by the reader
}

// backoff is Options.Reconnect. mu is held.
func (c *Client) backoff() *Backoff {
	if c.dials == nil {
		return nil
	}
	return c.dials.opt.Reconnect
}

// running are the Options that matter after connecting.
type running struct {
	onMessage     func(*Client, *mqtt.Publish, string) bool
	onReceived    func(uint64)
	onState       func(State, error)
	trace         func(Direction, mqtt.Packet)
	credentials   func(context.Context, bool) ([]byte, error)
	receiveBuffer int32
	autoAck       bool
}

// Connect makes a Client and returns it once the Server has accepted it. The
// error is a *ConnectError, or faults of the Options.
func Connect(ctx context.Context, o Options) (*Client, error) {
	opt, err := o.prepare()
	if err != nil {
		return nil, err
	}
	c := &Client{dials: &dials{opt: opt}, version: opt.Version, clientID: opt.ClientID, run: running{
		onMessage: o.OnMessage, onReceived: o.OnReceived, onState: o.OnState, trace: o.Trace, credentials: o.Credentials,
		receiveBuffer: int32(min(opt.ReceiveBuffer, math.MaxInt32)), autoAck: o.AutoAck,
	}}
	if c.version == 0 {
		c.version = mqtt.V50
	}
	if err := c.first(ctx); err != nil {
		c.Close()
		return nil, err
	}
	if o.Reconnect == nil {
		c.mu.Lock()
		c.dials = nil // there is no second connection
		c.mu.Unlock()
	}
	return c, nil
}

// Connack returns the last CONNACK of the Server.
func (c *Client) Connack() mqtt.Connack {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connack == nil {
		return mqtt.Connack{}
	}
	return *c.connack
}

// SessionPresent reports whether the last connection found a Session.
func (c *Client) SessionPresent() bool { return c.Connack().SessionPresent }

// Version returns the protocol version that is spoken.
func (c *Client) Version() mqtt.Version {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.version
}

// ClientID returns the Client Identifier, also one that the Server assigned.
func (c *Client) ClientID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clientID
}

// State returns what the Client is doing.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Done is closed when the Client has ended for good.
func (c *Client) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.ended {
			close(c.done)
		}
	}
	return c.done
}

// Err returns why the Client ended: ErrClosed after Disconnect or Close,
// otherwise an error that is ErrConnectionLost and wraps the cause. It is nil
// before Done.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// InFlight returns how many of our messages the Server has not acknowledged.
func (c *Client) InFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inFlight()
}

func (c *Client) inFlight() int {
	n := c.send.Len()
	for _, r := range c.requests {
		if r.id != 0 {
			n--
		}
	}
	return n
}

// Flush waits until everything published is acknowledged and the Server has
// answered a PINGREQ behind it, so that it has read the QoS 0 messages too,
// unless they were lost with a connection.
func (c *Client) Flush(ctx context.Context) error {
	for {
		err := c.wait(ctx, func() bool { return c.inFlight() == 0 && c.open() })
		if err != nil {
			return err
		}
		err = c.Ping(ctx)
		if !errors.Is(err, ErrConnectionLost) && !errors.Is(err, ErrNotConnected) {
			return err
		}
		// wait says whether there is another connection
	}
}

// Disconnect sends a DISCONNECT behind everything that waits to be sent, and
// ends the Client. It does not wait for acknowledgements; Flush does. It returns
// when the connection is closed; a ctx that ends earlier cuts it off.
func (c *Client) Disconnect(ctx context.Context, d mqtt.Disconnect) error {
	// What the transport did not take yet goes first.
	if c.State() == Connected {
		_ = c.wait(ctx, func() bool { return c.link == nil || !c.link.blocked })
	}
	c.mu.Lock()
	l := c.stop()
	if l == nil {
		c.mu.Unlock()
		c.finish(ErrClosed)
		return nil
	}
	err := l.disconnect(&d)
	c.mu.Unlock()
	l.conn.Close(ErrClosed)
	select {
	case <-c.Done():
		return err
	case <-ctx.Done():
		l.conn.Abort(ErrClosed)
		return ctx.Err()
	}
}

// WaitClosed waits, after Disconnect, until the Server has closed the Network
// Connection too, or for the Linger of Options.Transport. A process that ends
// earlier resets it if there is something left to read, and then the Server may
// not see the acknowledgements and the DISCONNECT.
func (c *Client) WaitClosed(ctx context.Context) error {
	select {
	case <-c.Done():
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		c.mu.Lock()
		if c.closing == 0 {
			c.mu.Unlock()
			return nil
		}
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close ends the Client at once and without a DISCONNECT, so that the Server
// publishes the Will. It does not wait for Done.
func (c *Client) Close() {
	c.mu.Lock()
	l := c.stop()
	c.mu.Unlock()
	if l == nil {
		c.finish(ErrClosed)
		return
	}
	l.conn.Abort(ErrClosed)
}

// stop ends reconnecting and returns the connection that is left to end. mu is
// held.
func (c *Client) stop() *link {
	c.stopping = true
	if d := c.dials; d != nil {
		if d.retry != nil {
			d.retry.Stop()
		}
		if d.cancel != nil {
			d.cancel()
		}
	}
	return c.link
}

// finish ends the Client for good; the first err stays.
func (c *Client) finish(err error) {
	c.mu.Lock()
	if c.state == Closed {
		c.mu.Unlock()
		return
	}
	c.state, c.err, c.stopping = Closed, err, true
	c.send.DropReserved()
	left := make([]outgoing, 0, c.send.Len())
	for _, e := range c.send.All() {
		left = append(left, e.Value)
	}
	c.send = flow.Sender[outgoing]{}
	requests := c.requests
	c.requests, c.held = nil, nil
	if c.dials != nil {
		c.dials.unsent = nil
	}
	c.wake()
	c.mu.Unlock()

	for _, o := range left {
		o.end(0, err)
	}
	for _, r := range requests {
		r.end(response{err: err})
	}
	if f := c.run.onState; f != nil {
		f(Closed, err)
	}
	c.mu.Lock()
	c.ended = true
	if c.done != nil {
		close(c.done)
	}
	c.mu.Unlock()
}

// open reports whether packets can be sent: not before CONNACK [MQTT-3.1.2-30].
// mu is held.
func (c *Client) open() bool {
	return c.state == Connected && c.link != nil && c.link.up && !c.link.ending
}

// wake makes everyone in wait look again. mu is held.
func (c *Client) wake() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// wait returns nil when ready, which is called with mu held, says so; and the
// Client's error when it has ended.
func (c *Client) wait(ctx context.Context, ready func() bool) error {
	for {
		c.mu.Lock()
		if c.state == Closed {
			defer c.mu.Unlock()
			return c.err
		}
		if ready() {
			c.mu.Unlock()
			return nil
		}
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// setState notes and reports a change. mu is held, and released meanwhile.
func (c *Client) setState(s State, err error) {
	c.state = s
	c.wake()
	if f := c.run.onState; f != nil {
		c.mu.Unlock()
		f(s, err)
		c.mu.Lock()
	}
}
