package bench

import (
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
	Version     int       `json:"version"` // ReportVersion
	RunID       string    `json:"run"`
	Started     time.Time `json:"started"`
	Target      Target    `json:"target"`
	Load        Load      `json:"load"`
	Interrupted bool      `json:"interrupted"` // the measurement was cut short

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

	Generator  Generator   `json:"generator"`
	Thresholds []Threshold `json:"thresholds"`
	Verdict    Verdict     `json:"verdict"`
	// Reasons says in words what led to a Verdict other than Pass.
	Reasons []string `json:"reasons,omitempty"`
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
	Shape         Shape         `json:"shape"`
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

// Connections are the clients.
type Connections struct {
	Asked     int     `json:"asked"`
	Connected int     `json:"connected"`
	Failed    int     `json:"failed"`
	Failures  []Cause `json:"failures,omitempty"`
	// Lost connections were not ended by us.
	Lost   int     `json:"lost"`
	Losses []Cause `json:"losses,omitempty"`
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
	// Corrupt are payloads whose header does not fit its checksum, Unexpected
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
	Connect *Distribution `json:"connect,omitempty"` // dial to CONNACK
	SubAck  *Distribution `json:"sub_ack,omitempty"` // SUBSCRIBE to SUBACK
	// PubAck is to PUBACK, PubComp to PUBCOMP, E2E to the subscriber's first
	// delivery: from the intended send time.
	PubAck  *Distribution `json:"pub_ack,omitempty"`
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
	N    int64         `json:"n"`
	Min  time.Duration `json:"min_ns"`
	Mean time.Duration `json:"mean_ns"`
	P50  time.Duration `json:"p50_ns"`
	P90  time.Duration `json:"p90_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Max  time.Duration `json:"max_ns"`
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
}

// Threshold is a rule and how it went.
type Threshold struct {
	Rule  string `json:"rule"`
	Value string `json:"value"`
	OK    bool   `json:"ok"`
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
