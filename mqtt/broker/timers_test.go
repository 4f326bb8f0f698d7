package broker

import (
	"testing"
	"testing/synctest"
	"time"
)

// alarm is a due that a test scripts.
type alarm struct {
	timer
	fired []time.Duration
	ring  func(now time.Duration) time.Duration
}

func (a *alarm) due(now time.Duration) time.Duration {
	a.fired = append(a.fired, now)
	return a.ring(now)
}

// A deadline that is set while the timer is due overrules what due returns: it
// is the newer one.
func TestTimerSetWhileDue(t *testing.T) {
	for name, c := range map[string]struct{ set, back, want time.Duration }{
		"earlier":   {2 * time.Second, 9 * time.Second, 2 * time.Second},
		"later":     {9 * time.Second, 2 * time.Second, 9 * time.Second},
		"taken off": {0, 2 * time.Second, 0},
		"renewed":   {-1, 2 * time.Second, 2 * time.Second}, // not set meanwhile
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts, done := newTimers(), make(chan struct{})
				go ts.run(done)
				defer close(done)
				a := &alarm{}
				a.ring = func(time.Duration) time.Duration {
					if len(a.fired) > 1 {
						return 0
					}
					if c.set >= 0 {
						ts.set(a, c.set)
					}
					return c.back
				}
				ts.set(a, time.Second)
				time.Sleep(time.Hour)
				synctest.Wait()
				want := []time.Duration{time.Second + 1}
				if c.want > 0 {
					want = append(want, c.want+1)
				}
				for i := range a.fired {
					a.fired[i] = a.fired[i].Round(time.Millisecond) + 1
				}
				equal(t, "fired at", a.fired, want)
			})
		})
	}
}

// Many timers ring in order, each at its time.
func TestTimersRingInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts, done := newTimers(), make(chan struct{})
		go ts.run(done)
		defer close(done)
		var rung []time.Duration
		for i := range 200 {
			a := &alarm{ring: func(now time.Duration) time.Duration { rung = append(rung, now.Round(time.Millisecond)); return 0 }}
			ts.set(a, time.Second)                           // and moved,
			ts.set(a, time.Duration(i*37%200+1)*time.Second) // back and forth
			if i%10 == 0 {
				ts.set(a, 0)
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		equal(t, "rung", len(rung), 180)
		for i := 1; i < len(rung); i++ {
			if rung[i] <= rung[i-1] {
				t.Errorf("%v behind %v", rung[i], rung[i-1])
			}
		}
	})
}
