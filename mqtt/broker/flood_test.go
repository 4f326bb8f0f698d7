package broker

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"mqt/mqtt"
)

// Publishers that flood, a subscriber that reads nothing and clients that do
// nothing take nothing away from two who talk, and little memory.
func TestFloodBesideASlowConsumerAndTheIdle(t *testing.T) {
	eachEngine(t, testFloodBesideASlowConsumerAndTheIdle)
}

func testFloodBesideASlowConsumerAndTheIdle(t *testing.T, engine string) {
	b := liveBroker(t, Options{OutLimit: 64 << 10})
	b.listen(engine + byTCP)
	var idle []*livePeer
	for i := range 200 {
		idle = append(idle, b.client(t, versions[i%3], fmt.Sprint("idle", i), nil))
	}
	slow := b.client(t, mqtt.V50, "slow", nil)
	slow.write(subscribeTo("flood"))
	slow.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypeSuback }) // and reads no more
	before := inUse()

	var flooders sync.WaitGroup
	var over atomic.Bool
	for i := range 2 {
		flooders.Go(func() {
			p := b.client(t, mqtt.V311, fmt.Sprint("flooder", i), nil)
			m := publish(mqtt.QoS0, 0, "flood", strings.Repeat("x", 500))
			for !over.Load() {
				p.write(m, m, m, m, m, m, m, m)
			}
			p.nc.Close()
		})
	}
	sub, pub := b.client(t, mqtt.V50, "sub", nil), b.client(t, mqtt.V50, "pub", nil)
	sub.write(subscribeTo("talk"))
	sub.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypeSuback })
	const words = 300
	for i := range words {
		pub.write(publish(mqtt.QoS1, mqtt.PacketID(i+1), "talk", fmt.Sprint(i)))
		if !pub.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypePuback }) {
			t.Fatalf("the publisher was closed at %d", i)
		}
		heard := sub.await(func(pkt mqtt.Packet) bool {
			m, ok := pkt.(*mqtt.Publish)
			if ok && string(m.Payload) != fmt.Sprint(i) {
				t.Errorf("%q came where %d should", m.Payload, i)
			}
			return ok
		})
		if !heard {
			t.Fatalf("the subscriber was closed at %d", i)
		}
	}
	for b.Stats().DroppedSlow == 0 { // the flood is on until the slow one is full
		runtime.Gosched()
	}
	if grown := inUse() - before; grown > 8<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	over.Store(true)
	flooders.Wait()
	for i, p := range idle {
		p.write(&mqtt.Pingreq{})
		if !p.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypePingresp }) {
			t.Errorf("idle client %d was closed", i)
		}
		p.nc.Close()
	}
	for _, p := range []*livePeer{slow, sub, pub} {
		p.nc.Close()
	}
	b.stop()
}

// inUse returns the bytes in use after a collection.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
