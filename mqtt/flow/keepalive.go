package flow

import "time"

// KeepAlive is the Keep Alive of a Network Connection in seconds, section
// 3.1.2.10. 0 turns it off. Where the CONNACK has a Server Keep Alive, both
// sides use that one [MQTT-3.1.2-21].
type KeepAlive uint16

// Interval is the Keep Alive as a duration.
func (k KeepAlive) Interval() time.Duration { return time.Duration(k) * time.Second }

// Timeout is how long a Server waits for the next packet of a Client before it
// closes the Network Connection: one and a half times the Keep Alive
// [MQTT-3.1.2-22]. 0: for ever.
func (k KeepAlive) Timeout() time.Duration { return k.Interval() * 3 / 2 }

// Deadline is when a Server gives up a Client whose last packet came at
// received. False: never.
func (k KeepAlive) Deadline(received time.Time) (time.Time, bool) {
	return received.Add(k.Timeout()), k != 0
}

// PingAfter is how long a Client is silent before it sends a PINGREQ: a little
// less than the Keep Alive, so that the interval between two packets does not
// exceed it [MQTT-3.1.2-20]. 0: for ever.
func (k KeepAlive) PingAfter() time.Duration { return k.Interval() * 9 / 10 }

// Action is what a Client does for its Keep Alive.
type Action uint8

// The actions of a Client.
const (
	// Wait until the time that comes with it, and ask again.
	Wait Action = iota
	// Ping: send a PINGREQ.
	Ping
	// GiveUp: the Server is gone, close the Network Connection.
	GiveUp
)

// Activity is what a Client knows of its Network Connection.
type Activity struct {
	Sent     time.Time // the last packet sent
	Received time.Time // the last bytes received
	Pinged   time.Time // the first PINGREQ without PINGRESP; zero if none
}

// Client says what a Client does at now. It pings when it has sent nothing, or
// heard nothing, for PingAfter; it gives up when a PINGREQ has brought no
// PINGRESP nor any other byte for the Interval. With Wait comes the time to ask
// again, zero for never; what is sent or received meanwhile never makes it
// earlier. After Ping, note Sent and Pinged and ask again.
func (k KeepAlive) Client(now time.Time, a Activity) (Action, time.Time) {
	if k == 0 {
		return Wait, time.Time{}
	}
	ping := a.Sent.Add(k.PingAfter())
	if a.Pinged.IsZero() {
		ping = earlier(ping, a.Received.Add(k.PingAfter()))
	}
	next := ping
	if !a.Pinged.IsZero() {
		giveUp := later(a.Pinged, a.Received).Add(k.Interval())
		if !now.Before(giveUp) {
			return GiveUp, time.Time{}
		}
		next = earlier(ping, giveUp)
	}
	if !now.Before(ping) {
		return Ping, time.Time{}
	}
	return Wait, next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
