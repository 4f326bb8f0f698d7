package broker

import (
	"net"

	"mqt/mqtt"
	"mqt/mqtt/topic"
)

// All that clients can have the broker keep is counted on Broker.memory, in
// bytes: sessions with their texts, wills and subscriptions, what waits in
// queues and is in flight, retained messages, Topic Aliases and what publishers
// remember. Each is counted where it is kept and discounted where it is given
// up, by the turn that does so; what one turn adds is seen by others at its end.

// What a thing takes beside its texts, about: the struct, its places in maps and
// trees.
const (
	sessionCost      = 256 // 176 with the first subscription, in a table, a deadline while nobody is there
	flightCost       = 208
	willCost         = 128
	subscriptionCost = 208 // 48 or a part of the session, 48 in a tree, its slot there, its place in a list or map; and nodes
	retainedCost     = 192
	aliasCost        = 48
	topicCost        = 128
	routeCost        = 48
	waitCost         = 64 // a delivery, and its place in a queue or in flight
	idCost           = 4  // a Subscription Identifier of a delivery or route
	messageCost      = 64 // what delivery.size adds to message.size
	levelCost        = 128
	flatLevels       = 4 // whose nodes in a tree are in the costs above, or shared
)

// spareInFlight is what one session may have in flight above MaxMemory, as long
// as all together take no more than an eighth above it: who fills the queues
// does not stop those who keep up.
const spareInFlight = 64 << 10

// used is how much is counted, what this turn has added included.
func (t *turn) used() int64 { return t.b.memory.Used() + t.tally.held }

// affords reports whether n more bytes may be kept.
func (t *turn) affords(n int64) bool { return t.used()+n <= t.b.limit().MaxMemory }

// treeCost is what a place in a tree takes for a name or filter: one with many
// levels makes as many nodes.
func treeCost(name string) int64 {
	n := int64(len(name))
	if levels := topic.Levels(name); levels > flatLevels {
		n += int64(levels-flatLevels) * levelCost
	}
	return n
}

func (sub *subscription) cost() int64 { return subscriptionCost + treeCost(sub.filter()) }

// cost is what a will takes, 0 for none.
func (w *will) cost() int64 {
	if w == nil {
		return 0
	}
	return willCost + int64(len(w.Topic)+len(w.Payload)+w.Properties.Memory())
}

// recordCost is what a session is counted with that does nothing.
func recordCost(clientID, username string) int64 {
	return sessionCost + int64(len(clientID)+len(username))
}

// cost is what is counted for the session now, but for messages. s.mu is held.
func (s *session) cost() int64 {
	n := recordCost(s.clientID, s.owner.name) + s.will.cost()
	if s.flight != nil {
		n += flightCost
	}
	for sub := range s.subs.all {
		n += sub.cost()
	}
	return n
}

// setWill puts another will in the place of the session's, nil for none. s.mu is
// held.
func (s *session) setWill(t *turn, w *will) {
	t.tally.held += w.cost() - s.will.cost()
	s.will = w
}

// charge counts n bytes more for the connection, or fewer.
func (c *conn) charge(t *turn, n int64) {
	c.noted.held += n
	t.tally.held += n
}

// settle gives back all that is counted for the connection. It is within c.feeding:
// somebody may look at its routes.
func (c *conn) settle(t *turn) {
	if k := c.noted; k != nil {
		c.charge(t, -k.held)
		k.topics = nil
		c.b.publishers.remove(c)
		k.aliases.Reset(0)
	}
}

// keep counts one more who keeps m. A message is counted once, however many keep
// it.
func (t *turn) keep(m *message) {
	if m.holders.Add(1) == 1 {
		t.tally.held += int64(m.size + messageCost)
	}
}

// discard is the end of keep.
func (t *turn) discard(m *message) {
	if m.holders.Add(-1) == 0 {
		t.tally.held -= int64(m.size + messageCost)
	}
}

// hold counts a delivery that a session keeps, in a queue or in flight.
func (t *turn) hold(d *delivery) {
	t.tally.held += waitCost + int64(idCost*len(d.ids))
	t.keep(d.m)
}

// release is the end of hold.
func (t *turn) release(d *delivery) {
	t.tally.held -= waitCost + int64(idCost*len(d.ids))
	t.discard(d.m)
}

// cost is what hold is about to count.
func (d *delivery) cost() int64 {
	n := waitCost + idCost*len(d.ids)
	if d.m.holders.Load() == 0 {
		n += d.m.size + messageCost
	}
	return int64(n)
}

// affordsFlight reports whether d may be in flight to s. s.mu is held.
func (t *turn) affordsFlight(s *session, d *delivery) bool {
	n, most := t.used()+d.cost(), t.b.limit().MaxMemory
	return n <= most || n <= most+most/8 && s.flying+d.size() <= spareInFlight
}

// affordsToFly reports whether a session may begin to hold anything, d first. c is
// its connection, nil: it has none.
func (t *turn) affordsToFly(c *conn, d *delivery) bool {
	n, most := t.used()+flightCost+d.cost(), t.b.limit().MaxMemory
	return n <= most || c != nil && n <= most+most/8 && d.size() <= spareInFlight
}

// affordsSession is asked before a CONNECT makes a session, or brings a will to
// one. Who comes back to what waits for it is let in, with a small will in any
// case: reading makes room.
func (b *Broker) affordsSession(t *turn, p *mqtt.Connect, user string, addr net.Addr) error {
	b.mu.Lock()
	s := b.sessions.get(p.ClientID)
	known := s != nil && s.owner.name == user
	b.mu.Unlock()
	n := newWill(p).cost()
	if !known {
		n += recordCost(p.ClientID, user)
	}
	if known && n <= sessionCost || t.affords(n) {
		return nil
	}
	b.exceeded(LimitMemory, p.ClientID, addr)
	return refuse(mqtt.QuotaExceeded, "3.2.2.2", "the memory for sessions is used up")
}
