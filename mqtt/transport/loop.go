package transport

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"
)

const (
	quantum    = 16 << 10 // bytes that a connection may bring in its turn when others are ready too
	maxEvents  = 256
	flushEvery = 64 // connections, so that the first does not wait too long for the last
	maxAgain   = 8  // times that a handler may pause and resume in one turn
)

// What a poller tells of a socket.
const (
	canRead = 1 << iota
	canWrite
	hungUp // the peer has closed its half, or there is an error
)

// pollEvent is an edge that a poller has seen.
type pollEvent struct {
	what uint8
	seat uint32
	gen  uint32
}

// poller waits for the sockets of one loop, edge-triggered: epoll, or the script of a test.
type poller interface {
	// add has events of fd reported from now on, those that are due already too.
	add(fd int, seat, gen uint32) error
	remove(fd int) error
	// wait returns after wake, after timeout (negative: never), or with events.
	wait(timeout time.Duration, events []pollEvent) int
	wake()
	close()
}

// seat is a place for a connection. gen tells an event for one that has gone from one for who has its seat now.
type seat struct {
	p     *polled
	gen   uint32
	alarm uint32 // the tick of its next one, 0: none
}

// seatsEach is how many seats come at a time: a table that doubled would take twice as much for a while.
const seatsEach = 256

// loop serves many connections in turn, in one goroutine.
type loop struct {
	all    *Loops
	number uint8 // in all, from 1
	poller poller
	turn   turn

	mu     sync.Mutex // a leaf
	seats  []*[seatsEach]seat
	seated uint32 // seats that were ever taken
	free   []uint32
	mail   []*polled
	given  []*Conn // a flush, see Conn.Flush
	stop   bool

	nextAlarm uint32    // a tick that is not behind the first alarm, 0: there is none
	began     time.Time // of ticks, the same for all loops

	sleeping atomic.Bool
	load     load

	// Owned by the goroutine.
	events  [maxEvents]pollEvent
	ready   [maxEvents]*polled
	letters []*polled
	more    []*polled // whose turn was over before the socket was empty
	served  []*polled // those of the round before
	spread  spread    // what goes to many
	due     deadlines
	room    int   // bytes of a turn
	give    *loop // who is given connections, see Loops.balance
	some    bool  // not all of them
	alarms  bool  // there are some
	rung    []*polled
}

func newLoop(all *Loops, p poller) *loop {
	l := &loop{all: all, number: uint8(len(all.all) + 1), poller: p, began: time.Now()}
	l.turn.batch.looped = true
	l.load.begin(l.began)
	if len(all.all) > 0 {
		l.began = all.all[0].began
	}
	return l
}

// at returns a seat. mu is held.
func (l *loop) at(n uint32) *seat { return &l.seats[n/seatsEach][n%seatsEach] }

// add gives p a seat. The Conn's mu is held, so that p does not go before it is there.
func (l *loop) add(p *polled) error {
	l.mu.Lock()
	if n := len(l.free); n > 0 {
		p.seat, l.free = l.free[n-1], l.free[:n-1]
	} else {
		if p.seat = l.seated; p.seat%seatsEach == 0 {
			l.seats = append(l.seats, new([seatsEach]seat))
		}
		l.seated++
	}
	s := l.at(p.seat)
	s.p = p
	s.gen++
	gen := s.gen
	l.mu.Unlock()
	if p.fd < 0 {
		return nil // it was closed before
	}
	return l.poller.add(int(p.fd), p.seat, gen)
}

// leave takes p's seat away.
func (l *loop) leave(p *polled) {
	l.mu.Lock()
	s := l.at(p.seat)
	s.p, s.alarm = nil, 0
	l.free = append(l.free, p.seat)
	l.mu.Unlock()
}

// post has p looked at, by any goroutine.
func (l *loop) post(p *polled) {
	l.mu.Lock()
	l.mail = append(l.mail, p)
	l.mu.Unlock()
	if l.sleeping.CompareAndSwap(true, false) {
		l.poller.wake()
	}
}

// end stops the loop when it has nobody left.
func (l *loop) end() {
	l.mu.Lock()
	l.stop = true
	if l.sleeping.CompareAndSwap(true, false) {
		l.poller.wake()
	}
	l.mu.Unlock()
}

// run is the goroutine. What one round has written leaves at its end.
func (l *loop) run() {
	defer l.poller.close()
	for {
		n, stop := l.wait()
		if stop {
			l.sendAll() // to those that are not the loop's
			return
		}
		l.more, l.served = l.served[:0], l.more
		l.room = readChunk
		if n+len(l.served) > 1 {
			l.room = quantum
		}
		for i, p := range l.ready[:n] {
			if p != nil {
				l.notice(p, l.events[i].what)
				l.serve(p)
			}
			if (i+1)%flushEvery == 0 {
				l.turn.batch.Flush()
			}
		}
		l.open()
		for i, p := range l.served {
			l.served[i] = nil
			p.reading.unset(queued)
			l.serve(p)
		}
		l.expire()
		if l.alarms {
			l.ring()
		}
		l.turn.batch.Flush()
		l.goOn()
		l.pass(n)
		if l.load.worked(time.Now()) || l.all.restless {
			l.give, l.some = l.all.balance(l)
		}
	}
}

// pass gives connections that have brought something in this round to another loop: all, or every second one in one round.
func (l *loop) pass(n int) {
	if l.give != nil {
		first, step := 0, 1
		if l.some {
			first, step = 1, 2
		}
		for i := first; i < n; i += step {
			if p := l.ready[i]; p != nil {
				l.move(p, l.give)
			}
		}
		if l.some && n > 1 {
			l.give = nil
		}
	}
	clear(l.ready[:n])
}

// move gives p to another loop, unless there is something about it that only this one knows.
func (l *loop) move(p *polled, to *loop) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reading.has(fed) || p.reading.has(queued|again) || p.state.has(isClosing|isPaused|isResumed) {
		return
	}
	if w := p.work; w != nil && (w.parked || w.wait != nil) {
		return
	}
	if l.poller.remove(int(p.fd)) != nil {
		return
	}
	alarm := l.alarmOf(p)
	l.leave(p)
	p.number = to.number
	p.reading.unset(readable | fed) // what is there is reported again
	if err := to.add(p); err != nil {
		p.conn().abort(err)
	}
	to.restoreAlarm(p, alarm)
}

// wait returns how many are ready.
func (l *loop) wait() (n int, stop bool) {
	timeout := time.Duration(-1)
	if len(l.due) > 0 {
		timeout = max(0, time.Until(l.due[0].at))
	}
	l.sleeping.Store(true)
	l.mu.Lock()
	if len(l.more)+len(l.mail)+len(l.given) > 0 || l.spread.pending() {
		timeout = 0
	}
	stop = l.stop
	next := l.untilAlarm()
	l.mu.Unlock()
	if l.alarms = next >= 0; l.alarms && (timeout < 0 || next < timeout) {
		timeout = next
	}
	if stop {
		return 0, true
	}
	if timeout == 0 {
		l.sleeping.Store(false)
	}
	n = l.poller.wait(timeout, l.events[:])
	l.sleeping.Store(false)
	l.load.woke(time.Now())
	l.mu.Lock()
	for i, e := range l.events[:n] {
		if e.seat >= l.seated {
			continue
		}
		if s := l.at(e.seat); s.gen == e.gen {
			l.ready[i] = s.p
		}
	}
	l.mu.Unlock()
	return n, false
}

// open reads the mail.
func (l *loop) open() {
	l.mu.Lock()
	l.letters, l.mail = l.mail, l.letters[:0]
	given := l.given
	l.given = nil
	l.mu.Unlock()
	l.owe(given)
	for i, p := range l.letters {
		l.letters[i] = nil
		p.state.unset(isPosted)
		p.mu.Lock()
		ours := p.number == l.number
		if !ours {
			p.post() // it has moved
		}
		p.mu.Unlock()
		if ours {
			p.resume(false)
			l.serve(p)
		}
	}
}

// notice takes note of an event.
func (l *loop) notice(p *polled, what uint8) {
	if what&canWrite != 0 {
		p.resume(true)
	}
	if what&(canRead|hungUp) != 0 {
		p.reading.set(readable)
		if what&hungUp != 0 {
			p.reading.set(hup)
		}
	}
}

// serve gives p its turn.
func (l *loop) serve(p *polled) {
	b := &l.turn.batch
	b.begin()
	l.serveTurn(p)
	if !b.heavy && b.Enough() {
		l.owe(b.dirty[b.before:])
		b.dirty = b.dirty[:b.before]
	}
}

func (l *loop) serveTurn(p *polled) {
	l.turn.left = l.room
	c, b := p.conn(), &l.turn.batch
	for range maxAgain {
		if l.attend(p) {
			return
		}
		if p.reading.has(heavy) && !b.heavy || b.Enough() {
			break
		}
		if !p.mayRead(&l.turn) && !p.reading.has(again) && !p.state.has(isResumed) {
			break
		}
		leave := c.readAll(&l.turn)
		c.filt().parkLayers()
		p.weigh(b)
		if !leave {
			break
		}
	}
	if p.pending() || p.reading.has(again) || p.state.has(isResumed) {
		l.later(p)
	}
}

// later gives p another turn, after all others.
func (l *loop) later(p *polled) {
	switch {
	case p.reading.has(queued):
		return
	case p.reading.has(heavy):
		l.spread.turns.push(p)
	default:
		l.more = append(l.more, p)
	}
	p.reading.set(queued)
}

// attend does what others asked for. It reports whether p is not to be read now.
func (l *loop) attend(p *polled) bool {
	c := p.conn()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.state.has(isClosing):
			l.finish(p)
			return true
		case c.unwritable() != nil && c.opt.Linger < 0:
			c.abort(c.work.end.werr)
		case c.unwritable() != nil && !c.work.end.last:
			c.work.end.last = true
			p.reading.set(readable | hup)
			p.waits().until = time.Now().Add(c.opt.Linger)
			l.arm(p)
		case c.work.isDrained():
			c.work.drained = false
			c.relax()
			c.mu.Unlock()
			c.callDrained(&l.turn.batch)
			c.mu.Lock()
		case c.state.has(isPaused):
			p.reading.set(again)
			l.arm(p)
			return true
		default:
			l.arm(p)
			return false
		}
	}
}

// finish goes as far towards the end of p as it can go now. mu is held, and released while the handler is called.
func (l *loop) finish(p *polled) {
	c, w := p.conn(), p.work
	end := w.end
	if end.phase == phaseReading {
		end.phase = phaseClosing
		c.mu.Unlock()
		c.keepRest(nil, 0)
		c.mu.Lock()
	}
	if !w.done {
		l.arm(p)
		return
	}
	if end.phase == phaseClosing {
		end.phase = phaseTold
		err := end.err
		c.mu.Unlock()
		c.h.Closed(err)
		c.mu.Lock()
		if w.linger && !end.eof && c.opt.Budget.mayLinger() {
			end.phase = phaseLingering
			d := p.waits()
			d.since, d.until = time.Time{}, time.Now().Add(c.opt.Linger)
		}
	}
	if end.phase == phaseLingering {
		if !l.discarded(p) {
			l.arm(p)
			return
		}
		end.phase = phaseTold
		c.opt.Budget.lingered()
	}
	if end.phase == phaseTold && !w.flushing { // else flushed posts
		l.bury(p)
	}
}

// discarded reads on like discard does, and reports whether that is over. mu is held.
func (l *loop) discarded(p *polled) bool {
	w := p.work.wait
	if !time.Now().Before(w.until) {
		return true
	}
	t := &l.turn
	for p.mayReadSocket(t) {
		buf := t.buf[:t.left]
		n, err := p.conn().sock().read(buf)
		p.wasRead(t, n, len(buf), err)
		if err != nil && err != errWouldBlock { //nolint:errorlint // as it is
			return true
		}
		if w.discarded += n; w.discarded >= lingerBytes {
			return true
		}
	}
	if p.reading.has(readable) {
		l.later(p)
	}
	return false
}

// bury closes the socket. mu is held.
func (l *loop) bury(p *polled) {
	c, w := p.conn(), p.work
	w.end.phase = phaseGone
	if w.wait != nil {
		if w.wait.armed {
			heap.Remove(&l.due, w.wait.index-1)
		}
		w.wait = nil
	}
	l.leave(p)
	p.number = 0
	_ = c.nc().Close()
	c.mu.Unlock()
	if e, ok := c.h.(Ender); ok {
		e.Ended()
	}
	l.all.release()
	c.mu.Lock()
}

// arm brings p's deadline into the heap, or takes it out. mu is held.
func (l *loop) arm(p *polled) {
	if p.work == nil || p.work.wait == nil {
		return
	}
	w := p.work.wait
	switch at := p.deadline(); {
	case at.IsZero():
		if w.armed {
			heap.Remove(&l.due, w.index-1)
		}
		p.work.wait = nil
		p.conn().relax()
	case !w.armed:
		w.armed, w.at = true, at
		heap.Push(&l.due, w)
	case at.Before(w.at): // a later one is found when this has come
		w.at = at
		heap.Fix(&l.due, w.index-1)
	}
}

// expire acts on the deadlines that have come.
func (l *loop) expire() {
	for len(l.due) > 0 {
		now := time.Now()
		if now.Before(l.due[0].at) {
			return
		}
		w := heap.Pop(&l.due).(*wait)
		p := w.p
		p.mu.Lock()
		w.armed = false
		p.expired(now)
		l.arm(p)
		p.mu.Unlock()
		l.serve(p)
	}
}

// deadlines is a heap.
type deadlines []*wait

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].at.Before(d[j].at) }

func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].index, d[j].index = i+1, j+1
}

// Push implements heap.Interface.
func (d *deadlines) Push(x any) {
	w := x.(*wait)
	*d = append(*d, w)
	w.index = len(*d)
}

// Pop implements heap.Interface.
func (d *deadlines) Pop() any {
	old := *d
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	return w
}
