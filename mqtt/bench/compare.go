package bench

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Comparison is what [Compare] found.
type Comparison struct {
	Version int    `json:"version"` // ReportVersion
	Base    string `json:"base"`    // names
	New     string `json:"new"`
	// BaseRuns and NewRuns are how many runs each side has.
	BaseRuns int      `json:"base_runs"`
	NewRuns  int      `json:"new_runs"`
	Changes  []Change `json:"changes"`
	// Verdict is Pass, Regression or Inconclusive; ContractBroken and Invalid are
	// those of a run on either side.
	Verdict Verdict  `json:"verdict"`
	Reasons []string `json:"reasons,omitempty"`
}

// Regression is the Verdict of a [Comparison] in which something became worse.
const Regression Verdict = "regression"

// Change is one metric on both sides.
type Change struct {
	Metric string  `json:"metric"`
	Unit   string  `json:"unit"` // s, /s, B or nothing
	Base   float64 `json:"base"`
	New    float64 `json:"new"`
	// Ratio is New / Base - 1. From Low to High it is with 95 % confidence, as
	// resampling of runs and seconds tells.
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	// Tolerance is by how much New may be worse, as a share of Base.
	Tolerance float64     `json:"tolerance"`
	N         int         `json:"n"` // seconds or runs on the side with fewer
	State     ChangeState `json:"state"`
}

// ChangeState is what a Change comes to.
type ChangeState string

// The states of a Change.
const (
	Unchanged ChangeState = "ok"        // not worse than is tolerated, as far as can be told
	Better    ChangeState = "better"    // by more than is tolerated
	Worse     ChangeState = "worse"     // by more than is tolerated, noise considered
	Unsure    ChangeState = "unsure"    // worse by more than is tolerated, and it may be noise
	TooFew    ChangeState = "too few"   // seconds or runs, to tell noise
	Untold    ChangeState = "not known" // on one side
)

// Tolerances of a comparison.
const (
	DefaultTolerance = 0.1
	// Differences below these are never a regression: timers and schedulers are
	// no better.
	floorLatency = 200 * time.Microsecond
	floorMemory  = 1 << 20 // bytes
	floorCPU     = 200 * time.Millisecond
	// minIntervals is how many seconds or runs a side needs.
	minIntervals = 3
	// maxIntervals is how many parts a run is resampled in.
	maxIntervals = 120
	resamples    = 500
)

// CompareOptions say how to compare.
type CompareOptions struct {
	Base, New string // names for the report
	// Tolerance is by what share a metric may be worse. Default DefaultTolerance.
	Tolerance float64
	// Force compares runs of different loads and machines.
	Force bool
}

// ErrIncomparable says that two results are not of the same load and machine.
var ErrIncomparable = errors.New("they cannot be compared")

// Compare holds the runs of one side against those of another. A metric is
// worse when New lies beyond Base by more than the tolerance and by more than
// the noise, which is told by resampling the runs of each side and the seconds
// within them: with 95 % confidence all of the change is beyond the tolerance.
func Compare(base, next []*Report, o CompareOptions) (*Comparison, error) {
	if len(base) == 0 || len(next) == 0 {
		return nil, errors.New("bench: a comparison needs runs on both sides")
	}
	if !o.Force {
		if err := comparable(base, next); err != nil {
			return nil, err
		}
	}
	tolerance := cmp.Or(o.Tolerance, DefaultTolerance)
	c := &Comparison{Version: ReportVersion, Base: o.Base, New: o.New, BaseRuns: len(base), NewRuns: len(next)}
	random := rand.New(rand.NewPCG(1, 1))
	for _, k := range comparedMetrics() {
		b, err := k.sides(base)
		if err != nil {
			return nil, err
		}
		n, err := k.sides(next)
		if err != nil {
			return nil, err
		}
		k.index(b, n)
		if ch := k.compare(b, n, tolerance, random); ch.State != Untold {
			c.Changes = append(c.Changes, ch)
		}
	}
	c.judge(base, next)
	return c, nil
}

// comparable refuses what is different in more than the program under test.
func comparable(base, next []*Report) error {
	first := base[0]
	for _, r := range append(slices.Clone(base), next...) {
		a, b := first.Environment, r.Environment
		switch {
		case r.ConfigHash != first.ConfigHash:
			return fmt.Errorf("bench: %w: run %s has load %s, run %s load %s", ErrIncomparable, first.RunID, first.ConfigHash, r.RunID, r.ConfigHash)
		case a.CPU != b.CPU || a.Cores != b.Cores:
			return fmt.Errorf("bench: %w: run %s was on %d of %q, run %s on %d of %q", ErrIncomparable, first.RunID, a.Cores, a.CPU, r.RunID, b.Cores, b.CPU)
		}
	}
	return nil
}

func (c *Comparison) judge(base, next []*Report) {
	c.Verdict = Pass
	worst := func(v Verdict, format string, a ...any) {
		order := []Verdict{ContractBroken, Invalid, Regression, Inconclusive, Pass}
		if slices.Index(order, v) < slices.Index(order, c.Verdict) {
			c.Verdict = v
		}
		c.Reasons = append(c.Reasons, fmt.Sprintf(format, a...))
	}
	for _, side := range []struct {
		name string
		runs []*Report
	}{{"base", base}, {"new", next}} {
		for _, r := range side.runs {
			switch {
			case r.Verdict == ContractBroken && side.name == "new":
				worst(ContractBroken, "%s: run %s broke the delivery contract", side.name, r.RunID)
			case r.Verdict == Invalid:
				worst(Invalid, "%s: run %s is invalid: the generator was the bottleneck", side.name, r.RunID)
			case r.Interrupted:
				worst(Inconclusive, "%s: run %s was interrupted", side.name, r.RunID)
			}
		}
	}
	told := 0
	for _, ch := range c.Changes {
		switch ch.State {
		case Worse:
			worst(Regression, "%s is worse by %.1f %% (%.1f to %.1f %%), %.0f %% are tolerated", ch.Metric, 100*ch.worse(ch.Ratio), 100*ch.worstLow(), 100*ch.worstHigh(), 100*ch.Tolerance)
		case Unsure:
			worst(Inconclusive, "%s is worse by %.1f %%, which may be noise (%.1f to %.1f %%): run more rounds", ch.Metric, 100*ch.worse(ch.Ratio), 100*ch.worstLow(), 100*ch.worstHigh())
		case TooFew:
			continue
		}
		told++
	}
	if told == 0 {
		worst(Inconclusive, "there is nothing to compare: too few seconds and runs")
	}
}

// sign is 1 for metrics of which less is better.
func (ch *Change) sign() float64 {
	if ch.Unit == "/s" {
		return -1
	}
	return 1
}

func (ch *Change) worse(ratio float64) float64 { return ch.sign() * ratio }

func (ch *Change) worstLow() float64 { return min(ch.worse(ch.Low), ch.worse(ch.High)) }

func (ch *Change) worstHigh() float64 { return max(ch.worse(ch.Low), ch.worse(ch.High)) }

// decide fills in the state; floor is the least difference that counts.
func (ch *Change) decide(floor float64) {
	switch {
	case ch.N < minIntervals:
		ch.State = TooFew
	case math.Abs(ch.New-ch.Base) < floor || ch.worse(ch.Ratio) <= ch.Tolerance && ch.worstHigh() >= -ch.Tolerance:
		ch.State = Unchanged
	case ch.worstHigh() < -ch.Tolerance:
		ch.State = Better
	case ch.worstLow() > ch.Tolerance:
		ch.State = Worse
	case ch.worse(ch.Ratio) > ch.Tolerance:
		ch.State = Unsure
	default:
		ch.State = Unchanged
	}
}

// compared is a metric that can be compared.
type compared struct {
	name, unit string
	floor      float64
	hdr        string // the seconds' histograms with this name
	quantile   float64
	rate       func(*Second) int64           // of the seconds
	single     func(*Report) (float64, bool) // one number of each run

	values []int64 // of the histograms of both sides
	sum    []int64 // how often each of them came
}

func comparedMetrics() []compared {
	all := []compared{
		{name: "delivered.rate", unit: "/s", rate: func(s *Second) int64 { return s.Delivered }},
		{name: "sent.rate", unit: "/s", rate: func(s *Second) int64 { return s.Sent }},
	}
	for _, name := range []string{"e2e", "pub_ack", "pub_comp"} {
		for _, q := range []float64{50, 99} {
			all = append(all, compared{name: fmt.Sprintf("%s.p%g", name, q), unit: "s", floor: floorLatency.Seconds(), hdr: name, quantile: q})
		}
	}
	single := func(name, unit string, floor float64, of func(*Report) (float64, bool)) {
		all = append(all, compared{name: name, unit: unit, floor: floor, single: of})
	}
	for _, l := range []struct {
		name string
		of   func(*Latency) *Distribution
	}{
		{"connect", func(l *Latency) *Distribution { return l.Connect }}, {"reconnect", func(l *Latency) *Distribution { return l.Reconnect }},
		{"first_message", func(l *Latency) *Distribution { return l.FirstMessage }},
	} {
		single(l.name+".p99", "s", floorLatency.Seconds(), func(r *Report) (float64, bool) {
			d := l.of(&r.Latency)
			if d == nil {
				return 0, false
			}
			return d.P99.Seconds(), true
		})
	}
	broker := func(of func(*Broker) float64) func(*Report) (float64, bool) {
		return func(r *Report) (float64, bool) {
			if r.Broker == nil {
				return 0, false
			}
			x := of(r.Broker)
			return x, x > 0
		}
	}
	single("broker.cpu_per_million", "s", floorCPU.Seconds(), broker(func(b *Broker) float64 { return b.CPUPerMillion.Seconds() }))
	single("broker.peak_memory", "B", floorMemory, broker(func(b *Broker) float64 { return float64(b.PeakMemory) }))
	return all
}

// sample is one second or one run of a metric: a number, or how often each
// value came.
type sample struct {
	value  float64 // messages, or the number of a run
	weight float64 // seconds
	counts []valueCount
}

type valueCount struct {
	value int64 // and then its place in compared.values
	n     int64
}

// index puts all values of both sides into one list, so that samples are added
// up without sorting.
func (k *compared) index(sides ...[][]sample) {
	var all []int64
	each := func(f func(*valueCount)) {
		for _, side := range sides {
			for _, run := range side {
				for i := range run {
					for j := range run[i].counts {
						f(&run[i].counts[j])
					}
				}
			}
		}
	}
	each(func(c *valueCount) { all = append(all, c.value) })
	slices.Sort(all)
	k.values = slices.Compact(all)
	k.sum = make([]int64, len(k.values))
	each(func(c *valueCount) {
		i, _ := slices.BinarySearch(k.values, c.value)
		c.value = int64(i)
	})
}

// sides are the samples of each run.
func (k *compared) sides(runs []*Report) ([][]sample, error) {
	var all [][]sample
	for _, r := range runs {
		if k.single != nil {
			if x, ok := k.single(r); ok {
				all = append(all, []sample{{value: x, weight: 1}})
			}
			continue
		}
		var one []sample
		for i := range r.Seconds {
			s := &r.Seconds[i]
			if k.rate != nil {
				if s.Phase != Draining && s.Duration >= 500*time.Millisecond {
					one = append(one, sample{value: float64(k.rate(s)), weight: s.Duration.Seconds()})
				}
				continue
			}
			if s.HDR[k.hdr] == "" {
				continue
			}
			h, err := (&Distribution{HDR: s.HDR[k.hdr]}).Histogram()
			if err != nil {
				return nil, err
			}
			var counts []valueCount
			for _, b := range h.Distribution() {
				if b.Count > 0 {
					counts = append(counts, valueCount{b.To, b.Count})
				}
			}
			one = append(one, sample{counts: counts})
		}
		if len(one) > 0 {
			all = append(all, coalesce(one))
		}
	}
	return all, nil
}

// coalesce joins neighbours, so that a long run has no more than maxIntervals.
func coalesce(samples []sample) []sample {
	each := (len(samples) + maxIntervals - 1) / maxIntervals
	if each < 2 {
		return samples
	}
	var all []sample
	for part := range slices.Chunk(samples, each) {
		var sum sample
		for _, s := range part {
			sum.value += s.value
			sum.weight += s.weight
			sum.counts = append(sum.counts, s.counts...)
		}
		slices.SortFunc(sum.counts, func(a, b valueCount) int { return cmp.Compare(a.value, b.value) })
		n := 0
		for i, c := range sum.counts {
			if i > 0 && c.value == sum.counts[n-1].value {
				sum.counts[n-1].n += c.n
				continue
			}
			sum.counts[n] = c
			n++
		}
		sum.counts = sum.counts[:n]
		all = append(all, sum)
	}
	return all
}

// value is what samples come to.
func (k *compared) value(samples []sample) float64 {
	if k.hdr == "" {
		var sum, weight float64
		for _, s := range samples {
			sum += s.value
			weight += s.weight
		}
		return sum / weight
	}
	clear(k.sum)
	var n int64
	for _, s := range samples {
		for _, c := range s.counts {
			k.sum[c.value] += c.n
			n += c.n
		}
	}
	rank := int64(math.Ceil(k.quantile / 100 * float64(n)))
	for i, c := range k.sum {
		if rank -= c; rank <= 0 {
			return float64(k.values[i]) / 1e9
		}
	}
	return 0
}

// resample draws runs, and seconds within them.
func resample(runs [][]sample, random *rand.Rand) []sample {
	var all []sample
	for range runs {
		run := runs[random.IntN(len(runs))]
		for range run {
			all = append(all, run[random.IntN(len(run))])
		}
	}
	return all
}

func (k *compared) compare(base, next [][]sample, tolerance float64, random *rand.Rand) Change {
	ch := Change{Metric: k.name, Unit: k.unit, Tolerance: tolerance, State: Untold}
	if len(base) == 0 || len(next) == 0 {
		return ch
	}
	a, b := slices.Concat(base...), slices.Concat(next...)
	ch.Base, ch.New, ch.N = k.value(a), k.value(b), min(len(a), len(b))
	if ch.Base <= 0 || ch.New <= 0 {
		return ch
	}
	ch.Ratio = ch.New/ch.Base - 1
	ratios := make([]float64, 0, resamples)
	for range resamples {
		x, y := k.value(resample(base, random)), k.value(resample(next, random))
		if x > 0 && y > 0 {
			ratios = append(ratios, y/x-1)
		}
	}
	slices.Sort(ratios)
	if n := len(ratios); n > 0 {
		ch.Low, ch.High = ratios[n*25/1000], ratios[min(n-1, n*975/1000)]
	}
	ch.decide(k.floor)
	return ch
}
