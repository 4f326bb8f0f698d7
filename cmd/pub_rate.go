package cmd

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
)

// pace is --rate. It keeps to a schedule from its first message on, so that
// what a pause lasts too long does not add up. The zero value never waits.
type pace struct {
	every time.Duration // from one message to the next
	begin time.Time
	n     int64 // messages since
}

// What a pace that fell behind makes up for: a stall of the server, but not the
// time in which there was nothing to send.
const (
	maxCatchUp = time.Second
	maxSlack   = 100 * time.Millisecond
)

// readRate reads N, N/s, N/m or N/h.
func (p *pace) readRate(s string) error {
	number, unit, has := strings.Cut(s, "/")
	per := time.Second
	switch {
	case !has, unit == "s":
	case unit == "m":
		per = time.Minute
	case unit == "h":
		per = time.Hour
	default:
		return errRate
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n > 0) || n > float64(per) {
		return errRate
	}
	p.every = time.Duration(float64(per)/n + 0.5)
	return nil
}

var errRate = errors.New("it is a number of messages a second, or as 10/s, 30/m or 5/h")

// wait returns when the next message is due. Before it waits it calls flush.
func (p *pace) wait(ctx context.Context, flush func()) error {
	if p.every == 0 {
		return nil
	}
	p.rebase(maxCatchUp)
	due := p.due()
	p.n++
	left := time.Until(due)
	if left <= 0 {
		return nil
	}
	flush()
	return sleep(ctx, left)
}

func (p *pace) due() time.Time { return p.begin.Add(time.Duration(p.n) * p.every) }

// rebase begins a new schedule if the old one is behind by more than slack.
func (p *pace) rebase(slack time.Duration) {
	if now := time.Now(); p.begin.IsZero() || now.Sub(p.due()) > slack {
		p.begin, p.n = now, 0
	}
}

// idle is told that there was nothing to send.
func (p *pace) idle() {
	if p.every > 0 {
		p.rebase(maxSlack)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
