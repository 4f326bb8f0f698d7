package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// member is one client of a group.
type member struct {
	r   *runner
	g   *group
	i   int            // in its group
	c   *client.Client // nil: not connected
	rec *recorder
	pub *publisher  // nil: it is none
	sub *subscriber // nil: it is none

	served  bool         // it was connected
	resumes bool         // it has a Session and said goodbye
	asked   bool         // for a Session: the Server may have it, even if no answer came
	down    atomic.Bool  // the connection is gone
	attempt atomic.Int32 // trying, fell or made
	cause   error        // of fell
	wire    *wiring      // nil: its connections are not touched
}

// What became of the first connection. While it is tried its end is no loss:
// either it fails, or it was made and is lost at once.
const (
	trying int32 = iota
	fell
	made
)

// wiring is what is known of a member's connections where they are made anew
// or broken.
type wiring struct {
	mu      sync.Mutex
	nc      net.Conn
	gate    *gate
	dialled time.Duration // when the last attempt began
	opened  time.Duration // and when the transport's handshakes were done
	meant   atomic.Bool   // the end that comes is our doing
	again   atomic.Bool   // it was connected before
}

// name is the Client Identifier.
func (m *member) name() string {
	if m.g.ClientID != nil {
		return m.g.ClientID(m.i)
	}
	return "bench" + m.r.s.RunID + m.g.Name + strconv.Itoa(m.i)
}

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

// options are what m connects with.
func (m *member) options() (client.Options, error) {
	o, err := m.bare()
	if err == nil && (o.Dial != nil || m.r.s.Dial != nil) {
		m.wireUp(&o)
	}
	return o, err
}

// bare are the options without what watches the connection.
func (m *member) bare() (client.Options, error) {
	r, g := m.r, m.g
	o := r.s.Client
	o.ClientID = m.name()
	o.OnState = m.onState
	o.KeepSession, o.SessionExpiryInterval = g.KeepSession, g.Expiry
	if m.pub != nil {
		o.InFlight = g.InFlight
		if m.pub.qos == mqtt.QoS2 {
			o.OnReceived = m.pub.received
		}
	}
	if m.sub != nil {
		o.OnMessage = m.sub.onMessage
	}
	if g.Setup != nil {
		if err := g.Setup(m.i, &o); err != nil {
			return o, fmt.Errorf("bench: group %q, client %d: %w", g.Name, m.i, err)
		}
	}
	if g.Reconnect {
		o.Reconnect = &client.Backoff{Min: max(g.Jitter, time.Millisecond), Max: max(g.Jitter, time.Second)}
	}
	return o, nil
}

// wireUp lets m's connections be dialled under our eyes.
func (m *member) wireUp(o *client.Options) {
	dial := o.Dial
	if dial == nil {
		own := *o
		own.Dial = nil
		dial = func(ctx context.Context) (net.Conn, error) { return m.r.s.Dial(ctx, &own) }
	}
	timeout := o.ConnectTimeout
	if timeout == 0 {
		timeout = client.DefaultConnectTimeout
	}
	if m.g.Reconnect {
		// Our own wait is no fault of the Server.
		o.ConnectTimeout = timeout + m.g.After + time.Minute
	}
	w := &wiring{}
	m.wire = w
	o.Dial = func(ctx context.Context) (net.Conn, error) { return m.dial(ctx, w, dial, timeout) }
}

func (m *member) dial(ctx context.Context, w *wiring, dial func(context.Context) (net.Conn, error), timeout time.Duration) (net.Conn, error) {
	if w.again.Load() {
		if !sleep(ctx, m.g.After) {
			return nil, context.Cause(ctx)
		}
		select {
		case m.r.places <- struct{}{}:
			defer func() { <-m.r.places }()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	from := m.r.now()
	nc, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	now := m.r.now()
	m.record(connectDial, now-from)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dialled, w.opened = from, now
	if m.g.gated {
		w.gate = newGate(nc)
		nc = w.gate
	}
	if m.g.Reconnect || m.r.breaks {
		w.nc = nc
	}
	return nc, nil
}

func (m *member) record(what metric, d time.Duration) {
	m.rec.mu.Lock()
	m.rec.cur.record(what, d)
	m.rec.mu.Unlock()
}

// connect makes the first connection.
func (m *member) connect(ctx context.Context, due time.Duration) error {
	o, err := m.options()
	if err != nil {
		return err
	}
	m.asked = m.asked || o.KeepSession
	m.attempt.Store(trying)
	c, err := client.Connect(ctx, o)
	if err != nil {
		return err
	}
	now := m.r.now()
	m.c, m.served, m.resumes = c, true, false
	m.down.Store(false)
	m.r.connected.Add(1)
	m.g.connected.Add(1)
	m.record(connect, now-due)
	if w := m.wire; w != nil {
		w.mu.Lock()
		m.record(connectConnack, max(now-w.opened, 0))
		w.again.Store(true)
		w.mu.Unlock()
		if !m.g.Reconnect && !m.r.breaks {
			m.wire = nil
		}
	}
	if !m.attempt.CompareAndSwap(trying, made) {
		m.attempt.Store(made)
		m.lost(m.cause)
	}
	return nil
}

// onState counts the connections that we did not end, and those made anew.
func (m *member) onState(s client.State, err error) {
	switch s {
	case client.Closed:
		if err != nil && !errors.Is(err, client.ErrClosed) {
			m.lost(err)
		}
	case client.Reconnecting:
		m.lost(err)
	case client.Connected:
		m.back()
	}
}

// lost is told each end of a connection, and each attempt that fails.
func (m *member) lost(err error) {
	r := m.r
	if m.attempt.Load() == trying {
		m.cause = err
		if m.attempt.CompareAndSwap(trying, fell) {
			return
		}
	}
	if m.down.Swap(true) {
		r.refusedAgain.Add(1)
		r.starved.add(err)
		return
	}
	r.connected.Add(-1)
	if why := r.why(); why != nil && errors.Is(err, why) {
		return // we have given up while it was made
	}
	if w := m.wire; w != nil && w.meant.Swap(false) {
		r.cut.Add(1)
		return
	}
	r.lost.Add(1)
	m.g.lost.Add(1)
	r.losses.add(err)
	r.events.add(r.now(), "lost", "%s: %v", m.name(), err)
}

// back is told each connection but the first.
func (m *member) back() {
	w := m.wire
	if w == nil || !w.again.Load() || !m.down.Swap(false) {
		return
	}
	w.mu.Lock()
	took := m.r.now() - w.dialled
	w.mu.Unlock()
	m.record(reconnect, took)
	m.r.connected.Add(1)
	m.r.reconnected.Add(1)
	present := m.c.SessionPresent()
	if m.g.KeepSession {
		m.r.taken(present)
	}
	switch {
	case m.pub != nil:
		m.pub.back(present)
	case m.sub != nil && !present:
		m.sub.gaps.Add(1) // what was sent meanwhile is not for it
	}
}

// taken counts a Session that should have been there.
func (r *runner) taken(present bool) {
	r.sessionsAsked.Add(1)
	if present {
		r.sessionsPresent.Add(1)
	}
}

// subscribeTimeout bounds the wait for a SUBACK.
const subscribeTimeout = 30 * time.Second

func (r *runner) subscribeOne(ctx context.Context, s *subscriber, due time.Duration) error {
	if s.c == nil || s.active {
		return nil
	}
	s.subscribed.Store(int64(due))
	err := s.subscribe(ctx)
	if errors.Is(err, client.ErrConnectionLost) {
		return nil // counted by onState
	}
	if err != nil {
		return err
	}
	s.record(subAck, r.now()-due)
	return nil
}

func (s *subscriber) subscribe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	codes, err := s.c.Subscribe(ctx, []mqtt.Subscription{{Filter: s.filter, QoS: s.qos}}, nil)
	if err != nil {
		return err
	}
	if got := mqtt.QoS(codes[0]); got != s.qos {
		return fmt.Errorf("bench: %s: asked for QoS %d, the server granted QoS %d", s.filter, s.qos, got)
	}
	s.active = true
	return nil
}

// leaveTimeout bounds the goodbye to the Server.
const leaveTimeout = 5 * time.Second

// goodbye disconnects the clients of a step; those that have a Session can be
// resumed.
func (r *runner) goodbye(s *Step, last bool) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	members := r.membersOf(s)
	r.each(context.Background(), len(members), MaxConnecting, 0, func(i int, _ time.Duration) {
		m := members[i]
		if m.c == nil && !m.resumes && !(last && m.asked) {
			return
		}
		if !last {
			m.disconnect(ctx, mqtt.Disconnect{})
			m.resumes = m.g.KeepSession
			return
		}
		m.leave(ctx)
	})
}

func (m *member) disconnect(ctx context.Context, d mqtt.Disconnect) {
	if m.c.Err() == nil && !m.down.Load() {
		m.r.connected.Add(-1)
	}
	_ = m.c.Disconnect(ctx, d) // nothing can be done about it
	<-m.c.Done()
	m.c = nil
}

// leave says goodbye for good: nothing is left behind, unless it shall be.
func (m *member) leave(ctx context.Context) {
	keep := m.r.s.Keep
	if m.c != nil && m.c.Err() == nil {
		if m.pub != nil && m.g.Retain && !keep {
			_, _ = m.c.Publish(ctx, &mqtt.Message{Topic: m.pub.topic, QoS: mqtt.QoS1, Retain: true}) // it goes away with the topic otherwise
		}
		var d mqtt.Disconnect
		end := m.g.KeepSession && !keep
		if end && m.c.Version() == mqtt.V50 {
			d.Properties = mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 0)}
			end = false
		}
		online := m.c.State() == client.Connected
		_ = m.c.Disconnect(ctx, d)
		<-m.c.Done()
		if !end && online {
			return
		}
	}
	if m.g.KeepSession && !keep {
		m.forget(ctx)
	}
}

// forget ends a Session: a clean one takes its place, and ends with its
// connection.
func (m *member) forget(ctx context.Context) {
	o, err := m.bare()
	if err != nil {
		return
	}
	o.KeepSession, o.SessionExpiryInterval, o.Reconnect = false, 0, nil
	o.OnState, o.OnMessage, o.OnReceived = nil, nil, nil
	c, err := client.Connect(ctx, o)
	if err != nil {
		return // the Server is gone, or does not want us
	}
	_ = c.Disconnect(ctx, mqtt.Disconnect{})
	<-c.Done()
}

// leave disconnects all clients and waits for their end.
func (r *runner) leave() {
	if r.left {
		return
	}
	r.left = true
	r.goodbye(&Step{}, true)
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

// maxEvents bounds the time line of a report.
const maxEvents = 1000

// events are the time line.
type events struct {
	mu   sync.Mutex
	list []Event
}

func (e *events) add(at time.Duration, kind, format string, a ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.list) < maxEvents {
		e.list = append(e.list, Event{At: at, Kind: kind, Text: fmt.Sprintf(format, a...)})
	}
}
