package flow

import (
	"cmp"
	"math/bits"
	"slices"

	"mqt/mqtt"
)

// maxIDs is how many Packet Identifiers there are: 1 to 65,535, section 2.2.1.
const maxIDs = 1<<16 - 1

// entry is one Packet Identifier in use, and what it is used for.
type entry[M any] struct {
	seq   uint32 // order of sending
	id    mqtt.PacketID
	state State
	flags uint8
	value M
}

// ids are the Packet Identifiers in use at one sender. It is a table in which
// an identifier has exactly one place, its low bits: looking one up is one
// comparison. An identifier whose place is taken by an older one is passed
// over when new ones are given out, so that an entry which the peer never
// acknowledges costs nothing and blocks no other.
//
// The first entry needs no table. The table grows and shrinks with what is in
// flight and is gone when nothing is.
type ids[M any] struct {
	table *table[M]
	pool  *Pool[M]      // nil: allocate
	one   entry[M]      // in use while table is nil and n is 1
	last  mqtt.PacketID // the one given out last
	n     uint16
}

// find returns the entry of an identifier in use, nil for any other. It is
// valid until the next add, restore or remove.
func (u *ids[M]) find(id mqtt.PacketID) *entry[M] {
	e := &u.one
	if u.table != nil {
		e = u.table.place(id)
	}
	if id == 0 || e.id != id {
		return nil
	}
	return e
}

// add gives out the next unused identifier, going up from the last one and
// from 65,535 on to 1. It returns nil when all are in use.
func (u *ids[M]) add() *entry[M] {
	if u.n == maxIDs {
		return nil
	}
	u.reserve()
	id := u.last + 1
	if u.table != nil {
		id = u.table.next(id)
	} else if id == 0 {
		id = 1
	}
	return u.put(id)
}

// restore takes a given identifier into use. It returns nil if it is in use
// already or 0.
func (u *ids[M]) restore(id mqtt.PacketID) *entry[M] {
	if id == 0 || u.find(id) != nil {
		return nil
	}
	u.reserve()
	for u.table != nil && u.table.place(id).id != 0 {
		u.resize(2 * len(u.table.entries))
	}
	return u.put(id)
}

func (u *ids[M]) put(id mqtt.PacketID) *entry[M] {
	e := &u.one
	if u.table != nil {
		e = u.table.take(id)
	}
	e.id = id
	u.last = id
	u.n++
	return e
}

func (u *ids[M]) remove(e *entry[M]) {
	id := e.id
	*e = entry[M]{}
	u.n--
	if u.table == nil {
		return
	}
	u.table.free(id)
	if u.n == 0 {
		u.pool.put(u.table)
		u.table = nil
	} else if int(u.n) <= u.table.shrinkAt {
		u.shrink()
	}
}

// reserve makes room for one more.
func (u *ids[M]) reserve() {
	switch {
	case u.n == 0:
	case u.table == nil:
		u.resize(minTable)
	case len(u.table.entries) < maxTable && int(u.n) >= len(u.table.entries)/4*3:
		u.resize(2 * len(u.table.entries))
	}
}

// resize moves all entries to a table of another size. Entries that stand
// apart in a table stand apart in any larger one.
func (u *ids[M]) resize(size int) {
	t := u.pool.get(size)
	for e := range u.each {
		*t.take(e.id) = *e
		if u.table != nil {
			u.table.free(e.id)
		}
		*e = entry[M]{}
	}
	if u.table != nil {
		u.pool.put(u.table)
	}
	u.table = t
}

// shrink looks for a smaller table in which the entries that are left stand
// apart. Where there is none it does not look again before half of them are
// gone.
func (u *ids[M]) shrink() {
	size := max(minTable, 1<<bits.Len(4*uint(u.n)-1))
	for ; size < len(u.table.entries); size *= 2 {
		if u.distinct(size) {
			u.resize(size)
			return
		}
	}
	u.table.shrinkAt = int(u.n) / 2
}

func (u *ids[M]) distinct(size int) bool {
	seen := make([]uint64, (size+63)/64)
	for e := range u.each {
		i := int(e.id) & (size - 1)
		if seen[i/64]&(1<<(i%64)) != 0 {
			return false
		}
		seen[i/64] |= 1 << (i % 64)
	}
	return true
}

// each yields all entries in no order.
func (u *ids[M]) each(yield func(*entry[M]) bool) {
	if u.table == nil {
		if u.n == 1 {
			yield(&u.one)
		}
		return
	}
	for i := range u.table.entries {
		if e := &u.table.entries[i]; e.id != 0 && !yield(e) {
			return
		}
	}
}

// order returns the identifiers in use in the order of their entries' seq.
func (u *ids[M]) order() []mqtt.PacketID {
	if u.n == 0 {
		return nil
	}
	all := make([]mqtt.PacketID, 0, u.n)
	for e := range u.each {
		all = append(all, e.id)
	}
	slices.SortFunc(all, func(a, b mqtt.PacketID) int {
		return cmp.Compare(u.find(a).seq, u.find(b).seq)
	})
	return all
}

// Sizes of a table are powers of two; the largest has a place of its own for
// every identifier.
const (
	minTable = 8
	maxTable = 1 << 16
)

type table[M any] struct {
	entries []entry[M]
	// used has one bit for each entry, to find the next free one fast when
	// most are taken. Bits beyond a small table are set.
	used     []uint64
	few      [1]uint64 // used, where one word is enough
	shrinkAt int       // so few entries ask for a smaller table
}

func newTable[M any](size int) *table[M] {
	t := &table[M]{entries: make([]entry[M], size), shrinkAt: shrinkAt(size)}
	if size > 64 {
		t.used = make([]uint64, size/64)
	} else {
		t.few[0] = ^uint64(0) << size
		t.used = t.few[:]
	}
	return t
}

// shrinkAt leaves small tables alone: most of them are soon empty.
func shrinkAt(size int) int {
	if size < 64 {
		return 0
	}
	return size / 16
}

func (t *table[M]) index(id mqtt.PacketID) int { return int(id) & (len(t.entries) - 1) }

func (t *table[M]) place(id mqtt.PacketID) *entry[M] { return &t.entries[t.index(id)] }

func (t *table[M]) take(id mqtt.PacketID) *entry[M] {
	i := t.index(id)
	t.used[i/64] |= 1 << (i % 64)
	return &t.entries[i]
}

func (t *table[M]) free(id mqtt.PacketID) {
	i := t.index(id)
	t.used[i/64] &^= 1 << (i % 64)
}

// next returns the first identifier at or after from whose place is free. The
// caller knows that there is one.
func (t *table[M]) next(from mqtt.PacketID) mqtt.PacketID {
	for {
		if from == 0 {
			from = 1
		}
		ahead := t.nextFree(t.index(from)) - t.index(from)
		id := from + mqtt.PacketID(ahead&(len(t.entries)-1))
		if id != 0 {
			return id
		}
		from = 0 // past 65,535; 0 is no identifier
	}
}

// nextFree returns the first free index at or after i, going round.
func (t *table[M]) nextFree(i int) int {
	w := i / 64
	free := ^t.used[w] & (^uint64(0) << (i % 64))
	for free == 0 {
		w = (w + 1) & (len(t.used) - 1)
		free = ^t.used[w]
	}
	return w*64 + bits.TrailingZeros64(free)
}
