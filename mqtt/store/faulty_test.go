package store_test

import (
	"errors"
	"testing"

	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

// TestFaults: the store that fails at will does so.
func TestFaults(t *testing.T) {
	f := storetest.NewFaulty(storetest.NewMemory())
	broken := errors.New("broken")
	retain := func(b *store.Batch) { b.Retain(payloadFor(1, 1)) }
	count := func() (n int) {
		for range f.Retained() {
			n++
		}
		return n
	}
	f.Fail(store.ErrFull)
	if err := storetest.Write(f, retain); !errors.Is(err, store.ErrFull) || f.Err() != nil || count() != 0 {
		t.Errorf("full: %v, %v, %d", err, f.Err(), count())
	}
	f.Fail(nil)
	f.Hold()
	done := make(chan error, 1)
	b := &store.Batch{}
	retain(b)
	f.Commit(b, func(err error) { done <- err })
	for f.Held() == 0 {
	}
	select {
	case err := <-done:
		t.Errorf("done although it is held: %v", err)
	default:
	}
	f.Release()
	if err := <-done; err != nil || count() != 1 {
		t.Errorf("%v, %d", err, count())
	}
	f.Fail(broken)
	if err := storetest.Write(f, func(b *store.Batch) { b.Clear("t") }); !errors.Is(err, broken) || !errors.Is(f.Err(), broken) || count() != 1 {
		t.Errorf("broken: %v, %v, %d", err, f.Err(), count())
	}
}
