package transport

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// The first loop gets all until it is busy, then the next one, and then who has least to do.
func TestPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeLoops(2)
		check(t, s.acquire())
		defer s.release()
		place := func() int {
			l, err := s.place()
			check(t, err)
			s.release()
			for i := range s.all {
				if s.all[i] == l {
					return i
				}
			}
			return -1
		}
		busy := func(i int, permille int64) { s.all[i].load.last.Store(permille) }
		if n := place(); n != 0 {
			t.Errorf("the first is idle: %d", n)
		}
		busy(0, 700)
		if n := place(); n != 1 || len(s.all) != 2 {
			t.Errorf("the first is busy: %d of %d", n, len(s.all))
		}
		busy(1, 650)
		if n := place(); n != 1 {
			t.Errorf("both are busy: %d", n)
		}
		time.Sleep(2 * loadWindow) // and they slept all the time
		if n := place(); n != 0 {
			t.Errorf("none is busy any more: %d", n)
		}
	})
}

// Who is too busy gives to who is not, and who is not needed gives back to the first.
func TestBalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeLoops(3)
		check(t, s.acquire())
		defer s.release()
		first := s.all[0]
		first.load.last.Store(900)
		second, some := s.balance(first)
		if second == nil || !some || len(s.all) != 2 {
			t.Fatalf("the busy one gives nothing: %v, %t", second, some)
		}
		for _, tt := range []struct {
			first, second int64
			from, to      *loop
		}{
			{900, 600, first, nil}, {900, 400, first, second}, {700, 0, first, nil},
			{900, 50, second, nil}, {300, 50, second, first}, {300, 200, second, nil}, {50, 50, first, nil},
		} {
			first.load.last.Store(tt.first)
			second.load.last.Store(tt.second)
			s.most = len(s.all)
			if to, _ := s.balance(tt.from); to != tt.to {
				t.Errorf("%+v: to %p", tt, to)
			}
		}
	})
}

// Nobody is left behind when the last connection goes, and the next one starts anew.
func TestLoopsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeLoops(2)
		for range 3 {
			f, r := newFake(), newRecorder()
			c := s.drive(f, f, Options{})
			c.Start(r)
			f.arrive(event{data: []byte("hello"), err: io.EOF})
			if err := r.end(t); !errors.Is(err, io.EOF) || string(r.got) != "hello" {
				t.Errorf("fed %q, Closed(%v)", r.got, err)
			}
			synctest.Wait()
			if s.users != 0 || len(s.all) != 0 {
				t.Errorf("%d users, %d loops", s.users, len(s.all))
			}
		}
	})
}

// Without a loop a goroutine ends the connection.
func TestNoLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeLoops(1)
		s.open = func() (poller, error) { return nil, errTest }
		f, r := newFake(), newRecorder()
		s.drive(f, f, Options{}).Start(r)
		if err := r.end(t); !errors.Is(err, errTest) {
			t.Errorf("Closed(%v)", err)
		}
		synctest.Wait()
		if !f.isClosed() {
			t.Error("the socket stays open")
		}
	})
}

// An event for a connection that has gone is not for the one that has its seat now.
func TestStaleEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeLoops(1)
		check(t, s.acquire())
		defer s.release()
		p := s.all[0].poller.(*fakePoller)
		old, r := newFake(), newRecorder()
		s.drive(old, old, Options{}).Start(r)
		synctest.Wait()
		stale := p.seats[0]
		old.arrive(event{err: io.EOF})
		_ = r.end(t)
		synctest.Wait()

		now, r := newFake(), newRecorder()
		s.drive(now, now, Options{}).Start(r)
		synctest.Wait()
		if seat := p.seats[1]; seat.seat != stale.seat || seat.gen == stale.gen {
			t.Fatalf("seats %+v and %+v", stale, seat)
		}
		now.mu.Lock()
		now.in = []event{{data: []byte("not seen yet")}} // without an edge
		now.mu.Unlock()
		p.mu.Lock()
		stale.what = canRead | hungUp
		p.seats[0] = stale
		p.order = append(p.order, 0)
		p.mu.Unlock()
		p.wake()
		synctest.Wait()
		if len(r.got) > 0 {
			t.Errorf("fed %q", r.got)
		}
		now.arrive(event{err: io.EOF})
		if err := r.end(t); !errors.Is(err, io.EOF) || string(r.got) != "not seen yet" {
			t.Errorf("fed %q, Closed(%v)", r.got, err)
		}
	})
}

// Who floods gets one turn, then the others do.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeLoops(1)
		check(t, s.acquire())
		defer s.release()
		var order []int
		var all []*recorder
		p := s.all[0].poller.(*fakePoller)
		for i := range 3 {
			f, r := newFake(), newRecorder()
			r.feed = func(_ *Batch, p []byte) (int, error) {
				if len(p) > quantum {
					t.Errorf("%d bytes in one turn", len(p))
				}
				order = append(order, i)
				return len(p), nil
			}
			all = append(all, r)
			s.drive(f, f, Options{}).Start(r)
			synctest.Wait()
			f.in = []event{{data: make([]byte, 4*quantum), err: io.EOF}}
		}
		p.mu.Lock() // all at once
		for fd, e := range p.seats {
			e.what = canRead | hungUp
			p.seats[fd] = e
			p.order = append(p.order, fd)
		}
		p.mu.Unlock()
		p.wake()
		for _, r := range all {
			_ = r.end(t)
		}
		if len(order) != 12 {
			t.Fatalf("%d turns", len(order))
		}
		for i := 0; i < 12; i += 3 {
			if a, b, c := order[i], order[i+1], order[i+2]; a == b || b == c || a == c {
				t.Errorf("not in turn: %v", order)
			}
		}
	})
}
