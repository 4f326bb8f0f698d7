package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// publisher is one client that publishes. Its shard sends for it; the goroutine
// that reads for the client ends its flights.
type publisher struct {
	member
	id    int // of all publishers
	shard *shard
	topic string
	qos   mqtt.QoS
	// window is how many messages may be under way, by our choice and the Server's.
	window int

	// Owned by the shard while a load runs.
	pending []time.Duration // when those were due that could not be sent
	head    int             // of pending
	turns   uint64          // messages of this load that were sent
	due     uint64          // that should be sent, in a closed loop
	dead    bool            // the connection is gone
	warm    uint64          // seq of warm-up messages

	// In a closed loop at QoS 0 a message is under way until all its subscribers
	// have it.
	windowed   bool          // this is so
	fanOut     atomic.Int64  // subscribers
	base       int64         // deliveries that belong to no message of this load
	progress   int64         // deliveries when that was last looked at
	progressAt time.Duration // when it changed
	delivered  atomic.Int64  // deliveries

	seq     atomic.Uint64 // of measured messages: how many were sent
	blocked atomic.Bool   // waits for room; whoever resets it puts it into the shard's list

	mu       sync.Mutex
	flights  []*flight
	free     []uint32 // indices of flights
	underWay int      // of QoS 1 and 2
	sizes    *rand.Rand
	unsure   marks // measured messages that nobody promised to deliver
	denied   int64 // those of them that were refused
	done     client.Done
}

// flight is one message under way. Its message is not changed until its end.
type flight struct {
	m        mqtt.Message
	kind     kind
	received bool // by the Server, which has sent PUBREC
	seq      uint64
	intended time.Duration
	buf      []byte // what Payload lies in
}

func (r *runner) newPublisher(g *group, i int) *publisher {
	p := &publisher{member: member{r: r, g: g, i: i, rec: g.recorderOf(i)}, id: len(r.pubs), topic: g.Topic(i), qos: g.QoS[i%len(g.QoS)]}
	p.windowed = g.Max && p.qos == mqtt.QoS0 && !r.s.NoTracking
	p.done = p.ended
	if g.MaxSize > g.Size {
		p.sizes = rand.New(rand.NewPCG(r.s.salted(), uint64(p.id)))
	}
	return p
}

// flight returns one to send message k with. At QoS 0 the only one is never
// under way.
func (p *publisher) flight(k kind, intended time.Duration) (uint32, *flight) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, f := p.spare()
	f.kind, f.intended, f.received = k, intended, false
	switch k {
	case measured:
		// Counted first: the message may arrive before Publish returns.
		f.seq = p.seq.Add(1) - 1
	case warmUp:
		f.seq = p.warm
		p.warm++
	}
	return i, f
}

func (p *publisher) spare() (uint32, *flight) {
	if p.qos == mqtt.QoS0 && len(p.flights) > 0 {
		return 0, p.flights[0]
	}
	if n := len(p.free); n > 0 {
		i := p.free[n-1]
		p.free = p.free[:n-1]
		p.underWay++
		return i, p.flights[i]
	}
	f := &flight{m: mqtt.Message{Topic: p.topic, QoS: p.qos}}
	if p.g.Payload == nil {
		f.buf = append([]byte(nil), p.r.filler[:max(p.g.Size, p.g.MaxSize)]...)
		f.m.Payload = f.buf[:p.g.Size]
	}
	p.flights = append(p.flights, f)
	if p.qos > mqtt.QoS0 {
		p.underWay++
	}
	return uint32(len(p.flights) - 1), f
}

// land takes a flight back.
func (p *publisher) land(i uint32) {
	if p.qos > mqtt.QoS0 {
		p.mu.Lock()
		p.free = append(p.free, i)
		p.underWay--
		p.mu.Unlock()
	}
}

func (p *publisher) publish(b *client.Batch, k kind, intended, now time.Duration) error {
	_, err := p.publishSized(b, k, intended, now)
	return err
}

// publishSized sends one message, which leaves when b is flushed, and returns
// the length of its payload.
func (p *publisher) publishSized(b *client.Batch, k kind, intended, now time.Duration) (int, error) {
	i, f := p.flight(k, intended)
	p.fill(f)
	if !p.r.s.NoTracking {
		s := stamp{kind: k, run: p.r.run, publisher: uint32(p.id), seq: f.seq, intended: intended, wait: now - intended}
		s.put(f.m.Payload)
	}
	done := p.done
	if p.qos == mqtt.QoS0 {
		done = nil
	}
	size := len(f.m.Payload)
	err := b.Publish(p.c, &f.m, uint64(i), done)
	if err == nil {
		return size, nil
	}
	if k == measured {
		p.seq.Add(^uint64(0))
	}
	p.land(i)
	return 0, err
}

// fill makes the payload of the next message, but for its header.
func (p *publisher) fill(f *flight) {
	switch {
	case p.g.Payload != nil:
		f.buf = f.buf[:0]
		if !p.r.s.NoTracking {
			f.buf = append(f.buf, make([]byte, stampSize)...)
		}
		f.buf = p.g.Payload(f.buf, p.i, f.seq)
		f.m.Payload = f.buf
	case p.sizes != nil:
		f.m.Payload = f.buf[:p.g.Size+p.sizes.IntN(p.g.MaxSize-p.g.Size+1)]
	}
}

// retainTimeout bounds the wait for the acknowledgement of a retained message.
const retainTimeout = 30 * time.Second

// retainOne sends the message that is retained.
func (p *publisher) retainOne(ctx context.Context) error {
	if p.c == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, retainTimeout)
	defer cancel()
	i, f := p.flight(probe, 0)
	defer p.land(i)
	p.fill(f)
	m := f.m
	m.QoS, m.Retain = max(p.qos, mqtt.QoS1), true // otherwise nobody tells when it is there
	if !p.r.s.NoTracking {
		s := stamp{kind: warmUp, run: p.r.run, publisher: uint32(p.id)}
		s.put(m.Payload)
	}
	_, err := p.c.Publish(ctx, &m)
	return err
}

// doubtful reports whether nobody promised to deliver message seq.
func (p *publisher) doubtful(seq uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unsure.has(seq)
}

// back is told a new connection. Without the Session, what is under way may
// come twice.
func (p *publisher) back(present bool) {
	if !present {
		p.mu.Lock()
		for i, f := range p.flights {
			if f.kind == measured && !slices.Contains(p.free, uint32(i)) {
				p.unsure.add(f.seq)
			}
		}
		p.mu.Unlock()
	}
	if p.blocked.CompareAndSwap(true, false) {
		p.shard.wakeFor(p)
	}
}

// received is told each PUBREC that is no failure; it may come again.
func (p *publisher) received(token uint64) {
	now := p.r.now()
	p.mu.Lock()
	f := p.flights[token]
	k, intended, again := f.kind, f.intended, f.received
	f.received = true
	p.mu.Unlock()
	p.rec.mu.Lock()
	if k == p.rec.kind && !again {
		p.rec.cur.record(pubRec, now-intended)
	}
	p.rec.mu.Unlock()
}

// ended is told the end of a flight.
func (p *publisher) ended(token uint64, code mqtt.ReasonCode, err error) {
	now := p.r.now()
	p.mu.Lock()
	f := p.flights[token]
	k, intended := f.kind, f.intended
	refused := code.Failed()
	if k == measured && (err != nil || refused) {
		p.unsure.add(f.seq)
		if refused {
			p.denied++
		}
	}
	p.free = append(p.free, uint32(token))
	p.underWay--
	// Half of the window at once: one by one would be one write each.
	room := !p.g.Max || p.underWay <= p.window/2
	size := len(f.m.Payload)
	p.mu.Unlock()

	p.rec.mu.Lock()
	t := p.rec.cur
	if k != probe {
		t.answered++
	}
	t.arrived++
	if k == p.rec.kind && err == nil && !refused {
		t.acked++
		t.ackedBytes += int64(size)
		m := pubAck
		if p.qos == mqtt.QoS2 {
			m = pubComp
		}
		t.record(m, now-intended)
	}
	p.rec.mu.Unlock()

	if refused && k == measured {
		p.r.refused.add(err)
	}
	if room && p.blocked.CompareAndSwap(true, false) {
		p.shard.wakeFor(p)
	}
}

// lostAfter is when a QoS 0 message is not waited for any more.
const lostAfter = time.Second

// undelivered is how many QoS 0 messages are under way.
func (p *publisher) undelivered(now time.Duration) int {
	n := p.delivered.Load()
	if n != p.progress {
		p.progress, p.progressAt = n, now
	}
	fan := max(1, p.fanOut.Load())
	waiting := int64(p.turns)*fan - (n - p.base)
	if waiting > 0 && now-p.progressAt > lostAfter {
		p.forgive(now)
		return 0
	}
	return int((waiting + fan - 1) / fan)
}

// forgive takes what is under way for delivered.
func (p *publisher) forgive(now time.Duration) {
	p.progress, p.progressAt = p.delivered.Load(), now
	p.base = p.progress - int64(p.turns)*p.fanOut.Load()
}

// arrived is told each delivery of a QoS 0 message in a closed loop.
func (p *publisher) arrived() {
	n := p.delivered.Add(1)
	if half := max(1, int64(p.g.InFlight)*p.fanOut.Load()/2); n%half == 0 && p.blocked.CompareAndSwap(true, false) {
		p.shard.wakeFor(p)
	}
}

// gone reports whether nothing more can be sent after err.
func gone(err error) bool {
	return errors.Is(err, client.ErrClosed) || errors.Is(err, client.ErrConnectionLost) || errors.Is(err, client.ErrNotConnected)
}
