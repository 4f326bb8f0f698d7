package cmd

import (
	"context"
	"fmt"
	"time"

	"mqt/mqtt/client"
)

// zeroes counts messages of QoS 0. Nobody acknowledges them, but a PINGRESP
// tells that the server has read what was sent before its PINGREQ; so what a
// connection takes with it when it breaks is known but for the last moment.
type zeroes struct {
	sent      int64 // on this connection
	handing   int64 // of those, 1 while one is handed over
	confirmed int64 // of those, read by the server
	risk      int64 // of the connections before: perhaps lost
	breaks    int   // how many those are
}

// begin counts a message that is about to be handed over.
func (z *zeroes) begin() (breaks int) {
	z.sent++
	z.handing = 1
	return z.breaks
}

// handed tells whether it was, and when it had begun.
func (z *zeroes) handed(breaks int, ok bool) {
	z.handing = 0
	switch {
	case ok:
	case breaks == z.breaks:
		z.sent--
	default:
		z.risk--
	}
}

// mark is for confirm, which is told that the server has read what was sent
// before.
func (z *zeroes) mark() (breaks int, sent int64) { return z.breaks, z.sent - z.handing }

func (z *zeroes) confirm(breaks int, sent int64) {
	if breaks == z.breaks {
		z.confirmed = max(z.confirmed, sent)
	}
}

// open is how many are not confirmed.
func (z *zeroes) open() int64 { return z.sent - z.confirmed }

// broke is told that the connection has, and returns how many are in doubt.
func (z *zeroes) broke() int64 {
	n := z.open()
	z.risk += n
	z.breaks++
	z.sent, z.confirmed = 0, 0
	return n
}

// confirmEvery is how often the server is asked, while there is something to
// ask for.
const confirmEvery = 25 * time.Millisecond

// confirm asks until ctx ends. p.nudge tells that there is something.
func (p *publisher) confirm(ctx context.Context) {
	for {
		select {
		case <-p.nudge:
		case <-ctx.Done():
			return
		}
		for open := true; open && sleep(ctx, confirmEvery) == nil; {
			p.mu.Lock()
			breaks, sent := p.zero.mark()
			p.mu.Unlock()
			err := p.c.Ping(ctx)
			p.mu.Lock()
			if err == nil {
				p.zero.confirm(breaks, sent)
			}
			open = p.zero.open() > 0
			p.mu.Unlock()
		}
	}
}

// watch is told of connections that break.
func (p *publisher) watch(c *client.Options) {
	before := c.OnState
	c.OnState = func(s client.State, err error) {
		if before != nil {
			before(s, err)
		}
		if s != client.Reconnecting {
			return
		}
		p.mu.Lock()
		n := p.zero.broke()
		p.mu.Unlock()
		if n > 0 {
			fmt.Fprintf(p.stderr, "%s: up to %d messages of QoS 0 may be lost\n", p.url, n)
		}
	}
}
