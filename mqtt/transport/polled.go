package transport

import "time"

// polled is a Conn for its loop: the same object, so that it costs nothing. The rules of who may touch what are those of
// the goroutine, with the loop as the reader. Nobody touches the descriptor who does not hold flushing or is the loop, and
// only the loop closes it, or who closes a connection that was not started.
type polled Conn

// conn returns the same object for all others.
func (p *polled) conn() *Conn { return (*Conn)(p) }

// maxLoops is how many loops Conn.number can tell apart.
const maxLoops = 255

// loop returns the loop that p has a seat in, nil before Start and when the socket is closed. It is changed by the loop
// alone, with mu held.
func (p *polled) loop() *loop {
	if p.number == 0 {
		return nil
	}
	return p.opt.Loops.numbered[p.number-1]
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
	since     time.Time // when the socket was found full, zero: it has taken something since
	until     time.Time // of lingering, and of reading on after a write error
	discarded int       // bytes while lingering
}

// place finds the connection its loop. False: there is none, and it is over. mu is held.
func (p *polled) place() bool {
	l, err := p.opt.Loops.place()
	if err != nil {
		p.conn().reason(err)
		p.conn().abort(err)
		return false
	}
	p.number = l.number
	return true
}

// start takes a seat in the loop. mu is held.
func (p *polled) start() {
	c := p.conn()
	if err := p.loop().add(p); err != nil {
		c.abort(err)
	}
	if w := p.work; p.state.has(isClosing) || c.filt().holds() || w != nil && (w.drained || w.parked) {
		p.post()
	}
}

// post has the loop look at the connection. mu is held.
func (p *polled) post() {
	if l := p.loop(); l != nil && p.state.set(isPosted) {
		l.post(p)
	}
}

// hurry makes a closing flush keep to closeAt. mu is held, and somebody is flushing.
func (p *polled) hurry() {
	if p.work.parked && !p.state.has(isStarted) {
		p.conn().abort(ErrCloseTimeout) // no loop waits for room
		return
	}
	p.post()
}

// park leaves the rest of a flush to the loop: the socket is full, or one goroutine has written enough for the others.
// It reports false if the caller has to go on. mu is held.
func (p *polled) park(full bool) bool {
	c, started := p.conn(), p.state.has(isStarted)
	if full && !started && p.state.has(isClosing) {
		c.abort(ErrCloseTimeout) // no loop waits for room
	}
	switch w := p.work; {
	case w.broken, full && w.edge, !full && !started:
		return false
	case full:
		w.blocked = true
		c.count()
		d := p.waits()
		if d.since.IsZero() {
			d.since = time.Now()
		}
		if !d.armed || p.state.has(isClosing) {
			p.post()
		}
	default:
		p.post()
	}
	p.work.parked = true
	return true
}

// unpark takes flushing back from the loop. mu is held.
func (p *polled) unpark() {
	if w := p.work; w.parked {
		w.parked, w.blocked, w.flushing = false, false, false
		p.conn().uncount()
	}
}

// resume goes on with a flush that was left to the loop. writable says that the socket has room again.
func (p *polled) resume(writable bool) {
	p.mu.Lock()
	w := p.work
	if w == nil || !w.parked || w.blocked && !writable {
		if w != nil && w.flushing {
			w.edge = w.edge || writable
		}
		p.mu.Unlock()
		return
	}
	w.parked, w.blocked = false, false
	p.conn().drain()
}

// flushed is told that somebody else's write has ended after the connection had. mu is held.
func (p *polled) flushed() {
	if !p.state.has(isStarted) {
		_ = p.conn().nc().Close()
		return
	}
	p.post()
}

// waits returns the deadlines, made now if there were none. mu is held.
func (p *polled) waits() *wait {
	w := p.conn().begin()
	if w.wait == nil {
		w.wait = &wait{p: p}
	}
	return w.wait
}

// deadline returns when something has to end, zero: never. mu is held.
func (p *polled) deadline() (at time.Time) {
	w := p.work
	if w == nil || w.wait == nil {
		return at
	}
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if w.end == nil || w.end.phase == phaseReading || w.end.phase == phaseLingering {
		sooner(w.wait.until)
	}
	switch {
	case !w.blocked:
	case p.state.has(isClosing):
		sooner(w.end.closeAt)
	case p.opt.StallTimeout > 0:
		sooner(w.wait.since.Add(p.opt.StallTimeout))
	}
	return at
}

// expired ends what its deadline has come for. mu is held.
func (p *polled) expired(now time.Time) {
	c, w, closing := p.conn(), p.work, p.state.has(isClosing)
	passed := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	switch {
	case w.end != nil && w.end.phase == phaseLingering:
		return // its end looks at the time
	case w.blocked && closing && passed(w.end.closeAt):
		c.abort(ErrCloseTimeout)
	case w.blocked && !closing && p.opt.StallTimeout > 0 && passed(w.wait.since.Add(p.opt.StallTimeout)):
		c.abort(ErrSlowConsumer)
	case w.end == nil || !w.end.last || !passed(w.wait.until):
	case !p.state.has(isPaused) && (p.pending() || p.reading.has(again)):
		w.wait.until = now.Add(p.opt.Linger) // it is the loop that is late
	default:
		c.abort(w.end.werr)
	}
}

// mayReadSocket reports whether the socket may hold something that this turn is for.
func (p *polled) mayReadSocket(t *turn) bool { return p.reading.has(readable) && t.left > 0 }

// pending reports whether the socket, or a layer above it, may hold something to read.
func (p *polled) pending() bool { return p.reading.has(readable) || p.conn().filt().holds() }

// mayRead is mayReadSocket, or the same of a layer. What a layer holds was read in a turn of the connection already, and is
// never more than one.
func (p *polled) mayRead(t *turn) bool { return p.mayReadSocket(t) || p.conn().filt().holds() }

// most is how much may be read at once behind n bytes of a packet: a large one comes in large pieces. TLS has read from
// the socket what the turn allows, and what it makes of that is not to be cut by what is left of the turn.
func (p *polled) most(t *turn, n int) int {
	if p == nil || n > readChunk/2 || p.conn().filt().holds() {
		return maxRead
	}
	return t.left
}

// wasRead draws the conclusions of a read: one that did not fill its buffer has emptied the socket, and the next bytes
// raise an event, unless the end of the stream has come already.
func (p *polled) wasRead(t *turn, n, asked int, err error) {
	t.left -= n
	if err != nil || n < asked && !p.reading.has(hup) {
		p.reading.unset(readable)
	}
}
