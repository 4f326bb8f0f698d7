package broker

import (
	"fmt"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
)

// On a full disk a client that comes back as it was is let in and takes its queue,
// which makes room; nobody is promised anything new. When there is room all goes on
// as if nothing had been.
func TestReturnOnFullDisk(t *testing.T) {
	inStore(t, Options{}, func(w *kept) {
		s := w.durable(mqtt.V50, "s")
		s.subscribe(mqtt.QoS1, "t")
		s.drop()
		pub := w.durable(mqtt.V50, "pub")
		for i := range 3 {
			pub.put(publish(mqtt.QoS1, 1, "t", fmt.Sprint(i)))
		}
		w.faulty.Fail(store.ErrFull)
		equal(t, "PUBACK", pub.put(publish(mqtt.QoS1, 1, "t", "refused")), mqtt.QuotaExceeded)
		equal(t, "full", w.b.StoreFull(), true)
		_, ack := w.connect(mqtt.V50, "s", func(c *mqtt.Connect) { // is not as it was
			c.CleanStart = false
			c.Properties = mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 5000)}
		})
		equal(t, "CONNACK", ack.ReasonCode, mqtt.QuotaExceeded)
		s, ack = w.connect(mqtt.V50, "s", gives("s", mqtt.QoS1, persistent))
		equal(t, "CONNACK", fmt.Sprint(ack.ReasonCode, ack.SessionPresent), fmt.Sprint(mqtt.Success, true))
		for i := range 3 {
			s.send(puback(s.message("t", fmt.Sprint(i)).PacketID))
		}
		s.send(&mqtt.Subscribe{PacketID: 7, Subscriptions: []mqtt.Subscription{{Filter: "t", QoS: 1}}}) // as ever
		equal(t, "SUBACK", next[*mqtt.Suback](s).ReasonCodes[0], mqtt.ReasonCode(1))
		s.send(&mqtt.Subscribe{PacketID: 7, Subscriptions: []mqtt.Subscription{{Filter: "t", QoS: 1}, {Filter: "new", QoS: 1}, {Filter: "new", QoS: 1}}})
		equal(t, "SUBACK", fmt.Sprint(next[*mqtt.Suback](s).ReasonCodes), fmt.Sprint([]mqtt.ReasonCode{mqtt.QuotaExceeded, mqtt.QuotaExceeded, mqtt.QuotaExceeded}))
		s.send(subscribeTo("more"))
		equal(t, "SUBACK", next[*mqtt.Suback](s).ReasonCodes[0], mqtt.QuotaExceeded)
		s.send(publish(mqtt.QoS0, 0, "t", "zero"))
		s.message("t", "zero")
		w.faulty.Fail(nil)
		time.Sleep(2 * time.Second)
		equal(t, "PUBACK", pub.put(publish(mqtt.QoS1, 1, "t", "accepted")), mqtt.Success)
		s.message("t", "accepted")
		time.Sleep(fullFor)
		equal(t, "full", w.b.StoreFull(), false)
		for x := range w.memory.Sessions() {
			if x.ClientID == "s" && (!x.Left.IsZero() || x.Will == nil) {
				t.Errorf("the store has %+v", x)
			}
		}
	})
}
