package broker

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
)

// gives makes CONNECT leave a will to "will/ID".
func gives(id string, qos mqtt.QoS, change func(*mqtt.Connect)) func(*mqtt.Connect) {
	return func(c *mqtt.Connect) {
		c.Will = &mqtt.Will{Topic: "will/" + id, Payload: []byte("gone"), QoS: qos}
		if change != nil {
			change(c)
		}
	}
}

// Section 3.1.2.5: a Server that fails may publish wills when it is there again,
// but has to [MQTT-3.1.2-8]: also those of Sessions that end with their connection.
// They come once, and not if they were discarded or published before.
func TestCrashPublishesWillsOfFleetingSessions(t *testing.T) {
	inStore(t, Options{}, func(w *kept) {
		s := w.durable(mqtt.V311, "s")
		s.subscribe(mqtt.QoS2, "will/#")
		for id, v := range map[string]mqtt.Version{"three": mqtt.V311, "five": mqtt.V50} {
			w.connect(v, id, gives(id, mqtt.QoS2, func(c *mqtt.Connect) { c.CleanStart = true }))
		}
		w.connect(mqtt.V50, "delayed", gives("delayed", mqtt.QoS1, func(c *mqtt.Connect) {
			c.Will.Properties = mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, 50)} // no longer than the Session
		}))
		polite, _ := w.connect(mqtt.V50, "polite", gives("polite", mqtt.QoS1, nil))
		polite.send(&mqtt.Disconnect{})
		dropped, _ := w.connect(mqtt.V50, "dropped", gives("dropped", mqtt.QoS1, nil))
		dropped.drop()
		s.message("will/dropped", "gone")
		w.connect(mqtt.V50, "over", gives("over", mqtt.QoS1, nil))
		w.connect(mqtt.V50, "over", nil) // publishes that, and leaves none
		s.message("will/over", "gone")
		synctest.Wait()
		equal(t, "sessions in the store", sessionsOf(w.memory), 4)
		w.crash()
		synctest.Wait()
		s = w.durable(mqtt.V311, "s")
		topics := map[string]int{}
		for _, pkt := range s.take() {
			topics[string(pkt.(*mqtt.Publish).Topic)]++
		}
		equal(t, "wills", topics, map[string]int{"will/three": 1, "will/five": 1, "will/delayed": 1, "will/dropped": 1, "will/over": 1})
		equal(t, "sessions in the store", sessionsOf(w.memory), 1)
	})
}

// CONNACK promises the will: it waits. A client that asks for nothing else to be
// kept is let in though its will cannot be.
func TestConnackWaitsForTheWill(t *testing.T) {
	inStore(t, Options{}, func(w *kept) {
		w.faulty.Hold()
		p := w.dial(mqtt.V50)
		c := &mqtt.Connect{Version: mqtt.V50, ClientID: "p", CleanStart: true}
		gives("p", mqtt.QoS1, nil)(c)
		p.send(c)
		p.quiet()
		w.faulty.Release()
		equal(t, "CONNACK", next[*mqtt.Connack](p).ReasonCode, mqtt.Success)
		for _, err := range []error{store.ErrFull, errors.New("a sync")} {
			w.faulty.Fail(err)
			_, ack := w.connect(mqtt.V50, "q", gives("q", mqtt.QoS1, nil))
			equal(t, "CONNACK", ack.ReasonCode, mqtt.Success)
		}
	})
}

// A will that finds the disk full is not lost: it is published to those who are
// there, and for those who are away when there is room, or at the next start.
func TestWillOnFullDisk(t *testing.T) {
	for _, how := range []string{"room again", "crash"} {
		for _, expiry := range []uint32{0, 1000} {
			inStore(t, Options{}, func(w *kept) {
				w.durable(mqtt.V50, "away").subscribe(mqtt.QoS2, "will/#")
				w.durable(mqtt.V50, "away").drop()
				here := w.durable(mqtt.V50, "here")
				here.subscribe(mqtt.QoS0, "will/#")
				p, _ := w.connect(mqtt.V50, "p", gives("p", mqtt.QoS2, func(c *mqtt.Connect) {
					c.Will.Retain = true
					c.Properties = mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, expiry)}
				}))
				w.faulty.Fail(store.ErrFull)
				p.drop()
				here.message("will/p", "gone")
				time.Sleep(10 * time.Second)
				here.quiet()
				w.faulty.Fail(nil)
				if how != "crash" {
					time.Sleep(2 * time.Second)
				}
				w.crash()
				synctest.Wait()
				away := w.durable(mqtt.V50, "away")
				away.message("will/p", "gone")
				away.quiet()
				away.subscribe(mqtt.QoS0, "will/+")
				away.message("will/p", "gone")
				if expiry > 0 {
					w.durable(mqtt.V50, "p")
					time.Sleep(2 * time.Hour)
					w.crash()
					synctest.Wait()
					w.durable(mqtt.V50, "here").quiet()
				}
			})
		}
	}
}
