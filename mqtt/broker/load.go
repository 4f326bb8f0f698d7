package broker

import (
	"fmt"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/flow"
	"mqt/mqtt/store"
	"mqt/mqtt/topic"
)

// load begins with what is in the store. Nobody is connected yet.
func (b *Broker) load() error {
	t := b.beginTurn(nil)
	defer t.end()
	wall := time.Now()
	var replaced []*session
	for x, err := range b.store.Sessions() {
		if err != nil {
			return fmt.Errorf("broker: load: %w", err)
		}
		if old := b.sessions.get(x.ClientID); old != nil {
			// The power failed between a new Session and the end of the one before it:
			// the store gives them in the order of their age.
			replaced = append(replaced, old)
			b.mu.Lock()
			b.disown(old)
			b.mu.Unlock()
		}
		b.loadSession(t, x, wall)
	}
	for x, err := range b.store.Retained() {
		if err != nil {
			return fmt.Errorf("broker: load: %w", err)
		}
		b.retained.mu.Lock()
		b.retained.put(t, b.message(x))
		b.retained.mu.Unlock()
	}
	if t.staged != nil {
		t.commit() // no record may come behind the end of its Session
	}
	for _, old := range replaced { // when all are there whom it may leave something to
		old.end(t) // with its will, if the store still has it: nobody has published it
	}
	return nil
}

func (b *Broker) loadSession(t *turn, x *store.Saved, wall time.Time) {
	b.serial++
	b.mu.Lock()
	owner := b.own(x.Username)
	b.mu.Unlock()
	s := &session{serial: b.serial, clientID: x.ClientID, owner: owner, kept: true, expiry: x.Expiry}
	s.keep = &keeper{id: x.ID, next: x.Next, sent: x.Sent, shared: x.Shared}
	if s.keep.unsure = x.Unsure; x.Left.IsZero() { // it was connected: what was sent last is not known
		s.keep.unsure = max(x.Unsure, x.Last.Opening())
	}
	s.keep.disk = onDisk{n: x.Count, bytes: int(x.Bytes) + messageCost*x.Count, from: x.First}
	t.tally.held += recordCost(x.ClientID, x.Username)
	t.tally.waiting += int64(x.Count)
	b.mu.Lock()
	b.sessions.put(s)
	b.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(x.Released)+len(x.Received) > 0 {
		s.fly(t)
	}
	for _, at := range x.Released {
		s.sender.Restore(at.PacketID(), flow.PubrelSent, queued{at: at})
	}
	for _, id := range x.Received {
		s.receiver.Restore(id)
	}
	for i := range x.Subscriptions {
		s.loadSubscription(t, &x.Subscriptions[i])
	}
	s.noteWaiting()
	s.loadDeadlines(t, x, wall)
}

func (s *session) loadSubscription(t *turn, x *store.Subscription) {
	group, inner, shared, err := topic.SplitShare(x.Filter)
	if err != nil {
		return
	}
	want := s.wanted(&x.Subscription, x.Identifier)
	sub := s.subs.set(&want)
	t.tally.held += sub.cost()
	if shared {
		s.owner.b.shared.join(group, inner, sub)
	} else {
		s.owner.b.subs.Put(&sub.entry)
	}
}

// loadDeadlines lets expiry and will delay go on from when the connection was
// lost: now, if the process ended before it.
func (s *session) loadDeadlines(t *turn, x *store.Saved, wall time.Time) {
	if x.Will != nil {
		delay := x.Will.Properties.NumberOr(mqtt.WillDelayInterval, 0)
		s.setWill(t, &will{Will: x.Will, delay: time.Duration(delay) * time.Second})
	}
	s.keep.left = x.Left
	if s.keep.left.IsZero() {
		s.keep.left = wall
		t.stage().batch.PutSession(x.ID, s.record(s.keep.left))
	}
	gone := t.now - max(0, wall.Sub(s.keep.left))
	if s.expiry != Never {
		s.endAt = gone + time.Duration(s.expiry)*time.Second
	}
	if s.will != nil {
		s.will.at = soon(t.now, gone+s.will.delay, true)
	}
	s.endAt = soon(t.now, s.endAt, s.expiry != Never)
	s.owner.b.timers.set(s, earliest(s.willAt(), s.endAt))
}

// soon makes a deadline one that is to come: 0 would be none.
func soon(now, at time.Duration, set bool) time.Duration {
	if !set {
		return 0
	}
	return max(at, now)
}
