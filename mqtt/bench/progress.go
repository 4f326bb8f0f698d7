package bench

import "time"

// Phase is a part of a run.
type Phase string

// The phases of the built-in roles, in their order.
const (
	Connecting  Phase = "connect"
	Subscribing Phase = "subscribe"
	Probing     Phase = "probe"
	WarmingUp   Phase = "warm-up"
	Measuring   Phase = "measure"
	Draining    Phase = "drain"
	Holding     Phase = "hold"
	Retaining   Phase = "retain"
	Leaving     Phase = "leave"
	Resuming    Phase = "resume"
)

// Snapshot is how a run goes, once a second and at each change of phase. Counts
// are since the phase began, rates are of the last second.
type Snapshot struct {
	Phase     Phase
	Elapsed   time.Duration // in the phase
	Of        time.Duration // its length, 0 if it has none
	Step      int           // its place in the run, from 1
	Steps     int           // of the run
	Clients   int           // asked for
	Connected int
	Failed    int // could not connect
	Lost      int // connections

	Sent, Acked, Delivered             int64
	SentRate, AckedRate, DeliveredRate float64
	// E2EP99 and LagP99 are of the last second, 0 without samples.
	E2EP99, LagP99 time.Duration

	interval *tally // the last second; nil: none
}

// Buckets counts the latencies of the last second up to each bound, which
// ascend, as a histogram of Prometheus does: n are all, sum is theirs together.
// name is one of [Latency.All]: e2e, pub_ack, pub_rec, pub_comp, connect, reconnect,
// sub_ack, first_message, lag. What it tells is lost with the return of the
// function that the Snapshot was given to.
func (s *Snapshot) Buckets(name string, bounds []time.Duration) (upTo []uint64, n uint64, sum time.Duration) {
	upTo = make([]uint64, len(bounds))
	k, ok := metricKinds()[name]
	if !ok || s.interval == nil {
		return upTo, 0, 0
	}
	h := s.interval.sum(k.latency...)
	if h == nil {
		return upTo, 0, 0
	}
	n = uint64(h.TotalCount())
	sum = time.Duration(h.Mean() * float64(n))
	for _, bar := range h.Distribution() {
		if bar.Count == 0 {
			continue
		}
		for i, b := range bounds {
			if bar.From <= int64(b) {
				upTo[i] += uint64(bar.Count)
			}
		}
	}
	return upTo, n, sum
}
