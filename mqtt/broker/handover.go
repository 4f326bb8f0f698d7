package broker

import (
	"errors"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
)

// A durable Session that ends with shared messages leaves first: the store knows it
// as one that has expired, and page by page its messages move to other members of
// their groups, each in one batch with its end here. Whoever loads it goes on with
// that.

// leaves reports whether the Session has to hand over what the store has of it.
// s.mu is held, as in all that does not say otherwise.
func (s *session) leaves() bool {
	return s.durable() && s.keep.shared && s.owner.b.store.Err() == nil
}

// leave is the end of the Session instead of EndSession. What is in flight at QoS 2
// may not be given to another [MQTT-4.8.2-5].
func (s *session) leave(t *turn) {
	k := s.keep
	if s.flight != nil {
		for _, e := range s.sender.All() {
			if w := e.Value; w.d != nil && w.d.group != nil && w.d.qos == mqtt.QoS2 && w.at > 0 {
				t.stage().batch.Done(k.id, w.at)
			}
		}
	}
	k.leaving = true
	s.handOverNext(t)
}

// gone is the record of a Session that has ended and is still in the store: whoever
// loads it ends it again.
func (s *session) gone() *store.Session {
	r := s.record(time.Now())
	r.Expiry = 0
	return r
}

// handOverNext begins to hand over when what was staged is durable, so that all the
// Session has can be read.
func (s *session) handOverNext(t *turn) {
	if s.keep.leaving && !s.keep.handing && len(s.keep.pending) == 0 {
		s.keep.handing = true
		t.stage().leaving = append(t.stage().leaving, s)
	}
}

// handOver lets those who leave go on, now that it is durable that they do.
func (k *commitment) handOver() {
	b := k.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return // the next start goes on
	}
	for _, s := range k.leaving {
		b.reading.Add(1)
		go b.handOver(s)
	}
}

// handOver hands over one page.
func (b *Broker) handOver(s *session) {
	defer b.reading.Done()
	s.mu.Lock()
	id, from := s.keep.id, s.keep.disk.from
	s.mu.Unlock()
	b.readers <- struct{}{}
	page, err := b.store.ReadQueue(id, from, pageSize, pageBytes)
	<-b.readers

	t := b.beginTurn(nil)
	defer t.end()
	switch {
	case err != nil:
		if !errors.Is(err, store.ErrClosed) {
			b.opt.Log.Error("shared messages of a session that has ended cannot be read", "client", s.clientID, "err", err)
		}
	case len(page) == 0:
		s.left(t)
	default:
		t.apart(func() {
			for i := range page {
				s.handOver(t, &page[i])
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.keep.disk.from = page[len(page)-1].Position + 1
			t.stage().leaving = append(t.stage().leaving, s)
		})
	}
}

// handOver gives one message to another member, if there is one. s.mu is not held.
func (s *session) handOver(t *turn, q *store.Queued) {
	if q.Share == "" || q.QoS == mqtt.QoS2 && q.Position <= s.keep.sent {
		return // it ends with the Session
	}
	if d := s.owner.b.delivery(&q.Delivery); d.group != nil {
		d.group.handOver(t, d)
		t.stage().batch.Done(s.keep.id, q.Position)
	}
}

// left is the end of it, unless something is still to come. s.mu is not held.
func (s *session) left(t *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep.handing = false
	if len(s.keep.pending) > 0 {
		return // settle goes on
	}
	s.keep.leaving = false
	t.stage().batch.EndSession(s.keep.id)
	t.commit() // no record may come behind it
}
