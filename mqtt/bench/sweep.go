package bench

import (
	"context"
	"fmt"
	"time"
)

// Search is how [RunSweep] looks for the highest rate.
type Search struct {
	From float64 // the first rate; default 1000
	Most float64 // the highest that is tried; default 1e6
	// Exact ends the search when the rate is known to this share. Default 0.1.
	Exact float64
}

// The thresholds of a sweep that has none: what is sent keeps up, and so do the
// deliveries.
func sweepRules(own []Rule) ([]Rule, error) {
	texts := []string{"sent.rate >= target * 0.98"}
	if len(own) == 0 {
		texts = append(texts, "e2e.p99 < 100ms")
	}
	rules := append([]Rule(nil), own...)
	for _, text := range texts {
		r, err := ParseRule(text)
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// RunSweep looks for the highest rate at which s holds its thresholds: it
// doubles the rate until one fails, and then halves the gap between the highest
// that held and the lowest that did not. Each rate is a run of its own. The
// Report is that of the highest rate that held, or of the last one if none did.
func RunSweep(ctx context.Context, s Scenario, how Search, progress func(Snapshot)) (*Report, error) {
	if how.From <= 0 {
		how.From = 1000
	}
	if how.Most <= 0 {
		how.Most = 1e6
	}
	if how.Exact <= 0 {
		how.Exact = 0.1
	}
	var err error
	if s.Rules, err = sweepRules(s.Rules); err != nil {
		return nil, err
	}
	s.Max, s.RatePerClient = false, 0
	sweep := &Sweep{}
	var best, last *Report
	for rate := min(how.From, how.Most); ctx.Err() == nil; {
		s.Rate = rate
		if last, err = Run(ctx, s, progress); err != nil {
			return nil, err
		}
		if last.Interrupted {
			break
		}
		sweep.add(rate, last)
		if last.Verdict == Pass {
			best = last
		}
		var more bool
		if rate, more = sweep.next(how); !more {
			break
		}
		pause(ctx) // what the last rate has left behind
	}
	return sweep.report(best, last), nil
}

// pause is between two rates.
func pause(ctx context.Context) { sleep(ctx, 200*time.Millisecond) }

func (w *Sweep) add(rate float64, r *Report) {
	p := SweepPoint{Rate: rate, Sent: r.Sent.Rate, Delivered: r.Delivered.Rate, Verdict: r.Verdict, Reasons: r.Reasons}
	if d := r.Latency.E2E; d != nil {
		p.E2EP50, p.E2EP99, p.N = d.P50, d.P99, d.N
	}
	w.Points = append(w.Points, p)
	switch {
	case r.Verdict == Pass:
		w.Highest = max(w.Highest, rate)
	case w.Knee == 0 || rate < w.Knee:
		w.Knee = rate
	}
}

// next is the rate to try, false when the search is over.
func (w *Sweep) next(how Search) (float64, bool) {
	switch {
	case w.Knee == 0 && w.Highest >= how.Most:
		return 0, false
	case w.Knee == 0:
		return min(w.Highest*2, how.Most), true
	case w.Highest == 0 && w.Knee < how.From/64:
		return 0, false
	case w.Highest == 0:
		return w.Knee / 4, true
	case w.Knee-w.Highest <= how.Exact*w.Highest:
		return 0, false
	}
	return (w.Highest + w.Knee) / 2, true
}

func (w *Sweep) report(best, last *Report) *Report {
	rep := best
	if rep == nil {
		rep = last
	}
	if rep == nil {
		return &Report{Version: ReportVersion, Verdict: Inconclusive, Interrupted: true, Reasons: []string{"it was interrupted before anything was measured"}}
	}
	rep.Sweep, rep.Load.Role = w, RoleSweep
	if rep.Interrupted = last.Interrupted; rep.Interrupted && rep.Verdict == Pass {
		rep.Verdict, rep.Reasons = Inconclusive, append(rep.Reasons, "it was interrupted before the highest rate was found")
	}
	// At the knee the generator may have been what failed: then the Server can do
	// more.
	for _, p := range w.Points {
		if p.Rate == w.Knee && p.Verdict == Invalid {
			rep.Generator.Warnings = append(rep.Generator.Warnings,
				fmt.Sprintf("at %.6g/s the generator was what failed: the server may be able to do more", w.Knee))
		}
	}
	return rep
}
