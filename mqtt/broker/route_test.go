package broker

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"mqt/mqtt"
)

func lookedAt(b *Broker) int {
	b.publishers.mu.Lock()
	defer b.publishers.mu.Unlock()
	return len(b.publishers.conns)
}

// A publisher that has fallen silent keeps no sessions alive that have ended.
func TestRoutesOfTheEndedAreForgotten(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		pub, stays := w.client(mqtt.V50, "pub"), w.client(mqtt.V50, "stays")
		stays.subscribe(mqtt.QoS0, "t/#")
		var ended []weak.Pointer[session]
		for i := range 5 {
			p := w.client(mqtt.V50, fmt.Sprint(i))
			p.subscribe(mqtt.QoS0, fmt.Sprint("t/", i))
			for range 2 {
				pub.send(publish(mqtt.QoS0, 0, fmt.Sprint("t/", i), "x"))
				p.message(fmt.Sprint("t/", i), "x")
			}
			ended = append(ended, weak.Make(w.b.sessions.get(fmt.Sprint(i))))
			p.send(&mqtt.Disconnect{})
		}
		before := w.b.Stats().Memory
		time.Sleep(3 * forgetEvery)
		synctest.Wait()
		if after := w.b.Stats().Memory; after >= before {
			t.Errorf("%d bytes, then %d", before, after)
		}
		for range 3 {
			runtime.GC()
		}
		for i, s := range ended {
			if s.Value() != nil {
				t.Errorf("session %d is still there", i)
			}
		}
		equal(t, "publishers that are looked at", lookedAt(w.b), 0)
		stays.take()
		pub.send(publish(mqtt.QoS0, 0, "t/new", "x"))
		stays.message("t/new", "x")
		equal(t, "publishers that are looked at", lookedAt(w.b), 0)
		pub.send(publish(mqtt.QoS0, 0, "t/new", "again"))
		stays.message("t/new", "again")
		equal(t, "publishers that are looked at", lookedAt(w.b), 1)
		pub.drop()
		time.Sleep(3 * forgetEvery)
		synctest.Wait()
		equal(t, "publishers that are looked at", lookedAt(w.b), 0)
	})
}
