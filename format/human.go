package format

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"mqt/mqtt"
)

// Human prints a message over several lines for people: when it came, its
// topic, QoS and flags, its properties, and the payload as what it is, JSON
// indented, text, or a hexdump. Nothing in it is obeyed by a terminal.
type Human struct {
	// Style colours it.
	Style Style
}

const (
	humanTime   = "2006-01-02 15:04:05.000"
	humanIndent = "  "
	// humanDump is how many bytes of a binary payload are shown.
	humanDump = 1024
)

// Append writes the message.
func (h *Human) Append(dst []byte, m *Received) []byte {
	dst = append(dst, h.Style.Paint(Faint, m.At.Format(humanTime))...)
	dst = append(dst, humanIndent...)
	dst = append(dst, h.Style.Paint(Name, string(AppendEscaped(nil, m.Topic)))...)
	dst = append(dst, humanIndent+"QoS "...)
	dst = append(dst, '0'+byte(m.QoS))
	for _, flag := range []struct {
		name string
		set  bool
	}{{"retained", m.Retain}, {"duplicate", m.Dup}} {
		if flag.set {
			dst = append(append(dst, humanIndent...), h.Style.Paint(Warn, flag.name)...)
		}
	}
	dst = append(dst, humanIndent...)
	dst = append(dst, h.Style.Paint(Faint, byteSize(float64(len(m.Payload))))...)
	dst = append(dst, '\n')
	dst = h.appendProperties(dst, m)
	return h.appendBody(dst, m)
}

func (h *Human) appendProperties(dst []byte, m *Received) []byte {
	line := func(name string, value []byte) {
		dst = append(append(dst, humanIndent...), h.Style.Paint(Faint, name+":")...)
		dst = append(append(append(dst, ' '), value...), '\n')
	}
	for i := range m.Properties {
		p := &m.Properties[i]
		switch {
		case p.ID == mqtt.TopicAlias || p.ID == mqtt.SubscriptionIdentifier: // of the delivery
		case p.ID == mqtt.UserProperty:
			value := append(AppendEscaped(nil, p.Key), '=')
			line(p.ID.String(), AppendEscaped(value, p.Value))
		case p.ID.IsNumber():
			line(p.ID.String(), strconv.AppendUint(nil, uint64(p.Number), 10))
		case p.ID.IsBinary() && !utf8.Valid(p.Value):
			line(p.ID.String(), append([]byte("0x"), Hex.Append(nil, p.Value)...))
		default:
			line(p.ID.String(), AppendEscaped(nil, p.Value))
		}
	}
	for _, id := range m.SubscriptionIdentifiers {
		line(mqtt.SubscriptionIdentifier.String(), strconv.AppendUint(nil, uint64(id), 10))
	}
	return dst
}

func (h *Human) appendBody(dst []byte, m *Received) []byte {
	d := m.Decoded
	if d == nil {
		d = &Decoded{Text: m.Payload, JSON: validJSON(m.Payload)}
	}
	if d.Err != nil {
		text := string(AppendEscaped(nil, "not decoded: "+trimCodec(d.Err)))
		dst = append(append(append(dst, humanIndent...), h.Style.Paint(Bad, text)...), '\n')
		d = &Decoded{Text: m.Payload}
	}
	dst = append(dst, humanIndent...)
	switch {
	case d.JSON:
		dst = appendIndented(dst, AppendCompact(nil, d.Text), humanIndent)
	case len(d.Text) == 0:
		dst = append(dst, h.Style.Paint(Faint, null)...)
	case isText(d.Text):
		for i, text := range bytes.Split(bytes.TrimSuffix(d.Text, []byte("\n")), []byte("\n")) {
			if i > 0 {
				dst = append(append(dst, '\n'), humanIndent...)
			}
			dst = AppendEscaped(dst, bytes.TrimSuffix(text, []byte("\r")))
		}
	default:
		dst = h.appendDump(dst, d.Text)
	}
	return append(dst, '\n')
}

func (h *Human) appendDump(dst, p []byte) []byte {
	if len(p) <= humanDump {
		return AppendHexdump(dst, p, humanIndent)
	}
	dst = AppendHexdump(dst, p[:humanDump], humanIndent)
	return append(dst, h.Style.Paint(Faint, " and "+grouped(len(p)-humanDump)+" more bytes")...)
}

// isText tells what people can read: UTF-8 with few control characters, as
// colours of a log have them.
func isText(p []byte) bool {
	if !utf8.Valid(p) {
		return false
	}
	controls := 0
	for _, c := range p {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			controls++
		}
	}
	return controls <= len(p)/8
}
