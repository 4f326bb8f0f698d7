// Package storetest proves implementations of [store.Store]: one suite that
// each has to pass, a store in memory that is the model they are compared with,
// and one that fails at will, for the tests of others.
package storetest

import (
	"iter"
	"maps"
	"slices"
	"sync"

	"mqt/mqtt"
	"mqt/mqtt/store"
)

// Memory is a Store that keeps nothing. It says what the operations mean, in as
// few words as can be.
type Memory struct {
	mu       sync.Mutex
	sessions map[store.SessionID]*session
	retained map[string]*store.Message
	last     store.SessionID
	opened   uint64
	stats    store.Stats
	closed   bool
	owed     []func()
	calling  bool
	idle     sync.Cond
}

type session struct {
	store.Session
	subs     map[string]store.Subscription
	queue    map[store.Position]store.Delivery
	released []store.Position
	received map[mqtt.PacketID]bool
	sent     store.Position
}

// NewMemory returns an empty one.
func NewMemory() *Memory {
	m := &Memory{sessions: map[store.SessionID]*session{}, retained: map[string]*store.Message{}, opened: 1}
	m.idle.L = &m.mu
	return m
}

// Reopen makes a closed one good for use again, with what it holds.
func (m *Memory) Reopen() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = false
	m.opened++
}

// Clone returns another store with what m holds now, opened once more: what is
// left when the power of m has gone.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMemory()
	c.retained, c.last, c.opened = maps.Clone(m.retained), m.last, m.opened+1
	for id, s := range m.sessions {
		c.sessions[id] = &session{Session: s.Session, subs: maps.Clone(s.subs), queue: maps.Clone(s.queue),
			released: slices.Clone(s.released), received: maps.Clone(s.received), sent: s.sent}
	}
	return c
}

// First implements [store.Store].
func (m *Memory) First() store.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	return store.FirstPosition(m.opened)
}

// NewSession implements [store.Store].
func (m *Memory) NewSession() store.SessionID {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	return m.last
}

// Commit implements [store.Store].
func (m *Memory) Commit(b *store.Batch, done func(error)) (full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := store.ErrClosed
	if !m.closed {
		m.stats.Commits++
		m.stats.Batches++
		m.stats.Ops += uint64(b.Len())
		err = b.Replay((*memoryOps)(m))
	}
	if done != nil {
		m.owed = append(m.owed, func() { done(err) })
		if !m.calling {
			m.calling = true
			go m.call()
		}
	}
	return false
}

// call calls whoever waits, in order.
func (m *Memory) call() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.owed) > 0 {
		f := m.owed[0]
		m.owed = m.owed[1:]
		m.mu.Unlock()
		f()
		m.mu.Lock()
	}
	m.calling = false
	m.idle.Broadcast()
}

// memoryOps is a Memory whose mu is held.
type memoryOps Memory

func (m *memoryOps) PutSession(id store.SessionID, s *store.Session) {
	x := m.sessions[id]
	if x == nil {
		x = &session{subs: map[string]store.Subscription{}, queue: map[store.Position]store.Delivery{}, received: map[mqtt.PacketID]bool{}}
		m.sessions[id] = x
	}
	x.Session = *s
}

func (m *memoryOps) EndSession(id store.SessionID) { delete(m.sessions, id) }

// with does f to a session that is there.
func (m *memoryOps) with(id store.SessionID, f func(*session)) {
	if s := m.sessions[id]; s != nil {
		f(s)
	}
}

func (m *memoryOps) Subscribe(id store.SessionID, sub store.Subscription) {
	m.with(id, func(s *session) { s.subs[sub.Filter] = sub })
}

func (m *memoryOps) Unsubscribe(id store.SessionID, filter string) {
	m.with(id, func(s *session) { delete(s.subs, filter) })
}

func (m *memoryOps) Enqueue(id store.SessionID, at store.Position, d store.Delivery) {
	m.with(id, func(s *session) { s.queue[at] = d })
}

func (m *memoryOps) Sent(id store.SessionID, upTo store.Position) {
	m.with(id, func(s *session) { s.sent = upTo })
}

func (m *memoryOps) Pubrec(id store.SessionID, at store.Position) {
	m.with(id, func(s *session) {
		if _, ok := s.queue[at]; ok {
			delete(s.queue, at)
			s.released = append(s.released, at)
		}
	})
}

func (m *memoryOps) Done(id store.SessionID, at store.Position) {
	m.with(id, func(s *session) {
		delete(s.queue, at)
		s.released = slices.DeleteFunc(s.released, func(p store.Position) bool { return p == at })
	})
}

func (m *memoryOps) Receive(id store.SessionID, p mqtt.PacketID) {
	m.with(id, func(s *session) { s.received[p] = true })
}

func (m *memoryOps) Release(id store.SessionID, p mqtt.PacketID) {
	m.with(id, func(s *session) { delete(s.received, p) })
}

func (m *memoryOps) Retain(msg *store.Message) { m.retained[msg.Topic] = msg }

func (m *memoryOps) Clear(topic string) { delete(m.retained, topic) }

// Sessions implements [store.Store].
func (m *Memory) Sessions() iter.Seq2[*store.Saved, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*store.Saved
	for _, id := range slices.Sorted(maps.Keys(m.sessions)) {
		all = append(all, m.sessions[id].saved(id, store.FirstPosition(m.opened)))
	}
	return func(yield func(*store.Saved, error) bool) {
		for _, s := range all {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (s *session) saved(id store.SessionID, first store.Position) *store.Saved {
	x := &store.Saved{ID: id, Session: s.Session, Sent: s.sent, Released: slices.Clone(s.released),
		Received: slices.Sorted(maps.Keys(s.received))}
	for _, filter := range slices.Sorted(maps.Keys(s.subs)) {
		x.Subscriptions = append(x.Subscriptions, s.subs[filter])
	}
	for _, at := range slices.Sorted(maps.Keys(s.queue)) {
		if x.Count == 0 {
			x.First = at
		}
		x.Last = at
		x.Shared = x.Shared || s.queue[at].Share != ""
		x.Count++
		x.Bytes += int64(s.queue[at].Size())
	}
	last := max(x.Sent, x.Last)
	for _, at := range s.released {
		last = max(last, at)
	}
	x.Next = max(last+1, first)
	return x
}

// Retained implements [store.Store].
func (m *Memory) Retained() iter.Seq2[*store.Message, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := maps.Clone(m.retained)
	return func(yield func(*store.Message, error) bool) {
		for _, topic := range slices.Sorted(maps.Keys(all)) {
			if !yield(all[topic], nil) {
				return
			}
		}
	}
}

// ReadQueue implements [store.Store].
func (m *Memory) ReadQueue(id store.SessionID, from store.Position, limit int, maxBytes int64) ([]store.Queued, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.sessions[id]
	if s == nil {
		return nil, nil
	}
	var out []store.Queued
	for _, at := range slices.Sorted(maps.Keys(s.queue)) {
		if at < from {
			continue
		}
		d := s.queue[at]
		if maxBytes -= int64(d.Size()); len(out) == limit || maxBytes < 0 && len(out) > 0 {
			break
		}
		out = append(out, store.Queued{Position: at, Delivery: d})
	}
	return out, nil
}

// Stats implements [store.Store].
func (m *Memory) Stats() store.Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

// Err implements [store.Store].
func (m *Memory) Err() error { return nil }

// Close implements [store.Store].
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return store.ErrClosed
	}
	m.closed = true
	for m.calling {
		m.idle.Wait()
	}
	return nil
}
