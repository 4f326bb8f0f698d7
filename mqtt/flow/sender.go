package flow

import (
	"iter"
	"math"

	"mqt/mqtt"
)

// State says what a Packet Identifier in use waits for.
type State uint8

// The states of an Entry.
const (
	// PublishQoS1 waits for PUBACK, section 4.3.2.
	PublishQoS1 State = iota + 1
	// PublishQoS2 waits for PUBREC, section 4.3.3.
	PublishQoS2
	// PubrelSent has had its PUBREC and waits for PUBCOMP. The PUBLISH is not
	// sent again, only the PUBREL.
	PubrelSent
	// SubscribeSent waits for SUBACK.
	SubscribeSent
	// UnsubscribeSent waits for UNSUBACK.
	UnsubscribeSent
)

func (s State) publish() bool  { return s == PublishQoS1 || s == PublishQoS2 }
func (s State) reserved() bool { return s == SubscribeSent || s == UnsubscribeSent }

// Entry is what a Packet Identifier is in use for.
type Entry[M any] struct {
	State State
	Value M // as given to Publish, Reserve or Restore
}

const (
	sent    uint8 = 1 << iota // on this Network Connection, or need not be
	counted                   // takes a place of the send quota
)

// Sender is the sending side of sections 4.3, 4.4 and 4.9, and the only giver
// of Packet Identifiers: one for the messages of a Session that go to the
// peer. Client and Server use the numbers independently of each other, so each
// has its own.
//
// M is what the owner wants back with an acknowledgement: the message, or a
// handle of it. A Sender that is idle has room for one M in itself, so a small
// one, such as a pointer, is best.
//
// The zero value is a new Session with the default Receive Maximum of 65,535.
// A Session that ends is replaced by a zero value.
type Sender[M any] struct {
	ids    ids[M]
	resend *redelivery // nil when nothing is left to be sent again
	seq    uint32
	quota  quota
}

// redelivery is what a new Network Connection has to carry again.
type redelivery struct {
	ids  []mqtt.PacketID // in order; some may have ended or been answered
	left int             // of them, not sent nor ended yet: more than 0
}

// UsePool makes the Sender take its memory from a pool and return it when
// nothing is in flight. Call it before anything else.
func (s *Sender[M]) UsePool(p *Pool[M]) { s.ids.pool = p }

// Reset begins a new Network Connection of the Session with the Receive
// Maximum of the peer's CONNECT or CONNACK, 0 if it gave none (65,535). The
// send quota starts anew [MQTT-4.9.0-1]. What is in flight stays, under its
// identifiers; Resend gives it out, and until it has given out everything
// Publish holds new messages back.
func (s *Sender[M]) Reset(receiveMaximum uint16) {
	s.quota = quota{max: receiveMaximum}
	s.resend = nil
	var pubrels, publishes []mqtt.PacketID
	for _, id := range s.ids.order() {
		e := s.ids.find(id)
		switch {
		case e.state.publish():
			e.flags = 0
			publishes = append(publishes, id)
		case e.state == PubrelSent:
			// Until its PUBCOMP the PUBLISH counts [MQTT-3.3.4-7],
			// [MQTT-3.3.4-9], whichever connection carried it; receivers that
			// remember the identifier count it too.
			e.flags = counted
			s.quota.used++
			pubrels = append(pubrels, id)
		}
	}
	if all := append(pubrels, publishes...); len(all) > 0 {
		s.resend = &redelivery{all, len(all)}
	}
}

// Resend returns the next packet that the new Network Connection must carry
// again with its original identifier [MQTT-4.4.0-1]: for PubrelSent the PUBREL,
// otherwise the PUBLISH with DUP set [MQTT-3.3.1-1]. Call it after Reset until
// it returns false, and again after each acknowledgement while Pending:
// a PUBLISH waits for quota like any other [MQTT-4.9.0-2].
//
// PUBREL packets come first, in the order of their PUBREC [MQTT-4.6.0-4], for
// no quota holds them [MQTT-4.9.0-3]; then PUBLISH packets in the order in
// which they were first sent [MQTT-4.6.0-1].
func (s *Sender[M]) Resend() (mqtt.PacketID, Entry[M], bool) {
	for s.resend != nil {
		id := s.resend.ids[0]
		e := s.ids.find(id)
		if e == nil || e.flags&sent != 0 {
			s.resend.ids = s.resend.ids[1:]
			continue
		}
		if e.state.publish() {
			if !s.quota.take() {
				break
			}
			e.flags |= counted
		}
		s.resend.ids = s.resend.ids[1:]
		s.settle(e)
		return id, Entry[M]{e.state, e.value}, true
	}
	return 0, Entry[M]{}, false
}

// settle notes that an entry need not be sent again on this Network Connection.
func (s *Sender[M]) settle(e *entry[M]) {
	if e.flags&sent != 0 {
		return
	}
	e.flags |= sent
	if s.resend.left--; s.resend.left == 0 {
		s.resend = nil
	}
}

// Pending reports whether Resend has something left.
func (s *Sender[M]) Pending() bool { return s.resend != nil }

// Quota returns how many messages of QoS 1 and 2 may be published now: 0 to
// the Receive Maximum, fewer when identifiers run out, 0 while Pending.
func (s *Sender[M]) Quota() int {
	if s.resend != nil {
		return 0
	}
	return min(s.quota.left(), maxIDs-int(s.ids.n))
}

// Publish begins the flow of a message and returns the Packet Identifier for
// its PUBLISH, which is sent with DUP 0 [MQTT-4.3.2-2], [MQTT-4.3.3-2]. False
// means that the Quota is 0: keep the message and try after the next
// acknowledgement. QoS 0 has no identifier and needs no quota: 0, true.
func (s *Sender[M]) Publish(qos mqtt.QoS, m M) (mqtt.PacketID, bool) {
	if qos == mqtt.QoS0 {
		return 0, true // [MQTT-2.2.1-2]
	}
	if s.Quota() == 0 {
		return 0, false // [MQTT-4.9.0-2]
	}
	state := PublishQoS1
	if qos == mqtt.QoS2 {
		state = PublishQoS2
	}
	s.quota.take()
	return s.start(state, sent|counted, m)
}

// PublishAs is Publish under an identifier that the owner has chosen, for QoS 1
// and 2. False means that the Quota is 0, or that the identifier is in use: keep
// the message and try after the next acknowledgement.
func (s *Sender[M]) PublishAs(id mqtt.PacketID, qos mqtt.QoS, m M) bool {
	if s.Quota() == 0 { // [MQTT-4.9.0-2]
		return false
	}
	state := PublishQoS1
	if qos == mqtt.QoS2 {
		state = PublishQoS2
	}
	seq := s.next()
	e := s.ids.restore(id) // [MQTT-2.2.1-3], [MQTT-2.2.1-4]
	if e == nil {
		return false
	}
	s.quota.take()
	e.seq, e.state, e.flags, e.value = seq, state, sent|counted, m
	return true
}

// Reserve takes a Packet Identifier for a SUBSCRIBE (SubscribeSent) or
// UNSUBSCRIBE (UnsubscribeSent). These need no quota [MQTT-3.3.4-8]. False:
// all 65,535 identifiers are in use.
func (s *Sender[M]) Reserve(state State, m M) (mqtt.PacketID, bool) {
	return s.start(state, sent, m)
}

func (s *Sender[M]) start(state State, flags uint8, m M) (mqtt.PacketID, bool) {
	seq := s.next()
	// An identifier in use is never given out [MQTT-2.2.1-3], [MQTT-2.2.1-4], [MQTT-4.3.2-1], [MQTT-4.3.3-1].
	e := s.ids.add()
	if e == nil {
		return 0, false
	}
	e.seq, e.state, e.flags, e.value = seq, state, flags, m
	return e.id, true
}

// Restore puts back an entry of a stored Session, in the order in which All
// gave them; Reset and Resend follow. False: the identifier is 0 or in use.
func (s *Sender[M]) Restore(id mqtt.PacketID, state State, m M) bool {
	seq := s.next()
	e := s.ids.restore(id)
	if e == nil {
		return false
	}
	e.seq, e.state, e.flags, e.value = seq, state, sent, m
	return true
}

// next returns the place of one more entry in the order of sending.
func (s *Sender[M]) next() uint32 {
	if s.seq == math.MaxUint32 {
		s.seq = 0
		for _, id := range s.ids.order() {
			s.seq++
			s.ids.find(id).seq = s.seq
		}
	}
	s.seq++
	return s.seq
}

// end removes an entry and gives back its place of the quota.
func (s *Sender[M]) end(e *entry[M]) M {
	s.settle(e)
	if e.flags&counted != 0 {
		s.quota.give()
	}
	m := e.value
	s.ids.remove(e)
	return m
}

// Puback ends a QoS 1 flow [MQTT-4.3.2-3], whatever the Reason Code of the PUBACK
// [MQTT-4.4.0-2]. Not ok: no QoS 1 message with this identifier is in flight.
func (s *Sender[M]) Puback(id mqtt.PacketID) (m M, ok bool) {
	return s.endIn(PublishQoS1, id)
}

// Pubrec handles a PUBREC, until which the PUBLISH is under way
// [MQTT-4.3.3-3]. With a code below 0x80 the message is delivered and
// release is true: answer PUBREL now [MQTT-4.3.3-4], also if the PUBREC was a
// repeated one. A code of 0x80 or greater ends the flow without one
// [MQTT-4.4.0-2]. Not ok: no QoS 2 message with this identifier is in flight;
// a 5.0 peer is told so by a PUBREL with 0x92.
func (s *Sender[M]) Pubrec(id mqtt.PacketID, code mqtt.ReasonCode) (m M, release, ok bool) {
	e := s.ids.find(id)
	if e == nil || e.state != PublishQoS2 && e.state != PubrelSent {
		return m, false, false
	}
	if code >= 0x80 {
		return s.end(e), false, true
	}
	if e.state == PublishQoS2 {
		// From here on only the PUBREL is sent again [MQTT-4.3.3-6], in the
		// order of the PUBRECs [MQTT-4.6.0-4].
		seq := s.next()
		e.state, e.seq = PubrelSent, seq
	}
	s.settle(e) // the answer is the PUBREL
	return e.value, true, true
}

// Pubcomp ends a QoS 2 flow [MQTT-4.3.3-5], whatever the Reason Code of the
// PUBCOMP. Not ok: no PUBREL with this identifier is in flight.
func (s *Sender[M]) Pubcomp(id mqtt.PacketID) (m M, ok bool) {
	return s.endIn(PubrelSent, id)
}

// Release frees the identifier of a SUBSCRIBE at its SUBACK (SubscribeSent), of
// an UNSUBSCRIBE at its UNSUBACK (UnsubscribeSent) [MQTT-2.2.1-6]. Not ok: it
// is not in use for that.
func (s *Sender[M]) Release(state State, id mqtt.PacketID) (m M, ok bool) {
	return s.endIn(state, id)
}

func (s *Sender[M]) endIn(state State, id mqtt.PacketID) (m M, ok bool) {
	e := s.ids.find(id)
	if e == nil || e.state != state {
		return m, false
	}
	return s.end(e), true
}

// DropReserved frees the identifiers of all SUBSCRIBE and UNSUBSCRIBE packets:
// they are not part of the Session and end with their Network Connection.
func (s *Sender[M]) DropReserved() {
	for _, id := range s.ids.order() {
		if e := s.ids.find(id); e.state.reserved() {
			s.end(e)
		}
	}
}

// Get returns what an identifier is in use for.
func (s *Sender[M]) Get(id mqtt.PacketID) (Entry[M], bool) {
	e := s.ids.find(id)
	if e == nil {
		return Entry[M]{}, false
	}
	return Entry[M]{e.state, e.value}, true
}

// Len returns how many identifiers are in use.
func (s *Sender[M]) Len() int { return int(s.ids.n) }

// All yields what is in flight in the order of sending, where a message whose
// PUBREC has come stands at its PUBREL. The Sender may be changed meanwhile:
// what has ended is not yielded any more, what is new is not yet.
func (s *Sender[M]) All() iter.Seq2[mqtt.PacketID, Entry[M]] {
	return func(yield func(mqtt.PacketID, Entry[M]) bool) {
		for _, id := range s.ids.order() {
			if e, ok := s.Get(id); ok && !yield(id, e) {
				return
			}
		}
	}
}

// Last returns the Packet Identifier that was given out last, 0 for none.
func (s *Sender[M]) Last() mqtt.PacketID { return s.ids.last }

// Resume has a Sender with nothing in flight give out the identifiers behind
// last: it takes the place of another that had nothing in flight any more.
func (s *Sender[M]) Resume(last mqtt.PacketID) { s.ids.last = last }
