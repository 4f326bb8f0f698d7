package client

import (
	"errors"
	"sync"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/flow"
	"mqt/mqtt/transport"
)

// link is one Network Connection: what ends with it. The Session is in Client.
// It is the transport's Handler.
type link struct {
	c    *Client
	conn *transport.Conn

	// Owned by the reader.
	turn  *turn  // nil between two
	topic string // the last Topic Name

	// Guarded by Client.mu.
	opening *opening       // nil once the CONNACK has come
	auth    *authenticator // nil: none
	acks    *acks          // nil while nothing was to be acknowledged
	aliases *aliases       // nil: there are none; in belongs to the reader
	pending *control
	keepAlive
	accepted moment // when the CONNACK came; 0 if that does not matter

	// What we and the Server allow.
	inLimit           uint32 // our Maximum Packet Size
	maximumPacketSize uint32 // 0: anything
	topicAliasMaximum uint16
	maximumQoS        mqtt.QoS
	noRetain          bool

	version  mqtt.Version
	useful   bool // it brought a message or an acknowledgement; the reader's
	up       bool // accepted, and not closed
	ending   bool // DISCONNECT was sent or received: nothing follows it
	blocked  bool // the transport refused bytes
	choked   bool // and answers wait as well: stop reading
	full     bool // the consumer is slow: stop reading
	paused   bool // nothing is read
	progress bool // something that wait may wait for has changed in this turn
}

// opening is what a connection has until its CONNACK has come.
type opening struct {
	answered chan error // the CONNACK's fate
	refused  *ConnectError
	clean    bool // CONNECT had Clean Start
}

// aliases are the Topic Aliases of a connection that may have some.
type aliases struct {
	in  flow.AliasIn
	out flow.AliasOut
}

// turn is what only one read needs, so that an idle connection does without.
type turn struct {
	reader mqtt.Reader
	now    time.Time // zero until asked for
	got    chain     // messages
	room   room
}

// turns lends them; a pool holds no state.
var turns = sync.Pool{New: func() any { return new(turn) }}

// time is the time of this turn.
func (t *turn) time() time.Time {
	if t.now.IsZero() {
		t.now = time.Now()
	}
	return t.now
}

// Feed is called by the transport with what has arrived.
func (l *link) Feed(b *transport.Batch, p []byte) (int, error) {
	t := turns.Get().(*turn)
	t.reader.From, t.reader.Version, t.reader.MaximumPacketSize = mqtt.Server, l.version, l.inLimit
	l.turn = t
	n := 0
	var err error
	for n < len(p) {
		pkt, size, e := t.reader.Read(p[n:])
		if err = e; err != nil || size == 0 {
			break
		}
		if err = l.packet(pkt); err != nil {
			break
		}
		n += size
	}
	if broken, ok := errors.AsType[*mqtt.Error](err); ok {
		l.answer(broken)
	}
	l.endTurn(b, t)
	l.turn = nil
	turns.Put(t)
	return n, err
}

// endTurn passes on what the packets of one read brought.
func (l *link) endTurn(b *transport.Batch, t *turn) {
	c := l.c
	c.mu.Lock()
	l.heard = l.moment(t.time())
	t.now = time.Time{}
	l.resend()
	l.push(b)
	if t.got.first != nil {
		c.receiving().queue.join(t.got)
		t.got = chain{}
		l.progress = true
	}
	if s := c.stream.Load(); s != nil && s.queue.bytes > int(c.run.receiveBuffer)/2 && !l.full {
		l.full = true // the other half is with Receive
		l.hold()
	}
	if l.progress {
		l.progress = false
		c.wake()
	}
	var later []func()
	if d := c.dials; d != nil && d.later != nil {
		later, d.later = d.later, nil
	}
	c.mu.Unlock()
	for _, f := range later {
		f()
	}
}

// Drained is called by the transport when it takes bytes again.
func (l *link) Drained(b *transport.Batch) {
	c := l.c
	c.mu.Lock()
	l.blocked = false
	l.push(b)
	l.progress = true
	l.choked = false
	l.hold()
	c.mu.Unlock()
	t := turns.Get().(*turn)
	l.endTurn(b, t)
	turns.Put(t)
}

// packet handles one packet from the Server.
func (l *link) packet(pkt mqtt.Packet) error {
	c := l.c
	c.trace(Received, pkt)
	if p, ok := pkt.(*mqtt.Publish); ok && l.up {
		return l.onPublish(p)
	}
	switch p := pkt.(type) {
	case *mqtt.Connack:
		if err := l.confirm(p); err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return l.onConnack(p)
	case *mqtt.Auth:
		return l.onAuth(p)
	}
	c.mu.Lock()
	if !l.up {
		c.mu.Unlock()
		return protocolError("MQTT-3.2.0-1", pkt.Type().String()+" before CONNACK")
	}
	var o outgoing
	var code mqtt.ReasonCode
	var err error
	switch p := pkt.(type) {
	case *mqtt.Puback:
		o, err = l.onPuback(p)
		code = p.ReasonCode
	case *mqtt.Pubrec:
		var received bool
		o, received, err = l.onPubrec(p)
		code = p.ReasonCode
		if received {
			c.mu.Unlock()
			if f := c.run.onReceived; f != nil {
				f(o.token)
			}
			return nil
		}
	case *mqtt.Pubcomp:
		o = l.onPubcomp(p)
	case *mqtt.Pubrel:
		l.onPubrel(p)
	case *mqtt.Suback:
		defer c.mu.Unlock()
		return l.onSuback(p)
	case *mqtt.Unsuback:
		defer c.mu.Unlock()
		return l.onUnsuback(p)
	case *mqtt.Pingresp:
		l.onPingresp()
	case *mqtt.Disconnect:
		l.ending = true
		c.mu.Unlock()
		return disconnected(p)
	}
	c.mu.Unlock()
	o.end(code, err)
	return nil
}

func disconnected(p *mqtt.Disconnect) error {
	e := &DisconnectError{ReasonCode: p.ReasonCode}
	e.ReasonString, _ = p.Properties.Text(mqtt.ReasonString)
	e.ServerReference, _ = p.Properties.Text(mqtt.ServerReference)
	return e
}

// onPuback ends a QoS 1 flow. mu is held. An identifier that is not in use is
// passed over: the standard gives it no meaning.
func (l *link) onPuback(p *mqtt.Puback) (outgoing, error) {
	o, ok := l.c.send.Puback(p.PacketID)
	l.progress, l.useful = l.progress || ok, l.useful || ok
	return o, publishError(&p.Ack)
}

// onPubrec answers PUBREL, or ends a QoS 2 flow. mu is held. received: o is the
// message that the Server has now.
func (l *link) onPubrec(p *mqtt.Pubrec) (o outgoing, received bool, err error) {
	o, release, ok := l.c.send.Pubrec(p.PacketID, p.ReasonCode)
	switch {
	case release:
		l.useful = true
		l.ack(mqtt.TypePubrel, p.PacketID, mqtt.Success)
		return o, true, nil
	case !ok:
		if !p.ReasonCode.Failed() {
			l.ack(mqtt.TypePubrel, p.PacketID, mqtt.PacketIdentifierNotFound)
		}
		return outgoing{}, false, nil
	}
	l.progress, l.useful = true, true
	return o, false, publishError(&p.Ack)
}

// onPubcomp ends a QoS 2 flow. mu is held.
func (l *link) onPubcomp(p *mqtt.Pubcomp) outgoing {
	o, ok := l.c.send.Pubcomp(p.PacketID)
	l.progress, l.useful = l.progress || ok, l.useful || ok
	return o
}

// onPubrel ends an incoming QoS 2 flow. mu is held.
func (l *link) onPubrel(p *mqtt.Pubrel) {
	code := mqtt.Success
	if !l.c.recv.Pubrel(p.PacketID) {
		code = mqtt.PacketIdentifierNotFound
	}
	l.ack(mqtt.TypePubcomp, p.PacketID, code)
	l.c.recv.Pubcomp()
}

func publishError(a *mqtt.Ack) error {
	if !a.ReasonCode.Failed() {
		return nil
	}
	text, _ := a.Properties.Text(mqtt.ReasonString)
	return &PublishError{ReasonCode: a.ReasonCode, ReasonString: text}
}

// answer tells a 5.0 Server what it did wrong [MQTT-4.13.1-1]; the connection is
// closed, told or not [MQTT-4.13.2-1], [MQTT-3.1.1: 4.8.0-1].
func (l *link) answer(e *mqtt.Error) {
	c := l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.up && l.version >= mqtt.V50 {
		_ = l.disconnect(&mqtt.Disconnect{ReasonCode: e.Code})
	}
}
