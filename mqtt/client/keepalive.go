package client

import (
	"context"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/flow"
)

// keepAlive is the Keep Alive of one Network Connection, section 3.1.2.10.
type keepAlive struct {
	began    time.Time // when moments begin
	sent     moment    // the last packet to the Server
	heard    moment    // the last bytes from it
	pings    *pings    // nil: there is no PINGREQ without PINGRESP
	interval flow.KeepAlive
}

// pings are the PINGREQs without PINGRESP.
type pings struct {
	since   time.Time    // when the first was sent
	waiting []chan error // one for each; nil: nobody waits
}

// moment is a time that takes little room, in nanoseconds.
type moment int64

func (k *keepAlive) moment(t time.Time) moment { return moment(t.Sub(k.began)) }

func (k *keepAlive) time(m moment) time.Time { return k.began.Add(time.Duration(m)) }

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
	if l.pings == nil {
		l.pings = &pings{since: time.Now()}
	}
	l.pings.waiting = append(l.pings.waiting, answered)
}

// onPingresp handles a PINGRESP; one that was not asked for has no meaning. mu
// is held.
func (l *link) onPingresp() {
	p := l.pings
	if p == nil {
		return
	}
	if answered := p.waiting[0]; answered != nil {
		answered <- nil
	}
	if p.waiting = p.waiting[1:]; len(p.waiting) == 0 {
		l.pings = nil
		return
	}
	p.since = time.Now()
}

func (l *link) endPings(err error) {
	if l.pings == nil {
		return
	}
	for _, answered := range l.pings.waiting {
		if answered != nil {
			answered <- err
		}
	}
	l.pings = nil
}

// startKeepAlive uses the Server's Keep Alive if it names one [MQTT-3.1.2-21],
// [MQTT-3.2.2-21]. mu is held.
func (l *link) startKeepAlive(ps mqtt.Properties) {
	l.interval = flow.KeepAlive(ps.NumberOr(mqtt.ServerKeepAlive, uint32(l.c.dials.opt.KeepAlive)))
	if l.interval > 0 {
		l.conn.SetAlarm(l.interval.PingAfter())
	}
}

// Alarm is called by the transport: it does what the Keep Alive asks for now.
func (l *link) Alarm() {
	c := l.c
	now := time.Now()
	c.mu.Lock()
	if !l.up {
		c.mu.Unlock()
		return
	}
	if l.paused {
		// Nothing is read because the consumer is slow: silence is our own.
		l.heard = l.moment(now)
	}
	a := flow.Activity{Sent: l.time(l.sent), Received: l.time(l.heard)}
	if l.pings != nil {
		a.Pinged = l.pings.since
	}
	do, at := l.interval.Client(now, a)
	switch do {
	case flow.GiveUp:
		c.mu.Unlock()
		l.conn.Abort(ErrPingTimeout)
		return
	case flow.Ping:
		l.ping(nil)
		a.Sent, a.Pinged = now, l.pings.since
		_, at = l.interval.Client(now, a)
	}
	c.mu.Unlock()
	l.conn.SetAlarm(max(at.Sub(now), time.Millisecond))
	if do == flow.Ping {
		l.flush()
	}
}

// stopTimers ends the timers of a connection that has closed. mu is held.
func (l *link) stopTimers() {
	if l.auth != nil && l.auth.timer != nil {
		l.auth.timer.Stop()
	}
	if l.acks != nil && l.acks.timer != nil {
		l.acks.timer.Stop()
	}
}
