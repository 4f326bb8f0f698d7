package flow

import (
	"math/bits"
	"sync"
)

// Pool lends Senders the memory for what they have in flight, so that many
// Sessions whose windows fill and empty all the time share a little of it
// instead of each allocating anew. The zero value is ready; any number of
// Senders and goroutines may use it at once.
type Pool[M any] struct {
	tables [17]sync.Pool // of *table[M], by the logarithm of its size
}

func (p *Pool[M]) get(size int) *table[M] {
	if p != nil {
		if t, ok := p.tables[bits.Len(uint(size))-1].Get().(*table[M]); ok {
			return t
		}
	}
	return newTable[M](size)
}

// put takes a table back, all of whose entries are free.
func (p *Pool[M]) put(t *table[M]) {
	if p != nil {
		t.shrinkAt = shrinkAt(len(t.entries))
		p.tables[bits.Len(uint(len(t.entries)))-1].Put(t)
	}
}
