package transport

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// crowd is who a wide fan-out goes to, over fakes.
type crowd struct {
	conns  []*Conn
	fakes  []*fake
	ends   []*recorder
	mu     sync.Mutex
	writes int             // to them
	wrote  func(write int) // the number of one, from 1
}

// newCrowd has n connections driven by drive.
func newCrowd(n int, drive func(*fake, Options) *Conn) *crowd { return newCrowdOf(n, 0, drive) }

// newCrowdOf is newCrowd with an OutLimit.
func newCrowdOf(n, limit int, drive func(*fake, Options) *Conn) *crowd {
	m := &crowd{}
	for range n {
		f, r := newFake(), newRecorder()
		f.took = func() {
			m.mu.Lock()
			m.writes++
			write := m.writes
			m.mu.Unlock()
			if m.wrote != nil {
				m.wrote(write)
			}
		}
		c := drive(f, Options{OutLimit: limit})
		m.conns, m.fakes, m.ends = append(m.conns, c), append(m.fakes, f), append(m.ends, r)
		c.Start(r)
	}
	return m
}

func (m *crowd) written() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.writes
}

// send appends p for each of them.
func (m *crowd) send(b *Batch, p []byte) {
	for _, c := range m.conns {
		c.Append(b, p)
	}
}

// publisher returns one that sends each byte it is fed to all of them, and stops when that is enough.
func (m *crowd) publisher(each func(*Batch, byte)) *recorder {
	r := newRecorder()
	r.feed = func(b *Batch, p []byte) (n int, _ error) {
		for n < len(p) && !b.Enough() {
			if each != nil {
				each(b, p[n])
			}
			m.send(b, p[n:n+1])
			n++
		}
		return n, nil
	}
	return r
}

// end ends them.
func (m *crowd) end(t *testing.T) {
	t.Helper()
	for i, f := range m.fakes {
		f.arrive(event{err: io.EOF})
		if err := m.ends[i].end(t); !errors.Is(err, io.EOF) {
			t.Errorf("Closed(%v)", err)
		}
	}
	synctest.Wait()
}

func endOf(t *testing.T, f *fake, r *recorder) {
	t.Helper()
	f.arrive(event{err: io.EOF})
	if err := r.end(t); !errors.Is(err, io.EOF) {
		t.Errorf("Closed(%v)", err)
	}
}

const wide = 10*slice + 100

// Whoever becomes readable while a wide fan-out leaves is answered after a slice of it.
func TestSpreadLetsOthersIn(t *testing.T) {
	for name, size := range map[string]int{"small": 1, "shared": 100_000} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFakeLoops(1)
				drive := func(f *fake, o Options) *Conn { return s.drive(f, f, o) }
				m := newCrowd(wide, drive)
				victim, v := newFake(), newRecorder()
				vc := drive(victim, Options{})
				v.feed = func(b *Batch, p []byte) (int, error) { vc.Append(b, []byte("pong")); return len(p), nil }
				vc.Start(v)
				asked, answered := 0, 0
				victim.took = func() { answered = m.written() }
				m.wrote = func(n int) {
					if n == 2*slice { // of ten
						asked = n
						victim.arrive(event{data: []byte("ping")})
					}
				}
				body := make([]byte, size)
				pub, p := newFake(), newRecorder()
				p.feed = func(b *Batch, p []byte) (int, error) {
					for _, c := range m.conns {
						c.AppendShared(b, p, body)
					}
					return len(p), nil
				}
				drive(pub, Options{}).Start(p)
				pub.arrive(event{data: []byte{'h'}})
				synctest.Wait()
				if between := answered - asked; asked == 0 || answered == 0 || between > slice {
					t.Errorf("%d writes to others before the answer", between)
				}
				if n := m.written(); n < wide {
					t.Errorf("%d writes in the end", n)
				}
				for _, f := range m.fakes {
					if len(f.sent()) != 1+size {
						t.Fatalf("%d bytes were sent", len(f.sent()))
					}
				}
				endOf(t, pub, p)
				endOf(t, victim, v)
				m.end(t)
			})
		})
	}
}

// While one read brings many messages to many, others are fed between two of them, and all leave in one piece.
func TestSpreadFeedsOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeLoops(1)
		drive := func(f *fake, o Options) *Conn { return s.drive(f, f, o) }
		m := newCrowd(wide, drive)
		const messages = 40
		brought, before := 0, 0
		victim, v := newFake(), newRecorder()
		v.feed = func(_ *Batch, p []byte) (int, error) { before = brought; return len(p), nil }
		drive(victim, Options{}).Start(v)
		p := m.publisher(func(*Batch, byte) {
			if brought++; brought == 10 {
				victim.arrive(event{data: []byte("ping")})
			}
		})
		pub := newFake()
		drive(pub, Options{}).Start(p)
		pub.arrive(event{data: make([]byte, messages)})
		synctest.Wait()
		if most := 10 + enough/wide; before < 10 || before > most || brought != messages {
			t.Errorf("others were fed behind %d messages, want at most %d; there were %d", before, most, brought)
		}
		if n := m.written(); n != wide {
			t.Errorf("%d writes to %d", n, wide)
		}
		endOf(t, pub, p)
		endOf(t, victim, v)
		m.end(t)
	})
}

// A publisher is not read while what it brought has not left.
func TestSpreadHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeLoops(1)
		drive := func(f *fake, o Options) *Conn { return s.drive(f, f, o) }
		m := newCrowd(wide, drive)
		pubs := []*fake{newFake(), newFake()}
		var ends []*recorder
		rounds := 0
		for _, f := range pubs {
			p := m.publisher(func(*Batch, byte) {
				if n := m.written(); n%wide != 0 {
					t.Errorf("fed after %d writes to %d", n, wide)
				}
			})
			ends = append(ends, p)
			drive(f, Options{}).Start(p)
			f.arrive(event{data: []byte{'1'}})
			synctest.Wait() // it is known for it now
		}
		m.wrote = func(n int) {
			if rounds < 5 && n%wide == slice+1 { // all the while something is to be sent
				rounds++
				for _, f := range pubs {
					f.arrive(event{data: []byte{'2'}})
				}
			}
		}
		for _, f := range pubs {
			f.arrive(event{data: []byte{'3'}})
		}
		synctest.Wait()
		if rounds != 5 {
			t.Errorf("%d rounds", rounds)
		}
		for _, f := range m.fakes {
			if n := len(f.sent()); n != 2*7 {
				t.Fatalf("%d messages were sent", n)
			}
		}
		for i, f := range pubs {
			endOf(t, f, ends[i])
		}
		m.end(t)
	})
}

// Many publishers together fill no out-buffer of who takes what it is sent.
func TestSpreadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeLoops(1)
		drive := func(f *fake, o Options) *Conn { return s.drive(f, f, o) }
		const limit, size, publishers, messages = 16 << 10, 1 << 10, 8, 6
		m := newCrowdOf(2*slice, limit, drive)
		refused, most := 0, 0
		var pubs []*fake
		var ends []*recorder
		for range publishers {
			f, p := newFake(), newRecorder()
			p.feed = func(b *Batch, p []byte) (n int, _ error) {
				for ; len(p)-n >= size && !b.Enough(); n += size {
					for _, c := range m.conns {
						if !c.Append(b, p[n:n+size]) {
							refused++
						}
					}
					most = max(most, m.conns[0].Buffered())
				}
				return n, nil
			}
			pubs, ends = append(pubs, f), append(ends, p)
			drive(f, Options{}).Start(p)
			f.arrive(event{data: make([]byte, size)})
			synctest.Wait() // it is known for it now
		}
		for _, f := range pubs {
			f.arrive(event{data: make([]byte, messages*size)})
		}
		synctest.Wait()
		if refused > 0 || most > limit/2+size || most < 2*size {
			t.Errorf("%d messages were refused, up to %d bytes waited", refused, most)
		}
		for _, f := range m.fakes {
			if n := len(f.sent()); n != publishers*(1+messages)*size {
				t.Fatalf("%d bytes were sent", n)
			}
		}
		for i, f := range pubs {
			endOf(t, f, ends[i])
		}
		m.end(t)
	})
}

// Each publisher's messages come in their order, by whatever slices, and none is lost. Narrow ones go between them.
func TestSpreadKeepsOrder(t *testing.T) {
	for _, loops := range []int{1, 2} {
		t.Run(fmt.Sprint(loops), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { spreadKeepsOrder(t, loops) })
		})
	}
}

func spreadKeepsOrder(t *testing.T, loops int) {
	s := newFakeLoops(loops)
	s.restless = loops > 1
	drive := func(f *fake, o Options) *Conn { return s.drive(f, f, o) }
	m := newCrowd(2*slice+7, drive)
	rnd := rand.New(rand.NewPCG(uint64(loops), 7))
	const publishers, count = 4, 30
	var pubs []*fake
	var ends []*recorder
	for who := range publishers {
		f, p := newFake(), newRecorder()
		p.feed = func(b *Batch, p []byte) (n int, _ error) {
			for len(p)-n >= stressHead && !b.Enough() {
				size := stressHead + int(binary.BigEndian.Uint16(p[n+2:]))
				if len(p)-n < size {
					break
				}
				to := m.conns
				if who == 0 {
					to = to[:10]
				}
				for _, c := range to {
					c.Append(b, p[n:n+size])
				}
				n += size
			}
			return n, nil
		}
		pubs, ends = append(pubs, f), append(ends, p)
		drive(f, Options{}).Start(p)
	}
	var all sync.WaitGroup
	for who, f := range pubs {
		rnd := rand.New(rand.NewPCG(uint64(who), rnd.Uint64()))
		all.Go(func() {
			for seq := uint32(0); seq < count; {
				var in []byte
				for range 1 + rnd.IntN(8) {
					if seq < count {
						in = append(in, stressPacket(uint16(who), seq, rnd.IntN(400))...)
						seq++
					}
				}
				cut := rnd.IntN(len(in))
				f.arrive(event{data: in[:cut]}, event{}, event{data: in[cut:]})
				if rnd.IntN(3) == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for i, f := range m.fakes {
		if i%5 == 0 { // somebody is slow
			f.set(func() { f.room = 1000 })
		}
	}
	all.Wait()
	synctest.Wait()
	for i, f := range m.fakes {
		f.set(func() { f.room = -1 })
		synctest.Wait()
		got := map[uint16]uint32{}
		if n, err := stressRead([]byte(f.sent()), got); err != nil || n != len(f.sent()) {
			t.Fatalf("%v, %d of %d bytes", err, n, len(f.sent()))
		}
		for who := range uint16(publishers) {
			if want := uint32(count); (who > 0 || i < 10) && got[who] != want {
				t.Fatalf("publisher %d: %d messages of %d", who, got[who], want)
			}
		}
	}
	for i, f := range pubs {
		endOf(t, f, ends[i])
	}
	m.end(t)
}

// Connections that end while they are owed something, and those that owe it, hold nobody up.
func TestSpreadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeLoops(1)
		drive := func(f *fake, o Options) *Conn { return s.drive(f, f, o) }
		m := newCrowd(wide, drive)
		p := m.publisher(nil)
		pub := newFake()
		pc := drive(pub, Options{})
		pc.Start(p)
		m.wrote = func(n int) {
			if n != slice+1 { // of the second round
				return
			}
			for i, c := range m.conns[4*slice:] {
				switch i % 3 {
				case 0:
					c.Close(errTest)
				case 1:
					c.Abort(errTest)
				}
			}
			pc.Close(errTest)
		}
		pub.arrive(event{data: []byte("x")})
		if err := p.end(t); !errors.Is(err, errTest) {
			t.Errorf("Closed(%v)", err)
		}
		synctest.Wait()
		for i, f := range m.fakes {
			gone := i >= 4*slice && (i-4*slice)%3 < 2
			if aborted := gone && (i-4*slice)%3 == 1; !aborted && f.sent() != "x" {
				t.Fatalf("connection %d: %q was sent", i, f.sent())
			}
			want := io.EOF
			if gone {
				want = errTest
			} else {
				f.arrive(event{err: io.EOF})
			}
			if err := m.ends[i].end(t); !errors.Is(err, want) {
				t.Errorf("Closed(%v)", err)
			}
		}
		time.Sleep(2 * DefaultLinger)
		synctest.Wait()
		if s.users != 0 || len(s.all) != 0 {
			t.Errorf("%d users, %d loops", s.users, len(s.all))
		}
	})
}

// A loop that ends with its last connection sends what it owes to those that have a goroutine.
func TestSpreadLoopEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newCrowd(wide, fakeConn)
		p := m.publisher(nil)
		f := newFake()
		s := newFakeLoops(1)
		s.drive(f, f, Options{Linger: -1}).Start(p)
		f.arrive(event{data: []byte("x"), err: io.EOF})
		if err := p.end(t); !errors.Is(err, io.EOF) {
			t.Errorf("Closed(%v)", err)
		}
		synctest.Wait()
		for _, f := range m.fakes {
			if f.sent() != "x" {
				t.Fatalf("%q was sent", f.sent())
			}
		}
		if len(s.all) != 0 {
			t.Errorf("%d loops", len(s.all))
		}
		m.end(t)
	})
}

// What goes to many from outside of Feed leaves in slices, too, unless there is no loop any more.
func TestSpreadFromOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeLoops(1)
		drive := func(f *fake, o Options) *Conn { return s.drive(f, f, o) }
		m := newCrowd(wide, fakeConn)
		victim, v := newFake(), newRecorder()
		vc := drive(victim, Options{Linger: -1})
		v.feed = func(b *Batch, p []byte) (int, error) { vc.Append(b, []byte("pong")); return len(p), nil }
		vc.Start(v)
		between := 0
		victim.took = func() { between = m.written() - 1 }
		m.wrote = func(n int) {
			if n == 1 {
				victim.arrive(event{data: []byte("ping")})
			}
		}
		var b Batch
		for range 2 {
			m.send(&b, []byte("x"))
			vc.Flush(&b)
			synctest.Wait()
		}
		if between == 0 || between > slice {
			t.Errorf("%d writes to others before the answer", between)
		}
		m.send(&b, []byte("x"))
		vc.Flush(&b)
		endOf(t, victim, v)
		synctest.Wait()
		m.send(&b, []byte("x"))
		vc.Flush(&b)
		synctest.Wait()
		for _, f := range m.fakes {
			if f.sent() != "xxxx" {
				t.Fatalf("%q was sent", f.sent())
			}
		}
		m.end(t)
	})
}

// Without a loop a fan-out takes as long as it takes, and holds up nobody but its publisher.
func TestSpreadByGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newCrowd(wide, fakeConn)
		victim, v := newFake(), newRecorder()
		vc := fakeConn(victim, Options{})
		v.feed = func(b *Batch, p []byte) (int, error) { vc.Append(b, []byte("pong")); return len(p), nil }
		vc.Start(v)
		answered := make(chan struct{})
		victim.took = func() { close(answered) }
		m.wrote = func(n int) {
			if n == 1 {
				victim.arrive(event{data: []byte("ping")})
				<-answered
			}
		}
		p := m.publisher(nil)
		pub := newFake()
		fakeConn(pub, Options{}).Start(p)
		pub.arrive(event{data: []byte("abc")})
		synctest.Wait()
		for _, f := range m.fakes {
			if f.sent() != "abc" {
				t.Fatalf("%q was sent", f.sent())
			}
		}
		endOf(t, pub, p)
		endOf(t, victim, v)
		m.end(t)
	})
}

// What was written in a turn may have left before the turn gets heavy: with TLS, one has several reads.
func TestSpreadBehindAnOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeLoops(1)
		drive := func(f *fake, o Options) *Conn { return s.drive(f, f, o) }
		before, behind := newCrowd(slice-10, drive), newCrowd(slice-50, drive)
		first, p := newFake(), before.publisher(nil)
		drive(first, Options{}).Start(p)
		n, r := layer(t, layers{version: tls.VersionTLS13}, Options{}, drive), newRecorder()
		feeds := 0
		r.feed = func(b *Batch, p []byte) (int, error) {
			feeds++
			behind.send(b, p[:1])
			return len(p), nil
		}
		n.c.Start(r)
		wire := n.gather(func() {
			for range 2 {
				_, _ = n.near.Write(make([]byte, overlapFrom+1))
			}
		})
		both, k := newFake(), newRecorder()
		k.feed = func(_ *Batch, p []byte) (int, error) {
			first.arrive(event{data: []byte("x")})
			n.s.arrive(event{data: wire})
			return len(p), nil
		}
		drive(both, Options{}).Start(k)
		both.arrive(event{data: []byte("x")})
		synctest.Wait()
		if n := before.written() + behind.written(); feeds != 2 || n != slice-10+2*(slice-50) {
			t.Errorf("%d calls of Feed, %d writes", feeds, n)
		}
		n.c.Abort(nil)
		_ = r.end(t)
		endOf(t, first, p)
		endOf(t, both, k)
		before.end(t)
		behind.end(t)
	})
}

func TestFIFO(t *testing.T) {
	var q fifo[int]
	next, want := 0, 0
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		for range rnd.IntN(5) {
			q.push(next)
			next++
		}
		for range min(rnd.IntN(5), q.len()) {
			if x := q.pop(); x != want {
				t.Fatalf("%d, want %d", x, want)
			}
			want++
		}
		if q.len() != next-want {
			t.Fatalf("%d, want %d", q.len(), next-want)
		}
	}
	for q.len() > 0 {
		q.pop()
	}
	if n := cap(q.s); n > 4096 {
		t.Errorf("it keeps %d places", n)
	}
}
