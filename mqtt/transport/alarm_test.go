package transport

import (
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// alarmed counts its alarms.
type alarmed struct {
	*recorder
	rung atomic.Int32
}

func (a *alarmed) Alarm() { a.rung.Add(1) }

func TestAlarm(t *testing.T) {
	for name, drive := range fakeEngines {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, a := newFake(), &alarmed{recorder: newRecorder()}
				c := drive(f, Options{})
				c.Start(a)
				synctest.Wait()
				after := func(d time.Duration, want int32) {
					t.Helper()
					time.Sleep(d)
					synctest.Wait()
					if n := a.rung.Load(); n != want {
						t.Fatalf("%d alarms, want %d", n, want)
					}
				}
				c.SetAlarm(time.Minute)
				after(59*time.Second, 0)
				after(5*time.Second, 1)
				after(time.Hour, 1) // once
				c.SetAlarm(time.Hour)
				c.SetAlarm(time.Second) // instead
				after(2*time.Second, 2)
				after(2*time.Hour, 2)
				c.SetAlarm(time.Second)
				c.SetAlarm(time.Hour)
				after(time.Minute, 2)
				f.arrive(event{data: []byte("x")}) // with two loops it goes to the other one
				after(59*time.Minute+4*time.Minute, 3)
				c.SetAlarm(time.Second)
				f.arrive(event{err: io.EOF})
				if err := a.end(t); !errors.Is(err, io.EOF) {
					t.Errorf("Closed(%v)", err)
				}
				after(time.Hour, 3)
				c.SetAlarm(time.Second)
				after(time.Hour, 3)
			})
		})
	}
}

// Alarms that are set at different times come together, and none much too late: a Keep Alive of a second must hold.
func TestAlarmAt(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, 900 * time.Millisecond, 9 * time.Second, 54 * time.Second, time.Hour, 65535 * time.Second} {
		at := make(map[uint32]bool)
		for elapsed := time.Duration(1); elapsed < time.Hour; elapsed += 777 * time.Millisecond {
			n := alarmAt(elapsed, d)
			at[n] = true
			if late := time.Duration(n)*tick - elapsed - d; late < 0 || late > d/punctual+tick {
				t.Fatalf("%v after %v: %v late", d, elapsed, late)
			}
		}
		if most := int(64*time.Hour/max(d, tick))/2 + 2; len(at) > most {
			t.Errorf("%v: %d different times, at most %d", d, len(at), most)
		}
	}
}
