package bench

import (
	"fmt"
	"slices"
	"time"
)

// The limits of the generator's check.
const (
	// A lag below lagFloor is what timers cost; it is in the latencies anyhow. In
	// one process with the Server, what holds up one holds up the other as well.
	lagFloor          = 10 * time.Millisecond
	lagFloorInProcess = 100 * time.Millisecond
	lagFault          = 0.5 // of the end-to-end 99th percentile
	lagWarning        = 0.1
	cpuFault          = 0.9 // of the cores
	cpuWarning        = 0.75
	missFault         = 0.02 // of the messages, not even tried in time
	// minSamples is what a 90th percentile needs: ten beyond it.
	minSamples = 100
)

// judge fills in the generator's check, the thresholds and the verdict. missed
// of due messages the generator did not get to.
func (rep *Report) judge(missed, due int64, rules []Rule, v view, inconclusiveOK bool) {
	rep.checkGenerator(missed, due)
	rep.conclude(rules, v, inconclusiveOK)
}

// conclude fills in the thresholds and the verdict.
func (rep *Report) conclude(rules []Rule, v view, inconclusiveOK bool) {
	for i := range rules {
		t := rules[i].evaluate(rep, v)
		t.OK = t.OK || t.Inconclusive && inconclusiveOK
		rep.Thresholds = append(rep.Thresholds, t)
	}
	verdicts := []struct {
		v       Verdict
		reasons []string
	}{
		{ContractBroken, rep.brokenContract()},
		{Invalid, rep.Generator.Faults},
		{ThresholdFailed, rep.failedThresholds()},
		{Inconclusive, rep.tooFew(inconclusiveOK)},
	}
	rep.Verdict = Pass
	for _, v := range slices.Backward(verdicts) {
		if len(v.reasons) > 0 {
			rep.Verdict = v.v
			rep.Reasons = append(slices.Clone(v.reasons), rep.Reasons...)
		}
	}
}

func sum(causes []Cause) (n int64) {
	for _, c := range causes {
		n += c.N
	}
	return n
}

func (rep *Report) failedThresholds() []string {
	var reasons []string
	for _, t := range rep.Thresholds {
		if !t.OK && !t.Inconclusive {
			reasons = append(reasons, fmt.Sprintf("%s does not hold: %s", t.Rule, t.Value))
		}
	}
	if rep.Aborted != "" && len(reasons) == 0 { // it held again with what came after
		reasons = append(reasons, rep.Aborted+" did not hold, which ended the run")
	}
	return reasons
}

func (rep *Report) brokenContract() []string {
	c := &rep.Contract
	if !c.Checked || c.Held {
		return nil
	}
	var reasons []string
	add := func(n int64, format string, a ...any) {
		if n > 0 {
			reasons = append(reasons, fmt.Sprintf("%d "+format, append([]any{n}, a...)...))
		}
	}
	for _, q := range c.QoS {
		if q.QoS > 0 {
			add(q.Lost, "messages of QoS %d lost", q.QoS)
		}
		if q.QoS != 1 {
			add(q.Duplicates, "messages of QoS %d delivered more than once", q.QoS)
		}
		add(q.OutOfOrder, "messages of QoS %d out of order", q.QoS)
	}
	add(c.Corrupt, "messages changed on their way")
	add(c.Unexpected, "messages delivered to the wrong subscriber, or never sent")
	return reasons
}

// tooFew says what there are too few samples of, and whether there would have been more.
func (rep *Report) tooFew(allowed bool) []string {
	var reasons []string
	for _, t := range rep.Thresholds {
		if t.Inconclusive && !t.OK {
			reasons = append(reasons, fmt.Sprintf("%s: %d samples are too few to tell", t.Rule, t.N))
		}
	}
	n, what := rep.principal()
	switch {
	case rep.Interrupted && n == 0:
		return append(reasons, "it was interrupted before anything was measured")
	case allowed:
		return reasons
	case rep.Interrupted && rep.Load.Role != RoleSub: // which counts what others send for as long as somebody likes
		reasons = append(reasons, interrupted(rep.Measured))
	}
	if n < minSamples {
		reasons = append(reasons, fmt.Sprintf("%d %s are too few to conclude from, at least %d are needed", n, what, minSamples))
	}
	return reasons
}

// interrupted is why what did hold until then does not pass.
func interrupted(after time.Duration) string {
	return fmt.Sprintf("it was interrupted after %v", after.Round(100*time.Millisecond))
}

// principal is what a run of its role is made for.
func (rep *Report) principal() (n int64, what string) {
	of := func(d *Distribution) int64 {
		if d == nil {
			return 0
		}
		return d.N
	}
	switch rep.Load.Role {
	case RoleConn:
		return of(rep.Latency.Connect), "connections"
	case RoleStorm:
		return of(rep.Latency.Reconnect), "reconnects"
	case RoleRetained:
		return of(rep.Latency.FirstMessage), "first messages"
	case RolePub:
		return rep.Sent.N, "messages sent"
	case RoleSub:
		return rep.Delivered.N, "messages delivered"
	case RoleResume:
		if rep.Resume == nil {
			return 0, "sessions"
		}
		return rep.Resume.Backlog, "messages of the backlog"
	}
	if rep.Load.Tracked && (rep.Load.Subscribers > 0 || rep.Load.Role == "") {
		return of(rep.Latency.E2E), "end-to-end latencies"
	}
	if rep.Load.Publishers == 0 && rep.Load.Role != "" && rep.Load.Role != RolePubSub {
		return of(rep.Latency.Connect), "connections"
	}
	return rep.Sent.N, "messages sent"
}

// checkGenerator decides whether the numbers say something about the Server, or
// about this process.
func (rep *Report) checkGenerator(missed, due int64) {
	g := &rep.Generator
	fault := func(format string, a ...any) { g.Faults = append(g.Faults, fmt.Sprintf(format, a...)) }
	warn := func(format string, a ...any) { g.Warnings = append(g.Warnings, fmt.Sprintf(format, a...)) }
	if d := rep.Latency.E2E; d != nil && d.P99 > 0 && g.LagP99 > 0 {
		share, floor := float64(g.LagP99)/float64(d.P99), lagFloor
		if rep.Target.InProcess {
			floor = lagFloorInProcess
		}
		switch {
		case share > lagFault && g.LagP99 > floor:
			fault("the generator was late by %v at the 99th percentile, %.0f %% of what was measured: lower the rate, or keep other work off this machine",
				g.LagP99.Round(10*time.Microsecond), 100*share)
		case share > lagWarning:
			warn("the generator was late by %v at the 99th percentile, %.0f %% of what was measured",
				g.LagP99.Round(10*time.Microsecond), 100*share)
		}
	}
	if due > 0 && float64(missed) > missFault*float64(due) {
		fault("the generator did not get to %d of %d messages in time: lower the rate", missed, due)
	}
	full := "this process used %.0f %% of the cores"
	switch {
	case g.CPUShare > cpuFault && !rep.Target.InProcess:
		fault(full+": lower the rate, or use more machines", 100*g.CPUShare)
	case g.CPUShare > cpuWarning && rep.Target.InProcess:
		warn(full+", and the server was part of it", 100*g.CPUShare)
	case g.CPUShare > cpuWarning:
		warn(full, 100*g.CPUShare)
	}
	rep.checkCeiling(fault, warn)
	g.Valid = len(g.Faults) == 0
}
