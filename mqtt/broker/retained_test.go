package broker

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mqt/mqtt"
)

// [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-7]: the last one is kept, also one
// at QoS 0 [MQTT-3.1.1: 3.3.1-7], an empty one clears and is not kept, one
// without RETAIN changes nothing [MQTT-3.3.1-8].
func TestRetainedIsTheLastOne(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		pub := w.client(v, "pub")
		for _, c := range []struct {
			send *mqtt.Publish
			want string // "": none
		}{
			{publish(mqtt.QoS1, 1, "r", "plain"), ""},
			{retained(mqtt.QoS0, 0, "r", "0"), "0"},
			{retained(mqtt.QoS2, 1, "r", "2"), "2"},
			{publish(mqtt.QoS1, 1, "r", "plain"), "2"},
			{publish(mqtt.QoS1, 1, "r", ""), "2"},
			{retained(mqtt.QoS1, 1, "r", "1"), "1"},
			{retained(mqtt.QoS2, 1, "r", ""), ""},
			{retained(mqtt.QoS0, 0, "r", ""), ""},
		} {
			pub.put(c.send)
			sub := w.client(v, "sub")
			sub.subscribe(mqtt.QoS2, "r")
			if c.want == "" {
				sub.quiet()
				continue
			}
			m := sub.message("r", c.want)
			equal(w.t, "RETAIN", m.Retain, true)
			sub.complete(m)
		}
		equal(w.t, "retained", w.b.Stats().Retained, 0)
	})
}

// Section 3.3.1.3: at the lower of both QoS, at each of them.
func TestRetainedQoS(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		pub, sub := w.client(v, "pub"), w.client(v, "sub")
		for stored := range mqtt.QoS2 + 1 {
			pub.put(retained(stored, 1, "r", "x"))
			sub.take()
			for granted := range mqtt.QoS2 + 1 {
				sub.subscribe(granted, "r")
				m := sub.message("r", "x")
				equal(w.t, fmt.Sprintf("stored %d, granted %d", stored, granted), m.QoS, min(stored, granted))
				sub.complete(m)
			}
			sub.send(&mqtt.Unsubscribe{PacketID: 1, Filters: []string{"r"}})
			next[*mqtt.Unsuback](sub)
		}
	})
}

// A retained message keeps its properties and carries the identifier of the
// subscription that asked [MQTT-3.3.4-3].
func TestRetainedProperties(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		pub, sub := w.client(mqtt.V50, "pub"), w.client(mqtt.V50, "sub")
		pub.put(retained(mqtt.QoS1, 1, "r", "x", mqtt.User("b", "1"), mqtt.Str(mqtt.ContentType, "c"), mqtt.User("a", "2")))
		sub.send(subscribeTo("#", mqtt.Num(mqtt.SubscriptionIdentifier, 5)))
		next[*mqtt.Suback](sub)
		equal(t, "properties", fmt.Sprint(sub.message("r", "x").Properties), fmt.Sprint(mqtt.Properties{
			mqtt.Num(mqtt.SubscriptionIdentifier, 5), mqtt.User("b", "1"), mqtt.Str(mqtt.ContentType, "c"), mqtt.User("a", "2")}))
	})
}

// Section 3.3.2.3.3: expiry of a retained message counts on, and it is gone in
// time, for good.
func TestRetainedExpiry(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		pub, sub := w.client(mqtt.V50, "pub"), w.client(mqtt.V50, "sub")
		for i := range uint32(4) {
			pub.put(retained(mqtt.QoS0, 0, fmt.Sprint("r/", i), "x", mqtt.Num(mqtt.MessageExpiryInterval, 10*i)))
		}
		pub.put(retained(mqtt.QoS0, 0, "r/never", "x"))
		for _, c := range []struct {
			after time.Duration
			names int
		}{{time.Second, 4}, {8900 * time.Millisecond, 4}, {200 * time.Millisecond, 3}, {10 * time.Second, 2}, {time.Minute, 1}} {
			time.Sleep(c.after)
			sub.subscribe(mqtt.QoS0, "r/#")
			got := sub.take()
			equal(t, "messages", len(got), c.names)
			if c.names == 2 {
				for _, pkt := range got {
					if m := pkt.(*mqtt.Publish); string(m.Topic) == "r/3" {
						left, _ := m.Properties.Number(mqtt.MessageExpiryInterval)
						equal(t, "left of 30", left, 10)
					}
				}
			}
		}
		equal(t, "kept", w.b.Stats().Retained, 1)
		// A new one in the place of what has expired.
		pub.put(retained(mqtt.QoS0, 0, "r/3", "y", mqtt.Num(mqtt.MessageExpiryInterval, 1)))
		time.Sleep(time.Minute)
		equal(t, "kept", w.b.Stats().Retained, 1)
	})
}

// Options.MaxRetained and MaxRetainedBytes: one more is answered 0x97, those
// that are there can be replaced and cleared.
func TestRetainedLimits(t *testing.T) {
	for name, o := range map[string]Options{"count": {MaxRetained: 3}, "bytes": {MaxRetainedBytes: 3 * int64(len("r/0")+10)}} {
		t.Run(name, func(t *testing.T) {
			eachVersion(t, o, func(w *world, v mqtt.Version) {
				pub := w.client(v, "pub")
				over := mqtt.QuotaExceeded
				if v < mqtt.V50 {
					over = mqtt.Success
				}
				full := strings.Repeat("x", 10)
				put := func(i int, payload string) mqtt.ReasonCode {
					code := pub.put(retained(mqtt.QoS1, 1, fmt.Sprint("r/", i), payload))
					if code == mqtt.NoMatchingSubscribers {
						return mqtt.Success
					}
					return code
				}
				for i := range 3 {
					equal(w.t, "within", put(i, full), mqtt.Success)
				}
				equal(w.t, "over", put(3, full), over)
				equal(w.t, "over at QoS 2", pub.put(retained(mqtt.QoS2, 1, "r/4", full)).Failed(), v == mqtt.V50)
				equal(w.t, "replaced", put(0, full[1:]), mqtt.Success)
				equal(w.t, "cleared", put(1, ""), mqtt.Success)
				equal(w.t, "room", put(3, full), mqtt.Success)
				equal(w.t, "kept", w.b.Stats().Retained, 3)
				equal(w.t, "counted", w.b.Stats().DroppedRetained, 2)
			})
		})
	}
	t.Run("larger in place", func(t *testing.T) {
		inWorld(t, Options{MaxRetainedBytes: 13}, func(w *world) {
			pub := w.client(mqtt.V50, "pub")
			pub.put(retained(mqtt.QoS1, 1, "r/0", "0123456789"))
			equal(t, "larger", pub.put(retained(mqtt.QoS1, 1, "r/0", "0123456789a")), mqtt.QuotaExceeded)
			sub := w.client(mqtt.V50, "sub")
			sub.subscribe(mqtt.QoS0, "#")
			sub.message("r/0", "0123456789")
		})
	})
}

// What the server says of itself takes nobody's room, and finds some.
func TestRetainedLimitsAreWithoutSys(t *testing.T) {
	for name, o := range map[string]Options{"count": {MaxRetained: 2}, "bytes": {MaxRetainedBytes: 2 * int64(len("r/0")+10)}} {
		t.Run(name, func(t *testing.T) {
			o.SysInterval = 10 * time.Second
			inWorld(t, o, func(w *world) {
				pub := w.client(mqtt.V50, "pub")
				for i, want := range []mqtt.ReasonCode{mqtt.NoMatchingSubscribers, mqtt.NoMatchingSubscribers, mqtt.QuotaExceeded} {
					equal(t, "PUBACK", pub.put(retained(mqtt.QoS1, 1, fmt.Sprint("r/", i), "0123456789")), want)
				}
				time.Sleep(10 * time.Second)
				sub := w.client(mqtt.V50, "sub")
				sub.subscribe(mqtt.QoS0, "$SYS/#")
				equal(t, "uptime", sub.told()["uptime"], "10 seconds")
				equal(t, "dropped", w.b.Stats().DroppedRetained, 1)
			})
		})
	}
}

// A retained message that waits for room is not passed by newer ones, at QoS 0
// either.
func TestRetainedBeyondTheOutBuffer(t *testing.T) {
	for qos := range mqtt.QoS2 + 1 {
		inWorld(t, Options{OutLimit: 500}, func(w *world) {
			pub, sub := w.client(mqtt.V50, "pub"), w.client(mqtt.V50, "sub")
			old := strings.Repeat("o", 100)
			for i := range 50 {
				pub.put(retained(qos, 1, fmt.Sprint("r/", i), old))
			}
			s := subscribeTo("r/#")
			s.Subscriptions[0].QoS = qos
			<-sub.turn
			sub.send(s)
			for i := range 50 {
				pub.put(retained(qos, 1, fmt.Sprint("r/", i), "new"))
			}
			sub.turn <- struct{}{}
			state := map[string]string{}
			for pending := sub.take(); len(pending) > 0; pending = sub.take() {
				for _, pkt := range pending {
					switch m := pkt.(type) {
					case *mqtt.Publish:
						state[string(m.Topic)] = string(m.Payload)
						switch m.QoS {
						case mqtt.QoS1:
							sub.send(puback(m.PacketID))
						case mqtt.QoS2:
							sub.send(pubrec(m.PacketID))
						}
					case *mqtt.Pubrel:
						sub.send(pubcomp(m.PacketID))
					}
				}
			}
			equal(t, "topics", len(state), 50)
			dropped := int(w.b.Stats().DroppedSlow)
			for name, payload := range state {
				if payload != "new" && dropped == 0 {
					t.Errorf("%s ends with %.5q", name, payload)
				}
			}
		})
	}
}

// [MQTT-4.6.0-6]: a client that subscribes while the message is replaced never
// sees an older one behind a newer one.
func TestRetainedUnderReplacement(t *testing.T) {
	for qos := range mqtt.QoS1 + 1 {
		b := liveBroker(t, Options{})
		pub := b.client(t, mqtt.V50, "pub", nil)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				pub.write(retained(qos, 1, "r", fmt.Sprintf("%09d", n)))
				if qos > 0 {
					pub.await(func(pkt mqtt.Packet) bool { _, ok := pkt.(*mqtt.Puback); return ok })
				}
			}
		})
		for range 2 {
			sub := b.client(t, mqtt.V50, "", nil)
			for range 300 {
				s := subscribeTo("r")
				s.Subscriptions[0].QoS = qos
				sub.write(s)
				last, fresh := "", false
				sub.await(func(pkt mqtt.Packet) bool {
					if _, ok := pkt.(*mqtt.Suback); ok {
						fresh = true
					}
					m, ok := pkt.(*mqtt.Publish)
					if !ok {
						return false
					}
					if p := string(m.Payload); p < last {
						t.Errorf("QoS %d: %s behind %s", qos, p, last)
					} else {
						last = p
					}
					if qos > 0 {
						sub.write(puback(m.PacketID))
					}
					return fresh && !m.Retain
				})
			}
			sub.nc.Close()
		}
		close(stop)
		wg.Wait()
		pub.nc.Close()
		b.stop()
	}
}

// A message that is answered 0x97 was not accepted: nobody gets it, and it can be
// published again. Who cannot be told has its subscribers get it, unkept.
func TestRetainedOverTheLimitIsNotDelivered(t *testing.T) {
	eachVersion(t, Options{MaxRetained: 1}, func(w *world, v mqtt.Version) {
		sub, pub := w.client(v, "sub"), w.client(v, "pub")
		sub.subscribe(mqtt.QoS2, "t/#")
		for qos := range mqtt.QoS(3) {
			for i, name := range []string{"t/kept", "t/over"} {
				m := publish(qos, 5, name, "x")
				if qos == mqtt.QoS0 {
					m.PacketID = 0
				}
				m.Retain = true
				pub.send(m)
				told := v == mqtt.V50 && qos > mqtt.QoS0 && i == 1
				want := mqtt.Success
				if told {
					want = mqtt.QuotaExceeded
				}
				switch qos {
				case mqtt.QoS1:
					equal(w.t, "PUBACK", next[*mqtt.Puback](pub).ReasonCode, want)
				case mqtt.QoS2:
					equal(w.t, "PUBREC", next[*mqtt.Pubrec](pub).ReasonCode, want)
					if !told {
						pub.send(pubrel(5))
						next[*mqtt.Pubcomp](pub)
					}
				}
				if told {
					sub.quiet()
					continue
				}
				sub.complete(sub.message(name, "x"))
			}
		}
		equal(w.t, "retained", w.b.Stats().Retained, 1)
	})
}
