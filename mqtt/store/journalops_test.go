package store

import (
	"bytes"
	"errors"
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
		b, frames, err := readJournal(file, epoch, 1, 9)
		if err != nil || frames != 1 || b.Len() != allOps().Len() {
			t.Errorf("%d frames with %d operations, %v", frames, b.Len(), err)
		}
	}
}

// TestReadJournal: what the database has is passed over, be it of this round or of the one before; what may not be missing is
// missed.
func TestReadJournal(t *testing.T) {
	const epoch = 77
	file := make([]byte, journalSize)
	at := map[uint64]int{}
	write := func(from int, numbers ...uint64) {
		for _, n := range numbers {
			b := &Batch{}
			b.Done(1, Position(n))
			p, err := appendFrame(nil, epoch, n, []request{{b: b}})
			if err != nil {
				t.Fatal(err)
			}
			copy(file[from:], p)
			at[n] = from
			from += journalPage
		}
	}
	write(0, 1, 2, 3, 4, 5, 6, 7)
	write(0, 8, 9, 10, 11)
	for _, test := range []struct {
		first        uint64
		most, hit    int
		frames, have int // frames -1: corrupt
	}{
		{8, 99, 0, 4, 4},
		{10, 99, 0, 2, 2},
		{10, 1, 0, 2, 1},
		{11, 0, 0, 1, 0},
		{12, 99, 0, 0, 0},
		{8, 99, 11, 3, 3},   // torn
		{11, 99, 11, 0, 0},  // torn
		{12, 99, 11, 0, 0},  // the database has it
		{10, 99, 10, -1, 0}, // 11 is there
		{10, 99, 9, -1, 0},  // nor is it known where 10 begins
		{7, 99, 0, -1, 0},
	} {
		f := bytes.Clone(file)
		if test.hit > 0 {
			f[at[uint64(test.hit)]+frameHead] ^= 1
		}
		b, frames, err := readJournal(f, epoch, test.first, test.most)
		if test.frames < 0 {
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%+v: %d frames, %v", test, frames, err)
			}
			continue
		}
		if err != nil || frames != test.frames || b.Len() != test.have {
			t.Errorf("%+v: %d frames, %v", test, frames, err)
			continue
		}
		for i := range b.ops {
			if b.ops[i].pos != Position(test.first)+Position(i) {
				t.Errorf("%+v: operation %d is of %d", test, i, b.ops[i].pos)
			}
		}
	}
}
