package bench

import (
	"context"
	"net/url"
	"runtime"
	"sync"
	"time"

	"mqt/mqtt"
)

// maxViolations is how many are told one by one.
const maxViolations = 10

// violations are the first that were found.
type violations struct {
	mu   sync.Mutex
	list []Violation
}

func (v *violations) add(make func() Violation) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.list) < maxViolations {
		v.list = append(v.list, make())
	}
}

// report makes the Report. All clients have ended.
func (r *runner) report(ctx context.Context) *Report {
	if n := len(r.phases); n > 0 {
		r.gather(r.phases[n-1], measured) // nothing but what came with the goodbye
	}
	t := r.total
	rep := &Report{
		Version: ReportVersion, Tool: r.s.Tool, Name: r.s.Name, RunID: r.s.RunID, Seed: r.s.Seed,
		Started: r.began.Round(0), Target: r.target(), Environment: environment(), Load: r.s.load, ConfigHash: r.s.hash, Shard: r.s.Shard,
		Measured: r.measuredFor, Drained: r.drainedFor,
		Sent: r.count(t.sent, t.sentBytes), Acked: r.count(t.acked, t.ackedBytes),
		Delivered: r.count(t.delivered, t.deliveredBytes),
		Refused:   r.refused.all(), Unsent: t.due - t.sent,
		Connections: Connections{
			Asked: r.asked, Connected: r.served(), Failed: int(r.failed.Load()),
			Failures: r.failures.all(), Lost: int(r.lost.Load()), Losses: r.losses.all(), Took: r.connectTook,
			Reconnected: int(r.reconnected.Load()), Refused: int(r.refusedAgain.Load()), Cut: int(r.cut.Load()),
		},
		Contract: r.contract(), Seconds: r.seconds, Latency: t.report(), Events: r.events.list,
		Phases: r.phaseResults(), Groups: r.groupResults(),
		Generator: Generator{CPU: r.cpuAll, Cores: runtime.GOMAXPROCS(0), LagP99: t.quantile(99, lag), Ceiling: r.ceiling()},
	}
	rep.Aborted, rep.Interrupted = cutShort(ctx)
	if t.due > 0 && !r.s.load.Max {
		rep.Generator.Achieved = float64(t.sent) / float64(t.due)
	}
	if wall := r.measuredFor + r.drainedFor; wall > 0 {
		rep.Generator.CPUShare = float64(r.cpuAll) / float64(wall) / float64(rep.Generator.Cores)
	}
	r.resumed(rep)
	rep.Broker = r.cost.report(r.s.Watch, rep.Sent.N+rep.Delivered.N)
	r.check.report(rep, t)
	r.starved.report(&rep.Generator)
	rep.judge(t.missed, t.due, r.rules(), r, r.s.InconclusiveOK)
	return rep
}

// resumed reports the Sessions that were taken up.
func (r *runner) resumed(rep *Report) {
	s := r.sessions
	asked, present := int(r.sessionsAsked.Load()), int(r.sessionsPresent.Load())
	s.Sessions += asked
	s.Present += present
	s.Absent += asked - present
	if s.Sessions > 0 {
		rep.Resume = &s
	}
}

func (r *runner) count(n, bytes int64) Count {
	return Count{N: n, Bytes: bytes, Rate: perSecond(float64(n), r.measuredFor)}
}

func (t *tally) traffic(over time.Duration) Traffic {
	count := func(n, bytes int64) Count { return Count{N: n, Bytes: bytes, Rate: perSecond(float64(n), over)} }
	return Traffic{
		Sent: count(t.sent, t.sentBytes), Acked: count(t.acked, t.ackedBytes),
		Delivered: count(t.delivered, t.deliveredBytes), Latency: t.report(),
	}
}

func (r *runner) phaseResults() []PhaseResult {
	var all []PhaseResult
	for _, p := range r.phases {
		res := PhaseResult{Name: p.step.Name, Recorded: p.step.Record, From: p.from, To: p.to, Traffic: p.all.traffic(p.to - p.from)}
		if p.step.Do == DoLoad {
			for _, l := range r.loads(p.step, 0) {
				if l != nil {
					res.Target += max(l.from, l.to)
				}
			}
		}
		for _, g := range p.groups {
			if r.s.Shard != nil && p.step.Record {
				res.Groups = append(res.Groups, g.traffic(p.to-p.from))
			}
		}
		all = append(all, res)
	}
	return all
}

func (r *runner) groupResults() []GroupResult {
	var all []GroupResult
	for _, g := range r.groups {
		all = append(all, GroupResult{
			Name: g.Name, Role: g.Role, Clients: g.Clients, Connected: int(g.connected.Load()), Failed: int(g.failed.Load()),
			Lost: int(g.lost.Load()), Target: g.Rate, Traffic: g.total.traffic(r.measuredFor),
		})
	}
	return all
}

func (r *runner) target() Target {
	t := Target{URL: r.s.Target, InProcess: r.s.InProcess, Protocol: r.protocol}
	if t.URL == "" {
		t.URL = redacted(r.s.Client.URL)
		if e := r.s.Client.Endpoint; e != nil {
			t.URL = e.String()
		}
	}
	for _, m := range r.members {
		if m.c == nil {
			continue
		}
		t.Protocol = m.c.Version()
		ps := m.c.Connack().Properties
		t.ReceiveMaximum = int(ps.NumberOr(mqtt.ReceiveMaximum, 0))
		t.MaximumPacketSize = int(ps.NumberOr(mqtt.MaximumPacketSize, 0))
		t.ServerKeepAlive = int(ps.NumberOr(mqtt.ServerKeepAlive, 0))
		break
	}
	return t
}

func redacted(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return u.Redacted()
}

// books adds up the ledger.
type books struct {
	r       *runner
	qos     [3]QoS
	used    [3]bool
	counted [][3]bool // publishers, by the QoS of their deliveries
}

// contract adds up the ledger.
func (r *runner) contract() Contract {
	c := Contract{Checked: !r.s.NoTracking, Corrupt: r.total.corrupt, Unexpected: r.total.unexpected, Strange: r.total.strange}
	if !c.Checked {
		return c
	}
	b := &books{r: r, counted: make([][3]bool, len(r.pubs))}
	streams := 0
	for _, s := range r.subs {
		streams += s.sources.n
		if s.share == nil && s.active && !s.broken {
			for k := range s.streams {
				b.enter(s, &s.streams[k], k)
			}
		}
	}
	for _, sh := range r.shares {
		b.share(sh)
	}
	if streams == 0 {
		c.Checked = false // nobody was there to see
		return c
	}
	c.Held = c.Corrupt == 0 && c.Unexpected == 0
	for q := range b.qos {
		if !b.used[q] {
			continue
		}
		a := &b.qos[q]
		a.QoS = q
		if a.Expected > 0 {
			a.LossRatio = float64(a.Lost) / float64(a.Expected)
		}
		// [MQTT-4.3.1-1] at most once, [MQTT-4.3.2-1] at least once,
		// [MQTT-4.3.3-1] exactly once, [MQTT-4.6.0-5] in order.
		a.Held = a.OutOfOrder == 0 && (q == 0 || a.Lost == 0) && (q == 1 || a.Duplicates == 0)
		c.Held = c.Held && a.Held
		c.QoS = append(c.QoS, *a)
	}
	c.Violations = r.violations.list
	return c
}

// share adds the account of a Shared Subscription, whose members saw it
// together. One that lost a member for good is held to nothing: what was on
// its way there may be gone [MQTT-4.8.2-5].
func (b *books) share(sh *share) {
	for _, s := range sh.members {
		if !s.active || s.broken || s.gaps.Load() > 0 {
			return
		}
	}
	s := sh.members[0]
	for k := range sh.streams {
		q := s.deliveryQoS(k)
		sh.streams[k].disorder = 0 // of all members together it means nothing
		b.enter(s, &sh.streams[k], k)
		if k == 0 {
			b.qos[q].OutOfOrder += sh.disorder
		}
	}
}

// enter adds one stream to the account of its QoS.
func (b *books) enter(s *subscriber, sm *stream, k int) {
	p := b.r.pubs[s.sources.at(k)]
	if !p.served {
		return
	}
	q := s.deliveryQoS(k)
	a := &b.qos[q]
	b.used[q] = true
	if !b.counted[p.id][q] {
		b.counted[p.id][q] = true
		a.Sent += int64(p.seq.Load())
		a.InDoubt += p.unsure.n - p.denied
	}
	b.settle(a, s, sm, p, q)
}

func (b *books) settle(a *QoS, s *subscriber, sm *stream, p *publisher, q mqtt.QoS) {
	sent := p.seq.Load()
	if s.gaps.Load() != sm.gaps { // nothing came since the Session was lost
		sm.excuse(sent)
	}
	a.Delivered += sm.got
	a.Duplicates += sm.duplicates
	a.DuplicatesDUP += sm.dup
	a.OutOfOrder += sm.disorder
	if p.qos == mqtt.QoS0 || q == mqtt.QoS0 {
		a.Expected += int64(sent)
		a.Lost += max(0, int64(sent)-sm.got)
		return
	}
	a.Expected += int64(sent) - p.unsure.n
	sm.missing(sent, func(seq uint64) bool {
		switch {
		case p.unsure.has(seq):
		case sm.forgiven(seq):
			a.Expected--
		default:
			a.Lost++
			b.r.violations.add(func() Violation { return s.violation("lost", q, p.id, seq) })
		}
		return true
	})
}

// served is how many clients were connected at some time.
func (r *runner) served() (n int) {
	for _, m := range r.members {
		if m.served {
			n++
		}
	}
	return n
}

// rules are all that hold for this run.
func (r *runner) rules() []Rule {
	if r.s.NoDefaultRules {
		return r.s.Rules
	}
	return append(defaultRules(), r.s.Rules...)
}

// scope is what rules are about.
func (r *runner) scope(phase Phase, group string) (t *tally, over time.Duration, target float64) {
	gi := -1
	for _, g := range r.groups {
		if group == "" || g.Name == group {
			target += g.Rate
		}
		if g.Name == group {
			gi = g.index
		}
	}
	if phase == "" {
		t, over = r.total, r.measuredFor
		if gi >= 0 {
			t = r.groups[gi].total
		}
		return t, over, target
	}
	sum := &tally{}
	for _, p := range r.phases {
		if p.step.Name != phase {
			continue
		}
		part := p.all
		if gi >= 0 {
			part = p.groups[gi]
		}
		sum.merge(part)
		to := p.to
		if to == 0 { // it goes on
			to = r.now()
		}
		over += to - p.from
		target *= max(p.step.From, p.step.To)
	}
	return sum, over, target
}

// abortIf ends the run when a rule that says so fails.
func (r *runner) abortIf(p *phaseTally, elapsed time.Duration) {
	for i := range r.s.Rules {
		rule := &r.s.Rules[i]
		if !rule.Abort || elapsed < rule.After || rule.phase != "" && rule.phase != p.step.Name || rule.phase == "" && !p.step.Record {
			continue
		}
		rep := &Report{Connections: Connections{Asked: r.asked, Failed: int(r.failed.Load()), Lost: int(r.lost.Load()), Refused: int(r.refusedAgain.Load())},
			Refused: r.refused.all()}
		if t := rule.evaluate(rep, r.running(p)); !t.OK && !t.Inconclusive {
			r.events.add(r.now(), "abort", "%s: %s", rule.Text, t.Value)
			r.abort(&AbortError{Rule: rule.Text})
			return
		}
	}
}

// running is the runner in the midst of a phase, whose time counts as well.
func (r *runner) running(p *phaseTally) view { return &midst{r, p} }

type midst struct {
	*runner
	p *phaseTally
}

func (m *midst) scope(phase Phase, group string) (t *tally, over time.Duration, target float64) {
	t, over, target = m.runner.scope(phase, group)
	if phase == "" && m.p.step.Record {
		over += m.now() - m.p.from
	}
	return t, over, target
}
