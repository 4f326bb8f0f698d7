package bench

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// act begins the actions of a step. stop waits for their end, and ends what
// lasts until the end of the step.
func (r *runner) act(ctx context.Context, s *Step, start time.Duration) (stop func()) {
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	for i := range s.Actions {
		a := &s.Actions[i]
		wg.Go(func() {
			if sleep(ctx, start+a.At-r.now()) {
				r.actOne(ctx, a, start+a.At)
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
		for i := range s.Actions {
			r.endAction(&s.Actions[i])
		}
	}
}

func (r *runner) actOne(ctx context.Context, a *Action, start time.Duration) {
	if a.Kind == Exec {
		r.events.add(r.now(), "action", "exec %s", a.Command)
		c := shell(ctx, a.Command)
		c.WaitDelay = hookDelay
		out, err := c.CombinedOutput()
		endRest(c)
		// One that has left something running still writes, perhaps.
		if err != nil && ctx.Err() == nil && !errors.Is(err, exec.ErrWaitDelay) {
			r.events.add(r.now(), "action", "exec failed: %v: %s", err, strings.TrimSpace(string(out[:min(len(out), 500)])))
		}
		return
	}
	picked := r.pick(a)
	r.events.add(r.now(), "action", "%s of %d clients", a.Kind, len(picked))
	for i, m := range picked {
		if a.Over > 0 && !sleep(ctx, start+a.Over*time.Duration(i)/time.Duration(len(picked))-r.now()) {
			return
		}
		m.suffer(ctx, a.Kind)
	}
}

// hookDelay is how long a command that has to end is waited for.
const hookDelay = time.Second

// pick chooses clients that are connected, at random and the same ones with the
// same seed.
func (r *runner) pick(a *Action) []*member {
	var all []*member
	for _, g := range r.groups {
		if len(a.Groups) == 0 || slices.Contains(a.Groups, g.Name) {
			all = append(all, g.members...)
		}
	}
	all = slices.DeleteFunc(all, func(m *member) bool { return m.c == nil || m.c.Err() != nil })
	r.randomly.Lock()
	r.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	r.randomly.Unlock()
	n := int(float64(len(all))*a.Pick + 0.5)
	return all[:min(n, len(all))]
}

// suffer does to m's connection what the action says.
func (m *member) suffer(ctx context.Context, k ActionKind) {
	if k == TakeOver {
		m.takeOver(ctx)
		return
	}
	w := m.wire
	if w == nil || m.down.Load() {
		return
	}
	w.mu.Lock()
	nc, g := w.nc, w.gate
	w.mu.Unlock()
	if nc == nil {
		return
	}
	switch k {
	case HalfOpen, Slow:
		w.meant.Store(true)
		g.hold(k)
		return
	case Disconnect:
		w.meant.Store(true)
		if g != nil {
			nc = g.Conn
		}
		if layers(nc) {
			_ = nc.Close() // which say goodbye themselves
			return
		}
		_, _ = nc.Write([]byte{byte(mqtt.TypeDisconnect) << 4, 0}) // the close below says the same
	case RST:
		w.meant.Store(true)
		if tcp, ok := socket(nc).(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	default:
		w.meant.Store(true)
	}
	_ = socket(nc).Close() // without a goodbye of TLS and WebSocket
}

// layered is a connection on top of another, as that of TLS.
type layered interface{ NetConn() net.Conn }

func layers(nc net.Conn) bool {
	_, ok := nc.(layered)
	return ok
}

// socket is what nc stands on.
func socket(nc net.Conn) net.Conn {
	for {
		switch l := nc.(type) {
		case *gate:
			nc = l.Conn
		case layered:
			nc = l.NetConn()
		default:
			return nc
		}
	}
}

// takeOver connects with the same Client Identifier [MQTT-3.1.4-3].
func (m *member) takeOver(ctx context.Context) {
	o, err := m.bare()
	if err != nil {
		return
	}
	if w := m.wire; w != nil {
		w.meant.Store(true)
	}
	o.OnState, o.OnMessage, o.Reconnect = nil, nil, nil
	c, err := client.Connect(ctx, o)
	if err != nil {
		return // the event tells of the attempt, the report of the connections
	}
	_ = c.Disconnect(ctx, mqtt.Disconnect{})
	<-c.Done()
}

// endAction ends what lasts until the end of the step.
func (r *runner) endAction(a *Action) {
	if a.Kind != HalfOpen && a.Kind != Slow {
		return
	}
	for _, m := range r.members {
		w := m.wire
		if w == nil {
			continue
		}
		w.mu.Lock()
		if w.gate != nil {
			w.gate.release()
		}
		w.mu.Unlock()
	}
}

// slowRead is what a slow connection reads each slowEvery.
const (
	slowRead  = 512
	slowEvery = 50 * time.Millisecond
)

// gate is a connection that can be held up.
type gate struct {
	net.Conn
	mu     sync.Mutex
	mode   ActionKind // "": open
	change chan struct{}
}

func newGate(nc net.Conn) *gate { return &gate{Conn: nc, change: make(chan struct{})} }

func (g *gate) hold(k ActionKind) {
	g.mu.Lock()
	g.mode = k
	g.mu.Unlock()
}

// release lets it go on; a half-open connection ends.
func (g *gate) release() {
	g.mu.Lock()
	was := g.mode
	g.mode = ""
	if was == HalfOpen {
		close(g.change)
		g.change = make(chan struct{})
	}
	g.mu.Unlock()
	if was == HalfOpen {
		_ = g.Conn.Close()
	}
}

func (g *gate) state() (ActionKind, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mode, g.change
}

func (g *gate) Read(p []byte) (int, error) {
	mode, _ := g.state()
	if mode == Slow {
		time.Sleep(slowEvery)
		p = p[:min(len(p), slowRead)]
	}
	n, err := g.Conn.Read(p)
	if mode, change := g.state(); mode == HalfOpen && err == nil {
		<-change // what came is not seen
		return 0, net.ErrClosed
	}
	return n, err
}

func (g *gate) Write(p []byte) (int, error) {
	if mode, _ := g.state(); mode == HalfOpen {
		return len(p), nil
	}
	return g.Conn.Write(p)
}
