package bench

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Several tallies added up are one tally that saw everything.
func TestMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var one, sum tally
	parts := make([]tally, 5)
	for i := range 10_000 {
		p := &parts[i%len(parts)]
		m := metric(r.IntN(int(numMetrics)))
		d := time.Duration(r.ExpFloat64() * float64(time.Millisecond))
		if i%1000 == 0 {
			d = 2 * time.Hour
		}
		one.record(m, d)
		p.record(m, d)
		one.sent++
		p.sent++
		one.deliveredBytes += int64(i)
		p.deliveredBytes += int64(i)
	}
	for i := range parts {
		sum.merge(&parts[i])
	}
	if sum.counts != one.counts || sum.clamped != one.clamped {
		t.Errorf("counts %+v and %+v", sum.counts, one.counts)
	}
	for m := range numMetrics {
		if !sum.latency[m].Equals(one.latency[m]) {
			t.Errorf("metric %d differs", m)
		}
	}
	all, again := one.distribution(pubAck, pubComp, lag), sum.distribution(pubAck, pubComp, lag)
	if *all != *again || all.N == 0 {
		t.Errorf("%+v\n%+v", all, again)
	}
}

func TestDistribution(t *testing.T) {
	var tl tally
	if tl.distribution(connect) != nil || tl.quantile(99, connect) != 0 {
		t.Error("something of nothing")
	}
	for i := 1; i <= 1000; i++ {
		tl.record(connect, time.Duration(i)*time.Millisecond)
	}
	d := tl.distribution(connect)
	near := func(name string, got, want time.Duration) {
		if diff := got - want; diff < -want/500-time.Microsecond || diff > want/500+time.Microsecond {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	near("min", d.Min, time.Millisecond)
	near("mean", d.Mean, 500500*time.Microsecond)
	near("p50", d.P50, 500*time.Millisecond)
	near("p90", d.P90, 900*time.Millisecond)
	near("p99", d.P99, 990*time.Millisecond)
	near("p99.9", d.P999, 999*time.Millisecond)
	near("max", d.Max, time.Second)
	h, err := hdrhistogram.Decode([]byte(d.HDR))
	if err != nil || !h.Equals(tl.latency[connect]) {
		t.Errorf("the blob is another histogram: %v", err)
	}
	tl.record(connect, -time.Second)
	tl.record(connect, 3*time.Hour)
	if d = tl.distribution(connect); d.N != 1002 || d.Clamped != 1 {
		t.Errorf("outside the range: %+v", d)
	}
	near("max", d.Max, time.Hour)
}

func TestReset(t *testing.T) {
	var tl tally
	tl.record(lag, time.Second)
	tl.record(connect, time.Second)
	tl.sent, tl.clamped[lag] = 5, 1
	var kept tally
	kept.mergeSetup(&tl)
	if kept.quantile(50, connect) == 0 || kept.quantile(50, lag) != 0 || kept.sent != 0 {
		t.Error("mergeSetup takes the wrong things")
	}
	tl.reset()
	if tl.sum(connect, lag) != nil || tl.counts != (counts{}) || tl.clamped[lag] != 0 || tl.latency[lag] == nil {
		t.Error("reset leaves something, or the memory goes")
	}
}

func BenchmarkRecord(b *testing.B) {
	var tl tally
	b.ReportAllocs()
	for i := range b.N {
		tl.record(lag, time.Duration(i%1_000_000))
	}
}
