package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestRefusalsAreSummedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		p, err := (&brokerOptions{port: 0}).plan(slog.New(slog.NewTextHandler(&out, nil)))
		if err != nil {
			t.Fatal(err)
		}
		peer := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7}
		lines := func() (single, sums int) {
			synctest.Wait()
			text := out.String()
			return strings.Count(text, `msg="connection refused" addr=192.0.2.1:7 err=bad`), strings.Count(text, "more connections refused")
		}
		for range 200 {
			p.options.OnError(peer, errors.New("bad"))
			time.Sleep(10 * time.Millisecond)
		}
		if single, sums := lines(); single != refusalLines || sums != 0 {
			t.Errorf("a flood makes %d lines and %d sums", single, sums)
		}
		time.Sleep(refusalSum)
		if _, sums := lines(); sums != 1 || !strings.Contains(out.String(), "count=195 within=10s") {
			t.Errorf("summed up %d times: %s", sums, out.String())
		}
		time.Sleep(time.Hour)
		for range 3 {
			p.options.OnError(peer, errors.New("bad"))
			time.Sleep(time.Second)
		}
		if single, sums := lines(); single != refusalLines+3 || sums != 1 {
			t.Errorf("a few make %d lines, %d sums", single-refusalLines, sums)
		}
		for range refusalLines + 2 {
			p.options.OnError(peer, errors.New("bad"))
		}
		p.refused.sum() // the end
		if _, sums := lines(); sums != 2 || !strings.Contains(out.String(), "count=2 ") {
			t.Errorf("at the end: %s", out.String())
		}
		time.Sleep(time.Hour)
		if _, sums := lines(); sums != 2 {
			t.Error("summed up twice")
		}
	})
}

// What this machine lacks is told at the broker's usual level, also while strangers make it count refusals.
func TestNoDescriptorIsAWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		p, err := (&brokerOptions{port: 0}).plan(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn})))
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			p.options.OnError(&net.TCPAddr{}, errors.New("bad"))
			p.options.OnError(nil, fmt.Errorf("accept: %w", syscall.EMFILE))
		}
		time.Sleep(refusalSum)
		synctest.Wait()
		if n := strings.Count(out.String(), `level=WARN msg="no file descriptor is left`); n != refusalLines {
			t.Errorf("%d lines:\n%s", n, out.String())
		}
		if !strings.Contains(out.String(), `level=WARN msg="more connections not accepted" count=95`) {
			t.Errorf("not summed up:\n%s", out.String())
		}
		p.options.OnError(nil, errors.New("other"))
		if !strings.Contains(out.String(), `level=WARN msg="connection not accepted" err=other`) {
			t.Errorf("another error:\n%s", out.String())
		}
		p.refused.sum()
	})
}

// lockedBuffer is a log that one goroutine writes while another reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
