package client

import (
	"context"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/flow"
)

// keepAlive is the Keep Alive of one Network Connection, section 3.1.2.10.
type keepAlive struct {
	interval flow.KeepAlive
	timer    *time.Timer
	sent     time.Time    // the last packet to the Server
	heard    time.Time    // the last bytes from it
	pinged   time.Time    // the first PINGREQ without PINGRESP
	pings    []chan error // one for each PINGREQ without PINGRESP; nil: nobody waits
}

// Ping sends a PINGREQ and waits for its PINGRESP: what was sent before has then
// been read by the Server.
func (c *Client) Ping(ctx context.Context) error {
	c.mu.Lock()
	switch {
	case c.state == Closed:
		defer c.mu.Unlock()
		return c.err
	case !c.open():
		c.mu.Unlock()
		return ErrNotConnected
	}
	l := c.link
	answered := make(chan error, 1)
	l.ping(answered)
	c.mu.Unlock()
	l.flush()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ping writes a PINGREQ. mu is held.
func (l *link) ping(answered chan error) {
	_ = l.control(&mqtt.Pingreq{}) // it has nothing that could not be encoded
	l.pings = append(l.pings, answered)
	if l.pinged.IsZero() {
		l.pinged = time.Now()
	}
}

// onPingresp handles a PINGRESP; one that was not asked for has no meaning. mu
// is held.
func (l *link) onPingresp() {
	if len(l.pings) == 0 {
		return
	}
	if answered := l.pings[0]; answered != nil {
		answered <- nil
	}
	l.pings = l.pings[1:]
	if len(l.pings) == 0 {
		l.pings = nil
	}
	l.pinged = time.Time{}
	if len(l.pings) > 0 {
		l.pinged = time.Now()
	}
}

func (l *link) endPings(err error) {
	for _, answered := range l.pings {
		if answered != nil {
			answered <- err
		}
	}
	l.pings = nil
}

// startKeepAlive uses the Server's Keep Alive if it names one [MQTT-3.1.2-21],
// [MQTT-3.2.2-21]. mu is held.
func (l *link) startKeepAlive(ps mqtt.Properties) {
	l.interval = flow.KeepAlive(ps.NumberOr(mqtt.ServerKeepAlive, uint32(l.c.opt.KeepAlive)))
	if l.interval > 0 {
		l.timer = time.AfterFunc(l.interval.PingAfter(), l.tick)
	}
}

// tick does what the Keep Alive asks for now.
func (l *link) tick() {
	c := l.c
	now := time.Now()
	c.mu.Lock()
	if !l.up {
		c.mu.Unlock()
		return
	}
	if l.paused {
		// Nothing is read because the consumer is slow: silence is our own.
		l.heard = now
	}
	do, at := l.interval.Client(now, flow.Activity{Sent: l.sent, Received: l.heard, Pinged: l.pinged})
	switch do {
	case flow.GiveUp:
		c.mu.Unlock()
		l.conn.Abort(ErrPingTimeout)
		return
	case flow.Ping:
		l.ping(nil)
		_, at = l.interval.Client(now, flow.Activity{Sent: now, Received: l.heard, Pinged: l.pinged})
	}
	l.timer.Reset(max(at.Sub(now), time.Millisecond))
	c.mu.Unlock()
	if do == flow.Ping {
		l.flush()
	}
}

// stopTimers ends the timers of a connection that has closed. mu is held.
func (l *link) stopTimers() {
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.authTimer != nil {
		l.authTimer.Stop()
	}
	if l.ackTimer != nil {
		l.ackTimer.Stop()
	}
}
