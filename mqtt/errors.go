package mqtt

import "fmt"

// Error is a Control Packet that breaks the standard: a Malformed Packet, a
// Protocol Error (section 4.13) or one over a limit. It ends the Network
// Connection; Code is what a 5.0 peer is told.
type Error struct {
	// Code is the Reason Code for the peer's CONNACK or DISCONNECT.
	Code ReasonCode
	// Statement is the normative statement that was broken, "MQTT-3.3.1-4",
	// or the section where the standard numbers none, "3.1.2.11.3".
	Statement string
	// Text says what was found, without anything the peer may not see.
	Text string
}

func (e *Error) Error() string {
	return fmt.Sprintf("mqtt: %s [%s]: %s", e.Text, e.Statement, e.Code)
}

func malformed(statement, text string) *Error {
	return &Error{Code: MalformedPacket, Statement: statement, Text: text}
}

func protocolError(statement, text string) *Error {
	return &Error{Code: ProtocolError, Statement: statement, Text: text}
}

func tooMany(section, what string) *Error {
	return &Error{Code: QuotaExceeded, Statement: section, Text: "more " + what + " than one packet may have here"}
}

// EncodeError is a packet that cannot be put on the wire, such as a string
// over 65,535 bytes. Nothing was sent.
type EncodeError struct {
	Packet Type
	Text   string
}

func (e *EncodeError) Error() string {
	return fmt.Sprintf("mqtt: cannot encode %s: %s", e.Packet, e.Text)
}
