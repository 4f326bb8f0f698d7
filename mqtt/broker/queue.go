package broker

import (
	"mqt/mqtt"
)

// delivery is a message on its way to sessions, in one form. It is immutable:
// all subscribers of equal QoS and flags hold the same one.
type delivery struct {
	m      *message
	ids    []uint32 // Subscription Identifiers
	group  *group   // the shared subscription it came by, nil otherwise
	qos    mqtt.QoS
	retain bool // the RETAIN flag it is sent with
}

// size is what a delivery counts against Options.MaxQueueBytes.
func (d *delivery) size() int { return d.m.size + messageCost + idCost*len(d.ids) }

// queue holds the deliveries that wait for room in flight, or for the client to
// come back, in order. It is a ring that exists only while it holds something.
// Guarded by session.mu.
type queue struct {
	ring  []*delivery
	head  int
	n     int
	bytes int
}

func (q *queue) empty() bool { return q.n == 0 }

func (q *queue) push(d *delivery) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.n)%len(q.ring)] = d
	q.n++
	q.bytes += d.size()
}

func (q *queue) grow() {
	ring := make([]*delivery, max(8, 2*len(q.ring)))
	for i := range q.n {
		ring[i] = q.ring[(q.head+i)%len(q.ring)]
	}
	q.ring, q.head = ring, 0
}

func (q *queue) front() *delivery { return q.ring[q.head] }

func (q *queue) pop() *delivery {
	d := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) % len(q.ring)
	q.n--
	q.bytes -= d.size()
	if q.n == 0 {
		*q = queue{}
	}
	return d
}
