package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// event is what a fake socket has to read: data, an error or io.EOF, or nothing at all (EAGAIN, once).
type event struct {
	data []byte
	err  error
}

// fake is a socket whose behaviour a test scripts. It is the sock and the net.Conn of a Conn at once.
type fake struct {
	mu       sync.Mutex
	cond     *sync.Cond
	in       []event
	out      []byte
	room     int // bytes it takes before EAGAIN; negative: no limit
	short    int // bytes it takes at once; 0: no limit
	werr     error
	rd, wd   time.Time
	timers   []*time.Timer
	halfShut bool
	closed   bool
	edge     func(what uint8) // of who polls it, nil: a goroutine reads
	full     bool             // a write has found no room since the last edge
	took     func()           // of a test, called when a write has taken something
}

func newFake() *fake {
	f := &fake{room: -1}
	f.cond = sync.NewCond(&f.mu)
	return f
}

// fakeConn drives a fake.
func fakeConn(f *fake, o Options) *Conn {
	c := New(f, o)
	c.extra.sock = f
	return c
}

// set changes the script and wakes whoever waits for it.
func (f *fake) set(change func()) {
	f.mu.Lock()
	change()
	if f.full && (f.room != 0 || f.werr != nil) {
		f.full = false
		f.tell(canWrite)
	}
	f.cond.Broadcast()
	f.mu.Unlock()
}

// tell raises an edge. f.mu is held.
func (f *fake) tell(what uint8) {
	if f.edge != nil && what != 0 {
		f.edge(what)
	}
}

// arrived is the edge of what has come up to the next pause. A pause at the front is over for who waits for an edge.
// f.mu is held.
func (f *fake) arrived() (what uint8) {
	for f.edge != nil && len(f.in) > 0 && len(f.in[0].data) == 0 && f.in[0].err == nil {
		f.in = f.in[1:]
	}
	for _, e := range f.in {
		if len(e.data) == 0 && e.err == nil {
			break
		}
		what |= canRead
		if e.err != nil {
			what |= hungUp
		}
	}
	return what
}

func (f *fake) arrive(events ...event) {
	f.set(func() {
		f.in = append(f.in, events...)
		f.tell(f.arrived())
	})
}

func (f *fake) sent() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return string(f.out)
}

func (f *fake) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

func (f *fake) park(turn func() bool) error {
	for {
		if turn() {
			return nil
		}
		if err := f.waitReadable(); err != nil {
			return err
		}
	}
}

func (f *fake) waitReadable() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.closed:
			return net.ErrClosed
		case passed(f.rd):
			return os.ErrDeadlineExceeded
		case len(f.in) > 0:
			return nil
		}
		f.cond.Wait()
	}
}

func (f *fake) unread() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.arrived() != 0
}

func (f *fake) read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.in) == 0 {
		return 0, errWouldBlock
	}
	e := &f.in[0]
	if len(e.data) == 0 {
		err := e.err
		if err == nil {
			f.in = f.in[1:]
			f.tell(f.arrived()) // after a pause
			return 0, errWouldBlock
		}
		return 0, err // stays
	}
	n := copy(p, e.data)
	if e.data = e.data[n:]; len(e.data) == 0 && e.err == nil {
		f.in = f.in[1:]
		if n < len(p) {
			f.tell(f.arrived()) // it has come since
		}
	}
	return n, nil
}

func (f *fake) write(o *outbuf) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.take(o)
}

// take is one non-blocking writev. f.mu is held.
func (f *fake) take(o *outbuf) (int, error) {
	if f.closed {
		return 0, net.ErrClosed
	}
	if f.werr != nil {
		return 0, f.werr
	}
	limit := o.left
	if f.room >= 0 {
		limit = min(limit, f.room)
	}
	if f.short > 0 {
		limit = min(limit, f.short)
	}
	if limit == 0 {
		f.full = true
		return 0, errWouldBlock
	}
	sum := 0
	for _, p := range o.pieces(nil, 3) {
		p = p[:min(len(p), limit-sum)]
		f.out = append(f.out, p...)
		sum += len(p)
	}
	if f.room >= 0 {
		f.room -= sum
	}
	if f.took != nil {
		f.took()
	}
	return sum, nil
}

func (f *fake) writeWait(o *outbuf) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		if passed(f.wd) {
			return 0, os.ErrDeadlineExceeded
		}
		if n, err := f.take(o); !errors.Is(err, errWouldBlock) {
			return n, err
		}
		f.cond.Wait()
	}
}

func passed(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

// The net.Conn.

func (f *fake) Read(p []byte) (int, error) {
	for {
		if err := f.waitReadable(); err != nil {
			return 0, err
		}
		if n, err := f.read(p); !errors.Is(err, errWouldBlock) {
			return n, err
		}
	}
}

func (f *fake) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func (f *fake) Close() error {
	f.set(func() {
		f.closed = true
		for _, t := range f.timers {
			t.Stop()
		}
	})
	return nil
}

func (f *fake) CloseWrite() error { f.set(func() { f.halfShut = true }); return nil }

func (f *fake) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (f *fake) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func (f *fake) SetDeadline(t time.Time) error {
	_ = f.SetReadDeadline(t)
	return f.SetWriteDeadline(t)
}

func (f *fake) SetReadDeadline(t time.Time) error  { f.deadline(&f.rd, t); return nil }
func (f *fake) SetWriteDeadline(t time.Time) error { f.deadline(&f.wd, t); return nil }

func (f *fake) deadline(d *time.Time, t time.Time) {
	f.set(func() {
		*d = t
		if wait := time.Until(t); !t.IsZero() && wait > 0 && !f.closed {
			f.timers = append(f.timers, time.AfterFunc(wait, func() { f.set(func() {}) }))
		}
	})
}

// sink is a socket that takes everything.
type sink struct{}

func (sink) park(func() bool) error           { return io.EOF }
func (sink) read([]byte) (int, error)         { return 0, io.EOF }
func (sink) unread() bool                     { return false }
func (sink) write(o *outbuf) (int, error)     { return o.left, nil }
func (sink) writeWait(o *outbuf) (int, error) { return o.left, nil }

// fakeNet is a net.Conn without a network.
type fakeNet struct{ net.Conn }

func (fakeNet) Close() error                     { return nil }
func (fakeNet) SetDeadline(time.Time) error      { return nil }
func (fakeNet) SetReadDeadline(time.Time) error  { return nil }
func (fakeNet) SetWriteDeadline(time.Time) error { return nil }
