package store

import (
	"iter"
	"sync/atomic"
	"time"

	"mqt/mqtt"
)

// SessionID stands for one Session in the store. A Session that a clean start
// replaces has another than its successor. 0 is none.
type SessionID uint64

// Position is the place of a message in the queue of one Session. Its owner
// gives them out, one after the other from [Store.First] or [Saved.Next] on for
// every message of QoS 1 and 2: never one twice and never a smaller one after a
// greater. 0 is none.
type Position uint64

// PacketID is the Packet Identifier of the message at p, when it is sent. As it
// follows from the position it needs no record of its own, and after a restart
// the message is sent again under it [MQTT-4.4.0-1]. Whoever finds it in use
// waits until it is free: so far back is another that is not acknowledged.
func (p Position) PacketID() mqtt.PacketID {
	if p == 0 {
		return 0
	}
	return mqtt.PacketID(1 + (p-1)%65_535)
}

// Opening tells when p was given out: after the store was opened for the nth time.
func (p Position) Opening() uint32 { return uint32(p >> 32) }

// Store is what must outlive the process. [Disk] is the one that does;
// storetest has one in memory and one that fails at will.
//
// All its methods may be called at once from many goroutines.
type Store interface {
	// NewSession returns an identifier that no Session has had. Nothing is
	// written.
	NewSession() SessionID

	// First is where the positions of a new Session begin.
	First() Position

	// Commit writes a batch: all of it or nothing. It never blocks. done is
	// called, once and never from within Commit, with nil when the batch is durable,
	// an error when it is not and will not be. The batch is the store's, and is
	// returned only with an error.
	// Batches are written, and done is called, in the order of their Commit. done
	// may not block: the others wait for it.
	//
	// With done nil nobody waits: the batch is not returned, is written together
	// with the next that somebody waits for, or a moment later, and is lost if the
	// process dies before.
	//
	// What fails with ErrFull is told at once, before batches that only remove and
	// wait for room.
	//
	// full: so much waits to be written that the caller should read no more from
	// the client that this batch came from until done.
	Commit(b *Batch, done func(error)) (full bool)

	// Sessions yields every Session, for the start. After an error nothing more
	// comes. Payloads of queued messages are not read. Nobody may wait for a
	// Commit within the loop.
	Sessions() iter.Seq2[*Saved, error]

	// Retained yields every retained message, as Sessions does.
	Retained() iter.Seq2[*Message, error]

	// ReadQueue returns what is committed of a queue from a position on, in order:
	// at most limit messages, and after the first only as many as maxBytes holds.
	// Fewer than that is not the end; none is. Those that PUBREC has come for are
	// left out. It may wait for the disk.
	ReadQueue(s SessionID, from Position, limit int, maxBytes int64) ([]Queued, error)

	// Stats returns counters.
	Stats() Stats

	// Err returns what every Commit fails with from now on, nil while the store
	// works. A full disk is not an end.
	Err() error

	// Close writes what was committed before it, calls what is owed and ends; what
	// still waits for room then fails with ErrFull. A Commit after it fails with
	// ErrClosed.
	Close() error
}

// Session is the record of one Session, section 4.1.
type Session struct {
	ClientID string
	Username string // whom it belongs to, "" for nobody
	Expiry   uint32 // Session Expiry Interval in seconds, 0xFFFFFFFF for ever
	// Left is when the Network Connection ended, in milliseconds; zero while there
	// is one. From it follow the end of the Session and the time of the will. A
	// Session that is loaded with a connection has lost it with the process.
	Left time.Time
	// Unsure is the last opening whose messages may have been sent beyond
	// [Saved.Sent], because the process died while there was a connection; 0: none.
	Unsure uint32
	// Will is what is still to be published, with its Will Delay Interval among
	// the properties; nil when it was published or discarded.
	Will *mqtt.Will
}

// Subscription is one Topic Filter of a Session.
type Subscription struct {
	mqtt.Subscription        // Filter as the client wrote it, "$share/…" included
	Identifier        uint32 // Subscription Identifier, 0 for none
}

// Message is an Application Message that the store keeps once, whoever refers
// to it. It is not changed after it was given to a [Batch], and the same
// *Message is given for each reference: the store recognises it.
type Message struct {
	Topic   string
	Payload []byte
	// Properties are those that travel, without Topic Alias, Subscription
	// Identifier and Message Expiry Interval.
	Properties mqtt.Properties
	QoS        mqtt.QoS
	Expires    bool      // it has a Message Expiry Interval
	Expiry     uint32    // that interval in seconds, counted from Born
	Born       time.Time // when it was published, in milliseconds

	id atomic.Uint64 // where the store has it, 0: nowhere. Set by the committer only.
}

// Size is what the message takes in memory, in bytes.
func (m *Message) Size() int { return len(m.Topic) + len(m.Payload) + m.Properties.Memory() }

// Delivery is a message on its way to one Session.
type Delivery struct {
	*Message
	QoS         mqtt.QoS // granted: 1 or 2
	Retain      bool     // the RETAIN flag it is sent with
	Identifiers []uint32 // Subscription Identifiers
	Share       string   // the filter of the shared subscription it came by, "" if none
}

// Queued is a delivery with its place.
type Queued struct {
	Position Position
	Delivery
}

// Saved is a Session as it was found at the start.
type Saved struct {
	ID SessionID
	Session
	Subscriptions []Subscription
	// Received are the inbound QoS 2 messages that wait for their PUBREL.
	Received []mqtt.PacketID
	// Released are the outbound QoS 2 messages that wait for their PUBCOMP, in the
	// order of their PUBRECs [MQTT-4.6.0-4].
	Released []Position
	// Count and Bytes are what waits in the queue or is in flight before its
	// acknowledgement; Bytes by [Message.Size].
	Count int
	Bytes int64
	// First and Last are the places of these, 0 if there are none.
	First, Last Position
	// Shared tells that some of these came by a shared subscription.
	Shared bool
	// Sent is up to where messages have been sent, as far as is known.
	Sent Position
	// Next is the first position that may be given out. It is greater than any that
	// ever was, also of those that were lost or are done with: see [FirstPosition].
	Next Position
}

// FirstPosition is where the positions begin that are given out after a store
// was opened for the nth time, in sessions old and new. A restart knows not all
// that were used, and a late acknowledgement of one message may not be taken for
// that of another: so the Packet Identifiers begin elsewhere each time.
func FirstPosition(opened uint64) Position {
	return Position(opened<<32 + opened*26_459%65_535 + 1)
}

// Stats are counters of a Store since it was opened, and its size.
type Stats struct {
	Commits      uint64        // transactions that became durable
	Batches      uint64        // batches in them
	Ops          uint64        // operations in them
	Full         uint64        // batches that failed because the disk was full
	Pending      int64         // bytes that wait to be written
	LastCommit   time.Duration // how long the last transaction took
	FileBytes    int64         // size of the file
	FreeBytes    int64         // of that, what is empty and will be used again
	DeadSessions int           // ended ones whose queues are being taken apart
	Short        bool          // the disk was full, and there is no room yet for what would be added
}
