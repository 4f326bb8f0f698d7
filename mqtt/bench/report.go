package bench

import (
	"slices"
	"time"

	"mqt/mqtt"
)

// ReportVersion is the version of Report's JSON form. It changes when a member
// changes its meaning or goes away, not when one is added.
const ReportVersion = 1

// Report is the result of a run. Times in JSON are nanoseconds, rates are per
// second. Counts and latencies are of the measured phase: messages of warm-up
// and probe are not in them, those that arrive while draining are.
type Report struct {
	Version     int         `json:"version"`        // ReportVersion
	Tool        string      `json:"tool,omitempty"` // name and version of the program
	Name        string      `json:"name,omitempty"` // of the scenario
	RunID       string      `json:"run"`
	Seed        uint64      `json:"seed"`
	Shard       *Shard      `json:"shard,omitempty"` // nil: the whole
	Started     time.Time   `json:"started"`
	Target      Target      `json:"target"`
	Environment Environment `json:"environment"`
	Load        Load        `json:"load"`
	// ConfigHash is the same for runs of the same load, whatever their Server,
	// run and seed.
	ConfigHash  string `json:"config_hash"`
	Interrupted bool   `json:"interrupted"` // the measurement was cut short
	// Aborted is the rule of a threshold that ended the run.
	Aborted string `json:"aborted,omitempty"`

	Connections Connections `json:"connections"`
	// Measured is how long messages were being sent, Drained how long it took
	// then until the last one had arrived or was given up.
	Measured time.Duration `json:"measured_ns"`
	Drained  time.Duration `json:"drained_ns"`

	Sent      Count `json:"sent"`      // PUBLISH packets, without those sent again
	Acked     Count `json:"acked"`     // PUBACK or PUBCOMP without a failure
	Delivered Count `json:"delivered"` // PUBLISH packets that subscribers received
	// Refused are PUBACK, PUBREC and limits of the Server that denied a message,
	// by reason.
	Refused []Cause `json:"refused,omitempty"`
	// Unsent are messages that were due when the measurement ended and had not
	// been sent: the Server was not fast enough, or the generator was not.
	Unsent int64 `json:"unsent"`

	Contract Contract `json:"contract"`
	Latency  Latency  `json:"latency"`
	Seconds  []Second `json:"seconds"`
	// Phases are all of the run in their order, Groups the clients by what they
	// do. Counts and latencies of Groups are those of the recorded phases.
	Phases []PhaseResult `json:"phases,omitempty"`
	Groups []GroupResult `json:"groups,omitempty"`
	// Events is what happened on the time line, the first maxEvents.
	Events []Event `json:"events,omitempty"`

	Resume *Resume `json:"resume,omitempty"` // of sessions that were taken up again
	Sweep  *Sweep  `json:"sweep,omitempty"`
	Broker *Broker `json:"broker,omitempty"` // what the Server cost, where it could be watched

	Generator  Generator   `json:"generator"`
	Thresholds []Threshold `json:"thresholds"`
	Verdict    Verdict     `json:"verdict"`
	// Reasons says in words what led to a Verdict other than Pass.
	Reasons []string `json:"reasons,omitempty"`
}

// Shard is the part of a run that this process was.
type Shard struct {
	Index int `json:"index"` // from 0
	Count int `json:"count"`
}

// Environment is where the load came from.
type Environment struct {
	Host   string `json:"host,omitempty"`
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel,omitempty"`
	CPU    string `json:"cpu,omitempty"` // its model
	Cores  int    `json:"cores"`         // that may be used
	Memory int64  `json:"memory,omitempty"`
	Go     string `json:"go"`
}

// Target is the Server that was measured.
type Target struct {
	URL       string       `json:"url"` // or another name; without password
	InProcess bool         `json:"in_process"`
	Protocol  mqtt.Version `json:"protocol"` // 3, 4 or 5
	// What its CONNACK allows; 0 where it says nothing.
	ReceiveMaximum    int `json:"receive_maximum,omitempty"`
	MaximumPacketSize int `json:"maximum_packet_size,omitempty"`
	ServerKeepAlive   int `json:"server_keep_alive,omitempty"` // seconds
}

// Load is the Scenario as it was run, defaults filled in.
type Load struct {
	Role          Role          `json:"role"`
	Shape         Shape         `json:"shape"`
	Connections   int           `json:"connections,omitempty"` // clients that are only connected
	Publishers    int           `json:"publishers"`
	Subscribers   int           `json:"subscribers"`
	QoS           []int         `json:"qos"`
	SubscriberQoS []int         `json:"subscriber_qos,omitempty"`
	Size          int           `json:"size"` // payload bytes
	Tracked       bool          `json:"tracked"`
	Rate          float64       `json:"rate,omitempty"` // of all, 0 with Max
	Max           bool          `json:"max"`
	InFlight      int           `json:"in_flight,omitempty"`
	WarmUp        time.Duration `json:"warm_up_ns"`
	Duration      time.Duration `json:"duration_ns"`
	Count         int64         `json:"count,omitempty"`
	TopicPrefix   string        `json:"topic_prefix"`
}

// PhaseResult is one phase of a run.
type PhaseResult struct {
	Name     Phase         `json:"name"`
	Recorded bool          `json:"recorded"` // it is part of the result
	From     time.Duration `json:"from_ns"`  // since the run began
	To       time.Duration `json:"to_ns"`
	Target   float64       `json:"target,omitempty"` // rate of all
	Traffic
	// Groups are what each group did in the phase, in the order of
	// Report.Groups; in shards alone, whose thresholds are held against the sum.
	Groups []Traffic `json:"groups,omitempty"`
}

// GroupResult is what one group of clients did.
type GroupResult struct {
	Name      string  `json:"name"`
	Role      Role    `json:"role"` // RoleConn, RolePub or RoleSub
	Clients   int     `json:"clients"`
	Connected int     `json:"connected"`
	Failed    int     `json:"failed"`
	Lost      int     `json:"lost"`
	Target    float64 `json:"target,omitempty"`
	Traffic
}

// Traffic is what went through, counts and latencies. At the subscribers'
// group: Delivered and the end-to-end latencies; at the publishers': the rest.
type Traffic struct {
	Sent      Count   `json:"sent"`
	Acked     Count   `json:"acked"`
	Delivered Count   `json:"delivered"`
	Latency   Latency `json:"latency"`
}

// Event is something that happened at a moment: a phase's beginning, an
// action, a lost connection, a threshold that failed.
type Event struct {
	At   time.Duration `json:"at_ns"` // since the run began
	Kind string        `json:"kind"`  // phase, action, lost, reconnected, abort
	Text string        `json:"text"`
}

// Resume is how Sessions were taken up.
type Resume struct {
	Sessions int `json:"sessions"` // connections made that expected one
	Present  int `json:"present"`  // Session Present was 1
	Absent   int `json:"absent"`
	// Backlog is what was sent while the Sessions were offline, Recovered what of
	// it arrived, both once for each subscription; Took from the first connection
	// to the last message.
	Backlog   int64         `json:"backlog"`
	Recovered int64         `json:"recovered"`
	Took      time.Duration `json:"took_ns"`
	Rate      float64       `json:"rate"` // of Recovered
}

// Sweep is the search for the highest rate that holds the thresholds.
type Sweep struct {
	Points []SweepPoint `json:"points"` // in the order tried
	// Highest is the highest rate that held, Knee the lowest that did not; 0
	// where there was none.
	Highest float64 `json:"highest"`
	Knee    float64 `json:"knee"`
}

// SweepPoint is one rate that was tried.
type SweepPoint struct {
	Rate      float64       `json:"rate"`
	Sent      float64       `json:"sent"`      // per second
	Delivered float64       `json:"delivered"` // per second
	E2EP50    time.Duration `json:"e2e_p50_ns"`
	E2EP99    time.Duration `json:"e2e_p99_ns"`
	N         int64         `json:"n"` // latencies
	Verdict   Verdict       `json:"verdict"`
	Reasons   []string      `json:"reasons,omitempty"`
}

// Broker is what the Server cost while it was measured.
type Broker struct {
	Command string        `json:"command"`
	CPU     time.Duration `json:"cpu_ns"` // while measuring and draining
	// CPUPerMillion is for a million messages, received and sent together.
	CPUPerMillion time.Duration `json:"cpu_per_million_ns"`
	PeakMemory    int64         `json:"peak_memory"` // resident bytes
	IdleMemory    int64         `json:"idle_memory"` // before the first connection
	// PerConnection is how much each connection added, before there was load.
	PerConnection int64 `json:"memory_per_connection"`
}

// Connections are the clients.
type Connections struct {
	Asked     int     `json:"asked"`
	Connected int     `json:"connected"`
	Failed    int     `json:"failed"`
	Failures  []Cause `json:"failures,omitempty"`
	// Lost connections were not ended by us.
	Lost   int     `json:"lost"`
	Losses []Cause `json:"losses,omitempty"`
	// Reconnected is how often a connection was made anew, Refused how often that
	// failed.
	Reconnected int `json:"reconnected,omitempty"`
	Refused     int `json:"reconnects_refused,omitempty"`
	// Cut are connections that the scenario ended on purpose; they are not in
	// Lost.
	Cut int `json:"cut,omitempty"`
	// Took is from the first connect to the last answer.
	Took time.Duration `json:"took_ns"`
}

// Cause is an error's text and how often it came.
type Cause struct {
	Text string `json:"text"`
	N    int64  `json:"n"`
}

// Count is a number of messages.
type Count struct {
	N     int64   `json:"n"`
	Rate  float64 `json:"rate"`  // per second of Measured
	Bytes int64   `json:"bytes"` // payloads
}

// Contract is what the QoS promises, section 4.3 and 4.6, held against what was
// seen.
type Contract struct {
	Checked bool  `json:"checked"` // false without tracking
	Held    bool  `json:"held"`
	QoS     []QoS `json:"qos"` // one for each delivery QoS in the run
	// Corrupt are payloads that do not fit their checksum; those below 34 bytes
	// have none. What was sent in their place is lost. Unexpected are
	// messages that were not for the subscriber that received them. Strange are
	// payloads of others.
	Corrupt    int64 `json:"corrupt"`
	Unexpected int64 `json:"unexpected"`
	Strange    int64 `json:"strange"`
	// Violations are the first of them.
	Violations []Violation `json:"violations,omitempty"`
}

// QoS is the account of the messages that are delivered at one QoS, which is
// the lower of the publisher's and the subscription's.
type QoS struct {
	QoS  int   `json:"qos"`
	Sent int64 `json:"sent"` // with a subscription of this QoS
	// Expected is one for each message and subscription; at QoS 1 and 2 without
	// the messages of which no acknowledgement came, or a failure.
	Expected int64 `json:"expected"`
	// Delivered are first deliveries. What is not expected may be in it.
	Delivered int64   `json:"delivered"`
	Lost      int64   `json:"lost"`
	LossRatio float64 `json:"loss_ratio"` // Lost / Expected
	// Duplicates are deliveries after the first; DuplicatesDUP those of them that
	// had the DUP flag.
	Duplicates    int64 `json:"duplicates"`
	DuplicatesDUP int64 `json:"duplicates_dup"`
	// OutOfOrder are first deliveries after a later message of the same
	// publisher.
	OutOfOrder int64 `json:"out_of_order"`
	InDoubt    int64 `json:"in_doubt"` // messages sent, not acknowledged
	Held       bool  `json:"held"`
}

// Violation is one message that broke the contract.
type Violation struct {
	Kind       string        `json:"kind"` // lost, duplicate or order
	QoS        int           `json:"qos"`
	Publisher  string        `json:"publisher"`  // Client Identifier
	Subscriber string        `json:"subscriber"` // Client Identifier
	Topic      string        `json:"topic"`
	Seq        uint64        `json:"seq"`
	At         time.Duration `json:"at_ns"` // since the measurement began; 0 for lost
}

// Latency are all distributions; nil where nothing was recorded.
type Latency struct {
	Connect *Distribution `json:"connect,omitempty"` // due to CONNACK
	// What Connect consists of: TCP, TLS and WebSocket handshakes, and CONNECT to
	// CONNACK.
	ConnectDial    *Distribution `json:"connect_dial,omitempty"`
	ConnectConnack *Distribution `json:"connect_connack,omitempty"`
	Reconnect      *Distribution `json:"reconnect,omitempty"` // as Connect, of later connections
	SubAck         *Distribution `json:"sub_ack,omitempty"`   // SUBSCRIBE to SUBACK
	// FirstMessage is from SUBSCRIBE to the first retained message.
	FirstMessage *Distribution `json:"first_message,omitempty"`
	// PubAck is to PUBACK, PubRec to PUBREC, PubComp to PUBCOMP, E2E to the subscriber's first
	// delivery: from the intended send time.
	PubAck  *Distribution `json:"pub_ack,omitempty"`
	PubRec  *Distribution `json:"pub_rec,omitempty"`
	PubComp *Distribution `json:"pub_comp,omitempty"`
	E2E     *Distribution `json:"e2e,omitempty"`
	// E2E of each delivery QoS.
	E2EQoS0 *Distribution `json:"e2e_qos0,omitempty"`
	E2EQoS1 *Distribution `json:"e2e_qos1,omitempty"`
	E2EQoS2 *Distribution `json:"e2e_qos2,omitempty"`
	// E2EService is E2E from when the message was written: without generator lag
	// and without waiting for a full in-flight window.
	E2EService *Distribution `json:"e2e_service,omitempty"`
	// Lag is by how much the generator was late. It is part of the others.
	Lag *Distribution `json:"lag,omitempty"`
}

// Distribution sums up one histogram. Values are exact to three digits.
type Distribution struct {
	N     int64         `json:"n"`
	Min   time.Duration `json:"min_ns"`
	Mean  time.Duration `json:"mean_ns"`
	P50   time.Duration `json:"p50_ns"`
	P90   time.Duration `json:"p90_ns"`
	P99   time.Duration `json:"p99_ns"`
	P999  time.Duration `json:"p999_ns"`
	Max   time.Duration `json:"max_ns"`
	P9999 time.Duration `json:"p9999_ns,omitempty"`
	// Clamped are samples above the range, recorded as an hour.
	Clamped int64 `json:"clamped,omitempty"`
	// HDR is the whole histogram in ns, HdrHistogram's V2 compressed form in
	// base64: those of several runs can be added.
	HDR string `json:"hdr,omitempty"`
}

// Second is one second of the measurement and the drain.
type Second struct {
	At        time.Duration `json:"at_ns"` // its end, since the measurement began
	Sent      int64         `json:"sent"`
	Acked     int64         `json:"acked"`
	Delivered int64         `json:"delivered"`
	E2EP99    time.Duration `json:"e2e_p99_ns"`
	LagP99    time.Duration `json:"lag_p99_ns"`
	Lost      int           `json:"connections_lost"`
	CPU       float64       `json:"cpu"` // cores of this process

	Phase     Phase         `json:"phase,omitempty"`
	Connected int           `json:"connected"` // at its end
	Duration  time.Duration `json:"duration_ns"`
	E2EP50    time.Duration `json:"e2e_p50_ns"`
	E2EMax    time.Duration `json:"e2e_max_ns"`
	E2EN      int64         `json:"e2e_n"`
	AckP99    time.Duration `json:"ack_p99_ns"` // PUBACK and PUBCOMP
	// HDR are the histograms of this second, as in Distribution, by the names of
	// [Latency.All]: e2e, pub_ack, pub_rec, pub_comp,
	// lag.
	HDR map[string]string `json:"hdr,omitempty"`
}

// Generator is the check of the generator itself.
type Generator struct {
	Valid    bool     `json:"valid"`
	Faults   []string `json:"faults,omitempty"`   // why not
	Warnings []string `json:"warnings,omitempty"` // what comes near
	// Achieved is the share of the due messages that was sent, 0 with Max.
	Achieved float64       `json:"achieved"`
	CPU      time.Duration `json:"cpu_ns"` // of this process while measuring and draining
	Cores    int           `json:"cores"`
	CPUShare float64       `json:"cpu_share"` // of the cores
	LagP99   time.Duration `json:"lag_p99_ns"`
	// Checks are all signals that were looked at.
	Checks []Check `json:"checks,omitempty"`
	// Ceiling is the rate that this machine can generate, as calibrated; 0: not
	// known.
	Ceiling float64 `json:"ceiling,omitempty"`
}

// Check is one signal of the generator's check.
type Check struct {
	Name  string     `json:"name"`
	Value string     `json:"value"`
	Warn  string     `json:"warn,omitempty"`  // from where on it is a warning
	Fault string     `json:"fault,omitempty"` // and a fault
	State CheckState `json:"state"`
}

// CheckState is how a Check went.
type CheckState string

// The states of a Check.
const (
	CheckOK    CheckState = "ok"
	CheckWarn  CheckState = "warning"
	CheckFault CheckState = "fault"
)

// Threshold is a rule and how it went.
type Threshold struct {
	Rule  string `json:"rule"`
	Value string `json:"value"`
	OK    bool   `json:"ok"`
	// Inconclusive: too few samples for an answer; OK is false then.
	Inconclusive bool `json:"inconclusive,omitempty"`
	// Limit is what Value was held against, where that is not in the rule.
	Limit string `json:"limit,omitempty"`
	// Default rules hold for every run that does not turn them off.
	Default bool  `json:"default,omitempty"`
	N       int64 `json:"n,omitempty"` // samples behind a latency
}

// Verdict is what a Report comes to.
type Verdict string

// The verdicts, the gravest first.
const (
	ContractBroken  Verdict = "contract broken"
	Invalid         Verdict = "invalid" // the generator was the bottleneck
	ThresholdFailed Verdict = "threshold failed"
	Inconclusive    Verdict = "inconclusive" // too few samples
	Pass            Verdict = "pass"
)

// Role is what a run or a group of clients is for.
type Role string

// The roles. Groups are RoleConn, RolePub or RoleSub.
const (
	RoleConn     Role = "conn"
	RolePub      Role = "pub"
	RoleSub      Role = "sub"
	RolePubSub   Role = "pubsub"
	RoleStorm    Role = "storm"
	RoleRetained Role = "retained"
	RoleResume   Role = "resume"
	RoleSweep    Role = "sweep"
	RoleScenario Role = "run"
)

// Named is a Distribution, its name in thresholds and files, and what people
// call it.
type Named struct {
	Name, Title string
	*Distribution
}

// All are the distributions that there are, in the order of a report.
func (l *Latency) All() []Named {
	all := []Named{
		{"connect", "connect", l.Connect}, {"connect.dial", "dial and handshakes", l.ConnectDial},
		{"connect.connack", "CONNECT to CONNACK", l.ConnectConnack}, {"reconnect", "reconnect", l.Reconnect},
		{"sub_ack", "subscribe to SUBACK", l.SubAck}, {"first_message", "subscribe to first retained", l.FirstMessage},
		{"pub_ack", "publish to PUBACK", l.PubAck}, {"pub_rec", "publish to PUBREC", l.PubRec},
		{"pub_comp", "publish to PUBCOMP", l.PubComp}, {"e2e", "end to end", l.E2E}, {"e2e_qos0", "QoS 0", l.E2EQoS0},
		{"e2e_qos1", "QoS 1", l.E2EQoS1}, {"e2e_qos2", "QoS 2", l.E2EQoS2},
		{"e2e_service", "end to end, from actual send", l.E2EService}, {"lag", "generator lag, in the above", l.Lag},
	}
	return slices.DeleteFunc(all, func(n Named) bool { return n.Distribution == nil })
}
