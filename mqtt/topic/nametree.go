package topic

import (
	"iter"
	"sync"
	"sync/atomic"
)

// NameTree holds values under a Topic Name and finds those that a Topic Filter matches:
// retained messages. The zero value is empty and ready.
//
// All methods are safe for concurrent use. Get, Match and All take no lock, so their
// yield functions may take their time and may call Set and Delete. A name that is there
// during all of a Match is yielded exactly once; one that is set or deleted meanwhile is
// seen before or after the change, and one that is deleted and set again may be yielded
// for both.
//
// Names are not validated, see ValidateName, and their memory is retained.
type NameTree[V any] struct {
	names table[held[V]] // whole names: one look-up
	root  nameNode[V]    // the same items, level by level
	size  atomic.Int64
	mu    sync.Mutex // held by writers
}

// held is the value of a name; nil once it is deleted.
type held[V any] struct {
	value atomic.Pointer[V]
}

// nameNode is a position between two levels. An empty one is pruned.
type nameNode[V any] struct {
	children table[nameNode[V]]
	ending   atomic.Pointer[item[held[V]]] // the name that ends here
}

// Set stores value under name, in the place of any old value.
func (t *NameTree[V]) Set(name string, value V) (old V, replaced bool) {
	h := hash(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	if it := t.names.find(h, name); it != nil {
		return *it.body.value.Swap(&value), true
	}
	it := &item[held[V]]{key: name}
	it.body.value.Store(&value)
	t.names.add(h, it)
	t.root.reach(name).ending.Store(it)
	t.size.Add(1)
	return old, false
}

// Delete removes name.
func (t *NameTree[V]) Delete(name string) (old V, ok bool) {
	h := hash(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	it := t.names.find(h, name)
	if it == nil {
		return old, false
	}
	t.names.remove(h, name)
	t.root.delete(name)
	t.size.Add(-1)
	return *it.body.value.Swap(nil), true
}

// Get returns the value of name.
func (t *NameTree[V]) Get(name string) (value V, ok bool) {
	if it := t.names.find(hash(name), name); it != nil {
		if v := it.body.value.Load(); v != nil {
			return *v, true
		}
	}
	return value, false
}

// Len returns the number of names.
func (t *NameTree[V]) Len() int {
	return int(t.size.Load())
}

// Match calls yield with each name that filter matches, and its value, in no particular
// order, until yield returns false. A filter without a wildcard is one look-up.
func (t *NameTree[V]) Match(filter string, yield func(name string, value V) bool) {
	if hasWildcard(filter) {
		t.root.match(filter, true, yield)
		return
	}
	if it := t.names.find(hash(filter), filter); it != nil {
		yieldHeld(it, yield)
	}
}

// All yields every name with its value, in no particular order, those that begin with $
// as well.
func (t *NameTree[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		t.names.all(func(it *item[held[V]]) bool { return yieldHeld(it, yield) })
	}
}

// yieldHeld yields the name of it, which may be nil, unless it has been deleted.
func yieldHeld[V any](it *item[held[V]], yield func(string, V) bool) bool {
	if it == nil {
		return true
	}
	v := it.body.value.Load()
	return v == nil || yield(it.key, *v)
}

// match yields what is left of a filter. top is true at its start, where no wildcard
// matches a level that begins with $ [MQTT-4.7.2-1]. It returns false once yield has.
func (n *nameNode[V]) match(filter string, top bool, yield func(string, V) bool) bool {
	if filter == "#" {
		return n.yieldAll(top, yield)
	}
	level, rest, more := cut(filter)
	if level != "+" {
		it := n.children.find(hash(level), level)
		return it == nil || it.body.matchNext(rest, more, yield)
	}
	return n.children.all(func(it *item[nameNode[V]]) bool {
		return top && dollar(it.key) || it.body.matchNext(rest, more, yield)
	})
}

func (n *nameNode[V]) matchNext(rest string, more bool, yield func(string, V) bool) bool {
	if more {
		return n.match(rest, false, yield)
	}
	return yieldHeld(n.ending.Load(), yield)
}

// yieldAll yields the name that ends at n, as a/# matches a, and all below it.
func (n *nameNode[V]) yieldAll(top bool, yield func(string, V) bool) bool {
	return yieldHeld(n.ending.Load(), yield) &&
		n.children.all(func(it *item[nameNode[V]]) bool {
			return top && dollar(it.key) || it.body.yieldAll(false, yield)
		})
}

// reach returns the node of name and makes the nodes on the way to it.
func (n *nameNode[V]) reach(name string) *nameNode[V] {
	rest := name
	for more := true; more; {
		var level string
		level, rest, more = cut(rest)
		h := hash(level)
		it := n.children.find(h, level)
		if it == nil {
			it = &item[nameNode[V]]{key: keep(level, name)}
			n.children.add(h, it)
		}
		n = &it.body
	}
	return n
}

// delete removes the end of name below n, and the nodes that have become empty.
func (n *nameNode[V]) delete(name string) {
	level, rest, more := cut(name)
	h := hash(level)
	it := n.children.find(h, level)
	if it == nil {
		return
	}
	if more {
		it.body.delete(rest)
	} else {
		it.body.ending.Store(nil)
	}
	if it.body.ending.Load() == nil && it.body.children.empty() {
		n.children.remove(h, level)
	}
}
