package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestUnixSocketFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mqtt.sock")
	e, err := ParseURL("unix://" + path)
	check(t, err)

	// A process that died leaves its socket's file.
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	check(t, err)
	dead.SetUnlinkOnClose(false)
	check(t, dead.Close())
	l, err := Listen(t.Context(), e, ListenOptions{UnixMode: 0o600})
	check(t, err)
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi, err)
	}
	if _, err := Listen(t.Context(), e, ListenOptions{}); err == nil {
		t.Error("two listeners on one socket")
	}
	if l.URL() != "unix://"+path || l.Addr().String() != path {
		t.Errorf("URL() = %s, Addr() = %s", l.URL(), l.Addr())
	}
	check(t, l.Close())
	check(t, l.Close())
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file stays: %v", err)
	}

	check(t, os.WriteFile(path, []byte("a file of somebody"), 0o600))
	if _, err := Listen(t.Context(), e, ListenOptions{}); err == nil {
		t.Error("listens over a regular file")
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("a regular file was removed: %v", err)
	}
}

func TestListenErrors(t *testing.T) {
	for _, url := range []string{"mqtts://127.0.0.1:0", "wss://127.0.0.1:0"} {
		e, _ := ParseURL(url)
		if _, err := Listen(t.Context(), e, ListenOptions{}); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s without a certificate: %v", url, err)
		}
	}
	e, _ := ParseURL("mqtt://127.0.0.1:0")
	l, err := Listen(t.Context(), e, ListenOptions{})
	check(t, err)
	defer l.Close()
	used, _ := ParseURL(l.URL())
	if _, err := Listen(t.Context(), used, ListenOptions{}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("port in use: %v", err)
	}
}

func TestListenerURL(t *testing.T) {
	for in, want := range map[string]string{
		"mqtt://:0": "mqtt://127.0.0.1:", "mqtt://0.0.0.0:0": "mqtt://127.0.0.1:", "mqtt://[::1]:0": "mqtt://[::1]:",
		"ws://localhost:0/p": "ws://localhost:", "mqtt://[::]:0": "mqtt://127.0.0.1:",
	} {
		e, _ := ParseURL(in)
		l, err := Listen(t.Context(), e, ListenOptions{})
		check(t, err)
		if !strings.HasPrefix(l.URL(), want) || strings.Contains(l.URL(), ":0/") {
			t.Errorf("%s: %s", in, l.URL())
		}
		back, err := ParseURL(l.URL())
		check(t, err)
		nc, err := net.Dial("tcp", back.Address())
		check(t, err)
		nc.Close()
		l.Close()
	}
}

func TestAcceptMayRefuse(t *testing.T) { eachEngine(t, testAcceptMayRefuse) }

func testAcceptMayRefuse(t *testing.T, loops *Loops) {
	seen := make(chan net.Addr, 2)
	closing := newRecorder()
	first := true
	url := serve(t, "mqtt://127.0.0.1:0", ListenOptions{Conn: Options{Loops: loops}}, func(c *Conn) Handler {
		seen <- c.RemoteAddr()
		if first {
			first = false
			return nil
		}
		c.Append(nil, []byte("go away"))
		c.Close(errTest)
		return closing
	})
	for _, want := range []string{"", "go away"} {
		nc := dial(t, url, DialOptions{})
		got, err := io.ReadAll(nc)
		if err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
		if a := <-seen; a.String() != nc.LocalAddr().String() {
			t.Errorf("RemoteAddr() = %s, the client is %s", a, nc.LocalAddr())
		}
		nc.Close()
	}
	if err := closing.end(t); !errors.Is(err, errTest) {
		t.Errorf("Closed(%v)", err)
	}
}

func TestDialBindAndErrors(t *testing.T) {
	url := serve(t, "mqtt://127.0.0.1:0", ListenOptions{}, echo)
	for _, bind := range []string{"127.0.0.2", "127.0.0.3:0"} {
		nc := dial(t, url, DialOptions{Bind: bind})
		if a := nc.LocalAddr().String(); !strings.HasPrefix(a, bind[:9]+":") {
			t.Errorf("bound to %s, not %s", a, bind)
		}
		nc.Close()
	}
	e, _ := ParseURL(url)
	if _, err := Dial(t.Context(), e, DialOptions{Bind: "not an address"}); err == nil || !strings.Contains(err.Error(), "bind address") {
		t.Errorf("bad bind address: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	free, _ := ParseURL("mqtt://" + l.Addr().String())
	l.Close()
	var d *DialError
	if _, err := Dial(t.Context(), free, DialOptions{}); !errors.Is(err, syscall.ECONNREFUSED) || !errors.As(err, &d) || d.Step != "connect" {
		t.Errorf("nobody listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, free, DialOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	zero, _ := ParseURL("mqtt://127.0.0.1:0")
	if _, err := Dial(t.Context(), zero, DialOptions{}); err == nil {
		t.Error("port 0 was dialled")
	}
}

// moody is a net.Listener whose accept(2) fails a few times.
type moody struct {
	net.Listener
	errs  []error
	conns chan net.Conn
	calls atomic.Int32
}

func (m *moody) Accept() (net.Conn, error) {
	m.calls.Add(1)
	if len(m.errs) > 0 {
		err := m.errs[0]
		m.errs = m.errs[1:]
		return nil, err
	}
	nc, ok := <-m.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return nc, nil
}

func (m *moody) Close() error { close(m.conns); return nil }

func TestAcceptErrorsAreOutlived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		m := &moody{conns: make(chan net.Conn)}
		for range 10 {
			m.errs = append(m.errs, os.NewSyscallError("accept", syscall.EMFILE))
		}
		m.errs = append(m.errs, os.NewSyscallError("accept", syscall.ECONNABORTED))
		e, _ := ParseURL("mqtt://127.0.0.1:0")
		l, err := Listen(t.Context(), e, ListenOptions{OnError: func(peer net.Addr, err error) { told = append(told, err.Error()) }})
		check(t, err)
		check(t, l.nl.Close())
		l.nl = m
		r := newRecorder()
		done := make(chan error)
		ctx, cancel := context.WithCancel(context.Background())
		start := time.Now()
		go func() { done <- l.Serve(ctx, func(c *Conn) Handler { return r }) }()
		a, b := net.Pipe()
		m.conns <- a
		if wait := time.Since(start); len(told) != 11 || wait < 3*time.Second || wait > 6*time.Second {
			t.Errorf("accepted after %v and %d errors", wait, len(told))
		}
		if !strings.Contains(told[0], "too many open files") {
			t.Errorf("told %q", told[0])
		}
		_, err = b.Write([]byte("hello"))
		check(t, err)
		check(t, b.Close())
		if err := r.end(t); !errors.Is(err, io.EOF) || string(r.got) != "hello" {
			t.Errorf("fed %q, Closed(%v)", r.got, err)
		}
		cancel()
		check(t, <-done)
	})
}

func TestTenMegabytes(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 10<<16)
	everywhere(t, func(t *testing.T, url string, d DialOptions, near Options) {
		r := newRecorder()
		got := 0
		r.feed = func(_ *Batch, p []byte) (int, error) {
			if len(p) < len(body)+1 {
				return 0, nil
			}
			if p[0] != 'h' || !bytes.Equal(p[1:], body) {
				return 0, errors.New("the echo differs")
			}
			got = len(p)
			return len(p), io.ErrNoProgress // any error, to end it
		}
		c := New(dial(t, url, d), near)
		c.Start(r)
		if !c.AppendShared(nil, []byte("h"), body) {
			t.Fatal("refused")
		}
		if err := r.end(t); !errors.Is(err, io.ErrNoProgress) || got != len(body)+1 {
			t.Errorf("Closed(%v) after %d bytes", err, got)
		}
	})
}

// A client that closes its half after its last packet gets the answers, and the server's half is closed too.
func TestHalfClose(t *testing.T) { eachEngine(t, testHalfClose) }

func testHalfClose(t *testing.T, loops *Loops) {
	for _, url := range []string{"mqtt://127.0.0.1:0", "mqtt://[::1]:0", "unix"} {
		nc := dial(t, serve(t, url, ListenOptions{Conn: Options{Loops: loops}}, echo), DialOptions{})
		want := bytes.Repeat([]byte("x"), 3<<20)
		go func() {
			_, _ = nc.Write(want)
			_ = halfClose(nc)
		}()
		got, err := io.ReadAll(nc)
		if err != nil || len(got) != len(want) {
			t.Errorf("%s: %d bytes, %v", url, len(got), err)
		}
		nc.Close()
	}
}
