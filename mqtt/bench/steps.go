package bench

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// step does one step.
func (r *runner) step(ctx context.Context, s *Step) error {
	p := &phaseTally{step: s, from: r.now(), all: &tally{}}
	for range r.groups {
		p.groups = append(p.groups, &tally{})
	}
	var before *phaseTally
	if n := len(r.phases); n > 0 {
		before = r.phases[n-1]
	}
	r.gather(before, r.kindOf(s)) // what came between two phases belongs to the first
	r.phases = append(r.phases, p)
	r.events.add(p.from, "phase", "%s", s.Name)
	if s.Record && r.measureFrom.Load() == 0 {
		r.beginMeasuring()
	}
	err := r.do(ctx, p)
	p.to = r.now()
	switch {
	case !s.Record || s.Do == DoDrain || s.Do == DoResume: // nothing is sent
	case s.Do == DoLoad || s.Do == DoHold: // the pacer's overtime is no time to send in
		r.measuredFor += min(p.to-p.from, s.For)
	default:
		r.measuredFor += p.to - p.from
	}
	if r.measureFrom.Load() > 0 {
		r.cpuAll = r.check.used()
		r.check.end()
		r.cost.end(r.s.Watch)
	}
	return err
}

func (r *runner) do(ctx context.Context, p *phaseTally) error {
	switch p.step.Do {
	case DoConnect:
		return r.connectStep(ctx, p)
	case DoResume:
		return r.resumeStep(ctx, p)
	case DoSubscribe:
		return r.subscribeStep(ctx, p)
	case DoProbe:
		return r.probeStep(ctx, p)
	case DoRetain:
		return r.retainStep(ctx, p)
	case DoDisconnect:
		r.during(p, probe, func() { r.goodbye(p.step, false) })
	case DoHold:
		r.loadStep(ctx, p, false)
	case DoDrain:
		r.drain(ctx, p)
	default:
		r.loadStep(ctx, p, true)
	}
	return nil
}

// kindOf is which messages count in a step: in those that are not recorded the
// ones that are not in the ledger.
func (r *runner) kindOf(s *Step) kind {
	switch {
	case s.Record || s.Do == DoDrain:
		return measured
	case s.Do == DoLoad || s.Do == DoHold:
		return warmUp
	}
	return probe
}

// beginMeasuring starts the clocks of the result.
func (r *runner) beginMeasuring() {
	r.measureFrom.Store(int64(r.now()))
	r.check.begin()
	r.lastLost = r.lost.Load()
	r.cost.begin(r.s.Watch)
}

// members of the groups of a step: who reads comes first.
func (r *runner) membersOf(s *Step) []*member {
	var all []*member
	for _, role := range []Role{RoleSub, RoleConn, RolePub} {
		r.eachGroup(s, func(g *group) {
			if g.Role == role {
				all = append(all, g.members...)
			}
		})
	}
	return all
}

// connectStep connects clients.
func (r *runner) connectStep(ctx context.Context, p *phaseTally) error {
	r.cost.idle(r.s.Watch)
	members := slices.DeleteFunc(r.membersOf(p.step), func(m *member) bool { return m.c != nil })
	r.asked += len(members)
	from := r.now()
	cause := r.connectAll(ctx, p, members)
	r.connectTook += r.now() - from
	r.cost.connected(r.s.Watch, int(r.connected.Load()))
	if err := ctx.Err(); err != nil {
		return err
	}
	missing := false
	r.eachGroup(p.step, func(g *group) {
		missing = missing || !slices.ContainsFunc(g.members, func(m *member) bool { return m.c != nil })
	})
	if missing {
		return cause
	}
	r.enlist()
	if len(members) >= manyClients {
		debug.FreeOSMemory() // what connecting has left would take as much room as the clients
	}
	return nil
}

// manyClients are so many that connecting them leaves much behind.
const manyClients = 1000

// connectAll returns the first cause of failure.
func (r *runner) connectAll(ctx context.Context, p *phaseTally, members []*member) error {
	causes := make(chan error, 1)
	r.during(p, r.kindOf(p.step), func() {
		r.each(ctx, len(members), r.s.Connecting, r.s.ConnectRate, func(i int, due time.Duration) {
			m := members[i]
			err := m.connect(ctx, due)
			if err == nil || ctx.Err() != nil {
				return
			}
			r.failed.Add(1)
			m.g.failed.Add(1)
			r.failures.add(err)
			r.starved.add(err)
			select {
			case causes <- err:
			default:
			}
		})
	})
	select {
	case err := <-causes:
		return err
	default:
		return nil
	}
}

// enlist hands the publishers that are connected to their shards.
func (r *runner) enlist() {
	for _, sh := range r.shards {
		for gi := range sh.pubs {
			sh.pubs[gi] = sh.pubs[gi][:0]
		}
	}
	for gi, g := range r.groups {
		for _, p := range g.pubs {
			if p.c != nil {
				p.shard.pubs[gi] = append(p.shard.pubs[gi], p)
				p.window = min(max(g.InFlight, 1), int(p.c.Connack().Properties.NumberOr(mqtt.ReceiveMaximum, 65535)))
			}
		}
	}
	for _, m := range r.members {
		if m.c != nil {
			r.protocol = m.c.Version()
			break
		}
	}
}

// resumeStep connects again who has said goodbye.
func (r *runner) resumeStep(ctx context.Context, p *phaseTally) error {
	members := slices.DeleteFunc(r.membersOf(p.step), func(m *member) bool { return !m.resumes })
	before := r.backlog()
	from := r.now()
	cause := r.connectAll(ctx, p, members)
	for _, m := range members {
		if m.c == nil {
			continue
		}
		r.sessions.Sessions++
		if m.c.SessionPresent() {
			r.sessions.Present++
		} else {
			r.sessions.Absent++
		}
	}
	r.enlist()
	r.during(p, measured, func() { r.waitQuiet(ctx, p.step.For, p.step.Quiet) })
	left := r.backlog()
	r.sessions.Backlog += before
	r.sessions.Recovered += before - left
	r.sessions.Took += max(r.lastArrival()-from, 0)
	r.sessions.Rate = perSecond(float64(r.sessions.Recovered), r.sessions.Took)
	if r.sessions.Present+r.sessions.Absent == 0 {
		return cause
	}
	return ctx.Err()
}

// backlog is what was sent and is not delivered, at QoS 1 and 2.
func (r *runner) backlog() int64 {
	var n int64
	for _, s := range r.subs {
		for k := range s.streams {
			if p := r.pubs[s.sources.at(k)]; s.deliveryQoS(k) > 0 && p.c != nil {
				n += int64(p.seq.Load()) - s.streams[k].got
			}
		}
	}
	return max(n, 0)
}

// lastArrival is when something came last, to a tenth of the time waited since.
func (r *runner) lastArrival() time.Duration { return time.Duration(r.quietSince.Load()) }

// subscribeStep subscribes all subscribers that are connected.
func (r *runner) subscribeStep(ctx context.Context, p *phaseTally) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var subs []*subscriber
	r.eachGroup(p.step, func(g *group) { subs = append(subs, g.subs...) })
	r.during(p, r.kindOf(p.step), func() {
		r.each(ctx, len(subs), r.s.Connecting, 0, func(j int, due time.Duration) {
			if err := r.subscribeOne(ctx, subs[j], due); err != nil {
				cancel(err)
			}
		})
		if p.step.For > 0 { // for what is retained
			r.waitQuiet(ctx, p.step.For, p.step.Quiet)
		}
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(subs) > 0 && !slices.ContainsFunc(subs, func(s *subscriber) bool { return s.active }) {
		return fmt.Errorf("bench: no subscriber is left: %w", client.ErrConnectionLost)
	}
	return nil
}

// retainStep lets each publisher send the message that is retained, and waits
// for its acknowledgement.
func (r *runner) retainStep(ctx context.Context, p *phaseTally) error {
	var pubs []*publisher
	r.eachGroup(p.step, func(g *group) { pubs = append(pubs, g.pubs...) })
	var first error
	r.during(p, probe, func() {
		r.each(ctx, len(pubs), r.s.Connecting, 0, func(i int, _ time.Duration) {
			if err := pubs[i].retainOne(ctx); err != nil {
				r.refused.add(err)
				first = err // any of them
			}
		})
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if n := sum(r.refused.all()); n == int64(len(pubs)) {
		return first
	}
	return nil
}

// loadStep drives the publishers for a time, or just waits.
func (r *runner) loadStep(ctx context.Context, p *phaseTally, load bool) {
	s := p.step
	start := r.now() + time.Millisecond
	p.from = start
	k := r.kindOf(s)
	if s.Record && r.measuredFor == 0 {
		r.measureFrom.Store(int64(start))
	}
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	r.during(p, k, func() {
		stop := r.act(within, s, start)
		defer stop()
		if !load {
			sleep(ctx, start+s.For-r.now())
			return
		}
		loads := r.loads(s, start)
		r.inParallel(func(sh *shard) { sh.run(ctx, k, loads) })
		if end := start + s.For; len(s.Actions) > 0 && r.now() < end {
			sleep(ctx, end-r.now())
		}
	})
	if k == warmUp && r.s.NoTracking { // they cannot be told from those that count
		r.during(p, k, func() { r.waitQuiet(ctx, DefaultDrain, s.Quiet) })
	}
}

// settled is how long nothing must have come for a drain that has everything:
// time for a duplicate.
const settled = 100 * time.Millisecond

// drain waits for what is under way.
func (r *runner) drain(ctx context.Context, p *phaseTally) {
	from := r.now()
	if p.step.For > 0 {
		r.during(p, measured, func() { r.waitQuiet(context.WithoutCancel(ctx), p.step.For, p.step.Quiet) })
	}
	r.drainedFor += r.now() - from
}

// waitQuiet returns when nothing more comes.
func (r *runner) waitQuiet(ctx context.Context, limit, quietFor time.Duration) {
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
			r.quietSince.Store(int64(now))
		}
		quiet := now - since
		complete := c.answered >= c.awaited && (c.first >= expected || r.s.NoTracking)
		if complete && quiet >= settled || quiet >= quietFor {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// probeTimeout bounds the wait for the first messages, which are sent again
// each probeEvery.
const (
	probeTimeout = 10 * time.Second
	probeEvery   = time.Second
)

// probeStep waits until a message of each publisher has reached each
// subscription that matches it.
func (r *runner) probeStep(ctx context.Context, p *phaseTally) error {
	if r.s.NoTracking {
		return nil
	}
	missing := 0
	for _, s := range r.subs {
		for k := range s.sources.n {
			if p := r.pubs[s.sources.at(k)]; s.active && p.c != nil && (s.share == nil || s.share.members[0] == s) {
				missing++
				p.fanOut.Add(1)
			}
		}
	}
	r.unprobed.Add(int64(missing))
	if missing == 0 {
		return ctx.Err()
	}
	within, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	r.during(p, probe, func() { r.sendProbes(within) })
	if err := ctx.Err(); err != nil {
		return err
	}
	if left := r.unprobed.Load(); left > 0 {
		return &ProbeError{Missing: int(left), Of: missing, Waited: probeTimeout}
	}
	return nil
}

func (r *runner) sendProbes(ctx context.Context) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		var b client.Batch
		for i, p := range r.pubs {
			if p.c != nil {
				_ = p.publish(&b, probe, 0, 0) // what fails is tried again
			}
			if i%turnSize == turnSize-1 {
				b.Flush()
			}
		}
		b.Flush()
		select {
		case <-r.allSeen:
			return
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// probed is called for the first probe of each stream.
func (r *runner) probed() {
	if r.unprobed.Add(-1) == 0 {
		close(r.allSeen)
	}
}
