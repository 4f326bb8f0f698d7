package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/topic"
)

// Plan is a load in full: groups of clients, and what they do, step by step. A
// [Scenario] is a short way to one.
type Plan struct {
	// Client is what every client is made from; see [Scenario].
	Client client.Options
	// Dial connects a client, so that the handshakes of the transport can be told
	// from MQTT's and connections be broken on purpose. Default: Client.Dial, or
	// package client's own way without these two.
	Dial      func(ctx context.Context, o *client.Options) (net.Conn, error)
	Target    string // as in [Scenario]
	InProcess bool

	Name   string // of the scenario
	Tool   string // name and version of the program, for the report
	Role   Role   // default RoleScenario
	RunID  string
	Seed   uint64
	Groups []Group
	Steps  []Step
	// Rules are the thresholds, beside the default ones that hold unless
	// NoDefaultRules.
	Rules          []Rule
	NoDefaultRules bool
	// InconclusiveOK lets rules and runs with too few samples pass.
	InconclusiveOK bool
	NoTracking     bool
	// Keep leaves retained messages and Sessions behind.
	Keep        bool
	Connecting  int     // as in [Scenario]
	ConnectRate float64 // as in [Scenario]
	// Precise keeps a thread for each core that sleeps by the kernel's clock: less
	// lag, for more CPU time.
	Precise bool
	// Ceilings are what this machine has been calibrated to: a run that comes near
	// them measures this machine and is invalid. Default: not known.
	Ceilings Ceilings
	// Watch is asked what the Server costs, where it can be watched.
	Watch Watcher
	// Shard is the part of the plan that this process is; nil: all of it. The
	// other shards have the same plan and RunID.
	Shard *Shard
	// StartAt is when the first load begins, so that all shards begin at the same
	// time. Default: when the clients are ready.
	StartAt time.Time

	load Load   // for the report
	hash string // of all shards together
}

// Watcher tells the cost of the Server's process.
type Watcher interface {
	// Usage is the CPU time so far, and the memory that is resident now and was
	// at most, in bytes.
	Usage() (cpu time.Duration, resident, peak int64, err error)
	// Command is what started it.
	Command() string
}

// Group is a number of clients that do the same.
type Group struct {
	Name    string
	Role    Role // RoleConn, RolePub or RoleSub
	Clients int
	// ClientID names client i. Default: "bench", the run, the group and the number.
	ClientID func(i int) string
	// Topic is the Topic Name of publisher i, or the Topic Filter of subscriber i.
	Topic func(i int) string
	// Setup changes the options of client i: credentials, certificates, addresses.
	Setup func(i int, o *client.Options) error
	// QoS in turns. Default of a publisher: 0; of a subscriber: as its publishers.
	QoS    []mqtt.QoS
	Retain bool
	// Size of the payload in bytes, up to MaxSize if that is larger, at random.
	Size, MaxSize int
	// Payload appends what stands behind the header of message n of client i. Its
	// length replaces Size. Default: random bytes.
	Payload func(dst []byte, i int, n uint64) []byte

	Rate     float64 // messages a second of all clients
	Max      bool    // closed loop
	InFlight int     // as in [Scenario]
	Arrival  Arrival // default Uniform
	Burst    int     // messages that are due at once, with Bursts

	// KeepSession and Expiry (seconds, 5.0) are the Session.
	KeepSession bool
	Expiry      uint32
	// Reconnect makes a lost connection anew, after After and a random time up to
	// Jitter.
	Reconnect     bool
	After, Jitter time.Duration

	gated bool // actions hold up what its connections carry
}

// Arrival is how messages are spread over time.
type Arrival string

// The arrivals.
const (
	Uniform Arrival = "uniform" // evenly
	Poisson Arrival = "poisson" // independent of each other
	Bursts  Arrival = "burst"   // Group.Burst at once
)

// Do is what a Step does.
type Do string

// What a Step can do.
const (
	DoConnect    Do = "connect"
	DoSubscribe  Do = "subscribe"
	DoProbe      Do = "probe"
	DoLoad       Do = "load"
	DoHold       Do = "hold" // nothing but staying connected
	DoDrain      Do = "drain"
	DoDisconnect Do = "leave"  // goodbye; Sessions are kept as their group says
	DoResume     Do = "resume" // connect again, Session Present is expected
	DoRetain     Do = "retain" // each publisher sends one retained message
)

// Step is one phase of a Plan.
type Step struct {
	Name Phase
	Do   Do
	// Groups by name. Default: all.
	Groups []string
	// For is how long; with DoDrain at most.
	For time.Duration
	// Record counts the step in the result.
	Record bool
	// From and To are factors of the groups' rates, at the beginning and the end.
	// Default 1.
	From, To float64
	Count    int64 // messages of all groups; 0: no bound
	Quiet    time.Duration
	Actions  []Action
}

// ActionKind is what is done to connections.
type ActionKind string

// The kinds of actions.
const (
	Disconnect ActionKind = "disconnect" // DISCONNECT, then close; with TLS and WebSocket the goodbye of these
	FIN        ActionKind = "fin"        // close without any goodbye
	RST        ActionKind = "rst"        // reset
	HalfOpen   ActionKind = "half-open"  // neither read nor write any more; closed at the end of the step
	Slow       ActionKind = "slow"       // read slowly until the end of the step
	TakeOver   ActionKind = "take-over"  // another client with the same Client Identifier
	Exec       ActionKind = "exec"       // run a command
)

// Action happens during a Step.
type Action struct {
	Kind   ActionKind
	Groups []string      // default: all
	Pick   float64       // share of their clients; default 1
	At     time.Duration // since the step began
	Over   time.Duration // spread evenly over this time
	// Command is run by the shell, for Exec.
	Command string
}

// Validate reports all faults at once, joined. RunPlan calls it.
func (p *Plan) Validate() error {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf("bench: "+format, a...)) }
	if len(p.Groups) == 0 || len(p.Steps) == 0 {
		fault("a plan needs groups and phases")
	}
	if p.Connecting < 0 || p.Connecting > MaxConnecting {
		fault("connecting at a time: %d, from 1 to %d", p.Connecting, MaxConnecting)
	}
	names := make(map[string]bool)
	for i := range p.Groups {
		g := &p.Groups[i]
		if names[g.Name] || g.Name == "" {
			fault("group %q: its name is empty or taken", g.Name)
		}
		names[g.Name] = true
		g.validate(p, func(format string, a ...any) { fault("group %q: "+format, append([]any{g.Name}, a...)...) })
	}
	known := func(where string, groups []string) {
		for _, name := range groups {
			if !names[name] {
				fault("%s: no group %q", where, name)
			}
		}
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		where := fmt.Sprintf("phase %q", s.Name)
		known(where, s.Groups)
		if s.For < 0 || s.For > MaxDuration || s.Quiet < 0 {
			fault("%s: a duration that is negative or above %v", where, MaxDuration)
		}
		if f := max(s.From, s.To); s.From < 0 || s.To < 0 || math.IsNaN(f) || math.IsInf(f, 0) {
			fault("%s: a rate below 0", where)
		}
		for _, a := range s.Actions {
			known(where, a.Groups)
			a.validate(p, s, func(format string, args ...any) { fault("%s: "+format, append([]any{where}, args...)...) })
		}
	}
	for i := range p.Rules {
		faults = append(faults, p.Rules[i].check(p))
	}
	if errors.Join(faults...) == nil {
		part := *p
		part.Groups = slices.Clone(p.Groups)
		faults = append(faults, part.shard())
	}
	return errors.Join(faults...)
}

func (g *Group) validate(p *Plan, fault func(string, ...any)) {
	if g.Clients < 1 || g.Clients > MaxClients {
		fault("clients: %d, from 1 to %d", g.Clients, MaxClients)
		return
	}
	if slices.Max(append(g.QoS, 0)) > mqtt.QoS2 {
		fault("QoS is 0, 1 or 2")
	}
	if g.KeepSession && g.Expiry == 0 && p.Client.Version == mqtt.V50 {
		fault("a session that is kept needs an expiry")
	}
	if g.Role == RoleConn {
		return
	}
	if g.Topic == nil {
		fault("it needs a topic")
		return
	}
	check := topic.ValidateName
	if g.Role == RoleSub {
		check = topic.ValidateFilter
	}
	if err := check(g.Topic(0)); err != nil {
		fault("%w", err)
	}
	if g.Role == RolePub {
		g.validateLoad(p, fault)
	}
}

func (g *Group) validateLoad(p *Plan, fault func(string, ...any)) {
	least := MinSize
	if p.NoTracking {
		least = 0
	}
	if size := g.Size; g.Payload == nil && (size < least || max(size, g.MaxSize) > MaxSize) {
		if size >= 0 && size < least {
			fault("a payload of %d bytes has no room for the %d that track it", size, MinSize)
		} else {
			fault("payload size: from %d to %d", least, MaxSize)
		}
	}
	if g.Max && g.Rate > 0 {
		fault("as fast as possible, and a rate")
	}
	if !(g.Rate >= 0) || math.IsInf(g.Rate, 0) {
		fault("rate: a number above 0")
	}
	if g.InFlight < 0 || g.InFlight > 65535 {
		fault("in-flight window: %d, from 1 to 65535", g.InFlight)
	}
	switch g.Arrival {
	case "", Uniform, Poisson:
	case Bursts:
		if g.Burst < 1 {
			fault("a burst of %d messages", g.Burst)
		}
	default:
		fault("no arrival %q", g.Arrival)
	}
}

func (a *Action) validate(p *Plan, s *Step, fault func(string, ...any)) {
	switch a.Kind {
	case Exec:
		if a.Command == "" {
			fault("exec without a command")
		}
	case Disconnect, FIN, RST, HalfOpen, Slow, TakeOver:
	default:
		fault("no action %q", a.Kind)
	}
	if a.Pick < 0 || a.Pick > 1 {
		fault("it picks a share from 0 to 1")
	}
	if a.At < 0 || a.Over < 0 || a.At+a.Over > s.For {
		fault("the action ends behind the phase")
	}
	if a.Kind != Exec && a.Kind != TakeOver && p.Dial == nil && p.Client.Dial == nil {
		fault("connections that package client dials cannot be broken")
	}
}

// fill sets the defaults.
func (p *Plan) fill() {
	if p.Role == "" {
		p.Role = RoleScenario
	}
	if p.load.Role == "" {
		p.load = p.planned()
	}
	if p.Connecting == 0 {
		p.Connecting = DefaultConnecting
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.From == 0 && s.To == 0 {
			s.From, s.To = 1, 1
		}
		if s.Quiet == 0 {
			s.Quiet = DefaultQuiet
		}
		for k := range s.Actions {
			a := &s.Actions[k]
			if a.Pick == 0 {
				a.Pick = 1
			}
			if a.Kind == HalfOpen || a.Kind == Slow {
				p.gate(a)
			}
		}
	}
	for i := range p.Groups {
		g := &p.Groups[i]
		if g.Role == RolePub && len(g.QoS) == 0 {
			g.QoS = []mqtt.QoS{mqtt.QoS0}
		}
		if g.Max && g.InFlight == 0 {
			g.InFlight = DefaultInFlight
		}
		if g.Arrival == "" {
			g.Arrival = Uniform
		}
	}
}

func (p *Plan) gate(a *Action) {
	for i := range p.Groups {
		if g := &p.Groups[i]; len(a.Groups) == 0 || slices.Contains(a.Groups, g.Name) {
			g.gated = true
		}
	}
}
