package format

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"mqt/mqtt/bench"
)

// AppendReport writes the result of a bench run for people: what was measured,
// the load, rates, the delivery contract, latencies, whether the generator can
// be believed, thresholds, and the result with the code that the process
// leaves with. A line is as long as it needs to be; s.Width is not used.
func AppendReport(dst []byte, r *bench.Report, exit int, s Style) ([]byte, error) {
	w := &reportWriter{dst: dst, style: Style{Color: s.Color}}
	w.target(r)
	w.load(r)
	w.clients(&r.Connections)
	w.rates(r)
	w.contract(r)
	w.latencies(&r.Latency)
	w.worst(r.Seconds)
	w.phases(r)
	w.groups(r)
	w.resume(r.Resume)
	w.sweep(r.Sweep)
	w.broker(r.Broker)
	w.generator(&r.Generator)
	w.thresholds(r.Thresholds)
	w.result(r.Verdict, r.Reasons, exit)
	return w.dst, w.err
}

// labelWidth is the column in which what a line says begins.
const labelWidth = 12

// reportWriter appends lines; the first error stays.
type reportWriter struct {
	dst   []byte
	style Style
	err   error
}

// line writes a label and parts, two spaces between them; empty ones are left
// out.
func (w *reportWriter) line(label string, parts ...string) {
	parts = slices.DeleteFunc(parts, func(p string) bool { return p == "" })
	w.dst = append(w.dst, w.style.Paint(Title, label)...)
	w.dst = pad(w.dst, labelWidth-len(label), ' ')
	w.dst = append(w.dst, strings.Join(parts, "  ")...)
	w.dst = append(w.dst, '\n')
}

func (w *reportWriter) table(t Table) {
	if w.err == nil {
		w.dst, w.err = t.Append(w.dst, w.style)
	}
}

// bad paints a count that should be 0.
func (w *reportWriter) bad(name string, n int64) string {
	text := name + " " + grouped(n)
	if n > 0 {
		return w.style.Paint(Bad, text)
	}
	return text
}

// safe is a stranger's text.
func safe(text string) string { return string(AppendEscaped(nil, text)) }

// span is a duration as people say it, to a tenth of a second from one second.
func span(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

func (w *reportWriter) target(r *bench.Report) {
	t := &r.Target
	var notes []string
	if t.InProcess {
		notes = append(notes, "server in this process")
	}
	for _, limit := range []struct {
		name string
		n    int
	}{{"receive maximum", t.ReceiveMaximum}, {"maximum packet size", t.MaximumPacketSize}, {"server keep alive", t.ServerKeepAlive}} {
		if limit.n != 0 {
			notes = append(notes, limit.name+" "+grouped(limit.n))
		}
	}
	note := ""
	if len(notes) > 0 {
		note = "(" + strings.Join(notes, ", ") + ")"
	}
	version := ""
	if t.Protocol != 0 {
		version = "MQTT " + t.Protocol.String()
	}
	shard := ""
	if r.Shard != nil {
		shard = fmt.Sprintf("shard %d of %d", r.Shard.Index, r.Shard.Count)
	}
	w.line("target", w.style.Paint(Name, safe(t.URL)), version, note, "run "+safe(r.RunID), shard)
}

func (w *reportWriter) load(r *bench.Report) {
	l := &r.Load
	var parts []string
	if l.Publishers > 0 && l.Subscribers > 0 && l.Shape != "" {
		parts = append(parts, string(l.Shape))
	}
	if len(l.QoS) > 0 {
		qos := "QoS " + levels(l.QoS)
		if len(l.SubscriberQoS) > 0 {
			qos += " to " + levels(l.SubscriberQoS)
		}
		parts = append(parts, qos)
	}
	if l.Publishers > 0 || l.Role == "" {
		parts = append(parts, grouped(l.Size)+" B")
	}
	switch {
	case l.Publishers == 0 && l.Role != "", l.Rate == 0 && !l.Max && l.Role != "":
	case l.Max && l.InFlight > 0:
		parts = append(parts, fmt.Sprintf("as fast as acknowledged, %d in flight", l.InFlight))
	case l.Max:
		parts = append(parts, "as fast as acknowledged")
	default:
		parts = append(parts, "target "+perSecond(l.Rate))
	}
	took := "measured " + span(r.Measured)
	if r.Interrupted {
		took = w.style.Paint(Bad, "INTERRUPTED") + " after " + span(r.Measured)
	}
	who := whoLoads(l)
	if len(parts) > 0 {
		who += ": " + strings.Join(parts, ", ")
	}
	role := ""
	if l.Role != "" && l.Role != "pubsub" {
		role = w.style.Paint(Name, safe(string(l.Role)))
	}
	w.line("load", role, who, fmt.Sprintf("%s (warm-up %s, drained in %s)", took, span(l.WarmUp), span(r.Drained)))
}

// whoLoads are the clients by what they do.
func whoLoads(l *bench.Load) string {
	var who []string
	if l.Connections > 0 {
		who = append(who, grouped(l.Connections)+" connections")
	}
	if l.Publishers > 0 || l.Role == "" {
		who = append(who, grouped(l.Publishers)+" publishers")
	}
	if l.Subscribers > 0 || l.Role == "" {
		who = append(who, grouped(l.Subscribers)+" subscribers")
	}
	if n := len(who); n == 2 && l.Publishers+l.Subscribers > 0 && l.Connections == 0 || l.Role == "" {
		return strings.Join(who, " to ")
	}
	return strings.Join(who, ", ")
}

// levels writes QoS levels as 0+1+2, each once.
func levels(qos []int) string {
	qos = slices.Compact(slices.Sorted(slices.Values(qos)))
	var b strings.Builder
	for i, q := range qos {
		if i > 0 {
			b.WriteByte('+')
		}
		b.WriteString(strconv.Itoa(q))
	}
	return b.String()
}

func (w *reportWriter) clients(c *bench.Connections) {
	w.line("clients", fmt.Sprintf("%s of %s connected in %s", grouped(c.Connected), grouped(c.Asked), span(c.Took)),
		w.bad("failed", int64(c.Failed)), w.bad("lost", int64(c.Lost)), some("cut", c.Cut), some("reconnected", c.Reconnected),
		some("reconnects refused", c.Refused))
	w.causes(c.Failures)
	w.causes(c.Losses)
}

// some is a count that is told when there is one.
func some(name string, n int) string {
	if n == 0 {
		return ""
	}
	return name + " " + grouped(n)
}

// maxCauses bounds the list of errors; the JSON report has them all.
const maxCauses = 5

func (w *reportWriter) causes(all []bench.Cause) {
	for i, c := range all {
		if i == maxCauses {
			w.line("", fmt.Sprintf("… and %d more causes", len(all)-i))
			return
		}
		w.line("", w.style.Paint(Bad, grouped(c.N)+" × "+safe(c.Text)))
	}
}

func (w *reportWriter) rates(r *bench.Report) {
	share := ""
	if r.Load.Rate > 0 && !r.Load.Max && r.Shard == nil { // the target is that of all shards
		share = " = " + percent(r.Sent.Rate/r.Load.Rate) + " of target"
	}
	count := func(name string, c *bench.Count, more string) string {
		return fmt.Sprintf("%s %s (%s%s)", name, grouped(c.N), perSecond(c.Rate), more)
	}
	through := ""
	if s := r.Measured.Seconds(); s > 0 {
		through = ", " + byteSize(float64(r.Delivered.Bytes)/s) + "/s"
	}
	w.line("rate", count("sent", &r.Sent, share), count("acked", &r.Acked, ""), count("delivered", &r.Delivered, through))
	refused := int64(0)
	for _, c := range r.Refused {
		refused += c.N
	}
	w.line("", w.bad("unsent", r.Unsent), w.bad("refused", refused))
	w.causes(r.Refused)
}

func (w *reportWriter) contract(r *bench.Report) {
	c := &r.Contract
	if !c.Checked && r.Load.Role == bench.RoleConn {
		return // there are no messages
	}
	if !c.Checked {
		why := "the payloads are not tracked"
		if r.Load.Tracked {
			why = "none of the subscribers was there for these messages"
		}
		w.line("contract", w.style.Paint(Warn, "not checked: "+why))
		return
	}
	t := Table{Header: []string{"contract", "sent", "expected", "delivered", "lost", "dup", "with DUP", "out of order", "in doubt", ""},
		Right: []int{1, 2, 3, 4, 5, 6, 7, 8}}
	for _, q := range c.QoS {
		verdict := "held"
		switch {
		case !q.Held:
			verdict = "BROKEN"
		case q.Lost > 0: // allowed at QoS 0 only
			verdict = "held, lost " + percent(q.LossRatio)
		}
		t.Rows = append(t.Rows, []string{"  QoS " + strconv.Itoa(q.QoS), grouped(q.Sent), grouped(q.Expected), grouped(q.Delivered),
			grouped(q.Lost), grouped(q.Duplicates), grouped(q.DuplicatesDUP), grouped(q.OutOfOrder), grouped(q.InDoubt), verdict})
	}
	last := len(t.Header) - 1
	t.Paint = func(row, column int) Paint {
		switch {
		case row < 0:
			return Title
		case column != last:
			return Plain
		case !c.QoS[row].Held:
			return Bad
		}
		return Good
	}
	w.table(t)
	if c.Corrupt+c.Unexpected+c.Strange > 0 {
		w.line("", w.bad("corrupt", c.Corrupt), w.bad("unexpected", c.Unexpected), w.bad("of others", c.Strange))
	}
	for _, v := range c.Violations {
		at := ""
		if v.At > 0 {
			at = "at " + span(v.At)
		}
		w.line("", w.style.Paint(Bad, fmt.Sprintf("%s QoS %d", safe(v.Kind), v.QoS)),
			fmt.Sprintf("%s → %s  %s  no. %d", safe(v.Publisher), safe(v.Subscriber), safe(v.Topic), v.Seq), at)
	}
}

// phases are told one by one where more than one was recorded.
func (w *reportWriter) phases(r *bench.Report) {
	recorded := 0
	for i := range r.Phases {
		if p := &r.Phases[i]; p.Recorded && p.Sent.N+p.Delivered.N > 0 && p.Name != "drain" {
			recorded++
		}
	}
	if recorded < 2 {
		return
	}
	t := Table{Header: []string{"phase", "for", "target", "sent", "delivered", "e2e n", "p50", "p99", "max"}, Right: []int{1, 2, 3, 4, 5, 6, 7, 8}, Paint: titles}
	for i := range r.Phases {
		if p := &r.Phases[i]; p.Recorded && p.Name != "drain" {
			t.Rows = append(t.Rows, append([]string{"  " + safe(string(p.Name)), span(p.To - p.From), rate(p.Target)}, traffic(&p.Traffic, p.Latency.E2E)...))
		}
	}
	w.table(t)
}

// groups are told one by one in a scenario of a file.
func (w *reportWriter) groups(r *bench.Report) {
	if r.Load.Role != "run" {
		return
	}
	t := Table{Header: []string{"group", "role", "clients", "lost", "sent", "delivered", "n", "p50", "p99", "max"}, Right: []int{2, 3, 4, 5, 6, 7, 8, 9}, Paint: titles}
	for i := range r.Groups {
		g := &r.Groups[i]
		d := g.Latency.E2E
		for _, other := range []*bench.Distribution{g.Latency.PubAck, g.Latency.PubComp, g.Latency.Connect} {
			if d == nil {
				d = other
			}
		}
		t.Rows = append(t.Rows, append([]string{"  " + safe(g.Name), string(g.Role), grouped(g.Connected), grouped(g.Lost)}, traffic(&g.Traffic, d)...))
	}
	w.table(t)
}

// titles paints the heading alone.
func titles(row, _ int) Paint {
	if row < 0 {
		return Title
	}
	return Plain
}

func rate(r float64) string {
	if r == 0 {
		return ""
	}
	return perSecond(r)
}

func traffic(t *bench.Traffic, d *bench.Distribution) []string {
	row := []string{perSecond(t.Sent.Rate), perSecond(t.Delivered.Rate), "", "", "", ""}
	if d != nil {
		copy(row[2:], []string{grouped(d.N), milliseconds(d.P50), milliseconds(d.P99), milliseconds(d.Max)})
	}
	return row
}

func (w *reportWriter) resume(r *bench.Resume) {
	if r == nil {
		return
	}
	backlog := ""
	if r.Backlog > 0 {
		backlog = fmt.Sprintf("backlog %s  recovered %s in %s (%s)", grouped(r.Backlog), grouped(r.Recovered), span(r.Took), perSecond(r.Rate))
	}
	w.line("sessions", fmt.Sprintf("%s of %s were present", grouped(r.Present), grouped(r.Sessions)), w.bad("lost", int64(r.Absent)), backlog)
}

func (w *reportWriter) sweep(s *bench.Sweep) {
	if s == nil {
		return
	}
	t := Table{Header: []string{"sweep", "sent", "delivered", "e2e n", "p50", "p99", ""}, Right: []int{0, 1, 2, 3, 4, 5}}
	for _, p := range s.Points {
		t.Rows = append(t.Rows, []string{perSecond(p.Rate), perSecond(p.Sent), perSecond(p.Delivered), grouped(p.N), milliseconds(p.E2EP50), milliseconds(p.E2EP99), safe(string(p.Verdict))})
	}
	t.Paint = func(row, column int) Paint {
		switch {
		case row < 0:
			return Title
		case column != 6:
			return Plain
		case s.Points[row].Verdict == bench.Pass:
			return Good
		}
		return Bad
	}
	w.table(t)
	knee := "none failed"
	if s.Knee > 0 {
		knee = "the lowest that did not: " + perSecond(s.Knee)
	}
	w.line("highest", w.style.Paint(Name, perSecond(s.Highest))+" held", knee)
}

func (w *reportWriter) broker(b *bench.Broker) {
	if b == nil {
		return
	}
	w.line("broker", safe(b.Command))
	w.line("", fmt.Sprintf("cpu %.1f s per million messages (%s in all)", b.CPUPerMillion.Seconds(), span(b.CPU)),
		fmt.Sprintf("memory %s idle, %s at most, %s per connection", byteSize(float64(b.IdleMemory)), byteSize(float64(b.PeakMemory)), byteSize(float64(b.PerConnection))))
}

// milliColumns are the columns of the latency table.
func milliColumns(name string, d *bench.Distribution) []string {
	return []string{name, grouped(d.N), milliseconds(d.Min), milliseconds(d.P50), milliseconds(d.P90), milliseconds(d.P99),
		milliseconds(d.P999), milliseconds(d.Max)}
}

func (w *reportWriter) latencies(l *bench.Latency) {
	t := Table{Header: []string{"latency (ms, from intended send)", "n", "min", "p50", "p90", "p99", "p99.9", "max"},
		Right: []int{1, 2, 3, 4, 5, 6, 7}}
	clamped := int64(0)
	for _, row := range l.All() {
		indent := "  "
		if partOfAnother(&row) {
			indent = "    "
		}
		t.Rows = append(t.Rows, milliColumns(indent+row.Title, row.Distribution))
		clamped += row.Clamped
	}
	if len(t.Rows) == 0 {
		w.line("latency", w.style.Paint(Warn, "nothing was measured"))
		return
	}
	w.table(t)
	if clamped > 0 {
		w.line("", w.bad("above the range, counted as an hour:", clamped))
	}
}

// maxBars is the width of the plot of all seconds.
const maxBars = 60

// worst shows the second with the slowest deliveries, and all of them.
func (w *reportWriter) worst(seconds []bench.Second) {
	if len(seconds) < 2 {
		return
	}
	p99 := func(s bench.Second) time.Duration { return s.E2EP99 }
	worst := slices.MaxFunc(seconds, func(a, b bench.Second) int { return cmp.Compare(p99(a), p99(b)) })
	if worst.E2EP99 == 0 {
		return
	}
	values := make([]float64, len(seconds))
	for i, s := range seconds {
		values[i] = float64(s.E2EP99)
	}
	w.line("worst", fmt.Sprintf("second %d: end to end p99 %s ms, lag p99 %s ms", int(math.Ceil(worst.At.Seconds())), milliseconds(worst.E2EP99), milliseconds(worst.LagP99)),
		bars(values, maxBars))
}

func (w *reportWriter) generator(g *bench.Generator) {
	verdict := w.style.Paint(Good, "VALID")
	if !g.Valid {
		verdict = w.style.Paint(Bad, "INVALID")
	}
	achieved := ""
	if g.Achieved > 0 {
		achieved = "achieved " + percent(g.Achieved)
	}
	ceiling := ""
	if g.Ceiling > 0 {
		ceiling = "ceiling " + perSecond(g.Ceiling)
	}
	w.line("generator", verdict, fmt.Sprintf("cpu %s of %d cores", percent(g.CPUShare), g.Cores), "lag p99 "+milliseconds(g.LagP99)+" ms", achieved, ceiling)
	for _, f := range g.Faults {
		w.line("", w.style.Paint(Bad, safe(f)))
	}
	for _, f := range g.Warnings {
		w.line("", w.style.Paint(Warn, safe(f)))
	}
}

func (w *reportWriter) thresholds(all []bench.Threshold) {
	label := "thresholds"
	for _, t := range all {
		mark := w.style.Paint(Good, "✓")
		value := "is " + safe(t.Value)
		if t.Limit != "" {
			value += ", limit " + safe(t.Limit)
		}
		switch {
		case t.Inconclusive:
			mark = w.style.Paint(Warn, "?")
			value += fmt.Sprintf(" of %s samples, too few", grouped(t.N))
		case !t.OK:
			mark = w.style.Paint(Bad, "✗")
		}
		w.line(label, mark+" "+safe(t.Rule), w.style.Paint(Faint, value))
		label = ""
	}
}

// result is the last word of a report and of a comparison.
func (w *reportWriter) result(v bench.Verdict, reasons []string, exit int) {
	label := "because"
	for _, why := range reasons {
		w.line(label, safe(why))
		label = ""
	}
	p := Bad
	switch v {
	case bench.Pass:
		p = Good
	case bench.Inconclusive:
		p = Warn
	}
	w.line("RESULT", w.style.Paint(p, strings.ToUpper(string(v)))+fmt.Sprintf(" (exit %d)", exit))
}
