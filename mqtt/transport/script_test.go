package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// scripted runs f with each engine in a bubble of its own time, with a connection over a fake socket.
func scripted(t *testing.T, o Options, f func(t *testing.T, s *fake, c *Conn, r *recorder)) {
	t.Helper()
	for name, drive := range fakeEngines {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := newFake(), newRecorder()
				c := drive(s, o)
				f(t, s, c, r)
				synctest.Wait() // Closed comes before the socket's end
				if !s.isClosed() {
					t.Error("the socket stays open")
				}
			})
		})
	}
}

var errTest = errors.New("test")

func TestDataAndFINInOneEvent(t *testing.T) {
	scripted(t, Options{}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
		s.arrive(event{data: []byte("DISCONNECT"), err: io.EOF})
		c.Start(r)
		if err := r.end(t); !errors.Is(err, io.EOF) || string(r.got) != "DISCONNECT" {
			t.Fatalf("fed %q, Closed(%v)", r.got, err)
		}
		synctest.Wait()
	})
}

func TestRepliesLeaveAfterHalfClose(t *testing.T) {
	scripted(t, Options{}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
		r.feed = func(b *Batch, p []byte) (int, error) { c.Append(b, p); return len(p), nil }
		s.short = 3
		s.arrive(event{data: []byte("0123456789"), err: io.EOF})
		c.Start(r)
		if err := r.end(t); !errors.Is(err, io.EOF) || s.sent() != "0123456789" {
			t.Fatalf("sent %q, Closed(%v)", s.sent(), err)
		}
		synctest.Wait()
	})
}

func TestShortWritesKeepOrder(t *testing.T) {
	body := bytes.Repeat([]byte("shared"), 1000)
	for short := 1; short < 9000; short = short*3 + 1 {
		scripted(t, Options{}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
			c.Start(r)
			s.set(func() { s.short, s.room = short, 0 })
			var b Batch
			want := ""
			for i := range 20 {
				head := fmt.Sprintf("<%d>", i)
				c.AppendShared(&b, []byte(head), body)
				c.AppendShared(&b, []byte(head), []byte("small"))
				want += head + string(body) + head + "small"
			}
			c.Append(&b, []byte("aABb"))
			b.Flush()
			for s.sent() != want+"aABb" {
				before := len(s.sent())
				s.set(func() { s.room = 4321 })
				synctest.Wait()
				if len(s.sent()) == before {
					t.Fatalf("stopped after %d bytes", before)
				}
			}
			if c.Buffered() != 0 {
				t.Errorf("Buffered() = %d", c.Buffered())
			}
			c.Abort(errTest)
			if err := r.end(t); !errors.Is(err, errTest) {
				t.Errorf("Closed(%v)", err)
			}
			synctest.Wait()
		})
	}
}

func TestSlowConsumer(t *testing.T) {
	scripted(t, Options{StallTimeout: time.Minute}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
		c.Start(r)
		s.set(func() { s.room = 4 })
		start := time.Now()
		c.Append(nil, []byte("0123456789"))
		for range 5 { // slow is not stalled
			time.Sleep(50 * time.Second)
			s.set(func() { s.room = 1 })
		}
		if err := r.end(t); !errors.Is(err, ErrSlowConsumer) {
			t.Fatalf("Closed(%v)", err)
		}
		if d := time.Since(start); d != 310*time.Second {
			t.Errorf("ended after %v", d)
		}
		if c.Append(nil, []byte("x")) || c.Buffered() != 0 {
			t.Error("Append after the end")
		}
		synctest.Wait()
	})
}

// A reply is not refused because of one large packet before it, only when
// replies themselves pile up.
func TestReplyBehindALargePacket(t *testing.T) {
	scripted(t, Options{OutLimit: 1000}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
		c.Start(r)
		s.set(func() { s.room = 0 })
		if !c.Append(nil, make([]byte, 100_000)) {
			t.Fatal("a large packet was refused")
		}
		n := 0
		for c.AppendReply(nil, make([]byte, 100)) {
			n++
		}
		if n != 11 { // the limit and one
			t.Errorf("%d replies taken", n)
		}
		s.set(func() { s.room = -1 })
		synctest.Wait()
		if !c.AppendReply(nil, make([]byte, 100)) || len(s.sent()) != 101_200 {
			t.Errorf("no reply once the others were sent, or %d bytes sent", len(s.sent()))
		}
		s.arrive(event{err: io.EOF})
		_ = r.end(t)
	})
}

func TestBlockedThenDrained(t *testing.T) {
	scripted(t, Options{OutLimit: 1000}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
		drained := 0
		r.drained = func(b *Batch) { drained++; c.Append(b, []byte("more")) }
		c.Start(r)
		s.set(func() { s.room = 0 })
		n := 0
		for c.Append(nil, make([]byte, 100)) {
			n++
		}
		if n != 11 { // the limit and one packet
			t.Errorf("%d packets taken", n)
		}
		synctest.Wait()
		if c.Room() || !c.AppendReply(nil, []byte("a reply")) {
			t.Error("Room, or no reply")
		}
		s.set(func() { s.room = 300 })
		synctest.Wait()
		if drained != 0 {
			t.Error("drained too early")
		}
		s.set(func() { s.room = -1 })
		synctest.Wait()
		if drained != 1 || !strings.HasSuffix(s.sent(), "more") || len(s.sent()) != 1111 {
			t.Errorf("drained %d times, %d bytes sent", drained, len(s.sent()))
		}
		if !c.Room() {
			t.Error("no Room")
		}
		s.arrive(event{data: []byte("still read")}, event{}, event{err: io.EOF})
		if err := r.end(t); !errors.Is(err, io.EOF) || string(r.got) != "still read" {
			t.Errorf("fed %q, Closed(%v)", r.got, err)
		}
		synctest.Wait()
	})
}

func TestCloseInsideFeed(t *testing.T) {
	for _, how := range []string{"close", "error", "abort"} {
		t.Run(how, func(t *testing.T) {
			scripted(t, Options{}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
				feeds := 0
				r.feed = func(b *Batch, p []byte) (int, error) {
					feeds++
					c.Append(b, []byte("bye"))
					switch how {
					case "close":
						c.Close(errTest)
						c.Close(io.EOF) // the first reason stays
					case "abort":
						c.Abort(errTest)
					case "error":
						return 0, errTest
					}
					if c.Append(b, []byte("late")) {
						t.Error("Append after Close")
					}
					return len(p), nil
				}
				s.arrive(event{data: []byte("one")}, event{data: []byte("two")})
				c.Start(r)
				if err := r.end(t); !errors.Is(err, errTest) || feeds != 1 {
					t.Fatalf("Closed(%v) after %d calls of Feed", err, feeds)
				}
				if want := map[string]string{"close": "bye", "error": "bye", "abort": ""}[how]; s.sent() != want {
					t.Errorf("sent %q", s.sent())
				}
				if how != "abort" {
					if s.isClosed() || !s.halfShut {
						t.Error("the socket must linger")
					}
					time.Sleep(DefaultLinger + time.Millisecond)
				}
				synctest.Wait()
			})
		})
	}
}

func TestCloseIsBounded(t *testing.T) {
	scripted(t, Options{CloseTimeout: 3 * time.Second}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
		c.Start(r)
		s.set(func() { s.room = 0 })
		c.Append(nil, []byte("never read"))
		synctest.Wait()
		start := time.Now()
		c.Close(errTest)
		if err := r.end(t); !errors.Is(err, errTest) || time.Since(start) != 3*time.Second {
			t.Fatalf("Closed(%v) after %v", err, time.Since(start))
		}
		synctest.Wait()
	})
}

func TestCloseOfAnUnstartedConn(t *testing.T) {
	scripted(t, Options{}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
		c.Append(nil, []byte("refused"))
		c.Close(errTest)
		synctest.Wait()
		if !s.isClosed() || s.sent() != "refused" {
			t.Error("not closed")
		}
		c.Start(r)
		if err := r.end(t); !errors.Is(err, errTest) {
			t.Errorf("Closed(%v)", err)
		}
		synctest.Wait()
	})
}

// The peer asked, sent DISCONNECT and closed; our PUBACK fails before we have read it. The answer has nowhere to go, but
// is no reason to end before the DISCONNECT is read.
func TestReadsOnAfterWriteError(t *testing.T) {
	scripted(t, Options{}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
		var fed []byte
		r.feed = func(b *Batch, p []byte) (int, error) {
			fed = append(fed, p...)
			if string(p) == "PINGREQ" && !c.AppendReply(b, []byte("PINGRESP")) {
				return 0, ErrTooLarge
			}
			return len(p), nil
		}
		c.Start(r)
		synctest.Wait()
		s.set(func() { s.werr = syscall.EPIPE })
		c.Append(nil, []byte("PUBACK"))
		s.arrive(event{data: []byte("PINGREQ")}, event{data: []byte("DISCONNECT")})
		start := time.Now()
		if err := r.end(t); !errors.Is(err, syscall.EPIPE) || string(fed) != "PINGREQDISCONNECT" {
			t.Fatalf("fed %q, Closed(%v)", fed, err)
		}
		if d := time.Since(start); d != DefaultLinger {
			t.Errorf("ended after %v", d)
		}
		if c.AppendReply(nil, []byte("PINGRESP")) {
			t.Error("AppendReply after the end")
		}
		synctest.Wait()
	})
}

// The same of a handler that takes longer for what has come than that is waited for.
func TestReadsOnAfterWriteErrorSlowly(t *testing.T) {
	scripted(t, Options{}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
		var fed []byte
		r.feed = func(b *Batch, p []byte) (int, error) {
			fed = append(fed, p...)
			time.Sleep(2 * DefaultLinger)
			return len(p), nil
		}
		c.Start(r)
		synctest.Wait()
		s.set(func() { s.werr = syscall.EPIPE })
		c.Append(nil, []byte("PUBLISH"))
		many := bytes.Repeat([]byte("PUBACK"), readChunk)
		s.arrive(event{data: many}, event{data: []byte("DISCONNECT"), err: syscall.ECONNRESET})
		if err := r.end(t); err == nil || len(fed) != len(many)+len("DISCONNECT") {
			t.Fatalf("fed %d bytes, Closed(%v)", len(fed), err)
		}
		synctest.Wait()
	})
}

// The same while the handler has it paused, until it does not: what is read is not lost for that.
func TestReadsOnAfterWriteErrorInAPause(t *testing.T) {
	for _, pause := range []time.Duration{DefaultLinger / 2, 2 * DefaultLinger} {
		scripted(t, Options{}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
			c.Start(r)
			synctest.Wait()
			c.Pause()
			s.set(func() { s.werr = syscall.EPIPE })
			start := time.Now()
			c.Append(nil, []byte("PUBLISH"))
			s.arrive(event{data: []byte("PUBACK")}, event{data: []byte("DISCONNECT"), err: syscall.ECONNRESET})
			want := ""
			if pause < DefaultLinger {
				want = "PUBACKDISCONNECT"
				time.Sleep(pause)
				c.Resume()
			}
			if err := r.end(t); err == nil || string(r.got) != want {
				t.Fatalf("fed %q, Closed(%v)", r.got, err)
			}
			if d := time.Since(start); d != min(pause, DefaultLinger) {
				t.Errorf("ended after %v", d)
			}
			synctest.Wait()
		})
	}
}

// debtor owes an answer for a while.
type debtor struct {
	*recorder
	owes atomic.Bool
}

func (d *debtor) Unanswered() bool { return d.owes.Load() }

// The peer asks and ends its half; the answer takes until later.
func TestAnswersBehindTheEnd(t *testing.T) {
	scripted(t, Options{}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
		d := &debtor{recorder: r}
		d.owes.Store(true)
		s.arrive(event{data: []byte("SUBSCRIBE"), err: io.EOF})
		c.Start(d)
		time.Sleep(time.Hour)
		c.Resume() // not because of the answer
		synctest.Wait()
		if !c.AppendReply(nil, []byte("SUBACK")) {
			t.Fatal("it is closed")
		}
		d.owes.Store(false)
		c.Resume()
		if err := r.end(t); err != io.EOF || string(r.got) != "SUBSCRIBE" || s.sent() != "SUBACK" { //nolint:errorlint // as it is
			t.Errorf("fed %q, sent %q, Closed(%v)", r.got, s.sent(), err)
		}
		synctest.Wait()
	})
}

// Who owes something to a peer that is gone altogether does not keep the connection.
func TestAnswersToNobody(t *testing.T) {
	scripted(t, Options{}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
		d := &debtor{recorder: r}
		d.owes.Store(true)
		s.arrive(event{err: io.EOF})
		c.Start(d)
		synctest.Wait()
		s.set(func() { s.werr = syscall.EPIPE })
		c.AppendReply(nil, []byte("SUBACK"))
		if err := r.end(t); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Closed(%v)", err)
		}
		synctest.Wait()
	})
}

func TestReadError(t *testing.T) {
	scripted(t, Options{}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
		s.arrive(event{data: []byte("data"), err: syscall.ECONNRESET})
		c.Start(r)
		if err := r.end(t); !errors.Is(err, syscall.ECONNRESET) || string(r.got) != "data" {
			t.Fatalf("fed %q, Closed(%v)", r.got, err)
		}
		synctest.Wait()
	})
}

func TestPauseAndResume(t *testing.T) {
	scripted(t, Options{}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
		var seen []string
		pause := true
		r.feed = func(_ *Batch, p []byte) (int, error) {
			seen = append(seen, string(p))
			if pause {
				c.Pause()
				return 2, nil
			}
			return len(p), nil
		}
		s.arrive(event{data: []byte("abcdef")}, event{data: []byte("ghi")})
		c.Start(r)
		synctest.Wait()
		if fmt.Sprint(seen) != "[abcdef]" {
			t.Fatalf("while paused: %q", seen)
		}
		pause = false
		c.Resume()
		synctest.Wait()
		if fmt.Sprint(seen) != "[abcdef cdef ghi]" {
			t.Fatalf("after Resume: %q", seen)
		}
		c.Pause()
		s.arrive(event{data: []byte("jkl")})
		synctest.Wait()
		if len(seen) != 3 {
			t.Fatalf("paused from outside: %q", seen)
		}
		c.Close(nil) // wakes a paused reader
		if err := r.end(t); !errors.Is(err, ErrClosed) {
			t.Fatalf("Closed(%v)", err)
		}
		time.Sleep(2 * DefaultLinger)
		synctest.Wait()
	})
}

// Who resumes before the reader has noticed the pause is presented the rest all the same, once for each Resume: also
// when it made no progress the time before, for it may have waited for two things.
func TestResumeWithinFeed(t *testing.T) {
	scripted(t, Options{}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
		var seen []string
		r.feed = func(_ *Batch, p []byte) (int, error) {
			seen = append(seen, string(p))
			switch len(seen) {
			case 3, 5:
				c.Pause()
				return 0, nil
			case 4, 6:
				c.Pause()
				c.Resume()
				return 0, nil
			case 7:
				return 0, nil
			}
			c.Pause()
			c.Resume()
			return 1, nil
		}
		s.arrive(event{data: []byte("abcd")})
		c.Start(r)
		synctest.Wait()
		for _, want := range []string{"[abcd bcd cd]", "[abcd bcd cd cd cd]", "[abcd bcd cd cd cd cd cd]"} {
			if fmt.Sprint(seen) != want {
				t.Fatalf("seen %q, want %s", seen, want)
			}
			c.Resume()
			synctest.Wait()
		}
		c.Close(nil)
		_ = r.end(t)
		time.Sleep(2 * DefaultLinger)
		synctest.Wait()
	})
}

// packets is a Handler of packets with a four byte length, whole or nothing.
func packets(r *recorder, sizes *[]int) func(*Batch, []byte) (int, error) {
	return func(_ *Batch, p []byte) (int, error) {
		n := 0
		for len(p)-n >= 4 {
			size := 4 + int(binary.BigEndian.Uint32(p[n:]))
			if len(p)-n < size {
				break
			}
			if bytes.Count(p[n+4:n+size], []byte{byte(size)}) != size-4 {
				return n, errors.New("wrong bytes")
			}
			*sizes = append(*sizes, size)
			n += size
		}
		return n, nil
	}
}

func packet(size int) []byte {
	p := bytes.Repeat([]byte{byte(size)}, size)
	binary.BigEndian.PutUint32(p, uint32(size-4))
	return p
}

func TestPacketsOfEverySizeInPiecesOfEverySize(t *testing.T) {
	want := []int{4, 5, 100, readChunk/2 - 1, readChunk / 2, readChunk/2 + 1, 7, readChunk - 1, readChunk, readChunk + 1, 9, 3 * readChunk, 10 << 20, 12, 300}
	var stream []byte
	for _, n := range want {
		stream = append(stream, packet(n)...)
	}
	for _, piece := range []int{1999, 4096, readChunk/2 + 1, readChunk, readChunk + 1, 1 << 20, len(stream)} {
		scripted(t, Options{}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
			var sizes []int
			r.feed = packets(r, &sizes)
			for p := range slices.Chunk(stream, piece) {
				s.arrive(event{data: bytes.Clone(p)}, event{})
			}
			s.arrive(event{err: io.EOF})
			c.Start(r)
			if err := r.end(t); !errors.Is(err, io.EOF) || fmt.Sprint(sizes) != fmt.Sprint(want) {
				t.Fatalf("pieces of %d: %v, Closed(%v)", piece, sizes, err)
			}
			synctest.Wait()
		})
	}
}

func TestInLimit(t *testing.T) {
	scripted(t, Options{InLimit: 100_000}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
		most := 0
		r.feed = func(_ *Batch, p []byte) (int, error) { most = max(most, len(p)); return 0, nil }
		for range 20 {
			s.arrive(event{data: make([]byte, 10_000)})
		}
		c.Start(r)
		if err := r.end(t); !errors.Is(err, ErrTooLarge) || most != 100_000 {
			t.Fatalf("Closed(%v) after %d bytes", err, most)
		}
		time.Sleep(2 * DefaultLinger)
		synctest.Wait()
	})
}
