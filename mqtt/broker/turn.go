package broker

import (
	"time"

	"mqt/mqtt"
	"mqt/mqtt/transport"
)

// turn is the scratch of one Feed, or of one event from a timer: what is
// decoded, routed and encoded uses its memory again and again. It is pooled.
type turn struct {
	b      *Broker
	batch  *transport.Batch
	now    time.Duration
	reader mqtt.Reader
	pub    publication
	tally  tally

	// acks are the answers owed to the connection that is fed, in arrival
	// order. They leave before anything else is appended for it, at the latest
	// when the turn ends, or with a store when what was staged is durable (persist.go).
	acks []byte

	// staged is what the turn has for the store, nil: nothing. wait: the answers of
	// the turn may not leave before that is durable.
	staged *commitment
	wait   bool

	matches []*subscription
	groups  []*group
	routes  []route
	topic   []byte
	props   mqtt.Properties
	inProps mqtt.Properties
	scratch []byte
	wire    mqtt.Publish
	own     transport.Batch // batch, where no transport gave one
	because *conn           // who brought such a turn about, nil: nobody
}

// keepScratch is the largest buffer that a pooled turn keeps.
const keepScratch = 64 << 10

func (b *Broker) beginTurn(batch *transport.Batch) *turn {
	t := b.turns.Get().(*turn)
	t.b, t.now = b, b.timers.now()
	if t.batch = batch; batch == nil {
		t.batch = &t.own
	}
	return t
}

// end brings the counters home, flushes a batch of its own and returns t to
// the pool.
func (t *turn) end() {
	if t.staged != nil {
		t.commit()
	}
	t.wait = false
	t.b.addTally(&t.tally)
	switch {
	case t.batch != &t.own:
	case t.because != nil:
		t.because.tc.Flush(t.batch)
		t.because = nil
	default:
		t.own.Flush()
	}
	again := t.batch.Enough() // the rest comes soon
	t.batch = nil
	clear(t.matches)
	clear(t.groups)
	clear(t.routes)
	t.matches, t.groups, t.routes = t.matches[:0], t.groups[:0], t.routes[:0]
	t.pub.release()
	if cap(t.scratch) > keepScratch {
		t.scratch = nil
	}
	if cap(t.acks) > keepScratch {
		t.acks = nil
	}
	if cap(t.routes) > maxCachedRoutes && !again {
		t.matches, t.routes = nil, nil
	}
	t.b.turns.Put(t)
}

// release drops what a publication refers to, and buffers too large to keep.
func (p *publication) release() {
	p.topic, p.payload, p.props, p.from, p.msg = "", nil, nil, nil, nil
	p.plain = [6]*delivery{}
	for i := range p.frames {
		p.frames[i].ok = false
		if cap(p.frames[i].head) > keepScratch {
			p.frames[i].head = nil
		}
	}
}
