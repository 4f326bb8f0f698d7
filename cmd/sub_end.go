package cmd

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"mqt/mqtt/client"
)

// silence is how long nothing has come. The receiver writes it, and only when it
// begins or ends to wait, so that a stream of messages pays nothing.
type silence struct {
	start    time.Time
	since    atomic.Int64  // when the receiver began to wait, behind start; 0: it does not wait
	retained atomic.Uint64 // messages that were retained
}

func (s *silence) begin() { s.since.Store(max(1, int64(time.Since(s.start)))) }
func (s *silence) end() {
	if s.since.Load() != 0 {
		s.since.Store(0)
	}
}

// wait returns errIdle when nothing has come for so long.
func (s *silence) wait(ctx context.Context, idle time.Duration) error {
	from := int64(time.Since(s.start)) // at the earliest
	for rest := idle; ; {
		if err := pause(ctx, rest); err != nil {
			return err
		}
		rest = idle
		if since := s.since.Load(); since != 0 {
			if rest -= time.Since(s.start) - time.Duration(max(since, from)); rest <= 0 {
				return errIdle
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// retainedQuiet is how long --retained-end waits behind a round trip: some
// servers read what is retained beside everything else.
const retainedQuiet = 200 * time.Millisecond

// retainedEnd returns errDone when all that is retained has come. The protocol
// has no mark for that. A server that answers one packet after the other has
// sent it before the PINGRESP to a PINGREQ that follows the acknowledgement of
// the last message: the next one, if the server holds some back for its window,
// would come first. It needs neither a topic of our own nor a right to publish
// there, and works before 5.0.
func (r *subscriber) retainedEnd(ctx context.Context) error {
	for {
		seen := r.silence.retained.Load()
		if r.quiet() {
			switch err := r.c.Ping(ctx); {
			case err == nil:
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case errors.Is(err, client.ErrNotConnected), errors.Is(err, client.ErrConnectionLost):
				seen-- // of another connection
			default:
				return err
			}
			if err := pause(ctx, retainedQuiet); err != nil {
				return err
			}
			if r.quiet() && r.silence.retained.Load() == seen {
				return errDone
			}
			continue
		}
		if err := pause(ctx, retainedQuiet/20); err != nil {
			return err
		}
	}
}

// quiet tells that everything that came has been handled and acknowledged.
func (r *subscriber) quiet() bool {
	return r.silence.since.Load() != 0 && (r.exec == nil || r.exec.running.Load() == 0)
}
