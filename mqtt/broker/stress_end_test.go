package broker

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/transport"
)

// Thousands of clients come, do something of everything and go: no goroutine,
// no session and no memory stays.
func TestNothingIsLeftBehind(t *testing.T) { eachEngine(t, testNothingIsLeftBehind) }

func testNothingIsLeftBehind(t *testing.T, engine string) {
	b := liveBroker(t, Options{})
	b.listen(engine + byUnix)
	stays := b.client(t, mqtt.V50, "stays", nil)
	stays.write(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "stays"}, {Filter: "$share/g/stays"}}})
	visit := func(i int) {
		id := fmt.Sprint("visitor-", i)
		p := b.client(t, versions[i%3], id, func(c *mqtt.Connect) {
			c.KeepAlive = 60
			c.Will = &mqtt.Will{Topic: "will/" + id}
			if i%2 == 0 {
				c.Properties = mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 100)}
			}
		})
		p.write(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: id + "/+", QoS: 2}, {Filter: id, QoS: 1},
			{Filter: "$share/" + id + "/#", QoS: 2}}},
			retained(mqtt.QoS1, 2, id, "kept"), publish(mqtt.QoS2, 3, id+"/x", "two"), retained(mqtt.QoS1, 4, id, ""),
			publish(mqtt.QoS0, 0, "nobody/"+id, ""), publish(mqtt.QoS0, 0, id+"/0", strings.Repeat("x", 5000)), &mqtt.Pingreq{})
		p.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypePingresp })
		if p.v == mqtt.V50 { // with all of it under way
			p.write(&mqtt.Disconnect{Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 0)}})
		} else if i%5 > 0 {
			p.write(&mqtt.Disconnect{})
		}
		p.nc.Close()
	}
	rest := func() (heap uint64, goroutines int) {
		eventually(t, func() string {
			if s := b.Stats(); s.Connections != 1 || s.Sessions != 1 || s.Subscriptions != 2 || s.Retained != 0 {
				return fmt.Sprintf("%+v is left", s)
			}
			return ""
		})
		var m runtime.MemStats
		for range 3 {
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, runtime.NumGoroutine()
	}
	for i := range 1000 {
		visit(i)
	}
	before, goroutines := rest()
	for i := range visits {
		visit(1000 + i)
	}
	after, _ := rest()
	if grown := int64(after) - int64(before); grown > 512<<10 {
		t.Errorf("the heap has grown by %d bytes in %d visits", grown, visits)
	}
	eventually(t, func() string { // the last ones may be about to end; there may be more loops now
		if now := runtime.NumGoroutine(); now > goroutines+runtime.GOMAXPROCS(0) {
			return fmt.Sprintf("%d goroutines, there were %d", now, goroutines)
		}
		return ""
	})
	b.timers.mu.Lock()
	equal(t, "timers", len(b.timers.conns.heap)+len(b.timers.sessions.heap)+len(b.timers.others.heap), 0)
	b.timers.mu.Unlock()
	stays.nc.Close()
	b.stop()
}

// A Session whose unacknowledged messages do not fit the out-buffer is resumed
// while others fill that with QoS 0: all of them come again, in order.
func TestStressResume(t *testing.T) { eachEngine(t, testStressResume) }

func testStressResume(t *testing.T, engine string) {
	b := liveBroker(t, Options{OutLimit: 3000})
	b.listen(engine + byUnix)
	const messages = 200
	start := func(p *livePeer) {
		p.write(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "one", QoS: 1}, {Filter: "zero"}}})
	}
	p := b.client(t, mqtt.V311, "sub", persistent)
	start(p)
	p.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypeSuback })
	pub := b.client(t, mqtt.V311, "pub", nil)
	for i := range messages {
		pub.write(publish(mqtt.QoS1, 1, "one", fmt.Sprintf("%0100d", i)))
		pub.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypePuback })
	}
	var last int
	p.await(func(pkt mqtt.Packet) bool { last++; return last == messages })
	var flood sync.WaitGroup
	stop := make(chan struct{})
	flood.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				pub.write(publish(mqtt.QoS0, 0, "zero", strings.Repeat("0", 100)))
			}
		}
	})
	for range 20 {
		p.nc.Close()
		p = b.client(t, mqtt.V311, "sub", persistent)
		want := 0
		timeout := time.AfterFunc(60*time.Second, func() { p.nc.Close() })
		p.await(func(pkt mqtt.Packet) bool {
			if m := pkt.(*mqtt.Publish); m.QoS == mqtt.QoS1 {
				equal(t, "message", strings.TrimLeft(string(m.Payload), "0"), strings.TrimLeft(fmt.Sprint(want), "0"))
				want++
			}
			return want == messages
		})
		timeout.Stop()
		equal(t, "messages again", want, messages)
	}
	close(stop)
	flood.Wait()
	p.nc.Close()
	pub.nc.Close()
	b.stop()
}

// [MQTT-3.14.4-1]: while others send to it, a client that breaks the standard,
// or that loses its place to another, gets a DISCONNECT and not a byte behind
// it.
func TestStressNothingBehindDisconnect(t *testing.T) {
	eachEngine(t, testStressNothingBehindDisconnect)
}

func testStressNothingBehindDisconnect(t *testing.T, engine string) {
	b := liveBroker(t, Options{})
	b.listen(engine + byUnix)
	var flood sync.WaitGroup
	stop := make(chan struct{})
	for i := range 2 {
		pub := b.client(t, mqtt.V311, fmt.Sprint("pub", i), nil)
		flood.Go(func() {
			defer pub.nc.Close()
			for {
				select {
				case <-stop:
					return
				default:
					pub.write(publish(mqtt.QoS0, 0, "zero", ""), publish(mqtt.QoS0, 0, "zero", ""), publish(mqtt.QoS0, 0, "zero", ""))
				}
			}
		})
	}
	for round := range 60 {
		p := b.client(t, mqtt.V50, "x", nil)
		p.write(subscribeTo("zero"))
		p.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypePublish })
		if round%2 == 0 {
			p.write(&mqtt.Pingresp{})
		} else {
			b.client(t, mqtt.V50, "x", nil).nc.Close()
		}
		var end mqtt.Packet
		p.await(func(pkt mqtt.Packet) bool {
			if end != nil {
				t.Errorf("%v behind %v", pkt, end)
			}
			if pkt.Type() == mqtt.TypeDisconnect {
				end = pkt
			}
			return false
		})
		if end == nil {
			t.Error("no DISCONNECT")
		}
		p.nc.Close()
	}
	close(stop)
	flood.Wait()
	b.stop()
}

// [MQTT-3.14.4-1] for whoever still holds the connection: what is appended
// while it is closed comes before the DISCONNECT or not at all.
func TestStressAppendWhileClosing(t *testing.T) { eachEngine(t, testStressAppendWhileClosing) }

func testStressAppendWhileClosing(t *testing.T, engine string) {
	b := liveBroker(t, Options{})
	b.listen(engine + byUnix)
	frame, _ := publish(mqtt.QoS0, 0, "zero", "").Append(nil, mqtt.V50)
	for range 100 {
		p := b.client(t, mqtt.V50, "x", nil)
		b.mu.Lock()
		s := b.sessions.get("x")
		b.mu.Unlock()
		s.mu.Lock()
		c := s.conn
		s.mu.Unlock()
		var flood sync.WaitGroup
		flood.Go(func() {
			var batch transport.Batch
			for c.tc.Append(&batch, frame) {
				batch.Flush()
			}
		})
		p.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypePublish })
		turn := b.beginTurn(nil)
		c.kick(mqtt.SessionTakenOver, errTakenOver)
		turn.end()
		var end mqtt.Packet
		p.await(func(pkt mqtt.Packet) bool {
			if end != nil {
				t.Fatalf("%v behind %v", pkt, end)
			}
			if pkt.Type() == mqtt.TypeDisconnect {
				end = pkt
			}
			return false
		})
		if end == nil {
			t.Error("no DISCONNECT")
		}
		flood.Wait()
		p.nc.Close()
	}
	b.stop()
}
