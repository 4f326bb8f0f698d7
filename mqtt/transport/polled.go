package transport

import (
	"sync/atomic"
	"time"
)

// polled is what a Conn has in the place of a goroutine: its seat in a loop. The rules of who may touch what are those of
// the goroutine, with the loop as the reader. Nobody touches the descriptor who does not hold flushing or is the loop, and
// only the loop closes it.
type polled struct {
	c *Conn

	// Guarded by the Conn's mu.
	loop *loop // nil before Start and when the socket is closed; changed by the loop alone
	w    *wait // nil while there is no deadline

	posted atomic.Bool // in the loop's mail

	// Owned by the loop, which alone closes fd, or by who closes a connection that was not started.
	fd   int32  // negative: it is closed
	seat uint32 // in the loop
	left int32  // bytes that may still be read in this turn

	edge   bool // the socket had room again while somebody was writing; guarded by the Conn's mu
	parked bool // flushing is held for the loop, nobody writes; guarded by the Conn's mu

	readable bool // there may be something to read
	hup      bool // the end of the stream may hide behind the data
	queued   bool // in the loop's more
	phase    phase
	named    bool // the peer is a Unix socket with a name; never changed
}

// phase is how far the end of a connection has come.
type phase uint8

const (
	phaseReading   phase = iota
	phaseClosing         // nothing is fed any more
	phaseTold            // Closed was called
	phaseLingering       // what the peer still sends is discarded
	phaseGone            // the socket is closed
)

// wait are the deadlines of a connection that has some.
type wait struct {
	p     *polled
	at    time.Time // in the loop's heap, which only the loop touches
	index int       // there, from 1

	// Guarded by the Conn's mu.
	armed     bool      // it is in the heap
	since     time.Time // when the socket was found full, or took something
	sum       uint64    // bytes that had been sent then
	until     time.Time // of lingering, and of reading on after a write error
	discarded int       // bytes while lingering
}

// start finds the connection its loop. False: there is none, and a goroutine has to do. mu is held.
func (p *polled) start() bool {
	l, err := p.c.opt.Loops.place()
	if err != nil {
		p.c.reason(err)
		p.c.abort(err)
		p.c.poll = nil
		return false
	}
	p.loop = l
	if err := l.add(p); err != nil {
		p.c.abort(err)
	}
	if p.c.closing.Load() || p.c.drained || p.parked || p.c.filt.holds() {
		p.post()
	}
	return true
}

// post has the loop look at the connection. mu is held.
func (p *polled) post() {
	if p.loop != nil && p.posted.CompareAndSwap(false, true) {
		p.loop.post(p)
	}
}

// hurry makes a closing flush keep to closeAt. mu is held, and somebody is flushing.
func (p *polled) hurry() {
	if p.parked && !p.c.started {
		p.c.abort(ErrCloseTimeout) // no loop waits for room
		return
	}
	p.post()
}

// park leaves the rest of a flush to the loop: the socket is full, or one goroutine has written enough for the others.
// It reports false if the caller has to go on. mu is held.
func (p *polled) park(full bool) bool {
	c := p.c
	if full && !c.started && c.closing.Load() {
		c.abort(ErrCloseTimeout) // no loop waits for room
	}
	switch {
	case c.broken, full && p.edge, !full && !c.started:
		return false
	case full:
		c.blocked = true
		c.count()
		w := p.waits()
		if sum := c.sum.Load(); w.since.IsZero() || sum != w.sum {
			w.since, w.sum = time.Now(), sum
		}
		if !w.armed || c.closing.Load() {
			p.post()
		}
	default:
		p.post()
	}
	p.parked = true
	return true
}

// unpark takes flushing back from the loop. mu is held.
func (p *polled) unpark() {
	if p.parked {
		p.parked, p.c.blocked, p.c.flushing = false, false, false
		p.c.uncount()
	}
}

// resume goes on with a flush that was left to the loop. writable says that the socket has room again.
func (p *polled) resume(writable bool) {
	c := p.c
	c.mu.Lock()
	if !p.parked || c.blocked && !writable {
		p.edge = p.edge || writable
		c.mu.Unlock()
		return
	}
	p.parked, c.blocked = false, false
	c.drain()
}

// flushed is told that somebody else's write has ended after the connection had. mu is held.
func (p *polled) flushed() {
	if !p.c.started {
		_ = p.c.nc.Close()
		return
	}
	p.post()
}

// waits returns the deadlines, made now if there were none. mu is held.
func (p *polled) waits() *wait {
	if p.w == nil {
		p.w = &wait{p: p}
	}
	return p.w
}

// deadline returns when something has to end, zero: never. mu is held.
func (p *polled) deadline() (at time.Time) {
	c := p.c
	if p.w == nil {
		return at
	}
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if p.phase == phaseReading || p.phase == phaseLingering {
		sooner(p.w.until)
	}
	switch {
	case !c.blocked:
	case c.closing.Load():
		sooner(c.end.closeAt)
	case c.opt.StallTimeout > 0:
		sooner(p.w.since.Add(c.opt.StallTimeout))
	}
	return at
}

// expired ends what its deadline has come for. mu is held.
func (p *polled) expired(now time.Time) {
	c := p.c
	passed := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	switch {
	case p.phase == phaseLingering:
		return // its end looks at the time
	case c.blocked && c.closing.Load() && passed(c.end.closeAt):
		c.abort(ErrCloseTimeout)
	case c.blocked && !c.closing.Load() && c.opt.StallTimeout > 0 && passed(p.w.since.Add(c.opt.StallTimeout)):
		c.abort(ErrSlowConsumer)
	case c.last && passed(p.w.until):
		c.abort(c.end.werr)
	}
}

// mayReadSocket reports whether the socket may hold something that this turn is for.
func (p *polled) mayReadSocket() bool { return p.readable && p.left > 0 }

// pending reports whether the socket, or a layer above it, may hold something to read.
func (p *polled) pending() bool { return p.readable || p.c.filt.holds() }

// mayRead is mayReadSocket, or the same of a layer. What a layer holds was read in a turn of the connection already, and is
// never more than one.
func (p *polled) mayRead() bool { return p.mayReadSocket() || p.c.filt.holds() }

// most is how much may be read at once behind n bytes of a packet: a large one comes in large pieces. TLS has read from
// the socket what the turn allows, and what it makes of that is not to be cut by what is left of the turn.
func (p *polled) most(n int) int {
	if p == nil || n > readChunk/2 || p.c.filt.holds() {
		return maxRead
	}
	return int(p.left)
}

// wasRead draws the conclusions of a read: one that did not fill its buffer has emptied the socket, and the next bytes
// raise an event, unless the end of the stream has come already.
func (p *polled) wasRead(n, asked int, err error) {
	p.left -= int32(n)
	if err != nil || n < asked && !p.hup {
		p.readable = false
	}
}
