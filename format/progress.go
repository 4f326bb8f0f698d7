package format

import (
	"unicode/utf8"

	"mqt/mqtt/bench"
)

// AppendProgress writes how a bench run goes, one line without its end: the
// phase, clients, rates and the last second's p99. What does not fit into the
// width of the terminal is left out from the right.
func AppendProgress(dst []byte, p bench.Snapshot, s Style) []byte {
	room := s.Width
	for i, part := range progressParts(p) {
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
	switch p.Phase {
	case bench.WarmingUp, bench.Measuring, bench.Draining:
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
