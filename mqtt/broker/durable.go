package broker

import (
	"errors"
	"slices"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
	"mqt/mqtt/topic"
)

// keeper is what a session has to do with the store, where there is one. What
// waits for the client is in three places, in this order: session.queue, the disk
// alone, and late. Guarded by session.mu.
type keeper struct {
	id      store.SessionID // 0: nothing of the Session is in the store, but its will
	willID  store.SessionID // the record with the will, where there is nothing else; 0: none
	next    store.Position  // of the next message
	sent    store.Position  // up to where was sent what is on disk: by an earlier process as far as is known, or before they left
	unsure  uint32          // see store.Session
	times   uint32          // how often the Session has begun to leave to the disk what is in flight: see away.go
	pending []pending       // what is staged and not durable, by position
	disk    onDisk
	flown   *onDisk   // of that, what was sent on the last connection, nil: nothing
	late    queue     // behind what is on disk, or too much to be kept in memory
	reading bool      // somebody reads the next of what is on disk
	shared  bool      // there was a shared message
	leaving bool      // the Session has ended and hands those over: see handover.go
	handing bool      // somebody is about it
	parting uint8     // how far it is with leaving what is in flight
	unkept  bool      // something in flight is not in the store, which was full
	left    time.Time // when the connection ended
}

// onDisk counts messages of which nothing is in memory.
type onDisk struct {
	n, bytes int
	from     store.Position // nothing of it is before
}

// pending is a message that is not durable yet.
type pending struct {
	at    store.Position
	k     *commitment // nil: it is durable, or never will be
	acked bool        // the client has it already
}

// What a session keeps in memory of a long queue: a little for who is away, and
// for who is there as much as it takes while more is read.
const (
	awayWindow, awayBytes = 32, 64 << 10
	liveWindow, liveBytes = 1024, 1 << 20
	pageSize, pageBytes   = 512, 512 << 10
	maxReaders            = 8   // at once
	maxPassed             = 256 // Packet Identifiers in use, one behind the other
)

// durable reports whether the Session outlives the process. s.mu is held, or it
// is the goroutine of its connection that asks.
func (s *session) durable() bool { return s.keep != nil && s.keep.id != 0 }

// place is where the next message goes: not where it would have to wait for one
// that its client does not acknowledge, which has the same Packet Identifier.
func (s *session) place(d *delivery) store.Position {
	if s.keep == nil || d.qos == mqtt.QoS0 {
		return 0
	}
	at := s.keep.next
	for range maxPassed {
		if _, used := s.sender.Get(at.PacketID()); !used {
			break
		}
		at++
	}
	return at
}

// identify takes a Packet Identifier for w, with a store that of its place.
func (s *session) identify(w queued) (mqtt.PacketID, bool) {
	if w.at == 0 {
		return s.sender.Publish(w.d.qos, w)
	}
	id := w.at.PacketID()
	return id, s.sender.PublishAs(id, w.d.qos, w)
}

// sentBefore reports whether w was sent by an earlier process, or on an earlier connection and left to the disk since.
func (s *session) sentBefore(w queued) bool { return w.at > 0 && w.at <= s.keep.sent }

// maySentBefore reports whether it may have been, which is enough for DUP
// [MQTT-3.3.1-1].
func (s *session) maySentBefore(w queued) bool {
	return s.sentBefore(w) || w.at > 0 && w.at.Opening() <= s.keep.unsure
}

// holdsBack reports whether w may not be sent yet: at QoS 2 a message is known
// by its Packet Identifier, which has to be the same after a restart.
func (s *session) holdsBack(w queued) bool {
	return w.at > 0 && w.d.qos == mqtt.QoS2 && s.durable() && (w.at >= s.keep.next || s.keep.pendingAt(w.at) != nil)
}

// nothingBefore reports whether nothing waits that d would pass.
func (s *session) nothingBefore(d *delivery) bool {
	if !s.queueOf(d).empty() {
		return false
	}
	return s.keep == nil || d.qos == mqtt.QoS0 || s.keep.disk.n == 0 && s.keep.late.empty()
}

// queueFor returns the queue that d goes to.
func (s *session) queueFor(d *delivery) *queue {
	q := s.queueOf(d)
	if q != &s.queue || !s.durable() {
		return q
	}
	if k := s.keep; k.disk.n > 0 || !k.late.empty() || s.overWindow() || s.conn == nil && k.parting == partLeaving {
		return &k.late
	}
	return q
}

// overWindow reports whether session.queue is as long as it may be.
func (s *session) overWindow() bool {
	if s.conn == nil {
		return s.queue.n >= awayWindow || s.queue.bytes >= awayBytes
	}
	return s.queue.n >= liveWindow || s.queue.bytes >= liveBytes
}

// backlog is how much waits for the client, in memory or not, but for what it was sent.
func (s *session) backlog() (n, bytes int) {
	if s.flight != nil {
		n, bytes = s.queue.n+s.queue0.n, s.queue.bytes+s.queue0.bytes
	}
	if k := s.keep; k != nil {
		flown, flownBytes := k.aloft()
		n, bytes = n+k.disk.n-flown+k.late.n, bytes+k.disk.bytes-flownBytes+k.late.bytes
	}
	return n, bytes
}

// pendingAt finds a message that is not durable.
func (k *keeper) pendingAt(at store.Position) *pending {
	i, ok := slices.BinarySearchFunc(k.pending, at, func(p pending, at store.Position) int {
		switch {
		case p.at < at:
			return -1
		case p.at > at:
			return 1
		}
		return 0
	})
	if !ok || k.pending[i].k == nil {
		return nil
	}
	return &k.pending[i]
}

// kept returns the message as the store knows it.
func (m *message) kept(b *Broker) *store.Message {
	if x := m.stored.Load(); x != nil {
		return x
	}
	x := &store.Message{Topic: m.topic, Payload: m.payload, Properties: m.props, QoS: m.qos,
		Expires: m.expire, Expiry: m.expiry, Born: b.timers.start.Add(m.born)}
	if !m.stored.CompareAndSwap(nil, x) {
		x = m.stored.Load()
	}
	return x
}

// stage puts w down where it takes its place. s.mu is held, as in all that
// follows.
func (s *session) stage(t *turn, w queued) {
	if w.at == 0 || w.at < s.keep.next {
		return // it has it
	}
	s.keep.next = w.at + 1
	if s.durable() {
		s.stageEnqueue(t, w)
	}
}

func (s *session) stageEnqueue(t *turn, w queued) {
	d, k := w.d, t.stage()
	share := ""
	if d.group != nil {
		share, s.keep.shared = d.group.share, true
	}
	k.batch.Enqueue(s.keep.id, w.at, store.Delivery{Message: d.m.kept(s.owner.b), QoS: d.qos, Retain: d.retain, Identifiers: d.ids, Share: share})
	k.enqueued = append(k.enqueued, placed{s, w.at})
	s.keep.pending = append(s.keep.pending, pending{at: w.at, k: k})
}

// noteSent notes that w was sent.
func (s *session) noteSent(t *turn, w queued) {
	if w.at == 0 || !s.durable() || s.sentBefore(w) {
		return
	}
	k := t.stage()
	if n := len(k.sent); n > 0 && k.sent[n-1].s == s {
		k.sent[n-1].at = max(k.sent[n-1].at, w.at)
		return
	}
	k.sent = append(k.sent, placed{s, w.at})
}

// finished notes that w is done with: acknowledged, refused or dropped.
func (s *session) finished(t *turn, w queued) {
	if w.at == 0 || !s.durable() || w.at >= s.keep.next {
		return
	}
	if p := s.keep.pendingAt(w.at); p != nil && (p.k.again || !p.k.committed.Load()) {
		p.acked = true // the store does not have it yet
		return
	}
	t.stage().batch.Done(s.keep.id, w.at)
}

// settled is what became of a message that was pending: it is durable, or the
// client does not get it, unless it has it.
func (s *session) settled(t *turn, at store.Position, err error) {
	if s.ended && !s.keep.leaving {
		return
	}
	k := s.keep
	p := k.pendingAt(at)
	if p == nil {
		return
	}
	acked := p.acked
	p.k = nil
	n := 0
	for n < len(k.pending) && k.pending[n].k == nil {
		n++
	}
	if k.pending = k.pending[n:]; len(k.pending) == 0 {
		k.pending = nil
	}
	switch {
	case err == nil && acked:
		t.stage().batch.Done(k.id, at)
	case err != nil:
		if s.flight == nil {
			return
		}
		w, ok := s.queue.remove(at)
		if !ok {
			w, ok = k.late.remove(at)
		}
		if ok {
			t.tally.waiting--
			t.release(w.d)
		} else if e, sent := s.sender.Get(at.PacketID()); sent && e.Value.at == at {
			k.unkept = true
		}
	}
}

// forgetStored leaves to the disk what is late and durable.
func (s *session) forgetStored(t *turn) {
	k := s.keep
	if !s.durable() {
		return
	}
	for !k.late.empty() && k.pendingAt(k.late.front().at) == nil {
		w := k.late.pop()
		if k.disk.n == 0 {
			k.disk.from = w.at
		}
		k.disk.add(w.d, 1)
		t.release(w.d)
	}
}

// trim leaves to the disk what is too much for somebody who is away.
func (s *session) trim(t *turn) {
	if !s.durable() || s.flight == nil || s.conn != nil || s.owner.b.store.Err() != nil {
		return
	}
	k := s.keep
	for s.queue.n > awayWindow || s.queue.bytes > awayBytes && s.queue.n > 1 {
		if k.pendingAt(s.queue.back().at) != nil {
			break
		}
		w := s.queue.pull()
		k.disk.from = w.at
		k.disk.add(w.d, 1)
		t.release(w.d)
	}
	s.noteWaiting()
}

func (o *onDisk) add(d *delivery, sign int) {
	o.n += sign
	o.bytes = max(0, o.bytes+sign*d.size())
	if o.n <= 0 {
		*o = onDisk{from: o.from}
	}
}

// refill has session.queue get what is behind it: at once where that is in
// memory, and it reports that, or when it was read.
func (s *session) refill() (now bool) {
	k := s.keep
	if k.disk.n > 0 {
		if !k.reading && s.queue.n < liveWindow/4 && s.owner.b.store.Err() == nil {
			k.reading = true
			s.owner.b.reading.Add(1)
			go s.readBack(k.id, k.disk.from)
		}
		return false
	}
	if k.late.empty() || !s.queue.empty() {
		return false
	}
	for !k.late.empty() && !s.overWindow() {
		s.queue.push(k.late.pop())
	}
	return true
}

// readBack reads a page of what is on disk.
func (s *session) readBack(id store.SessionID, from store.Position) {
	b := s.owner.b
	defer b.reading.Done()
	b.readers <- struct{}{}
	page, err := b.store.ReadQueue(id, from, pageSize, pageBytes)
	<-b.readers

	t := b.beginTurn(nil)
	defer t.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep.reading = false
	switch {
	case s.ended:
		return
	case err != nil:
		if !errors.Is(err, store.ErrClosed) {
			b.opt.Log.Error("what waits for a client cannot be read", "client", s.clientID, "err", err)
		}
		return
	case s.conn != nil && s.keep.disk.from == from:
		s.take(t, page)
	}
	s.pump(t)
}

// take puts a page that was read at the end of session.queue.
func (s *session) take(t *turn, page []store.Queued) {
	s.fly(t)
	k, taken := s.keep, 0
	for i := range page {
		q := &page[i]
		if !k.late.empty() && q.Position >= k.late.front().at {
			break
		}
		d := s.owner.b.delivery(&q.Delivery)
		s.queue.push(queued{d, q.Position})
		t.hold(d)
		k.disk.from = q.Position + 1
		k.disk.add(d, -1)
		taken++
	}
	if taken == 0 { // there was not what was counted
		t.tally.waiting -= int64(k.disk.n)
		k.disk, k.flown = onDisk{from: k.disk.from}, nil
	}
}

// delivery is what the store had of one.
func (b *Broker) delivery(x *store.Delivery) *delivery {
	d := &delivery{m: b.message(x.Message), ids: x.Identifiers, qos: x.QoS, retain: x.Retain}
	if x.Share != "" {
		if name, filter, shared, err := topic.SplitShare(x.Share); err == nil && shared {
			d.group, _ = b.shared.find(name, filter)
		}
	}
	return d
}

// message is what the store had of one.
func (b *Broker) message(x *store.Message) *message {
	m := &message{topic: x.Topic, payload: x.Payload, props: x.Properties, qos: x.QoS, expiry: x.Expiry, expire: x.Expires,
		born: x.Born.Sub(b.timers.start), size: x.Size()}
	m.born = min(m.born, b.timers.now()) // the clock may have been set back
	m.stored.Store(x)
	return m
}

// record is what is put down of the Session itself.
func (s *session) record(left time.Time) *store.Session {
	r := &store.Session{ClientID: s.clientID, Username: s.owner.name, Expiry: s.expiry, Left: left, Unsure: s.keep.unsure}
	if s.will != nil {
		r.Will = s.will.Will
	}
	return r
}

// stageConnect puts down a Session that has a connection. It reports whether
// CONNACK has to wait for that. Of a Session that ends with its connection only the
// will is kept: if the process dies it is published at the next start, section
// 3.1.2.5.
func (s *session) stageConnect(t *turn) bool {
	k := s.keep
	if k == nil || k.id == 0 && s.expiry == 0 && s.will == nil {
		return t.wait
	}
	t.wait = true
	// It is new: one that ends with its connection is never resumed.
	id := &k.id
	if k.id == 0 && s.expiry == 0 {
		id = &k.willID
	}
	if *id == 0 {
		*id = s.owner.b.store.NewSession()
	}
	t.stage().batch.PutSession(*id, s.record(time.Time{}))
	return true
}

// stageLeft notes that the connection has ended, and when. It is committed at
// once, so that it cannot come behind the next CONNECT.
func (s *session) stageLeft() {
	if s.durable() {
		b := &store.Batch{}
		s.keep.left = time.Now()
		b.PutSession(s.keep.id, s.record(s.keep.left))
		s.owner.b.store.Commit(b, nil)
	}
}

// stageWillDone notes that the will was published or denied, together with what
// became of it.
func (s *session) stageWillDone(t *turn) {
	if s.keep == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := t.stage()
	k.will = s
	s.stageRecord(&k.batch)
	t.commit()
}

// stageRecord puts down the Session as it is now, after a will.
func (s *session) stageRecord(b *store.Batch) {
	switch {
	case s.keep.willID != 0 && s.ended:
		b.EndSession(s.keep.willID)
	case !s.durable():
	case s.conn != nil: // it has come back meanwhile: its will is another
		b.PutSession(s.keep.id, s.record(time.Time{}))
	case !s.ended:
		b.PutSession(s.keep.id, s.record(s.keep.left))
	case s.keep.leaving:
		b.PutSession(s.keep.id, s.gone())
	default:
		b.EndSession(s.keep.id)
	}
}

func (s *session) stageSubscribe(t *turn, sub *subscription) {
	if !s.durable() {
		return
	}
	t.stage().batch.Subscribe(s.keep.id, store.Subscription{Subscription: sub.wire(), Identifier: sub.id[0]})
}

func (s *session) stageUnsubscribe(t *turn, filter string) {
	if s.durable() {
		t.stage().batch.Unsubscribe(s.keep.id, filter)
		t.wait = true
	}
}

func (s *session) stageReceive(t *turn, id mqtt.PacketID) {
	if s.durable() {
		k := t.stage()
		k.batch.Receive(s.keep.id, id)
		k.received = append(k.received, id)
		t.wait = true
	}
}

func (s *session) stageRelease(t *turn, id mqtt.PacketID) {
	if s.durable() {
		t.stage().batch.Release(s.keep.id, id)
		t.wait = true
	}
}

func (s *session) stagePubrec(t *turn, w queued) {
	if s.durable() {
		t.stage().batch.Pubrec(s.keep.id, w.at)
		t.wait = true
	}
}

// endStored is the end of the Session. With a will that is still to be published
// the store keeps that first.
func (s *session) endStored(t *turn) {
	k := s.keep
	if k == nil {
		return
	}
	t.tally.waiting -= int64(k.disk.n)
	s.keep = &keeper{id: k.id, willID: k.willID, next: k.next, sent: k.sent, leaving: k.leaving, handing: k.handing}
	if k.leaving {
		s.keep.pending = k.pending
	}
	switch {
	case k.id == 0 && k.willID != 0 && s.will == nil:
		t.stage().batch.EndSession(k.willID)
	case k.id == 0:
	case k.leaving || s.will != nil:
		b := &store.Batch{} // before what publishes the will or hands over
		b.PutSession(k.id, s.gone())
		s.owner.b.store.Commit(b, nil)
	default:
		t.stage().batch.EndSession(k.id)
	}
}

// stageRetain and stageClear put down retained messages, but for our own.
func (b *Broker) stageRetain(t *turn, m *message) {
	if b.store != nil && !isOurs(m.topic) {
		t.stage().batch.Retain(m.kept(b))
	}
}

func (b *Broker) stageClear(t *turn, name string) {
	if b.store != nil && !isOurs(name) {
		t.stage().batch.Clear(name)
	}
}
