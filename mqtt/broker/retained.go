package broker

import (
	"sync"
	"sync/atomic"
	"time"

	"mqt/mqtt/topic"
)

// retention holds the retained messages, section 3.3.1.3. They are no part of a
// Session [MQTT-3.1.1: 3.1.2-7].
type retention struct {
	b     *Broker
	tree  topic.NameTree[*message]
	mu    sync.Mutex // held by writers
	bytes int64
	// own and ownBytes are those below $SYS, which no limit is for.
	own      int
	ownBytes int64
	// expiring counts those with a Message Expiry Interval, which are swept
	// out from time to time; readers do not wait for that.
	expiring atomic.Int64
	timer
}

// sweepEvery is how often expired retained messages are thrown away.
const sweepEvery = 30 * time.Second

// retain sets or clears the retained message of t.pub's topic, at any QoS
// [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.1.1: 3.3.1-7]. An empty one is not
// kept [MQTT-3.3.1-7]. false: over the limit, nothing was kept.
func (b *Broker) retain(t *turn) bool {
	r, p := &b.retained, &t.pub
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(p.payload) == 0 {
		if old, ok := r.tree.Delete(p.topic); ok {
			r.drop(t, old)
		}
		b.stageClear(t, p.topic)
		return true
	}
	m := p.own(t.now)
	old, replace := r.tree.Get(p.topic)
	if l, over := r.exceeds(t, m, old); over {
		b.refusedRetained(p)
		b.exceeded(l, from(p), nil)
		return false
	}
	b.stageRetain(t, m)
	r.put(t, m)
	if replace {
		r.drop(t, old)
	}
	return true
}

// exceeds names the limit that m, in the place of old, is over. r.mu is held.
func (r *retention) exceeds(t *turn, m, old *message) (l Limit, over bool) {
	if isOurs(m.topic) {
		return 0, false // they are few, and tell what limits were exceeded
	}
	grow := int64(m.size)
	if old != nil {
		grow -= int64(old.size)
	}
	o := r.b.limit()
	if r.bytes-r.ownBytes+grow > o.MaxRetainedBytes || old == nil && r.tree.Len()-r.own >= o.MaxRetained {
		return LimitRetained, true
	}
	cost := retainedGrowth(m, old)
	return LimitMemory, cost > 0 && !t.affords(cost)
}

// put makes m the one of its topic. r.mu is held.
func (r *retention) put(t *turn, m *message) {
	r.tree.Set(m.topic, m)
	t.keep(m)
	t.tally.held += retainedCost + treeCost(m.topic)
	r.count(m, 1)
	if m.expire && r.expiring.Add(1) == 1 {
		r.b.timers.set(r, t.now+sweepEvery)
	}
}

// count adds m to what is held n times. r.mu is held.
func (r *retention) count(m *message, n int) {
	r.bytes += int64(n * m.size)
	if isOurs(m.topic) {
		r.own += n
		r.ownBytes += int64(n * m.size)
	}
}

// refusedRetained counts a message that is not kept, also for its publisher.
func (b *Broker) refusedRetained(p *publication) {
	if p.from != nil {
		p.from.dropped(dropRetained)
		return
	}
	b.count.dropped[dropRetained].Add(1)
}

// from names the publisher.
func from(p *publication) string {
	if p.from == nil {
		return ""
	}
	return p.from.clientID
}

// retainedGrowth is how much more memory m takes than old, which may be nil.
func retainedGrowth(m, old *message) int64 {
	if old != nil {
		return int64(m.size - old.size)
	}
	return int64(m.size) + messageCost + retainedCost + treeCost(m.topic)
}

// drop accounts for a message that is gone.
func (r *retention) drop(t *turn, m *message) {
	t.discard(m)
	t.tally.held -= retainedCost + treeCost(m.topic)
	r.count(m, -1)
	if m.expire {
		r.expiring.Add(-1)
	}
}

// due throws expired messages away.
func (r *retention) due(now time.Duration) time.Duration {
	t := r.b.beginTurn(nil)
	defer t.end()
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, m := range r.tree.All() {
		if m.expired(now) {
			r.tree.Delete(name)
			r.drop(t, m)
			r.b.stageClear(t, name)
		}
	}
	if r.expiring.Load() == 0 {
		return 0
	}
	return now + sweepEvery
}

// sendRetained sends the retained messages that sub matches, in the way of a
// new subscription: RETAIN is 1, section 3.3.1.3 [MQTT-3.1.1: 3.3.1-8].
func (b *Broker) sendRetained(t *turn, c *conn, sub *subscription) {
	s := sub.session()
	s.hold(1)
	defer s.hold(-1)
	b.retained.tree.Match(sub.filter(), func(name string, _ *message) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.conn != c {
			return false
		}
		// Only now: whoever replaces it has not yet, and then waits for s.mu to
		// send the newer one, or this is the newer one [MQTT-4.6.0-6].
		m, ok := b.retained.tree.Get(name)
		if ok && !m.expired(t.now) && s.mayReceive(b.acl.Load(), name) {
			s.offer(t, c, &delivery{m: m, ids: sub.ids(), qos: min(m.qos, sub.QoS), retain: true}, nil)
		}
		return true
	})
}

// hold makes QoS 0 messages take the session's lock, or no longer.
func (s *session) hold(n int8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holding += n; !s.ended {
		s.noteWaiting()
	}
}
