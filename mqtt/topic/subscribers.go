package topic

import "sync/atomic"

// subscriber is the only one of its filter, which is the common case, or (with a roster)
// just the way to all of them. It never changes; nil stands for none.
type subscriber[K comparable, V any] struct {
	key    K
	value  V
	roster *roster[K, V]
}

// subscribers are the keys and values of one filter, where readers find them.
type subscribers[K comparable, V any] struct {
	atomic.Pointer[subscriber[K, V]]
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

func (s *subscriber[K, V]) appendTo(dst []V) []V {
	switch {
	case s == nil:
		return dst
	case s.roster == nil:
		return append(dst, s.value)
	}
	return s.roster.appendTo(dst)
}

// get is for the writer.
func (s *subscriber[K, V]) get(key K) (value V, ok bool) {
	switch {
	case s == nil:
		return value, false
	case s.roster == nil:
		if s.key != key {
			return value, false
		}
		return s.value, true
	}
	i, ok := s.roster.find(key)
	if !ok {
		return value, false
	}
	return s.roster.lines[i].value, true
}

// with sets the value of key. If next is not s, the change shows when next takes the
// place of s.
func (s *subscriber[K, V]) with(key K, value V) (next *subscriber[K, V], old V, replaced bool) {
	if s == nil {
		return &subscriber[K, V]{key: key, value: value}, old, false
	}
	if s.roster == nil && s.key == key {
		return &subscriber[K, V]{key: key, value: value}, s.value, true
	}
	r := s.roster
	if r == nil {
		r = newRoster[K, V](2, nil)
		r.write(s.key, s.value)
	} else if r.length() == len(r.lines) {
		r = r.compacted()
	}
	if i, ok := r.find(key); ok {
		old, replaced = r.lines[i].value, true
		r.replace(i, key, value)
	} else {
		r.write(key, value)
	}
	return s.follow(r), old, replaced
}

// without deletes key. If next is not s, the change shows when next takes the place of s.
func (s *subscriber[K, V]) without(key K) (next *subscriber[K, V], old V, ok bool) {
	if s == nil || s.roster == nil && s.key != key {
		return s, old, false
	}
	if s.roster == nil {
		return nil, s.value, true
	}
	r := s.roster
	i, ok := r.find(key)
	if !ok {
		return s, old, false
	}
	old = r.lines[i].value
	r.strike(i)
	switch {
	case r.live == 1:
		return r.last(), old, true
	case r.length() > 2*r.live:
		return s.follow(r.compacted()), old, true
	}
	return s, old, true
}

// follow returns s if r is its roster, else the way to r.
func (s *subscriber[K, V]) follow(r *roster[K, V]) *subscriber[K, V] {
	if s.roster == r {
		return s
	}
	return &subscriber[K, V]{roster: r}
}

func (s *subscribers[K, V]) empty() bool {
	return s.Load() == nil
}

func (s *subscribers[K, V]) set(key K, value V) (old V, replaced bool) {
	was := s.Load()
	next, old, replaced := was.with(key, value)
	if next != was {
		s.Store(next)
	}
	return old, replaced
}

func (s *subscribers[K, V]) delete(key K) (old V, ok bool) {
	was := s.Load()
	next, old, ok := was.without(key)
	if next != was {
		s.Store(next)
	}
	return old, ok
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
