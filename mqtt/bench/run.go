package bench

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/topic"
)

// Run does what s says and reports. progress, which may be nil, is told how it
// goes, on the caller's goroutine.
//
// A ctx that ends cuts the run short: what was measured is drained and
// reported. The errors are faults of the Scenario, a *client.ConnectError if no
// client could connect, a *client.SubscribeError, and an *ProbeError.
func Run(ctx context.Context, s Scenario, progress func(Snapshot)) (*Report, error) {
	p, err := s.Plan()
	if err != nil {
		return nil, err
	}
	return RunPlan(ctx, p, progress)
}

// RunPlan is Run for a Plan.
func RunPlan(ctx context.Context, p Plan, progress func(Snapshot)) (*Report, error) {
	if p.RunID == "" {
		p.RunID = newRunID()
	}
	p.fill()
	if err := p.Validate(); err != nil {
		return nil, err
	}
	p.hash = p.configHash()
	p.Groups = slices.Clone(p.Groups) // the caller's stay as they are
	if err := p.shard(); err != nil {
		return nil, err
	}
	r, err := newRunner(p, progress)
	if err != nil {
		return nil, err
	}
	defer r.leave()
	ctx, r.abort = context.WithCancelCause(ctx)
	r.why = func() error { return context.Cause(ctx) }
	defer r.abort(nil)
	for i := range p.Steps {
		if ctx.Err() != nil && p.Steps[i].Do != DoDrain {
			continue
		}
		if err := r.startTogether(ctx, &p.Steps[i]); err != nil {
			return nil, err
		}
		if err := r.step(ctx, &p.Steps[i]); err != nil && ctx.Err() == nil {
			return nil, err
		}
	}
	for _, s := range r.subs {
		s.broken = s.c == nil || s.c.Err() != nil // or it is away
	}
	r.leave() // what is told to the end of the clients belongs to the account
	return r.report(ctx), nil
}

func newRunID() string {
	return hex.EncodeToString([]byte{byte(rand.N(256)), byte(rand.N(256)), byte(rand.N(256)), byte(rand.N(256))})
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

// AbortError says which threshold ended a run.
type AbortError struct{ Rule string }

func (e *AbortError) Error() string {
	return "bench: the run was ended by the threshold " + e.Rule
}

// runner is one run.
type runner struct {
	s        Plan
	progress func(Snapshot)
	run      uint32
	began    time.Time  // zero of the run's clock
	filler   []byte     // payload
	randomly sync.Mutex // guards random
	random   *rand.Rand

	groups  []*group
	members []*member // all clients, in the order of the groups
	pubs    []*publisher
	subs    []*subscriber
	shares  map[string]*share
	shards  []*shard
	left    bool
	started bool // with the load

	unprobed atomic.Int64
	allSeen  chan struct{} // unprobed is 0
	abort    context.CancelCauseFunc
	why      func() error // the run was cut short; nil: it was not

	connected, failed, lost atomic.Int64
	asked                   int
	cut, reconnected        atomic.Int64
	refusedAgain            atomic.Int64
	failures, losses        causes
	starved                 starved
	refused                 causes
	violations              violations
	events                  events
	sessionsAsked           atomic.Int64
	sessionsPresent         atomic.Int64
	breaks                  bool          // actions break connections
	places                  chan struct{} // connects under way, of reconnecting clients

	// Owned by Run's goroutine, as is what follows.
	interval *tally // what the last gather brought, of all groups
	unnoted  *tally // what is recorded and in no second yet
	spare    *tally // empty
	total    *tally // of what is recorded
	phases   []*phaseTally
	snap     Snapshot
	seconds  []Second
	protocol mqtt.Version
	check    checker
	sessions Resume

	quietSince              atomic.Int64 // when something came last
	measureFrom             atomic.Int64 // on the run's clock
	connectTook             time.Duration
	measuredFor, drainedFor time.Duration
	cpuAll                  time.Duration
	lastLost                int64
	cost                    cost
}

// group is a Group at work.
type group struct {
	Group
	index    int
	members  []*member
	pubs     []*publisher
	subs     []*subscriber
	readers  []*recorder // of what arrives, by client
	interval *tally
	total    *tally // of what is recorded

	connected, failed, lost atomic.Int64
}

// phaseTally is what happened in one step.
type phaseTally struct {
	step     *Step
	from, to time.Duration
	all      *tally
	groups   []*tally
}

func newRunner(p Plan, progress func(Snapshot)) (*runner, error) {
	if p.Seed == 0 {
		p.Seed = rand.Uint64()>>11 | 1 // JSON has it exactly
	}
	r := &runner{
		s: p, progress: progress, run: crc32.ChecksumIEEE([]byte(p.RunID)), began: time.Now(),
		random: rand.New(rand.NewPCG(p.salted(), 0)), allSeen: make(chan struct{}), shares: make(map[string]*share),
		total: &tally{}, interval: &tally{}, unnoted: &tally{}, spare: &tally{}, places: make(chan struct{}, MaxConnecting),
	}
	for i := range p.Steps {
		for _, a := range p.Steps[i].Actions {
			r.breaks = r.breaks || a.Kind != Exec && a.Kind != TakeOver
		}
	}
	if r.breaks {
		r.s.Client.Transport.Loops = nil // they keep the sockets to themselves
	}
	size := 0
	for i := range p.Groups {
		size = max(size, p.Groups[i].Size, p.Groups[i].MaxSize)
	}
	r.filler = make([]byte, size)
	for i := range r.filler {
		r.filler[i] = byte(r.random.Uint32()) // compression shall not help
	}
	cores := runtime.GOMAXPROCS(0)
	for i := range p.Groups {
		g := &group{Group: p.Groups[i], index: i, total: &tally{}, interval: &tally{}}
		for range cores {
			g.readers = append(g.readers, &recorder{cur: &tally{}})
		}
		r.groups = append(r.groups, g)
		r.populate(g)
	}
	for i := range min(cores, max(1, len(r.pubs))) {
		r.shards = append(r.shards, r.newShard(i))
	}
	for i, pub := range r.pubs {
		pub.shard = r.shards[i%len(r.shards)]
	}
	return r, r.match()
}

// populate makes the clients of a group.
func (r *runner) populate(g *group) {
	g.members = make([]*member, g.Clients)
	for i := range g.members {
		var m *member
		switch g.Role {
		case RolePub:
			p := r.newPublisher(g, i)
			r.pubs, g.pubs, m = append(r.pubs, p), append(g.pubs, p), &p.member
			m.pub = p
		case RoleSub:
			s := r.newSubscriber(g, i)
			r.subs, g.subs, m = append(r.subs, s), append(g.subs, s), &s.member
			m.sub = s
		default:
			m = &member{r: r, g: g, i: i, rec: g.recorderOf(i)}
		}
		g.members[i] = m
	}
	r.members = append(r.members, g.members...)
}

// match finds out who gets what of whom.
func (r *runner) match() error {
	m := newMatcher(r.pubs)
	for _, s := range r.subs {
		_, inner, shared, err := topic.SplitShare(s.filter)
		if err != nil {
			return fmt.Errorf("bench: group %q: %w", s.g.Name, err)
		}
		s.sources = m.of(inner)
		for k := range s.sources.n {
			s.top = max(s.top, r.pubs[s.sources.at(k)].qos)
		}
		s.qos = s.top
		if q := s.g.QoS; len(q) > 0 {
			s.qos = q[s.i%len(q)]
		}
		if !shared {
			s.streams = make([]stream, s.sources.n)
			continue
		}
		sh := r.shares[s.filter]
		if sh == nil {
			sh = &share{streams: make([]stream, s.sources.n), probed: make([]bool, s.sources.n)}
			r.shares[s.filter] = sh
		}
		sh.members = append(sh.members, s)
		s.share, s.tops = sh, make([]uint64, s.sources.n)
	}
	return nil
}

// now is the run's one clock, which is monotonic.
func (r *runner) now() time.Duration { return time.Since(r.began) }

// measuring is when the measurement began.
func (r *runner) measuring() time.Duration { return time.Duration(r.measureFrom.Load()) }

func (g *group) recorderOf(i int) *recorder { return g.readers[i%len(g.readers)] }

// during runs f on another goroutine, collects and tells the progress once a
// second, and returns when f has.
func (r *runner) during(p *phaseTally, k kind, f func()) {
	r.gather(p, k)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	from := r.now()
	r.snap = Snapshot{Phase: p.step.Name, Of: p.step.For, Step: len(r.phases), Steps: len(r.s.Steps)}
	r.tell(0, 0)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	last := from
	for {
		select {
		case <-ticker.C:
		case <-done:
			r.collect(p, k, last)
			return
		}
		now := r.now()
		r.collect(p, k, last)
		r.tell(now-from, now-last)
		r.abortIf(p, now-from)
		last = now
	}
}

// gather adds up what came since the last time, for phase p. From now on
// messages of k count.
func (r *runner) gather(p *phaseTally, k kind) {
	r.interval.reset()
	for gi, g := range r.groups {
		g.interval.reset()
		for _, rec := range g.readers {
			r.take(g, rec, k)
		}
		for _, sh := range r.shards {
			r.take(g, sh.recs[gi], k)
		}
		r.interval.merge(g.interval)
		if p == nil {
			continue
		}
		p.groups[gi].merge(g.interval)
		if p.step.Record {
			g.total.merge(g.interval)
		} else {
			g.total.mergeSetup(g.interval)
		}
	}
	if p == nil {
		return
	}
	p.all.merge(r.interval)
	if p.step.Record {
		r.total.merge(r.interval)
		r.unnoted.merge(r.interval)
	} else {
		r.total.mergeSetup(r.interval)
	}
}

// take merges one recorder's tally and gives it an empty one.
func (r *runner) take(g *group, rec *recorder, k kind) {
	full := rec.take(r.spare, k)
	g.interval.merge(full)
	full.reset()
	r.spare = full
}

// collect gathers, and in what is recorded notes another second.
func (r *runner) collect(p *phaseTally, k kind, last time.Duration) {
	r.gather(p, k)
	now := r.now()
	recorded := p.step.Record && k == measured
	cpu := r.check.second(now-last, recorded)
	if !recorded {
		return
	}
	gone := r.lost.Load()
	t := r.unnoted // with what came between two phases
	if now-last < 100*time.Millisecond && t.sent+t.arrived == 0 {
		return // the end of a phase right behind a second
	}
	defer t.reset()
	e2e := t.sum(endToEnd0, endToEnd1, endToEnd2)
	second := Second{
		At: now - r.measuring(), Sent: t.sent, Acked: t.acked, Delivered: t.delivered, LagP99: t.quantile(99, lag),
		Lost: int(gone - r.lastLost), CPU: perSecond(cpu.Seconds(), now-last), Phase: p.step.Name,
		Connected: int(r.connected.Load()), Duration: now - last, AckP99: t.quantile(99, pubAck, pubComp),
		HDR: t.blobs(),
	}
	if e2e != nil {
		second.E2EP50, second.E2EP99 = time.Duration(e2e.ValueAtQuantile(50)), time.Duration(e2e.ValueAtQuantile(99))
		second.E2EMax, second.E2EN = time.Duration(e2e.Max()), e2e.TotalCount()
	}
	r.seconds = append(r.seconds, second)
	r.lastLost = gone
}

// tell reports progress. elapsed is of the phase, over of the last interval.
func (r *runner) tell(elapsed, over time.Duration) {
	if r.progress == nil {
		return
	}
	t := r.interval
	s := &r.snap
	s.Elapsed, s.Clients = elapsed, r.asked
	s.Connected, s.Failed, s.Lost = int(r.connected.Load()), int(r.failed.Load()), int(r.lost.Load())
	s.SentRate, s.AckedRate, s.DeliveredRate = 0, 0, 0
	s.E2EP99, s.LagP99, s.interval = 0, 0, nil
	if over > 0 {
		s.interval = t
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

// sofar adds up the counts of all phases.
func (r *runner) sofar() counts {
	var all counts
	for gi, g := range r.groups {
		for _, rec := range g.readers {
			all.add(rec.sofar())
		}
		for _, sh := range r.shards {
			all.add(sh.recs[gi].sofar())
		}
	}
	return all
}

// expected is how many first deliveries make the account complete.
func (r *runner) expected() int64 {
	var n int64
	sent := func(s *subscriber) {
		for k := range s.sources.n {
			n += int64(r.pubs[s.sources.at(k)].seq.Load())
		}
	}
	for _, s := range r.subs {
		if s.share == nil && s.active && s.c != nil && s.c.Err() == nil {
			sent(s)
		}
	}
	for _, sh := range r.shares {
		sent(sh.members[0])
	}
	return n
}

// in reports whether a step is about group g.
func (s *Step) in(g *group) bool { return len(s.Groups) == 0 || slices.Contains(s.Groups, g.Name) }

// eachGroup are the groups of a step.
func (r *runner) eachGroup(s *Step, f func(*group)) {
	for _, g := range r.groups {
		if s.in(g) {
			f(g)
		}
	}
}

// cutShort reports why ctx ended: by hand, or by a threshold.
func cutShort(ctx context.Context) (rule string, interrupted bool) {
	if ctx.Err() == nil {
		return "", false
	}
	if e, ok := errors.AsType[*AbortError](context.Cause(ctx)); ok {
		return e.Rule, false
	}
	return "", true
}

// inParallel runs f for each shard and waits.
func (r *runner) inParallel(f func(*shard)) {
	var wg sync.WaitGroup
	for _, sh := range r.shards {
		wg.Go(func() { f(sh) })
	}
	wg.Wait()
}
