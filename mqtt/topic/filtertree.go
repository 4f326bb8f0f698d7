package topic

import (
	"sync"
	"sync/atomic"
)

// FilterTree holds values under a Topic Filter and a key, such as the ClientID, and
// finds those whose filter matches a Topic Name. The zero value is empty and ready.
//
// All methods are safe for concurrent use. AppendMatches and Epoch take no lock, so
// readers hold up neither each other nor a writer. A match that runs while another
// goroutine calls Set or Delete sees that subscription either before or after the
// change, never both and never neither; once Set or Delete has returned, every match
// that begins sees the change. There is no goroutine to stop.
//
// Filters are kept as given, the inner filter of a Shared Subscription without its
// $share/group/ (SplitShare). They are not validated, see ValidateFilter, and their
// memory is retained. Limits on their number and levels are the caller's.
type FilterTree[K comparable, V any] struct {
	// Filters without a wildcard take one look-up, or two where they have, or have
	// had, more than one subscriber: a reader looks at exact first, which a filter
	// leaves for crowds and does not come back to before it was gone.
	exact  table[only[K, V]]
	crowds table[subscribers[K, V]]
	root   filterNode[K, V] // filters with a wildcard, level by level
	epoch  atomic.Uint64
	size   atomic.Int64
	mu     sync.Mutex // held by writers
}

// only is the single subscriber of a filter. It is part of the table's item, as the
// table is large and each step from one object to another costs a cache miss. It never
// changes.
type only[K comparable, V any] struct {
	key   K
	value V
}

// filterNode is a position between two levels. An empty one is pruned.
type filterNode[K comparable, V any] struct {
	children table[filterNode[K, V]] // by literal level
	plus     atomic.Pointer[filterNode[K, V]]
	ending   subscribers[K, V] // of filters that end here
	below    subscribers[K, V] // of filters that go on with "#" and end
}

// Entry is a filter, a key and a value for FilterTree.Put, for whoever wants to hold
// them in something larger: most filters have one subscriber and no wildcard, and are
// then spared an object. It never changes, and must not be copied over once it was put.
type Entry[K comparable, V any] struct {
	item item[only[K, V]]
}

// NewEntry returns an Entry that is in no tree.
func NewEntry[K comparable, V any](filter string, key K, value V) Entry[K, V] {
	return Entry[K, V]{item[only[K, V]]{filter, only[K, V]{key, value}}}
}

// Filter returns the filter, "" of the zero value.
func (e *Entry[K, V]) Filter() string { return e.item.key }

// Key returns the key.
func (e *Entry[K, V]) Key() K { return e.item.body.key }

// Set stores value under filter and key, in the place of any old value.
func (t *FilterTree[K, V]) Set(filter string, key K, value V) (old V, replaced bool) {
	e := NewEntry(filter, key, value)
	return t.Put(&e)
}

// Put is Set for what is in e, which the tree may refer to from now on, also for a
// while after it was deleted or replaced.
func (t *FilterTree[K, V]) Put(e *Entry[K, V]) (old V, replaced bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if it := &e.item; hasWildcard(it.key) {
		old, replaced = t.root.reach(it.key).set(it.body.key, it.body.value)
	} else {
		old, replaced = t.putExact(it)
	}
	if !replaced {
		t.size.Add(1)
	}
	t.epoch.Add(1)
	return old, replaced
}

func (t *FilterTree[K, V]) putExact(next *item[only[K, V]]) (old V, replaced bool) {
	h := hash(next.key)
	if it := t.crowds.find(h, next.key); it != nil {
		return it.body.set(next.body.key, next.body.value)
	}
	it := t.exact.find(h, next.key)
	switch {
	case it == nil:
		t.exact.add(h, next)
	case it.body.key == next.body.key:
		t.exact.replace(h, next)
		return it.body.value, true
	default:
		crowd := &item[subscribers[K, V]]{key: it.key}
		crowd.body.set(it.body.key, it.body.value)
		crowd.body.set(next.body.key, next.body.value)
		t.crowds.add(h, crowd) // seen when the other is gone
		t.exact.remove(h, next.key)
	}
	return old, false
}

// Delete removes what Set stored under filter and key.
func (t *FilterTree[K, V]) Delete(filter string, key K) (old V, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if hasWildcard(filter) {
		old, ok = t.root.delete(filter, key)
	} else {
		old, ok = t.deleteExact(filter, key)
	}
	if ok {
		t.size.Add(-1)
		t.epoch.Add(1)
	}
	return old, ok
}

func (t *FilterTree[K, V]) deleteExact(filter string, key K) (old V, ok bool) {
	h := hash(filter)
	if it := t.crowds.find(h, filter); it != nil {
		old, ok = it.body.delete(key)
		if it.body.empty() {
			t.crowds.remove(h, filter)
		}
		return old, ok
	}
	it := t.exact.find(h, filter)
	if it == nil || it.body.key != key {
		return old, false
	}
	t.exact.remove(h, filter)
	return it.body.value, true
}

// Get returns what Set stored under filter and key.
func (t *FilterTree[K, V]) Get(filter string, key K) (value V, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !hasWildcard(filter) {
		if it := t.exact.find(hash(filter), filter); it != nil && it.body.key == key {
			return it.body.value, true
		}
	}
	return t.subscriber(filter).get(key)
}

// AppendMatches appends the value of every subscription whose filter matches name, in
// no particular order, and returns the extended slice. A key with several matching
// filters is there once for each. It allocates only to grow dst.
func (t *FilterTree[K, V]) AppendMatches(dst []V, name string) []V {
	if !t.exact.empty() || !t.crowds.empty() {
		h := hash(name)
		if it := t.exact.find(h, name); it != nil {
			dst = append(dst, it.body.value)
		} else if it := t.crowds.find(h, name); it != nil {
			dst = it.body.Load().appendTo(dst)
		}
	}
	if t.root.empty() {
		return dst
	}
	return t.root.appendMatches(dst, name, !dollar(name))
}

// Epoch returns a number that changes with every Set and every successful Delete. The
// result of AppendMatches may be used again for the same name as long as Epoch returns
// what it returned before that call.
func (t *FilterTree[K, V]) Epoch() uint64 {
	return t.epoch.Load()
}

// Len returns the number of subscriptions: pairs of a filter and a key.
func (t *FilterTree[K, V]) Len() int {
	return int(t.size.Load())
}

// subscriber returns those of filter but for an only one, or nil.
func (t *FilterTree[K, V]) subscriber(filter string) *subscriber[K, V] {
	if !hasWildcard(filter) {
		if it := t.crowds.find(hash(filter), filter); it != nil {
			return it.body.Load()
		}
		return nil
	}
	n := &t.root
	for more := true; more; {
		var level string
		if filter == "#" {
			return n.below.Load()
		}
		level, filter, more = cut(filter)
		if n = n.child(level); n == nil {
			return nil
		}
	}
	return n.ending.Load()
}

// reach returns the subscribers of filter and makes the nodes on the way to them.
func (n *filterNode[K, V]) reach(filter string) *subscribers[K, V] {
	rest := filter
	for more := true; more; {
		var level string
		if rest == "#" {
			return &n.below
		}
		level, rest, more = cut(rest)
		next := n.child(level)
		if next == nil {
			next = n.grow(keep(level, filter))
		}
		n = next
	}
	return &n.ending
}

// delete removes key from filter below n, and the nodes that have become empty.
func (n *filterNode[K, V]) delete(filter string, key K) (old V, ok bool) {
	if filter == "#" {
		return n.below.delete(key)
	}
	level, rest, more := cut(filter)
	next := n.child(level)
	if next == nil {
		return old, false
	}
	if more {
		old, ok = next.delete(rest, key)
	} else {
		old, ok = next.ending.delete(key)
	}
	if ok && next.empty() {
		n.prune(level)
	}
	return old, ok
}

// appendMatches appends the matches of what is left of a name. wild is false at the
// start of a name that begins with $ [MQTT-4.7.2-1].
func (n *filterNode[K, V]) appendMatches(dst []V, name string, wild bool) []V {
	if wild {
		dst = n.below.Load().appendTo(dst)
	}
	level, rest, more := cut(name)
	if !n.children.empty() {
		if it := n.children.find(hash(level), level); it != nil {
			dst = it.body.appendNext(dst, rest, more)
		}
	}
	if wild {
		if plus := n.plus.Load(); plus != nil {
			dst = plus.appendNext(dst, rest, more)
		}
	}
	return dst
}

// appendNext appends the matches at n, which the name has reached; more of it may follow.
func (n *filterNode[K, V]) appendNext(dst []V, rest string, more bool) []V {
	if more {
		return n.appendMatches(dst, rest, true)
	}
	dst = n.ending.Load().appendTo(dst)
	return n.below.Load().appendTo(dst) // a/# matches a
}

func (n *filterNode[K, V]) child(level string) *filterNode[K, V] {
	if level == "+" {
		return n.plus.Load()
	}
	if it := n.children.find(hash(level), level); it != nil {
		return &it.body
	}
	return nil
}

// grow adds the child of level, which is not there.
func (n *filterNode[K, V]) grow(level string) *filterNode[K, V] {
	if level == "+" {
		child := new(filterNode[K, V])
		n.plus.Store(child)
		return child
	}
	it := &item[filterNode[K, V]]{key: level}
	n.children.add(hash(level), it)
	return &it.body
}

func (n *filterNode[K, V]) prune(level string) {
	if level == "+" {
		n.plus.Store(nil)
		return
	}
	n.children.remove(hash(level), level)
}

func (n *filterNode[K, V]) empty() bool {
	return n.ending.empty() && n.below.empty() && n.plus.Load() == nil && n.children.empty()
}
