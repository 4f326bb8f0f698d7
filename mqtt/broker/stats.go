package broker

import (
	"sync/atomic"

	"mqt/mqtt/store"
)

// Stats are the broker's counters since it was made, and what it holds now.
type Stats struct {
	// What is held now: Network Connections, clients past CONNECT and the most
	// there ever were, Sessions with and without a connection, subscriptions,
	// those of them that are shared, and retained messages with their bytes.
	Connections, Clients, MaxClients       int64
	Sessions, Subscriptions, Shared        int64
	Retained, RetainedBytes                int64
	Waiting                                int64 // messages in queues, and what was in flight and is left to the disk; one counts for each who waits for it
	Memory                                 int64 // bytes that clients have us keep, have sent of packets in part, and do not read
	Accepted, Admitted                     int64 // Network Connections so far, and clients past CONNECT
	Packets, PacketsSent                   int64 // of any type
	BytesReceived, BytesSent               int64 // of MQTT, without TLS and WebSocket
	Received, Sent                         int64 // packets of type PUBLISH
	PayloadBytesReceived, PayloadBytesSent int64 // in these

	// Messages that were not delivered, by reason.
	DroppedSlow     int64 // QoS 0: the connection's out-buffer was full
	DroppedQueue    int64 // the session's queue was full
	DroppedMemory   int64 // the memory of all was used up
	DroppedExpired  int64 // Message Expiry Interval
	DroppedTooLarge int64 // the client's Maximum Packet Size
	DroppedRetained int64 // over the limit of retained messages

	// Network Connections that were refused, and those that ended by an error
	// of the peer.
	Refused, ProtocolErrors int64
	Handshakes              int64 // of TLS and WebSocket that failed or were not let finish

	// What the ACL did not allow: PUBLISH packets and wills, subscriptions, and
	// messages that had waited when it was changed. What is not delivered
	// because a filter is wider than its client may read is not counted.
	DeniedPublish, DeniedSubscribe, DeniedWaiting int64

	// Store counts for Options.Store, nil where there is none. StoreFailed: for good.
	Store       *store.Stats
	StoreFailed bool

	// Exceeded counts by Limit how often somebody went over it.
	Exceeded [NumLimits]int64
}

// Drop is a reason for which messages were not delivered, and how many.
type Drop struct {
	Reason string // in lower case, such as "out-buffer"
	Count  int64
}

// Drops lists the Dropped counters by reason.
func (s *Stats) Drops() []Drop {
	out := make([]Drop, numDrops)
	for d, n := range [numDrops]int64{s.DroppedSlow, s.DroppedQueue, s.DroppedMemory, s.DroppedExpired, s.DroppedTooLarge,
		s.DroppedRetained, s.DeniedWaiting} {
		out[d] = Drop{drop(d).String(), n}
	}
	return out
}

// counters are Stats under the hands of many goroutines. A turn adds up its own
// and brings them here once.
type counters struct {
	connections, accepted                         atomic.Int64
	received, sent, payload, payloadOut           atomic.Int64
	packets, packetsOut, bytesReceived, bytesSent atomic.Int64
	waiting                                       atomic.Int64
	dropped                                       [numDrops]atomic.Int64
	refused, protocolErrors, handshakes           atomic.Int64
	deniedPublish, deniedSubscribe                atomic.Int64
}

// Stats returns the counters as they are now.
func (b *Broker) Stats() Stats {
	b.mu.Lock()
	sessions := b.sessions.len()
	b.mu.Unlock()
	b.retained.mu.Lock()
	retainedBytes := b.retained.bytes
	b.retained.mu.Unlock()
	shared := b.shared.count()
	n := &b.count
	s := Stats{
		Connections: n.connections.Load(), Accepted: n.accepted.Load(),
		Sessions: int64(sessions), Subscriptions: int64(b.subs.Len() + shared), Shared: int64(shared),
		Retained: int64(b.retained.tree.Len()), RetainedBytes: retainedBytes,
		Waiting: n.waiting.Load(), Memory: b.memory.Used(),
		Packets: n.packets.Load(), PacketsSent: n.packetsOut.Load(),
		BytesReceived: n.bytesReceived.Load(), BytesSent: n.bytesSent.Load(),
		Received: n.received.Load(), Sent: n.sent.Load(),
		PayloadBytesReceived: n.payload.Load(), PayloadBytesSent: n.payloadOut.Load(),
		DroppedSlow: n.dropped[dropSlow].Load(), DroppedQueue: n.dropped[dropQueue].Load(), DroppedMemory: n.dropped[dropMemory].Load(),
		DroppedExpired: n.dropped[dropExpired].Load(), DroppedTooLarge: n.dropped[dropTooLarge].Load(),
		DroppedRetained: n.dropped[dropRetained].Load(),
		Refused:         n.refused.Load(), ProtocolErrors: n.protocolErrors.Load(), Handshakes: n.handshakes.Load(),
		DeniedPublish: n.deniedPublish.Load(), DeniedSubscribe: n.deniedSubscribe.Load(), DeniedWaiting: n.dropped[dropDenied].Load(),
	}
	if b.store != nil {
		x := b.store.Stats()
		s.Store, s.StoreFailed = &x, b.store.Err() != nil
	}
	b.gate.count(&s)
	for i := range s.Exceeded {
		s.Exceeded[i] = b.excess[i].n.Load()
	}
	return s
}

// tally is what one turn counts without touching shared memory.
type tally struct {
	packets, bytes, received, payload      int64
	packetsOut, bytesOut, sent, payloadOut int64
	waiting, held                          int64 // more in queues, or less: messages and bytes
}

// addTally brings a turn's counts home.
func (b *Broker) addTally(t *tally) {
	n := &b.count
	for _, x := range [...]struct {
		to *atomic.Int64
		by int64
	}{
		{&n.packets, t.packets}, {&n.bytesReceived, t.bytes}, {&n.received, t.received}, {&n.payload, t.payload},
		{&n.packetsOut, t.packetsOut}, {&n.bytesSent, t.bytesOut}, {&n.sent, t.sent}, {&n.payloadOut, t.payloadOut},
		{&n.waiting, t.waiting},
	} {
		if x.by != 0 {
			x.to.Add(x.by)
		}
	}
	if t.held != 0 {
		b.memory.Add(t.held)
	}
	*t = tally{}
}
