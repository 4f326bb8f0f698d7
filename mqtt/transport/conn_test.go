package transport

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"
)

func TestEchoEveryScheme(t *testing.T) {
	everywhere(t, func(t *testing.T, url string, d DialOptions, near Options) {
		r := newRecorder()
		c := New(dial(t, url, d), near)
		c.Start(r)
		var want []byte
		var b Batch
		for i := range 100 {
			p := bytes.Repeat([]byte{byte(i)}, i*37)
			want = append(want, p...)
			if !c.Append(&b, p) {
				t.Fatal("Append refused")
			}
			if i%3 == 0 {
				b.Flush()
			}
		}
		b.Flush()
		got := r.waitFor(t, func(got []byte) bool { return len(got) >= len(want) })
		if !bytes.Equal(got, want) {
			t.Fatal("the echo differs")
		}
		why := errors.New("enough")
		c.Close(why)
		if err := r.end(t); !errors.Is(err, why) {
			t.Fatalf("Closed(%v), want %v", err, why)
		}
	})
}

func TestPlainUseOfDialledConn(t *testing.T) {
	everywhere(t, func(t *testing.T, url string, d DialOptions, _ Options) {
		nc := dial(t, url, d)
		want := bytes.Repeat([]byte("0123456789"), 1000)
		if _, err := nc.Write(want); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(nc, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("echo differs, %v", err)
		}
		check(t, nc.Close())
	})
}

// What has come and was not read can be seen, and the end of the stream too, below any layer.
func TestUnread(t *testing.T) {
	everyServer(t, func(t *testing.T, url string, o ListenOptions, d DialOptions) {
		conns, fed := make(chan *Conn, 1), make(chan string, 1)
		r := newRecorder()
		u := serve(t, url, o, func(c *Conn) Handler {
			r.feed = func(_ *Batch, p []byte) (int, error) {
				c.Pause() // so that it reads nothing more
				fed <- string(p)
				return len(p), nil
			}
			c.Pause()
			conns <- c
			return r
		})
		nc := dial(t, u, d)
		c := <-conns
		comes := func() {
			for start := time.Now(); !c.Unread(); time.Sleep(time.Millisecond) {
				if time.Since(start) > patience {
					t.Fatal("nothing has come")
				}
			}
		}
		_, err := nc.Write([]byte("x"))
		check(t, err)
		comes()
		c.Resume()
		if got := <-fed; got != "x" || c.Unread() {
			t.Errorf("it was fed %q, something is left: %v", got, c.Unread())
		}
		check(t, nc.Close())
		comes()
		c.Resume()
		if err := r.end(t); !errors.Is(err, io.EOF) {
			t.Errorf("Closed(%v)", err)
		}
		if c.Unread() {
			t.Error("something is left of a connection that has ended")
		}
	})
}
