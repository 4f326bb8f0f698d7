package transport

import (
	"cmp"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Loops drive connections in a few goroutines, one for each processor at most, in the place of one for each connection:
// an idle connection costs a tenth of the memory then, and a message less processor time. TCP and Unix sockets can be
// driven so, with TLS and WebSocket above them or without, and only on Linux; all others keep their goroutine. Listeners and
// connections that were dialled may share Loops. The zero value is ready: the first loop is opened for the first user, and
// none is left once nobody uses them any more.
//
// A handler that blocks, or works for long, holds up all connections of its loop, not its own alone. One connection gains
// nothing from Loops.
//
// Waking few threads is cheaper than waking many, so the first loop gets all connections until it is busy; then the next
// is opened, and who is too busy gives away some of those that have something to do.
type Loops struct {
	// Parked lets loops wait as goroutines do, by the runtime's poller, and not in the system. That is better where other
	// goroutines of the process work for the same connections all the time, and worse where the loops do all the work.
	Parked bool
	// ParkedWhile, if there is one, says before each wait whether that is so now, in the place of Parked.
	ParkedWhile func() bool

	mu    sync.Mutex
	users int      // Listeners that serve, and connections
	all   []*loop  // the first of numbered
	opt   *Options // of the last connection that New made

	// As all, for connections that have a seat in them: what they find here stays until the last one has gone.
	numbered [maxLoops]*loop

	// Of tests.
	open     func() (poller, error) // default newPoller
	most     int                    // default GOMAXPROCS
	restless bool                   // connections move whenever they can
	calm     int                    // default calmAfter
}

// calmAfter is after how many waits in a row that need not be parked a loop waits in the system again: what the runtime polls
// it is woken for, whoever waits.
const calmAfter = 1000

const (
	loadWindow = 100 * time.Millisecond
	loadFull   = 600 // thousandths of the time: no more connections
	loadHigh   = 800 // give some away
	loadSpare  = 500 // to who has less than that
	loadLow    = 100 // go back to the first loop
	loadJoined = 400 // which has less than that
)

// acquire is done by who needs a loop to be there until release.
func (s *Loops) acquire() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enter()
}

// enter is acquire with mu held.
func (s *Loops) enter() error {
	if len(s.all) == 0 {
		if _, err := s.grow(); err != nil {
			return err
		}
	}
	s.users++
	return nil
}

// release is the end of acquire and of place. The last one stops the loops.
func (s *Loops) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users > 0 {
		return
	}
	for _, l := range s.all {
		l.end()
	}
	s.all = nil
	clear(s.numbered[:])
}

// share returns o for a connection: most have the same, and keep it once.
func (s *Loops) share(o Options) *Options {
	opt := o.withDefaults()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opt == nil || *s.opt != *opt {
		s.opt = opt
	}
	return s.opt
}

// grow opens one more loop. mu is held.
func (s *Loops) grow() (*loop, error) {
	open := s.open
	if open == nil {
		open = newPoller
		if s.Parked || s.ParkedWhile != nil {
			open = func() (poller, error) { return newParked(s.ParkedWhile, cmp.Or(s.calm, calmAfter)) }
		}
	}
	p, err := open()
	if err != nil {
		return nil, err
	}
	l := newLoop(s, p)
	s.numbered[len(s.all)] = l
	s.all = s.numbered[:len(s.all)+1]
	go l.run()
	return l, nil
}

// another opens one more loop if there may be one, nil: there may not. mu is held.
func (s *Loops) another() *loop {
	most := s.most
	if most == 0 {
		most = runtime.GOMAXPROCS(0)
	}
	if len(s.all) >= min(most, maxLoops) {
		return nil
	}
	l, _ := s.grow() // those that are there will do
	return l
}

// place finds a loop for a connection, which has to release it.
func (s *Loops) place() (*loop, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enter(); err != nil {
		return nil, err
	}
	now := time.Now()
	best, least := s.all[0], int64(1<<62)
	for _, l := range s.all {
		n := l.load.permille(now)
		if n < loadFull {
			return l, nil
		}
		if n < least {
			best, least = l, n
		}
	}
	if l := s.another(); l != nil {
		return l, nil
	}
	return best, nil
}

// balance returns who is to be given connections of l that have something to do, nil for nobody: some of them when l is
// too busy, all when it is not needed.
func (s *Loops) balance(l *loop) (to *loop, some bool) {
	mine := l.load.last.Load()
	if mine >= loadLow && mine < loadHigh && !s.restless {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 { // l has lost the last one
		return nil, false
	}
	if s.restless {
		return s.next(l), false
	}
	now := time.Now()
	if mine < loadLow {
		if first := s.all[0]; first != l && first.load.permille(now) < loadJoined {
			return first, false
		}
		return nil, false
	}
	for _, other := range s.all {
		if other != l && other.load.permille(now) < loadSpare {
			return other, true
		}
	}
	return s.another(), true
}

// next returns the loop behind l. mu is held.
func (s *Loops) next(l *loop) *loop {
	for i := range s.all {
		if to := s.all[(i+1)%len(s.all)]; s.all[i] == l && to != l {
			return to
		}
	}
	return s.another()
}

// load measures how much of the time a loop works.
type load struct {
	zero  time.Time // what the moments below, in nanoseconds, count from: the wall clock may be set anew
	since int64     // when the loop woke; its own
	begun atomic.Int64
	busy  atomic.Int64
	last  atomic.Int64 // thousandths, in the last window
}

func (m *load) begin(now time.Time) {
	m.zero, m.since = now, 0
	m.begun.Store(0)
	m.busy.Store(0)
}

func (m *load) moment(now time.Time) int64 { return int64(now.Sub(m.zero)) }

func (m *load) woke(now time.Time) { m.since = m.moment(now) }

// worked is called when a round is over. It reports whether a window is.
func (m *load) worked(now time.Time) bool {
	t := m.moment(now)
	busy := m.busy.Add(t - m.since)
	m.since = t
	lasted := t - m.begun.Load()
	if lasted < int64(loadWindow) {
		return false
	}
	m.last.Store(busy * 1000 / lasted)
	m.busy.Store(0)
	m.begun.Store(t)
	return true
}

// permille returns the load as others see it. A loop that sleeps ends no window.
func (m *load) permille(now time.Time) int64 {
	lasted := m.moment(now) - m.begun.Load()
	if lasted < int64(2*loadWindow) {
		return m.last.Load()
	}
	return m.busy.Load() * 1000 / lasted
}
