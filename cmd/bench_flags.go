package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/bench"
	"mqt/mqtt/client"
	"mqt/mqtt/template"
)

// benchOptions are the flags of bench. Where emqtt-bench has a long name for
// the same thing, that works too.
type benchOptions struct {
	connect connectOptions

	role             bench.Role
	seed             uint64
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

	maxSize                         int
	payload                         string
	topic, filter, id               string
	retain, keepSession, keep       bool
	arrival                         bench.Arrival
	burst                           int
	ramp, hold                      time.Duration
	levels                          []bench.Level
	waves                           int
	pick                            float64
	cut                             bench.ActionKind
	over, after, jitter             time.Duration
	creds, certs, keys, sources     string
	thresholds                      []string
	noDefaults, inconclusiveOK, dry bool
	precise, portable               bool
	search                          bench.Search
	brokerCmd                       string
	set                             []string
	schema                          bool
	fromFile                        bool // the scenario file names the server
	texts                           *benchText
	ofRole                          []*option // the flags of roleFlags
	identity                        *identity

	shard          *bench.Shard
	startAt        time.Time
	workers        int
	image, metrics string
	tolerance      float64
	rounds         int
	baseline       []string
	saved          []*bench.Report // of baseline
	force          bool

	outputs []string // KIND=FILE
	json    bool
	color   colorMode
}

func (o *benchOptions) flags(s *Stdio) []*option {
	o.ofRole = o.roleFlags()
	all := slices.Concat(o.clientFlags(), o.loadFlags(), o.messageFlags(), o.ofRole, o.resultFlags(), o.compareFlags(), o.shardFlags())
	return append(all, o.connectFlags(s)...)
}

func (o *benchOptions) clientFlags() []*option {
	const g = group("Clients")
	return []*option{
		g.value("shape", "`SHAPE` is who publishes to whom: pairs, fan-in, fan-out, shared or mesh (default: pairs)", o.readShape).
			oneOf("pairs", "fan-in", "fan-out", "shared", "mesh"),
		number(g, "clients count c", "`NUMBER` of clients, publishers and subscribers together (default: 1000)", &o.clients, 1, 2*bench.MaxClients).fromFirst(),
		number(g, "pubs publishers", "`NUMBER` of publishers", &o.pubs, 1, bench.MaxClients),
		number(g, "subs subscribers", "`NUMBER` of subscribers", &o.subs, 1, bench.MaxClients),
		g.value("connrate R", "`RATE` of new connections, a second (default: no bound)", rateTo(&o.connectRate)),
		g.value("interval i", "`MILLISECONDS` between two connects: another way to say --connrate", everyTo(&o.connectRate)),
		number(g, "connecting", "`NUMBER` of clients that connect at the same time (default: 64, which is the most)", &o.connecting, 1, bench.MaxConnecting),
		g.value("engine", "`ENGINE` that drives the clients' sockets: portable, a goroutine for each; epoll, a few event loops, on Linux; "+
			"or auto, the best there is (default: auto)", o.readEngine).oneOf("auto", "portable", "epoll"),
		g.text("client-id", "Client Identifier `TEXT` of each client, with ${i}, ${role}, ${run} (default: bench, run, role and number)", &o.id),
		g.text("creds", "CSV `FILE` with a line for each client: its columns username, password and client_id are taken, and all are ${csv:COLUMN}", &o.creds),
		g.text("source-ip ifaddr", "`ADDRESSES` to connect from in turns: a list, a network of this machine's, or auto", &o.sources),
		g.toggle("keep-session", "keep the sessions of the subscribers while they are away", &o.keepSession),
		g.text("broker-cmd", "`COMMAND` that starts the broker to measure on port {port}: its CPU time and memory are reported", &o.brokerCmd),
	}
}

func (o *benchOptions) loadFlags() []*option {
	const g = group("Load")
	return []*option{
		g.value("rate", fmt.Sprintf("`RATE` of all publishers together, messages a second: 500, 10k (default: %d)", bench.DefaultRate), rateTo(&o.rate)),
		g.value("rate-per-client", "`RATE` of each publisher", rateTo(&o.perClient)),
		g.value("interval_of_msg interval-of-msg I", "`MILLISECONDS` between two messages of a publisher: another way to say --rate-per-client", everyTo(&o.perClient)),
		g.value("arrival", "`ARRIVAL` of messages: uniform, poisson, or burst:N for N at once (default: uniform)", o.readArrival),
		g.duration("ramp", "`TIME` in which the rate grows from 0, before all else", &o.ramp),
		g.value("steps", "`RATE:TIME,...` one after the other, instead of --rate and --duration: 1k:30s,5k:30s", o.readLevels),
		g.value("pacer", "`HOW` sends are timed: timer, or precise for less lag and more CPU time (default: timer)", o.readPacer).oneOf("timer", "precise"),
		g.toggle("max", "send as fast as the server acknowledges", &o.max),
		number(g, "inflight max-inflight F M", "`NUMBER` of QoS 1 and 2 messages that a publisher may have under way", &o.inFlight, 1, 65535),
		g.value("duration", "`TIME` to measure (default: 10s)", func(s string) (err error) {
			if o.duration, err = parseDuration(s); err == nil && o.duration == 0 {
				err = errors.New("it is longer than 0")
			}
			return err
		}),
		g.value("warmup warm-up", "`TIME` of load before that, which is not measured (default: 2s)", optional(&o.warmUp, &o.noWarmUp)),
		number(g, "limit", "end after this `NUMBER` of messages", &o.limit, 1, math.MaxInt32),
		g.value("drain", "longest `TIME` to wait for what is under way at the end (default: 10s)", optional(&o.drain, &o.noDrain)),
		g.duration("hold", "`TIME` to stay connected after that", &o.hold),
		g.value("seed", "`NUMBER` that makes what is random the same in each run (default: another each time)", func(s string) (err error) {
			o.seed, err = strconv.ParseUint(s, 10, 53)
			return err
		}),
	}
}

func (o *benchOptions) messageFlags() []*option {
	const g = group("Messages")
	return []*option{
		g.value("qos q", "`QOS` of the publishers, which take turns: 1, or 0,1,2 (default: 0,1,2)", qosListTo(&o.qos)),
		g.value("sub-qos", "`QOS` of the subscriptions (default: as the publishers)", qosListTo(&o.subQoS)),
		g.value("size s", fmt.Sprintf("payload `BYTES`, or a range such as 64-1024 (default: %d)", bench.DefaultSize), func(s string) (err error) {
			o.size, o.maxSize, err = readSize(s)
			return err
		}),
		g.text("payload message m", "`TEXT` behind the header of each payload, @FILE, or template:TEXT with ${n}, ${rand:1-9}, ${ts:unixms}, ...", &o.payload).fromFirst(),
		g.text("topic t", "topic `TEXT` of each publisher, with ${i} and so on", &o.topic),
		g.text("filter", "topic filter `TEXT` of each subscriber (default: the same as --topic)", &o.filter),
		g.toggle("retain r", "retain the messages; they are cleared at the end", &o.retain),
		g.toggle("keep", "leave retained messages and sessions behind", &o.keep),
		g.toggle("no-tracking", "leave the header out of payloads: no end-to-end latency, no check of delivery", &o.noTracking),
		g.text("topic-prefix", "`TOPIC` in front of every topic (default: bench/ and the run)", &o.prefix),
		g.text("run-id run", "`ID` in topics and Client Identifiers, up to 8 letters and digits (default: random)", &o.runID),
	}
}

// roleFlags are those of one role alone.
func (o *benchOptions) roleFlags() []*option {
	const storm, sweep, file = group("bench storm"), group("bench sweep"), group("bench run")
	return []*option{
		number(storm, "waves", "`NUMBER` of times that connections break (default: 3)", &o.waves, 1, 1000),
		storm.value("pick", "`SHARE` of the clients that a wave breaks (default: 30%)", o.readPick),
		storm.value("cut", "`HOW`: disconnect, fin, rst, half-open, slow or take-over (default: rst)", o.readCut).
			oneOf("disconnect", "fin", "rst", "half-open", "slow", "take-over"),
		storm.duration("over", "`TIME` that a wave takes (default: 0)", &o.over),
		storm.duration("after", "`TIME` before a client comes back", &o.after),
		storm.value("jitter", "more `TIME` up to this, at random (default: 1s)", func(s string) (err error) {
			o.jitter, err = parseDuration(s)
			o.jitter = max(o.jitter, 1) // 0 is the default
			return err
		}),
		sweep.value("from", "`RATE` to begin with (default: 1k)", rateTo(&o.search.From)),
		sweep.value("most", "highest `RATE` to try (default: 1M)", rateTo(&o.search.Most)),
		file.list("set", "`KEY=VALUE` in the place of what the file says: groups.devices.clients=100; may be repeated", &o.set),
		file.toggle("schema", "print the JSON Schema of the file; of results with bench report and bench compare", &o.schema),
	}
}

func (o *benchOptions) resultFlags() []*option {
	const g = group("Result")
	return []*option{
		g.list("threshold", "`RULE` that must hold: 'e2e.p99 < 20ms', 'delivered.rate >= target * 0.99'; may be repeated", &o.thresholds),
		g.toggle("no-default-thresholds", "do without those that hold for every run", &o.noDefaults),
		g.toggle("inconclusive-ok", "let thresholds and runs with too few samples pass", &o.inconclusiveOK),
		g.toggle("dry-run", "check everything, show what would be done, and connect to nothing", &o.dry),
		g.list("o output out", "`KIND=FILE` to write the result to: "+strings.Join(benchKinds(), ", ")+"; - is stdout; may be repeated", &o.outputs).fromFirst(),
		g.text("metrics", "`ADDRESS` at which Prometheus can read how it goes, such as 127.0.0.1:9100", &o.metrics),
		g.toggle("json", "print the result as JSON, and the text on stderr", &o.json),
		o.color.flag(g),
	}
}

// misplaced finds a flag that would do nothing for this verb, and was typed nevertheless.
func (o *benchOptions) misplaced(verb string) error {
	for _, f := range o.ofRole {
		verbs := strings.TrimPrefix(f.Category, "bench ")
		switch f.names[0] {
		case "set":
			verbs = "run k8s"
		case "schema":
			verbs = "run report compare"
		}
		if f.origin == fromArgs && !slices.Contains(strings.Fields(verbs), verb) {
			return &usageError{text: fmt.Sprintf("%s does nothing here; it is for mqt bench %s", f.typed, strings.ReplaceAll(verbs, " ", ", ")),
				hint: "see mqt bench --help"}
		}
	}
	return nil
}

// connectFlags are those of the other clients which make sense for many.
func (o *benchOptions) connectFlags(s *Stdio) []*option {
	all := o.connect.flags(s)
	shown := []string{
		"profile", "host", "port", "url", "unix", "bind", "proxy", "ws", "ws-path", "ws-header", "connect-timeout",
		"username", "password", "password-file", "password-env", "password-command", "ask-password", "auth-method", "keepalive", "protocol-version", "quiet",
	}
	all = slices.DeleteFunc(slices.Clone(all), func(f *option) bool {
		return !slices.Contains(shown, f.names[0]) && f.Category != string(groupTLS)
	})
	for _, f := range all {
		switch f.names[0] { // as emqtt-bench has them
		case "tls":
			f.names = append(f.names, "ssl")
		case "cafile":
			f.names = append(f.names, "cacertfile")
		case "cert", "key":
			f.names = append(f.names, f.names[0]+"file")
		}
	}
	return all
}

// named tells that somebody said which server to measure.
func (o *benchOptions) named() bool {
	return o.fromFile || slices.ContainsFunc([]string{"url", "host", "port", "unix"}, func(name string) bool { return o.connect.flag[name].given() })
}

// scenario is what the flags say. c is what every client is made from.
func (o *benchOptions) scenario(c client.Options) (bench.Scenario, error) {
	s := bench.Scenario{
		Client: c, Dial: benchDial, Tool: "mqt " + version(), Role: o.role, Shape: o.shape, Publishers: o.pubs, Subscribers: o.subs,
		QoS: o.qos, SubscriberQoS: o.subQoS, Size: o.size, MaxSize: o.maxSize, NoTracking: o.noTracking,
		Rate: o.rate, RatePerClient: o.perClient, Max: o.max, InFlight: o.inFlight, Arrival: o.arrival, Burst: o.burst,
		Ramp: o.ramp, Levels: o.levels, Hold: o.hold, WarmUp: o.warmUp, Duration: o.duration, Drain: o.drain, Count: int64(o.limit),
		Connecting: o.connecting, ConnectRate: o.connectRate, RunID: o.runID, TopicPrefix: o.prefix, Seed: o.seed,
		Waves: o.waves, Pick: o.pick, Cut: o.cut, Over: o.over, After: o.after, Jitter: o.jitter,
		Precise: o.precise, Shard: o.shard, StartAt: o.startAt, Retain: o.retain, KeepSession: o.keepSession, Keep: o.keep, NoDefaultRules: o.noDefaults, InconclusiveOK: o.inconclusiveOK,
	}
	if len(o.levels) > 0 && (o.rate > 0 || o.perClient > 0 || o.duration > 0) {
		return s, &usageError{text: "--steps, and a rate or a duration", hint: "each step has its own"}
	}
	if o.noWarmUp {
		s.WarmUp = -1
	}
	if o.noDrain {
		s.Drain = -1
	}
	o.divide(&s)
	if err := o.fillTexts(&s); err != nil {
		return s, err
	}
	return s, o.readRules(&s.Rules)
}

// divide makes publishers and subscribers of --clients.
func (o *benchOptions) divide(s *bench.Scenario) {
	n := o.clients
	switch {
	case n == 0:
	case o.role == bench.RoleConn, o.role == bench.RolePub:
		s.Publishers = n
	case o.role == bench.RoleSub:
		s.Subscribers = n
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
	case o.shape == bench.Mesh:
		s.Publishers, s.Subscribers = n/2, n-n/2
	case o.shape == bench.Shared:
		s.Subscribers = max(1, n/5)
		s.Publishers = n - s.Subscribers
	default:
		s.Publishers = max(1, n/2)
	}
}

// fillTexts makes what is different for each client.
func (o *benchOptions) fillTexts(s *bench.Scenario) (err error) {
	if s.RunID == "" && (o.topic+o.filter+o.id+o.payload != "" || o.creds != "") {
		s.RunID = fmt.Sprintf("%08x", rand.Uint32()) //nolint:gosec // no secret
	}
	if o.texts, err = benchTexts("--creds", o.creds, s.RunID, o.seed, o.shards()); err != nil {
		return err
	}
	name := map[bench.Role]string{bench.RoleConn: "conns", bench.RolePub: "pubs", bench.RoleSub: "subs"}
	text := func(flag, from string, role bench.Role) (func(int) string, error) {
		if from == "" {
			return nil, nil
		}
		t, err := o.texts.static(flag, from)
		if err != nil {
			return nil, err
		}
		return func(i int) string { return t.String(o.texts.values(role, name[role], i)) }, nil
	}
	if s.Topic, err = text("--topic", o.topic, bench.RolePub); err != nil {
		return err
	}
	if s.Filter, err = text("--filter", cmp.Or(o.filter, o.topic), bench.RoleSub); err != nil {
		return err
	}
	if o.payload != "" {
		if s.Payload, err = benchPayload(o.texts, "--payload", o.payload); err != nil {
			return err
		}
	}
	if o.id != "" {
		t, err := o.texts.static("--client-id", o.id)
		if err != nil {
			return err
		}
		s.ClientID = func(r bench.Role, i int) string { return t.String(o.texts.values(r, name[r], i)) }
	}
	return o.fillIdentity(s, name)
}

// fillIdentity makes credentials, certificates and addresses of each client.
func (o *benchOptions) fillIdentity(s *bench.Scenario, name map[bench.Role]string) (err error) {
	d := &identity{text: o.texts, tls: s.Client.DialOptions.TLS}
	if d.sources, err = readSources(o.sources, s.Client.Endpoint); err != nil {
		return err
	}
	for _, t := range []struct {
		flag, text string
		dst        **template.Template
	}{{"-u", s.Client.Username, &d.user}, {"-P", string(s.Client.Password), &d.password}, {"--cert", o.certs, &d.cert}, {"--key", o.keys, &d.key}} {
		if !strings.Contains(t.text, "${") && !strings.Contains(t.text, "%i") {
			continue
		}
		if *t.dst, err = o.texts.static(t.flag, t.text); err != nil {
			return err
		}
	}
	if d.cert != nil {
		if d.key == nil {
			return &usageError{text: "--cert and --key belong together", hint: "write ${i} in both"}
		}
		if d.keypass, err = o.connect.tls.passphrase(); err != nil {
			return err
		}
	}
	o.identity = d
	if d.user != nil || d.password != nil || d.cert != nil || len(d.sources) > 0 || d.text.rows != nil {
		s.Setup = func(r bench.Role, i int, c *client.Options) error { return d.setup(r, name[r], i, c) }
	}
	return nil
}

func (o *benchOptions) readRules(dst *[]bench.Rule) error {
	for _, text := range o.thresholds {
		r, err := bench.ParseRule(text)
		if err != nil {
			return &usageError{text: plain(err)}
		}
		*dst = append(*dst, r)
	}
	return nil
}

func (o *benchOptions) readShape(s string) error {
	shapes := map[string]bench.Shape{"pairs": bench.Pairs, "fanin": bench.FanIn, "fanout": bench.FanOut, "shared": bench.Shared, "mesh": bench.Mesh}
	shape, ok := shapes[strings.ReplaceAll(s, "-", "")]
	if !ok {
		return errors.New("it is pairs, fan-in, fan-out, shared or mesh")
	}
	o.shape = shape
	return nil
}

func (o *benchOptions) readArrival(s string) (err error) {
	kind, n, burst := strings.Cut(s, ":")
	o.arrival = bench.Arrival(kind)
	if burst {
		o.burst, err = strconv.Atoi(n)
	}
	if err != nil || burst != (o.arrival == bench.Bursts) || burst && o.burst < 1 ||
		!burst && o.arrival != bench.Uniform && o.arrival != bench.Poisson {
		return errors.New("it is uniform, poisson, or burst:N")
	}
	return nil
}

// readEngine chooses what drives the clients' connections.
func (o *benchOptions) readEngine(s string) error {
	return chooseEngine(s, &o.portable)
}

func (o *benchOptions) readPacer(s string) error {
	o.precise = s == "precise"
	if !o.precise && s != "timer" {
		return errors.New("it is timer or precise")
	}
	return nil
}

func (o *benchOptions) readLevels(s string) error {
	o.levels = nil
	for _, one := range strings.Split(s, ",") {
		rate, length, ok := strings.Cut(strings.TrimSpace(one), ":")
		var l bench.Level
		err := rateTo(&l.Rate)(rate)
		if err == nil && ok {
			l.For, err = parseDuration(length)
		}
		if err != nil || !ok || l.For <= 0 {
			return errors.New("it is rates and times, as in 1k:30s,5k:30s")
		}
		o.levels = append(o.levels, l)
	}
	return nil
}

func (o *benchOptions) readPick(s string) (err error) {
	o.pick, err = parseShare(s)
	return err
}

// parseShare reads 0.3 or 30%.
func parseShare(s string) (float64, error) {
	digits, hundred := strings.CutSuffix(s, "%")
	x, err := strconv.ParseFloat(digits, 64)
	if hundred {
		x /= 100
	}
	if err != nil || !(x > 0) || x > 1 {
		return 0, errors.New("it is a share such as 30% or 0.3")
	}
	return x, nil
}

func (o *benchOptions) readCut(s string) error {
	switch k := bench.ActionKind(s); k {
	case bench.Disconnect, bench.FIN, bench.RST, bench.HalfOpen, bench.Slow, bench.TakeOver:
		o.cut = k
		return nil
	}
	return errors.New("it is disconnect, fin, rst, half-open, slow or take-over")
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
