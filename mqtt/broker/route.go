package broker

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"mqt/mqtt/access"

	"mqt/mqtt"
	"mqt/mqtt/topic"
)

// subscription is one Topic Filter of a session. It is immutable: subscribing
// again makes another.
type subscription struct {
	entry             topic.Entry[*session, *subscription]
	id                [1]uint32 // its Subscription Identifier, 0: none
	QoS               mqtt.QoS
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    uint8
}

// wanted is what a SUBSCRIBE asks for. id is 0 if it has none. subscriptions.set
// makes a subscription of it.
func (s *session) wanted(p *mqtt.Subscription, id uint32) subscription {
	return subscription{topic.NewEntry[*session, *subscription](p.Filter, s, nil), [1]uint32{id}, p.QoS, p.NoLocal, p.RetainAsPublished, p.RetainHandling}
}

// made reports whether it is one: the zero value is none.
func (sub *subscription) made() bool { return sub.session() != nil }

// filter is as the client wrote it, $share/… included.
func (sub *subscription) filter() string { return sub.entry.Filter() }

func (sub *subscription) session() *session { return sub.entry.Key() }

// wire is what SUBSCRIBE had.
func (sub *subscription) wire() mqtt.Subscription {
	return mqtt.Subscription{Filter: sub.filter(), QoS: sub.QoS, NoLocal: sub.NoLocal,
		RetainAsPublished: sub.RetainAsPublished, RetainHandling: sub.RetainHandling}
}

// equals reports whether both ask for the same.
func (sub *subscription) equals(other *subscription) bool {
	return sub.wire() == other.wire() && sub.id == other.id
}

// ids is its Subscription Identifier, or none.
func (sub *subscription) ids() []uint32 {
	if sub.id[0] == 0 {
		return nil
	}
	return sub.id[:]
}

// route says how a message goes to one session, whichever of its subscriptions
// match.
type route struct {
	s     *session
	qos   mqtt.QoS // the highest granted [MQTT-3.3.4-2]
	rap   bool     // Retain As Published
	ids   []uint32 // of all matching subscriptions [MQTT-3.3.4-3], [MQTT-3.3.4-4]
	group *group   // the shared subscription it was chosen from
}

// routing is the outcome of matching one topic, kept by its publisher while no
// subscription changes, nor the ACL.
type routing struct {
	topic         string
	acl           *access.ACL
	epoch, shares uint64
	direct        []route
	groups        []*group
}

// cachedTopics is how many topics a publisher remembers, those that come again
// before as many others did: to remember one costs more than a match.
// maxCachedRoutes is how many subscribers each may have.
const (
	cachedTopics    = 8
	maxCachedRoutes = 1024
)

// routesOf returns the routes of topic for a publisher, from its memory where
// nothing has changed. They are valid until the turn's next match.
func (b *Broker) routesOf(t *turn, c *conn, topic string, from *session) ([]route, []*group) {
	epoch, shares, acl := b.subs.Epoch(), b.shared.tree.Epoch(), b.acl.Load()
	known := false
	if c != nil {
		topics := c.notes().topics
		for i := range topics {
			r := &topics[i]
			if r.topic != topic {
				continue
			}
			if known = true; r.epoch == epoch && r.shares == shares && r.acl == acl {
				return r.direct, r.groups
			}
		}
	}
	t.routes = b.match(t.routes[:0], t, acl, topic, from)
	t.groups = b.shared.tree.AppendMatches(t.groups[:0], topic)
	if c != nil && len(t.routes) <= maxCachedRoutes && (known || c.noted.again(uint32(maphash.String(b.seed, topic)))) {
		c.remember(t, routing{topic, acl, epoch, shares, slices.Clone(t.routes), slices.Clone(t.groups)})
	}
	return t.routes, t.groups
}

// again reports whether a topic with that hash was among the last.
func (k *notes) again(hash uint32) bool {
	if slices.Contains(k.lately[:], hash) {
		return true
	}
	k.lately[k.nextSeen] = hash
	k.nextSeen = (k.nextSeen + 1) % cachedTopics
	return false
}

// remember puts r in the place of the one with its topic, or of the oldest, as
// far as there is memory.
func (c *conn) remember(t *turn, r routing) {
	k := c.notes()
	i := slices.IndexFunc(k.topics, func(have routing) bool { return have.topic == r.topic })
	if i < 0 && len(k.topics) == cachedTopics {
		i = int(k.nextTopic)
		k.nextTopic = (k.nextTopic + 1) % cachedTopics
	}
	grow := r.cost()
	if i >= 0 {
		grow -= k.topics[i].cost()
	}
	switch {
	case grow > 0 && !t.affords(grow):
		return
	case i >= 0:
		k.topics[i] = r
	default:
		k.topics = append(k.topics, r)
	}
	c.charge(t, grow)
	if !k.listed {
		k.listed = true
		c.b.publishers.add(t, c)
	}
}

// publishers are the connections that remember routes. A route that is no longer
// valid keeps sessions from being freed that have ended; whoever publishes on
// finds that out, for the others somebody has to look from time to time.
type publishers struct {
	b     *Broker
	mu    sync.Mutex // a leaf
	conns []*conn
	next  int // who is looked at next
	timer
}

// forgetEvery is how often somebody looks, and forgetSome at how many at most.
const (
	forgetEvery = 10 * time.Second
	forgetSome  = 10_000
)

func (ps *publishers) add(t *turn, c *conn) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if c.noted.place > 0 {
		return
	}
	ps.conns = append(ps.conns, c)
	c.noted.place = len(ps.conns)
	if c.noted.place == 1 {
		ps.b.timers.set(ps, t.now+forgetEvery)
	}
}

func (ps *publishers) remove(c *conn) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	k := c.noted
	if k.place == 0 {
		return
	}
	last := len(ps.conns) - 1
	moved := ps.conns[last]
	ps.conns[k.place-1], moved.noted.place = moved, k.place
	ps.conns[last] = nil
	ps.conns = ps.conns[:last]
	k.place = 0
	if last == 0 {
		ps.conns = nil
		ps.b.timers.set(ps, 0)
	}
}

// some lists who is to be looked at now.
func (ps *publishers) some() []*conn {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.next >= len(ps.conns) {
		ps.next = 0
	}
	some := slices.Clone(ps.conns[ps.next:min(ps.next+forgetSome, len(ps.conns))])
	ps.next += len(some)
	return some
}

// due has publishers forget the routes that are not valid any more.
func (ps *publishers) due(now time.Duration) time.Duration {
	t := ps.b.beginTurn(nil)
	defer t.end()
	for _, c := range ps.some() {
		c.forgetRoutes(t)
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if len(ps.conns) == 0 {
		return 0
	}
	return now + forgetEvery
}

// forgetRoutes forgets what is not valid any more. A connection at work is passed
// by: it may find that out itself.
func (c *conn) forgetRoutes(t *turn) {
	if !c.feeding.TryLock() {
		return
	}
	defer c.rests()
	epoch, shares, acl := c.b.subs.Epoch(), c.b.shared.tree.Epoch(), c.b.acl.Load()
	k := c.noted
	k.topics = slices.DeleteFunc(k.topics, func(r routing) bool {
		stale := r.epoch != epoch || r.shares != shares || r.acl != acl
		if stale {
			c.charge(t, -r.cost())
		}
		return stale
	})
	k.nextTopic = 0
	if len(k.topics) == 0 {
		k.topics, k.listed = nil, false
		c.b.publishers.remove(c)
	}
}

func (r *routing) cost() int64 {
	n := topicCost + len(r.topic) + routeCost*len(r.direct) + 8*len(r.groups)
	for i := range r.direct {
		n += idCost * len(r.direct[i].ids)
	}
	return int64(n)
}

// match appends a route for each session with a matching subscription that may
// receive the topic: a filter may be wider than what its session may read.
func (b *Broker) match(dst []route, t *turn, acl *access.ACL, topic string, from *session) []route {
	t.matches = b.subs.AppendMatches(t.matches[:0], topic)
	filters := 0
	for i, sub := range t.matches {
		if i == 0 || sub.filter() != t.matches[i-1].filter() {
			filters++
		}
		if sub.NoLocal && sub.session() == from {
			continue // [MQTT-3.8.3-3]
		}
		if !sub.session().mayReceive(acl, topic) {
			continue
		}
		dst = append(dst, route{s: sub.session(), qos: sub.QoS, rap: sub.RetainAsPublished, ids: sub.ids()})
	}
	if filters < 2 {
		return dst // one filter: each session is there once
	}
	return mergeRoutes(dst)
}

// mergeRoutes makes one route of those to the same session: one copy, at the
// highest QoS, with every identifier.
func mergeRoutes(rs []route) []route {
	slices.SortStableFunc(rs, func(a, b route) int {
		return cmp.Or(cmp.Compare(a.s.serial, b.s.serial), strings.Compare(a.s.clientID, b.s.clientID))
	})
	out := rs[:0]
	for i := 0; i < len(rs); {
		r, n := rs[i], 1
		for i+n < len(rs) && rs[i+n].s == r.s {
			n++
		}
		if n > 1 {
			r.merge(rs[i+1 : i+n])
		}
		out = append(out, r)
		i += n
	}
	clear(rs[len(out):])
	return out
}

// merge adds the others of the session. One may have thousands that overlap.
func (r *route) merge(others []route) {
	n := len(r.ids)
	for i := range others {
		n += len(others[i].ids)
	}
	if n > len(r.ids) {
		r.ids = append(make([]uint32, 0, n), r.ids...)
	}
	for i := range others {
		r.qos, r.rap = max(r.qos, others[i].qos), r.rap || others[i].rap
		r.ids = append(r.ids, others[i].ids...)
	}
}

// distribute sends t.pub to all who subscribed to it. 0x10: there was nobody; 0x97:
// nobody of them has room for it.
func (b *Broker) distribute(t *turn, c *conn) mqtt.ReasonCode {
	p := &t.pub
	direct, groups := b.routesOf(t, c, p.topic, p.from)
	for i := range direct {
		direct[i].s.deliver(t, p, &direct[i])
	}
	for _, g := range groups {
		g.deliver(t, p)
	}
	switch n := len(direct) + len(groups); {
	case n == 0:
		return mqtt.NoMatchingSubscribers
	case p.full == n:
		return mqtt.QuotaExceeded
	}
	return mqtt.Success
}
