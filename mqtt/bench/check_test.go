package bench

import (
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"
)

// watchedFor is a checker that saw something for ten seconds.
func watchedFor(change func(from, to *watched, c *checker)) *checker {
	start := time.Now()
	buckets := []float64{0, 0.0005, 0.005, 0.05, 0.5}
	c := &checker{seconds: 10}
	c.from = watched{at: start, pauses: &metrics.Float64Histogram{Counts: make([]uint64, 4), Buckets: buckets}, waits: &metrics.Float64Histogram{Counts: make([]uint64, 4), Buckets: buckets}}
	c.to = watched{at: start.Add(10 * time.Second),
		pauses: &metrics.Float64Histogram{Counts: []uint64{100, 0, 0, 0}, Buckets: buckets},
		waits:  &metrics.Float64Histogram{Counts: []uint64{1000, 0, 0, 0}, Buckets: buckets}}
	c.from.host.periods, c.to.host.periods = 100, 200
	c.from.host.ticks, c.to.host.ticks = 1000, 2000
	if change != nil {
		change(&c.from, &c.to, c)
	}
	return c
}

// Each signal has its warning and its fault.
func TestGeneratorSignals(t *testing.T) {
	cores := float64(runtime.GOMAXPROCS(0))
	for _, tt := range []struct {
		name   string
		change func(from, to *watched, c *checker)
		state  CheckState
		want   string
	}{
		{"quiet", nil, CheckOK, ""},
		{"gc", func(_, to *watched, _ *checker) { to.gc = 0.5 * cores }, CheckWarn, "share of the cores 5 %"},
		{"gc much", func(_, to *watched, _ *checker) { to.gc = 2 * cores }, CheckFault, "share of the cores 20 %"},
		{"pause", func(_, to *watched, _ *checker) { to.pauses.Counts[1] = 1 }, CheckWarn, "longest pause 5ms"},
		{"long pause", func(_, to *watched, _ *checker) { to.pauses.Counts[2] = 1 }, CheckFault, "longest pause 50ms"},
		{"few waits", func(_, to *watched, _ *checker) { to.waits.Counts[2] = 9 }, CheckOK, ""},
		{"waits", func(_, to *watched, _ *checker) { to.waits.Counts[1] = 20 }, CheckWarn, "scheduler p99 5ms"},
		{"long waits", func(_, to *watched, _ *checker) { to.waits.Counts[2] = 20 }, CheckFault, "scheduler p99 50ms"},
		{"one full second", func(_, _ *watched, c *checker) { c.seconds, c.full = 50, 1 }, CheckWarn, "cores used 2 %"},
		{"full", func(_, _ *watched, c *checker) { c.full = 1 }, CheckFault, "cores used 10 %"},
		{"throttled", func(_, to *watched, _ *checker) { to.host.throttled = 1 }, CheckWarn, "limit cut short 1 %"},
		{"throttled much", func(_, to *watched, _ *checker) { to.host.throttled = 5 }, CheckFault, "limit cut short 5 %"},
		{"stolen", func(_, to *watched, _ *checker) { to.host.steal = 50 }, CheckWarn, "took away 5 %"},
		{"stolen much", func(_, to *watched, _ *checker) { to.host.steal = 200 }, CheckFault, "took away 20 %"},
		{"sent again", func(_, to *watched, _ *checker) { to.host.retransmits = 3 }, CheckWarn, "sent again 3"},
		{"dropped", func(_, to *watched, _ *checker) { to.host.overflows = 2 }, CheckWarn, "dropped 2"},
	} {
		for _, own := range []bool{false, true} {
			rep := &Report{Target: Target{InProcess: own}}
			watchedFor(tt.change).report(rep, &tally{})
			want := tt.state
			if own && want == CheckFault { // the Server may have been it
				want = CheckWarn
			}
			faults, warnings := strings.Join(rep.Generator.Faults, "; "), strings.Join(rep.Generator.Warnings, "; ")
			if (faults != "") != (want == CheckFault) || want == CheckWarn && !strings.Contains(warnings, tt.want) ||
				want == CheckFault && !strings.Contains(faults, tt.want) || want == CheckOK && warnings != "" {
				t.Errorf("%s, in process %v: faults %q, warnings %q; want %s %q", tt.name, own, faults, warnings, want, tt.want)
			}
			if want != CheckOK && !slices.ContainsFunc(rep.Generator.Checks, func(k Check) bool { return k.State == want }) {
				t.Errorf("%s: %+v", tt.name, rep.Generator.Checks)
			}
		}
	}
	late := &tally{}
	late.record(lag, 2*time.Hour)
	rep := &Report{}
	watchedFor(nil).report(rep, late)
	if len(rep.Generator.Faults) != 1 || !strings.Contains(rep.Generator.Faults[0], "above the range") {
		t.Errorf("faults %q", rep.Generator.Faults)
	}
}

// What the kernel tells is read where it is told.
func TestHostCounters(t *testing.T) {
	if runtime.GOOS != "linux" {
		if h := readHost(); h != (hostCounters{}) {
			t.Errorf("%+v", h)
		}
		return
	}
	if h := readHost(); h.ticks == 0 {
		t.Errorf("%+v", h)
	}
	if limit, used := descriptors(); limit == 0 || used < 3 {
		t.Errorf("%d of %d descriptors", used, limit)
	}
	if e := environment(); e.Kernel == "" || e.Memory == 0 || e.Cores == 0 || e.Go == "" {
		t.Errorf("%+v", e)
	}
}
