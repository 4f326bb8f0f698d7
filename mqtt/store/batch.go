package store

import (
	"mqt/mqtt"
)

// Batch collects what must become durable together, such as all that one read
// of a client brought about. The zero value is empty. Its operations take
// effect in their order.
//
// What is named by identifier, position or filter and is not there is no
// fault: the operation does nothing.
type Batch struct {
	ops   []op
	arena []byte // encoded sessions
	size  int
	grows bool  // it adds something
	ends  bool  // a Session
	err   error // what cannot be written: done is called with it
}

type opKind uint8

const (
	opPutSession opKind = iota
	opEndSession
	opSubscribe
	opUnsubscribe
	opEnqueue
	opSent
	opPubrec
	opDone
	opReceive
	opRelease
	opRetain
	opClear
)

type op struct {
	kind     opKind
	packet   mqtt.PacketID
	session  SessionID
	pos      Position
	delivery Delivery
	sub      Subscription
	from, to int // in the arena
}

// opCost is what an operation counts beside its message.
const opCost = 64

func (b *Batch) add(o op, size int, grows bool) {
	b.ops = append(b.ops, o)
	b.size += opCost + size
	b.grows = b.grows || grows
}

// Ops is whatever takes the operations of a [Batch]: a Batch, or a store that
// replays one. What they mean is told there.
type Ops interface {
	PutSession(SessionID, *Session)
	EndSession(SessionID)
	Subscribe(SessionID, Subscription)
	Unsubscribe(id SessionID, filter string)
	Enqueue(SessionID, Position, Delivery)
	Sent(SessionID, Position)
	Pubrec(SessionID, Position)
	Done(SessionID, Position)
	Receive(SessionID, mqtt.PacketID)
	Release(SessionID, mqtt.PacketID)
	Retain(*Message)
	Clear(topic string)
}

// Replay gives the operations of the batch to another taker, for stores other
// than [Disk]. The error is what Commit has to call done with instead: the batch
// cannot be written, and nothing was given.
func (b *Batch) Replay(to Ops) error {
	if b.err != nil {
		return b.err
	}
	for i := range b.ops {
		switch o := &b.ops[i]; o.kind {
		case opPutSession:
			s, err := parseSession(b.arena[o.from:o.to])
			if err != nil {
				return err
			}
			to.PutSession(o.session, &s)
		case opEndSession:
			to.EndSession(o.session)
		case opSubscribe:
			to.Subscribe(o.session, o.sub)
		case opUnsubscribe:
			to.Unsubscribe(o.session, o.sub.Filter)
		case opEnqueue:
			to.Enqueue(o.session, o.pos, o.delivery)
		case opSent:
			to.Sent(o.session, o.pos)
		case opPubrec:
			to.Pubrec(o.session, o.pos)
		case opDone:
			to.Done(o.session, o.pos)
		case opReceive:
			to.Receive(o.session, o.packet)
		case opRelease:
			to.Release(o.session, o.packet)
		case opRetain:
			to.Retain(o.delivery.Message)
		case opClear:
			to.Clear(o.sub.Filter)
		}
	}
	return nil
}

// Empty reports whether there is nothing to commit.
func (b *Batch) Empty() bool { return len(b.ops) == 0 }

// Len returns the number of operations.
func (b *Batch) Len() int { return len(b.ops) }

// keepArena and keepOps are what a Batch that is used again may keep.
const (
	keepArena = 16 << 10
	keepOps   = 1024
)

// Reset empties the batch for its next use.
func (b *Batch) Reset() {
	clear(b.ops)
	b.ops, b.arena = b.ops[:0], b.arena[:0]
	if cap(b.ops) > keepOps {
		b.ops = nil
	}
	if cap(b.arena) > keepArena {
		b.arena = nil
	}
	b.size, b.grows, b.ends, b.err = 0, false, false, nil
}

// PutSession records a Session, new or changed. The record is copied. At CONNECT
// with a Session Expiry Interval above 0, before CONNACK; when the connection has
// ended or the will is done with, before nothing.
func (b *Batch) PutSession(id SessionID, s *Session) {
	from := len(b.arena)
	b.arena = b.encodable(appendSession(b.arena, s))
	// One that has lost its connection takes the place of a record that is there.
	b.add(op{kind: opPutSession, session: id, from: from, to: len(b.arena)}, len(b.arena)-from, s.Left.IsZero())
}

// encodable keeps the first fault of what is to be written.
func (b *Batch) encodable(p []byte, err error) []byte {
	if b.err == nil {
		b.err = err
	}
	return p
}

// message accounts for a message, and finds out at once if it cannot be
// written: in a transaction with others it would be too late.
func (b *Batch) message(m *Message) (size int) {
	if n := len(b.ops); n > 0 && b.ops[n-1].delivery.Message == m {
		return 0
	}
	if m.id.Load() == 0 {
		b.arena = b.encodable(appendHead(b.arena, m))[:len(b.arena)]
	}
	return m.Size()
}

// EndSession ends a Session with all it has [MQTT-4.1.0-2]. It is the last that
// is said of it. Its queue is taken apart later, bit by bit.
func (b *Batch) EndSession(id SessionID) {
	b.ends = true
	b.add(op{kind: opEndSession, session: id}, 0, false)
}

// Subscribe adds a subscription or replaces the one with the same filter;
// before SUBACK.
func (b *Batch) Subscribe(id SessionID, sub Subscription) {
	b.add(op{kind: opSubscribe, session: id, sub: sub}, len(sub.Filter), true)
}

// Unsubscribe removes a subscription; before UNSUBACK.
func (b *Batch) Unsubscribe(id SessionID, filter string) {
	o := op{kind: opUnsubscribe, session: id}
	o.sub.Filter = filter
	b.add(o, len(filter), false)
}

// Enqueue puts a message of QoS 1 or 2 at the end of a queue; before the
// publisher's PUBACK or PUBREC, and at QoS 2 before it is first sent to this
// Session.
func (b *Batch) Enqueue(id SessionID, at Position, d Delivery) {
	size := b.message(d.Message) + len(d.Share) + 4*len(d.Identifiers)
	b.add(op{kind: opEnqueue, session: id, pos: at, delivery: d}, size, true)
}

// Sent notes that all up to a position has been sent at least once, so that
// after a restart it is known to be in flight and goes out with DUP. Before
// nothing.
func (b *Batch) Sent(id SessionID, upTo Position) {
	b.add(op{kind: opSent, session: id, pos: upTo}, 0, false)
}

// Pubrec notes that the client has the QoS 2 message, which is no longer
// needed; before PUBREL.
func (b *Batch) Pubrec(id SessionID, at Position) {
	b.add(op{kind: opPubrec, session: id, pos: at}, 0, false)
}

// Done takes a message out of a queue: it was acknowledged by PUBACK or
// PUBCOMP, refused, or dropped. Before nothing: if it is lost, the message is
// sent again.
func (b *Batch) Done(id SessionID, at Position) {
	b.add(op{kind: opDone, session: id, pos: at}, 0, false)
}

// Receive notes an inbound QoS 2 message, in the batch that holds its Enqueue
// and Retain; before PUBREC.
func (b *Batch) Receive(id SessionID, p mqtt.PacketID) {
	b.add(op{kind: opReceive, session: id, packet: p}, 0, true)
}

// Release forgets it; before PUBCOMP. If it were lost, the next message under
// the identifier would be taken for a duplicate.
func (b *Batch) Release(id SessionID, p mqtt.PacketID) {
	b.add(op{kind: opRelease, session: id, packet: p}, 0, false)
}

// Retain makes a message the retained one of its topic; before PUBACK or
// PUBREC, at QoS 0 before nothing.
func (b *Batch) Retain(m *Message) {
	b.add(op{kind: opRetain, delivery: Delivery{Message: m}}, b.message(m), true)
}

// Clear removes the retained message of a topic; as Retain.
func (b *Batch) Clear(topic string) {
	o := op{kind: opClear}
	o.sub.Filter = topic
	b.add(o, len(topic), false)
}
