package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

// overWebSocket drives a fake as a Server does whose client speaks WebSocket.
func overWebSocket(s *fake, drive func(*fake, Options) *Conn) *Conn {
	c := drive(s, Options{})
	c.extra.filt = (&link{Conn: s, ws: newWebSocket(ws.StateServerSide)}).detach(c)
	return c
}

// Frames that carry nothing are cheap to send; a few are fine at any time, a flood is not.
func TestUselessFrames(t *testing.T) {
	for name, drive := range fakeEngines {
		t.Run(name, func(t *testing.T) { testUselessFrames(t, drive) })
	}
}

func testUselessFrames(t *testing.T, drive func(*fake, Options) *Conn) {
	ping, empty := frame(ws.OpPing, true, true, "are you there"), frame(ws.OpBinary, true, true, "")
	begin, more := frame(ws.OpBinary, false, true, ""), frame(ws.OpContinuation, false, true, "")
	for name, tt := range map[string]struct {
		first, each []byte
	}{
		"pings":               {nil, ping},
		"pongs":               {nil, frame(ws.OpPong, true, true, "")},
		"empty messages":      {nil, empty},
		"fragments of size 0": {begin, more},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, r := newFake(), newRecorder()
				c := overWebSocket(s, drive)
				c.Start(r)
				s.arrive(event{data: tt.first}, event{data: bytes.Clone(tt.each)})
				for range 5000 { // hours of them
					time.Sleep(10 * time.Second)
					s.arrive(event{data: bytes.Clone(tt.each)})
				}
				synctest.Wait()
				if len(r.closed) > 0 {
					t.Fatalf("Closed(%v)", <-r.closed)
				}
				s.arrive(event{data: bytes.Repeat(tt.each, 900)})
				synctest.Wait()
				if len(r.closed) > 0 {
					t.Fatalf("after 900 at once: Closed(%v)", <-r.closed)
				}
				s.arrive(event{data: bytes.Repeat(tt.each, 200)})
				if err := r.end(t); !errors.Is(err, ErrWebSocket) {
					t.Errorf("Closed(%v)", err)
				}
				if want := frame(ws.OpClose, true, false, string(ws.NewCloseFrameBody(ws.StatusPolicyViolation, ""))); !strings.HasSuffix(s.sent(), string(want)) {
					t.Errorf("the end is not a Close frame with 1008")
				}
				time.Sleep(2 * DefaultLinger)
			})
		})
	}
}

// dripping is a socket that always has one more frame.
type dripping struct {
	*fake
	frame []byte
}

func (d *dripping) read(p []byte) (int, error) {
	time.Sleep(10 * time.Millisecond)
	return copy(p, d.frame), nil
}

// A peer whose frames never let the reader rest cannot keep it from ending the connection.
func TestFramesWithoutEndDoNotHoldTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r := newFake(), newRecorder()
		c := overWebSocket(s, fakeConn)
		c.extra.sock = &dripping{s, frame(ws.OpPing, true, true, "")}
		c.Start(r)
		time.Sleep(5 * time.Second)
		start := time.Now()
		c.Abort(errTest)
		if err := r.end(t); !errors.Is(err, errTest) || time.Since(start) > time.Second {
			t.Errorf("Closed(%v) after %v", err, time.Since(start))
		}
		synctest.Wait()
	})
}

// Who goes on sending after Close, ours or its own, and never closes the socket has a second.
func TestCloseHandshakeIsBounded(t *testing.T) {
	for name, drive := range fakeEngines {
		t.Run(name, func(t *testing.T) { testCloseHandshakeIsBounded(t, drive) })
	}
}

func testCloseHandshakeIsBounded(t *testing.T, drive func(*fake, Options) *Conn) {
	for _, ours := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s, r := newFake(), newRecorder()
			c := overWebSocket(s, drive)
			c.Start(r)
			start := time.Now()
			for i := range 10_000 { // for 50 seconds
				time.AfterFunc(time.Duration(i)*5*time.Millisecond, func() {
					s.arrive(event{data: frame(ws.OpPing, true, true, "still here")})
				})
			}
			if ours {
				c.Close(errTest)
			} else {
				s.arrive(event{data: frame(ws.OpClose, true, true, "\x03\xe8")})
			}
			_ = r.end(t)
			for !s.isClosed() && time.Since(start) < time.Minute {
				time.Sleep(10 * time.Millisecond)
			}
			if d := time.Since(start); d > DefaultCloseTimeout+DefaultLinger {
				t.Errorf("ours is %t: the socket is there for %v", ours, d)
			}
			time.Sleep(time.Minute)
		})
	}
}

// No more sockets linger than there is room for; the others are closed at once.
func TestLingeringIsBounded(t *testing.T) {
	for name, drive := range fakeEngines {
		t.Run(name, func(t *testing.T) { testLingeringIsBounded(t, drive) })
	}
}

func testLingeringIsBounded(t *testing.T, drive func(*fake, Options) *Conn) {
	synctest.Test(t, func(t *testing.T) {
		budget := &Budget{}
		closeOne := func() (s *fake) {
			s, r := newFake(), newRecorder()
			c := drive(s, Options{Budget: budget})
			c.Start(r)
			c.Close(errTest)
			_ = r.end(t)
			synctest.Wait()
			return s
		}
		budget.lingering.Store(maxLingering - 1)
		if s := closeOne(); s.isClosed() || budget.lingering.Load() != maxLingering {
			t.Error("does not linger")
		}
		if s := closeOne(); !s.isClosed() {
			t.Error("lingers")
		}
		time.Sleep(2 * DefaultLinger)
		if n := budget.lingering.Load(); n != maxLingering-1 {
			t.Errorf("%d linger at the end", n)
		}
	})
}

// A WebSocket request has 16 KiB and the time of the handshake, however it is cut.
func TestRequestsAreBounded(t *testing.T) {
	const start = "GET /mqtt HTTP/1.1\r\nHost: x\r\n"
	for name, tt := range map[string]struct {
		begin, each string
		pause       time.Duration
		want        error
	}{
		"a header without end":      {start + "X-A: ", strings.Repeat("a", 1000), 0, errRequestTooLarge},
		"headers without end":       {start, "X-A: b\r\n", 0, errRequestTooLarge},
		"empty headers":             {start, "a:\r\n", 0, errRequestTooLarge},
		"a request line":            {"GET /", "x", 0, errRequestTooLarge},
		"byte by byte":              {"", "G", time.Second, context.DeadlineExceeded},
		"header by header":          {start, "X-A: b\r\n", time.Second, context.DeadlineExceeded},
		"a body instead of frames":  {start + "\r\n", "x", time.Second, nil},
		"line ends before the line": {"", "\r\n", time.Second, nil},
		"MQTT without WebSocket":    {"", "\x10", time.Second, errNoRequest},
		"TLS":                       {"", "\x16", time.Second, errNoRequest},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told atomic.Pointer[error]
				d := &door{t: t, m: &moody{conns: make(chan net.Conn)}, ended: make(chan error, 1)}
				l, err := ListenOn(d.m, &Endpoint{Scheme: SchemeWS, Path: "/mqtt"}, ListenOptions{OnError: func(_ net.Addr, err error) { told.Store(&err) }})
				check(t, err)
				ctx, cancel := context.WithCancel(context.Background())
				d.over = cancel
				go func() { d.ended <- l.Serve(ctx, echo) }()
				nc := d.knock("192.0.2.1")
				begun := time.Now()
				go func() { _, _ = io.Copy(io.Discard, nc) }()
				_, err = io.WriteString(nc, tt.begin)
				sent := 0
				for ; err == nil && sent < 1<<20; sent += len(tt.each) {
					time.Sleep(tt.pause)
					_, err = io.WriteString(nc, tt.each)
				}
				if err == nil {
					t.Error("it was taken without end")
				}
				synctest.Wait()
				if p := told.Load(); p == nil || tt.want != nil && !errors.Is(*p, tt.want) {
					t.Errorf("told %v", fmt.Sprint(p))
				}
				if waited := time.Since(begun); sent > 2*maxRequest || waited > DefaultHandshakeTimeout+2*time.Second {
					t.Errorf("%d bytes in %v", sent, waited)
				}
				nc.Close()
				d.close()
			})
		})
	}
}
