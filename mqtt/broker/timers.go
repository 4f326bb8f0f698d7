package broker

import (
	"math"
	"sync"
	"time"
)

// due is what has a deadline: a conn (connect timeout, Keep Alive) or a
// session (Will Delay, Session Expiry).
type due interface {
	// due is called when the deadline has come, on the timers' goroutine and
	// with no lock held. It returns the next deadline, 0 for none.
	due(now time.Duration) (next time.Duration)
	clock() *timer
}

// timer is the place of one deadline, embedded in its owner so that an idle
// connection costs no timer of the runtime: the place in its heap, from 1, or 0
// where it is not set, and whether set was called since it was last due.
type timer struct{ state uint32 }

const wasMoved = 1 << 31

func (tm *timer) clock() *timer { return tm }
func (tm *timer) place() int    { return int(tm.state &^ wasMoved) }
func (tm *timer) putAt(i int)   { tm.state = tm.state&wasMoved | uint32(i) }
func (tm *timer) moved() bool   { return tm.state&wasMoved != 0 }
func (tm *timer) move(yes bool) {
	if tm.state &^= wasMoved; yes {
		tm.state |= wasMoved
	}
}

// deadline is one in a heap.
type deadline[T due] struct {
	at    time.Duration
	owner T
}

// never is behind all deadlines.
const never = time.Duration(math.MaxInt64)

// deadlines is a heap of them. There is one for connections and one for sessions,
// as an interface would take half as much again.
type deadlines[T due] struct{ heap []deadline[T] }

// timers is the broker's clock: one goroutine, a few heaps. Its lock is a leaf.
type timers struct {
	mu       sync.Mutex
	conns    deadlines[*conn]
	sessions deadlines[*session]
	others   deadlines[due]
	start    time.Time
	wake     chan struct{}
}

func newTimers() *timers {
	return &timers{start: time.Now(), wake: make(chan struct{}, 1)}
}

// coarse is a time since the broker was made, in tenths of a second: a word is
// enough for 13 years.
type coarse uint32

const tenth = time.Second / 10

// coarsely rounds d down, at 0 and 13 years to what there is.
func coarsely(d time.Duration) coarse { return coarse(max(0, min(d/tenth, math.MaxUint32))) }

func (c coarse) at() time.Duration { return time.Duration(c) * tenth }

// now is the time since the broker was made, never 0 and monotonic.
func (t *timers) now() time.Duration { return time.Since(t.start) + 1 }

// set gives x a new deadline, or takes it away when at is 0.
func (t *timers) set(x due, at time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x.clock().move(true)
	t.put(x, at)
}

// renew is set for what due returned, which a set meanwhile overrules.
func (t *timers) renew(x due, at time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !x.clock().moved() {
		t.put(x, at)
	}
}

// put is set with mu held.
func (t *timers) put(x due, at time.Duration) {
	first := false
	switch x := x.(type) {
	case *conn:
		first = t.conns.put(x, at)
	case *session:
		first = t.sessions.put(x, at)
	default:
		first = t.others.put(x, at)
	}
	if first && at == t.first() {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// put reports whether x is the first now.
func (h *deadlines[T]) put(x T, at time.Duration) bool {
	tm := x.clock()
	i := tm.place() - 1
	switch {
	case at == 0 && i < 0:
		return false
	case at == 0:
		h.remove(i)
		return false
	case i < 0:
		h.heap = append(h.heap, deadline[T]{})
		h.up(len(h.heap)-1, deadline[T]{at, x})
	default:
		h.fix(i, deadline[T]{at, x})
	}
	return tm.place() == 1
}

// remove takes out what is at i, and puts the last in its place.
func (h *deadlines[T]) remove(i int) {
	h.heap[i].owner.clock().putAt(0)
	last := len(h.heap) - 1
	d := h.heap[last]
	h.heap[last] = deadline[T]{}
	h.heap = h.heap[:last]
	switch {
	case last == 0:
		h.heap = nil
	case i < last:
		h.fix(i, d)
	}
}

// fix puts d in the place i, which is free, or where it belongs from there.
func (h *deadlines[T]) fix(i int, d deadline[T]) {
	if i > 0 && d.at < h.heap[(i-1)/2].at {
		h.up(i, d)
	} else {
		h.down(i, d)
	}
}

// up and down move a free place until d may take it.
func (h *deadlines[T]) up(i int, d deadline[T]) {
	for i > 0 {
		above := (i - 1) / 2
		if h.heap[above].at <= d.at {
			break
		}
		h.lay(i, h.heap[above])
		i = above
	}
	h.lay(i, d)
}

func (h *deadlines[T]) down(i int, d deadline[T]) {
	for {
		below := 2*i + 1
		if below >= len(h.heap) {
			break
		}
		if next := below + 1; next < len(h.heap) && h.heap[next].at < h.heap[below].at {
			below = next
		}
		if d.at <= h.heap[below].at {
			break
		}
		h.lay(i, h.heap[below])
		i = below
	}
	h.lay(i, d)
}

func (h *deadlines[T]) lay(i int, d deadline[T]) {
	h.heap[i] = d
	d.owner.clock().putAt(i + 1)
}

// first is when the first is due, never if there is none.
func (h *deadlines[T]) first() time.Duration {
	if len(h.heap) == 0 {
		return never
	}
	return h.heap[0].at
}

// pop takes the first out. There is one.
func (h *deadlines[T]) pop() due {
	x := h.heap[0].owner
	h.remove(0)
	x.clock().move(false)
	return x
}

// run calls what is due until done is closed.
func (t *timers) run(done <-chan struct{}) {
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for {
		x, wait := t.next()
		if x != nil {
			t.renew(x, x.due(t.now()))
			continue
		}
		clock.Reset(wait)
		select {
		case <-done:
			return
		case <-t.wake:
		case <-clock.C:
		}
	}
}

// next takes the first whose deadline has come, or says how long to wait.
func (t *timers) next() (due, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.first()
	if wait := at - t.now(); wait > 0 {
		return nil, min(wait, time.Hour)
	}
	switch at {
	case t.conns.first():
		return t.conns.pop(), 0
	case t.sessions.first():
		return t.sessions.pop(), 0
	}
	return t.others.pop(), 0
}

// first is when the first of all is due. mu is held.
func (t *timers) first() time.Duration {
	return min(t.conns.first(), t.sessions.first(), t.others.first())
}
