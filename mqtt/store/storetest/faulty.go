package storetest

import (
	"errors"
	"sync"

	"mqt/mqtt/store"
)

// Faulty is a Store with faults, for tests of those who use one: it can be made
// slow, full or broken at any moment. As long as it is none of it, it is the
// Store within.
type Faulty struct {
	store.Store

	mu    sync.Mutex
	fault error
	held  bool
	kept  []func() // what is to be called when it is let go
}

// NewFaulty wraps a store.
func NewFaulty(s store.Store) *Faulty { return &Faulty{Store: s} }

// Fail makes every Commit from now on fail with err: with store.ErrFull until
// it is called again, with nil perhaps; any other is final, and Err returns it.
// Nothing is written meanwhile.
func (f *Faulty) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = err
}

// Hold keeps back what is done until Release, as a slow disk does.
func (f *Faulty) Hold() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = true
}

// Release lets go what was held.
func (f *Faulty) Release() {
	f.mu.Lock()
	f.held = false
	kept := f.kept
	f.kept = nil
	f.mu.Unlock()
	for _, call := range kept {
		call()
	}
}

// Held returns how many outcomes are held.
func (f *Faulty) Held() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.kept)
}

// Stats implements [store.Store].
func (f *Faulty) Stats() store.Stats {
	s := f.Store.Stats()
	f.mu.Lock()
	defer f.mu.Unlock()
	s.Short = errors.Is(f.fault, store.ErrFull)
	return s
}

// Commit implements [store.Store].
func (f *Faulty) Commit(b *store.Batch, done func(error)) (full bool) {
	f.mu.Lock()
	fault := f.fault
	f.mu.Unlock()
	if done == nil && fault != nil {
		return false
	}
	if done == nil {
		return f.Store.Commit(b, nil)
	}
	if fault != nil {
		b = &store.Batch{} // for its place in the order
	}
	return f.Store.Commit(b, func(err error) {
		if fault != nil {
			err = fault
		}
		if !f.keep(func() { done(err) }) {
			done(err)
		}
	})
}

// keep holds a call back, if that is the order of the day.
func (f *Faulty) keep(call func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held {
		f.kept = append(f.kept, call)
	}
	return f.held
}

// Err implements [store.Store].
func (f *Faulty) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault != nil && !errors.Is(f.fault, store.ErrFull) {
		return f.fault
	}
	return f.Store.Err()
}
