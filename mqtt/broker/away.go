package broker

import (
	"slices"

	"mqt/mqtt"
	"mqt/mqtt/flow"
	"mqt/mqtt/store"
)

// A durable Session that is away keeps little in memory, also of what it had in flight: the rest is left to the disk, and
// read back when the client returns as after a restart. What the client has acknowledged may not be found there any more,
// or it would get it again. So that waits for two things. First for the turn that lost the connection, behind which the
// client says nothing more. Then, when nothing is pending that may have been acknowledged already, for whatever those did
// who were told that it is durable: the store calls back in the order of the commits, one after the other.

// packetIDs is how many Packet Identifiers there are.
const packetIDs = 65_535

// steps of a keeper on the way there.
const (
	_           uint8 = iota
	partLosing        // the last turn of the connection is not durable
	partLost          // it is
	partLeaving       // all is about to be that its messages have left behind
)

// parting is a Session that waits for a commitment to be durable, before it leaves to the disk what it has in flight.
type parting struct {
	s     *session
	times uint32 // see keeper
}

// part begins with it. s.mu is held, as in all that does not say otherwise.
func (s *session) part(t *turn) {
	if !s.durable() {
		return
	}
	s.keep.times++
	s.keep.parting = 0
	if s.overFlight() && !s.keep.unkept {
		s.partBehind(t, partLosing)
	}
}

func (s *session) partBehind(t *turn, step uint8) {
	s.keep.parting = step
	k := t.stage()
	k.parting = append(k.parting, parting{s, s.keep.times})
}

// overFlight reports whether more is in flight than is kept in memory of one who is away.
func (s *session) overFlight() bool {
	return s.flight != nil && s.flying > 0 && (s.sender.Len() > awayWindow || s.flying > awayBytes)
}

// partNext goes on if nothing is pending that is in flight, was in flight, or would be next.
func (s *session) partNext(t *turn) {
	if s.conn != nil || s.keep.parting != partLost || s.keep.unkept || s.flight == nil {
		return
	}
	last := s.lastInMemory()
	if !slices.ContainsFunc(s.keep.pending, func(p pending) bool { return p.k != nil && (p.acked || p.at <= last) }) {
		s.partBehind(t, partLeaving)
	}
}

// lastInMemory is the last place that a message in flight or in session.queue has.
func (s *session) lastInMemory() (at store.Position) {
	if !s.queue.empty() {
		return s.queue.back().at // behind those in flight
	}
	for _, e := range s.sender.All() {
		at = max(at, e.Value.at)
	}
	return at
}

// parted is called when the commitment is through. s.mu is not held.
func (p parting) parted(t *turn, err error) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keep
	if s.ended || s.conn != nil || k.times != p.times {
		return // it has come back, and may have left again
	}
	step := k.parting
	k.parting = 0
	switch {
	case err != nil || s.flight == nil:
	case step == partLosing:
		k.parting = partLost
		s.partNext(t)
	case step == partLeaving:
		s.leaveFlight(t)
	}
}

// leaveFlight leaves to the disk what is in flight and what is behind that, but for the Packet Identifiers of which only a
// PUBREL is to come. All of it is durable: what came since is in keeper.late (queueFor).
func (s *session) leaveFlight(t *turn) {
	k := s.keep
	from := store.Position(0)
	for id, e := range s.sender.All() {
		w := e.Value
		if w.d == nil {
			continue
		}
		s.flying -= w.d.size()
		t.release(w.d)
		if e.State == flow.PubrelSent {
			s.sender.Pubcomp(id)
			s.sender.Restore(id, flow.PubrelSent, queued{at: w.at}) // in their order, behind those that had no more
			continue
		}
		s.forget(id, w.d.qos)
		if from == 0 {
			from = w.at
		}
		k.sent = max(k.sent, w.at)
		k.disk.add(w.d, 1)
		if k.flown == nil {
			k.flown = &onDisk{}
		}
		k.flown.add(w.d, 1)
		t.tally.waiting++
	}
	for !s.queue.empty() {
		w := s.queue.pop()
		if from == 0 {
			from = w.at
		}
		k.disk.add(w.d, 1)
		t.release(w.d)
	}
	if from > 0 {
		k.disk.from = from
	}
	s.noteWaiting()
	s.rest(t)
}

// landed counts one that was read back, and is sent again or dropped, as no more away.
func (k *keeper) landed(w queued) {
	if k != nil && k.flown != nil && w.at > 0 && w.at <= k.sent {
		if k.flown.add(w.d, -1); k.flown.n == 0 {
			k.flown = nil
		}
	}
}

// aloft is how much of what is on disk had been sent.
func (k *keeper) aloft() (n, bytes int) {
	if k.flown == nil {
		return 0, 0
	}
	return k.flown.n, k.flown.bytes
}

// maySend reports whether the message with a Packet Identifier may be one that was sent, and is on disk or has been read
// back: it is sent again. Where that is of several openings of the store, any may.
func (s *session) maySend(id mqtt.PacketID) bool {
	k := s.keep
	if k == nil {
		return false
	}
	from := k.disk.from
	switch {
	case s.flight != nil && !s.queue.empty():
		from = s.queue.front().at
	case k.disk.n == 0:
		return false
	}
	if k.sent < from {
		return false
	}
	back := (store.Position(k.sent.PacketID()) + packetIDs - store.Position(id)) % packetIDs
	return k.sent >= from+back
}
