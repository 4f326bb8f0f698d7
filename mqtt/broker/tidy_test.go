package broker

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
)

// Memory is given back when it is quiet behind clients that came, and then not
// before that pays again.
func TestMemoryIsGivenBackWhenItIsQuiet(t *testing.T) {
	inWorld(t, Options{GiveBack: true}, func(w *world) {
		var given atomic.Int32
		var poor atomic.Bool
		w.b.tidy.worth = func() bool { return !poor.Load() }
		w.b.tidy.give = func() { given.Add(1); time.Sleep(time.Second) }
		is := func(what string, n int32) {
			synctest.Wait()
			equal(t, what, given.Load(), n)
		}
		p := w.client(mqtt.V50, "a")
		for range 20 { // 2,000 packets a second
			for range 200 {
				p.send(publish(mqtt.QoS0, 0, "t", ""))
			}
			time.Sleep(100 * time.Millisecond)
		}
		is("while there is much to do", 0)
		time.Sleep(time.Second)
		is("when it is quiet", 1)
		for i := range 180 { // somebody comes every 100 ms
			w.client(mqtt.V50, fmt.Sprint(i))
			time.Sleep(100 * time.Millisecond)
		}
		is("soon after a collection that took a second", 1)
		time.Sleep(10 * time.Second)
		is("a twentieth of the time", 2)
		time.Sleep(time.Hour)
		is("when nobody comes", 2)
		poor.Store(true)
		w.client(mqtt.V50, "b").subscribe(mqtt.QoS0, "t")
		time.Sleep(time.Hour)
		is("when there is nothing to give", 2)
	})
}

// What is reclaimable is what was allocated since the last collection, dead or not.
func TestReclaimable(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	debug.FreeOSMemory()
	var kept [][]byte
	for range 64 << 10 {
		kept = append(kept[:0], make([]byte, 1<<10))
	}
	if !reclaimable() {
		t.Errorf("not with 64 MB of garbage, and %d slice", len(kept))
	}
}
