package transport

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// Defaults of [ListenOptions].
const (
	DefaultMaxHandshakes        = 4096
	DefaultMaxHandshakesPerHost = 256
)

// ErrTooManyHandshakes is wrapped by what OnError is told about a connection that had to go because of MaxHandshakes or
// MaxHandshakesPerHost.
var ErrTooManyHandshakes = errors.New("too many handshakes are under way")

var (
	errHostHandshakes = fmt.Errorf("%w from this address", ErrTooManyHandshakes)
	errShedHandshake  = fmt.Errorf("%w: ended for another address", ErrTooManyHandshakes)
)

// handshakes are the TLS and WebSocket handshakes under way at a Listener. When there is no room for one more, the oldest
// one of the host that has the largest share of what it may have makes room: whoever fills the table sheds its own.
type handshakes struct {
	max, perHost int

	mu     sync.Mutex
	n      int // in the table
	live   int // those and the ones that were told to end and have not yet
	serial uint64
	hosts  map[netip.Addr]*hostHandshakes
	order  mostFirst
}

// hostHandshakes are those of one host, oldest first.
type hostHandshakes struct {
	host        netip.Addr
	limit, n    int
	first, last *handshaking
	at          int // in the heap
}

// handshaking is one that is under way.
type handshaking struct {
	host       *hostHandshakes // nil: not in the table any more
	prev, next *handshaking
	serial     uint64
	end        context.CancelCauseFunc
}

func newHandshakes(total, perHost int) *handshakes {
	return &handshakes{max: total, perHost: min(perHost, total), hosts: make(map[netip.Addr]*hostHandshakes)}
}

// enter takes one from peer into the table; end may be called to end it. It never waits: if there is an error the
// connection has to go.
func (s *handshakes) enter(peer net.Addr, end context.CancelCauseFunc) (*handshaking, error) {
	s.mu.Lock()
	h, shed, err := s.add(peer, end)
	s.mu.Unlock()
	if shed != nil {
		shed.end(errShedHandshake)
	}
	return h, err
}

// add is enter with mu held. It returns who has to make room, too.
func (s *handshakes) add(peer net.Addr, end context.CancelCauseFunc) (h, shed *handshaking, err error) {
	host, limit := netip.Addr{}, s.max // this machine
	if ip, ok := PeerHost(peer); ok {
		host, limit = ip, s.perHost
	}
	if g := s.hosts[host]; g != nil && g.n >= g.limit && g.limit < s.max {
		return nil, nil, errHostHandshakes
	}
	if s.live >= 2*s.max { // those that were told to end do not get to it
		return nil, nil, ErrTooManyHandshakes
	}
	if s.n >= s.max {
		shed = s.order[0].first
		s.remove(shed)
	}
	g := s.hosts[host]
	if g == nil {
		g = &hostHandshakes{host: host, limit: limit}
		s.hosts[host] = g
	}
	s.serial++
	h = &handshaking{host: g, prev: g.last, serial: s.serial, end: end}
	if g.last != nil {
		g.last.next = h
	} else {
		g.first = h
	}
	g.last = h
	s.n++
	s.live++
	if g.n++; g.n == 1 {
		heap.Push(&s.order, g)
	} else {
		heap.Fix(&s.order, g.at)
	}
	return h, shed, nil
}

// leave forgets one that has ended.
func (s *handshakes) leave(h *handshaking) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live--
	if h.host != nil {
		s.remove(h)
	}
}

// remove takes h out of the table. mu is held.
func (s *handshakes) remove(h *handshaking) {
	g := h.host
	h.host = nil
	if h.prev != nil {
		h.prev.next = h.next
	} else {
		g.first = h.next
	}
	if h.next != nil {
		h.next.prev = h.prev
	} else {
		g.last = h.prev
	}
	h.prev, h.next = nil, nil
	s.n--
	if g.n--; g.n == 0 {
		heap.Remove(&s.order, g.at)
		delete(s.hosts, g.host)
		return
	}
	heap.Fix(&s.order, g.at)
}

// mostFirst is a heap of hosts: first who has the largest share of its limit, then who has waited longest.
type mostFirst []*hostHandshakes

func (m mostFirst) Len() int { return len(m) }

func (m mostFirst) Less(i, j int) bool {
	a, b := m[i], m[j]
	if x, y := a.n*b.limit, b.n*a.limit; x != y {
		return x > y
	}
	return a.first.serial < b.first.serial
}

func (m mostFirst) Swap(i, j int) {
	m[i], m[j] = m[j], m[i]
	m[i].at, m[j].at = i, j
}

// Push implements heap.Interface.
func (m *mostFirst) Push(x any) {
	g := x.(*hostHandshakes)
	g.at = len(*m)
	*m = append(*m, g)
}

// Pop implements heap.Interface.
func (m *mostFirst) Pop() any {
	old := *m
	g := old[len(old)-1]
	old[len(old)-1] = nil
	*m = old[:len(old)-1]
	return g
}
