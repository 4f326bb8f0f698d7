package broker

import "sync/atomic"

// Stats are the broker's counters since it was made, and what it holds now.
type Stats struct {
	// What is held now.
	Connections, Sessions, Subscriptions, Retained int64

	// Packets of type PUBLISH.
	Received, Sent int64
	BytesReceived  int64

	// Messages that were not delivered, by reason.
	DroppedSlow     int64 // QoS 0: the connection's out-buffer was full
	DroppedQueue    int64 // the session's queue was full
	DroppedExpired  int64 // Message Expiry Interval
	DroppedTooLarge int64 // the client's Maximum Packet Size
	DroppedRetained int64 // over the limit of retained messages

	// Network Connections that were refused, and those that ended by an error
	// of the peer.
	Refused, ProtocolErrors int64
}

// counters are Stats under the hands of many goroutines. A turn adds up its own
// and brings them here once.
type counters struct {
	connections                                                                 atomic.Int64
	received, sent, bytesReceived                                               atomic.Int64
	droppedSlow, droppedQueue, droppedExpired, droppedTooLarge, droppedRetained atomic.Int64
	refused, protocolErrors                                                     atomic.Int64
}

// Stats returns the counters as they are now.
func (b *Broker) Stats() Stats {
	b.mu.Lock()
	sessions := len(b.sessions)
	b.mu.Unlock()
	n := &b.count
	return Stats{
		Connections: n.connections.Load(), Sessions: int64(sessions),
		Subscriptions: int64(b.subs.Len() + b.shared.count()), Retained: int64(b.retained.tree.Len()),
		Received: n.received.Load(), Sent: n.sent.Load(), BytesReceived: n.bytesReceived.Load(),
		DroppedSlow: n.droppedSlow.Load(), DroppedQueue: n.droppedQueue.Load(),
		DroppedExpired: n.droppedExpired.Load(), DroppedTooLarge: n.droppedTooLarge.Load(),
		DroppedRetained: n.droppedRetained.Load(),
		Refused:         n.refused.Load(), ProtocolErrors: n.protocolErrors.Load(),
	}
}

// tally is what one turn counts without touching shared memory.
type tally struct{ received, sent, bytes int64 }

func (n *counters) add(t *tally) {
	if t.received > 0 {
		n.received.Add(t.received)
	}
	if t.sent > 0 {
		n.sent.Add(t.sent)
	}
	if t.bytes > 0 {
		n.bytesReceived.Add(t.bytes)
	}
	*t = tally{}
}
