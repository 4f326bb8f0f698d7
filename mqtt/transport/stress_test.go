package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A stress packet is 8 bytes: the number of its sender and its place in that sender's order, then a pattern of its own.
const stressHead = 8

// stressRead checks the order of each sender in p and returns what it consumed.
func stressRead(p []byte, next map[uint16]uint32) (int, error) {
	n := 0
	for len(p)-n >= stressHead {
		who, size := binary.BigEndian.Uint16(p[n:]), int(binary.BigEndian.Uint16(p[n+2:]))
		seq := binary.BigEndian.Uint32(p[n+4:])
		if len(p)-n < stressHead+size {
			break
		}
		if seq != next[who] {
			return n, fmt.Errorf("sender %d: packet %d, want %d", who, seq, next[who])
		}
		for i, b := range p[n+stressHead : n+stressHead+size] {
			if b != stressByte(who, seq, i) {
				return n, fmt.Errorf("sender %d: packet %d: byte %d is wrong", who, seq, i)
			}
		}
		next[who]++
		n += stressHead + size
	}
	return n, nil
}

func stressPacket(who uint16, seq uint32, size int) []byte {
	p := make([]byte, stressHead+size)
	binary.BigEndian.PutUint16(p, who)
	binary.BigEndian.PutUint16(p[2:], uint16(size))
	binary.BigEndian.PutUint32(p[4:], seq)
	for i := range size {
		p[stressHead+i] = stressByte(who, seq, i)
	}
	return p
}

// stressByte is byte i of what a stress packet is filled with.
func stressByte(who uint16, seq uint32, i int) byte {
	return byte(uint32(who)*31 + seq*7 + uint32(i)*13)
}

// stressSend appends count packets in one sender's order, waiting for room when it must.
func stressSend(c *Conn, who uint16, count int, rnd *rand.Rand) {
	var b Batch
	for seq := range count {
		size := rnd.IntN(300)
		if rnd.IntN(20) == 0 {
			size = shareFrom + rnd.IntN(20000)
		}
		p := stressPacket(who, uint32(seq), size)
		for {
			ok := false
			if rnd.IntN(2) == 0 {
				ok = c.Append(&b, p)
			} else {
				ok = c.AppendShared(&b, p[:stressHead], p[stressHead:])
			}
			if ok {
				break
			}
			b.Flush()
			time.Sleep(time.Millisecond)
		}
		if rnd.IntN(10) == 0 {
			b.Flush()
		}
	}
	b.Flush()
}

// TestRandomSchedules lets several goroutines send through a socket that takes and brings bytes as chance has it.
func TestRandomSchedules(t *testing.T) {
	for name, drive := range fakeEngines {
		t.Run(name, func(t *testing.T) { randomSchedules(t, drive) })
	}
}

func randomSchedules(t *testing.T, drive func(*fake, Options) *Conn) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			s, r := newFake(), newRecorder()
			s.room = 0
			next := map[uint16]uint32{}
			r.feed = func(_ *Batch, p []byte) (int, error) { return stressRead(p, next) }
			c := drive(s, Options{OutLimit: 1 << (10 + rnd.IntN(10)), StallTimeout: -1})
			c.Start(r)
			const senders, count = 4, 150
			var wg sync.WaitGroup
			for who := range uint16(senders) {
				rnd := rand.New(rand.NewPCG(seed, uint64(who)+2))
				wg.Go(func() { stressSend(c, who, count, rnd) })
			}
			var in []byte
			for seq := range uint32(200) {
				in = append(in, stressPacket(9, seq, rnd.IntN(2000))...)
			}
			wg.Go(func() { stressArrive(s, c, in, rand.New(rand.NewPCG(seed, 99))) })
			sent := make(chan struct{})
			go func() { wg.Wait(); close(sent) }()
			for open := true; open; {
				s.set(func() { s.room, s.short = rnd.IntN(5000), rnd.IntN(3000) })
				time.Sleep(time.Duration(rnd.IntN(3)) * time.Millisecond)
				select {
				case <-sent:
					open = false
				default:
				}
			}
			s.set(func() { s.room, s.short = -1, 0 })
			synctest.Wait()
			got := map[uint16]uint32{}
			if n, err := stressRead([]byte(s.sent()), got); err != nil || n != len(s.sent()) {
				t.Fatalf("seed %d: %v, %d of %d bytes", seed, err, n, len(s.sent()))
			}
			for who := range uint16(senders) {
				if got[who] != count {
					t.Errorf("seed %d: sender %d: %d packets", seed, who, got[who])
				}
			}
			s.arrive(event{err: io.EOF})
			if err := r.end(t); !errors.Is(err, io.EOF) || next[9] != 200 {
				t.Errorf("seed %d: fed %d packets, Closed(%v)", seed, next[9], err)
			}
			synctest.Wait()
		})
	}
}

// stressArrive brings in to the socket in random pieces, and pauses and resumes reading meanwhile.
func stressArrive(s *fake, c *Conn, in []byte, rnd *rand.Rand) {
	for len(in) > 0 {
		n := min(len(in), 1+rnd.IntN(5000))
		s.arrive(event{data: in[:n]})
		in = in[n:]
		switch rnd.IntN(6) {
		case 0:
			s.arrive(event{})
		case 1:
			c.Pause()
		case 2:
			time.Sleep(time.Millisecond)
		}
		c.Resume()
	}
}

// TestStressSockets is the same over real sockets with tiny buffers, in every layer, closing at random.
func TestStressSockets(t *testing.T) {
	everyServer(t, func(t *testing.T, url string, o ListenOptions, d DialOptions) {
		accepted := make(chan *stressed, 1)
		// Close must not give up on a busy machine: what is sent is what is checked.
		o.Conn.OutLimit, o.Conn.CloseTimeout = 1<<16, time.Minute
		u := serve(t, url, o, func(c *Conn) Handler {
			s := newStressed(c)
			accepted <- s
			return s
		})
		for round := range 4 {
			c := New(dial(t, u, d), o.Conn)
			near := newStressed(c)
			c.Start(near)
			far := <-accepted
			var wg sync.WaitGroup
			for who := range uint16(3) {
				wg.Go(func() { stressSend(c, who, 300, rand.New(rand.NewPCG(uint64(round), uint64(who)))) })
				wg.Go(func() { stressSend(far.c, who, 300, rand.New(rand.NewPCG(uint64(round), uint64(who)+9))) })
			}
			wg.Wait()
			closer, other := near, far
			if round%2 == 1 {
				closer, other = far, near
			}
			other.waitFor(t, func([]byte) bool { return other.have() >= 3*300 })
			closer.waitFor(t, func([]byte) bool { return closer.have() >= 3*300 })
			closer.c.Close(errTest)
			if err := closer.end(t); !errors.Is(err, errTest) {
				t.Errorf("Closed(%v)", err)
			}
			if err := other.end(t); !errors.Is(err, io.EOF) {
				t.Errorf("the peer's Closed(%v)", err)
			}
			for _, s := range []*stressed{near, far} {
				for who := range uint16(3) {
					if n := s.next[who]; n != 300 {
						t.Errorf("sender %d: %d packets", who, n)
					}
				}
			}
		}
	})
}

// stressed checks what it is fed, and pauses now and then.
type stressed struct {
	*recorder
	c    *Conn
	next map[uint16]uint32
	sum  atomic.Int32
}

func newStressed(c *Conn) *stressed {
	s := &stressed{recorder: newRecorder(), c: c, next: map[uint16]uint32{}}
	s.feed = func(_ *Batch, p []byte) (int, error) {
		n, err := stressRead(p, s.next)
		if n > 0 && len(p)%7 == 0 { // else it would be paused again for the same bytes
			c.Pause()
			time.AfterFunc(time.Microsecond, c.Resume)
		}
		sum := uint32(0)
		for _, k := range s.next {
			sum += k
		}
		s.sum.Store(int32(sum))
		return n, err
	}
	smallBuffers(c)
	return s
}

func (s *stressed) have() int { return int(s.sum.Load()) }

// smallBuffers makes writes block soon. The receiver keeps its buffer: a tiny window would make TCP wait for its timers.
func smallBuffers(c *Conn) {
	if b, ok := c.nc().(interface{ SetWriteBuffer(int) error }); ok {
		_ = b.SetWriteBuffer(4 << 10)
	}
}

// TestCloseRaces ends connections from both sides and from several goroutines at once.
func TestCloseRaces(t *testing.T) { eachEngine(t, testCloseRaces) }

func testCloseRaces(t *testing.T, loops *Loops) {
	for name, linger := range map[string]time.Duration{"lingers": 10 * time.Millisecond, "does not": -1} {
		t.Run(name, func(t *testing.T) {
			type end struct {
				*recorder
				c *Conn
			}
			accepted := make(chan end, 1)
			url := serve(t, "mqtt://127.0.0.1:0", ListenOptions{Conn: Options{Loops: loops, Linger: linger}}, func(c *Conn) Handler {
				r := newRecorder()
				r.feed = func(bt *Batch, p []byte) (int, error) { c.Append(bt, p); return len(p), nil }
				accepted <- end{r, c}
				return r
			})
			for i := range 200 {
				r := newRecorder()
				c := New(dial(t, url, DialOptions{}), Options{Linger: -1, Loops: loops})
				c.Start(r)
				far := <-accepted
				if i%2 == 0 {
					closeRace(t, i, c, far.c, r, far.recorder)
				} else {
					closeRace(t, i, far.c, c, far.recorder, r)
				}
			}
		})
	}
}

func closeRace(t *testing.T, i int, ca, cb *Conn, ra, rb *recorder) {
	var wg sync.WaitGroup
	wg.Go(func() {
		for range i % 20 {
			cb.Append(nil, []byte("0123456789"))
		}
		cb.Close(errTest)
	})
	wg.Go(func() {
		if i%3 == 0 {
			ca.Abort(errTest)
		} else {
			ca.Close(errTest)
		}
	})
	wg.Go(func() { ca.Pause(); ca.Resume() })
	wg.Wait()
	for _, r := range []*recorder{ra, rb} {
		err := r.end(t)
		if !errors.Is(err, errTest) && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Fatalf("Closed(%v)", err)
		}
	}
}

// TestNetPipe drives a net.Conn that is nothing else, in a time of its own.
func TestNetPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		r := newRecorder()
		c := New(a, Options{StallTimeout: time.Minute})
		r.feed = func(bt *Batch, p []byte) (int, error) { c.Append(bt, p); return len(p), nil }
		c.Start(r)
		go func() { _, _ = b.Write(make([]byte, 200_000)) }()
		if _, err := io.ReadFull(b, make([]byte, 200_000)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		c.Append(nil, []byte("nobody reads"))
		if err := r.end(t); !errors.Is(err, ErrSlowConsumer) || time.Since(start) != time.Minute {
			t.Errorf("Closed(%v) after %v", err, time.Since(start))
		}
		check(t, b.Close())
	})
}
