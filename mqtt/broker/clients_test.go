package broker

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
)

func TestClients(t *testing.T) {
	eachVersion(t, Options{Users: usersOf(t, "alice", "secret"), MaxQueue: 3, Anonymous: AnonymousAll}, func(w *world, v mqtt.Version) {
		begin := time.Now()
		time.Sleep(time.Minute)
		w.known(v, "alice", "b", persistent, func(c *mqtt.Connect) { c.KeepAlive = 60 }).subscribe(mqtt.QoS1, "t", "u")
		away, _ := w.connect(v, "a", persistent)
		away.subscribe(mqtt.QoS1, "t")
		away.drop()
		pub := w.dialFrom(v, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 99})
		pub.send(hello(v, "c"))
		next[*mqtt.Connack](pub)
		for i := range 5 {
			pub.send(publish(mqtt.QoS1, mqtt.PacketID(i+1), "t", strings.Repeat("x", 100)))
		}
		pub.take()
		got := w.b.Clients("", 10)
		if len(got) != 3 {
			w.t.Fatalf("%d clients", len(got))
		}
		a, b, c := got[0], got[1], got[2]
		equal(w.t, "a", a, Client{ClientID: "a", Subscriptions: 1, Queued: 3, QueuedBytes: a.QueuedBytes, Dropped: []Drop{{"queue", 2}}})
		if a.QueuedBytes < 300 || b.FlightBytes < 500 || b.BytesSent < 500 || c.BytesReceived < 500 {
			w.t.Errorf("bytes: %+v", got)
		}
		equal(w.t, "b", b, Client{ClientID: "b", Username: "alice", Connected: true, Address: b.Address, Version: v, Since: begin.Add(time.Minute),
			KeepAlive: time.Minute, Subscriptions: 2, InFlight: 5, FlightBytes: b.FlightBytes, Sent: 5, BytesSent: b.BytesSent})
		equal(w.t, "c", c, Client{ClientID: "c", Connected: true, Address: "192.0.2.7:99", Version: v, Since: begin.Add(time.Minute),
			Received: 5, BytesReceived: c.BytesReceived})
	})
}

// Pages come in order and hold each client once, however many there are, also
// while others come and go.
func TestClientsByPages(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		const n = 1543
		for i := range n {
			p, _ := w.connect(mqtt.V50, fmt.Sprintf("%05d", i), persistent)
			p.drop()
		}
		var wg sync.WaitGroup
		stop := make(chan struct{})
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				turn := w.b.beginTurn(nil)
				s, _, err := w.b.claim(turn, &mqtt.Connect{Version: mqtt.V50, ClientID: "other"}, "")
				if err == nil {
					s.end(turn)
				}
				turn.end()
			}
		})
		after, pages := "", 0
		seen := make(map[string]bool)
		for {
			page := w.b.Clients(after, 200)
			if len(page) == 0 {
				break
			}
			pages++
			for _, c := range page {
				if c.ClientID <= after || seen[c.ClientID] {
					t.Fatalf("%q comes behind %q", c.ClientID, after)
				}
				after = c.ClientID
				seen[after] = true
			}
		}
		close(stop)
		wg.Wait()
		delete(seen, "other")
		equal(t, "clients", len(seen), n)
		if pages > n/200+2 {
			t.Errorf("%d pages", pages)
		}
		equal(t, "the most", len(w.b.Clients("", 1<<30)), MaxClients)
		equal(t, "none", len(w.b.Clients("", 0)), 0)
		synctest.Wait()
	})
}
