package transport

import (
	"bytes"
	"errors"
	"io"
	"testing"
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
