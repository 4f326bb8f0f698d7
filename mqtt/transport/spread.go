package transport

import "time"

// spread is what a loop does a little at a time, because it goes to many connections: a turn that wrote to thousands would
// take longer to send than others want to wait for theirs.
//
// A turn is heavy when it does more than fits in one, see [Batch.Enough]. Who has had one does not begin the next with the
// others, but behind them, and only while nothing is being sent of what heavy turns have brought before. So they first
// write, together, a turn or a few in each round, and a connection that many of their messages go to is sent one piece;
// then all that leaves, a slice in each round. That holds them back, and what waits meanwhile in out-buffers is bounded.
// Each round begins with the turns of all others, and what those write is sent at once, also to a connection that is owed
// something.
type spread struct {
	turns   fifo[*polled] // of who is heavy
	owed    fifo[*Conn]   // a flush; each is there once
	rounds  int           // that heavy turns have written, since all was sent
	sending bool
}

const (
	slice       = 256                  // connections that are sent to in one round
	sliceTime   = 2 * time.Millisecond // or fewer
	sliceCheck  = 16                   // after how many it looks at the clock
	spreadAfter = 64                   // rounds
)

// weigh decides where p's next turn comes, by the one that it has had.
func (p *polled) weigh(b *Batch) {
	switch {
	case b.width > slice || b.Enough():
		p.reading.set(heavy)
	case p.reading.has(heavy) && (p.reading.has(fed) || b.work > 0):
		p.reading -= heavyOnce // not at once: a PUBREL comes between two messages
	}
}

// pending reports whether there is something to go on with.
func (s *spread) pending() bool { return s.sending || s.turns.len() > 0 || s.owed.len() > 0 }

// goOn has heavy turns write, or sends a slice of what they wrote.
func (l *loop) goOn() {
	if !l.spread.pending() {
		return
	}
	if !l.spread.sending {
		l.spread.sending = !l.writeOn()
	}
	if l.spread.sending {
		l.spread.send()
	}
}

// writeOn gives turns to who is heavy. It reports whether there are to be more of them before anything is sent.
func (l *loop) writeOn() bool {
	s, b := &l.spread, &l.turn.batch
	b.heavy = true
	work := 0
	for n := s.turns.len(); n > 0 && work < enough && !b.deep; n-- {
		p := s.turns.pop()
		p.reading.unset(queued)
		l.serve(p)
		work += b.work
	}
	b.heavy = false
	s.rounds++
	more := s.turns.len() > 0 && !b.deep && s.rounds < spreadAfter
	if !more && s.owed.len() == 0 && len(b.dirty) <= slice {
		b.Flush()
	}
	l.owe(b.dirty)
	b.dirty = b.dirty[:0]
	if !more {
		s.rounds, b.deep = 0, false
	}
	return more
}

// owe takes over whom some batch owes a flush.
func (l *loop) owe(conns []*Conn) {
	for i, c := range conns {
		conns[i] = nil
		c.mu.Lock()
		w := c.work // which is there while it is dirty
		already := w.late
		w.late = true
		w.dirty = false // who writes to c now need not wait
		c.mu.Unlock()
		if !already {
			l.spread.owed.push(c)
		}
	}
}

// Flush is b.Flush for who appended because of c, outside of Feed. What goes to many is left to c's loop, if it has one:
// it sends that little by little, and others have their turn between.
func (c *Conn) Flush(b *Batch) {
	if p := c.poll(); p != nil && len(b.dirty) > slice {
		c.mu.Lock()
		l := p.loop()
		c.mu.Unlock()
		if l != nil {
			l.adopt(b)
		}
	}
	b.Flush()
}

// adopt takes over what b owes, unless the loop has ended.
func (l *loop) adopt(b *Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop {
		return
	}
	l.given = append(l.given, b.dirty...)
	clear(b.dirty)
	b.dirty = b.dirty[:0]
	if l.sleeping.CompareAndSwap(true, false) {
		l.poller.wake()
	}
}

// send sends a slice.
func (s *spread) send() {
	began := time.Now()
	for n := 1; s.owed.len() > 0; n++ {
		s.owed.pop().flushLate()
		if n == slice || n%sliceCheck == 0 && time.Since(began) >= sliceTime {
			break
		}
	}
	s.sending = s.owed.len() > 0
}

// sendAll is for the end of the loop.
func (l *loop) sendAll() {
	l.mu.Lock()
	given := l.given
	l.mu.Unlock()
	l.owe(given)
	for l.spread.owed.len() > 0 {
		l.spread.owed.pop().flushLate()
	}
}

// fifo is a queue that keeps its memory.
type fifo[T any] struct {
	s    []T
	head int
}

func (q *fifo[T]) len() int { return len(q.s) - q.head }

func (q *fifo[T]) push(x T) {
	if q.head > len(q.s)/2 {
		n := copy(q.s, q.s[q.head:])
		clear(q.s[n:])
		q.s, q.head = q.s[:n], 0
	}
	q.s = append(q.s, x)
}

// pop takes the first. There must be one.
func (q *fifo[T]) pop() T {
	var none T
	x := q.s[q.head]
	q.s[q.head] = none
	if q.head++; q.head == len(q.s) {
		q.s, q.head = q.s[:0], 0
	}
	return x
}
