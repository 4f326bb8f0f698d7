package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// reopen closes a store and opens it again.
func reopen(t *testing.T, open Opener, dir string, s store.Store) store.Store {
	t.Helper()
	must(t, s.Close())
	return open(t, dir)
}

func saved(t *testing.T, s store.Store, id store.SessionID) *store.Saved {
	t.Helper()
	for x, err := range s.Sessions() {
		must(t, err)
		if x.ID == id {
			return x
		}
	}
	return nil
}

func newMessage(topic, payload string) *store.Message {
	return &store.Message{Topic: topic, Payload: []byte(payload), QoS: 1, Born: time.UnixMilli(1_700_000_000_123)}
}

func put(b *store.Batch, id store.SessionID, client string) {
	b.PutSession(id, &store.Session{ClientID: client, Expiry: 3600})
}

// testEverything reads every field back after a restart.
func testEverything(t *testing.T, open Opener) {
	dir := t.TempDir()
	s := open(t, dir)
	id, first := s.NewSession(), s.First()
	m := newMessage("a/b", "payload")
	m.Properties = mqtt.Properties{mqtt.Str(mqtt.ContentType, "text"), mqtt.User("k", "v")}
	m.Expires, m.Expiry = true, 77
	sub := store.Subscription{Subscription: mqtt.Subscription{Filter: "$share/g/a/#", QoS: 2, RetainAsPublished: true,
		RetainHandling: 2}, Identifier: 9}
	will := &mqtt.Will{Topic: "w", Payload: []byte("x"), QoS: 2, Retain: true,
		Properties: mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, 5), mqtt.User("a", "b")}}
	must(t, Write(s, func(b *store.Batch) {
		b.PutSession(id, &store.Session{ClientID: "c", Username: "u", Expiry: 0xFFFFFFFF, Left: time.UnixMilli(42), Will: will, Unsure: 7})
		b.Subscribe(id, sub)
		b.Receive(id, 65_535)
		b.Retain(m)
		for at := store.Position(1); at <= 4; at++ {
			b.Enqueue(id, at, store.Delivery{Message: m, QoS: 2, Retain: true, Identifiers: []uint32{9, 10}, Share: "$share/g/a/#"})
		}
		b.Sent(id, 3)
		b.Pubrec(id, 3)
		b.Pubrec(id, 1)
	}))
	want, err := Dump(s)
	must(t, err)
	s = reopen(t, open, dir, s)
	have, err := Dump(s)
	must(t, err)
	if have != want {
		t.Errorf("after a restart\n%s\nbefore\n%s", have, want)
	}
	x := saved(t, s, id)
	if fmt.Sprint(x.Released) != "[3 1]" { // in the order of PUBREC
		t.Errorf("released %v", x.Released)
	}
	if x.Count != 2 || x.First != 2 || x.Last != 4 || x.Next <= first || x.Sent != 3 || x.Bytes != 2*int64(m.Size()) {
		t.Errorf("queue %+v", x)
	}
	if fmt.Sprint(*x.Will) != fmt.Sprint(*will) || x.Username != "u" || x.Left.UnixMilli() != 42 || x.Expiry != 0xFFFFFFFF {
		t.Errorf("session %+v", x.Session)
	}
	if len(x.Subscriptions) != 1 || x.Subscriptions[0] != sub {
		t.Errorf("subscriptions %+v", x.Subscriptions)
	}
	q, err := s.ReadQueue(id, 0, 10, 1<<20)
	must(t, err)
	if len(q) != 2 || describe(q[0].Message) != describe(m) || q[0].Share != "$share/g/a/#" || len(q[0].Identifiers) != 2 {
		t.Errorf("queue %+v", q)
	}
	must(t, s.Close())
}

// testOrder: outcomes come in the order of Commit, from whoever commits.
func testOrder(t *testing.T, open Opener) {
	s := open(t, t.TempDir())
	id := s.NewSession()
	must(t, Write(s, func(b *store.Batch) { put(b, id, "c") }))
	const n = 500
	order := make(chan int, n)
	for i := range n {
		b := &store.Batch{}
		if i%3 > 0 { // an empty one waits for its turn as well
			b.Enqueue(id, store.Position(i+1), store.Delivery{Message: newMessage("t", "x"), QoS: 1})
		}
		s.Commit(b, func(err error) {
			if err != nil {
				t.Error(err)
			}
			order <- i
		})
	}
	for i := range n {
		if got := <-order; got != i {
			t.Fatalf("outcome %d came in the place of %d", got, i)
		}
	}
	must(t, s.Close())
}

// testShared: one message for many, reclaimed with the last, and written again
// when it is needed again.
func testShared(t *testing.T, open Opener) {
	dir := t.TempDir()
	s := open(t, dir)
	m := newMessage("t", strings.Repeat("x", 1000))
	var ids []store.SessionID
	must(t, Write(s, func(b *store.Batch) {
		for i := range 50 {
			id := s.NewSession()
			ids = append(ids, id)
			put(b, id, fmt.Sprint("c", i))
			b.Enqueue(id, 1, store.Delivery{Message: m, QoS: 1})
		}
		b.Retain(m)
	}))
	must(t, Write(s, func(b *store.Batch) {
		for _, id := range ids {
			b.Done(id, 1)
		}
		b.Clear("t")
	}))
	must(t, Write(s, func(b *store.Batch) { b.Enqueue(ids[0], 2, store.Delivery{Message: m, QoS: 1}) }))
	s = reopen(t, open, dir, s)
	q, err := s.ReadQueue(ids[0], 0, 10, 1<<20)
	must(t, err)
	if len(q) != 1 || !bytes.Equal(q[0].Payload, m.Payload) {
		t.Fatalf("queue %+v", q)
	}
	// What was read goes to another, as a shared subscription hands it over.
	must(t, Write(s, func(b *store.Batch) {
		b.Done(ids[0], 2)
		b.Enqueue(ids[1], 9, q[0].Delivery)
	}))
	q, err = s.ReadQueue(ids[1], 0, 10, 1<<20)
	must(t, err)
	if len(q) != 1 || q[0].Position != 9 || !bytes.Equal(q[0].Payload, m.Payload) {
		t.Fatalf("queue %+v", q)
	}
	must(t, s.Close())
}

// testPaging reads a queue within limits.
func testPaging(t *testing.T, open Opener) {
	s := open(t, t.TempDir())
	id, other := s.NewSession(), s.NewSession()
	must(t, Write(s, func(b *store.Batch) {
		put(b, id, "c")
		put(b, other, "d")
		for i := range 100 {
			b.Enqueue(id, store.Position(2*i+1), store.Delivery{Message: newMessage("t", fmt.Sprint(i)), QoS: 1})
			b.Enqueue(other, store.Position(i+1), store.Delivery{Message: newMessage("t", "other"), QoS: 1})
		}
	}))
	for _, c := range []struct {
		from  store.Position
		limit int
		bytes int64
		first store.Position
		n     int
	}{
		{0, 10, 1 << 20, 1, 10}, {2, 10, 1 << 20, 3, 10}, {199, 10, 1 << 20, 199, 1}, {200, 10, 1 << 20, 0, 0}, {0, 1000, 1 << 20, 1, 100},
		{0, 10, 1, 1, 1}, {0, 10, 4, 1, 2},
	} {
		q, err := s.ReadQueue(id, c.from, c.limit, c.bytes)
		must(t, err)
		if len(q) != c.n || c.n > 0 && q[0].Position != c.first {
			t.Errorf("from %d, at most %d and %d bytes: %d messages", c.from, c.limit, c.bytes, len(q))
		}
	}
	must(t, s.Close())
}

// testLazy: what nobody waits for is written all the same.
func testLazy(t *testing.T, open Opener) {
	dir := t.TempDir()
	s := open(t, dir)
	id := s.NewSession()
	must(t, Write(s, func(b *store.Batch) {
		put(b, id, "c")
		for at := store.Position(1); at <= 2; at++ {
			b.Enqueue(id, at, store.Delivery{Message: newMessage("t", "x"), QoS: 1})
		}
	}))
	lazy := func(at store.Position) {
		b := &store.Batch{}
		b.Done(id, at)
		s.Commit(b, nil)
	}
	lazy(1)
	must(t, Write(s, func(*store.Batch) {})) // it goes with the next
	if q, err := s.ReadQueue(id, 0, 10, 1<<20); err != nil || len(q) != 1 {
		t.Errorf("%d messages, %v", len(q), err)
	}
	lazy(2)
	s = reopen(t, open, dir, s) // or when the store closes
	if q, err := s.ReadQueue(id, 0, 10, 1<<20); err != nil || len(q) != 0 {
		t.Errorf("%d messages, %v", len(q), err)
	}
	must(t, s.Close())
}

// testLongTexts: what MQTT allows is not too long.
func testLongTexts(t *testing.T, open Opener) {
	dir := t.TempDir()
	s := open(t, dir)
	id := s.NewSession()
	long := strings.Repeat("x", 65_535)
	must(t, Write(s, func(b *store.Batch) {
		b.PutSession(id, &store.Session{ClientID: long, Username: long})
		for _, filter := range []string{long, long[:65_534], strings.Repeat("f", 512), strings.Repeat("f", 513)} {
			b.Subscribe(id, store.Subscription{Subscription: mqtt.Subscription{Filter: filter}, Identifier: 1})
		}
		b.Unsubscribe(id, long[:65_534])
		b.Retain(newMessage(long, "long"))
		b.Retain(newMessage(long[:65_534], "long"))
		b.Clear(long[:65_534])
		b.Enqueue(id, 1, store.Delivery{Message: newMessage(long, strings.Repeat("p", 3<<20)), QoS: 1, Share: long})
	}))
	want, err := Dump(s)
	must(t, err)
	s = reopen(t, open, dir, s)
	have, err := Dump(s)
	must(t, err)
	if x := saved(t, s, id); have != want || len(x.Subscriptions) != 3 || x.ClientID != long {
		t.Errorf("%d subscriptions", len(x.Subscriptions))
	}
	q, err := s.ReadQueue(id, 0, 1, 1)
	must(t, err)
	if len(q) != 1 || len(q[0].Payload) != 3<<20 || q[0].Share != long {
		t.Error("the large message is not what it was")
	}
	must(t, s.Close())
}

// testBadTexts: what could not be read back is refused, and nothing else with
// it.
func testBadTexts(t *testing.T, open Opener) {
	dir := t.TempDir()
	s := open(t, dir)
	good := s.NewSession()
	var bad []<-chan error
	stage := func(f func(*store.Batch)) {
		b, c := &store.Batch{}, make(chan error, 1)
		f(b)
		s.Commit(b, func(err error) { c <- err })
		bad = append(bad, c)
	}
	stage(func(b *store.Batch) { put(b, s.NewSession(), "a\x00b") })
	stage(func(b *store.Batch) { b.PutSession(s.NewSession(), &store.Session{ClientID: "c", Username: "\xff"}) })
	stage(func(b *store.Batch) { b.Retain(newMessage("", "x")) })
	stage(func(b *store.Batch) { b.Retain(newMessage(strings.Repeat("x", 65_536), "x")) })
	stage(func(b *store.Batch) {
		b.Clear("before")
		b.Enqueue(good, 1, store.Delivery{Message: newMessage("\x00", "x"), QoS: 1})
	})
	must(t, Write(s, func(b *store.Batch) { put(b, good, "good") }))
	for i, c := range bad {
		if err := <-c; err == nil || errors.Is(err, store.ErrFailed) {
			t.Errorf("%d: %v", i, err)
		}
	}
	s = reopen(t, open, dir, s)
	if x := saved(t, s, good); x == nil || x.Count != 0 {
		t.Errorf("%+v", x)
	}
	must(t, s.Close())
}

// testSessions: an identifier is never used twice, and nothing is left of who
// has ended.
func testSessions(t *testing.T, open Opener) {
	dir := t.TempDir()
	s := open(t, dir)
	old := s.NewSession()
	must(t, Write(s, func(b *store.Batch) {
		put(b, old, "c")
		b.Subscribe(old, store.Subscription{Subscription: mqtt.Subscription{Filter: "f"}})
		b.Receive(old, 1)
		b.Sent(old, 5)
		for i := range 10_000 {
			b.Enqueue(old, store.Position(i+1), store.Delivery{Message: newMessage("t", "x"), QoS: 1})
		}
	}))
	s = reopen(t, open, dir, s)
	fresh := s.NewSession()
	if fresh <= old {
		t.Fatalf("session %d after %d", fresh, old)
	}
	must(t, Write(s, func(b *store.Batch) {
		b.EndSession(old)
		put(b, fresh, "c")
	}))
	s = reopen(t, open, dir, s)
	if saved(t, s, old) != nil {
		t.Error("the session that has ended is there")
	}
	if x := saved(t, s, fresh); x.Count+len(x.Subscriptions)+len(x.Received) != 0 || x.Next < s.First() {
		t.Errorf("the new session has %+v", x)
	}
	must(t, s.Close())
}

func testClosed(t *testing.T, open Opener) {
	s := open(t, t.TempDir())
	must(t, s.Close())
	if err := Write(s, func(b *store.Batch) { b.Clear("t") }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Commit: %v", err)
	}
	if err := s.Close(); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Close: %v", err)
	}
}

// testProducers: many at once, each with its own queue.
func testProducers(t *testing.T, open Opener) {
	dir := t.TempDir()
	s := open(t, dir)
	const producers, each = 20, 100
	var wg sync.WaitGroup
	for i := range producers {
		id := s.NewSession()
		wg.Go(func() {
			err := Write(s, func(b *store.Batch) { put(b, id, fmt.Sprint("c", i)) })
			for at := store.Position(1); at <= each && err == nil; at++ {
				err = Write(s, func(b *store.Batch) {
					b.Enqueue(id, at, store.Delivery{Message: newMessage("t", fmt.Sprint(at)), QoS: 1})
					if at%2 == 0 {
						b.Done(id, at-1)
					}
				})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s = reopen(t, open, dir, s)
	for x, err := range s.Sessions() {
		must(t, err)
		q, err := s.ReadQueue(x.ID, 0, each, 1<<20)
		must(t, err)
		if len(q) != each/2 {
			t.Fatalf("%s: %d messages", x.ClientID, len(q))
		}
		for i, m := range q {
			if want := store.Position(2 * (i + 1)); m.Position != want || string(m.Payload) != fmt.Sprint(want) {
				t.Fatalf("%s: %d %q in the place of %d", x.ClientID, m.Position, m.Payload, want)
			}
		}
	}
	must(t, s.Close())
}
