package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

// TestPressure: Commit says when too much waits, takes it all the same, and
// everything comes out.
func TestPressure(t *testing.T) {
	stop, first := make(chan struct{}), sync.Once{}
	d := openDisk(t, t.TempDir(), store.Options{MaxPending: 10_000}.WithHooks(os.OpenFile, func() {
		first.Do(func() { <-stop })
	}))
	id := d.NewSession()
	const n = 30
	done := make(chan error, n)
	full := 0
	for i := range n {
		b := &store.Batch{}
		if i == 0 {
			b.PutSession(id, &store.Session{ClientID: "c"})
		}
		m := &store.Message{Topic: "t", Payload: make([]byte, 1000), QoS: 1}
		b.Enqueue(id, d.First()+store.Position(i), store.Delivery{Message: m, QoS: 1})
		if d.Commit(b, func(err error) { done <- err }) {
			full++
		}
	}
	if full == 0 || full > n-5 {
		t.Errorf("%d of %d found it full", full, n)
	}
	if p := d.Stats().Pending; p < n*1000 {
		t.Errorf("%d bytes wait", p)
	}
	close(stop)
	for range n {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if s := d.Stats(); s.Pending != 0 || s.Commits > 3 || s.Batches != n {
		t.Errorf("%+v", s) // what gathered behind the first went together
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLinger: what nobody waits for waits for company, but not for ever.
func TestLinger(t *testing.T) {
	wrote := make(chan struct{}, 10)
	d := openDisk(t, t.TempDir(), store.Options{Linger: 20 * time.Millisecond}.WithHooks(os.OpenFile, func() { wrote <- struct{}{} }))
	for range 2 {
		for range 5 {
			b := &store.Batch{}
			b.Retain(payloadFor(1, 1))
			d.Commit(b, nil)
		}
		<-wrote
	}
	if n := d.Stats().Commits; n > 4 {
		t.Errorf("%d transactions for two bursts", n)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestNothingToWrite: what came and went together leaves no trace, and an empty
// batch costs no transaction.
func TestNothingToWrite(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, store.Options{})
	m := &store.Message{Topic: "t", Payload: bytes.Repeat([]byte("needle"), 50), QoS: 1}
	id := d.NewSession()
	err := storetest.Write(d, func(b *store.Batch) {
		b.PutSession(id, &store.Session{ClientID: "c"})
		b.Enqueue(id, 1, store.Delivery{Message: m, QoS: 1})
		b.Done(id, 1)
		b.Retain(m)
		b.Clear("t")
	})
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(file, []byte("needle")) {
		t.Error("the message was written")
	}
	if err := storetest.Write(d, func(*store.Batch) {}); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(filepath.Join(dir, "store.db")); !bytes.Equal(file, again) {
		t.Error("an empty batch was written")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestWrittenOnce: a message for many is on the disk once.
func TestWrittenOnce(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, store.Options{})
	m := &store.Message{Topic: "t", Payload: make([]byte, 100_000), QoS: 1}
	err := storetest.Write(d, func(b *store.Batch) {
		for range 100 {
			id := d.NewSession()
			b.PutSession(id, &store.Session{ClientID: string(rune('A' + id))})
			b.Enqueue(id, 1, store.Delivery{Message: m, QoS: 1})
		}
		b.Retain(m)
	})
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	if s := checkSound(t, dir); s.Messages != 1 || s.Queued != 100 || s.FileBytes > 400_000 {
		t.Errorf("%+v", s)
	}
}

// TestEndedLater: a start goes on taking apart what the last one left.
func TestEndedLater(t *testing.T) {
	dir := t.TempDir()
	d := openDisk(t, dir, store.Options{})
	ids := fill(t, d, 20_000, 2)
	done := make(chan error, 1)
	b := &store.Batch{}
	b.EndSession(ids[0])
	d.Commit(b, func(err error) { done <- err })
	if err := errors.Join(<-done, d.Close()); err != nil {
		t.Fatal(err)
	}
	left := checkSound(t, dir).Leftover
	d = openDisk(t, dir, store.Options{})
	for d.Stats().DeadSessions > 0 {
		time.Sleep(time.Millisecond)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if s := checkSound(t, dir); s.Leftover != 0 || s.Queued != 10_000 || s.Messages != 10_000 {
		t.Errorf("%+v, after %d", s, left)
	}
}

// fill queues n messages of 256 bytes for sessions in turn, as fast as they
// come.
func fill(t testing.TB, d *store.Disk, n, sessions int) []store.SessionID {
	t.Helper()
	ids := make([]store.SessionID, sessions)
	b := &store.Batch{}
	for i := range ids {
		ids[i] = d.NewSession()
		b.PutSession(ids[i], &store.Session{ClientID: fmt.Sprint("c", i)})
	}
	const window = 64
	free := make(chan error, window)
	for range window {
		free <- nil
	}
	commit := func() {
		if err := <-free; err != nil {
			t.Fatal(err)
		}
		d.Commit(b, func(err error) { free <- err })
		b = &store.Batch{}
	}
	for i := range n {
		m := &store.Message{Topic: "plant/line/sensor", Payload: bytes.Repeat([]byte{byte(i)}, 256), QoS: 1, Born: time.UnixMilli(int64(i + 1))}
		b.Enqueue(ids[i%sessions], d.First()+store.Position(i/sessions), store.Delivery{Message: m, QoS: 1})
		if b.Len() >= 100 {
			commit()
		}
	}
	commit()
	for range window {
		if err := <-free; err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

// TestStatsMeanwhile asks while the file grows.
func TestStatsMeanwhile(t *testing.T) {
	d := openDisk(t, t.TempDir(), store.Options{})
	stop := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = d.Stats(), d.Err()
				if _, err := d.ReadQueue(1, 0, 10, 1000); err != nil {
					t.Error(err)
				}
			}
		}
	})
	fill(t, d, 5000, 10)
	close(stop)
	asking.Wait()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func dump(t *testing.T, d store.Store) string {
	t.Helper()
	text, err := storetest.Dump(d)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// begin makes a session with two messages.
func begin(t *testing.T, d *store.Disk) (store.SessionID, *store.Message) {
	t.Helper()
	id, m := d.NewSession(), payloadFor(1, 1)
	err := storetest.Write(d, func(b *store.Batch) {
		b.PutSession(id, &store.Session{ClientID: "c"})
		b.Enqueue(id, 1, store.Delivery{Message: m, QoS: 1})
		b.Enqueue(id, 2, store.Delivery{Message: m, QoS: 2})
	})
	if err != nil {
		t.Fatal(err)
	}
	return id, m
}
