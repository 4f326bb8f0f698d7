package bench

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestCeilings(t *testing.T) {
	c := Ceilings{1000, 500, 100}
	for _, tt := range []struct {
		n    [3]float64
		want float64
	}{
		{[3]float64{}, 0}, {[3]float64{7, 0, 0}, 1000}, {[3]float64{0, 7, 0}, 500}, {[3]float64{1, 1, 0}, 2000. / 3}, {[3]float64{1, 1, 1}, 3 / 0.013},
	} {
		if got := c.of(tt.n); math.Abs(got-tt.want) > 1e-6 {
			t.Errorf("%v: %v, want %v", tt.n, got, tt.want)
		}
	}
	if got := (Ceilings{1000, 0, 0}).of([3]float64{1, 1, 0}); got != 0 {
		t.Errorf("%v of what is not known", got)
	}
}

// Near the ceiling the numbers are those of this machine.
func TestCeilingVerdict(t *testing.T) {
	for _, tt := range []struct {
		mean, top float64
		verdict   Verdict
		warnings  int
	}{{400, 400, Pass, 0}, {600, 600, Pass, 1}, {800, 900, Invalid, 0}, {860, 860, Invalid, 0}, {400, 860, Invalid, 0}} {
		rep := &Report{Load: Load{Role: RolePub}, Sent: Count{N: 1000, Rate: tt.mean}, Generator: Generator{Ceiling: 1000},
			Phases: []PhaseResult{{Recorded: true, To: 5 * time.Second, Traffic: Traffic{Sent: Count{Rate: tt.top}}},
				{To: 5 * time.Second, Traffic: Traffic{Sent: Count{Rate: 5000}}}}}
		rep.judge(0, 1000, nil, fixedView{&tally{}}, false)
		if rep.Verdict != tt.verdict || len(rep.Generator.Warnings) != tt.warnings || len(rep.Generator.Checks) != 1 {
			t.Errorf("%+v: %s, %+v", tt, rep.Verdict, rep.Generator)
		}
		if tt.verdict == Invalid && !strings.Contains(rep.Reasons[0], "this machine can send") {
			t.Errorf("%+v: %q", tt, rep.Reasons)
		}
	}
}

// Shards on one machine share its cores and its ceiling.
func TestMergeHosts(t *testing.T) {
	shard := func(i int, host string, used, rate float64) *Report {
		return &Report{Shard: &Shard{i, 3}, Environment: Environment{Host: host}, Sent: Count{Rate: rate},
			Generator: Generator{Valid: true, Cores: 2, CPUShare: used, Ceiling: 1000}}
	}
	for _, tt := range []struct {
		shards []*Report
		cores  int
		faults int
	}{
		{[]*Report{shard(0, "a", 0.4, 200), shard(1, "a", 0.4, 200), shard(2, "b", 0.8, 200)}, 4, 0},
		{[]*Report{shard(0, "a", 0.5, 200), shard(1, "a", 0.45, 200), shard(2, "b", 0.8, 200)}, 4, 1},
		{[]*Report{shard(0, "a", 0.1, 500), shard(1, "a", 0.1, 500), shard(2, "a", 0.1, 100)}, 2, 1},
		{[]*Report{shard(0, "", 0.5, 500), shard(1, "", 0.5, 500), shard(2, "", 0.5, 500)}, 6, 0},
	} {
		m := &merging{shards: tt.shards, rep: &Report{}}
		m.generator()
		g := m.rep.Generator
		if g.Cores != tt.cores || len(g.Faults) != tt.faults || g.Valid != (tt.faults == 0) {
			t.Errorf("%+v", g)
		}
	}
}
