package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

// within commits a batch, and does not wait for it for ever.
func within(t *testing.T, d *store.Disk, b *store.Batch) error {
	t.Helper()
	done := make(chan error, 1)
	d.Commit(b, func(err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		t.Fatalf("it waits for room: %+v", d.Stats())
		return nil
	}
}

// TestJournalInParts: on a disk with little room what is in the journal goes to the database a part at a time, so that what
// removes is never kept from that; and a start does it so as well.
func TestJournalInParts(t *testing.T) {
	const sessions, each = 40, 40
	dir, model := fastDir(t), storetest.NewMemory()
	d := openDisk(t, dir, store.Options{})
	first := d.First()
	both := func(d *store.Disk, b *store.Batch) {
		t.Helper()
		same := &store.Batch{}
		if err := errors.Join(b.Replay(same), storetest.Commit(model, same), within(t, d, b)); err != nil {
			t.Fatal(err)
		}
	}
	b := &store.Batch{}
	for i := range store.SessionID(sessions) {
		d.NewSession()
		b.PutSession(i+1, &store.Session{ClientID: fmt.Sprint(i)})
	}
	for k := range store.Position(each) {
		for i := range store.SessionID(sessions) {
			m := &store.Message{Topic: "t", Payload: fmt.Appendf(nil, "%0100d", k*sessions+store.Position(i)), QoS: 1}
			b.Enqueue(i+1, first+k, store.Delivery{Message: m, QoS: 1})
		}
	}
	b.Retain(&store.Message{Topic: "room", Payload: make([]byte, 16*pageSize), QoS: 1})
	both(d, b)
	b = &store.Batch{}
	b.Clear("room")
	both(d, b)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	// The file does not grow. Some batches are watched closely.
	var watched atomic.Bool
	var parts []files
	little := store.Options{MaxBytes: 1}.WithMoves(func() {
		if watched.Load() {
			parts = append(parts, readFiles(t, dir))
		}
	})
	d = openDisk(t, dir, little)
	r := rand.New(rand.NewPCG(1, 4))
	var killed files
	var held string
	seen := 0
	for n := range 300 {
		b := &store.Batch{}
		for range 8 {
			b.Done(store.SessionID(1+r.IntN(sessions)), first+store.Position(r.IntN(each)))
		}
		if n == 250 {
			killed, held = readFiles(t, dir), dump(t, model)
		}
		if watched.Store(n > 253 && n < 258); !watched.Load() {
			both(d, b)
			continue
		}
		before := dump(t, model)
		both(d, b)
		after := dump(t, model)
		for i, f := range append(parts, readFiles(t, dir)) {
			if i%16 > 0 {
				continue
			}
			if have, err := look(t, f.db, f.journal); err != nil || have != before && have != after {
				t.Fatalf("%d: %v, what was durable is not there", n, err)
			}
		}
		seen += len(parts)
		parts = parts[:0]
	}
	watched.Store(false)
	if seen < 3 {
		t.Errorf("%d transactions were watched", seen)
	}
	if have := dump(t, d); have != dump(t, model) {
		t.Error("what there is differs")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	checkSound(t, dir)

	dir = fastDir(t)
	for name, p := range map[string][]byte{"store.db": killed.db, "journal": killed.journal} {
		if err := os.WriteFile(filepath.Join(dir, name), p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d = openDisk(t, dir, little)
	if have := dump(t, d); have != held {
		t.Error("after a start what there is differs")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	checkSound(t, dir)
}

// TestReturned: a batch that cannot be written is its owner's again, and what becomes of it is not the store's.
func TestReturned(t *testing.T) {
	d := openDisk(t, fastDir(t), store.Options{})
	id, m := begin(t, d)
	before := dump(t, d)
	b := &store.Batch{}
	b.Retain(&store.Message{Topic: "a\x00b", QoS: 1})
	if err := storetest.Commit(d, b); err == nil || d.Err() != nil {
		t.Fatal(err)
	}
	b.Reset()
	b.Enqueue(id, 9, store.Delivery{Message: m, QoS: 1})
	if now := dump(t, d); now != before {
		t.Errorf("there is\n%s\nwant\n%s", now, before)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
