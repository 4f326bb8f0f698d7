package broker

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
)

// refusedBy is the CONNACK code of a refusal, by version.
func refusedBy(v mqtt.Version, code mqtt.ReasonCode) mqtt.ReasonCode {
	if v < mqtt.V50 {
		return mqtt.ServerUnavailable // code 3
	}
	return code
}

func hello(v mqtt.Version, id string) *mqtt.Connect {
	return &mqtt.Connect{Version: v, ClientID: id, CleanStart: true}
}

// Each limit of one party: the code, the counter, and the others go on.

func TestMaxPerAddress(t *testing.T) {
	eachVersion(t, Options{MaxPerAddress: 2, Anonymous: AnonymousAll}, func(w *world, v mqtt.Version) {
		from := func(ip string) *peer {
			return w.dialFrom(v, &net.TCPAddr{IP: net.ParseIP(ip), Port: 1000})
		}
		come := func(p *peer, id string) *peer {
			p.send(hello(v, id))
			return p
		}
		in := func(p *peer) {
			equal(w.t, "CONNACK", next[*mqtt.Connack](p).ReasonCode, mqtt.Success)
		}
		a := come(from("192.0.2.1"), "a")
		in(a)
		in(come(from("192.0.2.1"), "b"))
		come(from("192.0.2.1"), "c").refused(refusedBy(v, mqtt.QuotaExceeded))
		in(come(from("192.0.2.2"), "c"))
		// An IPv6 host has a /64 to itself.
		in(come(from("2001:db8::1"), "d"))
		in(come(from("2001:db8::2"), "e"))
		come(from("2001:db8::3"), "f").refused(refusedBy(v, mqtt.QuotaExceeded))
		in(come(from("2001:db8:0:1::3"), "f"))
		for i := range 5 { // this machine has no such limit
			in(come(from("127.0.0.1"), fmt.Sprint("l", i)))
		}
		equal(w.t, "exceeded", w.b.Stats().Exceeded[LimitAddress], 2)
		a.drop()
		in(come(from("192.0.2.1"), "c2"))
		var silent []*peer
		for range 3 { // those that say nothing count too, and are not heard at twice the limit
			silent = append(silent, from("192.0.2.1"))
		}
		synctest.Wait()
		silent[1].quiet()
		silent[2].refused(mqtt.Success)
	})
}

func TestMaxPerUser(t *testing.T) {
	eachVersion(t, Options{MaxPerUser: 2, Users: usersOf(t, "u", "secret", "other", "secret"), Anonymous: AnonymousAll}, func(w *world, v mqtt.Version) {
		as := func(user, id string) *peer {
			p := w.dial(v)
			c := hello(v, id)
			if user != "" {
				withPassword(user, "secret")(c)
			}
			p.send(c)
			return p
		}
		in := func(p *peer) *peer {
			equal(w.t, "CONNACK", next[*mqtt.Connack](p).ReasonCode, mqtt.Success)
			return p
		}
		a := in(as("u", "a"))
		in(as("u", "b"))
		as("u", "c").refused(refusedBy(v, mqtt.QuotaExceeded))
		in(as("other", "c"))
		for i := range 4 {
			in(as("", fmt.Sprint("nobody", i)))
		}
		in(as("u", "a")) // takes over what counts already
		if !a.closed.Load() {
			w.t.Error("not taken over")
		}
		as("u", "d").refused(refusedBy(v, mqtt.QuotaExceeded))
		as("u", "nobody1").refused(refusedBy(v, mqtt.QuotaExceeded)) // takes over what does not count
		as("u", "c").refused(refusedBy(v, mqtt.QuotaExceeded))
		s := w.b.Stats()
		equal(w.t, "exceeded", s.Exceeded[LimitUser], 4)
		equal(w.t, "clients", s.Clients, 7)
		equal(w.t, "users", len(w.b.gate.users), 2)
	})
}

func TestConnectRate(t *testing.T) {
	eachVersion(t, Options{ConnectRate: 2}, func(w *world, v mqtt.Version) {
		for i := range 4 { // two seconds' worth
			w.client(v, fmt.Sprint(i))
		}
		p := w.dial(v)
		p.send(hello(v, "more"))
		p.refused(refusedBy(v, mqtt.ConnectionRateExceeded))
		time.Sleep(500 * time.Millisecond)
		w.client(v, "later")
		equal(w.t, "exceeded", w.b.Stats().Exceeded[LimitConnectRate], 1)
	})
}

func TestMessageRate(t *testing.T) {
	eachVersion(t, Options{MessageRate: 10}, func(w *world, v mqtt.Version) {
		sub := w.client(v, "sub")
		sub.subscribe(mqtt.QoS0, "t")
		steady, flood := w.client(v, "steady"), w.client(v, "flood")
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			steady.send(publish(mqtt.QoS0, 0, "t", "x"))
		}
		equal(w.t, "steady", len(sub.take()), 50)
		steady.quiet()
		for range 21 {
			flood.send(publish(mqtt.QoS0, 0, "t", "x"))
		}
		flood.gone(mqtt.MessageRateTooHigh)
		equal(w.t, "of the flood", len(sub.take()), 20)
		steady.quiet()
		equal(w.t, "exceeded", w.b.Stats().Exceeded[LimitMessageRate], 1)
	})
}

func TestByteRate(t *testing.T) {
	eachVersion(t, Options{ByteRate: 1000}, func(w *world, v mqtt.Version) {
		other := w.client(v, "other")
		p := w.client(v, "x")
		time.Sleep(time.Minute)
		// One message larger than all of it passes, and is paid for.
		p.send(publish(mqtt.QoS0, 0, "t", strings.Repeat("x", 5000)))
		p.quiet()
		time.Sleep(4 * time.Second)
		p.send(publish(mqtt.QoS0, 0, "t", strings.Repeat("x", 500)))
		p.quiet()
		p.send(publish(mqtt.QoS0, 0, "t", strings.Repeat("x", 900)))
		p.gone(mqtt.MessageRateTooHigh)
		other.quiet()
		equal(w.t, "exceeded", w.b.Stats().Exceeded[LimitByteRate], 1)
	})
}

func TestTopicLimits(t *testing.T) {
	eachVersion(t, Options{MaxTopicLevels: 3, MaxTopicLength: 10}, func(w *world, v mqtt.Version) {
		p := w.client(v, "x")
		p.subscribe(mqtt.QoS1, "#", "a/b/c", "1234567890")
		name, filter := mqtt.TopicNameInvalid, mqtt.TopicFilterInvalid
		if v < mqtt.V50 { // 3.1.1 has no code for the one, and one for the other
			name, filter = mqtt.Success, mqtt.UnspecifiedError
		}
		for _, long := range []string{"a/b/c/d", "12345678901", "///"} {
			equal(w.t, "PUBACK", p.put(publish(mqtt.QoS1, 1, long, "")), name)
			p.send(publish(mqtt.QoS0, 0, long, ""))
			p.send(&mqtt.Subscribe{PacketID: 2, Subscriptions: []mqtt.Subscription{{Filter: long}, {Filter: "ok"}}})
			equal(w.t, "SUBACK", next[*mqtt.Suback](p).ReasonCodes, []mqtt.ReasonCode{filter, mqtt.Success})
		}
		p.quiet()
		willful := w.dial(v)
		c := hello(v, "w")
		c.Will = &mqtt.Will{Topic: "a/b/c/d"}
		willful.send(c)
		got := next[*mqtt.Connack](willful).ReasonCode
		if got == mqtt.Success || v == mqtt.V50 && got != mqtt.TopicNameInvalid {
			w.t.Errorf("CONNACK %v", got)
		}
		equal(w.t, "exceeded", w.b.Stats().Exceeded[LimitTopic], 10)
		p.send(publish(mqtt.QoS0, 0, "a/b/c", "x"))
		p.message("a/b/c", "x")
	})
}

// Queues of sessions that are away fill the memory of all; a message counts once however many wait for it.
func TestMaxMemoryOfQueues(t *testing.T) {
	eachVersion(t, Options{MaxMemory: 100_000}, func(w *world, v mqtt.Version) {
		for _, id := range []string{"a", "b"} {
			p, _ := w.connect(v, id, persistent)
			p.subscribe(mqtt.QoS1, "t")
			p.drop()
		}
		here, pub := w.client(v, "here"), w.client(v, "pub")
		here.subscribe(mqtt.QoS0, "t")
		one := strings.Repeat("x", 1000)
		for range 150 {
			equal(w.t, "PUBACK", pub.put(publish(mqtt.QoS1, 1, "t", one)), mqtt.Success)
		}
		equal(w.t, "those who read", len(here.take()), 150)
		s := w.b.Stats()
		if s.Waiting < 2*80 || s.Memory > 100_000 || s.Memory < 95_000 {
			w.t.Errorf("%d wait in %d bytes", s.Waiting, s.Memory)
		}
		equal(w.t, "dropped and waiting", s.DroppedMemory+s.Waiting, 300)
		equal(w.t, "exceeded", s.Exceeded[LimitMemory], s.DroppedMemory)
		a, _ := w.connect(v, "a", persistent)
		for range 1000 { // acknowledge until nothing comes
			got := a.take()
			if len(got) == 0 {
				break
			}
			for _, pkt := range got {
				a.send(puback(pkt.(*mqtt.Publish).PacketID))
			}
		}
		w.client(v, "b") // a clean start ends the other session
		s = w.b.Stats()
		equal(w.t, "waiting and memory", [2]int64{s.Waiting, w.underWay()}, [2]int64{0, 0})
	})
}

// Clients that do not read share the memory; QoS 0 for them is dropped sooner, for the others not.
func TestMaxMemoryOfOutBuffers(t *testing.T) {
	eachVersion(t, Options{MaxMemory: 4 << 20, OutLimit: 3 << 20}, func(w *world, v mqtt.Version) {
		var deaf []*peer
		for i := range 4 {
			p := w.client(v, fmt.Sprint(i))
			p.subscribe(mqtt.QoS0, "t")
			<-p.turn
			deaf = append(deaf, p)
		}
		here, pub := w.client(v, "here"), w.client(v, "pub")
		here.subscribe(mqtt.QoS0, "t")
		for range 400 { // 4 MB each
			pub.send(publish(mqtt.QoS0, 0, "t", strings.Repeat("x", 10_000)))
		}
		equal(w.t, "those who read", len(here.take()), 400)
		s := w.b.Stats()
		if s.Memory < 3<<20 || s.Memory > 4<<20 || s.DroppedMemory == 0 || s.DroppedSlow > 0 {
			w.t.Errorf("%d bytes, %d dropped for memory, %d for slowness", s.Memory, s.DroppedMemory, s.DroppedSlow)
		}
		for _, p := range deaf {
			p.turn <- struct{}{}
		}
		synctest.Wait()
		equal(w.t, "memory", w.underWay(), 0)
	})
}

// Each Limit has a name of its own.
func TestLimitNames(t *testing.T) {
	seen := make(map[string]bool)
	for l := range NumLimits {
		if name := l.String(); name == "" || seen[name] {
			t.Errorf("limit %d is %q", l, name)
		}
		seen[l.String()] = true
	}
}

// SetLimits changes what is in force, for those who are there as well.
func TestSetLimits(t *testing.T) {
	var log bytes.Buffer
	o := Options{Log: slog.New(slog.NewTextHandler(&log, nil))}
	inWorld(t, o, func(w *world) {
		p := w.client(mqtt.V50, "x")
		p.subscribe(mqtt.QoS0, "a", "b")
		o.MaxSubscriptions, o.MessageRate = 2, 1
		if err := w.b.SetLimits(o); err != nil {
			t.Fatal(err)
		}
		p.send(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "c"}}})
		equal(t, "SUBACK", next[*mqtt.Suback](p).ReasonCodes, []mqtt.ReasonCode{mqtt.QuotaExceeded})
		for range 3 {
			p.send(publish(mqtt.QoS0, 0, "o", ""))
		}
		p.gone(mqtt.MessageRateTooHigh)
		o.MaxQueue = -1
		if w.b.SetLimits(o) == nil {
			t.Error("a negative limit was taken")
		}
		if n := strings.Count(log.String(), "limit exceeded"); n != 2 || !strings.Contains(log.String(), "limit=message-rate client=x times=1") {
			t.Errorf("%d lines:\n%s", n, log.String())
		}
	})
}
