package broker

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"mqt/mqtt"
)

// drop is a reason for which a message is not delivered.
type drop int

const (
	dropSlow     drop = iota // QoS 0: the connection's out-buffer was full
	dropQueue                // the session's queue was full
	dropMemory               // the memory of all was used up
	dropExpired              // Message Expiry Interval
	dropTooLarge             // the client's Maximum Packet Size
	dropRetained             // over the limit of retained messages
	dropDenied               // the ACL was changed while it waited
	numDrops
)

// String returns the name in lower case, such as "out-buffer".
func (d drop) String() string {
	return [numDrops]string{"out-buffer", "queue", "memory", "expired", "too-large", "retained", "denied"}[d]
}

// traffic counts for one session. It is there once there is something to count.
type traffic struct {
	in, out, bytesIn, bytesOut atomic.Int64
	drops                      [numDrops]atomic.Int64
}

// counted returns the session's counters.
func (s *session) counted() *traffic {
	if n := s.traffic.Load(); n != nil {
		return n
	}
	s.traffic.CompareAndSwap(nil, &traffic{})
	return s.traffic.Load()
}

// dropped counts a message that the session does not get.
func (s *session) dropped(d drop) {
	s.owner.b.count.dropped[d].Add(1)
	s.counted().drops[d].Add(1)
}

// Client is what there is to see of one Session. The texts are the client's own.
type Client struct {
	ClientID string
	Username string // "" for an anonymous client

	// Of the Network Connection, zero while there is none.
	Connected bool
	Address   string
	Version   mqtt.Version
	Since     time.Time // when the connection was made, to a tenth of a second
	KeepAlive time.Duration

	Subscriptions         int
	Queued, QueuedBytes   int
	InFlight, FlightBytes int // QoS 1 and 2 messages to the client

	// Since the Session began: PUBLISH packets from and to the client, and the bytes
	// of them and of what came in the same reads; messages that were not
	// delivered.
	Received, Sent           int64
	BytesReceived, BytesSent int64
	Dropped                  []Drop // those reasons that there were
}

// MaxClients is how many Clients returns at most.
const MaxClients = 1000

// Clients returns the sessions, with and without a connection, in the order of
// their Client Identifiers: the first n, MaxClients at most, behind after, which
// need not be there. Whoever asks holds nobody up for long: it is a look at each
// in turn.
func (b *Broker) Clients(after string, n int) []Client {
	found := b.sessionsBehind(after, min(n, MaxClients))
	out := make([]Client, 0, len(found))
	for _, s := range found {
		if c, ok := s.describe(); ok {
			out = append(out, c)
		}
	}
	return out
}

// byClientID is a heap with the last on top.
type byClientID []*session

func (h byClientID) Len() int           { return len(h) }
func (h byClientID) Less(i, j int) bool { return h[i].clientID > h[j].clientID }
func (h byClientID) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byClientID) Push(x any)        { *h = append(*h, x.(*session)) }
func (h *byClientID) Pop() any {
	last := len(*h) - 1
	s := (*h)[last]
	*h = (*h)[:last]
	return s
}

// sessionsBehind finds the first n sessions behind after, in order. Between two
// parts of the table others have the lock: what is there all the time is found.
func (b *Broker) sessionsBehind(after string, n int) []*session {
	var h byClientID
	for i := range b.sessions.parts {
		b.mu.Lock()
		for s := range b.sessions.parts[i].all {
			switch id := s.clientID; {
			case id <= after || n <= 0:
			case len(h) < n:
				heap.Push(&h, s)
			case id < h[0].clientID:
				h[0] = s
				heap.Fix(&h, 0)
			}
		}
		b.mu.Unlock()
	}
	slices.SortFunc(h, func(a, b *session) int {
		return cmp.Or(strings.Compare(a.clientID, b.clientID), int(int32(b.serial-a.serial)))
	})
	// A Client Identifier whose session was replaced meanwhile may be there twice.
	return slices.CompactFunc(h, func(a, b *session) bool { return a.clientID == b.clientID })
}

// describe looks at a session; false: it has ended.
func (s *session) describe() (Client, bool) {
	c := Client{ClientID: s.clientID, Username: s.owner.name}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return c, false
	}
	if nc := s.conn; nc != nil {
		c.Connected, c.Version, c.KeepAlive = true, nc.version, time.Duration(nc.keepAlive)*time.Second
		c.Since = s.owner.b.timers.start.Add(nc.accepted.at())
		if a := nc.tc.RemoteAddr(); a != nil {
			c.Address = a.String()
		}
	}
	c.Subscriptions = s.subs.len()
	c.Queued, c.QueuedBytes = s.backlog()
	if s.flight != nil {
		c.InFlight, c.FlightBytes = s.sender.Len(), s.flying
	}
	if s.keep != nil {
		n, bytes := s.keep.aloft()
		c.InFlight, c.FlightBytes = c.InFlight+n, c.FlightBytes+bytes
	}
	if n := s.traffic.Load(); n != nil {
		c.Received, c.Sent, c.BytesReceived, c.BytesSent = n.in.Load(), n.out.Load(), n.bytesIn.Load(), n.bytesOut.Load()
		for d := range numDrops {
			if k := n.drops[d].Load(); k > 0 {
				c.Dropped = append(c.Dropped, Drop{d.String(), k})
			}
		}
	}
	return c, true
}
