package flow

import (
	"testing"
	"time"
)

func TestKeepAliveServer(t *testing.T) {
	tests := []struct {
		k    KeepAlive
		want time.Duration
	}{
		{0, 0}, {1, 1500 * time.Millisecond}, {3, 4500 * time.Millisecond}, {60, 90 * time.Second},
		{65535, 98302500 * time.Millisecond}, // 18 h 12 min 15 s, and a half of that
	}
	received := time.Unix(1000, 0)
	for _, test := range tests {
		if got := test.k.Timeout(); got != test.want {
			t.Errorf("Timeout of %d: %v, want %v", test.k, got, test.want)
		}
		deadline, ok := test.k.Deadline(received)
		if ok != (test.k != 0) || ok && deadline.Sub(received) != test.want {
			t.Errorf("Deadline of %d: %v, %v", test.k, deadline, ok)
		}
	}
}

func TestKeepAliveClient(t *testing.T) {
	const never = -1
	start := time.Unix(1000, 0)
	at := func(s float64) time.Time {
		if s == never {
			return time.Time{}
		}
		return start.Add(time.Duration(s * float64(time.Second)))
	}
	tests := []struct {
		name                   string
		k                      KeepAlive
		now                    float64
		sent, received, pinged float64
		action                 Action
		next                   float64
	}{
		{"off", 0, 1e6, 0, 0, never, Wait, never},
		{"just connected", 10, 0, 0, 0, never, Wait, 9},
		{"silent, not yet", 10, 8.999, 0, 0, never, Wait, 9},
		{"silent", 10, 9, 0, 0, never, Ping, never},
		{"sent lately, heard nothing", 10, 9, 8, 0, never, Ping, never},
		{"heard lately, sent nothing", 10, 9, 0, 8, never, Ping, never},
		{"busy", 10, 100, 99, 99.5, never, Wait, 108},
		{"pinged", 10, 9, 9, 0, 9, Wait, 18},
		{"pinged, no answer, keeps pinging", 10, 18, 9, 0, 9, Ping, never},
		{"pinged again, no answer", 10, 18, 18, 0, 9, Wait, 19},
		{"pinged, given up", 10, 19, 18, 0, 9, GiveUp, never},
		{"pinged, sending meanwhile", 10, 18.5, 18.5, 0, 9, Wait, 19},
		{"pinged, other bytes come", 10, 19, 18, 15, 9, Wait, 25},
		{"pinged, other bytes came", 10, 25, 24, 15, 9, GiveUp, never},
		{"pinged, heard before it", 10, 19, 18, 8, 9, GiveUp, never},
		{"one second", 1, 0.9, 0, 0, never, Ping, never},
		{"the longest", 65535, 58981, 0, 0, never, Wait, 58981.5},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			action, next := test.k.Client(at(test.now), Activity{at(test.sent), at(test.received), at(test.pinged)})
			if action != test.action || !next.Equal(at(test.next)) {
				t.Errorf("%v at %v, want %v at %v", action, next.Sub(start), test.action, at(test.next).Sub(start))
			}
			if action == Wait && test.k != 0 && !next.After(at(test.now)) {
				t.Error("asks again at once")
			}
		})
	}
}

// A client that does what it is told is silent for less than the Keep Alive,
// and notices a dead server within twice of it.
func TestKeepAliveLife(t *testing.T) {
	for _, k := range []KeepAlive{1, 2, 7, 60, 65535} {
		start := time.Unix(1000, 0)
		dead := start.Add(5 * k.Interval())
		a := Activity{Sent: start, Received: start}
		for now := start; ; {
			action, next := k.Client(now, a)
			switch action {
			case Wait:
				now = next
				continue
			case Ping:
				if gap := now.Sub(a.Sent); gap >= k.Interval() {
					t.Fatalf("%d: silent for %v", k, gap)
				}
				a.Sent = now
				if now.Before(dead) {
					a.Received = now
				} else if a.Pinged.IsZero() {
					a.Pinged = now
				}
				continue
			}
			if noticed := now.Sub(dead); noticed < 0 || noticed > 2*k.Interval() {
				t.Fatalf("%d: gave up %v after the server died", k, noticed)
			}
			break
		}
	}
}
