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
}
