package topic

import "sync/atomic"

// subscribers are the keys and values of one filter. appendTo takes no lock; everything
// else is for the writer. A filter with a single key, which is most of them, costs one
// small allocation; more keys share a roster.
type subscribers[K comparable, V any] struct {
	first atomic.Pointer[subscriber[K, V]]
}

// subscriber is the only one of its filter, or (with a roster) just the way to all of
// them. It never changes.
type subscriber[K comparable, V any] struct {
	key    K
	value  V
	roster *roster[K, V]
}

// roster is a list that readers walk while the writer appends to it and strikes out
// lines. No line is ever changed or used again; when the list is full, or more than half
// of it is struck, the writer starts a new one. So set and delete are O(1) amortised.
//
// state is one word, version<<32 | length, and makes each change visible at once. A
// reader walks the lines below length and passes over those that were struck in its
// version or before: it sees the roster exactly as it was when it loaded state, also
// where a line replaces another.
type roster[K comparable, V any] struct {
	state atomic.Uint64
	lines []line[K, V]
	live  int
	index map[K]uint32 // line of each key; nil while the list is short
}

type line[K comparable, V any] struct {
	key    K
	value  V
	struck atomic.Uint32 // version in which the line went out; 0: it is in
}

// shortRoster is how many lines are searched one by one rather than through an index.
const shortRoster = 8

func (s *subscribers[K, V]) empty() bool {
	return s.first.Load() == nil
}

func (s *subscribers[K, V]) appendTo(dst []V) []V {
	f := s.first.Load()
	switch {
	case f == nil:
		return dst
	case f.roster == nil:
		return append(dst, f.value)
	}
	return f.roster.appendTo(dst)
}

func (s *subscribers[K, V]) get(key K) (value V, ok bool) {
	f := s.first.Load()
	switch {
	case f == nil:
		return value, false
	case f.roster == nil:
		if f.key != key {
			return value, false
		}
		return f.value, true
	}
	i, ok := f.roster.find(key)
	if !ok {
		return value, false
	}
	return f.roster.lines[i].value, true
}

func (s *subscribers[K, V]) set(key K, value V) (old V, replaced bool) {
	f := s.first.Load()
	if f == nil || f.roster == nil && f.key == key {
		s.first.Store(&subscriber[K, V]{key: key, value: value})
		if f == nil {
			return old, false
		}
		return f.value, true
	}
	r := f.roster
	if r == nil {
		r = newRoster[K, V](2, nil)
		r.write(f.key, f.value)
	} else if r.length() == len(r.lines) {
		r = r.compacted()
	}
	if i, ok := r.find(key); ok {
		old, replaced = r.lines[i].value, true
		r.replace(i, key, value)
	} else {
		r.write(key, value)
	}
	s.follow(r)
	return old, replaced
}

func (s *subscribers[K, V]) delete(key K) (old V, ok bool) {
	f := s.first.Load()
	if f == nil {
		return old, false
	}
	if f.roster == nil {
		if f.key != key {
			return old, false
		}
		s.first.Store(nil)
		return f.value, true
	}
	r := f.roster
	i, ok := r.find(key)
	if !ok {
		return old, false
	}
	old = r.lines[i].value
	r.strike(i)
	switch {
	case r.live == 1:
		s.first.Store(r.last())
	case r.length() > 2*r.live:
		s.follow(r.compacted())
	}
	return old, true
}

// follow makes r the roster that readers see.
func (s *subscribers[K, V]) follow(r *roster[K, V]) {
	if f := s.first.Load(); f == nil || f.roster != r {
		s.first.Store(&subscriber[K, V]{roster: r})
	}
}

// newRoster has room for twice n lines. index may hold keys of lines still to be written.
func newRoster[K comparable, V any](n int, index map[K]uint32) *roster[K, V] {
	return &roster[K, V]{lines: make([]line[K, V], 2*n), index: index}
}

func (r *roster[K, V]) length() int {
	return int(uint32(r.state.Load()))
}

func (r *roster[K, V]) appendTo(dst []V) []V {
	state := r.state.Load()
	version := uint32(state >> 32)
	lines := r.lines[:uint32(state)]
	for i := range lines {
		if struck := lines[i].struck.Load(); struck == 0 || struck > version {
			dst = append(dst, lines[i].value)
		}
	}
	return dst
}

func (r *roster[K, V]) find(key K) (int, bool) {
	if r.index != nil {
		i, ok := r.index[key]
		return int(i), ok
	}
	for i := range r.lines[:r.length()] {
		if l := &r.lines[i]; l.key == key && l.struck.Load() == 0 {
			return i, true
		}
	}
	return 0, false
}

// write appends a line; there is room for it.
func (r *roster[K, V]) write(key K, value V) {
	r.lay(key, value)
	r.live++
	r.state.Add(1)
}

// replace strikes line i and appends another in one step.
func (r *roster[K, V]) replace(i int, key K, value V) {
	r.lay(key, value)
	state := r.state.Load()
	r.lines[i].struck.Store(uint32(state>>32) + 1)
	r.state.Store(state + 1<<32 + 1)
}

func (r *roster[K, V]) strike(i int) {
	delete(r.index, r.lines[i].key)
	state := r.state.Load()
	r.lines[i].struck.Store(uint32(state>>32) + 1)
	r.state.Store(state + 1<<32)
	r.live--
}

// lay puts a line where readers do not look yet.
func (r *roster[K, V]) lay(key K, value V) {
	n := r.length()
	r.lines[n].key, r.lines[n].value = key, value
	if r.index != nil {
		r.index[key] = uint32(n)
	}
}

// compacted returns a roster of the live lines with room for as many again. It takes
// over the index, which readers never use, unless most of its keys are gone: a map does
// not shrink.
func (r *roster[K, V]) compacted() *roster[K, V] {
	index := r.index
	switch {
	case r.live <= shortRoster:
		index = nil
	case index == nil || 2*r.live < len(r.lines):
		index = make(map[K]uint32, r.live)
	}
	q := newRoster[K, V](r.live, index)
	for i := range r.lines[:r.length()] {
		if l := &r.lines[i]; l.struck.Load() == 0 {
			q.write(l.key, l.value)
		}
	}
	return q
}

// last returns the only live line as a single subscriber.
func (r *roster[K, V]) last() *subscriber[K, V] {
	for i := range r.lines[:r.length()] {
		if l := &r.lines[i]; l.struck.Load() == 0 {
			return &subscriber[K, V]{key: l.key, value: l.value}
		}
	}
	return nil
}
