package format

import (
	"cmp"
	"fmt"
	"html"
	"html/template"
	"math"
	"slices"
	"strings"

	"mqt/mqtt/bench"
)

// maxSeries is how many lines a plot can have: the page has so many colours.
const maxSeries = 5

// plot is lines over an axis that begins at 0.
type plot struct {
	xLabel, yLabel string
	yLog           bool
	dots           bool // mark the points
	xMax           float64
	xTicks         []tick
	series         []series
	areas          []area
	marks          []mark
}

type series struct {
	name   string
	points []point
}

type point struct{ x, y float64 }

type tick struct {
	at   float64
	text string
}

// area is a phase, mark something that happened.
type area struct {
	from, to float64
	name     string
}

type mark struct {
	at   float64
	text string
}

func (s *series) sort() {
	slices.SortFunc(s.points, func(a, b point) int { return cmp.Compare(a.x, b.x) })
}

// drop leaves out what has no points, and reports whether something is left.
func (pl *plot) drop() bool {
	pl.series = slices.DeleteFunc(pl.series, func(s series) bool { return len(s.points) == 0 })
	return len(pl.series) > 0
}

// maxMarks bounds what happened in a plot.
const maxMarks = 200

// bands adds the recorded phases and what happened in them.
func (pl *plot) bands(r *bench.Report) {
	var zero float64
	first := true
	for i := range r.Phases {
		p := &r.Phases[i]
		if !p.Recorded {
			continue
		}
		if first {
			zero, first = p.From.Seconds(), false
		}
		pl.areas = append(pl.areas, area{p.From.Seconds() - zero, min(p.To.Seconds()-zero, pl.xMax), string(p.Name)})
	}
	for _, e := range r.Events {
		if at := e.At.Seconds() - zero; e.Kind != "phase" && at >= 0 && at <= pl.xMax && len(pl.marks) < maxMarks {
			pl.marks = append(pl.marks, mark{at, e.Kind + ": " + e.Text})
		}
	}
}

func nines(share float64) float64 { return -math.Log10(1 - share) }

func pow10(x float64) float64 { return math.Pow(10, x) }

// plotTop is the room above the lines for the name of the vertical axis, and bandRow what the names of phases take below it.
const (
	plotTop = 22
	bandRow = 13
)

// frame is where the lines of a plot are, in the units of the SVG.
type frame struct {
	left, top, right, bottom float64
	xMax, low, high          float64
	log                      bool
}

func (f *frame) x(v float64) float64 { return f.left + v/f.xMax*(f.right-f.left) }

func (f *frame) y(v float64) float64 {
	share := 0.0
	switch {
	case f.log:
		share = (math.Log10(max(v, f.low)) - math.Log10(f.low)) / (math.Log10(f.high) - math.Log10(f.low))
	default:
		share = (v - f.low) / (f.high - f.low)
	}
	return f.bottom - share*(f.bottom-f.top)
}

// svg draws it; names and texts are escaped.
func (pl *plot) svg(title string, width, height float64) template.HTML {
	f := &frame{left: 52, top: plotTop, right: width - 14, bottom: height - 38, xMax: max(pl.xMax, 1e-9), log: pl.yLog}
	if len(pl.areas) > 1 {
		f.top += bandRow
	}
	ticks := pl.scale(f)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img"><title>%s</title>`, width, height, html.EscapeString(title))
	for i, a := range pl.areas {
		x, w := f.x(a.from), f.x(a.to)-f.x(a.from)
		if w <= 0 {
			continue
		}
		fmt.Fprintf(&b, `<rect class="area a%d" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s</title></rect>`, i%2, x, f.top, w, f.bottom-f.top, html.EscapeString(safe(a.name)))
		if name := safe(a.name); len(pl.areas) > 1 && float64(7*len(name)) < w {
			fmt.Fprintf(&b, `<text class="band" x="%.1f" y="%.1f">%s</text>`, x+3, f.top-5, html.EscapeString(name))
		}
	}
	for _, t := range ticks {
		fmt.Fprintf(&b, `<path class="grid" d="M%.1f %.1fH%.1f"/><text class="y" x="%.1f" y="%.1f">%s</text>`, f.left, f.y(t.at), f.right, f.left-5, f.y(t.at)+4, t.text)
	}
	last := math.Inf(-1)
	for _, t := range pl.xTicks {
		x := f.x(t.at)
		fmt.Fprintf(&b, `<path class="grid" d="M%.1f %.1fV%.1f"/>`, x, f.top, f.bottom)
		if room := 4 + 6.5*float64(len(t.text)); x-last >= room {
			fmt.Fprintf(&b, `<text class="x" x="%.1f" y="%.1f">%s</text>`, min(x, width-room/2), f.bottom+16, t.text)
			last = x
		}
	}
	fmt.Fprintf(&b, `<text class="y" x="%.1f" y="12">%s</text><text class="x" x="%.1f" y="%.1f">%s</text>`, f.left-5+float64(6*len(pl.yLabel))*0.5, pl.yLabel, (f.left+f.right)/2, height-4, pl.xLabel)
	for _, m := range pl.marks {
		fmt.Fprintf(&b, `<path class="mark" d="M%.1f %.1fV%.1f"><title>%s</title></path>`, f.x(m.at), f.top, f.bottom, html.EscapeString(safe(m.text)))
	}
	for i, s := range pl.series {
		pl.line(&b, f, i, &s)
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()) //nolint:gosec // what is a stranger's is escaped above
}

func (pl *plot) line(b *strings.Builder, f *frame, i int, s *series) {
	fmt.Fprintf(b, `<path class="line s%d" d="`, i)
	for k, p := range s.points {
		fmt.Fprintf(b, "%c%.1f %.1f", "ML"[min(k, 1)], f.x(p.x), f.y(p.y))
	}
	b.WriteString(`"/>`)
	if !pl.dots && len(s.points) > 1 {
		return
	}
	for _, p := range s.points {
		fmt.Fprintf(b, `<circle class="dot s%d" cx="%.1f" cy="%.1f" r="3"/>`, i, f.x(p.x), f.y(p.y))
	}
}

// scale sets the vertical range and returns its ticks.
func (pl *plot) scale(f *frame) []tick {
	low, high := math.Inf(1), 0.0
	for _, s := range pl.series {
		for _, p := range s.points {
			high = max(high, p.y)
			if p.y > 0 {
				low = min(low, p.y)
			}
		}
	}
	if !f.log || high == 0 {
		f.log = false
		ticks := niceTicks(high*1.05, 5)
		f.low, f.high = 0, max(high*1.05, ticks[len(ticks)-1].at)
		return ticks
	}
	from, to := math.Floor(math.Log10(max(low, 1e-3))), math.Ceil(math.Log10(high))
	if to <= from {
		to = from + 1
	}
	f.low, f.high = pow10(from), pow10(to)
	var ticks []tick
	for e := from; e <= to; e++ {
		ticks = append(ticks, tick{pow10(e), short(pow10(e))})
	}
	return ticks
}

// niceTicks are up to about n round numbers from 0 to most.
func niceTicks(most float64, n int) []tick {
	if !(most > 0) {
		return []tick{{0, "0"}, {1, "1"}}
	}
	step := math.Pow(10, math.Floor(math.Log10(most/float64(n))))
	for _, m := range []float64{1, 2, 5, 10} {
		if most/(step*m) <= float64(n) {
			step *= m
			break
		}
	}
	var all []tick
	for i := 0; float64(i)*step <= most*(1+1e-9); i++ {
		all = append(all, tick{float64(i) * step, short(float64(i) * step)})
	}
	return all
}

// short writes 12000 as 12k.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%.3gk", v/1e3)
	}
	return fmt.Sprintf("%.3g", v)
}
