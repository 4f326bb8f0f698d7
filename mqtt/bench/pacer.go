package bench

import (
	"context"
	"errors"
	"sync"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// load is what the shards do in one phase.
type load struct {
	kind       kind
	start, end time.Duration // on the run's clock
	rate       float64       // messages a second of all publishers; 0: closed loop
	count      int64         // messages in all; 0: no bound
}

// at is when message k of all is due.
func (l *load) at(k uint64) time.Duration {
	return l.start + time.Duration(float64(k)/l.rate*float64(time.Second))
}

// quota is how many messages publisher i of n may send, in a closed loop.
func (l *load) quota(i, n int) uint64 {
	if l.count == 0 {
		return 1<<64 - 1
	}
	q := l.count / int64(n)
	if int64(i) < l.count%int64(n) {
		q++
	}
	return uint64(q) //nolint:gosec // not negative
}

const (
	// quantum is the shortest sleep: what becomes due meanwhile leaves together.
	quantum = 100 * time.Microsecond
	// retryAfter is when a publisher is tried again that only TCP holds back.
	retryAfter = time.Millisecond
	// turnSize is how many messages are sent before the connections are flushed.
	turnSize = 512
	// clockEvery is how many messages share one reading of the clock.
	clockEvery = 16
	// overtime is how long after the end of a load what was due before is sent.
	overtime = time.Second
)

// shard paces the publishers of one core. The schedule is one for all of them:
// publisher i sends messages i, i+n, i+2n ... of n publishers, so that it needs
// no queue of timers.
type shard struct {
	r    *runner
	pubs []*publisher // connected, by number
	rec  *recorder    // counts what is sent

	mu    sync.Mutex
	ready []*publisher  // have room again
	wake  chan struct{} // ready is not empty

	batch   client.Batch
	stalled []*publisher // held back by TCP: nobody tells when that is over
	work    []*publisher // scratch
	backlog uint64       // messages that are due and wait for room
	now     time.Duration
	stale   int // messages since now was read
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

// run sends until the load or ctx ends.
func (sh *shard) run(ctx context.Context, l *load) {
	sh.reset(l)
	timer := time.NewTimer(0)
	defer timer.Stop()
	c := cursor{l: l, sh: sh}
	for {
		sh.clock()
		next, more := sh.turn(l, &c)
		if !more || ctx.Err() != nil {
			break
		}
		if next <= sh.now {
			continue
		}
		if len(sh.stalled) > 0 {
			next = min(next, sh.now+retryAfter)
		}
		timer.Reset(max(next-sh.r.now(), quantum))
		select {
		case <-timer.C:
		case <-sh.wake:
		case <-ctx.Done():
		}
	}
	sh.giveUp(&c)
}

func (sh *shard) reset(l *load) {
	sh.mu.Lock()
	sh.ready = sh.ready[:0]
	sh.mu.Unlock()
	sh.stalled, sh.backlog = sh.stalled[:0], 0
	for _, p := range sh.pubs {
		p.turns, p.due = 0, 0
		p.blocked.Store(false)
		p.forgive(sh.r.now())
		if l.rate == 0 {
			p.due = l.quota(p.id, sh.r.s.Publishers)
			sh.wakeFor(p)
		}
	}
}

// clock reads the time for the messages to come.
func (sh *shard) clock() { sh.now, sh.stale = sh.r.now(), 0 }

// turn sends what is due, at most turnSize messages, and returns when to come
// again; not more if the load is over.
func (sh *shard) turn(l *load, c *cursor) (next time.Duration, more bool) {
	sh.rec.mu.Lock()
	sent := sh.rec.cur.sent
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
		if l.rate == 0 {
			sh.fill(p, l)
		} else {
			sh.catchUp(p, l)
		}
	}
	next = l.end
	if l.rate > 0 {
		next = c.advance()
	}
	if sh.rec.cur.sent-sent >= turnSize {
		next = sh.now // more may be waiting
	}
	sh.rec.mu.Unlock()
	sh.batch.Flush()
	return min(next, l.end), sh.goesOn(l, c)
}

// goesOn reports whether there will be anything to do.
func (sh *shard) goesOn(l *load, c *cursor) bool {
	if l.rate > 0 {
		switch {
		case !c.over(): // late, or before the end
			return sh.now < l.end+overtime
		case sh.backlog == 0 && c.counted:
			return false
		}
		return sh.now < l.end
	}
	if sh.now >= l.end {
		return false
	}
	if l.count == 0 {
		return true
	}
	for _, p := range sh.pubs {
		if p.turns < p.due && !p.dead {
			return true
		}
	}
	return false
}

// giveUp counts what was due and will not be sent.
func (sh *shard) giveUp(c *cursor) {
	sh.rec.mu.Lock()
	defer sh.rec.mu.Unlock()
	if c.l.rate == 0 {
		return
	}
	// Messages that the generator did not get to.
	limit := min(sh.r.now(), c.l.end)
	for c.due(limit) {
		sh.rec.cur.due++
		sh.rec.cur.missed++
		c.step()
	}
}

// cursor walks through the schedule of an open loop.
type cursor struct {
	l       *load
	sh      *shard
	round   uint64
	i       int  // in sh.pubs
	counted bool // count is reached
}

// message is the number of the next one.
func (c *cursor) message() uint64 {
	return c.round*uint64(c.sh.r.s.Publishers) + uint64(c.sh.pubs[c.i].id) //nolint:gosec // not negative
}

func (c *cursor) step() {
	if c.i++; c.i == len(c.sh.pubs) {
		c.i = 0
		c.round++
	}
}

// due reports whether the next message is due before limit.
func (c *cursor) due(limit time.Duration) bool {
	if c.counted || len(c.sh.pubs) == 0 {
		return false
	}
	k := c.message()
	if c.l.count > 0 && k >= uint64(c.l.count) { //nolint:gosec // positive
		c.counted = true // the numbers only go up
		return false
	}
	return c.l.at(k) < limit
}

// over reports whether no more messages become due in this load.
func (c *cursor) over() bool { return !c.due(c.l.end) }

// advance publishes what is due now and returns when the next one is.
func (c *cursor) advance() time.Duration {
	sh := c.sh
	for n := 0; n < turnSize && c.due(min(sh.now+1, c.l.end)); n++ {
		p := sh.pubs[c.i]
		t := sh.rec.cur
		t.due++
		t.record(lag, sh.now-c.l.at(c.message()))
		c.step()
		p.due++
		sh.backlog++
		if !p.blocked.Load() {
			sh.catchUp(p, c.l)
		}
	}
	if c.over() {
		return c.l.end
	}
	return c.l.at(c.message())
}

// catchUp sends what is due of one publisher, each message with the time at
// which it should have been sent.
func (sh *shard) catchUp(p *publisher, l *load) {
	for p.turns < p.due && !p.dead {
		k := p.turns*uint64(sh.r.s.Publishers) + uint64(p.id) //nolint:gosec // not negative
		if !sh.send(p, l.kind, l.at(k)) {
			break
		}
		sh.backlog--
	}
	if p.dead {
		sh.backlog -= p.due - p.turns
		p.turns = p.due
	}
}

// fill sends as much as the in-flight window takes.
func (sh *shard) fill(p *publisher, l *load) {
	if sh.now >= l.end {
		return
	}
	for range sh.r.s.InFlight {
		if p.turns >= p.due || p.dead {
			return
		}
		if p.windowed && p.undelivered(sh.now) >= sh.r.s.InFlight {
			sh.block(p)
			return
		}
		sh.rec.cur.due++
		if !sh.send(p, l.kind, sh.now) {
			sh.rec.cur.due--
			return
		}
	}
	if p.turns < p.due {
		sh.wakeFor(p) // others first
	}
}

// send publishes one message. False: it has to wait, or p is dead.
func (sh *shard) send(p *publisher, k kind, intended time.Duration) bool {
	if sh.stale++; sh.stale > clockEvery {
		sh.clock()
	}
	for {
		err := p.publish(&sh.batch, k, intended, sh.now)
		t := sh.rec.cur
		switch {
		case err == nil:
			p.turns++
			t.sent++
			t.sentBytes += int64(sh.r.s.Size)
			if p.qos > mqtt.QoS0 {
				t.awaited++
			}
			return true
		case errors.Is(err, client.ErrWindowFull):
			if sh.block(p) {
				return false
			}
		case gone(err):
			p.dead = true
			return false
		default: // a limit of the Server
			p.turns++
			if k == measured {
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
