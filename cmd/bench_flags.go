package cmd

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/bench"
	"mqt/mqtt/client"
)

// benchOptions are the flags of bench. Where emqtt-bench has a long name for
// the same thing, that works too.
type benchOptions struct {
	connect connectOptions

	shape            bench.Shape
	clients          int
	pubs, subs       int
	qos, subQoS      []mqtt.QoS
	size             int
	noTracking       bool
	rate, perClient  float64
	max              bool
	inFlight         int
	warmUp, duration time.Duration
	drain            time.Duration
	noWarmUp         bool
	noDrain          bool
	limit            int
	connecting       int
	connectRate      float64
	runID, prefix    string

	outputs []string // KIND=FILE
	json    bool
	color   colorMode
}

func (o *benchOptions) flags(s *Stdio) []*option {
	const load, message, length, out = group("Load"), group("Messages"), group("Length"), group("Result")
	all := []*option{
		load.value("shape", "`SHAPE` is who publishes to whom: pairs, fan-in or fan-out (default: pairs)", o.readShape),
		number(load, "clients count", "`NUMBER` of clients, publishers and subscribers together (default: 1000)", &o.clients, 2, 2*bench.MaxClients),
		number(load, "pubs publishers", "`NUMBER` of publishers", &o.pubs, 1, bench.MaxClients),
		number(load, "subs subscribers", "`NUMBER` of subscribers", &o.subs, 1, bench.MaxClients),
		load.value("rate", fmt.Sprintf("`RATE` of all publishers together, messages a second: 500, 10k (default: %d)", bench.DefaultRate), rateTo(&o.rate)),
		load.value("rate-per-client", "`RATE` of each publisher", rateTo(&o.perClient)),
		load.value("interval_of_msg interval-of-msg", "`MILLISECONDS` between two messages of a publisher: another way to say --rate-per-client", everyTo(&o.perClient)),
		load.toggle("max", "send as fast as the server acknowledges", &o.max),
		number(load, "inflight max-inflight F M", "`NUMBER` of QoS 1 and 2 messages that a publisher may have under way", &o.inFlight, 1, 65535),
		load.value("connrate", "`RATE` of new connections, a second (default: no bound)", rateTo(&o.connectRate)),
		load.value("interval", "`MILLISECONDS` between two connects: another way to say --connrate", everyTo(&o.connectRate)),
		number(load, "connecting", "`NUMBER` of clients that connect at the same time (default: 64, which is the most)", &o.connecting, 1, bench.MaxConnecting),

		message.value("qos q", "`QOS` of the publishers, which take turns: 1, or 0,1,2 (default: 0,1,2)", qosListTo(&o.qos)),
		message.value("sub-qos", "`QOS` of the subscriptions (default: as the publishers)", qosListTo(&o.subQoS)),
		number(message, "size s", fmt.Sprintf("payload `BYTES` (default: %d)", bench.DefaultSize), &o.size, 0, bench.MaxSize),
		message.toggle("no-tracking", "leave the header out of payloads: no end-to-end latency, no check of delivery", &o.noTracking),
		message.text("topic-prefix", "`TOPIC` in front of every topic (default: bench/ and the run)", &o.prefix),
		message.text("run-id", "`ID` in topics and Client Identifiers, up to 8 letters and digits (default: random)", &o.runID),

		length.duration("duration", "`TIME` to measure (default: 10s)", &o.duration),
		length.value("warmup warm-up", "`TIME` of load before that, which is not measured (default: 2s)", optional(&o.warmUp, &o.noWarmUp)),
		number(length, "limit", "end after this `NUMBER` of messages", &o.limit, 1, math.MaxInt32),
		length.value("drain", "longest `TIME` to wait for what is under way at the end (default: 10s)", optional(&o.drain, &o.noDrain)),

		out.list("o output", "`KIND=FILE` to write the result to: json=FILE, text=FILE; - is stdout; may be repeated", &o.outputs),
		out.toggle("json", "print the result as JSON, and the text on stderr", &o.json),
		o.color.flag(out),
	}
	return append(all, o.connectFlags(s)...)
}

// connectFlags are those of the other clients which make sense for many.
func (o *benchOptions) connectFlags(s *Stdio) []*option {
	all := o.connect.flags(s)
	shown := []string{
		"profile", "host", "port", "url", "unix", "bind", "proxy", "ws", "ws-path", "ws-header", "connect-timeout",
		"username", "password", "password-file", "password-env", "password-command", "ask-password", "auth-method", "keepalive", "protocol-version", "quiet",
	}
	return slices.DeleteFunc(slices.Clone(all), func(f *option) bool {
		return !slices.Contains(shown, f.names[0]) && f.Category != string(groupTLS)
	})
}

// named tells that somebody said which server to measure.
func (o *benchOptions) named() bool {
	return slices.ContainsFunc([]string{"url", "host", "port", "unix"}, func(name string) bool { return o.connect.flag[name].given() })
}

func (o *benchOptions) scenario(c client.Options) bench.Scenario {
	s := bench.Scenario{
		Client: c, Shape: o.shape, Publishers: o.pubs, Subscribers: o.subs,
		QoS: o.qos, SubscriberQoS: o.subQoS, Size: o.size, NoTracking: o.noTracking,
		Rate: o.rate, RatePerClient: o.perClient, Max: o.max, InFlight: o.inFlight,
		WarmUp: o.warmUp, Duration: o.duration, Drain: o.drain, Count: int64(o.limit),
		Connecting: o.connecting, ConnectRate: o.connectRate, RunID: o.runID, TopicPrefix: o.prefix,
	}
	if o.noWarmUp {
		s.WarmUp = -1
	}
	if o.noDrain {
		s.Drain = -1
	}
	if n := o.clients; n > 0 {
		switch {
		case s.Publishers > 0:
			s.Subscribers = max(s.Subscribers, n-s.Publishers)
		case s.Subscribers > 0:
			s.Publishers = n - s.Subscribers
		case o.shape == bench.FanIn:
			s.Publishers = n - 1
		case o.shape == bench.FanOut:
			s.Publishers = min(max(1, len(o.qos)), n/2)
			if len(o.qos) == 0 {
				s.Publishers = min(3, n/2) // one for each QoS
			}
			s.Subscribers = n - s.Publishers
		default:
			s.Publishers = n / 2
		}
	}
	return s
}

func (o *benchOptions) readShape(s string) error {
	switch strings.ReplaceAll(s, "-", "") {
	case "pairs":
		o.shape = bench.Pairs
	case "fanin":
		o.shape = bench.FanIn
	case "fanout":
		o.shape = bench.FanOut
	default:
		return errors.New("it is pairs, fan-in or fan-out")
	}
	return nil
}

// rateTo reads 500, 2.5k, 1M or 10k/s.
func rateTo(dst *float64) func(string) error {
	return func(s string) error {
		digits, factor := strings.TrimSuffix(s, "/s"), 1.0
		if n := len(digits); n > 0 {
			switch digits[n-1] {
			case 'k':
				digits, factor = digits[:n-1], 1e3
			case 'M':
				digits, factor = digits[:n-1], 1e6
			}
		}
		r, err := strconv.ParseFloat(digits, 64)
		if err != nil || !(r > 0) || r*factor > 1e9 {
			return errors.New("it is a number a second, such as 500, 2.5k or 1M")
		}
		*dst = r * factor
		return nil
	}
}

// everyTo reads milliseconds as a rate.
func everyTo(dst *float64) func(string) error {
	return func(s string) error {
		ms, err := strconv.ParseFloat(s, 64)
		if err != nil || !(ms > 0) || ms > 1e9 {
			return errors.New("it is a number of milliseconds")
		}
		*dst = 1000 / ms
		return nil
	}
}

// optional reads a time that may be 0 for none.
func optional(dst *time.Duration, none *bool) func(string) error {
	return func(s string) (err error) {
		*dst, err = parseDuration(s)
		*none = err == nil && *dst == 0
		return err
	}
}

func qosListTo(dst *[]mqtt.QoS) func(string) error {
	return func(s string) error {
		*dst = nil
		for _, one := range strings.Split(s, ",") {
			q, err := parseQoS(strings.TrimSpace(one))
			if err != nil {
				return err
			}
			*dst = append(*dst, q)
		}
		return nil
	}
}
