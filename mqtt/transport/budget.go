package transport

import (
	"math"
	"sync/atomic"
)

// Budget is the memory that many connections share, in bytes: what waits for peers that do not read, and what has come
// of packets that are not whole yet, beyond the 4 KiB that each connection may have. Connections whose peer keeps up are
// not counted and cost nothing. Its owner may count more memory of its own on it.
//
// Packets in part may take half of the high water, and an eighth of it while all together are above. For more, the host
// that has most of them loses its largest, see [Shedder] and [ErrMemory].
type Budget struct {
	used, high atomic.Int64
	in         partials
	lingering  atomic.Int32 // sockets, see Options.Linger
}

// SetHigh sets the high water above which connections that wait for their peer may hold only a little. 0 means none.
func (b *Budget) SetHigh(bytes int64) { b.high.Store(bytes) }

// Used returns how many bytes are counted.
func (b *Budget) Used() int64 { return b.used.Load() }

// Add counts n bytes more, or fewer.
func (b *Budget) Add(n int64) { b.used.Add(n) }

// High reports whether more is used than the high water.
func (b *Budget) High() bool {
	high := b.high.Load()
	return high > 0 && b.used.Load() > high
}

const (
	// spareOut is what a connection may buffer above the high water.
	spareOut = 64 << 10
	// grain is what a connection is counted in, so that an append seldom touches shared memory.
	grain = 16 << 10
	// maxLingering is how many sockets may linger at a time: nothing else counts them any more.
	maxLingering = 4096
)

// crowded reports whether n buffered bytes are too many. mu is held.
func (c *Conn) crowded(n int) bool {
	return n > c.opt.OutLimit || n > spareOut && c.opt.Budget != nil && c.opt.Budget.High()
}

// count brings the budget up to date while the socket is full. mu is held.
func (c *Conn) count() {
	if c.opt.Budget == nil {
		return
	}
	n := int32(min(c.buffered()/grain, math.MaxInt32))
	if d := n - c.work.counted; d != 0 {
		c.opt.Budget.Add(int64(d) * grain)
		c.work.counted = n
	}
}

// uncount gives back what this connection was counted with. mu is held.
func (c *Conn) uncount() {
	if w := c.work; w.counted != 0 {
		c.opt.Budget.Add(-int64(w.counted) * grain)
		w.counted = 0
	}
}

// mayLinger reports whether one more socket may linger, and counts it. Without a Budget any may.
func (b *Budget) mayLinger() bool {
	if b == nil {
		return true
	}
	if b.lingering.Add(1) > maxLingering {
		b.lingering.Add(-1)
		return false
	}
	return true
}

// lingered is the end of mayLinger.
func (b *Budget) lingered() {
	if b != nil {
		b.lingering.Add(-1)
	}
}
