package broker

import (
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// tidy gives memory back to the system when clients have come and it is quiet
// again. What connecting them took is garbage by then, as much as the clients take
// themselves, and with little going on no collection would come for a long time.
// One runs beside what comes meanwhile, and takes no more than a part of the time.
type tidy struct {
	b *Broker
	timer
	armed   atomic.Bool   // a look is due
	at      time.Duration // of the last one, 0: there was none since
	packets int64         // until then
	next    atomic.Int64  // nothing is done before

	worth func() bool // there is much to give back
	give  func()
}

const (
	tidyEvery = 250 * time.Millisecond // between two looks, until it is quiet
	tidyPart  = 20                     // of the time: a twentieth at most
	tidyPause = 2 * time.Second        // and not sooner again
	quietRate = 1000                   // packets a second, both ways
	// What is worth it: an eighth of what is in use, and so many bytes.
	worthPart  = 8
	worthBytes = 2 << 20
)

func (y *tidy) start(b *Broker) { y.b, y.worth, y.give = b, reclaimable, debug.FreeOSMemory }

// arm has somebody look until it is quiet.
func (y *tidy) arm() {
	if y.b != nil && !y.armed.Load() && !y.armed.Swap(true) {
		y.b.timers.set(y, y.b.timers.now()+tidyEvery)
	}
}

// due looks whether it is quiet now.
func (y *tidy) due(now time.Duration) time.Duration {
	n := &y.b.count
	packets := n.packets.Load() + n.packetsOut.Load()
	quiet := y.at > 0 && float64(packets-y.packets) <= quietRate*(now-y.at).Seconds()
	y.at, y.packets = now, packets
	if !quiet || int64(now) < y.next.Load() {
		return now + tidyEvery
	}
	y.at = 0
	y.armed.Store(false)
	if y.worth() {
		y.next.Store(int64(farAway)) // until it is done
		go y.giveBack()
	}
	return 0
}

func (y *tidy) giveBack() {
	start := y.b.timers.now()
	y.give()
	end := y.b.timers.now()
	y.next.Store(int64(end + max(tidyPause, tidyPart*(end-start))))
}

// reclaimable reports whether there is much that a collection could find, or that
// one has found and the system does not have back.
func reclaimable() bool {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(s)
	live, objects := s[0].Value.Uint64(), s[1].Value.Uint64()
	spare := s[2].Value.Uint64() + s[3].Value.Uint64() + objects - min(live, objects)
	return spare >= worthBytes && spare >= live/worthPart
}
