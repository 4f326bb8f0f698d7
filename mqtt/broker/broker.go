package broker

import (
	"context"
	"fmt"
	"hash/maphash"
	"net"
	"sync"
	"sync/atomic"

	"mqt/mqtt"
	"mqt/mqtt/access"
	"mqt/mqtt/flow"
	"mqt/mqtt/store"
	"mqt/mqtt/topic"
	"mqt/mqtt/transport"
)

// Broker is an MQTT Server. Make it with New, give it listeners with Serve, end
// it with Shutdown.
type Broker struct {
	opt    Options
	timers *timers
	count  counters
	excess [NumLimits]excess
	limits atomic.Pointer[Options]
	memory transport.Budget // what clients have us keep, packets in part, and out-buffers of who does not read
	loops  transport.Loops
	gate   gate
	sys    sys
	turns  sync.Pool
	pool   flow.Pool[queued] // memory of what is in flight
	done   chan struct{}

	store       store.Store  // nil: nothing outlives the process
	owed        atomic.Int64 // answers that wait for the store
	storeFailed atomic.Bool  // that was logged
	storeFull   atomic.Int64 // when it was last, by timers
	readers     chan struct{}
	reading     sync.WaitGroup

	users  atomic.Pointer[access.Users] // nil: nobody has a password
	tokens atomic.Pointer[access.Tokens]
	acl    atomic.Pointer[access.ACL] // nil: all is allowed
	checks *checks

	seed     maphash.Seed // of what publishers remember
	subs     topic.FilterTree[*session, *subscription]
	shared   shares
	retained retention

	publishers publishers
	tidy       tidy
	relief     relief
	retries    retries

	mu       sync.Mutex
	sessions sessionTable
	passages map[string]*passage
	owners   map[string]*owner
	conns    connList
	serial   uint32
	closed   bool
	empty    chan struct{} // closed when the last connection has gone after closing
}

// New returns a Broker that listens to nothing yet.
func New(o Options) (*Broker, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	b := &Broker{
		opt:      o.withDefaults(),
		timers:   newTimers(),
		done:     make(chan struct{}),
		seed:     maphash.MakeSeed(),
		sessions: newSessionTable(),
		passages: make(map[string]*passage),
		owners:   make(map[string]*owner),
		empty:    make(chan struct{}),
		checks:   newChecks(),
		store:    o.Store,
		readers:  make(chan struct{}, maxReaders),
	}
	b.setLimits(b.opt)
	b.users.Store(o.Users)
	b.tokens.Store(o.Tokens)
	b.acl.Store(o.ACL)
	b.turns.New = func() any { return &turn{reader: mqtt.Reader{From: mqtt.Client}} }
	b.retained.b, b.publishers.b, b.retries.b, b.relief.b = b, b, b, b
	if b.opt.GiveBack {
		b.tidy.start(b)
	}
	if b.store != nil {
		// Who has waited for the store is answered by its goroutine, on the thread that the loop leaves.
		b.loops.ParkedWhile = func() bool { return b.owed.Load() > 0 }
		if err := b.load(); err != nil {
			return nil, err
		}
	}
	if b.opt.SysInterval > 0 {
		b.sys.start(b)
	}
	go b.timers.run(b.done)
	return b, nil
}

// Listen opens a listener whose connections keep to the broker's limits.
func (b *Broker) Listen(ctx context.Context, e *transport.Endpoint, o transport.ListenOptions) (*transport.Listener, error) {
	b.prepare(&o)
	return transport.Listen(ctx, e, o)
}

// ListenOn is Listen for a socket that somebody else has opened.
func (b *Broker) ListenOn(nl net.Listener, e *transport.Endpoint, o transport.ListenOptions) (*transport.Listener, error) {
	b.prepare(&o)
	return transport.ListenOn(nl, e, o)
}

// Serve accepts connections from l until ctx is done or l is closed. Several
// listeners may be served at once.
func (b *Broker) Serve(ctx context.Context, l *transport.Listener) error {
	if err := l.Serve(ctx, b.Accept); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	return nil
}

// Accept returns the handler of a new Network Connection, whichever transport
// made it.
func (b *Broker) Accept(tc *transport.Conn) transport.Handler {
	accepted := b.timers.now() - tc.HandshakeTime()
	c := &conn{b: b, tc: tc, accepted: coarsely(accepted)}
	b.mu.Lock()
	b.conns.add(c)
	closed := b.closed
	n := b.conns.n
	b.mu.Unlock()
	b.count.connections.Add(1)
	b.count.accepted.Add(1)
	b.timers.set(c, accepted+b.opt.ConnectTimeout)
	b.tidy.arm()
	if b.overTwice(b.limit(), closed, n, b.gate.arrive(tc.RemoteAddr()), tc.RemoteAddr()) {
		tc.Abort(errShutdown)
	}
	return c
}

// overConnections reports whether one more connection is too many.
func (b *Broker) overConnections() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conns.n > b.limit().MaxConnections
}

func (b *Broker) forgetConn(c *conn) {
	b.mu.Lock()
	b.conns.remove(c)
	last := b.closed && b.conns.n == 0
	b.mu.Unlock()
	b.count.connections.Add(-1)
	b.gate.leave(c)
	if last {
		select {
		case <-b.empty:
		default:
			close(b.empty)
		}
	}
}

func (b *Broker) forgetSession(s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sessions.get(s.clientID) == s {
		b.sessions.delete(s)
		b.disown(s)
	}
}

// owner is who sessions belong to.
type owner struct {
	b        *Broker
	name     string // of the user, "": anonymous clients
	sessions int    // guarded by Broker.mu
}

// count is how many sessions they are, 0 for nil.
func (o *owner) count() int {
	if o == nil {
		return 0
	}
	return o.sessions
}

// own counts one more session for a user. b.mu is held.
func (b *Broker) own(user string) *owner {
	o := b.owners[user]
	if o == nil {
		o = &owner{b: b, name: user}
		b.owners[user] = o
	}
	o.sessions++
	return o
}

// disown counts a session less for its user. b.mu is held.
func (b *Broker) disown(s *session) {
	if s.owner.sessions--; s.owner.sessions == 0 {
		delete(b.owners, s.owner.name)
	}
}

// Shutdown refuses new clients, tells 5.0 clients that the server is shutting
// down (0x8B), and closes every connection when what is buffered for it was
// sent. When ctx ends before that, the rest is cut off and ctx's error
// returned. No will is published: there is nobody left to receive it.
func (b *Broker) Shutdown(ctx context.Context) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	conns := b.conns.all()
	b.mu.Unlock()
	defer close(b.done)

	for _, c := range conns {
		if c.flags.has(known) {
			c.kick(mqtt.ServerShuttingDown, errShutdown)
		} else {
			c.tc.Abort(errShutdown)
		}
	}
	defer b.reading.Wait()
	if len(conns) == 0 {
		return nil
	}
	select {
	case <-b.empty:
		return nil
	case <-ctx.Done():
		for _, c := range conns {
			c.tc.Abort(errShutdown)
		}
		return fmt.Errorf("broker: shutdown: %w", ctx.Err())
	}
}
