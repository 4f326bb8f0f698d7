package broker

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mqt/mqtt"
)

// wideSubs are enough for a fan-out to them to be cut into slices.
const wideSubs = 300

// wideClient subscribes at one of the QoS.
func (b *live) wideClient(t *testing.T, i int) *livePeer {
	p := b.client(t, versions[i%3], fmt.Sprint("sub", i), nil)
	sub := subscribeTo("wide/+")
	sub.Subscriptions[0].QoS = mqtt.QoS(i % 3)
	p.write(sub)
	p.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypeSuback })
	return p
}

// Many messages of several publishers to many subscribers: each gets all of them, those of a publisher in their order.
func TestWideFanOut(t *testing.T) { eachEngine(t, testWideFanOut) }

func testWideFanOut(t *testing.T, engine string) {
	b := liveBroker(t, Options{})
	b.listen(engine + byUnix)
	const publishers, messages = 3, 40
	var subs, pubs sync.WaitGroup
	for i := range wideSubs {
		p := b.wideClient(t, i)
		subs.Go(func() {
			next, got := map[string]int{}, 0
			all := p.await(func(pkt mqtt.Packet) bool {
				m, ok := pkt.(*mqtt.Publish)
				if rel, is := pkt.(*mqtt.Pubrel); is {
					p.ack(mqtt.TypePubcomp, rel.PacketID)
				}
				if !ok {
					return false
				}
				if want := fmt.Sprint(next[string(m.Topic)]); string(m.Payload) != want {
					t.Errorf("%s: %s, want %s", m.Topic, m.Payload, want)
				}
				next[string(m.Topic)]++
				switch m.QoS {
				case mqtt.QoS1:
					p.ack(mqtt.TypePuback, m.PacketID)
				case mqtt.QoS2:
					p.ack(mqtt.TypePubrec, m.PacketID)
				}
				got++
				return got == publishers*messages || i%30 == 0 && got == 5
			})
			if !all {
				t.Errorf("subscriber %d was closed", i)
			}
			p.nc.Close() // some while they are owed more
		})
	}
	for i := range publishers {
		pubs.Go(func() {
			p := b.client(t, versions[i%3], fmt.Sprint("pub", i), nil)
			qos := mqtt.QoS(i)
			var pkts []mqtt.Packet
			for n := range messages {
				pkts = append(pkts, publish(qos, mqtt.PacketID(n+1), fmt.Sprint("wide/", i), strconv.Itoa(n)))
			}
			p.write(append(pkts, &mqtt.Pingreq{})...)
			p.await(func(pkt mqtt.Packet) bool { // behind all others
				if rec, ok := pkt.(*mqtt.Pubrec); ok {
					p.ack(mqtt.TypePubrel, rec.PacketID)
				}
				return pkt.Type() == mqtt.TypePingresp
			})
			p.nc.Close()
		})
	}
	pubs.Wait()
	subs.Wait()
	b.stop()
}

// A will that goes to many, and a Shutdown while they are owed much.
func TestWideShutdown(t *testing.T) { eachEngine(t, testWideShutdown) }

func testWideShutdown(t *testing.T, engine string) {
	b := liveBroker(t, Options{})
	b.listen(engine + byUnix)
	var subs, pubs sync.WaitGroup
	var first sync.WaitGroup
	for i := range wideSubs {
		p := b.wideClient(t, i)
		first.Add(1)
		subs.Go(func() {
			will := false
			p.await(func(pkt mqtt.Packet) bool {
				if m, ok := pkt.(*mqtt.Publish); ok && string(m.Topic) == "wide/will" && !will {
					will = true
					first.Done()
				}
				return false
			})
			if !will {
				t.Errorf("subscriber %d had no will", i)
				first.Done()
			}
			p.nc.Close()
		})
	}
	gone := b.client(t, mqtt.V50, "gone", func(c *mqtt.Connect) { c.Will = &mqtt.Will{Topic: "wide/will", Payload: []byte("w")} })
	gone.nc.Close()
	first.Wait()
	var started sync.WaitGroup
	for i := range 3 {
		started.Add(1)
		pubs.Go(func() {
			p := b.client(t, mqtt.V311, fmt.Sprint("pub", i), nil)
			m := publish(mqtt.QoS0, 0, "wide/flood", strings.Repeat("x", 200))
			p.write(m, m, m, m, m, m)
			started.Done()
			for range 1000 { // until it is closed
				if _, err := p.nc.Write(p.out); err != nil {
					break
				}
			}
			p.nc.Close()
		})
	}
	started.Wait()
	_ = b.listener.Close()
	if err := <-b.served; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	pubs.Wait()
	subs.Wait()
}
