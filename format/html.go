package format

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
	"time"

	"mqt/mqtt/bench"
)

// reportPage is the template of the HTML report.
//
//go:embed report.html
var reportPage string

// AppendHTML writes the result of a bench run as one page that asks for
// nothing from anywhere: tables, and plots in SVG, for screens of any width,
// light and dark, and for paper. It has no script.
func AppendHTML(dst []byte, r *bench.Report, exit int) ([]byte, error) {
	p := &page{R: r, Exit: exit}
	if err := p.plots(); err != nil {
		return dst, err
	}
	t, err := template.New("report").Funcs(template.FuncMap{
		"upper": func(v bench.Verdict) string { return strings.ToUpper(string(v)) }, "grouped": func(n any) string { return groupedAny(n) },
		"rate": perSecond, "ms": milliseconds, "span": span, "bytes": func(n int64) string { return byteSize(float64(n)) }, "percent": percent,
		"row": milliColumns, "label": func(d bench.Named) string { return latencyName(&d) }, "value": func(t bench.Threshold) string { return thresholdValue(&t) }, "violation": func(v bench.Violation) string { return violationText(&v) },
		"who": func(l bench.Load) string { return whoLoads(&l) }, "contract": contractName, "safe": safe, "levels": levels,
		"time":      func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"phaseSpan": func(p bench.PhaseResult) string { return span(p.To - p.From) },
		"traffic":   func(t bench.Traffic) []string { return traffic(&t, firstLatency(&t.Latency)) },
	}).Parse(reportPage)
	if err != nil {
		return dst, fmt.Errorf("format: html: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return dst, fmt.Errorf("format: html: %w", err)
	}
	return append(dst, b.Bytes()...), nil
}

func groupedAny(n any) string {
	switch n := n.(type) {
	case int:
		return grouped(n)
	case int64:
		return grouped(n)
	}
	return fmt.Sprint(n)
}

// firstLatency is what a group or phase is about.
func firstLatency(l *bench.Latency) *bench.Distribution {
	for _, d := range []*bench.Distribution{l.E2E, l.PubAck, l.PubComp, l.FirstMessage, l.Reconnect, l.Connect} {
		if d != nil {
			return d
		}
	}
	return nil
}

// page is what the template shows.
type page struct {
	R     *bench.Report
	Exit  int
	Plots []figure
}

// figure is one plot, for wide and for narrow screens.
type figure struct {
	Title, Note  string
	Legend       []legend
	Wide, Narrow template.HTML
}

type legend struct {
	Class, Text string
}

// Config is the load as JSON, for those who want to run it again.
func (p *page) Config() (string, error) {
	b, err := json.MarshalIndent(struct {
		Load        bench.Load        `json:"load"`
		Environment bench.Environment `json:"environment"`
		Seed        uint64            `json:"seed"`
		ConfigHash  string            `json:"config_hash"`
	}{p.R.Load, p.R.Environment, p.R.Seed, p.R.ConfigHash}, "", "  ")
	lines := strings.Split(string(b), "\n")
	for i := range lines {
		lines[i] = safe(lines[i])
	}
	return strings.Join(lines, "\n"), err
}

// Class is how the verdict is coloured.
func (p *page) Class() string {
	switch p.R.Verdict {
	case bench.Pass:
		return "good"
	case bench.Inconclusive:
		return "warn"
	}
	return "bad"
}

func (p *page) add(title, note string, pl *plot) {
	f := figure{Title: title, Note: note}
	for i, s := range pl.series {
		f.Legend = append(f.Legend, legend{fmt.Sprintf("s%d", i), s.name})
	}
	f.Wide, f.Narrow = pl.svg(title, 760, 280), pl.svg(title, 360, 260)
	p.Plots = append(p.Plots, f)
}

func (p *page) plots() error {
	if err := p.percentiles(); err != nil {
		return err
	}
	p.timeline()
	p.sweep()
	return nil
}

// percentiles has an axis on which each nine is as wide as the one before.
func (p *page) percentiles() error {
	l := &p.R.Latency
	pl := &plot{xLabel: "percentile", yLabel: "ms", yLog: true, xMax: 1}
	for _, n := range []struct {
		name string
		d    *bench.Distribution
	}{
		{"end to end", l.E2E}, {"PUBACK", l.PubAck}, {"PUBCOMP", l.PubComp}, {"connect", l.Connect}, {"reconnect", l.Reconnect},
		{"first retained", l.FirstMessage}, {"generator lag", l.Lag},
	} {
		if n.d == nil || n.d.HDR == "" || n.d.N < 2 || len(pl.series) == maxSeries {
			continue
		}
		h, err := n.d.Histogram()
		if err != nil {
			return fmt.Errorf("format: html: %w", err)
		}
		s := series{name: n.name}
		most := min(nines(1-1/float64(n.d.N)), 5)
		const steps = 120
		for i := range steps + 1 {
			x := most * float64(i) / steps
			s.points = append(s.points, point{x, float64(h.ValueAtQuantile(100*(1-pow10(-x)))) / 1e6})
		}
		pl.series, pl.xMax = append(pl.series, s), max(pl.xMax, most)
	}
	for _, t := range []float64{0, 50, 90, 99, 99.9, 99.99, 99.999} {
		if x := nines(t / 100); x <= pl.xMax {
			pl.xTicks = append(pl.xTicks, tick{x, fmt.Sprintf("%g %%", t)})
		}
	}
	if len(pl.series) > 0 {
		p.add("Latency by percentile", "from the intended send time; both axes are logarithmic", pl)
	}
	return nil
}

// minPlotted is the shortest part of a second that is shown as one.
const minPlotted = 300 * time.Millisecond

func (p *page) timeline() {
	seconds := p.R.Seconds
	if len(seconds) < 2 {
		return
	}
	rates := &plot{xLabel: "seconds", yLabel: "messages/s", series: []series{{name: "sent"}, {name: "delivered"}}}
	times := &plot{xLabel: "seconds", yLabel: "ms", yLog: true, series: []series{{name: "end to end p50"}, {name: "p99"}, {name: "max"}, {name: "generator lag p99"}}}
	for i := range seconds {
		s := &seconds[i]
		if s.Duration < minPlotted {
			continue // its rate would be the luck of the draw
		}
		x := s.At.Seconds()
		rates.series[0].points = append(rates.series[0].points, point{x, secondRate(s.Sent, s)})
		rates.series[1].points = append(rates.series[1].points, point{x, secondRate(s.Delivered, s)})
		for k, d := range []time.Duration{s.E2EP50, s.E2EP99, s.E2EMax, s.LagP99} {
			if d > 0 {
				times.series[k].points = append(times.series[k].points, point{x, float64(d) / 1e6})
			}
		}
		rates.xMax = max(rates.xMax, x)
	}
	times.xMax = rates.xMax
	rates.bands(p.R)
	times.bands(p.R)
	rates.xTicks = niceTicks(rates.xMax, 6)
	times.xTicks = rates.xTicks
	if len(rates.series[0].points) > 1 {
		p.add("Messages by second", "", rates)
	}
	if len(rates.series[0].points) > 1 && times.drop() {
		p.add("Latency by second", "the vertical axis is logarithmic", times)
	}
}

func (p *page) sweep() {
	if p.R.Sweep == nil || len(p.R.Sweep.Points) < 2 {
		return
	}
	pl := &plot{xLabel: "messages/s asked for", yLabel: "ms", yLog: true, dots: true, series: []series{{name: "end to end p50"}, {name: "p99"}}}
	for _, s := range p.R.Sweep.Points {
		pl.series[0].points = append(pl.series[0].points, point{s.Rate, float64(s.E2EP50) / 1e6})
		pl.series[1].points = append(pl.series[1].points, point{s.Rate, float64(s.E2EP99) / 1e6})
		pl.xMax = max(pl.xMax, s.Rate)
	}
	for i := range pl.series {
		pl.series[i].sort()
	}
	pl.xTicks = niceTicks(pl.xMax, 5)
	p.add("Latency by rate", "", pl)
}
