package transport

// Batch collects the connections that one turn wrote to: one read, or one call from outside. Its owner calls Flush when
// the turn ends; what was appended with it may stay unsent until then. The zero value is ready, and a flushed Batch can
// be used again. A Batch is not safe for concurrent use.
type Batch struct {
	dirty []*Conn

	// Of the Batch that a loop hands to handlers, see spread.go.
	looped bool
	heavy  bool // the turn is one of those that write to many
	deep   bool // and much waits for one of them
	work   int  // what this turn has done, in appends
	width  int  // how many connections it wrote to
	before int  // how many are in dirty by the turns before it
}

const (
	enough     = 16 << 10 // appends, 3 ms: more than one slice would last
	directWork = enough / slice
)

// Flush sends what was appended with b. It never blocks.
func (b *Batch) Flush() {
	for i, c := range b.dirty {
		b.dirty[i] = nil
		c.flush()
	}
	b.dirty, b.before = b.dirty[:0], 0
}

// Enough reports whether Feed should return though there is more in p that is whole: what it has appended is as much as a
// connection may do in one turn, or as may wait for those it goes to. It is fed the rest when others have had their turns.
// Only connections in Loops share a turn, so for others, and for a Batch of one's own, it is never enough.
func (b *Batch) Enough() bool {
	if b == nil || !b.looped {
		return false
	}
	return b.work >= enough || b.deep || !b.heavy && b.width > slice
}

// begin is the begin of a connection's turn.
func (b *Batch) begin() { b.work, b.width, b.before = 0, 0, len(b.dirty) }

// overlap is Flush between two reads. What goes to many is not sent there.
func (b *Batch) overlap() {
	if !b.heavy && !b.Enough() {
		b.Flush()
	}
}

// direct reports whether o is to be sent ahead of Flush because much waits in it. Bodies that are shared take no memory:
// when one turn brings them to many connections, most can wait.
func (b *Batch) direct(o *outbuf) bool {
	if b.looped && b.work >= enough && len(o.b) < flushAt {
		return false
	}
	b.work += directWork
	b.width++
	return true
}

// collect has c flushed, unless it is a heavy turn's and that is owed already. c's mu is held.
func (b *Batch) collect(c *Conn, w *work) {
	b.width++
	if b.heavy {
		b.deep = b.deep || w.out.left >= min(flushAt, c.opt.OutLimit)/2
		if w.dirty || w.late {
			return
		}
	}
	w.dirty = true
	b.dirty = append(b.dirty, c)
}
