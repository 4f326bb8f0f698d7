package format

// Text prints the payload, as mosquitto_sub does without -F. An empty payload
// is an empty line, where mosquitto_sub prints nothing that could be counted.
type Text struct {
	// Topic puts the topic and a space in front (-v); an empty payload is then
	// "(null)".
	Topic bool
	// NoEOL leaves out the line feed behind each message (-N).
	NoEOL bool
	// Encoding of the payload; the zero value is its bytes. With Escaped the
	// topic is escaped too.
	Encoding Encoding
	// Style colours the topic.
	Style Style
}

// Append writes the message.
func (t *Text) Append(dst []byte, m *Received) []byte {
	if t.Topic {
		dst = append(t.appendTopic(dst, m.Topic), ' ')
	}
	if t.Topic && len(m.Payload) == 0 {
		dst = append(dst, "(null)"...)
	} else {
		dst = t.Encoding.Append(dst, m.Payload)
	}
	if t.NoEOL {
		return dst
	}
	return append(dst, '\n')
}

func (t *Text) appendTopic(dst []byte, topic string) []byte {
	if t.Style.Color {
		return append(dst, t.Style.Paint(Name, string(AppendEscaped(nil, topic)))...)
	}
	if t.Encoding == Escaped {
		return AppendEscaped(dst, topic)
	}
	return append(dst, topic...)
}
