package topic

import (
	"hash/maphash"
	"math/bits"
	"strings"
	"sync/atomic"
)

// table is a hash table from strings to items, made for many readers: find and all take
// no lock and write nothing. Writers (add, replace, remove) are serialised by the owner.
//
// An item stays in its slot until it is removed or the page is replaced as a whole, and
// a replaced page never changes again. So a reader sees every item that is there during
// all of its call, and none that is absent during all of it.
//
// The zero value is empty and takes one pointer.
type table[T any] struct {
	content atomic.Pointer[content[T]]
}

// content is the only item, as below most levels, or a page. It never changes.
type content[T any] struct {
	only *item[T]
	page *page[T]
}

// item is what a table stores. body is the owner's, and is shared by old and new pages.
type item[T any] struct {
	key  string
	body T
}

// page has either slots, a power of two probed linearly, or parts, tables by the next
// hash bits. Parts bound the time that one add can take: no page above maxSlots is ever
// copied.
type page[T any] struct {
	live  int32 // items in slots
	used  int32 // slots that are not free: live and deleted
	parts *[fanOut]table[T]
	slots []slot[T]
}

// slot keeps the hash beside the pointer, so that probing and copying touch no other
// item's memory.
type slot[T any] struct {
	hash atomic.Uint64 // or free or deleted
	item atomic.Pointer[item[T]]
}

const (
	free    = 0       // never used: ends a probe
	deleted = 1       // was used: a probe goes on
	hashed  = 1 << 32 // set in every hash, so that none is free or deleted

	partBits = 6 // taken from the top of the hash, slot numbers from the bottom
	fanOut   = 1 << partBits
	maxDepth = 3
	maxSlots = 1 << 16
)

// seed makes hash collisions unpredictable for clients, who choose the strings.
var seed = maphash.MakeSeed() //nolint:gochecknoglobals // drawn once, never changed

func hash(key string) uint64 {
	return maphash.String(seed, key) | hashed
}

// find returns the item of key, or nil.
func (t *table[T]) find(h uint64, key string) *item[T] {
	c := t.content.Load()
	for top := h; c != nil && c.page != nil && c.page.parts != nil; top <<= partBits {
		c = c.page.parts[top>>(64-partBits)].content.Load()
	}
	switch {
	case c == nil:
		return nil
	case c.page != nil:
		return c.page.find(h, key)
	case c.only.key == key:
		return c.only
	}
	return nil
}

func (t *table[T]) empty() bool {
	return t.content.Load() == nil
}

// all yields every item until yield returns false; then it returns false as well.
func (t *table[T]) all(yield func(*item[T]) bool) bool {
	c := t.content.Load()
	if c == nil {
		return true
	}
	p := c.page
	if p == nil {
		return yield(c.only)
	}
	if p.parts != nil {
		for i := range p.parts {
			if !p.parts[i].all(yield) {
				return false
			}
		}
		return true
	}
	for i := range p.slots {
		if it := p.slots[i].item.Load(); it != nil && !yield(it) {
			return false
		}
	}
	return true
}

// add stores an item whose key is not in the table.
func (t *table[T]) add(h uint64, it *item[T]) {
	t.addAt(h, it, 0)
}

// addAt is add for a table that lies depth parts deep.
func (t *table[T]) addAt(h uint64, it *item[T], depth int) {
	c := t.content.Load()
	if c == nil {
		t.content.Store(&content[T]{only: it})
		return
	}
	p := c.page
	switch {
	case p == nil:
		p = newPage[T](4)
		p.put(hash(c.only.key), c.only)
		t.content.Store(&content[T]{page: p})
	case p.parts == nil && p.full():
		p = p.grown(depth)
		t.content.Store(&content[T]{page: p})
	}
	if p.parts != nil {
		p.part(h, depth).addAt(h, it, depth+1)
		return
	}
	p.put(h, it)
}

// replace puts an item in the place of the one with the same key, which is there.
func (t *table[T]) replace(h uint64, it *item[T]) {
	c := t.content.Load()
	for depth := 0; c.page != nil && c.page.parts != nil; depth++ {
		t = c.page.part(h, depth)
		c = t.content.Load()
	}
	if c.page == nil {
		t.content.Store(&content[T]{only: it})
		return
	}
	c.page.slot(h, it.key).item.Store(it)
}

// remove takes the item of key out and reports whether it was there. What gets small
// gives its memory back.
func (t *table[T]) remove(h uint64, key string) bool {
	return t.removeAt(h, key, 0)
}

func (t *table[T]) removeAt(h uint64, key string, depth int) bool {
	c := t.content.Load()
	if c == nil {
		return false
	}
	p := c.page
	if p == nil {
		if c.only.key != key {
			return false
		}
		t.content.Store(nil)
		return true
	}
	if p.parts != nil {
		ok := p.part(h, depth).removeAt(h, key, depth+1)
		if ok && p.hollow() {
			t.content.Store(nil)
		}
		return ok
	}
	if !p.take(h, key) {
		return false
	}
	switch {
	case p.live == 1:
		t.content.Store(&content[T]{only: p.last()})
	case int(p.live)*8 < len(p.slots):
		t.content.Store(&content[T]{page: p.resized()})
	}
	return true
}

func newPage[T any](slots int) *page[T] {
	return &page[T]{slots: make([]slot[T], slots)}
}

func (p *page[T]) find(h uint64, key string) *item[T] {
	mask := uint64(len(p.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := &p.slots[i]
		switch s.hash.Load() {
		case free:
			return nil
		case h:
			if it := s.item.Load(); it != nil && it.key == key {
				return it
			}
		}
	}
}

func (p *page[T]) part(h uint64, depth int) *table[T] {
	return &p.parts[h<<(depth*partBits)>>(64-partBits)]
}

// hollow reports whether all parts are empty.
func (p *page[T]) hollow() bool {
	for i := range p.parts {
		if !p.parts[i].empty() {
			return false
		}
	}
	return true
}

// full reports whether one more item would leave less than a quarter of the slots free:
// probes stay short, and always end.
func (p *page[T]) full() bool {
	return (int(p.used)+1)*4 > len(p.slots)*3
}

// put stores the item before its hash: a reader that sees the hash finds the item.
func (p *page[T]) put(h uint64, it *item[T]) {
	mask := uint64(len(p.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := &p.slots[i]
		was := s.hash.Load()
		if was > deleted {
			continue
		}
		s.item.Store(it)
		s.hash.Store(h)
		p.live++
		if was == free {
			p.used++
		}
		return
	}
}

func (p *page[T]) take(h uint64, key string) bool {
	s := p.slot(h, key)
	if s == nil {
		return false
	}
	s.hash.Store(deleted)
	s.item.Store(nil)
	p.live--
	return true
}

// slot returns the slot of key, or nil. It is for the writer.
func (p *page[T]) slot(h uint64, key string) *slot[T] {
	mask := uint64(len(p.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := &p.slots[i]
		switch s.hash.Load() {
		case free:
			return nil
		case h:
			if s.item.Load().key == key {
				return s
			}
		}
	}
}

// last returns an item; the page has one left.
func (p *page[T]) last() *item[T] {
	for i := range p.slots {
		if it := p.slots[i].item.Load(); it != nil {
			return it
		}
	}
	return nil
}

// grown returns a page with the same items and room for one more: split into parts when
// it would get too large.
func (p *page[T]) grown(depth int) *page[T] {
	if p.room() <= maxSlots || depth == maxDepth {
		return p.resized()
	}
	q := &page[T]{parts: new([fanOut]table[T])}
	for i := range p.slots {
		if h := p.slots[i].hash.Load(); h > deleted {
			q.part(h, depth).addAt(h, p.slots[i].item.Load(), depth+1)
		}
	}
	return q
}

// room is the number of slots for the live items and one more, at most half full.
func (p *page[T]) room() int {
	return 1 << bits.Len(uint(2*p.live+1))
}

func (p *page[T]) resized() *page[T] {
	q := newPage[T](p.room())
	for i := range p.slots {
		if h := p.slots[i].hash.Load(); h > deleted {
			q.put(h, p.slots[i].item.Load())
		}
	}
	return q
}

// keep returns part of a filter or name for keeping as a key. A substring holds all of
// its string in memory: cheap for most, but not for a short part of a very long one.
func keep(part, whole string) string {
	if len(whole) > 128 && len(part) < len(whole)/2 {
		return strings.Clone(part)
	}
	return part
}
