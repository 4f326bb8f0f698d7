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
	w.contract(&r.Contract)
	w.latencies(&r.Latency)
	w.worst(r.Seconds)
	w.generator(&r.Generator)
	w.thresholds(r.Thresholds)
	w.result(r, exit)
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
	w.line("target", w.style.Paint(Name, safe(t.URL)), version, note, "run "+safe(r.RunID))
}

func (w *reportWriter) load(r *bench.Report) {
	l := &r.Load
	parts := []string{string(l.Shape), "QoS " + levels(l.QoS)}
	if len(l.SubscriberQoS) > 0 {
		parts[1] += " to " + levels(l.SubscriberQoS)
	}
	parts = append(parts, grouped(l.Size)+" B")
	switch {
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
	w.line("load", fmt.Sprintf("%s publishers to %s subscribers: %s", grouped(l.Publishers), grouped(l.Subscribers), strings.Join(parts, ", ")),
		fmt.Sprintf("%s (warm-up %s, drained in %s)", took, span(l.WarmUp), span(r.Drained)))
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
		w.bad("failed", int64(c.Failed)), w.bad("lost", int64(c.Lost)))
	w.causes(c.Failures)
	w.causes(c.Losses)
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
	if r.Load.Rate > 0 && !r.Load.Max {
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

func (w *reportWriter) contract(c *bench.Contract) {
	if !c.Checked {
		w.line("contract", w.style.Paint(Warn, "not checked: the payloads are not tracked"))
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

// milliColumns are the columns of the latency table.
func milliColumns(name string, d *bench.Distribution) []string {
	return []string{name, grouped(d.N), milliseconds(d.Min), milliseconds(d.P50), milliseconds(d.P90), milliseconds(d.P99),
		milliseconds(d.P999), milliseconds(d.Max)}
}

func (w *reportWriter) latencies(l *bench.Latency) {
	t := Table{Header: []string{"latency (ms, from intended send)", "n", "min", "p50", "p90", "p99", "p99.9", "max"},
		Right: []int{1, 2, 3, 4, 5, 6, 7}}
	clamped := int64(0)
	for _, row := range []struct {
		name string
		d    *bench.Distribution
	}{
		{"  connect", l.Connect}, {"  subscribe to SUBACK", l.SubAck}, {"  publish to PUBACK", l.PubAck}, {"  publish to PUBCOMP", l.PubComp},
		{"  end to end", l.E2E}, {"    QoS 0", l.E2EQoS0}, {"    QoS 1", l.E2EQoS1}, {"    QoS 2", l.E2EQoS2},
		{"  end to end, from actual send", l.E2EService}, {"  generator lag, in the above", l.Lag},
	} {
		if row.d != nil {
			t.Rows = append(t.Rows, milliColumns(row.name, row.d))
			clamped += row.d.Clamped
		}
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
	w.line("generator", verdict, fmt.Sprintf("cpu %s of %d cores", percent(g.CPUShare), g.Cores), "lag p99 "+milliseconds(g.LagP99)+" ms", achieved)
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
		if !t.OK {
			mark = w.style.Paint(Bad, "✗")
		}
		w.line(label, mark+" "+safe(t.Rule), w.style.Paint(Faint, "is "+safe(t.Value)))
		label = ""
	}
}

func (w *reportWriter) result(r *bench.Report, exit int) {
	label := "because"
	for _, why := range r.Reasons {
		w.line(label, safe(why))
		label = ""
	}
	p := Bad
	switch r.Verdict {
	case bench.Pass:
		p = Good
	case bench.Inconclusive:
		p = Warn
	}
	w.line("RESULT", w.style.Paint(p, strings.ToUpper(string(r.Verdict)))+fmt.Sprintf(" (exit %d)", exit))
}
