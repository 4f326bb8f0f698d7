package bench

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/topic"
)

// Shape is who publishes to whom.
type Shape string

// The shapes.
const (
	// Pairs: publisher i to subscriber i, each on a topic of its own.
	Pairs Shape = "pairs"
	// FanIn: many publishers to few subscribers. Each publisher has its topic
	// and one subscriber, which reads its share of them with a wildcard.
	FanIn Shape = "fan-in"
	// FanOut: few publishers to many subscribers. Each subscriber reads the topic
	// of one publisher.
	FanOut Shape = "fan-out"
)

// Defaults of [Scenario].
const (
	DefaultPublishers  = 500 // of Pairs and FanIn
	DefaultSubscribers = 500 // of Pairs and FanOut
	DefaultRate        = 3000
	DefaultSize        = 64
	DefaultInFlight    = 32
	DefaultWarmUp      = 2 * time.Second
	DefaultDuration    = 10 * time.Second
	DefaultDrain       = 10 * time.Second
	DefaultQuiet       = 2 * time.Second
	DefaultConnecting  = 64
)

// Bounds of [Scenario].
const (
	MaxClients    = 1_000_000 // publishers, and subscribers
	MaxConnecting = 64        // more at once make a listen queue overflow
	MaxSize       = 16 << 20  // bytes
	MaxDuration   = 10 * 24 * time.Hour
)

// Scenario is one load: which clients, how much, how long. The zero value
// drives localhost with [DefaultPublishers] pairs and QoS 0, 1 and 2.
type Scenario struct {
	// Client is what every client is made from: the Server, TLS, credentials,
	// version, keep alive. Client Identifier, callbacks and in-flight window are
	// set by Run.
	Client client.Options
	// Target names the Server in the report. Default: Client's URL without its
	// password.
	Target string
	// InProcess says that the Server runs in this process, whose CPU time is then
	// not the generator's alone.
	InProcess bool

	// Shape is who publishes to whom. Default Pairs.
	Shape Shape
	// Publishers is how many clients publish. Default DefaultPublishers; with
	// FanOut one for each entry of QoS; with Pairs the number of Subscribers if
	// that is given.
	Publishers int
	// Subscribers is how many clients subscribe. Default DefaultSubscribers; with
	// FanIn 1; with Pairs the number of Publishers.
	Subscribers int

	// QoS is that of the publishers, which take turns in it: {0, 1, 1} lets two
	// thirds publish at QoS 1. Default {0, 1, 2}.
	QoS []mqtt.QoS
	// SubscriberQoS is that of the subscriptions, in turns. Default: as high as
	// the publishers that they read.
	SubscriberQoS []mqtt.QoS
	// Size of the payload in bytes. Default DefaultSize; at least [MinSize]
	// unless NoTracking.
	Size int
	// NoTracking leaves the header out of the payloads. Then neither end-to-end
	// latency nor the delivery contract is measured; messages are counted.
	NoTracking bool

	// Rate is how many messages a second all publishers send together, on a
	// schedule that does not wait for the Server (open loop). Default
	// DefaultRate.
	Rate float64
	// RatePerClient is Rate for each publisher. Only one of the two is set.
	RatePerClient float64
	// Max sends as fast as the Server acknowledges instead (closed loop): as many
	// messages as InFlight says are always under way. QoS 0 messages are under way
	// until they are delivered, or for a second; with NoTracking only TCP holds
	// them back.
	Max bool
	// InFlight bounds the unacknowledged QoS 1 and 2 messages of each publisher,
	// below the Server's Receive Maximum. What is due beyond that waits, and the
	// wait is part of its latency. Default DefaultInFlight with Max, otherwise
	// the Server's.
	InFlight int

	// WarmUp is load before the measurement. Default DefaultWarmUp; negative:
	// none.
	WarmUp time.Duration
	// Duration of the measurement. Default DefaultDuration, or with Count
	// MaxDuration.
	Duration time.Duration
	// Count ends the measurement after so many messages in all. Default 0: no
	// bound.
	Count int64
	// Drain bounds the wait, after the last message was sent, for what is still
	// under way. Default DefaultDrain; negative: none.
	Drain time.Duration
	// Quiet ends that wait when nothing has come for so long. Default
	// DefaultQuiet.
	Quiet time.Duration

	// Connecting is how many clients may be connecting at the same time. Default
	// and bound MaxConnecting.
	Connecting int
	// ConnectRate bounds the connects a second. Default 0: no bound.
	ConnectRate float64

	// RunID makes Client Identifiers and topics unique: letters and digits, at
	// most 8. Default: random.
	RunID string
	// TopicPrefix stands in front of every topic. Default bench/RUNID.
	TopicPrefix string
}

// Validate reports all faults at once, joined. Run calls it.
func (s Scenario) Validate() error {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf("bench: "+format, a...)) }
	s.validateNumbers(fault)
	s.fill()
	switch s.Shape {
	case Pairs:
		if s.Publishers != s.Subscribers {
			fault("pairs need as many publishers as subscribers, not %d and %d", s.Publishers, s.Subscribers)
		}
	case FanIn:
		if s.Publishers < s.Subscribers {
			fault("fan-in needs no more subscribers than publishers, not %d for %d", s.Subscribers, s.Publishers)
		}
	case FanOut:
		if s.Subscribers < s.Publishers {
			fault("fan-out needs no more publishers than subscribers, not %d for %d", s.Publishers, s.Subscribers)
		}
	default:
		fault("shape %q is none of pairs, fan-in, fan-out", string(s.Shape))
	}
	for _, q := range append(s.SubscriberQoS, s.QoS...) {
		if q > mqtt.QoS2 {
			fault("QoS %d is none of 0, 1, 2", q)
		}
	}
	if !s.NoTracking && s.Size < MinSize {
		fault("a payload of %d bytes has no room for the %d of tracking", s.Size, MinSize)
	}
	if err := topic.ValidateName(s.TopicPrefix + "/0/0"); err != nil {
		fault("topic prefix: %w", err)
	}
	if len(s.RunID) > 8 || strings.Trim(s.RunID, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		fault("run %q is not up to 8 letters and digits", s.RunID)
	}
	faults = append(faults, s.Client.Validate())
	return errors.Join(faults...)
}

// validateNumbers checks what was given, before defaults.
func (s *Scenario) validateNumbers(fault func(string, ...any)) {
	for _, n := range []struct {
		name        string
		value, most float64
	}{
		{"publishers", float64(s.Publishers), MaxClients}, {"subscribers", float64(s.Subscribers), MaxClients},
		{"size", float64(s.Size), MaxSize}, {"rate", s.Rate, 1e9}, {"rate per client", s.RatePerClient, 1e9},
		{"connect rate", s.ConnectRate, 1e9}, {"in-flight messages", float64(s.InFlight), 65535},
		{"count", float64(s.Count), 1e15}, {"clients connecting at once", float64(s.Connecting), MaxConnecting},
	} {
		if math.IsNaN(n.value) || n.value < 0 || n.value > n.most {
			fault("%s: %v is not from 0 to %v", n.name, n.value, n.most)
		}
	}
	if s.Duration < 0 || s.Quiet < 0 {
		fault("a negative duration")
	}
	if max(s.Duration, s.WarmUp, s.Drain, s.Quiet) > MaxDuration {
		fault("a duration above %v", MaxDuration)
	}
	if s.Rate > 0 && s.RatePerClient > 0 {
		fault("a rate for all and a rate for each client")
	}
	if s.Max && (s.Rate > 0 || s.RatePerClient > 0) {
		fault("as fast as possible, and a rate")
	}
}

// fill sets the defaults.
func (s *Scenario) fill() {
	s.Shape = cmp.Or(s.Shape, Pairs)
	if len(s.QoS) == 0 {
		s.QoS = []mqtt.QoS{mqtt.QoS0, mqtt.QoS1, mqtt.QoS2}
	}
	switch s.Shape {
	case FanIn:
		s.Publishers, s.Subscribers = cmp.Or(s.Publishers, DefaultPublishers), cmp.Or(s.Subscribers, 1)
	case FanOut:
		s.Publishers, s.Subscribers = cmp.Or(s.Publishers, len(s.QoS)), cmp.Or(s.Subscribers, DefaultSubscribers)
	default:
		s.Publishers = cmp.Or(s.Publishers, s.Subscribers, DefaultPublishers)
		s.Subscribers = cmp.Or(s.Subscribers, s.Publishers)
	}
	s.Size = cmp.Or(s.Size, DefaultSize)
	switch {
	case s.Max:
		s.InFlight = cmp.Or(s.InFlight, DefaultInFlight)
	case s.RatePerClient > 0:
		s.Rate = s.RatePerClient * float64(s.Publishers)
	default:
		s.Rate = cmp.Or(s.Rate, DefaultRate)
	}
	if s.Count > 0 {
		s.Duration = cmp.Or(s.Duration, MaxDuration)
	}
	s.Duration = cmp.Or(s.Duration, DefaultDuration)
	s.WarmUp = max(0, cmp.Or(s.WarmUp, DefaultWarmUp))
	s.Drain = max(0, cmp.Or(s.Drain, DefaultDrain))
	s.Quiet = cmp.Or(s.Quiet, DefaultQuiet)
	s.Connecting = cmp.Or(s.Connecting, DefaultConnecting)
	s.TopicPrefix = cmp.Or(s.TopicPrefix, "bench/"+s.RunID)
}

// MinSize is the smallest payload, in bytes, that a message can be tracked by.
const MinSize = 16
