package broker

import (
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mqt/mqtt"
)

// maxChecks bounds the clients that wait for their verdict, maxChecksPerAddress
// those of one address, as MaxPerAddress counts it, and maxChecksHere those of
// this machine. Each waits in a paused connection, whose bytes stay in the socket.
const (
	maxChecks           = 4096
	maxChecksPerAddress = 32
	maxChecksHere       = 1024
)

// An address that has failed slowAfter times in slowFor comes behind those that
// have not, but for each fairShare-th turn. maxFailing bounds the addresses that
// are remembered for it.
const (
	slowAfter  = 4
	slowFor    = time.Minute
	fairShare  = 4
	maxFailing = 4096
)

// busyGrace is how long a client whose connect timeout ran out during a check has
// to take its CONNACK.
const busyGrace = time.Second

// checks are the verdicts being worked out: as many at once as there are
// processors, for a hash takes one and much memory. Addresses take turns, and this
// machine is one of them. Of one address the newest comes first: who has waited
// longest gives up next, and a crowd that came before does not hold up who comes
// after it.
type checks struct {
	mu      sync.Mutex // a leaf
	free    int        // processors that no check has
	n       int        // all checks, whatever they wait for
	places  map[netip.Addr]*place
	ring    []*place // those with waiting checks, next first
	turns   int
	failing map[netip.Addr]failures
}

// place is an address with checks; the zero Addr is this machine.
type place struct {
	addr    netip.Addr
	n       int      // its checks
	waiting []*check // those of them that wait for a processor, newest last
}

// failures are an address's since the first of them.
type failures struct {
	n     int
	since time.Time
}

// checking is the check that a connection waits for, nil: none.
type checking = atomic.Pointer[check]

// check is one of them.
type check struct {
	c     *conn
	place *place
	work  func() (user string, err error)
	gone  chan struct{} // closed when nobody waits for the work any more
	done  atomic.Bool   // user and err are there

	// Guarded by checks.mu until done.
	over bool // there is a verdict, or nobody waits for one
	user string
	err  error
}

func newChecks() *checks {
	return &checks{free: runtime.GOMAXPROCS(0), places: make(map[netip.Addr]*place), failing: make(map[netip.Addr]failures)}
}

// check has work done elsewhere: not on the goroutine that feeds the
// connection, which may not block. It returns errChecking, and c is presented
// its CONNECT again when there is a verdict. wait comes before the work and may
// take long, for it keeps none of the others waiting, until stop is closed; nil:
// there is none.
func (c *conn) check(wait func(stop <-chan struct{}), work func() (user string, err error)) error {
	b, addr := c.b, c.tc.RemoteAddr()
	ip, _ := addrOf(addr)
	k := &check{c: c, work: work, gone: make(chan struct{})}
	evicted, err := b.checks.enter(k, ip)
	if evicted != nil || err != nil {
		b.exceeded(LimitChecks, "", addr)
	}
	evicted.deliver()
	if err != nil {
		return err
	}
	c.checking.Store(k)
	c.tc.Pause()
	if wait == nil {
		b.queueCheck(k)
		return errChecking
	}
	go func() {
		wait(k.gone)
		b.queueCheck(k)
	}()
	return errChecking
}

// deliver has the connection presented its CONNECT again; k has its verdict.
func (k *check) deliver() {
	if k != nil {
		k.done.Store(true)
		k.c.tc.Resume()
	}
}

// enter counts k for an address. evicted is one that has to make room for it, and
// is over.
func (ks *checks) enter(k *check, ip netip.Addr) (evicted *check, err error) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	p := ks.places[ip]
	if p == nil {
		p = &place{addr: ip}
	}
	from := p
	switch {
	case ip.IsValid() && p.n >= maxChecksPerAddress:
		return nil, refuse(mqtt.QuotaExceeded, "3.2.2.2", "too many clients of this address are being authenticated")
	case !ip.IsValid() && p.n >= maxChecksHere:
		evicted = ks.evict(p)
	case ks.n >= maxChecks:
		for _, other := range ks.ring {
			if len(other.waiting) > len(from.waiting) {
				from = other
			}
		}
		evicted = ks.evict(from)
	default:
		from = nil
	}
	if from != nil && evicted == nil {
		return nil, errBusy()
	}
	k.place = p
	p.n++
	ks.places[ip] = p
	ks.n++
	return evicted, nil
}

func errBusy() error {
	return refuse(mqtt.ServerBusy, "3.2.2.2", "too many clients are being authenticated")
}

// evict ends the oldest that waits in a place; nil: none does. mu is held.
func (ks *checks) evict(p *place) *check {
	if len(p.waiting) == 0 {
		return nil
	}
	k := p.waiting[0]
	ks.cancel(k, errBusy())
	return k
}

// leave is the end of enter. mu is held.
func (ks *checks) leave(k *check) {
	p := k.place
	p.n--
	ks.n--
	if p.n == 0 {
		delete(ks.places, p.addr)
	}
}

// cancel gives k a verdict before its work is done; false: it has one. mu is held.
func (ks *checks) cancel(k *check, err error) bool {
	if k.over {
		return false
	}
	k.over, k.err = true, err
	close(k.gone)
	p := k.place
	if i := slices.Index(p.waiting, k); i >= 0 { // else it is at work, or not there yet
		p.waiting = slices.Delete(p.waiting, i, i+1)
		if len(p.waiting) == 0 {
			i = slices.Index(ks.ring, p)
			ks.ring = slices.Delete(ks.ring, i, i+1)
		}
		ks.leave(k)
	}
	return true
}

// abandon says that nobody waits for k any more.
func (ks *checks) abandon(k *check) {
	if k == nil {
		return
	}
	ks.mu.Lock()
	defer ks.mu.Unlock()
	ks.cancel(k, errDisconnected)
}

// overdue tells that the client waits for a verdict, which is now that the Server
// is busy if there is none yet: the client has done its part in time.
func (c *conn) overdue() bool {
	k := c.checking.Load()
	if k == nil {
		return false
	}
	ks := c.b.checks
	ks.mu.Lock()
	late := ks.cancel(k, errBusy())
	ks.mu.Unlock()
	if late {
		c.b.exceeded(LimitChecks, "", c.tc.RemoteAddr())
		k.deliver()
	}
	return true
}

// queueCheck has k wait for a processor.
func (b *Broker) queueCheck(k *check) {
	ks := b.checks
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if k.over {
		ks.leave(k)
		return
	}
	p := k.place
	p.waiting = append(p.waiting, k)
	if len(p.waiting) == 1 {
		ks.ring = append(ks.ring, p)
	}
	if ks.free > 0 {
		ks.free--
		go b.workOff()
	}
}

// workOff does the work of all who wait. It has a processor for it, which it gives
// back.
func (b *Broker) workOff() {
	for k := b.checks.next(); k != nil; k = b.checks.next() {
		user, err := k.work()
		if b.checks.finish(k, user, err) {
			k.deliver()
		}
	}
}

// next takes the check whose turn it is; nil: none waits, and the processor is free.
func (ks *checks) next() *check {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if len(ks.ring) == 0 {
		ks.free++
		return nil
	}
	i := 0
	if ks.turns++; ks.turns%fairShare != 0 {
		now := time.Now()
		i = max(0, slices.IndexFunc(ks.ring, func(p *place) bool { return !ks.slow(p.addr, now) }))
	}
	p := ks.ring[i]
	ks.ring = slices.Delete(ks.ring, i, i+1)
	last := len(p.waiting) - 1
	k := p.waiting[last]
	p.waiting[last] = nil
	if p.waiting = p.waiting[:last]; last > 0 {
		ks.ring = append(ks.ring, p)
	}
	return k
}

// finish gives k the verdict of its work; false: it is not wanted any more.
func (ks *checks) finish(k *check, user string, err error) bool {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	ks.leave(k)
	if err != nil {
		ks.fail(k.place.addr, time.Now())
	}
	if k.over {
		return false
	}
	k.over, k.user, k.err = true, user, err
	return true
}

// fail counts a failure of an address. Those of this machine are one crowd, in
// which nobody can be told from another. mu is held.
func (ks *checks) fail(ip netip.Addr, now time.Time) {
	if !ip.IsValid() {
		return
	}
	f, ok := ks.failing[ip]
	if !ok && len(ks.failing) >= maxFailing {
		ks.forget(now)
	}
	if !ok || now.Sub(f.since) > slowFor {
		f = failures{since: now}
	}
	f.n++
	ks.failing[ip] = f
}

// forget makes room among the failing: those that are long ago, else any. mu is held.
func (ks *checks) forget(now time.Time) {
	var victim netip.Addr
	for ip, f := range ks.failing {
		if victim = ip; now.Sub(f.since) > slowFor {
			delete(ks.failing, ip)
		}
	}
	if len(ks.failing) >= maxFailing {
		delete(ks.failing, victim)
	}
}

// slow tells that an address has failed too often lately. mu is held.
func (ks *checks) slow(ip netip.Addr, now time.Time) bool {
	f := ks.failing[ip]
	return f.n >= slowAfter && now.Sub(f.since) <= slowFor
}
