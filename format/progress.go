package format

import (
	"strings"
	"unicode/utf8"

	"mqt/mqtt/bench"
)

// AppendProgress writes how a bench run goes, one line without its end: the
// phase, clients, rates and the last second's p99. What does not fit into the
// width of the terminal is left out from the right.
func AppendProgress(dst []byte, p bench.Snapshot, s Style) []byte {
	room := s.Width
	parts := progressParts(p)
	if bar := timeBar(p); bar != "" && s.Width > 0 && widthOf(parts)+2+barCells < s.Width {
		parts = append([]progressPart{parts[0], {bar, Faint}}, parts[1:]...)
	}
	for i, part := range parts {
		gap := 2
		if i == 0 {
			gap = 0
		}
		n := gap + utf8.RuneCountInString(part.text)
		// The last column stays free: some terminals wrap when it is filled.
		if s.Width > 0 && n >= room {
			break
		}
		room -= n
		dst = append(pad(dst, gap, ' '), s.Paint(part.paint, part.text)...)
	}
	return dst
}

// barCells is the width of the time bar.
const barCells = 12

// timeBar is how much of its time a phase has used, "" if it has none.
func timeBar(p bench.Snapshot) string {
	if p.Of <= 0 {
		return ""
	}
	full := min(int(float64(barCells)*p.Elapsed.Seconds()/p.Of.Seconds()), barCells)
	return strings.Repeat("█", full) + strings.Repeat("░", barCells-full)
}

func widthOf(parts []progressPart) int {
	n := 0
	for _, p := range parts {
		n += utf8.RuneCountInString(p.text) + 2
	}
	return n - 2
}

type progressPart struct {
	text  string
	paint Paint
}

func progressParts(p bench.Snapshot) []progressPart {
	phase := string(p.Phase) + " " + span(p.Elapsed)
	if p.Of > 0 {
		phase += "/" + span(p.Of)
	}
	parts := []progressPart{{phase, Title}, {grouped(p.Connected) + "/" + grouped(p.Clients) + " clients", Plain}}
	add := func(paint Paint, name, value string) { parts = append(parts, progressPart{name + " " + value, paint}) }
	if p.Failed > 0 {
		add(Bad, "failed", grouped(p.Failed))
	}
	if p.Lost > 0 {
		add(Bad, "lost", grouped(p.Lost))
	}
	if p.Sent+p.Acked+p.Delivered > 0 || p.Phase == bench.Measuring {
		add(Plain, "sent", perSecond(p.SentRate))
		add(Plain, "acked", perSecond(p.AckedRate))
		add(Plain, "delivered", perSecond(p.DeliveredRate))
		if p.E2EP99 > 0 {
			add(Plain, "p99", milliseconds(p.E2EP99)+" ms")
		}
		if p.LagP99 > 0 {
			add(Faint, "lag", milliseconds(p.LagP99)+" ms")
		}
	}
	return parts
}
