package format

import (
	"fmt"
	"strings"

	"mqt/mqtt/bench"
)

// The bounds of a Markdown report: CI systems refuse long ones.
const (
	maxMarkdownRows = 100
	maxMarkdownText = 300 // bytes of a stranger's text
)

// AppendMarkdown writes the result of a bench run for the page of a CI job, in
// GitHub's Markdown, well below the 1 MiB that one takes.
func AppendMarkdown(dst []byte, r *bench.Report, exit int) []byte {
	w := &markdownWriter{dst: dst}
	w.line("### %s mqt bench: %s (exit %d)", verdictMark(r.Verdict), strings.ToUpper(string(r.Verdict)), exit)
	w.line("")
	w.line("%s, %s, run %s", w.code(r.Target.URL), mdText(whoLoads(&r.Load)), w.code(r.RunID))
	if r.Interrupted {
		w.line("")
		w.line("**Interrupted after %s.**", span(r.Measured))
	}
	for _, why := range r.Reasons {
		w.line("- %s", mdText(why))
	}
	w.thresholds(r.Thresholds)
	w.latencies(&r.Latency)
	w.contract(r)
	w.table([]string{"clients", "sent", "acked", "delivered", "lost connections", "unsent"}, 0, [][]string{{
		grouped(r.Connections.Connected) + " of " + grouped(r.Connections.Asked),
		grouped(r.Sent.N) + " (" + perSecond(r.Sent.Rate) + ")", grouped(r.Acked.N) + " (" + perSecond(r.Acked.Rate) + ")",
		grouped(r.Delivered.N) + " (" + perSecond(r.Delivered.Rate) + ")", grouped(r.Connections.Lost), grouped(r.Unsent),
	}})
	w.phases(r)
	w.sweep(r.Sweep)
	if b := r.Broker; b != nil {
		w.table([]string{"broker", "CPU per million", "peak memory", "per connection"}, 1, [][]string{{
			w.code(b.Command), span(b.CPUPerMillion), byteSize(float64(b.PeakMemory)), byteSize(float64(b.PerConnection))}})
	}
	w.generator(&r.Generator)
	return w.dst
}

type markdownWriter struct{ dst []byte }

func (w *markdownWriter) line(format string, a ...any) {
	w.dst = append(fmt.Appendf(w.dst, format, a...), '\n')
}

// table writes a heading and rows; the columns from number on are aligned right.
func (w *markdownWriter) table(header []string, number int, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	rule := make([]string, len(header))
	for i := range rule {
		rule[i] = "---"
		if i >= number {
			rule[i] = "--:"
		}
	}
	w.line("")
	w.line("| %s |", strings.Join(header, " | "))
	w.line("| %s |", strings.Join(rule, " | "))
	for i, row := range rows {
		if i == maxMarkdownRows {
			w.line("")
			w.line("… and %d more", len(rows)-i)
			return
		}
		w.line("| %s |", strings.Join(row, " | "))
	}
}

// code shows a stranger's text as it is.
func (w *markdownWriter) code(text string) string {
	text = cut(safe(text), maxMarkdownText)
	return "`" + strings.NewReplacer("`", "'", "|", "¦").Replace(text) + "`"
}

// mdText keeps a stranger's text from being Markdown or HTML.
func mdText(text string) string {
	var b strings.Builder
	for _, c := range cut(safe(text), maxMarkdownText) {
		if strings.ContainsRune("\\`*_[]<>|~#&@!", c) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// cut shortens a text to about n bytes.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}

func verdictMark(v bench.Verdict) string {
	switch v {
	case bench.Pass:
		return "✅"
	case bench.Inconclusive:
		return "❔"
	}
	return "❌"
}

func (w *markdownWriter) thresholds(all []bench.Threshold) {
	var rows [][]string
	for _, t := range all {
		mark := "✅"
		switch {
		case t.Inconclusive:
			mark = "❔ too few samples"
		case !t.OK:
			mark = "❌"
		}
		rows = append(rows, []string{mark, w.code(t.Rule), mdText(t.Value), mdText(t.Limit)})
	}
	w.table([]string{"", "threshold", "value", "limit"}, 2, rows)
}

func (w *markdownWriter) latencies(l *bench.Latency) {
	var rows [][]string
	for _, d := range l.All() {
		rows = append(rows, milliColumns(latencyName(&d), d.Distribution))
	}
	w.table([]string{"latency, ms from intended send", "n", "min", "p50", "p90", "p99", "p99.9", "max"}, 1, rows)
}

// latencyName marks what is a part of the line above.
func latencyName(d *bench.Named) string {
	if partOfAnother(d) {
		return "… " + d.Title
	}
	return d.Title
}

// partOfAnother tells the lines that say more about the one before.
func partOfAnother(d *bench.Named) bool {
	return strings.HasPrefix(d.Name, "e2e_qos") || strings.HasPrefix(d.Name, "connect.")
}

func (w *markdownWriter) contract(r *bench.Report) {
	c := &r.Contract
	if !c.Checked {
		w.line("")
		w.line("The delivery contract was not checked.")
		return
	}
	var rows [][]string
	for _, q := range c.QoS {
		held := "✅ held"
		if !q.Held {
			held = "❌ **broken**"
		}
		rows = append(rows, []string{fmt.Sprintf("QoS %d", q.QoS), held, grouped(q.Expected), grouped(q.Delivered), grouped(q.Lost), grouped(q.Duplicates), grouped(q.OutOfOrder)})
	}
	w.table([]string{"contract", "", "expected", "delivered", "lost", "duplicates", "out of order"}, 2, rows)
	if c.Corrupt+c.Unexpected > 0 {
		w.line("")
		w.line("Corrupt %s, unexpected %s.", grouped(c.Corrupt), grouped(c.Unexpected))
	}
	for i := range c.Violations {
		if i == 0 {
			w.line("")
		}
		w.line("- %s", w.code(violationText(&c.Violations[i])))
	}
}

func (w *markdownWriter) phases(r *bench.Report) {
	var rows [][]string
	for i := range r.Phases {
		if p := &r.Phases[i]; p.Recorded && p.Name != bench.Draining {
			rows = append(rows, append([]string{mdText(string(p.Name)), span(p.To - p.From), rate(p.Target)}, traffic(&p.Traffic, p.Latency.E2E)...))
		}
	}
	if len(rows) > 1 {
		w.table([]string{"phase", "for", "target", "sent", "delivered", "e2e n", "p50 ms", "p99 ms", "max ms"}, 1, rows)
	}
}

func (w *markdownWriter) sweep(s *bench.Sweep) {
	if s == nil {
		return
	}
	var rows [][]string
	for _, p := range s.Points {
		rows = append(rows, []string{perSecond(p.Rate), perSecond(p.Sent), perSecond(p.Delivered), milliseconds(p.E2EP50), milliseconds(p.E2EP99), mdText(string(p.Verdict))})
	}
	w.table([]string{"rate", "sent", "delivered", "p50 ms", "p99 ms", ""}, 0, rows)
	w.line("")
	w.line("The highest rate that held: **%s**.", perSecond(s.Highest))
}

func (w *markdownWriter) generator(g *bench.Generator) {
	w.line("")
	valid := "valid"
	if !g.Valid {
		valid = "**INVALID**"
	}
	w.line("Generator %s: CPU %s of %d cores, lag p99 %s ms.", valid, percent(g.CPUShare), g.Cores, milliseconds(g.LagP99))
	for _, f := range g.Faults {
		w.line("- ❌ %s", mdText(f))
	}
	for _, f := range g.Warnings {
		w.line("- ⚠️ %s", mdText(f))
	}
}
