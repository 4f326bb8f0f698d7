package broker

import (
	"errors"
	"sync"
	"time"

	"mqt/mqtt/store"
)

// retries are commitments that nobody can be told the failure of: a will, shared
// messages that are handed over. On a full disk they are tried again until there is
// room. If the process ends before that the store still has where they come from.
type retries struct {
	b    *Broker
	mu   sync.Mutex
	list []*commitment
	timer
}

// retryEvery is how often.
const retryEvery = time.Second

func (r *retries) add(k *commitment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, k)
	if len(r.list) == 1 {
		r.b.timers.set(r, r.b.timers.now()+retryEvery)
	}
}

func (r *retries) due(time.Duration) time.Duration {
	r.mu.Lock()
	list := r.list
	r.list = nil
	r.mu.Unlock()
	for _, k := range list {
		k.tryAgain()
	}
	return 0
}

// apart runs f, and what it stages is a commitment of its own that is tried again.
func (t *turn) apart(f func()) {
	if t.b.store == nil {
		f()
		return
	}
	outer := t.staged
	t.staged = &commitment{b: t.b, again: true}
	f()
	if t.staged != nil {
		t.commit()
	}
	t.staged = outer
}

// fullAgain reports whether k has found no room and will be tried again, or what is
// left of it.
func (k *commitment) fullAgain(err error) bool {
	switch {
	case !errors.Is(err, store.ErrFull):
		return false
	case k.again:
		k.b.logStore(err)
		k.b.retries.add(k)
		return true
	case len(k.leaving) > 0:
		k.b.retries.add(&commitment{b: k.b, again: true, leaving: k.leaving})
	}
	return false
}

// tryAgain commits once more, without what is out of date by now.
func (k *commitment) tryAgain() {
	batch := store.Batch{}
	if k.batch.Replay(still{&batch, k.b}) != nil {
		batch.Reset()
	}
	k.batch = batch
	if s := k.will; s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stageRecord(&k.batch)
	}
	if s := k.here; s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.conn != nil && !s.ended {
			k.batch.PutSession(s.keep.id, s.record(time.Time{}))
		}
	}
	k.commit()
}

// still takes of a batch what holds a while later.
type still struct {
	*store.Batch
	b *Broker
}

func (still) PutSession(store.SessionID, *store.Session) {} // see stageRecord
func (still) EndSession(store.SessionID)                 {}
func (still) Sent(store.SessionID, store.Position)       {} // commit adds it

func (x still) Retain(m *store.Message) {
	if now, ok := x.b.retained.tree.Get(m.Topic); ok && now.stored.Load() == m {
		x.Batch.Retain(m)
	}
}

func (x still) Clear(topic string) {
	if _, ok := x.b.retained.tree.Get(topic); !ok {
		x.Batch.Clear(topic)
	}
}
