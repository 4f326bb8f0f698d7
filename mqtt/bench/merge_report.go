package bench

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// maxSkew is how far apart the shards of a run may begin before it is said.
const maxSkew = time.Second

// MergeReports makes one Report of those of all shards of a run: what one
// process would have reported. Histograms and accounts are added, rates are
// those of the longest measurement, and the thresholds are held against the
// sum. inconclusiveOK is as in [Plan].
//
// The errors are reports of different runs, and shards that are missing: a
// result of a part of the load is none.
func MergeReports(shards []*Report, inconclusiveOK bool) (*Report, error) {
	shards = slices.Clone(shards)
	if err := checkShards(shards); err != nil {
		return nil, err
	}
	slices.SortFunc(shards, func(a, b *Report) int { return cmp.Compare(a.Shard.Index, b.Shard.Index) })
	m := &merging{shards: shards}
	first := shards[0]
	m.rep = &Report{
		Version: ReportVersion, Tool: first.Tool, Name: first.Name, RunID: first.RunID, Seed: first.Seed, Target: first.Target,
		Environment: first.Environment, Load: first.Load, ConfigHash: first.ConfigHash, Started: first.Started, Broker: first.Broker,
	}
	for _, s := range shards {
		m.add(s)
	}
	m.traffic()
	m.seconds()
	m.phasesAndGroups()
	m.generator()
	m.contract()
	if m.err != nil {
		return nil, m.err
	}
	rules, err := rulesOf(first)
	if err != nil {
		return nil, err
	}
	m.rep.conclude(rules, &savedView{m.rep}, inconclusiveOK)
	return m.rep, nil
}

func checkShards(shards []*Report) error {
	if len(shards) == 0 {
		return errors.New("bench: nothing to merge")
	}
	seen := make(map[int]bool)
	for _, s := range shards {
		first := shards[0]
		switch {
		case s.Shard == nil:
			return fmt.Errorf("bench: run %s is no shard: it was run without --shard", s.RunID)
		case s.RunID != first.RunID || s.ConfigHash != first.ConfigHash:
			return fmt.Errorf("bench: shard %d is of run %s with load %s, shard %d of run %s with load %s",
				s.Shard.Index, s.RunID, s.ConfigHash, first.Shard.Index, first.RunID, first.ConfigHash)
		case s.Shard.Count != first.Shard.Count:
			return fmt.Errorf("bench: shard %d is one of %d, shard %d one of %d", s.Shard.Index, s.Shard.Count, first.Shard.Index, first.Shard.Count)
		case seen[s.Shard.Index]:
			return fmt.Errorf("bench: shard %d is there twice", s.Shard.Index)
		case s.Sweep != nil:
			return errors.New("bench: sweeps cannot be merged: each shard has searched by itself")
		}
		seen[s.Shard.Index] = true
	}
	for i := range shards[0].Shard.Count {
		if !seen[i] {
			return fmt.Errorf("bench: shard %d of %d is missing", i, shards[0].Shard.Count)
		}
	}
	return nil
}

// rulesOf are the thresholds of a report.
func rulesOf(rep *Report) ([]Rule, error) {
	var rules []Rule
	for _, t := range rep.Thresholds {
		r, err := ParseRule(t.Rule)
		if err != nil {
			return nil, err
		}
		r.standby = t.Default
		rules = append(rules, r)
	}
	return rules, nil
}

// merging adds up; the first error stays.
type merging struct {
	shards []*Report
	rep    *Report
	err    error
}

// add adds the numbers of a shard.
func (m *merging) add(s *Report) {
	rep, c := m.rep, &s.Connections
	if s.Started.Before(rep.Started) {
		rep.Started = s.Started
	}
	rep.Interrupted = rep.Interrupted || s.Interrupted
	rep.Aborted = cmp.Or(rep.Aborted, s.Aborted)
	rep.Measured, rep.Drained = max(rep.Measured, s.Measured), max(rep.Drained, s.Drained)
	rep.Unsent += s.Unsent
	rep.Refused = addCauses(rep.Refused, s.Refused)
	all := &rep.Connections
	all.Asked += c.Asked
	all.Connected += c.Connected
	all.Failed += c.Failed
	all.Failures = addCauses(all.Failures, c.Failures)
	all.Lost += c.Lost
	all.Losses = addCauses(all.Losses, c.Losses)
	all.Reconnected += c.Reconnected
	all.Refused += c.Refused
	all.Cut += c.Cut
	all.Took = max(all.Took, c.Took)
	if r := s.Resume; r != nil {
		if rep.Resume == nil {
			rep.Resume = &Resume{}
		}
		sum := rep.Resume
		sum.Sessions += r.Sessions
		sum.Present += r.Present
		sum.Absent += r.Absent
		sum.Backlog += r.Backlog
		sum.Recovered += r.Recovered
		sum.Took = max(sum.Took, r.Took)
		sum.Rate = perSecond(float64(sum.Recovered), sum.Took)
	}
	for _, e := range s.Events {
		if e.Kind != "phase" || s == m.shards[0] {
			rep.Events = append(rep.Events, Event{At: e.At, Kind: e.Kind, Text: e.Text})
		}
	}
}

func addCauses(all, more []Cause) []Cause {
	all = slices.Clone(all)
	for _, c := range more {
		i := slices.IndexFunc(all, func(k Cause) bool { return k.Text == c.Text })
		if i < 0 {
			all = append(all, c)
		} else {
			all[i].N += c.N
		}
	}
	slices.SortStableFunc(all, func(a, b Cause) int { return cmp.Compare(b.N, a.N) })
	return all
}

// traffic adds counts and latencies of the whole.
func (m *merging) traffic() {
	var all []Traffic
	for _, s := range m.shards {
		all = append(all, Traffic{s.Sent, s.Acked, s.Delivered, s.Latency})
	}
	t := m.sum(all, m.rep.Measured)
	m.rep.Sent, m.rep.Acked, m.rep.Delivered, m.rep.Latency = t.Sent, t.Acked, t.Delivered, t.Latency
}

// sum adds traffic that took as long as over.
func (m *merging) sum(all []Traffic, over time.Duration) Traffic {
	var t Traffic
	latencies := make([][]*Distribution, numFields)
	for i := range all {
		for _, c := range []struct{ sum, more *Count }{{&t.Sent, &all[i].Sent}, {&t.Acked, &all[i].Acked}, {&t.Delivered, &all[i].Delivered}} {
			c.sum.N += c.more.N
			c.sum.Bytes += c.more.Bytes
			c.sum.Rate = perSecond(float64(c.sum.N), over)
		}
		for k, d := range all[i].Latency.fields() {
			latencies[k] = append(latencies[k], *d)
		}
	}
	for k, d := range t.Latency.fields() {
		*d = m.distribution(latencies[k])
	}
	return t
}

func (m *merging) distribution(all []*Distribution) *Distribution {
	d, err := MergeDistributions(all...)
	if m.err == nil {
		m.err = err
	}
	return d
}

// numFields is how many distributions a Latency has.
const numFields = 15

// fields are all distributions, also those that are nil.
func (l *Latency) fields() [numFields]**Distribution {
	return [numFields]**Distribution{
		&l.Connect, &l.ConnectDial, &l.ConnectConnack, &l.Reconnect, &l.SubAck, &l.FirstMessage, &l.PubAck, &l.PubRec, &l.PubComp,
		&l.E2E, &l.E2EQoS0, &l.E2EQoS1, &l.E2EQoS2, &l.E2EService, &l.Lag,
	}
}

// seconds adds the seconds at the same place of the measurement: those that end
// nearest to the same whole one.
func (m *merging) seconds() {
	at := make(map[int]*Second)
	blobs := make(map[int]map[string][]*Distribution)
	var order []int
	for _, s := range m.shards {
		for i := range s.Seconds {
			k := int(math.Round(s.Seconds[i].At.Seconds() + 0.25)) // short ones belong to the next
			if at[k] == nil {
				at[k], blobs[k] = &Second{Phase: s.Seconds[i].Phase}, make(map[string][]*Distribution)
				order = append(order, k)
			}
			at[k].add(&s.Seconds[i])
			for name, b := range s.Seconds[i].HDR {
				blobs[k][name] = append(blobs[k][name], &Distribution{HDR: b})
			}
		}
	}
	slices.Sort(order)
	for _, k := range order {
		s := at[k]
		s.Connected = m.connectedAt(k)
		if len(blobs[k]) > 0 {
			s.HDR = make(map[string]string)
		}
		for name, all := range blobs[k] {
			d := m.distribution(all)
			if d == nil {
				continue
			}
			s.HDR[name] = d.HDR
			switch name {
			case "e2e":
				s.E2EN, s.E2EP50, s.E2EP99, s.E2EMax = d.N, d.P50, d.P99, d.Max
			case "lag":
				s.LagP99 = d.P99
			}
		}
		if acks := slices.Concat(blobs[k]["pub_ack"], blobs[k]["pub_comp"]); len(acks) > 0 {
			if d := m.distribution(acks); d != nil {
				s.AckP99 = d.P99
			}
		}
		m.rep.Seconds = append(m.rep.Seconds, *s)
	}
}

// connectedAt adds the connections of all shards, each at its last second until
// then.
func (m *merging) connectedAt(k int) (n int) {
	for _, s := range m.shards {
		last := 0
		for i := range s.Seconds {
			if i == 0 || s.Seconds[i].At.Seconds() < float64(k)+0.25 {
				last = s.Seconds[i].Connected
			}
		}
		n += last
	}
	return n
}

func (s *Second) add(o *Second) {
	s.At, s.Duration = max(s.At, o.At), max(s.Duration, o.Duration)
	s.Sent += o.Sent
	s.Acked += o.Acked
	s.Delivered += o.Delivered
	s.Lost += o.Lost
	s.CPU += o.CPU
}

func (m *merging) phasesAndGroups() {
	for i, p := range m.shards[0].Phases {
		var all []Traffic
		p.Target = 0
		for _, s := range m.shards {
			if i >= len(s.Phases) || s.Phases[i].Name != p.Name {
				continue // it was cut short
			}
			o := &s.Phases[i]
			p.To = max(p.To, p.From+o.To-o.From)
			p.Target += o.Target
			all = append(all, o.Traffic)
		}
		p.Traffic = m.sum(all, p.To-p.From)
		p.Groups = m.groupsOf(i, &p)
		m.rep.Phases = append(m.rep.Phases, p)
	}
	for i, g := range m.shards[0].Groups {
		all := []Traffic{g.Traffic}
		for _, s := range m.shards[1:] {
			if i >= len(s.Groups) || s.Groups[i].Name != g.Name {
				m.err = fmt.Errorf("bench: shard %d has no group %q", s.Shard.Index, g.Name)
				return
			}
			o := &s.Groups[i]
			g.Clients += o.Clients
			g.Connected += o.Connected
			g.Failed += o.Failed
			g.Lost += o.Lost
			g.Target += o.Target
			all = append(all, o.Traffic)
		}
		g.Traffic = m.sum(all, m.rep.Measured)
		m.rep.Groups = append(m.rep.Groups, g)
	}
}

// groupsOf adds what each group did in phase i.
func (m *merging) groupsOf(i int, p *PhaseResult) []Traffic {
	var sums []Traffic
	for k := range p.Groups {
		var all []Traffic
		for _, s := range m.shards {
			if i < len(s.Phases) && s.Phases[i].Name == p.Name && k < len(s.Phases[i].Groups) {
				all = append(all, s.Phases[i].Groups[k])
			}
		}
		sums = append(sums, m.sum(all, p.To-p.From))
	}
	return sums
}

// generator is valid if all are.
func (m *merging) generator() {
	g := &m.rep.Generator
	g.Valid = true
	var due, sent float64
	hosts := make(map[string]*host)
	for _, s := range m.shards {
		o := &s.Generator
		m.host(hosts, s)
		g.Valid = g.Valid && o.Valid
		name := func(text string) string { return fmt.Sprintf("shard %d: %s", s.Shard.Index, text) }
		for _, f := range o.Faults {
			g.Faults = append(g.Faults, name(f))
		}
		for _, w := range o.Warnings {
			g.Warnings = append(g.Warnings, name(w))
		}
		for _, c := range o.Checks {
			c.Name = name(c.Name)
			g.Checks = append(g.Checks, c)
		}
		g.CPU += o.CPU
		if o.Achieved > 0 {
			due += float64(s.Sent.N) / o.Achieved
			sent += float64(s.Sent.N)
		}
		if skew := s.measureBegan().Sub(m.shards[0].measureBegan()); skew.Abs() > maxSkew {
			g.Warnings = append(g.Warnings, name(fmt.Sprintf("its measurement began %v apart from that of shard %d: use --start-at",
				skew.Abs().Round(time.Millisecond), m.shards[0].Shard.Index)))
		}
	}
	m.hosts(hosts)
	if due > 0 {
		g.Achieved = sent / due
	}
	if d := m.rep.Latency.Lag; d != nil {
		g.LagP99 = d.P99
	}
}

// measureBegan is when the first recorded phase began.
func (rep *Report) measureBegan() time.Time {
	for i := range rep.Phases {
		if rep.Phases[i].Recorded {
			return rep.Started.Add(rep.Phases[i].From)
		}
	}
	return rep.Started
}

// contract adds the accounts.
func (m *merging) contract() {
	c := &m.rep.Contract
	c.Checked, c.Held = true, true
	var levels [3]QoS
	var used [3]bool
	for _, s := range m.shards {
		o := &s.Contract
		c.Checked = c.Checked && o.Checked
		c.Held = c.Held && o.Held
		c.Corrupt += o.Corrupt
		c.Unexpected += o.Unexpected
		c.Strange += o.Strange
		for _, v := range o.Violations {
			if len(c.Violations) < maxViolations {
				c.Violations = append(c.Violations, v)
			}
		}
		for _, q := range o.QoS {
			if q.QoS >= 0 && q.QoS < len(levels) {
				levels[q.QoS].add(&q, !used[q.QoS])
				used[q.QoS] = true
			}
		}
	}
	if !c.Checked {
		c.Held = false
	}
	for q := range levels {
		if used[q] {
			c.QoS = append(c.QoS, levels[q])
		}
	}
}

func (q *QoS) add(o *QoS, first bool) {
	q.QoS = o.QoS
	q.Held = o.Held && (first || q.Held)
	q.Sent += o.Sent
	q.Expected += o.Expected
	q.Delivered += o.Delivered
	q.Lost += o.Lost
	q.Duplicates += o.Duplicates
	q.DuplicatesDUP += o.DuplicatesDUP
	q.OutOfOrder += o.OutOfOrder
	q.InDoubt += o.InDoubt
	if q.Expected > 0 {
		q.LossRatio = float64(q.Lost) / float64(q.Expected)
	}
}

// savedView is what rules are held against when the run is over and its Report
// is all there is.
type savedView struct{ rep *Report }

func (v *savedView) scope(phase Phase, group string) (t *tally, over time.Duration, target float64) {
	rep, at := v.rep, -1
	for i := range rep.Groups {
		g := &rep.Groups[i]
		if group == "" || g.Name == group {
			target += g.Target
		}
		if g.Name == group {
			at = i
		}
	}
	if group != "" && at < 0 {
		return nil, 0, 0
	}
	all := []*Traffic{{rep.Sent, rep.Acked, rep.Delivered, rep.Latency}}
	over = rep.Measured
	switch {
	case phase != "":
		all, over, target = v.phase(phase, at, target)
	case at >= 0:
		all[0] = &rep.Groups[at].Traffic
	}
	if len(all) == 0 {
		return nil, 0, 0
	}
	sum := &tally{}
	for _, part := range all {
		one, err := part.tally()
		if err != nil {
			return nil, 0, 0
		}
		sum.merge(one)
	}
	return sum, over, target
}

// phase is what happened in all phases of a name, of one group if that is not
// below 0.
func (v *savedView) phase(name Phase, group int, target float64) (all []*Traffic, over time.Duration, _ float64) {
	rates := v.rep.Load.Rate // of all groups, without the phase's factor
	for i := range v.rep.Phases {
		p := &v.rep.Phases[i]
		switch {
		case p.Name != name:
			continue
		case group < 0:
			all, target = append(all, &p.Traffic), p.Target
		case group < len(p.Groups):
			all = append(all, &p.Groups[group])
			if rates > 0 {
				target *= p.Target / rates
			}
		default:
			return nil, 0, 0 // nobody has kept that
		}
		over += p.To - p.From
	}
	return all, over, target
}

// tally is the traffic as it was counted.
func (t *Traffic) tally() (*tally, error) {
	all := &tally{}
	all.sent, all.sentBytes = t.Sent.N, t.Sent.Bytes
	all.acked, all.ackedBytes = t.Acked.N, t.Acked.Bytes
	all.delivered, all.deliveredBytes = t.Delivered.N, t.Delivered.Bytes
	l := &t.Latency
	for m, d := range map[metric]*Distribution{
		connect: l.Connect, connectDial: l.ConnectDial, connectConnack: l.ConnectConnack, reconnect: l.Reconnect, subAck: l.SubAck,
		firstMessage: l.FirstMessage, pubAck: l.PubAck, pubRec: l.PubRec, pubComp: l.PubComp, endToEnd0: l.E2EQoS0, endToEnd1: l.E2EQoS1,
		endToEnd2: l.E2EQoS2, service: l.E2EService, lag: l.Lag,
	} {
		if d == nil {
			continue
		}
		h, err := d.Histogram()
		if err != nil {
			return nil, err
		}
		all.latency[m], all.clamped[m] = h, d.Clamped
	}
	return all, nil
}
