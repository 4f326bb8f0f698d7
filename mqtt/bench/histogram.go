package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// metric is one latency that is measured.
type metric int

const (
	connect metric = iota
	connectDial
	connectConnack
	reconnect
	subAck
	firstMessage
	pubAck
	pubRec
	pubComp
	endToEnd0 // and the two behind it: QoS 1, 2
	endToEnd1
	endToEnd2
	service
	lag
	numMetrics
)

// Range and precision of every histogram, in ns: those of several runs can be
// added.
const (
	lowest  = int64(time.Microsecond)
	highest = int64(time.Hour)
	digits  = 3
)

// tally is what happened in some time: counts and latencies.
type tally struct {
	latency [numMetrics]*hdrhistogram.Histogram // nil: none
	clamped [numMetrics]int64
	counts
}

// counts are the numbers of a tally.
type counts struct {
	due, sent, acked, delivered           int64
	sentBytes, ackedBytes, deliveredBytes int64
	first                                 int64 // deliveries
	missed                                int64 // due, and the generator did not get to it
	corrupt, unexpected, strange          int64

	// Of all phases: messages that will be acknowledged, those that were or never
	// will be, and anything that arrives.
	awaited, answered, arrived int64
}

func (c *counts) add(o *counts) {
	c.due += o.due
	c.sent += o.sent
	c.acked += o.acked
	c.delivered += o.delivered
	c.sentBytes += o.sentBytes
	c.ackedBytes += o.ackedBytes
	c.deliveredBytes += o.deliveredBytes
	c.first += o.first
	c.missed += o.missed
	c.corrupt += o.corrupt
	c.unexpected += o.unexpected
	c.strange += o.strange
	c.awaited += o.awaited
	c.answered += o.answered
	c.arrived += o.arrived
}

func (t *tally) record(m metric, d time.Duration) { t.recordN(m, d, 1) }

func (t *tally) recordN(m metric, d time.Duration, n int64) {
	h := t.latency[m]
	if h == nil {
		h = hdrhistogram.New(lowest, highest, digits)
		t.latency[m] = h
	}
	v := max(int64(d), 0)
	if v > highest {
		v = highest
		t.clamped[m] += n
	}
	_ = h.RecordValues(v, n) // cannot fail within the range
}

// merge adds o to t.
func (t *tally) merge(o *tally) {
	for m := range numMetrics {
		t.mergeMetric(o, m)
	}
	t.counts.add(&o.counts)
}

// mergeSetup adds the latencies of connecting, which count in every phase.
func (t *tally) mergeSetup(o *tally) {
	for m := connect; m <= subAck; m++ {
		t.mergeMetric(o, m)
	}
}

func (t *tally) mergeMetric(o *tally, m metric) {
	t.clamped[m] += o.clamped[m]
	if o.latency[m] == nil || o.latency[m].TotalCount() == 0 {
		return
	}
	if t.latency[m] == nil {
		t.latency[m] = hdrhistogram.New(lowest, highest, digits)
	}
	t.latency[m].Merge(o.latency[m])
}

// reset empties t and keeps its histograms.
func (t *tally) reset() {
	latency := t.latency
	for _, h := range latency {
		if h != nil && h.TotalCount() > 0 {
			h.Reset()
		}
	}
	*t = tally{latency: latency}
}

// quantile is the p-th percentile of some metrics together, 0 without samples.
func (t *tally) quantile(p float64, ms ...metric) time.Duration {
	h := t.sum(ms...)
	if h == nil {
		return 0
	}
	return time.Duration(h.ValueAtQuantile(p))
}

// sum is one histogram of several metrics, nil without samples.
func (t *tally) sum(ms ...metric) *hdrhistogram.Histogram {
	var all *hdrhistogram.Histogram
	for _, m := range ms {
		switch h := t.latency[m]; {
		case h == nil || h.TotalCount() == 0:
		case all == nil && len(ms) == 1:
			all = h
		default:
			if all == nil {
				all = hdrhistogram.New(lowest, highest, digits)
			}
			all.Merge(h)
		}
	}
	return all
}

// distribution sums up some metrics for the report.
func (t *tally) distribution(ms ...metric) *Distribution {
	h := t.sum(ms...)
	if h == nil {
		return nil
	}
	d := distribution(h)
	for _, m := range ms {
		d.Clamped += t.clamped[m]
	}
	return d
}

// blobs are the histograms of a second that its line of the report keeps.
func (t *tally) blobs() map[string]string {
	all := make(map[string]string)
	for _, b := range []struct {
		name string
		ms   []metric
	}{{"e2e", []metric{endToEnd0, endToEnd1, endToEnd2}}, {"pub_ack", []metric{pubAck}}, {"pub_rec", []metric{pubRec}},
		{"pub_comp", []metric{pubComp}}, {"lag", []metric{lag}}} {
		if h := t.sum(b.ms...); h != nil {
			all[b.name] = blob(h)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// report is t for the report.
func (t *tally) report() Latency {
	return Latency{
		Connect: t.distribution(connect), ConnectDial: t.distribution(connectDial), ConnectConnack: t.distribution(connectConnack),
		Reconnect: t.distribution(reconnect), SubAck: t.distribution(subAck), FirstMessage: t.distribution(firstMessage),
		PubAck: t.distribution(pubAck), PubRec: t.distribution(pubRec), PubComp: t.distribution(pubComp),
		E2E:     t.distribution(endToEnd0, endToEnd1, endToEnd2),
		E2EQoS0: t.distribution(endToEnd0), E2EQoS1: t.distribution(endToEnd1), E2EQoS2: t.distribution(endToEnd2),
		E2EService: t.distribution(service), Lag: t.distribution(lag),
	}
}

// recorder collects what some clients see. Each core has one; they are added up
// once a second and at the end.
type recorder struct {
	mu   sync.Mutex
	cur  *tally
	kind kind // of the messages that count
	past counts
	_    [64]byte // no cache line is shared
}

// take returns what came since the last time; empty takes its place. From now
// on messages of k count.
func (r *recorder) take(empty *tally, k kind) *tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	full := r.cur
	r.past.add(&full.counts)
	r.cur, r.kind = empty, k
	return full
}

// sofar are the counts since the beginning.
func (r *recorder) sofar() *counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.past
	all.add(&r.cur.counts)
	return &all
}
