package broker

import (
	"mqt/mqtt/flow"
)

// flight is what a session has under way: what was sent and is not acknowledged,
// and what waits. Most sessions have nothing most of the time, and then no flight.
// Guarded by session.mu.
type flight struct {
	sender   flow.Sender[queued]
	receiver flow.Receiver
	queue    queue // QoS 1 and 2, held by flow control, a full out-buffer or absence
	queue0   queue // QoS 0 that may not be dropped yet, held by a full out-buffer
	flying   int   // bytes of what is in flight
}

// fly sees to it that there is a flight. s.mu is held, as in all that follows.
func (s *session) fly(t *turn) {
	if s.flight != nil {
		return
	}
	f := &flight{}
	f.sender.UsePool(&s.owner.b.pool)
	f.sender.Resume(s.lastID)
	f.sender.Reset(s.sendMax)
	f.receiver.Reset(s.ourMax)
	s.flight = f
	t.tally.held += flightCost
}

// rest gives the flight up if nothing is under way.
func (s *session) rest(t *turn) {
	f := s.flight
	if f == nil || f.sender.Len() > 0 || f.receiver.Len() > 0 || !f.queue.empty() || !f.queue0.empty() {
		return
	}
	if s.keep != nil && !s.keep.late.empty() {
		return
	}
	s.lastID = f.sender.Last()
	s.flight = nil
	t.tally.held -= flightCost
}

// begin has the flow control of a new Network Connection, with the client's
// Receive Maximum and ours.
func (s *session) begin(t *turn, theirs, ours uint16) {
	s.sendMax, s.ourMax = theirs, ours
	if s.rest(t); s.flight != nil {
		s.sender.Reset(theirs)
		s.receiver.Reset(ours)
	}
}

// owes reports whether anything is under way, or in the store.
func (s *session) owes(t *turn) bool {
	if s.keep != nil && s.keep.disk.n > 0 {
		s.fly(t)
	}
	return s.flight != nil
}

// idle gives up what a client that is connected does not need just now.
func (s *session) idle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		t := s.owner.b.beginTurn(nil)
		s.rest(t)
		t.end()
	}
}
