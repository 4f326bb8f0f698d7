// Package format is bytes out: received messages as text, JSON or in the
// format language of mosquitto_sub, payloads as hex or base64, tables, and the
// report of a bench run. It also reads back the JSON lines that it writes.
//
// # Where things are
//
//	printer.go      Received, Printer
//	text.go         Text: payload, or topic and payload
//	json.go         JSON: one object a message; decode.go reads it again
//	template.go     Template: the -F language, compiled once; letters.go its letters
//	payload.go      Encoding: hex, base64, escaped for a terminal
//	style.go        Style: colour and width, as the caller has decided
//	table.go        Table
//	report.go       the text of a bench.Report; progress.go its live line
//
// # Data and terminals
//
// What goes to a pipe or a file is exact: a payload is its bytes. What goes to
// a terminal was written by strangers, so it is offered with its control
// characters escaped (the Encoding [Escaped], [AppendEscaped]), and JSON never
// holds one. Nothing here looks at a stream or at the environment: the caller
// knows what stdout is.
package format

import (
	"time"

	"mqt/mqtt"
)

// Received is an Application Message with what belongs to its delivery.
type Received struct {
	*mqtt.Message
	// PacketID is 0 at QoS 0.
	PacketID mqtt.PacketID
	Dup      bool
	// SubscriptionIdentifiers are those of all matching subscriptions, section
	// 3.3.2.3.8.
	SubscriptionIdentifiers []uint32
	// TopicAlias is 0 where the PUBLISH had none.
	TopicAlias uint16
	// At is when the message was received; it is printed in its own location.
	At time.Time
	// Decoded is what a codec made of the payload; nil where none was asked.
	Decoded *Decoded
}

// Decoded is a payload that a codec has read: see package mqt/format/codec.
type Decoded struct {
	// Text is valid JSON, or the bytes that were packed in the payload.
	Text []byte
	JSON bool
	// Err says why the payload could not be decoded; there is no Text then.
	Err error
}

// Printer writes messages. It is safe for concurrent use.
type Printer interface {
	// Append writes m behind dst, its line end included.
	Append(dst []byte, m *Received) []byte
}
