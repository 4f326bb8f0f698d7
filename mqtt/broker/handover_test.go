package broker

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
)

// A shared message that is on disk, and nowhere else, in the queue of a Session
// that ends goes to another member, section 4.8.2, as one in memory does: not what
// is in flight at QoS 2 [MQTT-4.8.2-5]. Nothing of it is lost if the broker dies
// at any moment of that.
func TestSharedMessagesOnDiskAreHandedOver(t *testing.T) {
	for _, how := range []string{"expiry", "clean start", "expired before the restart", "unsubscribed"} {
		for name, restart := range again() {
			t.Run(how+" "+name, func(t *testing.T) {
				inStore(t, Options{}, func(w *kept) {
					const n = 3 * pageSize
					a, _ := w.connect(mqtt.V50, "a", func(c *mqtt.Connect) {
						c.Properties = mqtt.Properties{mqtt.Num(mqtt.ReceiveMaximum, 2), mqtt.Num(mqtt.SessionExpiryInterval, 100)}
					})
					a.subscribe(mqtt.QoS2, "$share/g/t")
					a.subscribe(mqtt.QoS1, "own")
					pub := w.client(mqtt.V50, "pub")
					pub.put(publish(mqtt.QoS1, 1, "t", "under way at 1"))
					pub.put(publish(mqtt.QoS2, 1, "t", "under way at 2"))
					equal(t, "under way", len(a.take()), 2)
					a.drop()
					want := []string{"under way at 1"}
					for i := range n {
						m := fmt.Sprintf("%04d", i)
						pub.put(publish(mqtt.QoS(1+i%2), 1, "t", m))
						pub.put(publish(1, 1, "own", "a's own"))
						want = append(want, m)
					}
					switch how {
					case "expired before the restart":
						time.Sleep(90 * time.Second)
					case "unsubscribed":
						a, _ = w.connect(mqtt.V50, "a", func(c *mqtt.Connect) {
							c.CleanStart = false
							c.Properties = mqtt.Properties{mqtt.Num(mqtt.ReceiveMaximum, 2), mqtt.Num(mqtt.SessionExpiryInterval, 100)}
						})
						a.send(&mqtt.Unsubscribe{PacketID: 5, Filters: []string{"$share/g/t"}})
						a.take()
						a.drop()
					}
					restart(w)
					b := w.durable(mqtt.V50, "b")
					b.subscribe(mqtt.QoS2, "$share/g/t")
					switch how {
					case "clean start":
						w.client(mqtt.V50, "a")
					default:
						time.Sleep(101 * time.Second)
					}
					synctest.Wait()
					restart(w) // what was handed over is durable
					b = w.durable(mqtt.V50, "b")
					got := b.payloads()
					if !slices.Equal(got, want) {
						t.Errorf("%d came, want %d: %.20q", len(got), len(want), got)
					}
					equal(t, "sessions in the store", sessionsOf(w.memory), 1)
				})
			})
		}
	}
}

func sessionsOf(s store.Store) (n int) {
	for range s.Sessions() {
		n++
	}
	return n
}

// A client that is told that its Session is gone does not find it again: CONNACK of a
// clean start waits for the end of the one before [MQTT-3.1.2-4].
func TestCleanStartWaitsForTheEnd(t *testing.T) {
	for _, filter := range []string{"t", "$share/g/t"} {
		inStore(t, Options{}, func(w *kept) {
			s := w.durable(mqtt.V50, "s")
			s.subscribe(mqtt.QoS1, filter)
			s.drop()
			w.client(mqtt.V50, "pub").put(publish(mqtt.QoS1, 1, "t", "waits"))
			w.faulty.Hold()
			s = w.dial(mqtt.V50)
			s.send(&mqtt.Connect{Version: mqtt.V50, ClientID: "s", CleanStart: true})
			s.quiet()
			w.faulty.Release()
			equal(t, "session present", next[*mqtt.Connack](s).SessionPresent, false)
		})
	}
}
