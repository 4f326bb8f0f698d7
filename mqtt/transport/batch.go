package transport

// Batch collects the connections that one turn wrote to: one read, or one call from outside. Its owner calls Flush when
// the turn ends; what was appended with it may stay unsent until then. The zero value is ready, and a flushed Batch can
// be used again. A Batch is not safe for concurrent use.
type Batch struct {
	dirty []*Conn
}

// Flush sends what was appended with b. It never blocks.
func (b *Batch) Flush() {
	for i, c := range b.dirty {
		b.dirty[i] = nil
		c.flush()
	}
	b.dirty = b.dirty[:0]
}
