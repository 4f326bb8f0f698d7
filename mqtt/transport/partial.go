package transport

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"sync"
)

// smallIn is what every connection may have of a packet without being counted.
const smallIn = 4 << 10

// inbuf keeps the bytes that Feed did not consume.
type inbuf struct {
	b []byte

	// On the Budget.
	size       int64 // what it is counted with, 0: not
	owner      *Conn
	prev, next *inbuf
	shed       bool // its connection was told to end
}

// Shared by all connections; a pool holds no state. The large ones are apart, so that a few bytes never keep one.
var (
	inbufs      = sync.Pool{New: func() any { return &inbuf{b: make([]byte, 0, 512)} }}
	largeInbufs = sync.Pool{New: func() any { return new(inbuf) }}
)

// keepBytes returns an inbuf with a copy of p.
func keepBytes(p []byte) *inbuf {
	pool := &inbufs
	if len(p) > smallIn {
		pool = &largeInbufs
	}
	i := pool.Get().(*inbuf)
	i.b = append(i.b[:0], p...)
	return i
}

// uncount takes i off the Budget.
func (i *inbuf) uncount() {
	if i != nil && i.size != 0 {
		i.owner.opt.Budget.giveBack(i)
	}
}

// release gives i back.
func (i *inbuf) release() {
	i.uncount()
	switch {
	case i == nil:
	case cap(i.b) <= smallIn:
		inbufs.Put(i)
	case cap(i.b) <= readChunk:
		largeInbufs.Put(i)
	}
}

// hold counts i, which has or will have size bytes. It reports false when c has to end for it.
func (c *Conn) hold(i *inbuf, size int) bool {
	if c.opt.Budget == nil || size <= smallIn {
		return true
	}
	shed := c.opt.Budget.take(i, c, int64(size))
	for _, o := range shed {
		o.shed()
	}
	return !slices.Contains(shed, c)
}

// shed ends a connection that keeps memory from others.
func (c *Conn) shed() {
	if s, ok := c.h.(Shedder); ok {
		s.Shed(ErrMemory)
	}
	c.Close(ErrMemory)
	c.mu.Lock()
	if !c.work.isDone() {
		c.wake() // what was read is given up before what is buffered has left
	}
	c.mu.Unlock()
}

// partials are the buffers of packets that have come in part. All of them may wait for the rest of their packet for ever,
// so when they are too many some have to go.
type partials struct {
	mu    sync.Mutex // a leaf
	first *inbuf
	bytes int64
}

// inLimit is how much they may be.
func (b *Budget) inLimit() int64 {
	switch high := b.high.Load(); {
	case high <= 0:
		return math.MaxInt64
	case b.used.Load() > high:
		return high / 8
	default:
		return high / 2
	}
}

// take counts i of c and returns the connections that have to go.
func (b *Budget) take(i *inbuf, c *Conn, size int64) (shed []*Conn) {
	b.used.Add(size)
	b.in.mu.Lock()
	defer b.in.mu.Unlock()
	i.size, i.owner, i.shed = size, c, false
	i.prev, i.next = nil, b.in.first
	if i.next != nil {
		i.next.prev = i
	}
	b.in.first = i
	b.in.bytes += size
	if limit := b.inLimit(); b.in.bytes > limit && i.next != nil {
		shed = b.in.choose(limit / 8 * 7) // one look at all of them for many
	}
	return shed
}

// giveBack is the end of take.
func (b *Budget) giveBack(i *inbuf) {
	b.used.Add(-i.size)
	b.in.mu.Lock()
	if !i.shed {
		b.in.remove(i)
	}
	b.in.mu.Unlock()
	i.size, i.owner = 0, nil
}

// remove takes i out. mu is held.
func (p *partials) remove(i *inbuf) {
	if i.prev != nil {
		i.prev.next = i.next
	} else {
		p.first = i.next
	}
	if i.next != nil {
		i.next.prev = i.prev
	}
	i.prev, i.next = nil, nil
	p.bytes -= i.size
}

// origin is who is held to account for an inbuf: a host, or on this machine a connection.
type origin struct {
	host netip.Addr
	conn *Conn
}

func originOf(c *Conn) origin {
	if host, ok := PeerHost(c.RemoteAddr()); ok {
		return origin{host: host}
	}
	return origin{conn: c}
}

// choose returns connections that have to go for the rest to be no more than limit: of the host that has most, the
// largest first. One is always left: its packet may come to its end. mu is held.
func (p *partials) choose(limit int64) (shed []*Conn) {
	type holding struct {
		i    *inbuf
		from origin
	}
	sum := make(map[origin]int64)
	var all []holding
	for i := p.first; i != nil; i = i.next {
		h := holding{i, originOf(i.owner)}
		all = append(all, h)
		sum[h.from] += i.size
	}
	slices.SortStableFunc(all, func(x, y holding) int { // stable: the newest first
		return cmp.Or(cmp.Compare(sum[y.from], sum[x.from]), cmp.Compare(y.i.size, x.i.size))
	})
	for _, h := range all[:len(all)-1] {
		if p.bytes <= limit {
			break
		}
		p.remove(h.i)
		h.i.shed = true
		shed = append(shed, h.i.owner)
	}
	return shed
}
