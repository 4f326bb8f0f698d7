package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
)

// Every limit of Options is exceeded once: a Reason Code where the standard has
// one, a counter, and nobody else's loss.

func TestMaxConnections(t *testing.T) {
	eachVersion(t, Options{MaxConnections: 3}, func(w *world, v mqtt.Version) {
		var in []*peer
		for i := range 3 {
			in = append(in, w.client(v, fmt.Sprint(i)))
		}
		p := w.dial(v)
		p.send(&mqtt.Connect{Version: v, ClientID: "more", CleanStart: true})
		want := mqtt.QuotaExceeded
		if v < mqtt.V50 {
			want = mqtt.ServerUnavailable
		}
		p.refused(want)
		equal(w.t, "refused", w.b.Stats().Refused, 1)
		for _, p := range in {
			p.quiet()
		}
		in[0].drop()
		w.client(v, "more")
		var silent []*peer
		for range 10 { // twice as many are not even heard
			silent = append(silent, w.dial(v))
		}
		synctest.Wait()
		equal(w.t, "connections", w.b.Stats().Connections, 6)
		silent[9].refused(mqtt.Success)
		for _, p := range in[1:] {
			p.quiet()
		}
	})
}

func TestMaxSessions(t *testing.T) {
	eachVersion(t, Options{MaxSessions: 2}, func(w *world, v mqtt.Version) {
		p, _ := w.connect(v, "a", persistent)
		p.drop()
		w.client(v, "b")
		p = w.dial(v)
		p.send(&mqtt.Connect{Version: v, ClientID: "c", CleanStart: true})
		want := mqtt.QuotaExceeded
		if v < mqtt.V50 {
			want = mqtt.ServerUnavailable
		}
		p.refused(want)
		w.connect(v, "a", persistent) // those that are there may come
		w.client(v, "a")
		w.client(v, "b")
		equal(w.t, "sessions", w.b.Stats().Sessions, 2)
	})
}

func TestMaxSessionsPerUser(t *testing.T) {
	users := usersOf(t, "u", "secret", "other", "secret")
	eachVersion(t, Options{MaxSessionsPerUser: 2, Users: users, Anonymous: AnonymousAll}, func(w *world, v mqtt.Version) {
		try := func(user, id string) *peer {
			p := w.dial(v)
			c := hello(v, id)
			persistent(c)
			if user != "" {
				withPassword(user, "secret")(c)
			}
			p.send(c)
			return p
		}
		in := func(user, id string) {
			p := try(user, id)
			equal(w.t, "CONNACK", next[*mqtt.Connack](p).ReasonCode, mqtt.Success)
			p.drop()
		}
		in("u", "a")
		in("u", "b")
		try("u", "c").refused(refusedBy(v, mqtt.QuotaExceeded))
		in("u", "a")
		for i := range 3 {
			in("", fmt.Sprint("nobody", i))
		}
		try("u", "nobody1").refused(refusedBy(v, mqtt.QuotaExceeded)) // which would be the user's from now on
		in("other", "c")
		w.known(v, "u", "a").send(&mqtt.Disconnect{}) // a clean start ends that
		in("u", "d")
		equal(w.t, "exceeded", w.b.Stats().Exceeded[LimitUserSessions], 2)
		owners := make(map[string]int)
		for name, o := range w.b.owners {
			owners[name] = o.sessions
		}
		equal(w.t, "owners", owners, map[string]int{"": 3, "u": 2, "other": 1})
	})
}

func TestMaxSubscriptions(t *testing.T) {
	eachVersion(t, Options{MaxSubscriptions: 3}, func(w *world, v mqtt.Version) {
		p, other := w.client(v, "x"), w.client(v, "other")
		s := &mqtt.Subscribe{PacketID: 1}
		for _, f := range []string{"a", "b", "$share/g/c", "d", "a", "$share/g/e"} {
			s.Subscriptions = append(s.Subscriptions, mqtt.Subscription{Filter: f})
		}
		p.send(s)
		over := mqtt.QuotaExceeded
		if v < mqtt.V50 {
			over = mqtt.UnspecifiedError
		}
		equal(w.t, "codes", next[*mqtt.Suback](p).ReasonCodes, []mqtt.ReasonCode{0, 0, 0, over, 0, over})
		other.subscribe(mqtt.QoS0, "d")
		p.send(&mqtt.Unsubscribe{PacketID: 1, Filters: []string{"a"}})
		next[*mqtt.Unsuback](p)
		p.subscribe(mqtt.QoS0, "d")
	})
}

// By length is in TestQueueIsBounded.
func TestMaxQueueBytes(t *testing.T) {
	eachVersion(t, Options{MaxQueueBytes: 3 * (1 + 100 + 64)}, func(w *world, v mqtt.Version) {
		full, _ := w.connect(v, "full", persistent)
		full.subscribe(mqtt.QoS1, "t")
		full.drop()
		other := w.client(v, "other")
		other.subscribe(mqtt.QoS0, "t")
		pub := w.client(v, "pub")
		for range 5 {
			equal(w.t, "PUBACK", pub.put(publish(mqtt.QoS1, 1, "t", strings.Repeat("x", 100))), mqtt.Success)
		}
		equal(w.t, "dropped", w.b.Stats().DroppedQueue, 2)
		equal(w.t, "the other's", len(other.take()), 5)
		full, _ = w.connect(v, "full", persistent)
		kept := full.take()
		equal(w.t, "kept", len(kept), 3)
		for _, p := range kept {
			full.complete(p.(*mqtt.Publish))
		}
		pub.put(publish(mqtt.QoS1, 1, "t", "y"))
		full.message("t", "y")
	})
}

// Who sends all its bytes as User Properties is counted as well.
func TestPropertiesCountAsBytes(t *testing.T) {
	long := mqtt.User("k", strings.Repeat("x", 1000))
	inWorld(t, Options{MaxQueueBytes: 5000, MaxRetainedBytes: 5000}, func(w *world) {
		full, _ := w.connect(mqtt.V50, "full", persistent)
		full.subscribe(mqtt.QoS1, "t/#")
		full.drop()
		pub := w.client(mqtt.V50, "pub")
		for i := range 10 {
			pub.put(publish(mqtt.QoS1, 1, fmt.Sprint("t/", i), "x", long))
			pub.put(retained(mqtt.QoS1, 1, fmt.Sprint("r/", i), "x", long))
		}
		stats := w.b.Stats()
		equal(t, "dropped, retained", [2]int64{stats.DroppedQueue, stats.Retained}, [2]int64{6, 4})
	})
}

// finish acknowledges a message and looks at nothing that comes.
func (p *peer) finish(m *mqtt.Publish) {
	if m.QoS == mqtt.QoS1 {
		p.send(puback(m.PacketID))
		return
	}
	p.send(pubrec(m.PacketID), pubcomp(m.PacketID))
}

// A client that reads and never acknowledges holds no more than MaxQueueBytes
// in flight, and as much in its queue.
func TestUnacknowledgedBytes(t *testing.T) {
	for _, qos := range []mqtt.QoS{mqtt.QoS1, mqtt.QoS2} {
		eachVersion(t, Options{MaxQueueBytes: 3 * (1 + 100 + 64)}, func(w *world, v mqtt.Version) {
			sub, pub := w.client(v, "sub"), w.client(v, "pub")
			sub.subscribe(qos, "t")
			for i := range 8 {
				pub.put(publish(qos, 1, "t", fmt.Sprintf("%0100d", i)))
			}
			got := sub.take()
			equal(w.t, "in flight", len(got), 3)
			stats := w.b.Stats()
			equal(w.t, "waiting, dropped", [2]int64{stats.Waiting, stats.DroppedQueue}, [2]int64{3, 2})
			messages := 0
			for ; len(got) > 0; got = sub.take() {
				for _, p := range got {
					if m, ok := p.(*mqtt.Publish); ok {
						messages++
						sub.finish(m)
					}
				}
			}
			equal(w.t, "in all", messages, 6)
			stats = w.b.Stats()
			equal(w.t, "waiting, memory", [2]int64{stats.Waiting, w.underWay()}, [2]int64{0, 0})
			for i := range 8 {
				pub.put(publish(qos, 1, "t", fmt.Sprintf("%0100d", i)))
			}
			sub.drop() // and all that it held
			stats = w.b.Stats()
			equal(w.t, "waiting, memory", [2]int64{stats.Waiting, w.underWay()}, [2]int64{0, 0})
		})
	}
}

// Clean session 0 of 3.1.1 is for ever only where the broker allows it.
func TestMaxSessionExpiry(t *testing.T) {
	eachVersion(t, Options{MaxSessionExpiry: 10}, func(w *world, v mqtt.Version) {
		p, _ := w.connect(v, "x", persistent)
		p.drop()
		time.Sleep(9900 * time.Millisecond)
		equal(w.t, "sessions", w.b.Stats().Sessions, 1)
		time.Sleep(200 * time.Millisecond)
		equal(w.t, "sessions", w.b.Stats().Sessions, 0)
	})
}

// A peer that drips its CONNECT has the ConnectTimeout and not a moment more.
func TestConnectTimeoutOfADrip(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.dial(mqtt.V50)
		b, _ := (&mqtt.Connect{Version: mqtt.V50, ClientID: strings.Repeat("x", 1000)}).Append(nil, mqtt.V50)
		for i := range 9 {
			p.sendRaw(b[i : i+1])
			time.Sleep(time.Second)
			p.quiet()
		}
		time.Sleep(time.Second + 10*time.Millisecond)
		p.refused(mqtt.Success)
		p = w.client(mqtt.V50, "in")
		time.Sleep(time.Hour)
		p.quiet() // it has been in time
	})
}

// A client that asks and asks and never reads is closed [MQTT-3.1.1: 4.8.0-2];
// its neighbour is not.
func TestAnswersNobodyReads(t *testing.T) {
	eachVersion(t, Options{OutLimit: 2000}, func(w *world, v mqtt.Version) {
		other := w.client(v, "other")
		other.subscribe(mqtt.QoS0, "t")
		p := w.client(v, "deaf")
		<-p.turn
		for range 5000 {
			p.send(&mqtt.Pingreq{}, publish(mqtt.QoS1, 1, "o", ""))
		}
		time.Sleep(time.Minute)
		equal(w.t, "connections", w.b.Stats().Connections, 1)
		p.turn <- struct{}{}
		w.client(v, "pub").send(publish(mqtt.QoS0, 0, "t", "x"))
		other.message("t", "x")
	})
}

func TestOptionsValidate(t *testing.T) {
	three := mqtt.QoS(3)
	o := Options{MaximumQoS: &three, MaximumPacketSize: 63, MaxConnections: -1, MaxSessions: -1, MaxQueue: -1, MaxQueueBytes: -1, OutLimit: -1,
		MaxSubscriptions: -1, MaxRetained: -1, MaxRetainedBytes: -1, ConnectTimeout: -1, MaxPerAddress: -1, MaxPerUser: -1, MaxSessionsPerUser: -1, ConnectRate: -1, MessageRate: -1,
		ByteRate: -1, MaxTopicLevels: -1, MaxTopicLength: -1, MaxMemory: -1, SysInterval: -1}
	_, err := New(o)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("got %v, want all faults joined", err)
	}
	equal(t, "faults", len(joined.Unwrap()), 21)
}

// Graceful end: 0x8B to 5.0, nothing to the others, what is owed is sent, wills
// are withheld, whoever comes now is turned away.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t, b}
		var in []*peer
		for _, v := range versions {
			p, _ := w.connect(v, v.String(), func(c *mqtt.Connect) {
				willing(100, 0)(c)
				c.Will.Retain = true
			})
			p.subscribe(mqtt.QoS0, "will")
			in = append(in, p)
		}
		early := w.dial(mqtt.V50)
		if err := b.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		for _, p := range in {
			p.gone(mqtt.ServerShuttingDown)
		}
		early.refused(mqtt.Success)
		w.dial(mqtt.V50).refused(mqtt.Success)
		stats := b.Stats()
		equal(t, "connections, retained", [2]int64{stats.Connections, stats.Retained}, [2]int64{0, 0})
		if err := b.Shutdown(t.Context()); err != nil {
			t.Errorf("again: %v", err)
		}
	})
}

// A client that does not read cannot hold up the end beyond ctx.
func TestShutdownIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t, b}
		deaf, pub := w.client(mqtt.V50, "deaf"), w.client(mqtt.V50, "pub")
		deaf.subscribe(mqtt.QoS0, "t")
		<-deaf.turn
		for range 10 {
			pub.send(publish(mqtt.QoS0, 0, "t", strings.Repeat("x", 10_000)))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := b.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		equal(t, "time", time.Since(start), time.Second)
		synctest.Wait()
		equal(t, "connections", b.Stats().Connections, 0)
		pub.gone(mqtt.ServerShuttingDown)
		deaf.turn <- struct{}{}
	})
}

// An end with nobody there is an end at once.
func TestShutdownOfAnEmptyBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t, b}
		p, _ := w.connect(mqtt.V50, "x", willing(1000, 50)) // a will that waits, and a Session
		p.drop()
		if err := b.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
	})
}
