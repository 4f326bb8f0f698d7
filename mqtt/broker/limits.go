package broker

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/topic"
	"mqt/mqtt/transport"
)

// Limit names what somebody can exceed, in Stats and in the log.
type Limit int

// The limits of Options that are counted when they are exceeded.
const (
	LimitConnections   Limit = iota // MaxConnections
	LimitAddress                    // MaxPerAddress
	LimitUser                       // MaxPerUser
	LimitSessions                   // MaxSessions
	LimitConnectRate                // ConnectRate
	LimitMessageRate                // MessageRate
	LimitByteRate                   // ByteRate
	LimitSubscriptions              // MaxSubscriptions
	LimitTopic                      // MaxTopicLevels, MaxTopicLength
	LimitOut                        // OutLimit: a slow consumer
	LimitQueue                      // MaxQueue, MaxQueueBytes
	LimitMemory                     // MaxMemory
	LimitRetained                   // MaxRetained, MaxRetainedBytes
	LimitUserSessions               // MaxSessionsPerUser
	LimitChecks                     // clients whose credentials are being checked
	LimitHandshakes                 // TLS and WebSocket handshakes under way
	LimitStore                      // the disk of the data directory
	NumLimits                       // how many there are
)

// String returns the name in lower case, such as "message-rate".
func (l Limit) String() string {
	return [NumLimits]string{"connections", "address", "user", "sessions", "connect-rate", "message-rate", "byte-rate",
		"subscriptions", "topic", "out-buffer", "queue", "memory", "retained", "user-sessions", "authentications", "handshakes", "store"}[l]
}

// logEvery is how often an exceeded limit is worth a line: who floods us may not flood the log.
const logEvery = 10 * time.Second

// excess counts one limit.
type excess struct {
	n      atomic.Int64
	logged atomic.Int64 // when, 0: never
}

// exceeded counts that somebody went over l, and says so from time to time.
func (b *Broker) exceeded(l Limit, client string, addr net.Addr) {
	x := &b.excess[l]
	n := x.n.Add(1)
	now, last := int64(b.timers.now()), x.logged.Load()
	if last != 0 && now-last < int64(logEvery) || !x.logged.CompareAndSwap(last, now) {
		return
	}
	attrs := []any{"limit", l.String(), "client", client, "times", n}
	if addr != nil {
		attrs = append(attrs, "addr", addr.String())
	}
	b.opt.Log.Warn("limit exceeded", attrs...)
}

// limit returns the limits in force, of which only those that SetLimits names may have changed since New.
func (b *Broker) limit() *Options { return b.limits.Load() }

// SetLimits puts other limits in force while the broker runs: of o it takes MaxConnections, MaxPerAddress, MaxPerUser,
// MaxSessions, MaxSessionsPerUser, ConnectRate, MessageRate, ByteRate, MaxTopicLevels, MaxTopicLength, MaxSubscriptions, MaxQueue,
// MaxQueueBytes, MaxMemory, MaxRetained and MaxRetainedBytes. What is held already stays. The other fields are as in New:
// clients and listeners were told.
func (b *Broker) SetLimits(o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	b.setLimits(o.withDefaults())
	return nil
}

func (b *Broker) setLimits(o Options) {
	b.limits.Store(&o)
	b.memory.SetHigh(o.MaxMemory / 4 * 3)
}

// bucket is a token bucket. It may go into debt, so that one message larger than all it holds passes, and is paid for.
type bucket struct {
	level float64
	at    time.Duration // 0: not used yet
}

// burst is how many seconds' worth a bucket holds.
const burst = 2

func (k *bucket) take(now time.Duration, n, rate float64) bool {
	if k.at == 0 {
		k.level = burst * rate
	} else {
		k.level = min(burst*rate, k.level+rate*(now-k.at).Seconds())
	}
	k.at = now
	if k.level < min(n, rate) {
		return false
	}
	k.level -= n
	return true
}

// share is what one client may have, there only where that is limited.
type share struct {
	messages, bytes bucket
	user            string // whom gate counts it to, "" for nobody
}

func (c *conn) limited() *share {
	k := c.notes()
	if k.share == nil {
		k.share = &share{}
	}
	return k.share
}

// throttleMessage takes one message from the client's rate, section 4.13.
func (c *conn) throttleMessage(t *turn) error {
	rate := c.b.limit().MessageRate
	if rate == 0 || c.limited().messages.take(t.now, 1, float64(rate)) {
		return nil
	}
	c.b.exceeded(LimitMessageRate, c.clientID(), c.tc.RemoteAddr())
	return &mqtt.Error{Code: mqtt.MessageRateTooHigh, Statement: "4.13", Text: "more messages a second than allowed"}
}

// throttleBytes takes the packets of one turn from the client's rate.
func (c *conn) throttleBytes(t *turn, n int) error {
	rate := c.b.limit().ByteRate
	if rate == 0 || n == 0 || c.s == nil || c.limited().bytes.take(t.now, float64(n), float64(rate)) {
		return nil
	}
	c.b.exceeded(LimitByteRate, c.clientID(), c.tc.RemoteAddr())
	return &mqtt.Error{Code: mqtt.MessageRateTooHigh, Statement: "4.13", Text: "more bytes a second than allowed"}
}

// oversize reports whether a Topic Name or Topic Filter is well-formed but more than we take.
func (b *Broker) oversize(name string) bool {
	o := b.limit()
	return len(name) > o.MaxTopicLength || len(name) >= o.MaxTopicLevels && topic.Levels(name) > o.MaxTopicLevels
}

// gate counts Network Connections where one party may have only so many.
type gate struct {
	mu      sync.Mutex // a leaf
	connect bucket     // CONNECT packets
	addrs   map[netip.Addr]int
	users   map[string]int
	pending atomic.Int64 // TLS and WebSocket handshakes, which addrs counts too
	clients int          // with a Session
	most    int
	total   int64 // so far
}

// addrOf is what MaxPerAddress counts by; this machine is not counted.
func addrOf(a net.Addr) (netip.Addr, bool) { return transport.PeerHost(a) }

// arrive counts a connection from its address and returns how many there are now, 0 where that is not counted.
func (g *gate) arrive(a net.Addr) int {
	ip, ok := addrOf(a)
	if !ok {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.addrs == nil {
		g.addrs = make(map[netip.Addr]int)
	}
	g.addrs[ip]++
	return g.addrs[ip]
}

// fromAddress returns how many connections there are from an address.
func (g *gate) fromAddress(a net.Addr) int {
	ip, ok := addrOf(a)
	if !ok {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.addrs[ip]
}

// depart forgets a connection from an address.
func (g *gate) depart(a net.Addr) {
	ip, ok := addrOf(a)
	if !ok {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.addrs[ip]--; g.addrs[ip] <= 0 {
		delete(g.addrs, ip)
	}
}

// leave forgets a connection: its address and, if it was admitted, its user.
func (g *gate) leave(c *conn) {
	g.depart(c.tc.RemoteAddr())
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.flags.has(admitted) {
		return
	}
	g.clients--
	if c.noted == nil || c.noted.share == nil || c.noted.share.user == "" {
		return
	}
	user := c.noted.share.user
	if g.users[user]--; g.users[user] <= 0 {
		delete(g.users, user)
	}
}

// enter counts a client of user, "" for nobody, unless there are limit already.
func (g *gate) enter(user string, limit int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if user != "" {
		if g.users[user] >= limit {
			return false
		}
		if g.users == nil {
			g.users = make(map[string]int)
		}
		g.users[user]++
	}
	g.clients++
	g.total++
	g.most = max(g.most, g.clients)
	return true
}

// count adds to s how many clients there are, were at most, and ever were.
func (g *gate) count(s *Stats) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s.Clients, s.MaxClients, s.Admitted = int64(g.clients), int64(g.most), g.total
}

// allowConnect is asked before anything costly is done for a CONNECT.
func (c *conn) allowConnect(t *turn, p *mqtt.Connect) error {
	b, o, addr := c.b, c.b.limit(), c.tc.RemoteAddr()
	if o.ConnectRate > 0 {
		b.gate.mu.Lock()
		ok := b.gate.connect.take(t.now, 1, float64(o.ConnectRate))
		b.gate.mu.Unlock()
		if !ok {
			b.exceeded(LimitConnectRate, p.ClientID, addr)
			return refuse(mqtt.ConnectionRateExceeded, "3.2.2.2", "too many CONNECT packets a second")
		}
	}
	if b.overConnections() {
		b.exceeded(LimitConnections, p.ClientID, addr)
		return refuse(mqtt.QuotaExceeded, "3.2.2.2", "too many connections")
	}
	if b.gate.fromAddress(addr) > o.MaxPerAddress {
		b.exceeded(LimitAddress, p.ClientID, addr)
		return refuse(mqtt.QuotaExceeded, "3.2.2.2", "too many connections from this address")
	}
	return nil
}

// enter counts an authenticated client. Who comes back to a session that its old connection still has is let in: that
// one is about to be closed.
func (c *conn) enter(p *mqtt.Connect, user string) error {
	limit := c.b.limit().MaxPerUser
	if limit > 0 && c.b.connected(p.ClientID, user) {
		limit++
	}
	if limit == 0 {
		user = ""
	}
	if !c.b.gate.enter(user, limit) {
		c.b.exceeded(LimitUser, p.ClientID, c.tc.RemoteAddr())
		return refuse(mqtt.QuotaExceeded, "3.2.2.2", "too many connections of this user")
	}
	c.flags.put(admitted, true)
	if user != "" {
		c.limited().user = user
	}
	return nil
}

// connected reports whether a client of that user has a connection.
func (b *Broker) connected(clientID, user string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sessions.get(clientID)
	return s != nil && s.owner.name == user && s.online.Load() != nil
}
