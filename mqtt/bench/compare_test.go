package bench

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// simulated is a run whose end-to-end latencies lie around mean, a second's
// own mean up to noise away from it.
func simulated(seed uint64, seconds int, mean time.Duration, noise float64, rate int) *Report {
	random := rand.New(rand.NewPCG(seed, 7))
	rep := &Report{Version: ReportVersion, RunID: "r", ConfigHash: "h", Verdict: Pass, Environment: Environment{CPU: "x", Cores: 2}}
	for i := range seconds {
		t := &tally{}
		own := float64(mean) * (1 + noise*(2*random.Float64()-1))
		for range 500 {
			t.record(endToEnd1, time.Duration(own*(0.9+0.2*random.Float64())))
		}
		rep.Seconds = append(rep.Seconds, Second{At: time.Duration(i+1) * time.Second, Duration: time.Second, Phase: Measuring, Delivered: int64(rate), Sent: int64(rate), HDR: t.blobs()})
	}
	return rep
}

func runs(n int, make func(seed uint64) *Report) (all []*Report) {
	for i := range n {
		all = append(all, make(uint64(i)+1))
	}
	return all
}

func TestCompare(t *testing.T) {
	const ms = time.Millisecond
	quiet := func(mean time.Duration) func(uint64) *Report {
		return func(seed uint64) *Report { return simulated(seed, 10, mean, 0.05, 1000) }
	}
	for _, tt := range []struct {
		name   string
		a, b   func(uint64) *Report
		runs   int
		want   Verdict
		metric string
		state  ChangeState
	}{
		{"the same", quiet(10 * ms), quiet(10 * ms), 3, Pass, "e2e.p99", Unchanged},
		{"slower", quiet(10 * ms), quiet(13 * ms), 3, Regression, "e2e.p50", Worse},
		{"slower, and one run each", quiet(10 * ms), quiet(13 * ms), 1, Regression, "e2e.p99", Worse},
		{"faster", quiet(10 * ms), quiet(7 * ms), 3, Pass, "e2e.p99", Better},
		{"a little slower", quiet(10 * ms), quiet(10300 * time.Microsecond), 3, Pass, "e2e.p99", Unchanged},
		{"below what timers can", quiet(100 * time.Microsecond), quiet(200 * time.Microsecond), 3, Pass, "e2e.p99", Unchanged},
		{"noise", func(s uint64) *Report { return simulated(s+40, 4, 10*ms, 0.6, 1000) }, func(s uint64) *Report { return simulated(s+51, 4, 13*ms, 0.6, 1000) }, 1, Inconclusive, "e2e.p50", Unsure},
		{"fewer messages", quiet(10 * ms), func(s uint64) *Report { return simulated(s, 10, 10*ms, 0.05, 800) }, 3, Regression, "delivered.rate", Worse},
		{"more messages", quiet(10 * ms), func(s uint64) *Report { return simulated(s, 10, 10*ms, 0.05, 1300) }, 3, Pass, "delivered.rate", Better},
		{"too short", func(s uint64) *Report { return simulated(s, 2, 10*ms, 0, 1000) }, func(s uint64) *Report { return simulated(s, 2, 20*ms, 0, 1000) }, 1, Inconclusive, "e2e.p99", TooFew},
		{"invalid", quiet(10 * ms), func(s uint64) *Report {
			r := simulated(s, 10, 20*ms, 0.05, 1000)
			r.Verdict = Invalid
			return r
		}, 1, Invalid, "e2e.p99", Worse},
		{"broken", quiet(10 * ms), func(s uint64) *Report {
			r := simulated(s, 10, 10*ms, 0.05, 1000)
			r.Verdict = ContractBroken
			return r
		}, 1, ContractBroken, "e2e.p99", Unchanged},
	} {
		c, err := Compare(runs(tt.runs, tt.a), runs(tt.runs, tt.b), CompareOptions{})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var state ChangeState
		for _, ch := range c.Changes {
			if ch.Metric == tt.metric {
				state = ch.State
			}
			if ch.Low > ch.Ratio+1e-9 || ch.High < ch.Ratio-1e-9 {
				if ch.N >= minIntervals {
					t.Errorf("%s: %s %+.3f is not from %+.3f to %+.3f", tt.name, ch.Metric, ch.Ratio, ch.Low, ch.High)
				}
			}
		}
		if c.Verdict != tt.want || state != tt.state || (c.Verdict == Pass) != (len(c.Reasons) == 0) {
			t.Errorf("%s: %s %q, %s %s; want %s, %s\n%+v", tt.name, c.Verdict, c.Reasons, tt.metric, state, tt.want, tt.state, c.Changes)
		}
	}
}

// One number for each run: a broker's cost.
func TestCompareCosts(t *testing.T) {
	of := func(cpu time.Duration) func(uint64) *Report {
		return func(seed uint64) *Report {
			r := simulated(seed, 5, 10*time.Millisecond, 0, 1000)
			r.Broker = &Broker{CPUPerMillion: cpu + time.Duration(seed)*10*time.Millisecond, PeakMemory: 10 << 20}
			r.Latency.Connect = &Distribution{N: 10, P99: 5 * time.Millisecond}
			return r
		}
	}
	c, err := Compare(runs(3, of(5*time.Second)), runs(3, of(7*time.Second)), CompareOptions{})
	if err != nil || c.Verdict != Regression || len(c.Reasons) != 1 || !strings.Contains(c.Reasons[0], "broker.cpu_per_million is worse by 39.") {
		t.Errorf("%+v, %v", c, err)
	}
	c, err = Compare(runs(3, of(5*time.Second)), runs(3, of(7*time.Second)), CompareOptions{Tolerance: 0.5})
	if err != nil || c.Verdict != Pass {
		t.Errorf("tolerated: %+v, %v", c, err)
	}
}

func TestCompareFaults(t *testing.T) {
	a := simulated(1, 5, time.Millisecond, 0, 10)
	load, cpu := *a, *a
	load.ConfigHash, cpu.Environment.CPU = "other", "y"
	for _, b := range []*Report{&load, &cpu} {
		if _, err := Compare([]*Report{a}, []*Report{b}, CompareOptions{}); !errors.Is(err, ErrIncomparable) {
			t.Errorf("%v", err)
		}
		if _, err := Compare([]*Report{a}, []*Report{b}, CompareOptions{Force: true}); err != nil {
			t.Errorf("forced: %v", err)
		}
	}
	if _, err := Compare(nil, []*Report{a}, CompareOptions{}); err == nil {
		t.Error("nothing was compared")
	}
	if c, err := Compare([]*Report{{}}, []*Report{{}}, CompareOptions{}); err != nil || c.Verdict != Inconclusive {
		t.Errorf("empty reports: %+v, %v", c, err)
	}
}

// A long run is compared in fewer parts, which come to the same.
func TestCoalesce(t *testing.T) {
	rep := simulated(1, 1000, 10*time.Millisecond, 0.5, 7)
	for _, k := range comparedMetrics() {
		if k.single != nil {
			continue
		}
		parts, err := k.sides([]*Report{rep})
		if err != nil {
			t.Fatal(err)
		}
		if len(parts) == 0 {
			continue
		}
		k.index(parts)
		x := k.value(parts[0])
		want := 7.0
		if k.hdr != "" {
			all := &tally{}
			for _, s := range rep.Seconds {
				h, err := (&Distribution{HDR: s.HDR[k.hdr]}).Histogram()
				if err != nil {
					t.Fatal(err)
				}
				one := &tally{}
				one.latency[endToEnd0] = h
				all.merge(one)
			}
			want = all.quantile(k.quantile, endToEnd0).Seconds()
		}
		if n := len(parts[0]); n > maxIntervals || n < maxIntervals/2 || x != want {
			t.Errorf("%s: %v of %d parts, want %v", k.name, x, n, want)
		}
	}
}
