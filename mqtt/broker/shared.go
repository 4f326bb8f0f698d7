package broker

import (
	"slices"
	"sync"

	"mqt/mqtt"
	"mqt/mqtt/access"
	"mqt/mqtt/topic"
)

// shares are the Shared Subscriptions, section 4.8.2: groups by filter and
// ShareName.
type shares struct {
	mu      sync.Mutex // adding and removing groups; before group.mu
	tree    topic.FilterTree[string, *group]
	members int
}

// group is the members of one Shared Subscription.
type group struct {
	name, filter string
	share        string // both, as a client writes it

	mu      sync.Mutex
	members []*subscription
	next    int
}

// count returns the number of members in all groups.
func (sh *shares) count() int {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.members
}

// join puts sub into its group, in the place of an older one of its session.
func (sh *shares) join(name, filter string, sub *subscription) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g, ok := sh.tree.Get(filter, name)
	if !ok {
		g = &group{name: name, filter: filter, share: sub.filter()}
	}
	g.mu.Lock()
	i := g.find(sub.session())
	if i >= 0 {
		g.members[i] = sub
	} else {
		g.members = append(g.members, sub)
		sh.members++
	}
	g.mu.Unlock()
	if !ok {
		sh.tree.Set(filter, name, g)
	}
}

// find returns a group that is there.
func (sh *shares) find(name, filter string) (*group, bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.tree.Get(filter, name)
}

// leave takes s out of the group.
func (sh *shares) leave(name, filter string, s *session) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g, ok := sh.tree.Get(filter, name)
	if !ok {
		return
	}
	g.mu.Lock()
	if i := g.find(s); i >= 0 {
		g.members = slices.Delete(g.members, i, i+1)
		sh.members--
	}
	empty := len(g.members) == 0
	g.mu.Unlock()
	if empty {
		sh.tree.Delete(filter, name)
	}
}

func (g *group) find(s *session) int {
	return slices.IndexFunc(g.members, func(m *subscription) bool { return m.session() == s })
}

// choose picks the member that gets the next message: in turn among those who
// are connected and have room, then among those who are connected, then among
// those whose Session waits for them, and last among those whose queue is full, which
// is what the publisher is told, or who would miss it. Who may not receive the topic is
// no member for it.
func (g *group) choose(acl *access.ACL, topic string, qos mqtt.QoS) (route, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	best, rank := -1, gone
	for k := range g.members {
		i := (g.next + k) % len(g.members)
		m := g.members[i]
		if r := m.session().readiness(min(qos, m.QoS)); r > rank && m.session().mayReceive(acl, topic) {
			if best, rank = i, r; r == ready {
				break
			}
		}
	}
	if best < 0 {
		return route{}, false
	}
	g.next = (best + 1) % len(g.members)
	m := g.members[best]
	return route{s: m.session(), qos: m.QoS, rap: m.RetainAsPublished, ids: m.ids(), group: g}, true
}

// deliver sends p to one member. One whose Session has ended since it was
// chosen takes nothing and is not chosen again, but there may be others.
func (g *group) deliver(t *turn, p *publication) {
	acl := t.b.acl.Load()
	for {
		if r, ok := g.choose(acl, p.topic, p.qos); !ok || r.s.deliver(t, p, &r) {
			return
		}
	}
}

// handOver gives a message that a member's ended Session left unacknowledged to
// another member, section 4.8.2.
func (g *group) handOver(t *turn, d *delivery) {
	t.pub.begin(d.m.topic, d.m.payload, d.m.propsAt(t.now), d.m.qos, d.retain, nil)
	t.pub.msg = d.m
	g.deliver(t, &t.pub)
}
