package cmd

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	refusalLines = 5                // a second, then only their number
	refusalSum   = 10 * time.Second // for which the rest is counted
)

// refusals logs connections that did not come about. Strangers can make as many
// as they like: behind a few lines the rest is summed up.
type refusals struct {
	log  *slog.Logger
	here *refusals // those that are this machine's doing, which do not drown in what strangers do; nil in these

	mu    sync.Mutex
	since time.Time // of the lines
	lines int
	more  int         // not logged
	timer *time.Timer // sums them up
}

// tell is what a listener's OnError does. peer is nil where accept failed.
func (r *refusals) tell(peer net.Addr, err error) {
	switch {
	case peer == nil && r.here != nil:
		r.here.tell(peer, err)
	case !r.line():
	case peer != nil:
		r.log.Info("connection refused", "addr", peer.String(), "err", err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		r.log.Warn("no file descriptor is left for a connection; ulimit -n, or LimitNOFILE of systemd, has to be higher, or --max-connections lower", "err", err)
	default:
		r.log.Warn("connection not accepted", "err", err)
	}
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

func newRefusals(log *slog.Logger) *refusals {
	return &refusals{log: log, here: &refusals{log: log}}
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
	switch {
	case n > 0 && r.here == nil:
		r.log.Warn("more connections not accepted", "count", n, "within", refusalSum)
	case n > 0:
		r.log.Info("more connections refused", "count", n, "within", refusalSum)
	}
	if r.here != nil {
		r.here.sum()
	}
}
