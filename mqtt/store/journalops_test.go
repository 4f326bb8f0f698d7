package store

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"mqt/mqtt"
)

// allOps has each operation, and a message that stands there once for two.
func allOps() *Batch {
	b, m, long := &Batch{}, messages()[3], strings.Repeat("f/", 400)
	for _, s := range sessions() {
		b.PutSession(7, &s)
	}
	b.Subscribe(7, Subscription{Subscription: mqtt.Subscription{Filter: "a/+", QoS: 2, NoLocal: true, RetainHandling: 2}, Identifier: 5})
	b.Subscribe(7, Subscription{Subscription: mqtt.Subscription{Filter: long, RetainAsPublished: true}})
	b.Unsubscribe(7, long)
	b.Enqueue(7, 1<<40, Delivery{Message: m, QoS: 1})
	b.Enqueue(8, 3, Delivery{Message: m, QoS: 2, Retain: true, Identifiers: []uint32{1, maxIdentifier}, Share: "$share/g/f"})
	b.Retain(m)
	b.Enqueue(7, 1<<40+1, Delivery{Message: messages()[0], QoS: 1})
	b.Sent(7, 9)
	b.Pubrec(7, 8)
	b.Done(7, 7)
	b.Receive(7, 65_535)
	b.Release(7, 1)
	b.Clear("t")
	b.EndSession(8)
	return b
}

func encodeOps(t testing.TB, b *Batch) []byte {
	t.Helper()
	w := opWriter{}
	w.batch(b)
	if w.err != nil {
		t.Fatal(w.err)
	}
	return w.p
}

func TestOps(t *testing.T) {
	want := allOps()
	p := encodeOps(t, want)
	have := &Batch{}
	if err := readOps(have, p); err != nil {
		t.Fatal(err)
	}
	if have.Len() != want.Len() || !bytes.Equal(encodeOps(t, have), p) {
		t.Errorf("%d operations, want %d", have.Len(), want.Len())
	}
	for i := range want.ops {
		a, b := &want.ops[i], &have.ops[i]
		if a.kind != b.kind || a.session != b.session || a.pos != b.pos || a.packet != b.packet || a.sub != b.sub {
			t.Errorf("operation %d: %+v, want %+v", i, b, a)
		}
	}
	if n := len(p); n > 2*len(messages()[3].Topic)+4000 {
		t.Errorf("%d bytes: the message stands there more than once", n)
	}
}

func FuzzOps(f *testing.F) {
	f.Add(encodeOps(f, allOps()))
	f.Fuzz(func(t *testing.T, p []byte) {
		b := &Batch{}
		if readOps(b, p) != nil {
			return
		}
		p = encodeOps(t, b)
		again := &Batch{}
		if err := readOps(again, p); err != nil || !bytes.Equal(encodeOps(t, again), p) {
			t.Errorf("%x: %v", p, err)
		}
	})
}

// TestNoForgery: a payload with a frame in it, which begins on a page, is none. Nobody knows the epoch.
func TestNoForgery(t *testing.T) {
	epoch := rand.Uint64() | 1
	real, err := appendFrame(nil, epoch, 1, []request{{b: allOps()}})
	if err != nil {
		t.Fatal(err)
	}
	file := make([]byte, journalSize)
	copy(file, real)
	at := (len(real) + journalPage - 1) / journalPage * journalPage
	for _, guess := range []uint64{0, 1 << 63, ^epoch} {
		forged, err := appendFrame(nil, guess, 2, []request{{b: allOps()}})
		if err != nil {
			t.Fatal(err)
		}
		copy(file[at:], forged)
		b, frames, err := readJournal(file, epoch, 1)
		if err != nil || frames != 1 || b.Len() != allOps().Len() {
			t.Errorf("%d frames with %d operations, %v", frames, b.Len(), err)
		}
	}
}
