package broker

import (
	"bytes"
	"errors"
	"sync/atomic"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
)

// errStoring says that a packet has to wait until what it asks for is durable.
var errStoring = errors.New("broker: the packet waits for the store")

// commitment is what one turn has staged for the store, and who waits for it.
// Which step stages what, and waits, is the table of package store.
type commitment struct {
	b        *Broker
	batch    store.Batch
	enqueued []placed // the messages in it
	sent     []placed // up to where Sessions have sent
	received []mqtt.PacketID
	leaving  []*session // who may hand over when this is durable
	parting  []parting  // who waits for it to leave what is in flight to the disk
	will     *session   // whose will was published
	here     *session   // who is connected, which could not be put down

	again   bool     // nobody can be told of a failure: see retries
	c       *conn    // whose answers wait, nil: nobody's
	acks    []byte   // these
	storing *storing // and the packet that waits as a whole

	committed atomic.Bool  // the store has it: what is committed now comes behind it
	pause     atomic.Int32 // of c: 1 it waits to be resumed, 2 there is no need
}

// placed is a message of a Session.
type placed struct {
	s  *session
	at store.Position
}

// storing is a CONNECT or SUBSCRIBE whose answer something follows at once, or a
// CONNECT that waits for its turn (passage.go). The connection is paused with the
// packet unconsumed and fed it again.
type storing struct {
	// Of a CONNECT that waits for its turn, else nil; connack is for both.
	c       *conn
	connect *mqtt.Connect
	user    string
	waited  bool
	until   time.Duration // for the last words of who is there, 0: it has met nobody

	connack  *mqtt.Connack
	version  mqtt.Version
	fresh    bool   // the Session is new
	optional bool   // it is let in though its will cannot be kept
	expiry   uint32 // it was, if the Session is not new
	will     *will  // that waited for its delay before
	suback   *mqtt.Suback
	retained []*subscription
	added    []*subscription
	// Everything is subscribed to as it was, which is durable.
	unchanged bool
	err       error // why it is not durable
	done      atomic.Bool
}

// maxOwed is how many turns of one client may wait for the store before no more
// is read from it: their answers are in memory.
const maxOwed = 64

// stage returns where the turn puts what is for the store.
func (t *turn) stage() *commitment {
	if t.staged == nil {
		t.staged = &commitment{b: t.b}
	}
	return t.staged
}

// stagedOps is how many operations the turn has staged.
func (t *turn) stagedOps() int {
	if t.staged == nil {
		return 0
	}
	return t.staged.batch.Len()
}

// commit hands over what was staged so far.
func (t *turn) commit() (full bool) {
	k := t.staged
	t.staged = nil
	return k.commit()
}

func (k *commitment) commit() (full bool) {
	for _, p := range k.sent {
		k.batch.Sent(p.s.keep.id, p.at)
	}
	k.sent = nil
	switch {
	case k.c != nil || k.again && !k.batch.Empty() || len(k.enqueued)+len(k.leaving)+len(k.parting) > 0:
		full = k.b.store.Commit(&k.batch, k.done)
	case !k.batch.Empty():
		k.b.store.Commit(&k.batch, nil)
	}
	k.committed.Store(true)
	return full
}

// mustWait reports whether the answers of the turn may not leave now: what they
// promise is not durable, or there are others before them.
func (c *conn) mustWait(t *turn) bool {
	return c.b.store != nil && (t.wait || len(t.acks) > 0 && c.owed.Load() > 0)
}

// commit hands over what was staged, and the answers with it.
func (c *conn) commit(t *turn) {
	k := t.stage()
	k.c, k.acks, k.storing = c, bytes.Clone(t.acks), c.storing
	t.acks, t.wait = t.acks[:0], false
	c.owed.Add(1)
	c.b.owed.Add(1)
	if k.storing != nil {
		k.pause.Store(1)
		c.tc.Pause()
	}
	if full := t.commit(); (full || c.owed.Load() > maxOwed) && k.storing == nil {
		c.tc.Pause()
		if !k.pause.CompareAndSwap(0, 1) {
			c.tc.Resume() // it was done meanwhile
		}
	}
}

// done is called by the store, in the order of the commits.
func (k *commitment) done(err error) {
	if k.fullAgain(err) {
		return
	}
	t := k.b.beginTurn(nil)
	t.because = k.c
	if err != nil {
		k.fail(t, err)
	} else if k.c != nil && len(k.acks) > 0 && !k.c.flags.has(displaced) {
		k.c.reply(t, k.acks)
	}
	k.settle(t, err)
	for _, p := range k.parting {
		p.parted(t, err)
	}
	if k.storing != nil {
		k.storing.err = err
		k.storing.done.Store(true)
	}
	if k.c != nil {
		k.b.owed.Add(-1)
		left := k.c.owed.Add(-1) // behind the reply, so that nothing passes it
		if k.pause.Swap(2) == 1 || left == 0 && k.c.flags.has(ending) {
			k.c.tc.Resume()
		}
	}
	t.end()
	if err == nil && len(k.leaving) > 0 {
		k.handOver()
	}
}

// settle tells the Sessions what became of their messages.
func (k *commitment) settle(t *turn, err error) {
	for i := 0; i < len(k.enqueued); {
		s := k.enqueued[i].s
		s.mu.Lock()
		for ; i < len(k.enqueued) && k.enqueued[i].s == s; i++ {
			s.settled(t, k.enqueued[i].at, err)
		}
		if !s.ended {
			s.forgetStored(t)
			s.trim(t)
			s.partNext(t)
			s.pump(t)
			s.noteWaiting()
		} else {
			s.handOverNext(t)
		}
		s.mu.Unlock()
	}
}

// code is what a client is told of an error of the store.
func storeCode(err error) mqtt.ReasonCode {
	if errors.Is(err, store.ErrFull) {
		return mqtt.QuotaExceeded
	}
	return mqtt.UnspecifiedError
}

// fail takes back what cannot be promised. What only removes is tried again.
func (k *commitment) fail(t *turn, err error) {
	k.b.logStore(err)
	if errors.Is(err, store.ErrFull) {
		again := &store.Batch{}
		if k.batch.Replay(removals{again}) == nil && !again.Empty() {
			k.b.store.Commit(again, nil)
		}
	}
	if k.c == nil {
		return
	}
	code := storeCode(err)
	k.forgetReceived(code)
	if k.storing != nil && k.storing.connack != nil {
		return // CONNACK tells
	}
	answers, ok := k.c.refusals(k.acks, code)
	switch {
	case k.c.flags.has(displaced):
	case ok && len(answers) > 0:
		k.c.reply(t, answers)
	case !ok:
		if len(answers) > 0 {
			k.c.reply(t, answers)
		}
		k.c.kick(code, err)
	}
}

// forgetReceived makes inbound QoS 2 messages unknown again. Whoever has sent one
// a second time meanwhile, on another connection, may not be told that it is
// known.
func (k *commitment) forgetReceived(code mqtt.ReasonCode) {
	s := k.c.s
	if s == nil || len(k.received) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == nil {
		return
	}
	for _, id := range k.received {
		s.receiver.Pubrec(id, mqtt.UnspecifiedError)
	}
	if c := s.live(); c != nil && c == k.c {
		c.flags.put(full, s.receiver.Quota() == 0)
	} else if c != nil {
		c.kick(code, errors.New("broker: its message could not be stored"))
	}
}

// refusals turns answers into those that promise nothing. false: there is no such
// answer to one of them, so the connection has to end.
func (c *conn) refusals(acks []byte, code mqtt.ReasonCode) (out []byte, ok bool) {
	r := mqtt.Reader{From: mqtt.Server, Version: c.version}
	ok = true
	for len(acks) > 0 {
		pkt, n, err := r.Read(acks)
		if err != nil || n == 0 {
			return out, false
		}
		acks = acks[n:]
		switch p := pkt.(type) {
		case *mqtt.Puback:
			ok = ok && c.version >= mqtt.V50
			p.ReasonCode = worse(p.ReasonCode, code)
		case *mqtt.Pubrec:
			ok = ok && c.version >= mqtt.V50
			p.ReasonCode = worse(p.ReasonCode, code)
		case *mqtt.Unsuback:
			ok = ok && c.version >= mqtt.V50
			for i := range p.ReasonCodes {
				p.ReasonCodes[i] = worse(p.ReasonCodes[i], mqtt.UnspecifiedError)
			}
		case *mqtt.Pingresp, *mqtt.Suback:
		default:
			ok = false
		}
		if !ok {
			return out, false
		}
		if out, err = pkt.Append(out, c.version); err != nil {
			return out, false
		}
	}
	return out, ok
}

func worse(have, code mqtt.ReasonCode) mqtt.ReasonCode {
	if have.Failed() {
		return have
	}
	return code
}

// removals takes of a batch what makes room or says what has happened.
type removals struct{ b *store.Batch }

func (r removals) PutSession(id store.SessionID, s *store.Session) {
	if !s.Left.IsZero() {
		r.b.PutSession(id, s)
	}
}
func (r removals) EndSession(id store.SessionID)                         { r.b.EndSession(id) }
func (removals) Subscribe(store.SessionID, store.Subscription)           {}
func (r removals) Unsubscribe(id store.SessionID, filter string)         { r.b.Unsubscribe(id, filter) }
func (removals) Enqueue(store.SessionID, store.Position, store.Delivery) {}
func (r removals) Sent(id store.SessionID, at store.Position)            { r.b.Sent(id, at) }
func (r removals) Pubrec(id store.SessionID, at store.Position)          { r.b.Pubrec(id, at) }
func (r removals) Done(id store.SessionID, at store.Position)            { r.b.Done(id, at) }
func (removals) Receive(store.SessionID, mqtt.PacketID)                  {}
func (r removals) Release(id store.SessionID, p mqtt.PacketID)           { r.b.Release(id, p) }
func (removals) Retain(*store.Message)                                   {}
func (r removals) Clear(topic string)                                    { r.b.Clear(topic) }

// StoreErr returns why the store has failed for good, nil while it works or where
// there is none. A full disk is not an end.
func (b *Broker) StoreErr() error {
	if b.store == nil {
		return nil
	}
	return b.store.Err()
}

// fullFor is how long a disk that was full is taken for one that still is, at the least.
const fullFor = 10 * time.Second

// StoreFull reports whether the store has refused something because its disk is full, just now or so that there is no room
// for it yet.
func (b *Broker) StoreFull() bool {
	last := b.storeFull.Load()
	return last != 0 && (b.timers.now()-time.Duration(last) < fullFor || b.store.Stats().Short)
}

// logStore says that the store fails: once when it is for good, from time to time
// when the disk is full.
func (b *Broker) logStore(err error) {
	switch {
	case errors.Is(err, store.ErrClosed):
	case errors.Is(err, store.ErrFull):
		b.exceeded(LimitStore, "", nil)
		now := b.timers.now()
		last := b.storeFull.Swap(int64(now))
		if last == 0 {
			b.timers.set(&b.relief, now+fullFor)
		}
		if last == 0 || now-time.Duration(last) > time.Minute {
			b.opt.Log.Error("the disk is full: what would have to be kept is refused, and accepted again as soon as there is room", "err", err)
		}
	case !b.storeFailed.Swap(true):
		b.opt.Log.Error("the store has failed: nothing is acknowledged any more that it would have to keep", "err", err)
	}
}

// relief says when a disk that was full is not any more.
type relief struct {
	b *Broker
	timer
}

func (r *relief) due(now time.Duration) time.Duration {
	if r.b.StoreFull() {
		return now + fullFor
	}
	r.b.storeFull.Store(0)
	r.b.opt.Log.Info("there is room on the disk again")
	return 0
}

// stored goes on with the packet that waited.
func (c *conn) stored(t *turn) error {
	k := c.storing
	if !k.done.Load() {
		return errStoring // or its turn
	}
	c.storing = nil
	switch {
	case k.connect != nil:
		return c.goIn(t, k)
	case k.connack != nil:
		return c.entered(t, k)
	}
	if k.err != nil {
		c.takeBack(t, k)
	}
	return c.subscribed(t, k.suback, k.retained)
}

// entered is the end of a CONNECT.
func (c *conn) entered(t *turn, k *storing) error {
	s := c.s
	s.mu.Lock()
	if s.conn != c {
		s.mu.Unlock()
		return errTakenOver
	}
	if errors.Is(k.err, store.ErrFull) && !k.fresh && k.expiry == s.expiry {
		// Nothing new but for a will: it makes room. That it is here is put down when there is some.
		c.b.retries.add(&commitment{b: c.b, again: true, here: s})
		k.err = nil
	}
	if k.err == nil || k.optional {
		s.muted = false
		s.greet(t, c, k.connack)
		s.mu.Unlock()
		c.welcomed(t)
		return nil
	}
	if s.expiry = k.expiry; k.fresh {
		s.expiry = 0
	}
	s.muted = false
	s.setWill(t, k.will)
	s.mu.Unlock()
	c.detach(t, false)
	code := mqtt.QuotaExceeded
	if !errors.Is(k.err, store.ErrFull) {
		code = mqtt.ServerUnavailable
	}
	err := refuse(code, "3.2.2.2", "the session cannot be stored")
	c.refuse(t, &mqtt.Connect{Version: k.version}, err)
	return err
}

// takeBack makes a SUBSCRIBE fail that is not durable. One that changes nothing is, on a full disk: a client that returns
// and subscribes as always may take its queue.
func (c *conn) takeBack(t *turn, k *storing) {
	if k.unchanged && errors.Is(k.err, store.ErrFull) {
		return
	}
	code := storeCode(k.err)
	for i, have := range k.suback.ReasonCodes {
		k.suback.ReasonCodes[i] = worse(have, code)
	}
	k.retained = nil
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range k.added {
		if have, ok := s.subs.get(sub.filter()); ok && have == sub {
			s.subs.delete(sub.filter())
			t.tally.held -= sub.cost()
			c.b.unroute(sub)
		}
	}
}
