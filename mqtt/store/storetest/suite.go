package storetest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
)

// Opener opens the store that is kept in a directory, a new one or one that was
// closed.
type Opener func(t testing.TB, dir string) store.Store

// Run is the suite.
func Run(t *testing.T, open Opener) {
	for _, test := range []struct {
		name string
		f    func(*testing.T, Opener)
	}{
		{"Model", testModel},
		{"Everything", testEverything},
		{"Order", testOrder},
		{"Shared", testShared},
		{"Paging", testPaging},
		{"Lazy", testLazy},
		{"LongTexts", testLongTexts},
		{"BadTexts", testBadTexts},
		{"Sessions", testSessions},
		{"Closed", testClosed},
		{"Producers", testProducers},
	} {
		t.Run(test.name, func(t *testing.T) { test.f(t, open) })
	}
}

// Write commits what f stages and waits for it.
func Write(s store.Store, f func(*store.Batch)) error {
	b := &store.Batch{}
	f(b)
	return Commit(s, b)
}

// Commit commits a batch and waits for it.
func Commit(s store.Store, b *store.Batch) error {
	done := make(chan error, 1)
	s.Commit(b, func(err error) { done <- err })
	return <-done
}

// Dump tells all that a store holds, in one order.
func Dump(s store.Store) (string, error) {
	var w bytes.Buffer
	var all []*store.Saved
	for x, err := range s.Sessions() {
		if err != nil {
			return "", err
		}
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b *store.Saved) int { return int(a.ID) - int(b.ID) })
	for _, x := range all {
		fmt.Fprintf(&w, "session %d %q user %q expiry %d left %v unsure %d\n", x.ID, x.ClientID, x.Username, x.Expiry, x.Left.UTC(), x.Unsure)
		if x.Will != nil {
			fmt.Fprintf(&w, "  will %+v\n", *x.Will)
		}
		slices.SortFunc(x.Subscriptions, func(a, b store.Subscription) int { return strings.Compare(a.Filter, b.Filter) })
		for _, sub := range x.Subscriptions {
			fmt.Fprintf(&w, "  sub %+v\n", sub)
		}
		slices.Sort(x.Received)
		fmt.Fprintf(&w, "  received %v released %v count %d bytes %d from %d to %d shared %v sent %d\n", x.Received, x.Released,
			x.Count, x.Bytes, x.First, x.Last, x.Shared, x.Sent)
		if err := dumpQueue(&w, s, x); err != nil {
			return "", err
		}
	}
	var kept []string
	for m, err := range s.Retained() {
		if err != nil {
			return "", err
		}
		kept = append(kept, fmt.Sprintf("retained %s\n", describe(m)))
	}
	slices.Sort(kept)
	return w.String() + strings.Join(kept, ""), nil
}

func describe(m *store.Message) string {
	return fmt.Sprintf("%.40q %x %v qos %d expiry %v %d born %v", m.Topic, m.Payload[:min(len(m.Payload), 32)], m.Properties, m.QoS,
		m.Expires, m.Expiry, m.Born.UTC())
}

// dumpQueue reads a queue in small pages.
func dumpQueue(w io.Writer, s store.Store, x *store.Saved) error {
	n := 0
	for from := x.First; ; {
		page, err := s.ReadQueue(x.ID, from, 3, 1000)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, q := range page {
			fmt.Fprintf(w, "  %d: %s qos %d retain %v ids %v share %q\n", q.Position, describe(q.Message), q.QoS, q.Retain,
				q.Identifiers, q.Share)
		}
		n += len(page)
		from = page[len(page)-1].Position + 1
	}
	if n != x.Count {
		return fmt.Errorf("session %d: %d messages are counted, %d are read", x.ID, x.Count, n)
	}
	return nil
}

// Life is a random life of a store, for tests that keep a model beside it. It
// obeys the rules of the broker.
type Life struct {
	r    *rand.Rand
	live []*lifeSession
	n    int
}

type lifeSession struct {
	id      store.SessionID
	client  string
	next    store.Position
	waiting []store.Position
	holding []*store.Message
}

// NewLife begins a life.
func NewLife(seed uint64) *Life { return &Life{r: rand.New(rand.NewPCG(seed, 1))} }

// Step stages some random operations. newSession gives identifiers.
func (l *Life) Step(b store.Ops, newSession func() store.SessionID) {
	for range 1 + l.r.IntN(6) {
		if len(l.live) == 0 || l.r.IntN(12) == 0 {
			l.connect(b, newSession)
		}
		l.op(b, l.live[l.r.IntN(len(l.live))])
	}
}

func (l *Life) connect(b store.Ops, newSession func() store.SessionID) {
	if len(l.live) >= 5 {
		i := l.r.IntN(len(l.live))
		b.EndSession(l.live[i].id)
		l.live = slices.Delete(l.live, i, i+1)
	}
	l.n++
	s := &lifeSession{id: newSession(), client: fmt.Sprint("client", l.n), next: 1}
	l.live = append(l.live, s)
	b.PutSession(s.id, l.record(s))
}

func (l *Life) record(s *lifeSession) *store.Session {
	x := &store.Session{ClientID: s.client, Expiry: l.r.Uint32()}
	if l.r.IntN(2) == 0 {
		x.Username = "user"
	}
	if l.r.IntN(2) == 0 {
		x.Left = time.UnixMilli(1 + l.r.Int64N(1<<41))
	}
	if l.r.IntN(2) == 0 {
		x.Will = &mqtt.Will{Topic: "will/" + s.client, Payload: []byte("gone"), QoS: mqtt.QoS(l.r.IntN(3)), Retain: l.r.IntN(2) == 0,
			Properties: mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, l.r.Uint32())}}
	}
	return x
}

func (l *Life) message() *store.Message {
	l.n++
	m := &store.Message{Topic: fmt.Sprint("t/", l.r.IntN(6)), Payload: bytes.Repeat([]byte{byte(l.n)}, 1+l.r.IntN(300)),
		QoS: mqtt.QoS(l.r.IntN(3)), Born: time.UnixMilli(1 + l.r.Int64N(1<<41))}
	if l.r.IntN(20) == 0 {
		m.Payload = bytes.Repeat([]byte{byte(l.n)}, 20_000)
	}
	if l.r.IntN(3) == 0 {
		m.Properties = mqtt.Properties{mqtt.User("k", "v"), mqtt.Num(mqtt.PayloadFormatIndicator, 1)}
	}
	if l.r.IntN(3) == 0 {
		m.Expires, m.Expiry = true, l.r.Uint32()
	}
	return m
}

func (l *Life) op(b store.Ops, s *lifeSession) {
	switch l.r.IntN(12) {
	case 0:
		b.PutSession(s.id, l.record(s))
	case 1:
		b.Subscribe(s.id, store.Subscription{Subscription: mqtt.Subscription{Filter: fmt.Sprint("f/", l.r.IntN(5)),
			QoS: mqtt.QoS(l.r.IntN(3)), NoLocal: l.r.IntN(2) == 0, RetainAsPublished: l.r.IntN(2) == 0,
			RetainHandling: byte(l.r.IntN(3))}, Identifier: uint32(l.r.IntN(300))})
	case 2:
		b.Unsubscribe(s.id, fmt.Sprint("f/", l.r.IntN(5)))
	case 3:
		b.Retain(l.message())
	case 4:
		b.Clear(fmt.Sprint("t/", l.r.IntN(6)))
	case 5:
		b.Receive(s.id, mqtt.PacketID(1+l.r.IntN(5)))
	case 6:
		b.Release(s.id, mqtt.PacketID(1+l.r.IntN(5)))
	case 7:
		if len(s.waiting) > 0 {
			b.Pubrec(s.id, s.waiting[l.r.IntN(len(s.waiting))])
		}
	case 8, 9:
		if n := len(s.waiting); n > 0 {
			i := l.r.IntN(n)
			b.Done(s.id, s.waiting[i])
			s.waiting = slices.Delete(s.waiting, i, i+1)
		}
	default:
		l.publish(b)
	}
	if l.r.IntN(10) == 0 {
		b.Sent(s.id, s.next-1)
	}
}

// publish enqueues a message, a new one or one that may have been reclaimed, to
// some sessions.
func (l *Life) publish(b store.Ops) {
	m := l.message()
	if s := l.live[l.r.IntN(len(l.live))]; len(s.holding) > 0 && l.r.IntN(4) == 0 {
		m = s.holding[l.r.IntN(len(s.holding))]
	}
	if l.r.IntN(5) == 0 {
		b.Retain(m)
	}
	for _, s := range l.live {
		if l.r.IntN(2) == 0 {
			continue
		}
		d := store.Delivery{Message: m, QoS: mqtt.QoS(1 + l.r.IntN(2)), Retain: l.r.IntN(2) == 0}
		if l.r.IntN(4) == 0 {
			d.Identifiers = []uint32{1, 268_435_455}
		}
		if l.r.IntN(4) == 0 {
			d.Share = "$share/g/t/#"
		}
		b.Enqueue(s.id, s.next, d)
		s.waiting = append(s.waiting, s.next)
		s.holding = append(s.holding, m)
		s.next++
	}
}

// testModel compares a random life with the model, over restarts.
func testModel(t *testing.T, open Opener) {
	for seed := range uint64(6) {
		dir, life, model := t.TempDir(), NewLife(seed), NewMemory()
		s := open(t, dir)
		for step := range 120 {
			b := &store.Batch{}
			life.Step(b, func() store.SessionID {
				id := s.NewSession()
				return id
			})
			if err := b.Replay((*memoryOps)(model)); err != nil {
				t.Fatal(err)
			}
			if err := Commit(s, b); err != nil {
				t.Fatal(err)
			}
			if step%10 == 9 {
				compare(t, s, model)
			}
			if step%30 == 29 {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = open(t, dir)
				compare(t, s, model)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func compare(t *testing.T, s, model store.Store) {
	t.Helper()
	have, err := Dump(s)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Dump(model)
	if err != nil {
		t.Fatal(err)
	}
	if have != want {
		t.Fatalf("the store holds\n%s\nwant\n%s", have, want)
	}
}
