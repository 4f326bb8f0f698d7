package bench

import (
	"math"
	"math/rand/v2"
	"time"
)

// load is what the shards do for one group in one phase.
type load struct {
	g          *group
	start, end time.Duration // on the run's clock
	from, to   float64       // messages a second of the group, at start and end; 0: closed loop
	count      int64         // messages of the group; 0: no bound
}

// closed reports whether the load follows the Server instead of a schedule.
func (l *load) closed() bool { return l.g.Max }

// at is when the schedule has come to message u of the group: with a rate that
// changes evenly, the time at which the area below it is u.
func (l *load) at(u float64) time.Duration {
	if l.from == l.to {
		return l.start + time.Duration(u/l.from*float64(time.Second))
	}
	length := (l.end - l.start).Seconds()
	slope := (l.to - l.from) / length
	under := l.from*l.from + 2*slope*u
	if under < 0 { // a rate that falls to 0 never gets there
		return math.MaxInt64
	}
	t := (math.Sqrt(under) - l.from) / slope
	if !(t < MaxDuration.Seconds()) {
		return math.MaxInt64
	}
	return l.start + time.Duration(t*float64(time.Second))
}

// quota is how many messages publisher i of n may send, in a closed loop.
func (l *load) quota(i, n int) uint64 {
	if l.count == 0 {
		return 1<<64 - 1
	}
	q := l.count / int64(n)
	if int64(i) < l.count%int64(n) {
		q++
	}
	return uint64(q)
}

// loads are the loads of a step.
func (r *runner) loads(s *Step, start time.Duration) []*load {
	counts := r.shareCount(s)
	all := make([]*load, len(r.groups))
	for i, g := range r.groups {
		if g.Role != RolePub || !s.in(g) || !g.Max && g.Rate*max(s.From, s.To) == 0 {
			continue
		}
		all[i] = &load{g: g, start: start, end: start + s.For, from: g.Rate * s.From, to: g.Rate * s.To, count: counts[i]}
	}
	return all
}

// shareCount divides a bound for all among the groups, by their rates.
func (r *runner) shareCount(s *Step) []int64 {
	counts := make([]int64, len(r.groups))
	if s.Count == 0 {
		return counts
	}
	var all float64
	weight := func(g *group) float64 {
		switch {
		case g.Role != RolePub || !s.in(g):
			return 0
		case g.Max:
			return float64(g.Clients)
		}
		return g.Rate
	}
	for _, g := range r.groups {
		all += weight(g)
	}
	left := s.Count
	last := -1
	for i, g := range r.groups {
		if weight(g) > 0 {
			counts[i] = int64(float64(s.Count) * weight(g) / all)
			left -= counts[i]
			last = i
		}
	}
	if last >= 0 {
		counts[last] += left
	}
	return counts
}

// cursor walks through the schedule of one group in one shard: publisher i of n
// sends messages i, i+n, i+2n ... of the group, so that it needs no queue of
// timers.
type cursor struct {
	l       *load
	sh      *shard
	rec     *recorder
	pubs    []*publisher // of the group, connected, by number
	round   uint64
	i       int           // in pubs
	next    time.Duration // when the next message is due
	u       float64       // Poisson: where the process has come to
	sent    int64         // Poisson: messages so far
	counted bool          // count is reached
	random  *rand.Rand
}

func (sh *shard) newCursor(gi int, l *load) *cursor {
	c := &cursor{l: l, sh: sh, rec: sh.recs[gi], pubs: sh.pubs[gi]}
	if l.g.Arrival == Poisson {
		c.random = rand.New(rand.NewPCG(sh.r.s.salted(), uint64(gi)<<32|uint64(sh.number)))
	}
	if !l.closed() {
		c.find()
	}
	return c
}

// find sets next. The schedule ends at the end of the load, or with its count.
func (c *cursor) find() {
	if c.counted || len(c.pubs) == 0 {
		c.counted = true
		return
	}
	n := float64(c.l.g.Clients)
	var u float64
	switch c.l.g.Arrival {
	case Poisson: // the shard's share of the process; who sends is chosen as well
		c.u += c.random.ExpFloat64() * n / float64(len(c.pubs))
		u = c.u
		c.i = c.random.IntN(len(c.pubs))
		if c.l.count > 0 && float64(c.sent) >= float64(c.l.count)*float64(len(c.pubs))/n {
			c.counted = true
			return
		}
		c.sent++
	default:
		k := c.round*uint64(c.l.g.Clients) + uint64(c.pubs[c.i].i)
		if c.l.count > 0 && k >= uint64(c.l.count) {
			c.counted = true // the numbers only go up
			return
		}
		if b := uint64(c.l.g.Burst); c.l.g.Arrival == Bursts {
			k -= k % b
		}
		u = float64(k)
	}
	c.next = c.l.at(u)
}

func (c *cursor) step() {
	if c.l.g.Arrival != Poisson {
		if c.i++; c.i == len(c.pubs) {
			c.i = 0
			c.round++
		}
	}
	c.find()
}

// due reports whether the next message is due before limit.
func (c *cursor) due(limit time.Duration) bool { return !c.counted && c.next < limit }

// over reports whether no more messages become due in this load.
func (c *cursor) over() bool { return !c.due(c.l.end) }
