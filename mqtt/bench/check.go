package bench

import (
	"fmt"
	"math"
	"runtime"
	"runtime/metrics"
	"time"
)

// checker watches this process while it measures.
type checker struct {
	cpuFrom, cpuLast time.Duration
	from, to         watched
	seconds, full    int // recorded; of these with next to no CPU left
}

// watched are the counters at one moment.
type watched struct {
	at            time.Time
	gc            float64
	pauses, waits *metrics.Float64Histogram
	host          hostCounters
}

func watch() watched {
	w := watched{at: time.Now(), host: readHost()}
	w.gc, w.pauses, w.waits = goMetrics()
	return w
}

// used is the CPU time since begin.
func (c *checker) used() time.Duration { return cpuTime() - c.cpuFrom }

func (c *checker) begin() {
	c.cpuFrom = cpuTime()
	c.cpuLast = c.cpuFrom
	c.from = watch()
}

// end is behind a step: what comes after the last one does not count.
func (c *checker) end() { c.to = watch() }

// second notes another second and returns the CPU time that it took.
func (c *checker) second(over time.Duration, recorded bool) time.Duration {
	now := cpuTime()
	used := now - c.cpuLast
	c.cpuLast = now
	if recorded && over > 500*time.Millisecond {
		c.seconds++
		if float64(used) > cpuFault*float64(over)*float64(runtime.GOMAXPROCS(0)) {
			c.full++
		}
	}
	return used
}

// goMetrics reads the CPU seconds of the garbage collector, its pauses, and how
// long goroutines waited for a processor.
func goMetrics() (gc float64, pauses, waits *metrics.Float64Histogram) {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/sched/pauses/total/gc:seconds"}, {Name: "/sched/latencies:seconds"}}
	metrics.Read(s)
	if s[0].Value.Kind() == metrics.KindFloat64 {
		gc = s[0].Value.Float64()
	}
	of := func(v metrics.Value) *metrics.Float64Histogram {
		if v.Kind() != metrics.KindFloat64Histogram {
			return nil
		}
		h := v.Float64Histogram()
		return &metrics.Float64Histogram{Counts: append([]uint64(nil), h.Counts...), Buckets: h.Buckets}
	}
	return gc, of(s[1].Value), of(s[2].Value)
}

// since is the quantile q of what was added to a histogram of the runtime.
func since(before, now *metrics.Float64Histogram, q float64) time.Duration {
	if before == nil || now == nil || len(before.Counts) != len(now.Counts) {
		return 0
	}
	var all uint64
	for i, n := range now.Counts {
		all += n - before.Counts[i]
	}
	if all == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(all)))
	var sum uint64
	for i, n := range now.Counts {
		if sum += n - before.Counts[i]; sum >= rank {
			top := now.Buckets[i+1]
			if math.IsInf(top, 1) {
				top = now.Buckets[i]
			}
			return time.Duration(top * 1e9)
		}
	}
	return 0
}

// limits of a check: from where on it is a warning, and a fault. 0: never.
type limits struct{ warn, fault float64 }

// report adds the signals that have been watched.
func (c *checker) report(rep *Report, t *tally) {
	if c.from.at.IsZero() || c.to.at.IsZero() {
		return
	}
	g := &rep.Generator
	add := func(name string, x float64, l limits, show func(float64) string, advice string) {
		k := Check{Name: name, Value: show(x), State: CheckOK}
		if l.warn > 0 {
			k.Warn = show(l.warn)
		}
		if l.fault > 0 {
			k.Fault = show(l.fault)
		}
		text := fmt.Sprintf("%s %s: %s", name, k.Value, advice)
		switch {
		case l.fault > 0 && x > l.fault && !rep.Target.InProcess: // there the Server's part is not to be told from ours
			k.State = CheckFault
			g.Faults = append(g.Faults, text)
		case l.warn > 0 && x > l.warn:
			k.State = CheckWarn
			g.Warnings = append(g.Warnings, text)
		}
		g.Checks = append(g.Checks, k)
	}
	wall := c.to.at.Sub(c.from.at)
	if cpu := wall.Seconds() * float64(runtime.GOMAXPROCS(0)); cpu > 0 {
		add("garbage collector's share of the cores", (c.to.gc-c.from.gc)/cpu, limits{0.03, 0.1}, percents, "lower the rate, or use fewer clients")
	}
	add("garbage collector's longest pause", since(c.from.pauses, c.to.pauses, 1).Seconds(), limits{0.002, 0.02}, spans, "lower the rate, or use fewer clients")
	add("scheduler p99", since(c.from.waits, c.to.waits, 0.99).Seconds(), limits{0.001, 0.01}, spans, "this machine has other work, or too few cores for this load")
	if c.seconds > 0 {
		add("seconds with more than 90 % of the cores used", float64(c.full)/float64(c.seconds), limits{0.01, 0.05}, percents, "lower the rate, or use more machines")
	}
	before, now := c.from.host, c.to.host
	if d := now.periods - before.periods; d > 0 {
		add("CPU periods that the container's limit cut short", float64(now.throttled-before.throttled)/float64(d), limits{1e-9, 0.01}, percents, "give the container more CPU")
	}
	if d := now.ticks - before.ticks; d > 0 {
		add("CPU time that the host took away", float64(now.steal-before.steal)/float64(d), limits{0.02, 0.1}, percents, "this machine is shared")
	}
	counts := func(x float64) string { return fmt.Sprint(int64(x)) }
	add("TCP segments sent again", float64(now.retransmits-before.retransmits), limits{0.5, 0}, counts, "of this whole machine")
	add("connections that a full listen queue dropped", float64(now.overflows-before.overflows), limits{0.5, 0}, counts, "of this whole machine")
	if limit, used := descriptors(); limit > 0 {
		add("file descriptors used", float64(used)/float64(limit), limits{0.9, 0}, percents, fmt.Sprintf("of %d", limit))
	}
	var clamped, n int64
	for m := range numMetrics {
		clamped += t.clamped[m]
		if h := t.latency[m]; h != nil {
			n += h.TotalCount()
		}
	}
	if n > 0 {
		add("samples above the range", float64(clamped)/float64(n), limits{1e-9, 0.0001}, percents, "latencies above an hour")
	}
	jump := wall - c.to.at.Round(0).Sub(c.from.at.Round(0))
	add("jump of the wall clock", math.Abs(jump.Seconds()), limits{0.001, 0}, spans, "the times of events are wrong by that")
}

func percents(x float64) string { return fmt.Sprintf("%.3g %%", 100*x) }

func spans(x float64) string { return time.Duration(x * 1e9).Round(time.Microsecond).String() }
