package bench

import (
	"fmt"
	"time"
)

// Ceilings are how many messages a second this machine can publish, by QoS,
// where the Server costs next to nothing; 0: not known.
type Ceilings [3]float64

// of is the ceiling of a mix, of which n messages have each QoS.
func (c Ceilings) of(n [3]float64) float64 {
	var all, took float64
	for q := range n {
		if n[q] == 0 {
			continue
		}
		if c[q] <= 0 {
			return 0
		}
		all += n[q]
		took += n[q] / c[q]
	}
	if took == 0 {
		return 0
	}
	return all / took
}

// ceiling is that of what was sent.
func (r *runner) ceiling() float64 {
	if r.s.InProcess {
		return 0 // the Server takes its part of this process
	}
	var n [3]float64
	for _, p := range r.pubs {
		n[p.qos] += float64(p.seq.Load())
	}
	return r.s.Ceilings.of(n)
}

// The share of the ceiling from where on it is a warning, and a fault: what is
// measured then is this machine.
const (
	ceilingWarning = 0.5
	ceilingFault   = 0.85
)

// checkCeiling holds the highest rate of a phase against the ceiling.
func (rep *Report) checkCeiling(fault, warn func(string, ...any)) {
	g := &rep.Generator
	if g.Ceiling <= 0 {
		return
	}
	rate := rep.Sent.Rate
	for i := range rep.Phases {
		if p := &rep.Phases[i]; p.Recorded && p.To-p.From >= time.Second {
			rate = max(rate, p.Sent.Rate)
		}
	}
	used := rate / g.Ceiling
	c := Check{Name: "share of the rate that this machine was calibrated to", Value: percents(used), Warn: percents(ceilingWarning), Fault: percents(ceilingFault), State: CheckOK}
	text := fmt.Sprintf("%.0f %% of the %.6g messages a second that this machine can send: lower the rate, or use more machines", 100*used, g.Ceiling)
	switch {
	case used > ceilingFault:
		c.State = CheckFault
		fault("%s", text)
	case used > ceilingWarning:
		c.State = CheckWarn
		warn("%s", text)
	}
	g.Checks = append(g.Checks, c)
}
