package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
)

// putSession stages a session with a subscription and a queue.
func putSession(d *store.Disk, b *store.Batch, queued int) store.SessionID {
	id := d.NewSession()
	b.PutSession(id, &store.Session{ClientID: fmt.Sprint("c", id)})
	b.Subscribe(id, store.Subscription{Subscription: mqtt.Subscription{Filter: fmt.Sprint("f/", id), QoS: 1}})
	for i := range queued {
		m := &store.Message{Topic: "t", Payload: []byte("payload"), QoS: 1}
		b.Enqueue(id, d.First()+store.Position(i), store.Delivery{Message: m, QoS: 1})
	}
	return id
}

// TestEndedAreGone: nothing is left of thousands of sessions once it is quiet, or after a start that had the quiet.
func TestEndedAreGone(t *testing.T) {
	const sessions, queued = 2000, 2
	for _, restart := range []bool{false, true} {
		t.Run(map[bool]string{false: "quiet", true: "restart"}[restart], func(t *testing.T) {
			dir := t.TempDir()
			d := openDisk(t, dir, store.Options{})
			made, ended := &store.Batch{}, &store.Batch{}
			for range sessions {
				ended.EndSession(putSession(d, made, queued))
			}
			done := make(chan error, 2)
			d.Commit(made, func(err error) { done <- err })
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			d.Commit(ended, func(err error) { done <- err })
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if restart {
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				if s := checkSound(t, dir); s.Sessions > 0 {
					t.Errorf("%+v", s)
				}
				d = openDisk(t, dir, store.Options{})
			}
			for d.Stats().DeadSessions > 0 {
				time.Sleep(time.Millisecond)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if s := checkSound(t, dir); s.Leftover+s.Messages+s.Queued+s.Subscriptions+s.Sessions > 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestEndedWhileBusy: what ended sessions leave behind does not pile up where it is never quiet.
func TestEndedWhileBusy(t *testing.T) {
	const rounds, queued = 20, 1000
	var d *store.Disk
	var last store.SessionID
	n, most := 0, 0
	done := make(chan error, 2*rounds)
	next := func() {
		if n++; n > rounds {
			return
		}
		b := &store.Batch{}
		if last > 0 {
			b.EndSession(last)
		}
		last = putSession(d, b, queued)
		d.Commit(b, func(err error) {
			most = max(most, d.Stats().DeadSessions)
			done <- err
		})
	}
	ready := make(chan struct{})
	hooks := func() {
		select {
		case <-ready:
			next() // there is more before the committer looks
		default:
		}
	}
	d = openDisk(t, t.TempDir(), store.Options{}.WithHooks(nil, hooks))
	next()
	close(ready)
	var err error
	for range rounds {
		err = errors.Join(err, <-done)
	}
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	if most > 3 {
		t.Errorf("%d sessions have ended and were not taken apart", most)
	}
}
