package transport

import (
	"sync"
	"sync/atomic"
	"time"
)

// work is what a connection has while something is under way, most of all while there is something to send.
type work struct {
	out  *outbuf // appended, nil when clean
	cur  *outbuf // being written by whoever set flushing
	rest *inbuf  // bytes that Feed left, see Conn.rest
	end  *ending // nil before it begins to close, and nothing went wrong
	wait *wait   // deadlines in a loop, nil while there are none

	spare   *outbuf // an empty one, only in the pool and during a flush: a message needs one pool then, not two
	replies int     // bytes of AppendReply in out
	counted int32   // on the budget, in grains
	doing
}

// doing is how far work has come.
type doing struct {
	dirty    bool // some batch owes a flush
	late     bool // and some loop, see spread.go
	flushing bool // one goroutine writes; the others leave their bytes to it
	blocked  bool // that goroutine, or the loop, waits for the socket
	parked   bool // flushing is held for the loop, nobody writes
	edge     bool // the socket had room again while somebody was writing
	full     bool // an Append was refused
	drained  bool // Drained is due
	broken   bool // what is buffered is dropped
	done     bool // the closing flush is over
	linger   bool // half close, then wait for the peer
}

// Shared by all connections; a pool holds no state.
var works = sync.Pool{New: func() any { return new(work) }}

// begin returns c.work, made now if there was none. mu is held.
func (c *Conn) begin() *work {
	if c.work == nil {
		c.work = works.Get().(*work)
		c.work.tighten()
	}
	return c.work
}

// open returns c.work with an out-buffer. mu is held.
func (c *Conn) open() *work {
	if c.work == nil {
		c.work = works.Get().(*work)
	}
	w := c.work
	if w.out != nil {
		return w
	}
	reserve := c.filt().reserve()
	if w.out, w.spare = w.spare, nil; w.out == nil {
		w.out = newOutbuf(reserve)
	} else {
		w.out.reserve(reserve)
	}
	return w
}

// written is told that cur is. mu is held.
func (w *work) written() {
	if w.spare == nil && cap(w.cur.b) <= outFirst {
		w.cur.reset()
		w.spare = w.cur
	} else {
		w.cur.release()
	}
	w.cur = nil
}

// tighten gives back what is only of use while something is sent. mu is held.
func (w *work) tighten() {
	if w.spare != nil {
		w.spare.release()
		w.spare = nil
	}
}

// relax gives back c.work if there is nothing in it any more. mu is held.
func (c *Conn) relax() {
	switch w := c.work; {
	case w == nil || w.flushing:
	case w.out != nil || w.cur != nil || w.rest != nil || w.end != nil || w.wait != nil || w.doing != (doing{}):
		w.tighten()
	default:
		c.work = nil
		works.Put(w)
	}
}

// What there is none of without work. mu is held.

func (w *work) isBroken() bool  { return w != nil && w.broken }
func (w *work) isDone() bool    { return w != nil && w.done }
func (w *work) isDrained() bool { return w != nil && w.drained }

// ending is how a connection ends.
type ending struct {
	err     error     // why it closes
	werr    error     // why nothing can be written any more
	closeAt time.Time // end of a closing flush
	eof     bool      // the peer will send nothing more
	last    bool      // nothing can be written, the reader reads on for a moment
	phase   phase     // in a loop
}

// ends returns how c ends, made now if it did not. mu is held.
func (c *Conn) ends() *ending {
	w := c.begin()
	if w.end == nil {
		w.end = &ending{}
	}
	return w.end
}

// unwritable is why nothing can be written any more, nil if it can. mu is held.
func (c *Conn) unwritable() error {
	if c.work == nil || c.work.end == nil {
		return nil
	}
	return c.work.end.werr
}

// state is what any goroutine may look at without mu.
type state struct{ bits atomic.Uint32 }

const (
	isStarted uint32 = 1 << iota // set with mu held
	isClosing                    // nothing is fed any more; set with mu held
	isPaused                     // set with mu held
	isResumed                    // rest is to be presented again
	isPosted                     // in a loop's mail
)

// has reports whether any of bits is set.
func (s *state) has(bits uint32) bool { return s.bits.Load()&bits != 0 }

// set sets bit and reports whether it was not.
func (s *state) set(bit uint32) bool { return s.bits.Or(bit)&bit == 0 }

// unset is the opposite of set.
func (s *state) unset(bit uint32) bool { return s.bits.And(^bit)&bit != 0 }

// reading is what only the reader knows.
type reading uint8

const (
	again     reading = 1 << iota // rest must be presented without waiting for more
	fed                           // this turn
	resting                       // work.rest is there
	readable                      // in a loop: there may be something to read
	hup                           // in a loop: the end of the stream may hide behind the data
	queued                        // in a loop: among those who get another turn
	heavyOnce                     // in a loop: a number of two bits, see spread.go

	heavy = 3 * heavyOnce // one of the last turns was
)

func (r *reading) has(bits reading) bool { return *r&bits != 0 }
func (r *reading) set(bits reading)      { *r |= bits }
func (r *reading) unset(bits reading)    { *r &^= bits }
