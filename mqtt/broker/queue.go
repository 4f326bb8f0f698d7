package broker

import (
	"mqt/mqtt"
	"mqt/mqtt/store"
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

// queued is a delivery on its way to one session, with its place there. The
// delivery is nil where only a PUBREL is left of it after a restart.
type queued struct {
	d  *delivery
	at store.Position // 0 without a store, and at QoS 0
}

// queue holds the deliveries that wait for room in flight, or for the client to
// come back, in order. It is a ring that exists only while it holds something.
// Guarded by session.mu.
type queue struct {
	ring  []queued
	head  int
	n     int
	bytes int
}

func (q *queue) empty() bool { return q.n == 0 }

func (q *queue) push(w queued) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.n)%len(q.ring)] = w
	q.n++
	q.bytes += w.d.size()
}

func (q *queue) grow() {
	ring := make([]queued, max(8, 2*len(q.ring)))
	for i := range q.n {
		ring[i] = q.ring[(q.head+i)%len(q.ring)]
	}
	q.ring, q.head = ring, 0
}

func (q *queue) front() queued { return q.ring[q.head] }

func (q *queue) pop() queued {
	w := q.ring[q.head]
	q.ring[q.head] = queued{}
	q.head = (q.head + 1) % len(q.ring)
	q.took(w)
	return w
}

// back returns the last, pull takes it out.
func (q *queue) back() queued { return q.ring[(q.head+q.n-1)%len(q.ring)] }

func (q *queue) pull() queued {
	i := (q.head + q.n - 1) % len(q.ring)
	w := q.ring[i]
	q.ring[i] = queued{}
	q.took(w)
	return w
}

func (q *queue) took(w queued) {
	q.n--
	q.bytes -= w.d.size()
	if q.n == 0 {
		*q = queue{}
	}
}

// remove takes out the one at a place; false: it is not there. It is for
// failures, and takes its time.
func (q *queue) remove(at store.Position) (w queued, ok bool) {
	var rest queue
	for !q.empty() {
		if x := q.pop(); x.at == at {
			w, ok = x, true
		} else {
			rest.push(x)
		}
	}
	*q = rest
	return w, ok
}
