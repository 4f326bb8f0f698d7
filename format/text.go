package format

// Text prints the payload, as mosquitto_sub does without -F. An empty payload
// is an empty line, where mosquitto_sub prints nothing that could be counted.
//
// Where a codec has read the payload, that is printed: JSON on one line, or the
// bytes that were packed. A payload that it could not read becomes an object
// with the members decode_error and payload or payload_base64, so that what is
// decoded to JSON remains JSON.
type Text struct {
	// Topic puts the topic and a space in front (-v); an empty payload is then
	// "(null)".
	Topic bool
	// NoEOL leaves out the line feed behind each message (-N).
	NoEOL bool
	// Encoding of the payload; the zero value is its bytes. With Escaped the
	// topic is escaped too, with Hexdump it has a line of its own.
	Encoding Encoding
	// Pretty indents a payload that is, or was decoded to, a JSON value.
	Pretty bool
	// Style colours the topic.
	Style Style
}

// Append writes the message.
func (t *Text) Append(dst []byte, m *Received) []byte {
	if t.Topic {
		dst = t.appendTopic(dst, m.Topic)
		if t.Encoding == Hexdump {
			dst = append(dst, '\n')
		} else {
			dst = append(dst, ' ')
		}
	}
	switch {
	case m.Decoded != nil || t.Pretty:
		dst = t.appendDecoded(dst, m)
	case t.Topic && len(m.Payload) == 0 && t.Encoding != Hexdump:
		dst = append(dst, null...)
	default:
		dst = t.Encoding.Append(dst, m.Payload)
	}
	if t.NoEOL {
		return dst
	}
	return append(dst, '\n')
}

// null is what stands for no payload behind a topic.
const null = "(null)"

func (t *Text) appendTopic(dst []byte, topic string) []byte {
	if t.Style.Color {
		return append(dst, t.Style.Paint(Name, string(AppendEscaped(nil, topic)))...)
	}
	if t.Encoding == Escaped {
		return AppendEscaped(dst, topic)
	}
	return append(dst, topic...)
}

// appendDecoded writes what a codec made of the payload, or tries to indent it.
func (t *Text) appendDecoded(dst []byte, m *Received) []byte {
	d := m.Decoded
	if d == nil {
		d = &Decoded{Text: m.Payload, JSON: validJSON(m.Payload)}
	}
	bytes := t.Encoding != Raw && t.Encoding != Escaped
	switch {
	case d.Err != nil && bytes:
		return t.Encoding.Append(dst, m.Payload)
	case d.Err != nil:
		dst = append(d.appendError(append(dst, '{')), ',')
		return append(appendBinary(dst, "payload", m.Payload), '}')
	case !d.JSON && t.Topic && len(d.Text) == 0:
		return append(dst, null...)
	case !d.JSON || bytes:
		return t.Encoding.Append(dst, d.Text)
	case t.Pretty:
		return appendPretty(dst, AppendCompact(nil, d.Text))
	}
	return AppendCompact(dst, d.Text)
}
