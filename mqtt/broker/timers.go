package broker

import (
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
// connection costs no timer of the runtime.
type timer struct {
	index int32 // in the heap, from 1; 0: not set
	moved bool  // set was called since it was last due
}

func (tm *timer) clock() *timer { return tm }

// deadline is one in the heap.
type deadline struct {
	at    time.Duration
	owner due
}

// timers is the broker's clock: one goroutine, one heap. Its lock is a leaf.
type timers struct {
	mu    sync.Mutex
	heap  []deadline
	start time.Time
	wake  chan struct{}
}

func newTimers() *timers {
	return &timers{start: time.Now(), wake: make(chan struct{}, 1)}
}

// now is the time since the broker was made, never 0 and monotonic.
func (t *timers) now() time.Duration { return time.Since(t.start) + 1 }

// set gives x a new deadline, or takes it away when at is 0.
func (t *timers) set(x due, at time.Duration) {
	tm := x.clock()
	t.mu.Lock()
	defer t.mu.Unlock()
	tm.moved = true
	t.put(x, tm, at)
}

// renew is set for what due returned, which a set meanwhile overrules.
func (t *timers) renew(x due, at time.Duration) {
	tm := x.clock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !tm.moved {
		t.put(x, tm, at)
	}
}

// put is set with mu held.
func (t *timers) put(x due, tm *timer, at time.Duration) {
	i := int(tm.index) - 1
	switch {
	case at == 0 && i < 0:
		return
	case at == 0:
		t.remove(i)
		return
	case i < 0:
		t.heap = append(t.heap, deadline{})
		t.up(len(t.heap)-1, deadline{at, x})
	default:
		t.fix(i, deadline{at, x})
	}
	if tm.index == 1 {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// remove takes out what is at i, and puts the last in its place.
func (t *timers) remove(i int) {
	t.heap[i].owner.clock().index = 0
	last := len(t.heap) - 1
	d := t.heap[last]
	t.heap[last] = deadline{}
	t.heap = t.heap[:last]
	switch {
	case last == 0:
		t.heap = nil
	case i < last:
		t.fix(i, d)
	}
}

// fix puts d in the place i, which is free, or where it belongs from there.
func (t *timers) fix(i int, d deadline) {
	if i > 0 && d.at < t.heap[(i-1)/2].at {
		t.up(i, d)
	} else {
		t.down(i, d)
	}
}

// up and down move a free place until d may take it.
func (t *timers) up(i int, d deadline) {
	for i > 0 {
		above := (i - 1) / 2
		if t.heap[above].at <= d.at {
			break
		}
		t.lay(i, t.heap[above])
		i = above
	}
	t.lay(i, d)
}

func (t *timers) down(i int, d deadline) {
	for {
		below := 2*i + 1
		if below >= len(t.heap) {
			break
		}
		if next := below + 1; next < len(t.heap) && t.heap[next].at < t.heap[below].at {
			below = next
		}
		if d.at <= t.heap[below].at {
			break
		}
		t.lay(i, t.heap[below])
		i = below
	}
	t.lay(i, d)
}

func (t *timers) lay(i int, d deadline) {
	t.heap[i] = d
	d.owner.clock().index = int32(i + 1)
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
	if len(t.heap) == 0 {
		return nil, time.Hour
	}
	first := t.heap[0]
	if wait := first.at - t.now(); wait > 0 {
		return nil, wait
	}
	t.remove(0)
	first.owner.clock().moved = false
	return first.owner, 0
}
