package client

import (
	"bytes"
	"context"
	"sync"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/flow"
	"mqt/mqtt/topic"
)

// Delivery is a message that was received.
type Delivery struct {
	*mqtt.Message
	// PacketID is 0 at QoS 0.
	PacketID mqtt.PacketID
	// Dup says that the Server sent it before, to whichever connection.
	Dup bool
	// SubscriptionIdentifiers are those of the subscriptions that match.
	SubscriptionIdentifiers []uint32
	// TopicAlias is what the packet had, 0 if none. Message.Topic is the name.
	TopicAlias uint16
	// Received is when the bytes were read.
	Received time.Time

	client *Client
	next   *Delivery // in a chain
	link   *link     // the connection that waits for the acknowledgement
	seq    uint64    // place in its ackQueue
	acked  bool
	left   bool // no message: the place of one that was left in the Session
}

// chain is a list of messages, bytes long in memory.
type chain struct {
	first, last *Delivery
	bytes       int
}

// deliveryOverhead is what a Delivery costs beside the message's bytes.
const deliveryOverhead = 256

func (q *chain) add(d *Delivery) {
	if q.last == nil {
		q.first = d
	} else {
		q.last.next = d
	}
	q.last = d
	q.bytes += deliveryOverhead + len(d.Topic) + len(d.Payload) + d.Properties.Memory()
}

func (q *chain) join(o chain) {
	if o.first == nil {
		return
	}
	if q.last == nil {
		q.first = o.first
	} else {
		q.last.next = o.first
	}
	q.last = o.last
	q.bytes += o.bytes
}

// stream are the messages for Receive.
type stream struct {
	queue chain // from the reader; guarded by Client.mu

	// What Receive has taken from queue, all at once, so that the consumer and
	// the reader seldom meet at a lock.
	mu   sync.Mutex
	list chain
}

// receiving returns the stream. Client.mu is held.
func (c *Client) receiving() *stream {
	s := c.stream.Load()
	if s == nil {
		s = &stream{}
		c.stream.Store(s)
	}
	return s
}

// Receive returns the next message, in the order in which they came. It waits
// for one; the error is that of ctx, or the Client's once it has ended and all
// that came before has been returned.
func (c *Client) Receive(ctx context.Context) (*Delivery, error) {
	for {
		d, changed, err := c.next()
		switch {
		case d != nil:
			if c.run.autoAck {
				d.Ack()
			}
			return d, nil
		case err != nil:
			return nil, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Waiting reports whether Receive would return a message at once: a consumer
// flushes its output when nothing waits.
func (c *Client) Waiting() bool {
	s := c.stream.Load()
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list.first != nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.queue.first != nil
}

// next takes a message off, or says what to wait for.
func (c *Client) next() (*Delivery, <-chan struct{}, error) {
	s := c.stream.Load()
	if s == nil {
		c.mu.Lock()
		s = c.receiving()
		c.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list.first == nil {
		changed, err := c.refill(s)
		if changed != nil || err != nil {
			return nil, changed, err
		}
	}
	d := s.list.first
	if s.list.first = d.next; d.next == nil {
		s.list = chain{}
	}
	d.next = nil
	return d, nil, nil
}

// refill takes what the reader has queued. When that is nothing, it sends the
// acknowledgements that wait for more and returns what to wait for.
func (c *Client) refill(s *stream) (<-chan struct{}, error) {
	c.mu.Lock()
	l := c.link
	if s.queue.first != nil {
		s.list, s.queue = s.queue, chain{}
		if l != nil && l.full {
			l.full = false
			l.hold()
		}
		c.mu.Unlock()
		return nil, nil
	}
	if c.state == Closed {
		defer c.mu.Unlock()
		return nil, c.err
	}
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	changed := c.changed
	owed := l != nil && l.pending != nil && !l.blocked
	c.mu.Unlock()
	if owed {
		l.flush()
	}
	return changed, nil
}

// hold stops or resumes reading: the queue is full, or answers wait. mu is
// held.
func (l *link) hold() {
	want := l.full || l.choked
	if want == l.paused {
		return
	}
	l.paused = want
	if want {
		l.conn.Pause()
	} else {
		l.conn.Resume()
	}
}

// onPublish handles a message from the Server, on the reader and without mu.
func (l *link) onPublish(p *mqtt.Publish) error {
	c := l.c
	name, alias, err := l.name(p)
	if err != nil {
		return err
	}
	if p.QoS > mqtt.QoS0 {
		if again, err := l.admitQoS(p); again || err != nil {
			return err
		}
	}
	l.useful = true
	if f := c.run.onMessage; f != nil && f(c, p, name) {
		if p.QoS > mqtt.QoS0 {
			c.mu.Lock()
			l.owe().add(p.PacketID, p.QoS, true)
			l.releaseAcks()
			c.mu.Unlock()
		}
		return nil
	}
	d := l.delivery(p, name, alias)
	if p.QoS > mqtt.QoS0 {
		c.mu.Lock()
		d.link, d.seq = l, l.owe().add(p.PacketID, p.QoS, false)
		if p.QoS == mqtt.QoS2 {
			if c.held == nil {
				c.held = make(map[mqtt.PacketID]*Delivery)
			}
			c.held[p.PacketID] = d
		}
		c.mu.Unlock()
	}
	l.turn.got.add(d)
	return nil
}

// name returns the Topic Name of a PUBLISH and its alias.
func (l *link) name(p *mqtt.Publish) (string, uint16, error) {
	if l.version >= mqtt.V50 && len(p.Properties) > 0 {
		if n, ok := p.Properties.Number(mqtt.TopicAlias); ok {
			alias := uint16(n)
			name, err := l.aliasIn().Resolve(alias, p.Topic)
			if err != nil || len(p.Topic) == 0 {
				return name, alias, err
			}
			return name, alias, l.check(name)
		}
	}
	if l.topic == string(p.Topic) {
		return l.topic, 0, nil
	}
	name := string(p.Topic)
	return name, 0, l.check(name)
}

// aliasIn are the Topic Aliases of the Server.
func (l *link) aliasIn() *flow.AliasIn {
	if l.aliases == nil {
		return new(flow.AliasIn) // it accepts none
	}
	return &l.aliases.in
}

// check remembers a valid Topic Name: the next message often has the same.
func (l *link) check(name string) error {
	if err := topic.ValidateName(name); err != nil {
		return &mqtt.Error{Code: mqtt.TopicNameInvalid, Statement: "MQTT-3.3.2-2", Text: err.Error()}
	}
	l.topic = name
	return nil
}

// admitQoS notes a QoS 1 or 2 PUBLISH. again: it is a QoS 2 message that was
// received before and is not delivered a second time [MQTT-4.3.3-10].
func (l *link) admitQoS(p *mqtt.Publish) (again bool, err error) {
	c := l.c
	c.mu.Lock()
	defer c.mu.Unlock()
	again, err = c.recv.Publish(p.PacketID, p.QoS)
	if broken, ok := err.(*mqtt.Error); ok { //nolint:errorlint // it is not wrapped
		broken.Statement = "MQTT-3.3.4-9"
	}
	if err != nil || !again {
		return again, err
	}
	d := c.held[p.PacketID]
	switch {
	case d == nil: // handled: only the PUBREC was lost
		l.owe().add(p.PacketID, mqtt.QoS2, true)
		l.releaseAcks()
	case d.link != l && d.left: // given back, so it is delivered again
		return false, nil
	case d.link != l: // the consumer still has it; its Ack answers here now
		d.link, d.seq = l, l.owe().add(p.PacketID, mqtt.QoS2, false)
	}
	return true, nil
}

// room is where owned copies are made: small ones share an allocation, so that
// whoever keeps one of them keeps a few KB.
type room struct {
	deliveries []owned
	bytes      []byte
}

type owned struct {
	Delivery
	message mqtt.Message
}

const (
	roomDeliveries = 16
	roomBytes      = 4 << 10
	roomPayload    = 512 // larger payloads have their own allocation
)

func (r *room) delivery() *owned {
	if len(r.deliveries) == 0 {
		r.deliveries = make([]owned, roomDeliveries)
	}
	d := &r.deliveries[0]
	r.deliveries = r.deliveries[1:]
	return d
}

func (r *room) clone(p []byte) []byte {
	n := len(p)
	if n > roomPayload {
		return bytes.Clone(p)
	}
	if len(r.bytes) < n {
		r.bytes = make([]byte, roomBytes)
	}
	own := r.bytes[:n:n]
	r.bytes = r.bytes[n:]
	copy(own, p)
	return own
}

// delivery makes an owned copy.
func (l *link) delivery(p *mqtt.Publish, name string, alias uint16) *Delivery {
	t := l.turn
	m := t.room.delivery()
	d := &m.Delivery
	d.Message = &m.message
	d.client, d.PacketID, d.Dup, d.TopicAlias, d.Received = l.c, p.PacketID, p.Dup, alias, t.time()
	m.message = mqtt.Message{Topic: name, QoS: p.QoS, Retain: p.Retain, Payload: t.room.clone(p.Payload)}
	if len(p.Properties) == 0 {
		return d
	}
	m.message.Properties = p.Properties.Without(mqtt.TopicAlias, mqtt.SubscriptionIdentifier).Clone()
	for i := range p.Properties {
		if p.Properties[i].ID == mqtt.SubscriptionIdentifier {
			d.SubscriptionIdentifiers = append(d.SubscriptionIdentifiers, p.Properties[i].Number)
		}
	}
	return d
}

// ackDelay is how long acknowledgements wait for others, to leave in one write,
// while Receive has more to return.
const ackDelay = 5 * time.Millisecond

// flushAcksAt is how many bytes of acknowledgements do not wait.
const flushAcksAt = 4 << 10

// Ack says that the message has been handled. PUBACK and PUBREC are sent in the
// order in which messages came, whatever the order of the Acks [MQTT-4.6.0-2],
// [MQTT-4.6.0-3], [MQTT-4.5.0-2]; until then the message holds a place of our Receive Maximum.
// It does nothing at QoS 0, a second time, or for a QoS 1 message whose
// connection has ended: the Server sends that again.
func (d *Delivery) Ack() { d.settle(owedAck{}) }

// Refuse says that the message cannot be handled: the PUBACK or PUBREC has a
// Reason Code from 0x80 on, and the Server sends the message never again. Before
// 5.0 there is no such answer, and it is Ack. Otherwise it is as Ack.
func (d *Delivery) Refuse(code mqtt.ReasonCode) { d.settle(owedAck{code: code}) }

// Leave says that the message will not be acknowledged, so that those behind it
// can be. It keeps its place of our Receive Maximum, and the Server sends it
// again over the next connection of the Session. Otherwise it is as Ack.
func (d *Delivery) Leave() { d.settle(owedAck{left: true}) }

// settle gives the message its end.
func (d *Delivery) settle(how owedAck) {
	if d.QoS == mqtt.QoS0 {
		return
	}
	c := d.client
	c.mu.Lock()
	if d.acked {
		c.mu.Unlock()
		return
	}
	d.acked = true
	if d.QoS == mqtt.QoS2 && c.held[d.PacketID] == d {
		if how.left {
			c.held[d.PacketID] = &Delivery{link: d.link, left: true}
		} else {
			delete(c.held, d.PacketID)
		}
	}
	l := d.link
	d.link = nil
	if !l.up || l.ending {
		c.mu.Unlock()
		return
	}
	if l.version < mqtt.V50 {
		how.code = mqtt.Success
	}
	l.acks.done(d.seq, how)
	l.releaseAcks()
	flush := l.pending != nil && len(l.pending.b) >= flushAcksAt
	if a := l.acks; !flush && l.pending != nil && !a.armed {
		a.armed = true
		if a.timer == nil {
			a.timer = time.AfterFunc(ackDelay, l.flush)
		} else {
			a.timer.Reset(ackDelay)
		}
	}
	c.mu.Unlock()
	if flush {
		l.flush()
	}
}

// releaseAcks sends the acknowledgements whose turn has come. mu is held.
func (l *link) releaseAcks() {
	for {
		a, ok := l.acks.next()
		switch {
		case !ok:
			return
		case a.left:
		case a.qos == mqtt.QoS1:
			l.ack(mqtt.TypePuback, a.id, a.code)
			l.c.recv.Puback()
		default:
			l.ack(mqtt.TypePubrec, a.id, a.code)
			l.c.recv.Pubrec(a.id, a.code)
		}
	}
}

// acks are the acknowledgements of a connection, once there was one.
type acks struct {
	ackQueue
	timer *time.Timer // sends those that have waited for more; nil until one has
	armed bool        // it runs
}

// owe returns them. mu is held.
func (l *link) owe() *acks {
	if l.acks == nil {
		l.acks = &acks{}
	}
	return l.acks
}

// ackQueue keeps the acknowledgements of one connection in the order in which
// its messages came. It is bounded by our Receive Maximum.
type ackQueue struct {
	list []owedAck
	head int
	base uint64 // sequence number of list[0]
}

type owedAck struct {
	id   mqtt.PacketID
	qos  mqtt.QoS
	code mqtt.ReasonCode
	left bool // it is not sent
	done bool
}

func (q *ackQueue) add(id mqtt.PacketID, qos mqtt.QoS, done bool) uint64 {
	if q.head == len(q.list) {
		q.base += uint64(q.head)
		q.list, q.head = q.list[:0], 0
		if cap(q.list) > 64 {
			q.list = nil
		}
	} else if q.head > 1024 && q.head > len(q.list)/2 {
		q.base += uint64(q.head)
		q.list = append(q.list[:0], q.list[q.head:]...)
		q.head = 0
	}
	q.list = append(q.list, owedAck{id: id, qos: qos, done: done})
	return q.base + uint64(len(q.list)) - 1
}

// done gives the acknowledgement with that number its code, or none.
func (q *ackQueue) done(seq uint64, how owedAck) {
	a := &q.list[seq-q.base]
	a.code, a.left, a.done = how.code, how.left, true
}

// next takes the first acknowledgement off, if it is its turn.
func (q *ackQueue) next() (owedAck, bool) {
	if q.head == len(q.list) || !q.list[q.head].done {
		return owedAck{}, false
	}
	q.head++
	return q.list[q.head-1], true
}
