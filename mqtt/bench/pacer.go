package bench

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

const (
	// quantum is the shortest sleep: what becomes due meanwhile leaves together.
	quantum = 100 * time.Microsecond
	// coarse is by how much a timer of Go can be late: what is nearer is slept for
	// by the kernel's clock, if that is asked for.
	coarse = 2 * time.Millisecond
	// retryAfter is when a publisher is tried again that only TCP holds back.
	retryAfter = time.Millisecond
	// turnSize is how many messages are sent before the connections are flushed.
	turnSize = 512
	// clockEvery is how many messages share one reading of the clock.
	clockEvery = 16
	// overtime is how long after the end of a load what was due before is sent.
	overtime = time.Second
	// maxPending is how many messages of one publisher wait; more are not sent.
	maxPending = 1 << 20
)

// shard paces the publishers of one core.
type shard struct {
	r      *runner
	number int
	pubs   [][]*publisher // connected, by group
	recs   []*recorder    // count what is sent, by group

	mu    sync.Mutex
	ready []*publisher  // have room again
	wake  chan struct{} // ready is not empty

	batch   client.Batch
	stalled []*publisher // held back by TCP: nobody tells when that is over
	work    []*publisher // scratch
	backlog int          // messages that are due and wait for room
	cursors []*cursor    // of this load, by group; nil: none
	kind    kind         // of the load, and of what is pending
	end     time.Duration
	now     time.Duration
	stale   int // messages since now was read
	sent    int // messages in this turn
}

func (r *runner) newShard(i int) *shard {
	sh := &shard{r: r, number: i, wake: make(chan struct{}, 1), pubs: make([][]*publisher, len(r.groups)), cursors: make([]*cursor, len(r.groups))}
	for range r.groups {
		sh.recs = append(sh.recs, &recorder{cur: &tally{}})
	}
	return sh
}

// wakeFor puts p on the list of those that can send again.
func (sh *shard) wakeFor(p *publisher) {
	sh.mu.Lock()
	sh.ready = append(sh.ready, p)
	sh.mu.Unlock()
	select {
	case sh.wake <- struct{}{}:
	default:
	}
}

// run sends until the loads or ctx end.
func (sh *shard) run(ctx context.Context, k kind, loads []*load) {
	sh.reset(k, loads)
	timer := time.NewTimer(0)
	defer timer.Stop()
	if sh.r.s.Precise {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	for {
		sh.clock()
		next, more := sh.turn()
		if !more || ctx.Err() != nil {
			break
		}
		if next <= sh.now {
			continue
		}
		if len(sh.stalled) > 0 {
			next = min(next, sh.now+retryAfter)
		}
		d := max(next-sh.r.now(), quantum)
		if sh.r.s.Precise {
			if d <= coarse {
				nap(d)
				continue
			}
			d -= coarse
		}
		timer.Reset(d)
		select {
		case <-timer.C:
		case <-sh.wake:
		case <-ctx.Done():
		}
	}
	sh.giveUp()
}

// reset begins a load. What is pending of the load before goes on, if it is of
// the same kind.
func (sh *shard) reset(k kind, loads []*load) {
	sh.mu.Lock()
	sh.ready = sh.ready[:0]
	sh.mu.Unlock()
	same := k == sh.kind
	sh.kind, sh.stalled, sh.backlog, sh.end = k, sh.stalled[:0], 0, 0
	for gi, l := range loads {
		sh.cursors[gi] = nil
		if l == nil {
			continue
		}
		sh.end = max(sh.end, l.end)
		c := sh.newCursor(gi, l)
		sh.cursors[gi] = c
		for _, p := range c.pubs {
			p.turns, p.due = 0, 0
			if !same {
				p.pending, p.head = p.pending[:0], 0
			}
			sh.backlog += len(p.pending) - p.head
			p.blocked.Store(false)
			p.forgive(sh.r.now())
			if l.closed() {
				p.due = l.quota(p.i, l.g.Clients)
			}
			if l.closed() || len(p.pending) > p.head {
				sh.wakeFor(p)
			}
		}
	}
}

// clock reads the time for the messages to come.
func (sh *shard) clock() { sh.now, sh.stale = sh.r.now(), 0 }

// turn sends what is due, about turnSize messages at most, and returns when to
// come again; not more if the load is over.
func (sh *shard) turn() (next time.Duration, more bool) {
	sh.sent = 0
	for _, c := range sh.cursors {
		if c != nil {
			c.rec.mu.Lock()
		}
	}
	sh.mu.Lock()
	sh.work, sh.ready = append(sh.work[:0], sh.ready...), sh.ready[:0]
	sh.mu.Unlock()
	for _, p := range sh.stalled {
		if p.blocked.CompareAndSwap(true, false) {
			sh.work = append(sh.work, p)
		}
	}
	sh.stalled = sh.stalled[:0]
	for _, p := range sh.work {
		if c := sh.cursorOf(p); c == nil {
			continue
		} else if c.l.closed() {
			sh.fill(p, c)
		} else {
			sh.catchUp(p, c)
		}
	}
	next = sh.end
	for _, c := range sh.cursors {
		if c != nil && !c.l.closed() {
			next = min(next, c.advance())
		}
	}
	if sh.sent >= turnSize {
		next = sh.now // more may be waiting
	}
	for _, c := range sh.cursors {
		if c != nil {
			c.rec.mu.Unlock()
		}
	}
	sh.batch.Flush()
	return min(next, sh.end), sh.goesOn()
}

func (sh *shard) cursorOf(p *publisher) *cursor { return sh.cursors[p.g.index] }

// goesOn reports whether there will be anything to do.
func (sh *shard) goesOn() bool {
	behind, open := false, false
	for _, c := range sh.cursors {
		switch {
		case c == nil:
		case !c.l.closed():
			behind = behind || !c.over() // late, or before the end
			open = open || sh.backlog > 0 || !c.counted
		case c.l.count == 0:
			open = true
		default:
			for _, p := range c.pubs {
				open = open || p.turns < p.due && !p.dead
			}
		}
	}
	if behind {
		return sh.now < sh.end+overtime
	}
	return open && sh.now < sh.end
}

// giveUp counts what was due and will not be sent.
func (sh *shard) giveUp() {
	for _, c := range sh.cursors {
		if c == nil || c.l.closed() {
			continue
		}
		c.rec.mu.Lock()
		// Messages that the generator did not get to.
		limit := min(sh.r.now(), c.l.end)
		for c.due(limit) {
			c.rec.cur.due++
			c.rec.cur.missed++
			c.step()
		}
		c.rec.mu.Unlock()
	}
}

// advance publishes what is due now and returns when the next one is.
func (c *cursor) advance() time.Duration {
	sh := c.sh
	for n := 0; n < turnSize && c.due(min(sh.now+1, c.l.end)); n++ {
		p := c.pubs[c.i]
		t := c.rec.cur
		t.due++
		t.record(lag, sh.now-c.next)
		waits := p.blocked.Load() || len(p.pending) > p.head
		if !p.dead && (waits || !sh.send(p, c, c.next)) && !p.dead && len(p.pending)-p.head < maxPending {
			p.pending = append(p.pending, c.next)
			sh.backlog++
		}
		c.step()
	}
	if c.over() {
		return c.l.end
	}
	return c.next
}

// catchUp sends what is pending of one publisher, each message with the time at
// which it should have been sent.
func (sh *shard) catchUp(p *publisher, c *cursor) {
	for p.head < len(p.pending) && !p.dead {
		if !sh.send(p, c, p.pending[p.head]) {
			break
		}
		p.head++
		sh.backlog--
	}
	if p.dead {
		sh.backlog -= len(p.pending) - p.head
		p.head = len(p.pending)
	}
	switch {
	case p.head == len(p.pending):
		p.pending, p.head = p.pending[:0], 0
	case p.head > len(p.pending)/2:
		p.pending = append(p.pending[:0], p.pending[p.head:]...)
		p.head = 0
	}
}

// fill sends as much as the in-flight window takes.
func (sh *shard) fill(p *publisher, c *cursor) {
	if sh.now >= c.l.end {
		return
	}
	for range c.l.g.InFlight {
		if p.turns >= p.due || p.dead {
			return
		}
		if p.windowed && p.fanOut.Load() > 0 && p.undelivered(sh.now) >= c.l.g.InFlight {
			sh.block(p)
			return
		}
		c.rec.cur.due++
		if !sh.send(p, c, sh.now) {
			c.rec.cur.due--
			return
		}
	}
	if p.turns < p.due {
		sh.wakeFor(p) // others first
	}
}

// send publishes one message. False: it has to wait, or p is dead.
func (sh *shard) send(p *publisher, c *cursor, intended time.Duration) bool {
	if sh.stale++; sh.stale > clockEvery {
		sh.clock()
	}
	for {
		size, err := p.publishSized(&sh.batch, sh.kind, intended, sh.now)
		t := c.rec.cur
		switch {
		case err == nil:
			p.turns++
			sh.sent++
			t.sent++
			t.sentBytes += int64(size)
			if p.qos > mqtt.QoS0 {
				t.awaited++
			}
			return true
		case errors.Is(err, client.ErrWindowFull):
			if sh.block(p) {
				return false
			}
		case errors.Is(err, client.ErrNotConnected) && p.g.Reconnect:
			p.blocked.Store(true)
			if !p.down.Load() { // otherwise it wakes us once it is back
				sh.stalled = append(sh.stalled, p)
			}
			return false
		case gone(err):
			p.dead = true
			return false
		default: // a limit of the Server
			p.turns++
			if sh.kind == measured {
				sh.r.refused.add(err)
			}
			return true
		}
	}
}

// block makes p wait for room, unless there is some meanwhile.
func (sh *shard) block(p *publisher) bool {
	p.blocked.Store(true)
	if p.c.Window() > 0 && p.qos > mqtt.QoS0 {
		return !p.blocked.CompareAndSwap(true, false)
	}
	p.mu.Lock()
	waiting := p.underWay
	p.mu.Unlock()
	if p.qos == mqtt.QoS0 || waiting == 0 {
		sh.stalled = append(sh.stalled, p)
	}
	return true
}
