//go:build !race

package transport

import "testing"

// one is a socket that has some bytes to read each time it is asked anew, and takes everything.
type one struct {
	sink
	data  []byte
	empty bool
	sent  int
}

func (s *one) write(o *outbuf) (int, error) {
	s.sent += o.left
	return s.sink.write(o)
}

func (s *one) read(p []byte) (int, error) {
	s.empty = !s.empty
	if !s.empty {
		return 0, errWouldBlock
	}
	return copy(p, s.data), nil
}

// The race detector makes pools forget, so this runs without it.
func TestNoAllocations(t *testing.T) {
	c := New(fakeNet{}, Options{})
	s := &one{data: make([]byte, 1030)}
	c.extra.sock = s
	e := &partial{c: c}
	c.h = e
	for range 10 {
		c.turn()
	}
	if n := testing.AllocsPerRun(1000, func() { c.turn() }); n != 0 {
		t.Errorf("a turn allocates %v times", n)
	}
	if e.n == 0 || s.sent == 0 {
		t.Error("nothing happened")
	}
	var b Batch
	frame := make([]byte, 40)
	body := make([]byte, 10_000)
	if n := testing.AllocsPerRun(1000, func() {
		c.Append(&b, frame)
		c.Append(&b, frame)
		c.AppendShared(&b, frame, body)
		b.Flush()
	}); n != 0 {
		t.Errorf("appending and flushing allocates %v times", n)
	}
}

// A turn of a loop allocates nothing, either.
func TestNoAllocationsInALoop(t *testing.T) {
	l := newLoop(&Loops{}, nil)
	l.all.numbered[0] = l
	s := &one{data: make([]byte, 1030)}
	c := &Conn{extra: &extra{nc: fakeNet{}, sock: s}, opt: Options{Loops: l.all}.withDefaults(), number: 1, fd: -1}
	p, e := c.poll(), &partial{c: c}
	c.h = e
	round := func() {
		l.room = readChunk
		l.notice(p, canRead|canWrite)
		l.serve(p)
		l.turn.batch.Flush()
	}
	for range 10 {
		round()
	}
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Errorf("a round allocates %v times", n)
	}
	if e.n == 0 || s.sent == 0 {
		t.Error("nothing happened")
	}
}

// partial answers every 100 bytes with 4 and leaves what is incomplete.
type partial struct {
	c *Conn
	n int
}

func (h *partial) Feed(b *Batch, p []byte) (int, error) {
	n := 0
	for ; len(p)-n >= 100; n += 100 {
		h.n++
		h.c.Append(b, []byte{0x40, 2, 0, 1})
	}
	return n, nil
}

func (*partial) Closed(error) {}
