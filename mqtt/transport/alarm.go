package transport

import (
	"math/bits"
	"time"
)

// Alarmed may be implemented by a Handler that wants to be called after a time.
type Alarmed interface {
	// Alarm is called when the time given to [Conn.SetAlarm] is over, perhaps by another goroutine while Feed runs, and
	// perhaps once more after Closed. It must not block.
	Alarm()
}

const (
	tick     = time.Second / 32 // what loops count the time of alarms in
	punctual = 16               // an alarm is late by up to this part of its time, and a tick
)

// SetAlarm has the handler, which must be [Alarmed], called after d, in the place of what was set before. A loop keeps
// the alarms of all its connections in their seats, so that they cost nothing each, and has them a little late, so that
// many come together.
func (c *Conn) SetAlarm(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch g := c.gor(); {
	case c.work.isDone():
	case g == nil:
		if p := c.poll(); p.loop() != nil {
			p.loop().setAlarm(p, d)
		}
	case g.alarm == nil:
		g.alarm = time.AfterFunc(d, c.h.(Alarmed).Alarm)
	default:
		g.alarm.Reset(d)
	}
}

// stopAlarm is for the end of a connection. mu is held.
func (c *Conn) stopAlarm() {
	if g := c.gor(); g.alarm != nil {
		g.alarm.Stop()
	}
}

// alarmAt is the tick at which an alarm comes that is set elapsed after the ticks began.
func alarmAt(elapsed, d time.Duration) uint32 {
	d = max(d, 0)
	grain := uint32(1)
	if n := uint32(min(d/tick, 1<<31) / punctual); n > 0 {
		grain = 1 << (bits.Len32(n) - 1)
	}
	n := uint32((elapsed + d + tick - 1) / tick) // four years
	return max(1, (n+grain-1)&^(grain-1))
}

// setAlarm is SetAlarm for a connection of l. The Conn's mu is held.
func (l *loop) setAlarm(p *polled, d time.Duration) {
	at := alarmAt(time.Since(l.began), d)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alarm(p.seat, at)
}

// alarmOf is when p's alarm comes, 0: never.
func (l *loop) alarmOf(p *polled) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at(p.seat).alarm
}

// restoreAlarm is setAlarm for what alarmOf returned.
func (l *loop) restoreAlarm(p *polled, at uint32) {
	if at == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alarm(p.seat, at)
}

// alarm has the connection in seat called at a tick. mu is held.
func (l *loop) alarm(seat, at uint32) {
	l.at(seat).alarm = at
	if l.nextAlarm != 0 && l.nextAlarm <= at {
		return
	}
	l.nextAlarm = at
	if l.sleeping.CompareAndSwap(true, false) {
		l.poller.wake()
	}
}

// untilAlarm is how long the loop may wait for the next alarm, negative: there is none. mu is held.
func (l *loop) untilAlarm() time.Duration {
	if l.nextAlarm == 0 {
		return -1
	}
	return max(0, time.Until(l.began.Add(time.Duration(l.nextAlarm)*tick)))
}

// ring calls those whose alarm has come.
func (l *loop) ring() {
	l.mu.Lock()
	now := uint32(time.Since(l.began) / tick)
	if l.nextAlarm == 0 || l.nextAlarm > now {
		l.mu.Unlock()
		return
	}
	l.nextAlarm = 0
	for i := range l.seated {
		s := l.at(i)
		switch {
		case s.alarm == 0:
		case s.alarm <= now:
			s.alarm = 0
			l.rung = append(l.rung, s.p)
		case l.nextAlarm == 0 || s.alarm < l.nextAlarm:
			l.nextAlarm = s.alarm
		}
	}
	l.mu.Unlock()
	for i, p := range l.rung {
		l.rung[i] = nil
		p.h.(Alarmed).Alarm()
	}
	l.rung = l.rung[:0]
}
