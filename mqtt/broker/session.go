package broker

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/access"
	"mqt/mqtt/flow"
)

// session is a Session, section 4.1: what is kept of a client while it has a
// Network Connection [MQTT-4.1.0-1] and between two.
type session struct {
	clientID string
	owner    *owner
	rights   atomic.Pointer[access.Rights]

	// online is conn for those who hold no lock: QoS 0 goes straight to it.
	online atomic.Pointer[conn]
	// waiting and waiting0 are the lengths of the queues, for those who hold no
	// lock; waiting is -1 once the Session has ended.
	waiting, waiting0 atomic.Int32
	traffic           atomic.Pointer[traffic] // nil: none yet

	mu      sync.Mutex
	conn    *conn         // nil: away
	keep    *keeper       // nil without a store
	*flight               // nil while nothing is under way
	will    *will         // of the connection, or waiting for its delay
	endAt   time.Duration // when the Session expires, 0: not
	timer
	serial  uint32        // order of creation, for sorting; it may begin anew
	expiry  uint32        // Session Expiry Interval in seconds
	sendMax uint16        // Receive Maximum of the client, as far as we use it
	ourMax  uint16        // and the one it was given
	lastID  mqtt.PacketID // where the next flight goes on
	holding int8          // retained messages are being sent: QoS 0 may not pass them
	ended   bool
	muted   bool // conn has not had its CONNACK
	kept    bool // it has been connected before
	subs    subscriptions
}

// How fit a session is to be given a shared message.
const (
	gone    int = iota // the Session has ended
	deaf               // away, and at QoS 0 it misses what comes
	stuffed            // its queue is full
	away
	busy
	ready
)

// readiness is how fit it is for one at qos.
func (s *session) readiness(qos mqtt.QoS) int {
	c := s.online.Load()
	switch n := s.waiting.Load(); {
	case n < 0:
		return gone
	case n > 0 && int(n) >= s.owner.b.limit().MaxQueue:
		return stuffed
	case c == nil && qos == mqtt.QoS0:
		return deaf
	case c == nil:
		return away
	case n > 0, qos == mqtt.QoS0 && !c.tc.Room(): // what does not wait would be dropped
		return busy
	}
	return ready
}

// deliver sends a publication to the session along r, queues it
// [MQTT-4.5.0-1], [MQTT-3.1.1: 3.1.2-5], or drops it with a count. false: the
// session has ended.
func (s *session) deliver(t *turn, p *publication, r *route) bool {
	qos := min(p.qos, r.qos)    // [MQTT-3.8.4-8], [MQTT-4.8.2-3]
	retain := p.retain && r.rap // [MQTT-3.3.1-12], [MQTT-3.3.1-13], [MQTT-3.1.1: 3.3.1-9]
	if qos == mqtt.QoS0 && s.waiting0.Load() == 0 {
		if c := s.online.Load(); c != nil {
			c.sendQoS0(t, p, retain, r.ids)
		}
		return s.waiting.Load() >= 0
	}
	d := p.delivery(t, r, qos, retain)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.live()
	if s.ended {
		return false
	}
	if c != nil || qos > mqtt.QoS0 {
		s.offer(t, c, d, p)
	}
	return true
}

// offer sends d now if nothing waits before it and there is room, or lets it
// wait: nothing passes what came before it [MQTT-4.6.0-5]. QoS 0 is not held up
// by the flow control of the others [MQTT-4.9.0-3], [MQTT-3.3.4-10]. s.mu is held.
func (s *session) offer(t *turn, c *conn, d *delivery, p *publication) {
	if s.flight == nil && !t.affordsToFly(c, d) {
		s.refuse(d, p, dropMemory, LimitMemory)
		return
	}
	s.fly(t)
	w := queued{d, s.place(d)}
	if c == nil || !s.nothingBefore(d) || d.qos > mqtt.QoS0 && !t.affordsFlight(s, d) || s.holdsBack(w) || !s.start(t, c, w, p) {
		s.enqueue(t, w, p)
	}
}

// live is the connection that may be written to, nil: there is none. s.mu is
// held.
func (s *session) live() *conn {
	if s.muted {
		return nil
	}
	return s.conn
}

func (s *session) queueOf(d *delivery) *queue {
	if d.qos == mqtt.QoS0 {
		return &s.queue0
	}
	return &s.queue
}

// sendQoS0 sends without a session's lock: only the out-buffer orders it. DUP is
// 0 [MQTT-4.3.1-1].
func (c *conn) sendQoS0(t *turn, p *publication, retain bool, ids []uint32) {
	var head, body []byte
	if len(ids) == 0 {
		f := p.encoded(t, c.version, mqtt.QoS0, retain)
		head, body = f.head, p.body(t.now)
	} else {
		d := delivery{m: p.own(t.now), ids: ids, retain: retain}
		head, body = t.encodeDelivery(&d, c.version)
	}
	switch {
	case uint64(len(head)+len(body)) > uint64(c.maxPacket):
		c.s.dropped(dropTooLarge) // [MQTT-3.1.2-25]
	case c.append(t, head, body):
		t.tally.payloadOut += int64(len(p.payload))
	case c.b.memory.High():
		c.s.dropped(dropMemory)
		c.b.exceeded(LimitMemory, c.clientID(), nil)
	default:
		c.s.dropped(dropSlow)
		c.b.exceeded(LimitOut, c.clientID(), nil)
	}
}

// start sends d for the first time, with DUP 0 [MQTT-3.3.1-3]. p, if any, is the publication
// whose frames it can share. false: there is no room now. s.mu is held.
func (s *session) start(t *turn, c *conn, w queued, p *publication) bool {
	d := w.d
	if d.qos > mqtt.QoS0 && (s.sender.Quota() == 0 || s.flying > 0 && s.flying+d.size() > s.owner.b.limit().MaxQueueBytes) {
		return false
	}
	var head, body []byte
	if p != nil && len(d.ids) == 0 {
		head, body = p.encoded(t, c.version, d.qos, d.retain).head, p.body(t.now)
	} else {
		head, body = t.encodeDelivery(d, c.version)
	}
	if uint64(len(head)+len(body)) > uint64(c.maxPacket) {
		// It counts as delivered and holds nothing up [MQTT-3.1.2-25].
		s.dropped(dropTooLarge)
		s.finished(t, w)
		return true
	}
	id, ok := s.identify(w)
	if !ok {
		return false
	}
	if s.maySentBefore(w) {
		head[0] |= mqtt.DupFlag // [MQTT-3.3.1-1]: by the process before this one
	}
	if id != 0 {
		binary.BigEndian.PutUint16(head[mqtt.PacketIDAt(head):], uint16(id))
	}
	if c.append(t, head, body) {
		t.tally.payloadOut += int64(len(d.m.payload))
		if id != 0 {
			s.flying += d.size()
			t.hold(d)
			s.stage(t, w)
			s.noteSent(t, w)
		}
		return true
	}
	// Never sent, so it is not in flight: its first transmission is to come.
	s.forget(id, d.qos)
	return false
}

// land takes w, which has been acknowledged, out of what is in flight. s.mu is
// held.
func (s *session) land(t *turn, w queued) {
	if w.d != nil {
		s.flying -= w.d.size()
		t.release(w.d)
	}
	if s.keep != nil && s.sender.Len() == 0 {
		s.keep.unkept = false
	}
	s.finished(t, w)
}

// forget takes back a Packet Identifier that was not used after all.
func (s *session) forget(id mqtt.PacketID, qos mqtt.QoS) {
	switch qos {
	case mqtt.QoS1:
		s.sender.Puback(id)
	case mqtt.QoS2:
		s.sender.Pubrec(id, mqtt.UnspecifiedError)
	}
}

// refuse drops d, for which there is no room. Of p, if any, it is noted: its
// publisher may be told.
func (s *session) refuse(d *delivery, p *publication, why drop, l Limit) {
	s.dropped(why)
	s.owner.b.exceeded(l, s.clientID, nil)
	if p != nil && d.qos > mqtt.QoS0 {
		p.full++
	}
}

// enqueue lets w wait, or drops it when the queue or the memory is full. s.mu is
// held.
func (s *session) enqueue(t *turn, w queued, p *publication) {
	b, d := s.owner.b, w.d
	o := b.limit()
	n, bytes := s.backlog()
	switch {
	case n >= o.MaxQueue || bytes+d.size() > o.MaxQueueBytes:
		s.refuse(d, p, dropQueue, LimitQueue)
	case !t.affords(d.cost()) || d.qos == mqtt.QoS0 && b.memory.High():
		s.refuse(d, p, dropMemory, LimitMemory)
	default:
		s.queueFor(d).push(w)
		t.tally.waiting++
		t.hold(d)
		s.stage(t, w)
		s.noteWaiting()
	}
}

// pop takes the first delivery out of q. s.mu is held.
func (t *turn) pop(q *queue) queued {
	w := q.pop()
	t.tally.waiting--
	t.release(w.d)
	return w
}

// pump sends what the new connection owes again, then what waits, as far as
// there is room. s.mu is held.
func (s *session) pump(t *turn) {
	c := s.live()
	if c == nil {
		return
	}
	if !s.owes(t) {
		return
	}
	for s.sender.Pending() && c.tc.Room() {
		id, e, ok := s.sender.Resend()
		if !ok {
			break
		}
		s.resend(t, c, id, &e)
	}
	s.drain(t, c, &s.queue0)
	if !s.sender.Pending() {
		s.drain(t, c, &s.queue)
		for s.keep != nil && s.refill() {
			s.drain(t, c, &s.queue)
		}
	}
	s.noteWaiting()
}

// drain starts what waits in q until there is no room.
func (s *session) drain(t *turn, c *conn, q *queue) {
	for !q.empty() {
		w := q.front()
		switch m := w.d.m; {
		case m.expired(t.now) && !s.sentBefore(w):
			s.dropped(dropExpired)
			s.finished(t, w)
		case !s.mayReceive(s.owner.b.acl.Load(), m.topic): // since it was queued
			s.dropped(dropDenied)
			s.finished(t, w)
		case s.holdsBack(w) || !s.start(t, c, w, nil):
			return
		}
		s.keep.landed(w)
		t.pop(q)
	}
}

func (s *session) noteWaiting() {
	n, _ := s.backlog()
	n0 := 0
	if s.flight != nil {
		n0 = s.queue0.n
	}
	s.waiting.Store(int32(n - n0))
	s.waiting0.Store(int32(n0 + int(s.holding)))
}

// resend repeats an in-flight packet on a new connection [MQTT-4.4.0-1], which
// has room for it.
func (s *session) resend(t *turn, c *conn, id mqtt.PacketID, e *flow.Entry[queued]) {
	if e.State == flow.PubrelSent {
		t.scratch = mqtt.AppendAck(t.scratch[:0], mqtt.TypePubrel, id, mqtt.Success, c.version)
		c.reply(t, t.scratch)
		t.tally.packetsOut++
		return
	}
	d := e.Value.d
	if !s.mayReceive(s.owner.b.acl.Load(), d.m.topic) { // any more
		s.dropped(dropDenied)
		s.forget(id, d.qos)
		s.land(t, e.Value)
		return
	}
	head, body := t.encodeDelivery(d, c.version)
	if uint64(len(head)+len(body)) > uint64(c.maxPacket) {
		s.dropped(dropTooLarge)
		s.forget(id, d.qos)
		s.land(t, e.Value)
		return
	}
	head[0] |= mqtt.DupFlag // [MQTT-3.3.1-1]
	binary.BigEndian.PutUint16(head[mqtt.PacketIDAt(head):], uint16(id))
	// Whole and as a reply: what others append meanwhile cannot have taken its
	// room, and if a reply is refused the connection is closed.
	t.scratch = append(head, body...)
	c.reply(t, t.scratch)
	c.countSent(len(t.scratch))
	t.tally.sent++
	t.tally.packetsOut++
	t.tally.payloadOut += int64(len(d.m.payload))
}

// end is the end of a Session that has no connection.
func (s *session) end(t *turn) {
	s.mu.Lock()
	r := s.finish(t)
	s.mu.Unlock()
	r.settle(t)
}

// finish is the end of a Session: nothing of it is kept [MQTT-4.1.0-2]. What its
// shared subscriptions left unfinished goes to other members, its will goes
// out. s.mu is held.
func (s *session) finish(t *turn) remains {
	s.ended = true
	r := remains{s: s, ended: true, subs: s.subs.list(), will: s.will}
	if s.leaves() {
		s.leave(t)
	}
	r.left = s.unfinished(t)
	s.endStored(t)
	t.tally.held -= s.cost()
	s.subs.clear()
	s.will, s.flight = nil, nil
	s.waiting.Store(-1)
	s.waiting0.Store(0)
	s.owner.b.timers.set(s, 0)
	return r
}

// unfinished lists the shared messages that another member may have: QoS 1 not
// acknowledged, and those never sent. QoS 2 under way waits for its client
// [MQTT-4.8.2-4] and may not be given to another [MQTT-4.8.2-5]. What the store has
// is handed over from there.
func (s *session) unfinished(t *turn) []*delivery {
	if s.flight == nil {
		return nil
	}
	var left []*delivery
	leaving := s.keep != nil && s.keep.leaving
	for _, e := range s.sender.All() {
		d := e.Value.d
		if d == nil {
			continue
		}
		s.flying -= d.size()
		t.release(d)
		if e.State == flow.PublishQoS1 && d.group != nil && !leaving {
			left = append(left, d)
		}
	}
	queues := []*queue{&s.queue}
	if s.keep != nil {
		queues = append(queues, &s.keep.late)
	}
	for _, q := range queues {
		for !q.empty() {
			if d := t.pop(q).d; d.group != nil && !leaving {
				left = append(left, d)
			}
		}
	}
	for !s.queue0.empty() {
		t.pop(&s.queue0)
	}
	return left
}

// soonAgain is when a deadline is looked at again that has come while something is
// under way with its Client Identifier.
const soonAgain = 10 * time.Millisecond

// due is the session's deadline: its will's delay is over, or the Session is.
func (s *session) due(now time.Duration) time.Duration {
	if !s.owner.b.begins(s.clientID) {
		return now + soonAgain // but for the deadline that is set by then
	}
	defer s.owner.b.passed(s.clientID)
	t := s.owner.b.beginTurn(nil)
	defer t.end()
	s.mu.Lock()
	if s.conn != nil || s.ended {
		s.mu.Unlock()
		return 0
	}
	if s.endAt != 0 && now >= s.endAt {
		r := s.finish(t)
		s.mu.Unlock()
		r.settle(t)
		return 0
	}
	w := s.takeWill(t, now)
	next := earliest(s.willAt(), s.endAt)
	s.mu.Unlock()
	if w != nil {
		s.owner.b.publishWill(t, s, w)
	}
	return next
}

// earliest returns the smaller of two deadlines, where 0 is none.
func earliest(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
