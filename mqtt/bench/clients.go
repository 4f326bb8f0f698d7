package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// each calls f for 0 to n-1, in order, on up to workers goroutines, and stops
// when ctx ends. With a rate they begin on its schedule; due is when f should
// have begun.
func (r *runner) each(ctx context.Context, n, workers int, rate float64, f func(i int, due time.Duration)) {
	start := r.now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, n) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				due := r.now()
				if rate > 0 {
					due = start + time.Duration(float64(i)/rate*float64(time.Second))
					if !sleep(ctx, due-r.now()) {
						return
					}
				}
				f(i, due)
			}
		})
	}
	wg.Wait()
}

// sleep reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// connect connects all clients, subscribers first.
func (r *runner) connect(ctx context.Context) error {
	from := r.now()
	var once sync.Once
	var cause error
	r.during(Connecting, 0, func() {
		r.each(ctx, len(r.subs)+len(r.pubs), r.s.Connecting, r.s.ConnectRate, func(i int, due time.Duration) {
			if err := r.connectOne(ctx, i, due); err != nil && ctx.Err() == nil {
				r.failed.Add(1)
				r.failures.add(err)
				once.Do(func() { cause = err })
			}
		})
	})
	r.connectTook = r.now() - from
	if err := ctx.Err(); err != nil {
		return err
	}
	hasPubs := slices.ContainsFunc(r.pubs, func(p *publisher) bool { return p.c != nil })
	hasSubs := slices.ContainsFunc(r.subs, func(s *subscriber) bool { return s.c != nil })
	if !hasPubs || !hasSubs {
		return cause
	}
	for _, p := range r.pubs {
		if p.c != nil {
			p.shard.pubs = append(p.shard.pubs, p)
			p.window = min(r.s.InFlight, int(p.c.Connack().Properties.NumberOr(mqtt.ReceiveMaximum, 65535)))
			r.protocol = p.c.Version()
		}
	}
	return nil
}

// connectOne connects client i: the subscribers, then the publishers.
func (r *runner) connectOne(ctx context.Context, i int, due time.Duration) error {
	o := r.s.Client
	o.OnState = r.onState
	var rec *recorder
	var dst **client.Client
	if i < len(r.subs) {
		s := r.subs[i]
		o.ClientID, o.OnMessage = s.name(), s.onMessage
		rec, dst = s.rec, &s.c
	} else {
		p := r.pubs[i-len(r.subs)]
		o.ClientID, o.InFlight = p.name(), r.s.InFlight
		rec, dst = p.rec, &p.c
	}
	c, err := client.Connect(ctx, o)
	if err != nil {
		return err
	}
	*dst = c
	r.connected.Add(1)
	rec.mu.Lock()
	rec.cur.record(connect, r.now()-due)
	rec.mu.Unlock()
	return nil
}

// onState counts the connections that we did not end.
func (r *runner) onState(s client.State, err error) {
	if s == client.Closed && err != nil && !errors.Is(err, client.ErrClosed) {
		r.lost.Add(1)
		r.losses.add(err)
	}
}

// subscribe subscribes all subscribers that are connected.
func (r *runner) subscribe(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.during(Subscribing, 0, func() {
		r.each(ctx, len(r.subs), r.s.Connecting, 0, func(j int, due time.Duration) {
			s := r.subs[j]
			if s.c == nil {
				return
			}
			err := s.subscribe(ctx)
			if errors.Is(err, client.ErrConnectionLost) {
				return // counted by onState
			}
			if err != nil {
				cancel(err)
				return
			}
			s.rec.mu.Lock()
			s.rec.cur.record(subAck, r.now()-due)
			s.rec.mu.Unlock()
		})
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if i := slices.IndexFunc(r.subs, func(s *subscriber) bool { return s.active }); i < 0 {
		return fmt.Errorf("bench: no subscriber is left: %w", client.ErrConnectionLost)
	}
	return nil
}

// subscribeTimeout bounds the wait for a SUBACK.
const subscribeTimeout = 30 * time.Second

func (s *subscriber) subscribe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	filter := s.r.s.filter(s.id)
	codes, err := s.c.Subscribe(ctx, []mqtt.Subscription{{Filter: filter, QoS: s.qos}}, nil)
	if err != nil {
		return err
	}
	if got := mqtt.QoS(codes[0]); got != s.qos {
		return fmt.Errorf("bench: %s: asked for QoS %d, the server granted QoS %d", filter, s.qos, got)
	}
	s.active = true
	return nil
}

// probeTimeout bounds the wait for the first messages, which are sent again
// each probeEvery.
const (
	probeTimeout = 10 * time.Second
	probeEvery   = time.Second
)

// probe waits until a message of each publisher has reached each subscription
// that matches it.
func (r *runner) probe(ctx context.Context) error {
	if r.s.NoTracking {
		return nil
	}
	missing := 0
	for _, s := range r.subs {
		for k := range s.streams {
			if p := r.pubs[r.s.source(s.id, k)]; s.active && p.c != nil {
				missing++
				p.fanOut.Add(1)
			}
		}
	}
	r.unprobed.Add(int64(missing))
	if missing == 0 {
		return ctx.Err()
	}
	within, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	r.during(Probing, 0, func() { r.sendProbes(within) })
	if err := ctx.Err(); err != nil {
		return err
	}
	if left := r.unprobed.Load(); left > 0 {
		return &ProbeError{Missing: int(left), Of: missing, Waited: probeTimeout}
	}
	return nil
}

func (r *runner) sendProbes(ctx context.Context) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		var b client.Batch
		for i, p := range r.pubs {
			if p.c != nil {
				_ = p.publish(&b, probe, 0, 0) // what fails is tried again
			}
			if i%turnSize == turnSize-1 {
				b.Flush()
			}
		}
		b.Flush()
		select {
		case <-r.allSeen:
			return
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// probed is called for the first probe of each stream.
func (r *runner) probed() {
	if r.unprobed.Add(-1) == 0 {
		close(r.allSeen)
	}
}

// leaveTimeout bounds the goodbye to the Server.
const leaveTimeout = 5 * time.Second

// leave disconnects all clients and waits for their end.
func (r *runner) leave() {
	if r.left {
		return
	}
	r.left = true
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	r.each(context.Background(), len(r.pubs)+len(r.subs), r.s.Connecting, 0, func(i int, _ time.Duration) {
		var c *client.Client
		if i < len(r.pubs) {
			c = r.pubs[i].c
		} else {
			c = r.subs[i-len(r.pubs)].c
		}
		if c == nil {
			return
		}
		_ = c.Disconnect(ctx, mqtt.Disconnect{}) // nothing can be done about it
		<-c.Done()
	})
}

// maxCauses is how many different texts are told apart.
const maxCauses = 10

// causes counts errors by their text.
type causes struct {
	mu   sync.Mutex
	list []Cause
}

func (c *causes) add(err error) {
	text := causeOf(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.list, func(k Cause) bool { return k.Text == text })
	if i < 0 && len(c.list) >= maxCauses {
		text = "other causes"
		i = slices.IndexFunc(c.list, func(k Cause) bool { return k.Text == text })
	}
	if i < 0 {
		c.list = append(c.list, Cause{Text: text})
		i = len(c.list) - 1
	}
	c.list[i].N++
}

// all returns the causes, the commonest first.
func (c *causes) all() []Cause {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.Clone(c.list)
	slices.SortStableFunc(list, func(a, b Cause) int { return int(b.N - a.N) })
	return list
}

// causeOf is an error's text without what is different each time, which are
// the addresses of a connection.
func causeOf(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}
