package cmd

import (
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	refusalLines = 5                // a second, then only their number
	refusalSum   = 10 * time.Second // for which the rest is counted
)

// refusals logs connections that did not come about. Strangers can make as many
// as they like: behind a few lines the rest is summed up.
type refusals struct {
	log *slog.Logger

	mu    sync.Mutex
	since time.Time // of the lines
	lines int
	more  int         // not logged
	timer *time.Timer // sums them up
}

// tell is what a listener's OnError does. peer is nil where accept failed.
func (r *refusals) tell(peer net.Addr, err error) {
	if !r.line() {
		return
	}
	from := "-"
	if peer != nil {
		from = peer.String()
	}
	r.log.Info("connection refused", "addr", from, "err", err)
}

// line reports whether one more line may be logged, and counts it otherwise.
func (r *refusals) line() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.since) >= time.Second {
		r.since, r.lines = now, 0
	}
	if r.more == 0 && r.lines < refusalLines {
		r.lines++
		return true
	}
	if r.more++; r.more == 1 {
		r.timer = time.AfterFunc(refusalSum, r.sum)
	}
	return false
}

// sum logs how many there were without a line; nothing if there were none.
func (r *refusals) sum() {
	r.mu.Lock()
	n := r.more
	r.more = 0
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Unlock()
	if n > 0 {
		r.log.Info("more connections refused", "count", n, "within", refusalSum)
	}
}
