package bench

import (
	"context"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"mqt/mqtt"
)

// Run does what s says and reports. progress, which may be nil, is told how it
// goes, on the caller's goroutine.
//
// A ctx that ends while messages are measured cuts the measurement short: what
// was measured is drained and reported. Before that it ends the run with ctx's
// error. The other errors are faults of the Scenario, a *client.ConnectError if
// no client could connect, a *client.SubscribeError, and an *ProbeError.
func Run(ctx context.Context, s Scenario, progress func(Snapshot)) (*Report, error) {
	if s.RunID == "" {
		s.RunID = hex.EncodeToString([]byte{byte(rand.N(256)), byte(rand.N(256)), byte(rand.N(256)), byte(rand.N(256))})
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	s.fill()
	r := newRunner(s, progress)
	defer r.leave()
	for _, phase := range []func(context.Context) error{r.connect, r.subscribe, r.probe, r.warmUp} {
		if err := phase(ctx); err != nil {
			return nil, err
		}
	}
	r.measure(ctx)
	r.drain(ctx)
	for _, s := range r.subs {
		s.broken = s.c != nil && s.c.Err() != nil
	}
	r.leave() // what is told to the end of the clients belongs to the account
	return r.report(ctx), nil
}

// ProbeError says that subscriptions were acknowledged, and messages that match
// them do not arrive.
type ProbeError struct {
	Missing, Of int // subscriptions
	Waited      time.Duration
}

func (e *ProbeError) Error() string {
	return fmt.Sprintf("bench: no message reached %d of %d subscriptions within %v", e.Missing, e.Of, e.Waited)
}

// runner is one run.
type runner struct {
	s        Scenario
	progress func(Snapshot)
	run      uint32
	began    time.Time // zero of the run's clock
	filler   []byte    // payload

	pubs    []*publisher
	subs    []*subscriber
	shards  []*shard
	readers []*recorder // of what arrives, by client
	left    bool

	unprobed atomic.Int64
	allSeen  chan struct{} // unprobed is 0

	connected, failed, lost atomic.Int64
	failures, losses        causes
	refused                 causes
	violations              violations

	// Owned by Run's goroutine, as is what follows.
	total    *tally // of the phase, since startOver
	interval *tally // what the last gather brought
	spare    *tally // empty
	snap     Snapshot
	seconds  []Second
	protocol mqtt.Version

	measureFrom              atomic.Int64 // on the run's clock
	connectTook              time.Duration
	measuredFor, drainedFor  time.Duration
	cpuFrom, cpuLast, cpuAll time.Duration
	lastLost                 int64
}

func newRunner(s Scenario, progress func(Snapshot)) *runner {
	r := &runner{
		s: s, progress: progress, run: crc32.ChecksumIEEE([]byte(s.RunID)), began: time.Now(),
		filler: make([]byte, s.Size), allSeen: make(chan struct{}), total: &tally{}, interval: &tally{}, spare: &tally{},
	}
	for i := range r.filler {
		r.filler[i] = byte(rand.N(256)) // compression shall not help
	}
	cores := runtime.GOMAXPROCS(0)
	for range cores {
		r.readers = append(r.readers, &recorder{cur: &tally{}})
	}
	for range min(cores, s.Publishers) {
		r.shards = append(r.shards, &shard{r: r, rec: &recorder{cur: &tally{}}, wake: make(chan struct{}, 1)})
	}
	r.pubs = make([]*publisher, s.Publishers)
	for i := range r.pubs {
		r.pubs[i] = r.newPublisher(i)
		r.pubs[i].shard = r.shards[i%len(r.shards)]
	}
	r.subs = make([]*subscriber, s.Subscribers)
	for j := range r.subs {
		r.subs[j] = r.newSubscriber(j)
	}
	return r
}

// now is the run's one clock, which is monotonic.
func (r *runner) now() time.Duration { return time.Since(r.began) }

// measuring is when the measurement began.
func (r *runner) measuring() time.Duration { return time.Duration(r.measureFrom.Load()) }

func (r *runner) recorderOf(i int) *recorder { return r.readers[i%len(r.readers)] }

// clientID has at most the 23 characters that any Server takes [MQTT-3.1.3-5].
func (r *runner) clientID(role byte, i int) string {
	return "bench" + r.s.RunID + string(role) + strconv.Itoa(i)
}

// payload is a new one.
func (r *runner) payload() []byte { return append([]byte(nil), r.filler...) }

// during runs f on another goroutine, collects and tells the progress once a
// second, and returns when f has.
func (r *runner) during(phase Phase, of time.Duration, f func()) {
	r.gather(kindOf(phase))
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	from := r.now()
	r.snap = Snapshot{Phase: phase, Of: of}
	r.tell(0, 0)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	last := from
	for {
		select {
		case <-ticker.C:
		case <-done:
			r.collect(phase, last)
			return
		}
		now := r.now()
		r.collect(phase, last)
		r.tell(now-from, now-last)
		last = now
	}
}

// kindOf is which messages count in a phase.
func kindOf(p Phase) kind {
	switch p {
	case WarmingUp:
		return warmUp
	case Measuring, Draining:
		return measured
	}
	return probe
}

// gather adds up what came since the last time. From now on messages of k count.
func (r *runner) gather(k kind) {
	r.interval.reset()
	for _, rec := range r.readers {
		r.take(rec, k)
	}
	for _, sh := range r.shards {
		r.take(sh.rec, k)
	}
	r.total.merge(r.interval)
}

// take merges one recorder's tally and gives it an empty one.
func (r *runner) take(rec *recorder, k kind) {
	full := rec.take(r.spare, k)
	r.interval.merge(full)
	full.reset()
	r.spare = full
}

// collect gathers, and in the measurement notes another second.
func (r *runner) collect(phase Phase, last time.Duration) {
	k := kindOf(phase)
	r.gather(k)
	if k != measured {
		return
	}
	now, cpu, gone := r.now(), cpuTime(), r.lost.Load()
	t := r.interval
	if now-last < 100*time.Millisecond && t.sent+t.arrived == 0 {
		return // the end of a phase right behind a second
	}
	r.seconds = append(r.seconds, Second{
		At: now - r.measuring(), Sent: t.sent, Acked: t.acked, Delivered: t.delivered,
		E2EP99: t.quantile(99, endToEnd0, endToEnd1, endToEnd2), LagP99: t.quantile(99, lag),
		Lost: int(gone - r.lastLost), CPU: perSecond((cpu - r.cpuLast).Seconds(), now-last),
	})
	r.cpuLast, r.lastLost = cpu, gone
}

// tell reports progress. elapsed is of the phase, over of the last interval.
func (r *runner) tell(elapsed, over time.Duration) {
	if r.progress == nil {
		return
	}
	t := r.interval
	s := &r.snap
	s.Elapsed, s.Clients = elapsed, len(r.pubs)+len(r.subs)
	s.Connected, s.Failed, s.Lost = int(r.connected.Load()), int(r.failed.Load()), int(r.lost.Load())
	s.SentRate, s.AckedRate, s.DeliveredRate = 0, 0, 0
	s.E2EP99, s.LagP99 = 0, 0
	if over > 0 {
		s.Sent += t.sent
		s.Acked += t.acked
		s.Delivered += t.delivered
		s.SentRate, s.AckedRate = perSecond(float64(t.sent), over), perSecond(float64(t.acked), over)
		s.DeliveredRate = perSecond(float64(t.delivered), over)
		s.E2EP99, s.LagP99 = t.quantile(99, endToEnd0, endToEnd1, endToEnd2), t.quantile(99, lag)
	}
	r.progress(*s)
}

func perSecond(n float64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return n / d.Seconds()
}

// drive lets all shards run one load.
func (r *runner) drive(ctx context.Context, phase Phase, length time.Duration, count int64) {
	start := r.now() + time.Millisecond
	l := &load{kind: kindOf(phase), start: start, end: start + length, rate: r.s.Rate, count: count}
	if phase == Measuring {
		r.measureFrom.Store(int64(start))
	}
	r.during(phase, length, func() {
		var wg sync.WaitGroup
		for _, sh := range r.shards {
			wg.Go(func() { sh.run(ctx, l) })
		}
		wg.Wait()
	})
}

func (r *runner) warmUp(ctx context.Context) error {
	if r.s.WarmUp > 0 {
		r.drive(ctx, WarmingUp, r.s.WarmUp, 0)
		if r.s.NoTracking { // they cannot be told from those that count
			r.during(WarmingUp, 0, func() { r.waitQuiet(ctx, r.s.Drain) })
		}
	}
	return ctx.Err()
}

func (r *runner) measure(ctx context.Context) {
	r.gather(measured)
	r.total.startOver()
	r.cpuFrom = cpuTime()
	r.cpuLast, r.lastLost = r.cpuFrom, r.lost.Load()
	r.drive(ctx, Measuring, r.s.Duration, r.s.Count)
	r.measuredFor = min(r.now()-r.measuring(), r.s.Duration)
}

// settled is how long nothing must have come for a drain that has everything:
// time for a duplicate.
const settled = 100 * time.Millisecond

// drain waits for what is under way.
func (r *runner) drain(ctx context.Context) {
	from := r.now()
	if r.s.Drain > 0 {
		r.during(Draining, r.s.Drain, func() { r.waitQuiet(context.WithoutCancel(ctx), r.s.Drain) })
	}
	r.drainedFor = r.now() - from
	r.cpuAll = cpuTime() - r.cpuFrom
}

// waitQuiet returns when nothing more comes.
func (r *runner) waitQuiet(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	expected := r.expected()
	before := int64(-1)
	since := r.now()
	for {
		c := r.sofar()
		now := r.now()
		if c.arrived != before {
			before, since = c.arrived, now
		}
		quiet := now - since
		complete := c.answered >= c.awaited && (c.first >= expected || r.s.NoTracking)
		if complete && quiet >= settled || quiet >= r.s.Quiet {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// sofar adds up the counts of all phases.
func (r *runner) sofar() counts {
	var all counts
	for _, rec := range r.readers {
		all.add(rec.sofar())
	}
	for _, sh := range r.shards {
		all.add(sh.rec.sofar())
	}
	return all
}

// expected is how many first deliveries make the account complete.
func (r *runner) expected() int64 {
	var n int64
	for _, s := range r.subs {
		if !s.active || s.c.Err() != nil {
			continue
		}
		for k := range s.streams {
			n += int64(r.pubs[r.s.source(s.id, k)].seq.Load()) //nolint:gosec // far below
		}
	}
	return n
}
