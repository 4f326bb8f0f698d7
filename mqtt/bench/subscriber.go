package bench

import (
	"sync"
	"sync/atomic"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// subscriber is one client that subscribes. The streams are owned by the
// goroutine that reads for the client.
type subscriber struct {
	member
	id      int // of all subscribers
	filter  string
	sources sources
	qos     mqtt.QoS // of the subscription
	top     mqtt.QoS // the highest of its publishers
	active  bool     // it is subscribed
	broken  bool     // and its connection did not last until the end
	streams []stream
	share   *share   // nil: the subscription is its own
	tops    []uint64 // of a share: what this member had last of each stream

	gaps       atomic.Uint32 // Sessions that were lost: what was sent meanwhile is not for it
	subscribed atomic.Int64  // when SUBSCRIBE was due, until the first retained message
}

// share is the account of a Shared Subscription: what any of its members saw.
type share struct {
	members  []*subscriber
	mu       sync.Mutex
	streams  []stream
	probed   []bool
	disorder int64 // at a member
}

func (r *runner) newSubscriber(g *group, i int) *subscriber {
	return &subscriber{member: member{r: r, g: g, i: i, rec: g.recorderOf(i)}, id: len(r.subs), filter: g.Topic(i)}
}

// deliveryQoS is that of messages of stream k [MQTT-3.8.4-8].
func (s *subscriber) deliveryQoS(k int) mqtt.QoS {
	return min(s.qos, s.r.pubs[s.sources.at(k)].qos)
}

// onMessage is called for each message, on the goroutine that reads.
func (s *subscriber) onMessage(_ *client.Client, p *mqtt.Publish, _ string) bool {
	now := s.r.now()
	if p.Retain {
		s.retained(now)
	}
	if s.r.s.NoTracking {
		s.rec.mu.Lock()
		s.count(len(p.Payload), s.rec.kind)
		s.rec.mu.Unlock()
		return true
	}
	var st stamp
	m := st.read(p.Payload, s.r.run)
	var q mqtt.QoS
	fate, known := first, false
	if m == ours {
		q, fate, known = s.account(&st, p.Dup)
	}
	s.rec.mu.Lock()
	t := s.rec.cur
	switch {
	case m == foreign:
		s.strange(t, p)
	case m == corrupt:
		t.corrupt++
	case !known:
		t.unexpected++
	default:
		s.count(len(p.Payload), st.kind)
		if st.kind != measured || fate == duplicate || fate == excused {
			break
		}
		t.first++
		t.record(endToEnd0+metric(q), now-st.intended)
		if !st.narrow {
			t.record(service, now-st.intended-st.wait)
		}
	}
	s.rec.mu.Unlock()
	if st.kind == measured && (fate == late || fate == duplicate) {
		s.complain(&st, q, fate)
	}
	return true
}

// strange counts a message of somebody else. A subscriber without publishers of
// its own is there for these. rec is locked.
func (s *subscriber) strange(t *tally, p *mqtt.Publish) {
	if s.sources.n == 0 {
		s.count(len(p.Payload), s.rec.kind)
		return
	}
	t.strange++
}

// retained measures the time to the first retained message.
func (s *subscriber) retained(now time.Duration) {
	if from := s.subscribed.Swap(0); from > 0 {
		s.record(firstMessage, now-time.Duration(from))
	}
}

// count counts a delivery of a message of kind k. rec is locked.
func (s *subscriber) count(size int, k kind) {
	t := s.rec.cur
	t.arrived++
	if k == s.rec.kind {
		t.delivered++
		t.deliveredBytes += int64(size)
	}
}

// account enters a message in the ledger. known is false if it should not have
// come here.
func (s *subscriber) account(st *stamp, dup bool) (q mqtt.QoS, fate seen, known bool) {
	k, ok := s.sources.find(int(st.publisher))
	if !ok || int(st.publisher) >= len(s.r.pubs) {
		return 0, first, false
	}
	q = s.deliveryQoS(k)
	p := s.r.pubs[st.publisher]
	if p.windowed && st.kind != probe {
		p.arrived()
	}
	switch st.kind {
	case probe:
		if s.firstProbe(k) {
			s.r.probed()
		}
		return q, first, true
	case warmUp:
		return q, first, true
	}
	if s.share != nil {
		fate, known = s.shared(k, st, p, dup, q)
		return q, fate, known
	}
	sm := &s.streams[k]
	if st.narrow {
		st.seq = widen(uint32(st.seq), sm.top)
	}
	if st.seq >= p.seq.Load() {
		return q, first, false // never sent: a broken payload without a checksum
	}
	if n := s.gaps.Load(); n != sm.gaps {
		sm.gaps = n
		sm.excuse(st.seq)
	}
	fate = sm.see(st.seq, dup, q == mqtt.QoS0)
	if fate == duplicate && q == mqtt.QoS2 && p.doubtful(st.seq) {
		sm.duplicates-- // nobody promised that it comes once
		fate = excused
	}
	return q, fate, true
}

func (s *subscriber) firstProbe(k int) bool {
	if sh := s.share; sh != nil {
		sh.mu.Lock()
		defer sh.mu.Unlock()
		before := sh.probed[k]
		sh.probed[k] = true
		return !before
	}
	before := s.streams[k].probed
	s.streams[k].probed = true
	return !before
}

// shared enters a message in the ledger of a Shared Subscription. Order holds
// for each member [MQTT-4.6.0-6], the rest for all of them together.
func (s *subscriber) shared(k int, st *stamp, p *publisher, dup bool, q mqtt.QoS) (fate seen, known bool) {
	sh := s.share
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sm := &sh.streams[k]
	if st.narrow {
		st.seq = widen(uint32(st.seq), sm.top)
	}
	if st.seq >= p.seq.Load() {
		return first, false
	}
	fate = sm.see(st.seq, dup, q == mqtt.QoS0)
	if fate == duplicate {
		return fate, true
	}
	fate = first
	if st.seq < s.tops[k] {
		sh.disorder++
		return late, true
	}
	s.tops[k] = st.seq + 1
	return fate, true
}

// complain remembers what breaks the contract.
func (s *subscriber) complain(st *stamp, q mqtt.QoS, fate seen) {
	kind := "order" // [MQTT-4.6.0-5], [MQTT-4.6.0-6]
	if fate == duplicate {
		if q == mqtt.QoS1 { // at least once
			return
		}
		kind = "duplicate"
	}
	s.r.violations.add(func() Violation {
		return s.violation(kind, q, int(st.publisher), st.seq)
	})
}

func (s *subscriber) violation(kind string, q mqtt.QoS, publisher int, seq uint64) Violation {
	p := s.r.pubs[publisher]
	v := Violation{Kind: kind, QoS: int(q), Publisher: p.name(), Subscriber: s.name(), Topic: p.topic, Seq: seq}
	if kind != "lost" {
		v.At = s.r.now() - s.r.measuring()
	}
	return v
}
