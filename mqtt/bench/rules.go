package bench

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Rule is a threshold: what a metric is held against.
type Rule struct {
	Text string // as it was written
	// Abort ends the run as soon as the rule fails, from After on, which counts
	// from the beginning of the phase.
	Abort bool
	After time.Duration

	phase   Phase // "": all that are recorded
	group   string
	metric  string
	stat    string
	op      string
	limit   term
	standby bool // one of the default rules
}

// term is what stands on the right: a value, or another metric times and plus
// something.
type term struct {
	ref    *Rule // its scope, metric and stat; nil: add alone
	target bool  // ref is the rate that was asked for
	times  float64
	add    float64
}

// unit is what a metric's numbers are.
type unit byte

const (
	number unit = iota
	seconds
	octets
	ratio
)

// metricKind says what can be asked about a metric.
type metricKind struct {
	unit    unit
	latency []metric // nil: a single number, or a count
	traffic bool     // a count of one phase or group, with rate and bytes
	final   bool     // known once the run is over
}

// metricKinds are the metrics that rules can name.
func metricKinds() map[string]metricKind {
	all := map[string]metricKind{
		"connect": {latency: []metric{connect}}, "connect.dial": {latency: []metric{connectDial}},
		"connect.connack": {latency: []metric{connectConnack}}, "reconnect": {latency: []metric{reconnect}},
		"sub_ack": {latency: []metric{subAck}}, "first_message": {latency: []metric{firstMessage}},
		"pub_ack": {latency: []metric{pubAck}}, "pub_rec": {latency: []metric{pubRec}}, "pub_comp": {latency: []metric{pubComp}},
		"e2e":      {latency: []metric{endToEnd0, endToEnd1, endToEnd2}},
		"e2e_qos0": {latency: []metric{endToEnd0}}, "e2e_qos1": {latency: []metric{endToEnd1}}, "e2e_qos2": {latency: []metric{endToEnd2}},
		"e2e_service": {latency: []metric{service}}, "lag": {latency: []metric{lag}},
		"sent": {traffic: true}, "acked": {traffic: true}, "delivered": {traffic: true}, "recv": {traffic: true},
		"unsent": {}, "nack": {}, "disconnects": {}, "corrupt": {final: true}, "unexpected": {final: true},
		"connect.failed": {}, "connect.fail_ratio": {unit: ratio}, "reconnect.failed": {},
		"session_lost": {final: true}, "resume.recovered": {final: true}, "resume.backlog": {final: true}, "resume.rate": {final: true},
		"generator.valid": {final: true}, "generator.cpu": {unit: ratio, final: true}, "generator.achieved": {unit: ratio, final: true},
		"broker.cpu_per_million": {unit: seconds, final: true}, "broker.peak_memory": {unit: octets, final: true},
		"broker.memory_per_connection": {unit: octets, final: true},
	}
	for _, prefix := range []string{"", "qos0.", "qos1.", "qos2."} {
		for _, name := range []string{"lost", "duplicates", "out_of_order", "in_doubt"} {
			all[prefix+name] = metricKind{final: true}
		}
		all[prefix+"loss_ratio"] = metricKind{unit: ratio, final: true}
	}
	for name, k := range all {
		if k.latency != nil {
			k.unit = seconds
			all[name] = k
		}
	}
	return all
}

// ParseRule reads "[PHASE:] [GROUP.]METRIC[.STAT] OP VALUE", such as
// "e2e.p99 < 20ms" or "steady: delivered.rate >= target * 0.99".
func ParseRule(text string) (Rule, error) {
	r := Rule{Text: strings.Join(strings.Fields(text), " ")}
	fail := func(format string, a ...any) (Rule, error) {
		return r, fmt.Errorf("bench: threshold %q: "+format, append([]any{text}, a...)...)
	}
	at := strings.IndexAny(text, "<>=!")
	if at < 0 {
		if strings.TrimSpace(text) != "generator.valid" {
			return fail("it compares with <, <=, >, >=, == or !=")
		}
		text += " == 1"
		at = strings.Index(text, "=")
	}
	left, rest := text[:at], text[at:]
	for _, op := range []string{"<=", ">=", "==", "!=", "<", ">"} {
		if strings.HasPrefix(rest, op) {
			r.op = op
			break
		}
	}
	if r.op == "" {
		return fail("it compares with <, <=, >, >=, == or !=")
	}
	if phase, metric, ok := strings.Cut(left, ":"); ok {
		r.phase, left = Phase(strings.TrimSpace(phase)), metric
	}
	if err := r.name(strings.TrimSpace(left)); err != nil {
		return fail("%w", err)
	}
	var err error
	if r.limit, err = r.parseLimit(strings.TrimSpace(rest[len(r.op):])); err != nil {
		return fail("%w", err)
	}
	return r, nil
}

// name reads [GROUP.]METRIC[.STAT].
func (r *Rule) name(s string) error {
	stats := regexp.MustCompile(`\.(min|max|mean|count|rate|ratio|bytes|p[0-9]+(\.[0-9]+)?)$`)
	kinds := metricKinds()
	if m := stats.FindString(s); m != "" && kinds[s].unit == number && !known(kinds, s) {
		r.stat, s = m[1:], strings.TrimSuffix(s, m)
	}
	if !known(kinds, s) {
		group, metric, ok := strings.Cut(s, ".")
		if !ok || !known(kinds, metric) {
			return fmt.Errorf("there is no metric %q", s)
		}
		r.group, s = group, metric
	}
	r.metric = s
	return r.checkStat(kinds[s])
}

func known(kinds map[string]metricKind, name string) bool {
	_, ok := kinds[name]
	return ok
}

func (r *Rule) checkStat(k metricKind) error {
	switch {
	case k.latency != nil:
		if r.stat == "" || r.stat == "rate" || r.stat == "ratio" || r.stat == "bytes" {
			return fmt.Errorf("%s is a latency: say which, as %s.p99, .mean, .max or .count", r.metric, r.metric)
		}
		if p, err := r.percentile(); err != nil || p <= 0 || p > 100 {
			return fmt.Errorf("there is no percentile %s", r.stat)
		}
	case k.traffic:
		if r.stat != "" && r.stat != "count" && r.stat != "rate" && r.stat != "bytes" {
			return fmt.Errorf("%s has .count, .rate and .bytes", r.metric)
		}
	case r.stat != "" && r.stat != "count":
		return fmt.Errorf("%s is one number and has no %s", r.metric, r.stat)
	case r.phase != "" || r.group != "":
		return fmt.Errorf("%s is known of the whole run, not of a phase or group", r.metric)
	}
	return nil
}

// percentile is that of stat; 50 where it is none.
func (r *Rule) percentile() (float64, error) {
	if !strings.HasPrefix(r.stat, "p") {
		return 50, nil
	}
	return strconv.ParseFloat(r.stat[1:], 64)
}

// unit is that of the rule's left side.
func (r *Rule) unit() unit {
	k := metricKinds()[r.metric]
	if k.latency != nil && r.stat == "count" {
		return number
	}
	if r.stat == "bytes" {
		return octets
	}
	return k.unit
}

// parseLimit reads VALUE, or REF [* NUMBER] [+|- VALUE].
func (r *Rule) parseLimit(s string) (term, error) {
	if s == "" {
		return term{}, errors.New("nothing to compare with")
	}
	if c := s[0]; c >= '0' && c <= '9' || c == '.' || c == '-' {
		v, err := parseValue(s, r.unit())
		return term{add: v}, err
	}
	t := term{times: 1}
	words := strings.Fields(regexp.MustCompile(`\s*([*+])\s*|\s+(-)\s+`).ReplaceAllString(s, " $1$2 "))
	ref := &Rule{}
	switch {
	case words[0] == "target":
		t.target = true
		if r.metric != "sent" && r.metric != "acked" && r.metric != "delivered" && r.metric != "recv" || r.stat != "rate" {
			return t, errors.New("target is a rate of messages")
		}
		ref.phase, ref.group = r.phase, r.group
	default:
		ref.phase = r.phase
		if err := ref.name(words[0]); err != nil {
			return t, err
		}
		if ref.unit() != r.unit() {
			return t, fmt.Errorf("%s and %s are not of the same kind", r.metric, ref.metric)
		}
	}
	t.ref, words = ref, words[1:]
	for len(words) >= 2 {
		v, err := 0.0, error(nil)
		switch words[0] {
		case "*":
			v, err = strconv.ParseFloat(words[1], 64)
			t.times *= v
		case "+", "-":
			v, err = parseValue(words[1], r.unit())
			if words[0] == "-" {
				v = -v
			}
			t.add += v
		default:
			return t, fmt.Errorf("%q is none of * + -", words[0])
		}
		if err != nil {
			return t, err
		}
		words = words[2:]
	}
	if len(words) > 0 {
		return t, fmt.Errorf("stray %q", words[0])
	}
	return t, nil
}

// parseValue reads a number with the unit that u asks for.
func parseValue(s string, u unit) (float64, error) {
	s = strings.ReplaceAll(s, " ", "")
	end := len(s)
	for i, c := range s {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			end = i
			break
		}
	}
	v, err := strconv.ParseFloat(s[:end], 64)
	if err != nil || math.IsNaN(v) {
		return 0, fmt.Errorf("%q is no number", s)
	}
	suffix := s[end:]
	units := map[unit]map[string]float64{
		seconds: {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60},
		octets:  {"": 1, "B": 1, "k": 1e3, "M": 1e6, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30},
		ratio:   {"": 1, "%": 0.01},
		number:  {"": 1, "k": 1e3, "M": 1e6, "/s": 1, "k/s": 1e3, "M/s": 1e6},
	}
	f, ok := units[u][suffix]
	if !ok && u == seconds {
		return 0, fmt.Errorf("%q needs a unit of time: ns, us, ms, s", s)
	}
	if !ok {
		return 0, fmt.Errorf("%q is no unit here", suffix)
	}
	return v * f, nil
}

// check holds a rule against the plan it is for.
func (r *Rule) check(p *Plan) error {
	if r.phase != "" && !slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Name == r.phase }) {
		return fmt.Errorf("bench: threshold %q: there is no phase %q", r.Text, r.phase)
	}
	for _, g := range []*Rule{r, r.limit.ref} {
		if g != nil && g.group != "" && !slices.ContainsFunc(p.Groups, func(k Group) bool { return k.Name == g.group }) {
			return fmt.Errorf("bench: threshold %q: there is no group %q", r.Text, g.group)
		}
	}
	if r.Abort && metricKinds()[r.metric].final {
		return fmt.Errorf("bench: threshold %q: %s is known at the end, it cannot end the run", r.Text, r.metric)
	}
	return nil
}

// defaultRules hold unless they are turned off.
func defaultRules() []Rule {
	var all []Rule
	for _, text := range []string{"connect.fail_ratio == 0", "disconnects == 0", "nack == 0", "session_lost == 0"} {
		r, err := ParseRule(text)
		if err != nil {
			panic(err) // a test reads them
		}
		r.standby = true
		all = append(all, r)
	}
	return all
}

// view is what rules are held against.
type view interface {
	// scope is a phase or group, or both; nil for no such thing. target is the
	// rate that was asked for.
	scope(phase Phase, group string) (t *tally, over time.Duration, target float64)
}

// value is a number that a rule asks for, with the samples behind it.
func (r *Rule) value(rep *Report, v view) (x float64, n int64, ok bool) {
	k := metricKinds()[r.metric]
	if k.latency == nil && !k.traffic {
		return rep.single(r.metric), 0, true
	}
	t, over, _ := v.scope(r.phase, r.group)
	if t == nil {
		return 0, 0, false
	}
	if k.latency != nil {
		return r.ofHistogram(t.sum(k.latency...))
	}
	c := map[string][2]int64{"sent": {t.sent, t.sentBytes}, "acked": {t.acked, t.ackedBytes},
		"delivered": {t.delivered, t.deliveredBytes}, "recv": {t.delivered, t.deliveredBytes}}[r.metric]
	switch r.stat {
	case "rate":
		return perSecond(float64(c[0]), over), c[0], over > 0 // otherwise it was cut short before
	case "bytes":
		return float64(c[1]), c[0], true
	}
	return float64(c[0]), c[0], true
}

func (r *Rule) ofHistogram(h *hdrhistogram.Histogram) (x float64, n int64, ok bool) {
	if h == nil {
		return 0, 0, r.stat == "count"
	}
	n, ok = h.TotalCount(), true
	switch r.stat {
	case "count":
		x = float64(n)
	case "min":
		x = float64(h.Min()) / 1e9
	case "max":
		x = float64(h.Max()) / 1e9
	case "mean":
		x = h.Mean() / 1e9
	default:
		p, _ := r.percentile() // checked when it was read
		x = float64(h.ValueAtQuantile(p)) / 1e9
		// Ten samples beyond it, or it is the luck of the draw.
		ok = float64(n)*(1-p/100) >= 10-1e-6
	}
	return x, n, ok
}

// single are the metrics of the whole run.
func (rep *Report) single(name string) float64 {
	truth := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	c := &rep.Connections
	switch name {
	case "unsent":
		return float64(rep.Unsent)
	case "nack":
		return float64(sum(rep.Refused))
	case "disconnects":
		return float64(c.Lost)
	case "connect.failed":
		return float64(c.Failed)
	case "connect.fail_ratio":
		return float64(c.Failed) / float64(max(1, c.Asked))
	case "reconnect.failed":
		return float64(c.Refused)
	case "corrupt":
		return float64(rep.Contract.Corrupt)
	case "unexpected":
		return float64(rep.Contract.Unexpected)
	case "generator.valid":
		return truth(rep.Generator.Valid)
	case "generator.cpu":
		return rep.Generator.CPUShare
	case "generator.achieved":
		return rep.Generator.Achieved
	}
	if b := rep.Broker; b != nil && strings.HasPrefix(name, "broker.") {
		return map[string]float64{"broker.cpu_per_million": b.CPUPerMillion.Seconds(), "broker.peak_memory": float64(b.PeakMemory),
			"broker.memory_per_connection": float64(b.PerConnection)}[name]
	}
	if s := cmp.Or(rep.Resume, &Resume{}); name == "session_lost" || strings.HasPrefix(name, "resume.") {
		return map[string]float64{"session_lost": float64(s.Absent), "resume.recovered": float64(s.Recovered),
			"resume.backlog": float64(s.Backlog), "resume.rate": s.Rate}[name]
	}
	return rep.ofLedger(name)
}

// ofLedger adds up QoS levels, or takes one of them.
func (rep *Report) ofLedger(name string) float64 {
	level := -1
	if rest, ok := strings.CutPrefix(name, "qos"); ok {
		level, name = int(rest[0]-'0'), rest[2:]
	}
	var expected, lost, x float64
	for _, q := range rep.Contract.QoS {
		if level >= 0 && q.QoS != level {
			continue
		}
		expected += float64(q.Expected)
		lost += float64(q.Lost)
		x += map[string]float64{"lost": float64(q.Lost), "duplicates": float64(q.Duplicates),
			"out_of_order": float64(q.OutOfOrder), "in_doubt": float64(q.InDoubt)}[name]
	}
	if name == "loss_ratio" && expected > 0 {
		return lost / expected
	}
	return x
}

// evaluate holds the rule against a report.
func (r *Rule) evaluate(rep *Report, v view) Threshold {
	t := Threshold{Rule: r.Text, Default: r.standby}
	x, n, ok := r.value(rep, v)
	limit, described := r.limit.add, false
	if ref := r.limit.ref; ref != nil {
		y, enough := 0.0, true
		if r.limit.target {
			_, _, y = v.scope(ref.phase, ref.group)
		} else {
			y, _, enough = ref.value(rep, v)
		}
		ok = ok && enough
		limit += y * r.limit.times
		described = true
	}
	k := metricKinds()[r.metric]
	if k.latency != nil {
		t.N = n
	}
	t.Value = r.show(x)
	if described {
		t.Limit = r.show(limit)
	}
	if !ok {
		t.Inconclusive = true
		return t
	}
	t.OK = compare(x, r.op, limit)
	return t
}

func compare(x float64, op string, limit float64) bool {
	switch op {
	case "<":
		return x < limit
	case "<=":
		return x <= limit
	case ">":
		return x > limit
	case ">=":
		return x >= limit
	case "==":
		return x == limit
	}
	return x != limit
}

// show writes a number of the rule's kind.
func (r *Rule) show(x float64) string {
	switch r.unit() {
	case seconds:
		d := time.Duration(x * 1e9)
		if d >= time.Millisecond {
			return d.Round(10 * time.Microsecond).String()
		}
		return d.Round(10 * time.Nanosecond).String()
	case ratio:
		return strconv.FormatFloat(math.Round(x*1e6)/1e4, 'f', -1, 64) + "%"
	}
	return strconv.FormatFloat(math.Round(x*100)/100, 'f', -1, 64)
}
