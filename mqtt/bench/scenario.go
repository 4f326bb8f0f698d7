package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
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
	// Shared: as FanIn, and all subscribers read all topics in one Shared
	// Subscription, 5.0 only.
	Shared Shape = "shared"
	// Mesh: every subscriber reads every publisher.
	Mesh Shape = "mesh"
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
	DefaultClients     = 1000 // of RoleConn and RoleSub
	DefaultWaves       = 3
	DefaultJitter      = time.Second
	DefaultPick        = 0.3
	DefaultBacklog     = 2 * time.Second // of load, with RoleResume
	DefaultExpiry      = 3600            // seconds that the Sessions of RoleResume and RoleStorm are kept
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

	// Dial is as in [Plan].
	Dial func(ctx context.Context, o *client.Options) (net.Conn, error)
	// Watch is as in [Plan].
	Watch Watcher
	// Ceilings are as in [Plan].
	Ceilings Ceilings
	Tool     string // as in [Plan]

	// Role is what the run is for. Default RolePubSub.
	//
	// RoleConn holds Publishers+Subscribers clients, or DefaultClients, that do
	// nothing. RolePub has publishers only, RoleSub subscribers only, which count
	// what others send. RoleStorm is RolePubSub whose connections break in Waves.
	// RoleRetained lets publishers send a retained message each, and then
	// subscribers ask for them. RoleResume takes the subscribers offline, lets
	// a backlog grow for Duration, and takes up the Sessions.
	Role Role
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
	// thirds publish at QoS 1. Default {0, 1, 2}; of RoleResume {1, 2}.
	QoS []mqtt.QoS
	// SubscriberQoS is that of the subscriptions, in turns. Default: as high as
	// the publishers that they read.
	SubscriberQoS []mqtt.QoS
	// Size of the payload in bytes. Default DefaultSize; at least [MinSize]
	// unless NoTracking.
	Size int
	// MaxSize makes sizes random, from Size to it. Default 0: all the same.
	MaxSize int
	// Payload is as in [Group].
	Payload func(dst []byte, i int, n uint64) []byte
	// Topic, Filter and ClientID are as Group.Topic and Group.ClientID: the Topic
	// Names of publishers, the Topic Filters of subscribers. Default: of Shape.
	Topic, Filter func(i int) string
	ClientID      func(r Role, i int) string
	// Setup is as in [Group]. r is RoleConn, RolePub or RoleSub; i counts each.
	Setup  func(r Role, i int, o *client.Options) error
	Retain bool
	// KeepSession keeps the Sessions of subscribers; RoleStorm and RoleResume do
	// that anyhow.
	KeepSession bool
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

	// Arrival is how messages are spread over time, Burst how many come at once
	// with Bursts.
	Arrival Arrival
	Burst   int
	// Ramp lets the rate grow evenly from 0 before the measurement, instead of
	// WarmUp's full load from the start. Default 0: no.
	Ramp time.Duration
	// Levels are rates of all that take the place of Rate and Duration, one phase
	// each. Default: none.
	Levels []Level

	// Waves is how many times RoleStorm breaks connections during Duration, Pick
	// the share of the clients, Cut how, Over the time that a wave takes, After
	// and up to Jitter more how long a client waits before it comes back.
	// Defaults: DefaultWaves, DefaultPick, RST, 0, 0, DefaultJitter.
	Waves               int
	Pick                float64
	Cut                 ActionKind
	Over, After, Jitter time.Duration

	// Rules, NoDefaultRules, InconclusiveOK, Seed, Keep and Precise are as in
	// [Plan].
	Rules          []Rule
	NoDefaultRules bool
	InconclusiveOK bool
	Seed           uint64
	Keep           bool
	Precise        bool

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

	// Hold is how long the clients stay connected after the drain. Default 0.
	Hold time.Duration

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
	// Shard and StartAt are as in [Plan]. No message goes from one shard to
	// another: with Shared and Mesh each has topics of its own, with FanIn and
	// FanOut its clients have to do with each other.
	Shard   *Shard
	StartAt time.Time
}

// Level is a rate that is held for a time.
type Level struct {
	Rate float64
	For  time.Duration
}

// Validate reports all faults at once, joined. Run calls it.
func (s Scenario) Validate() error {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf("bench: "+format, a...)) }
	s.validateNumbers(fault)
	if s.Role == RoleSub && s.Filter == nil && s.TopicPrefix == "" {
		fault("subscribers without publishers need to know what others publish: a Topic Filter, or a topic prefix")
	}
	s.fill()
	switch s.Shape {
	case Pairs:
		if s.Publishers != s.Subscribers && s.Publishers > 0 && s.Subscribers > 0 {
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
	case Shared:
		if s.Client.Version != 0 && s.Client.Version < mqtt.V50 {
			fault("shared subscriptions need MQTT 5")
		}
	case Mesh:
	default:
		fault("shape %q is none of pairs, fan-in, fan-out, shared, mesh", string(s.Shape))
	}
	switch s.Role {
	case RoleConn, RolePub, RoleSub, RolePubSub, RoleStorm, RoleRetained, RoleResume:
	default:
		fault("no role %q", s.Role)
	}
	if s.Pick < 0 || s.Pick > 1 || s.Waves < 0 || min(s.Over, s.After, s.Jitter, s.Ramp) < 0 {
		fault("waves, their share, or a time is below 0, or the share is above 1")
	}
	for _, l := range s.Levels {
		if !(l.Rate > 0) || l.For <= 0 {
			fault("a step needs a rate and a time")
		}
	}
	for _, q := range append(s.SubscriberQoS, s.QoS...) {
		if q > mqtt.QoS2 {
			fault("QoS %d is none of 0, 1, 2", q)
		}
	}
	if !s.NoTracking && s.Size < MinSize && s.Payload == nil {
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
		{"size", float64(s.Size), MaxSize}, {"size", float64(s.MaxSize), MaxSize}, {"rate", s.Rate, 1e9}, {"rate per client", s.RatePerClient, 1e9},
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
	if s.Max && (s.Arrival != "" || s.Ramp > 0 || len(s.Levels) > 0) {
		fault("as fast as possible, and an arrival, a ramp or steps, which are those of a rate")
	}
}

// fill sets the defaults.
func (s *Scenario) fill() {
	s.Role = cmp.Or(s.Role, RolePubSub)
	s.Shape = cmp.Or(s.Shape, Pairs)
	if len(s.QoS) == 0 && s.Role == RoleResume { // nothing is kept of QoS 0
		s.QoS = []mqtt.QoS{mqtt.QoS1, mqtt.QoS2}
	}
	if len(s.QoS) == 0 {
		s.QoS = []mqtt.QoS{mqtt.QoS0, mqtt.QoS1, mqtt.QoS2}
	}
	switch s.Role {
	case RoleConn:
		s.Publishers, s.Subscribers, s.Shape = cmp.Or(s.Publishers+s.Subscribers, DefaultClients), 0, Pairs
	case RolePub:
		s.Publishers, s.Subscribers, s.Shape = cmp.Or(s.Publishers, DefaultPublishers), 0, Pairs
	case RoleSub:
		s.Publishers, s.Subscribers, s.Shape = 0, cmp.Or(s.Subscribers, DefaultClients), Pairs
	default:
		s.fillShape()
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
	s.fillRole()
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

func (s *Scenario) fillShape() {
	switch s.Shape {
	case FanIn:
		s.Publishers, s.Subscribers = cmp.Or(s.Publishers, DefaultPublishers), cmp.Or(s.Subscribers, 1)
	case Shared:
		s.Publishers, s.Subscribers = cmp.Or(s.Publishers, DefaultPublishers), cmp.Or(s.Subscribers, 4)
	case Mesh:
		s.Publishers, s.Subscribers = cmp.Or(s.Publishers, 10), cmp.Or(s.Subscribers, 10)
	case FanOut:
		s.Publishers, s.Subscribers = cmp.Or(s.Publishers, len(s.QoS)), cmp.Or(s.Subscribers, DefaultSubscribers)
	default:
		s.Publishers = cmp.Or(s.Publishers, s.Subscribers, DefaultPublishers)
		s.Subscribers = cmp.Or(s.Subscribers, s.Publishers)
	}
}

// MinSize is the smallest payload, in bytes, that a message can be tracked by.
const MinSize = 16
