package broker

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
)

// counter counts the lines of a log with a text.
type counter struct {
	text string
	n    atomic.Int32
}

func (c *counter) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(c.text)) {
		c.n.Add(1)
	}
	return len(line), nil
}

// On a full disk a client that comes back as it was is let in and takes its queue,
// which makes room; nobody is promised anything new. When there is room all goes on
// as if nothing had been.
func TestReturnOnFullDisk(t *testing.T) {
	end := &counter{text: "there is room on the disk again"}
	inStore(t, Options{Log: slog.New(slog.NewTextHandler(end, nil))}, func(w *kept) {
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
		time.Sleep(2 * fullFor)
		equal(t, "full, though nobody asks", w.b.StoreFull(), true)
		equal(t, "the log says its end", end.n.Load(), 0)
		w.faulty.Fail(nil)
		time.Sleep(2 * time.Second)
		equal(t, "PUBACK", pub.put(publish(mqtt.QoS1, 1, "t", "accepted")), mqtt.Success)
		s.message("t", "accepted")
		time.Sleep(2 * fullFor)
		equal(t, "full", w.b.StoreFull(), false)
		equal(t, "the log says its end", end.n.Load(), 1)
		for x := range w.memory.Sessions() {
			if x.ClientID == "s" && (!x.Left.IsZero() || x.Will == nil) {
				t.Errorf("the store has %+v", x)
			}
		}
	})
}

// Section 3.4.2.1: a message that no subscriber gets, for nobody's queue has room, is
// refused where its publisher can be told, and is a new one when it comes again. One
// that anybody gets, or that is retained, is accepted.
func TestPublisherIsToldThatThereIsNoRoom(t *testing.T) {
	eachVersion(t, Options{MaxQueue: 2}, func(w *world, v mqtt.Version) {
		refused := mqtt.Success
		if v >= mqtt.V50 {
			refused = mqtt.QuotaExceeded
		}
		away := map[string]string{"a": "t", "b": "t", "c": "$share/g/t"}
		for id, filter := range away {
			p, _ := w.connect(v, id, persistent)
			p.subscribe(mqtt.QoS2, filter)
			p.drop()
		}
		pub := w.client(v, "pub")
		put := func(what string, qos mqtt.QoS, want mqtt.ReasonCode) {
			w.t.Helper()
			equal(w.t, what, pub.put(publish(qos, 1, "t", what)), want)
		}
		put("one", mqtt.QoS1, mqtt.Success)
		put("two", mqtt.QoS2, mqtt.Success)
		put("refused", mqtt.QoS1, refused)
		put("refused", mqtt.QoS2, refused)
		pub.send(publish(mqtt.QoS0, 0, "t", "zero"))
		a, _ := w.connect(v, "a", persistent)
		a.message("t", "one")
		a.message("t", "two")
		put("to one of three", mqtt.QoS2, mqtt.Success)
		a.message("t", "to one of three")
		a.drop()
		for range 2 { // what is in flight to a does not wait
			put("waits for a", mqtt.QoS2, mqtt.Success)
		}
		put("refused", mqtt.QoS2, refused)
		equal(w.t, "retained", pub.put(retained(mqtt.QoS1, 1, "t", "kept")), mqtt.Success)
		here := w.client(v, "here")
		here.subscribe(mqtt.QoS0, "t")
		here.take()
		put("refused but at QoS 0", mqtt.QoS1, mqtt.Success)
		here.message("t", "refused but at QoS 0")
	})
}

// [MQTT-4.8.2-3]: a shared message goes to a member who has room for it, not to one
// whose queue is full, as long as there is one.
func TestSharedMessageGoesWhereThereIsRoom(t *testing.T) {
	eachVersion(t, Options{MaxQueue: 4}, func(w *world, v mqtt.Version) {
		for id, own := range map[string]string{"full": "own", "empty": "nothing"} {
			p, _ := w.connect(v, id, persistent)
			p.subscribe(mqtt.QoS1, "$share/g/t", own)
			p.drop()
		}
		pub := w.client(v, "pub")
		for range 4 {
			pub.put(publish(mqtt.QoS1, 1, "own", ""))
		}
		for i := range 4 {
			equal(w.t, "code", pub.put(publish(mqtt.QoS1, 1, "t", fmt.Sprint(i))), mqtt.Success)
		}
		refused := pub.put(publish(mqtt.QoS1, 1, "t", "nobody has room"))
		equal(w.t, "refused", refused, map[bool]mqtt.ReasonCode{v >= mqtt.V50: mqtt.QuotaExceeded}[true])
		p, _ := w.connect(v, "empty", persistent)
		for i := range 4 {
			p.message("t", fmt.Sprint(i))
		}
		p.quiet()
	})
}

// Neither a full memory nor a full queue of a durable Session is durable: nothing of
// what was refused comes after a restart, and what was accepted does.
func TestRefusedForRoomIsNotKept(t *testing.T) {
	inStore(t, Options{MaxQueue: 2}, func(w *kept) {
		s := w.durable(mqtt.V50, "s")
		s.subscribe(mqtt.QoS2, "t")
		s.drop()
		pub := w.durable(mqtt.V50, "pub")
		for i, want := range []mqtt.ReasonCode{mqtt.Success, mqtt.Success, mqtt.QuotaExceeded, mqtt.QuotaExceeded} {
			equal(t, "code", pub.put(publish(mqtt.QoS(1+i%2), 1, "t", fmt.Sprint(i))), want)
		}
		w.crash()
		pub = w.durable(mqtt.V50, "pub")
		s = w.durable(mqtt.V50, "s")
		s.message("t", "0")
		s.message("t", "1")
		s.quiet()
		equal(t, "code", pub.put(publish(mqtt.QoS2, 1, "t", "new")), mqtt.Success)
		s.message("t", "new")
	})
}
