package mqtt

// QoS is the Quality of Service of a message, section 4.3.
type QoS byte

// The delivery promises.
const (
	QoS0 QoS = 0 // at most once
	QoS1 QoS = 1 // at least once
	QoS2 QoS = 2 // exactly once
)

// PacketID is a Packet Identifier, section 2.2.1. 0 is none.
type PacketID uint16

// Message is an Application Message: what is published and delivered, free of
// the Network Connection that carried it. It owns its memory and is not
// changed once made.
type Message struct {
	// Topic is the Topic Name, never an alias.
	Topic string
	// Payload may be any bytes, or none.
	Payload []byte
	QoS     QoS
	Retain  bool
	// Properties are those that travel with the message: neither Topic Alias
	// nor Subscription Identifier.
	Properties Properties
}

// Will is the Will Message of a CONNECT, section 3.1.2.5. Its Properties may
// hold a Will Delay Interval, which is not part of the message.
type Will struct {
	Topic      string
	Payload    []byte
	QoS        QoS
	Retain     bool
	Properties Properties
}

// Subscription is one Topic Filter of a SUBSCRIBE with its options, section
// 3.8.3.1. Before 5.0 only QoS is sent.
type Subscription struct {
	Filter            string
	QoS               QoS
	NoLocal           bool
	RetainAsPublished bool
	// RetainHandling: 0 sends retained messages at each subscribe, 1 only for
	// a new subscription, 2 never.
	RetainHandling byte
}

func (s *Subscription) options(v Version) byte {
	o := byte(s.QoS)
	if v < V50 {
		return o
	}
	if s.NoLocal {
		o |= 4
	}
	if s.RetainAsPublished {
		o |= 8
	}
	return o | s.RetainHandling<<4
}
