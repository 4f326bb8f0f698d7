package bench

import (
	"mqt/mqtt"
	"mqt/mqtt/client"
)

// subscriber is one client that subscribes. All but r, id and qos is owned by
// the goroutine that reads for the client.
type subscriber struct {
	r       *runner
	id      int
	c       *client.Client // nil: not connected
	rec     *recorder
	qos     mqtt.QoS
	active  bool // it is subscribed
	broken  bool // and its connection did not last until the end
	streams []stream
}

func (r *runner) newSubscriber(j int) *subscriber {
	return &subscriber{
		r: r, id: j, qos: r.s.subscribeQoS(j), rec: r.recorderOf(j),
		streams: make([]stream, r.s.streams(j)),
	}
}

func (s *subscriber) name() string { return s.r.clientID('s', s.id) }

// deliveryQoS is that of messages of stream k [MQTT-3.8.4-8].
func (s *subscriber) deliveryQoS(k int) mqtt.QoS {
	return min(s.qos, s.r.s.publishQoS(s.r.s.source(s.id, k)))
}

// onMessage is called for each message, on the goroutine that reads.
func (s *subscriber) onMessage(_ *client.Client, p *mqtt.Publish, _ string) bool {
	now := s.r.now()
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
		t.strange++
	case m == corrupt:
		t.corrupt++
	case !known:
		t.unexpected++
	default:
		s.count(len(p.Payload), st.kind)
		if st.kind != measured || fate == duplicate {
			break
		}
		t.first++
		t.record(endToEnd0+metric(q), now-st.intended)
		if !st.narrow {
			t.record(service, now-st.intended-st.wait)
		}
	}
	s.rec.mu.Unlock()
	if st.kind == measured && fate != first {
		s.complain(&st, q, fate)
	}
	return true
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
	k, ok := s.r.s.stream(s.id, int(st.publisher))
	if !ok || int(st.publisher) >= len(s.r.pubs) {
		return 0, first, false
	}
	q = s.deliveryQoS(k)
	sm := &s.streams[k]
	if p := s.r.pubs[st.publisher]; p.windowed && st.kind != probe {
		p.arrived()
	}
	switch st.kind {
	case probe:
		if !sm.probed {
			sm.probed = true
			s.r.probed()
		}
		return q, first, true
	case warmUp:
		return q, first, true
	}
	if st.narrow {
		st.seq = widen(uint32(st.seq), sm.top) //nolint:gosec // it has 32 bits
	}
	if st.seq >= s.r.pubs[st.publisher].seq.Load() {
		return q, first, false // never sent: a broken payload without a checksum
	}
	return q, sm.see(st.seq, dup, q == mqtt.QoS0), true
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
