package transport

import (
	"errors"
	"net"
	"sync"
	"time"
)

// fakeEngines drive a fake.
var fakeEngines = map[string]func(*fake, Options) *Conn{
	"goroutine": fakeConn,
	"loop":      func(f *fake, o Options) *Conn { return newFakeLoops(1).drive(f, f, o) },
	"two loops": func(f *fake, o Options) *Conn {
		s := newFakeLoops(2)
		s.restless = true
		return s.drive(f, f, o)
	},
}

// fakeLoops are Loops over fakes.
type fakeLoops struct {
	Loops
	mu    sync.Mutex
	fakes []*fake
}

func newFakeLoops(most int) *fakeLoops {
	s := &fakeLoops{}
	s.most = most
	s.open = func() (poller, error) {
		return &fakePoller{all: s, kick: make(chan struct{}, 1), seats: make(map[int]pollEvent)}, nil
	}
	return s
}

// drive returns a Conn over f. nc is f, or something around it.
func (s *fakeLoops) drive(f *fake, nc net.Conn, o Options) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.Loops = &s.Loops
	c := &Conn{extra: &extra{nc: nc, sock: f}, opt: o.withDefaults(), fd: int32(len(s.fakes))}
	s.fakes = append(s.fakes, f)
	return c
}

// fakePoller reports the edges of fakes, and nothing but edges.
type fakePoller struct {
	all   *fakeLoops
	mu    sync.Mutex
	seats map[int]pollEvent // what has not been reported yet, by fd
	order []int             // of those
	kick  chan struct{}
}

func (p *fakePoller) add(fd int, seat, gen uint32) error {
	p.all.mu.Lock()
	f := p.all.fakes[fd]
	p.all.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	p.mu.Lock()
	p.seats[fd] = pollEvent{seat: seat, gen: gen}
	p.mu.Unlock()
	f.edge = func(what uint8) { p.edge(fd, what) }
	what := f.arrived()
	if f.room != 0 || f.werr != nil {
		what |= canWrite
	}
	f.tell(what)
	return nil
}

func (p *fakePoller) edge(fd int, what uint8) {
	p.mu.Lock()
	e := p.seats[fd]
	if e.what == 0 {
		p.order = append(p.order, fd)
	}
	e.what |= what
	p.seats[fd] = e
	p.mu.Unlock()
	p.wake()
}

func (p *fakePoller) remove(fd int) error {
	p.all.mu.Lock()
	f := p.all.fakes[fd]
	p.all.mu.Unlock()
	f.mu.Lock()
	f.edge = nil
	f.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.seats[fd]; !ok {
		return errors.New("it is not there")
	}
	delete(p.seats, fd)
	return nil
}

func (p *fakePoller) wait(timeout time.Duration, events []pollEvent) int {
	if n := p.take(events); n > 0 || timeout == 0 {
		return n
	}
	var late <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-p.kick:
	case <-late:
	}
	return p.take(events)
}

func (p *fakePoller) take(events []pollEvent) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.order) > 0 && n < len(events) {
		fd := p.order[0]
		p.order = p.order[1:]
		if e, ok := p.seats[fd]; ok && e.what != 0 {
			events[n] = e
			n++
			e.what = 0
			p.seats[fd] = e
		}
	}
	return n
}

func (p *fakePoller) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

func (p *fakePoller) close() {}
