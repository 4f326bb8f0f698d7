package broker

import (
	"container/heap"
	"sync"
	"time"
)

// due is what has a deadline: a conn (connect timeout, Keep Alive) or a
// session (Will Delay, Session Expiry).
type due interface {
	// due is called when the deadline has come, on the timers' goroutine and
	// with no lock held. It returns the next deadline, 0 for none.
	due(now time.Duration) (next time.Duration)
}

// timer is one deadline, embedded in its owner so that an idle connection
// costs no timer of the runtime.
type timer struct {
	owner due
	at    time.Duration
	index int  // place in the heap + 1; 0: not set
	moved bool // set was called since it was last due
}

// timers is the broker's clock: one goroutine, one heap. Its lock is a leaf.
type timers struct {
	mu    sync.Mutex
	heap  timerHeap
	start time.Time
	wake  chan struct{}
}

func newTimers() *timers {
	return &timers{start: time.Now(), wake: make(chan struct{}, 1)}
}

// now is the time since the broker was made, never 0 and monotonic.
func (t *timers) now() time.Duration { return time.Since(t.start) + 1 }

// set gives tm a new deadline, or takes it away when at is 0.
func (t *timers) set(tm *timer, at time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tm.moved = true
	t.put(tm, at)
}

// renew is set for what due returned, which a set meanwhile overrules.
func (t *timers) renew(tm *timer, at time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !tm.moved {
		t.put(tm, at)
	}
}

// put is set with mu held.
func (t *timers) put(tm *timer, at time.Duration) {
	switch {
	case at == 0 && tm.index == 0:
		return
	case at == 0:
		heap.Remove(&t.heap, tm.index-1)
		return
	case tm.index == 0:
		tm.at = at
		heap.Push(&t.heap, tm)
	default:
		tm.at = at
		heap.Fix(&t.heap, tm.index-1)
	}
	if t.heap[0] == tm {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// run calls what is due until done is closed.
func (t *timers) run(done <-chan struct{}) {
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for {
		tm, wait := t.next()
		if tm != nil {
			t.renew(tm, tm.owner.due(t.now()))
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

// next takes the first timer whose deadline has come, or says how long to wait.
func (t *timers) next() (*timer, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.heap) == 0 {
		return nil, time.Hour
	}
	if wait := t.heap[0].at - t.now(); wait > 0 {
		return nil, wait
	}
	tm := heap.Pop(&t.heap).(*timer)
	tm.moved = false
	return tm, 0
}

type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at < h[j].at }

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

func (h *timerHeap) Push(x any) {
	tm := x.(*timer)
	*h = append(*h, tm)
	tm.index = len(*h)
}

func (h *timerHeap) Pop() any {
	old := *h
	tm := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	tm.index = 0
	return tm
}
