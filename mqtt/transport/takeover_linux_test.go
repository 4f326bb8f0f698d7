package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// A connection that was dialled is driven by Loops if there is a socket of the system's below its layers.
func TestTakeOver(t *testing.T) {
	server, client := certs(t)
	for _, url := range everyScheme {
		loops := &Loops{}
		u := serve(t, url, ListenOptions{TLS: server}, echo)
		nc := dial(t, u, DialOptions{TLS: client})
		local, remote := nc.LocalAddr().String(), nc.RemoteAddr().String()
		c := New(nc, Options{Loops: loops})
		if c.poll() == nil {
			t.Fatalf("%s: a goroutine would read", url)
		}
		if l, ok := nc.(*link); ok {
			nc = l.Conn
		}
		if _, err := nc.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: the net.Conn is left open: %v", url, err)
		}
		if got := c.RemoteAddr().String(); got != remote {
			t.Errorf("%s: the peer is %s, was %s", url, got, remote)
		}
		if got := c.LocalAddr().String(); got != local {
			t.Errorf("%s: we are %s, were %s", url, got, local)
		}
		if n := len(loops.all); n != 0 {
			t.Errorf("%s: %d loops before the first connection has started", url, n)
		}
		testEcho(t, c)
	}
}

func testEcho(t *testing.T, c *Conn) {
	t.Helper()
	r := newRecorder()
	c.Start(r)
	c.Append(nil, []byte("hello"))
	r.waitFor(t, func(got []byte) bool { return string(got) == "hello" })
	c.Close(nil)
	if err := r.end(t); !errors.Is(err, ErrClosed) {
		t.Errorf("Closed(%v)", err)
	}
}

// wrapped is more than the socket in it.
type wrapped struct{ net.Conn }

func TestTakeOverNothingElse(t *testing.T) {
	c := New(wrapped{dial(t, serve(t, "mqtt://127.0.0.1:0", ListenOptions{}, echo), DialOptions{})}, Options{Loops: &Loops{}})
	if c.poll() != nil {
		t.Error("a loop would read")
	}
	testEcho(t, c)
}

// A Conn that is never started gives its descriptor back.
func TestTakeOverAndClose(t *testing.T) {
	for _, end := range []func(*Conn){func(c *Conn) { c.Close(nil) }, func(c *Conn) { c.Abort(nil) }} {
		a, b := pair(t)
		end(New(a, Options{Loops: &Loops{}}))
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the peer read %v", err)
		}
		b.Close()
	}
}

// Connections with equal options share them.
func TestShareOptions(t *testing.T) {
	loops := &Loops{}
	a, b, other := loops.share(Options{Loops: loops}), loops.share(Options{Loops: loops}), loops.share(Options{Loops: loops, OutLimit: 5})
	if a != b || a == other || other.OutLimit != 5 || a.OutLimit != DefaultOutLimit {
		t.Errorf("%p %p %p", a, b, other)
	}
}

// Where no loop can be opened, every connection of a Listener has a goroutine.
func TestListenersWithoutALoop(t *testing.T) {
	server, client := certs(t)
	for _, url := range everyScheme {
		loops := &Loops{open: func() (poller, error) { return nil, errTest }}
		told := make(chan error, 9)
		o := ListenOptions{TLS: server, Conn: Options{Loops: loops}, OnError: func(_ net.Addr, err error) { told <- err }}
		testEcho(t, New(dial(t, serve(t, url, o, echo), DialOptions{TLS: client}), Options{}))
		if err := <-told; !errors.Is(err, errTest) {
			t.Errorf("%s: told %v", url, err)
		}
	}
}

// A Listener keeps a loop open between its connections, with TLS and WebSocket too.
func TestListenersKeepALoop(t *testing.T) {
	server, client := certs(t)
	for _, url := range everyScheme {
		opened := make(chan bool, 9)
		loops := &Loops{open: func() (poller, error) { opened <- true; return newPoller() }}
		u := serve(t, url, ListenOptions{TLS: server, Conn: Options{Loops: loops}}, echo)
		for range 3 {
			testEcho(t, New(dial(t, u, DialOptions{TLS: client}), Options{}))
		}
		if n := len(opened); n != 1 {
			t.Errorf("%s: %d loops were opened", url, n)
		}
	}
}

// However connections of loops end, each descriptor is given back.
func TestDescriptorsAreGivenBack(t *testing.T) {
	server, client := certs(t)
	open := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		check(t, err)
		return len(all)
	}
	for _, url := range everyScheme {
		loops := &Loops{}
		var refuse atomic.Bool
		accepted := make(chan *Conn, 1)
		o := Options{Loops: loops, Linger: -1}
		u := serve(t, url, ListenOptions{TLS: server, Conn: o}, func(c *Conn) Handler {
			h := echo(c)
			if refuse.Load() {
				h = nil
			}
			accepted <- c
			return h
		})
		testEcho(t, New(dial(t, u, DialOptions{TLS: client}), o)) // what is opened once is open
		<-accepted
		before := open()
		for i := range 12 {
			refuse.Store(i%6 == 5)
			c, r := New(dial(t, u, DialOptions{TLS: client}), o), newRecorder()
			far := <-accepted
			switch i % 6 {
			case 0, 1, 2:
				c.Start(r)
				[]func(error){c.Close, c.Abort, far.Close}[i%6](nil)
				_ = r.end(t)
			case 3:
				c.Close(nil) // never started
			case 4:
				c.Start(r)
				far.Abort(nil)
				_ = r.end(t)
			case 5:
				c.Start(r)
				_ = r.end(t)
			}
		}
		for begun := time.Now(); open() > before; time.Sleep(time.Millisecond) {
			if time.Since(begun) > patience {
				t.Fatalf("%s: %d descriptors are open, %d were before", url, open(), before)
			}
		}
	}
}
