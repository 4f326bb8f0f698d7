package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// halfway is a connection that sends packets of a size that its handler waits for.
type halfway struct {
	*recorder
	c      *Conn
	near   io.WriteCloser
	listen func() // reads what is sent to it
	whole  int
	packet atomic.Int32 // that were whole
	told   atomic.Bool  // Shed was called
}

func (h *halfway) Shed(err error) {
	h.told.Store(errors.Is(err, ErrMemory))
	h.c.CloseWith([]byte("bye"), err)
}

// halfways make connections with each engine.
var halfways = map[string]halfwayEngine{
	"goroutine": func(addr net.Addr, o Options) (*Conn, io.WriteCloser, func()) {
		near, far := net.Pipe()
		return New(distant{far, addr}, o), near, func() { go func() { _, _ = io.Copy(io.Discard, near) }() }
	},
	"loop": func(addr net.Addr, o Options) (*Conn, io.WriteCloser, func()) {
		f := newFake()
		f.room = 0
		return newFakeLoops(1).drive(f, distant{f, addr}, o), arriving{f}, func() { f.set(func() { f.room = -1 }) }
	},
}

// arriving is the peer of a fake.
type arriving struct{ *fake }

func (a arriving) Write(p []byte) (int, error) {
	if a.isClosed() {
		return 0, io.ErrClosedPipe
	}
	a.arrive(event{data: bytes.Clone(p)})
	return len(p), nil
}

// halfwayEngine makes connections of one engine.
type halfwayEngine func(addr net.Addr, o Options) (*Conn, io.WriteCloser, func())

// eachHalfway runs f in a bubble of its own time with each engine.
func eachHalfway(t *testing.T, f func(t *testing.T, e halfwayEngine)) {
	for name, e := range halfways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, e) })
		})
	}
}

// from starts one from ip, "" for this machine.
func (e halfwayEngine) from(budget *Budget, ip string, whole int) *halfway {
	h := &halfway{recorder: newRecorder(), whole: whole}
	h.feed = func(_ *Batch, p []byte) (int, error) {
		if len(p) < whole {
			return 0, nil
		}
		h.packet.Add(1)
		return whole, nil
	}
	var addr net.Addr = &net.UnixAddr{}
	if ip != "" {
		addr = &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}
	}
	h.c, h.near, h.listen = e(addr, Options{Budget: budget, Linger: -1})
	h.c.Start(h)
	return h
}

func (h *halfway) listening() *halfway {
	h.listen()
	return h
}

// send writes n bytes and reports whether the connection took them.
func (h *halfway) send(n int) bool {
	_, err := h.near.Write(make([]byte, n))
	synctest.Wait()
	return err == nil && len(h.closed) == 0
}

func (h *halfway) end() {
	h.c.Abort(nil)
	synctest.Wait()
	h.near.Close()
}

// Packets that have come in part are counted by what they take, and no longer when they are whole.
func TestPartialPacketsAreCounted(t *testing.T) {
	eachHalfway(t, func(t *testing.T, e halfwayEngine) {
		budget := &Budget{}
		budget.SetHigh(64 << 20)
		h := e.from(budget, "192.0.2.1", 1<<20)
		for _, tt := range []struct {
			n        int
			min, max int64
		}{
			{1 << 10, 0, 0},                // a little is what every connection may have
			{9 << 10, 10 << 10, readChunk}, // in a buffer that may have been larger
			{90 << 10, 100 << 10, 200 << 10},
			{900 << 10, 1000 << 10, 2000 << 10},
			{24<<10 + 3, 0, 0},
		} {
			h.send(tt.n)
			if used := budget.Used(); used < tt.min || used > tt.max {
				t.Errorf("after %d bytes more: %d used", tt.n, used)
			}
		}
		if n := h.packet.Load(); n != 1 {
			t.Errorf("%d packets", n)
		}
		h.send(500 << 10)
		h.end()
		if used := budget.Used(); used != 0 || budget.in.bytes != 0 || budget.in.first != nil {
			t.Errorf("%d used when it has gone", used)
		}
	})
}

// The host with most half-sent packets loses its largest ones; nobody else does, and all the others come to their end.
func TestMostPartialGoes(t *testing.T) {
	eachHalfway(t, func(t *testing.T, e halfwayEngine) {
		budget := &Budget{}
		budget.SetHigh(8 << 20) // of which 4 MiB may be packets in part
		var bad []*halfway
		for i := range 12 {
			h := e.from(budget, fmt.Sprintf("2001:db8::%x", i), 1<<20).listening()
			if !h.send(200 << 10) {
				t.Fatal("gone below the limit")
			}
			bad = append(bad, h)
		}
		good := e.from(budget, "192.0.2.1", 3<<19).listening()
		if !good.send(5 << 18) {
			t.Error("the one who has most of one packet is gone, not who has most")
		}
		lost := 0
		for _, h := range bad {
			if len(h.closed) == 0 {
				continue
			}
			lost++
			if err := <-h.closed; !errors.Is(err, ErrMemory) || !h.told.Load() {
				t.Errorf("Closed(%v), told %t", err, h.told.Load())
			}
			h.closed <- nil
		}
		if lost != 6 { // to 7/8 of the limit
			t.Errorf("%d of 12 have gone", lost)
		}
		if !good.send(1<<18) || good.packet.Load() != 1 {
			t.Error("the one who goes on does not come to the end")
		}
		for _, h := range append(bad, good) {
			h.end()
		}
		if used := budget.Used(); used != 0 || budget.in.bytes != 0 {
			t.Errorf("%d used when all have gone", used)
		}
	})
}

// Packets that together are too much never wait for each other: some end, the others are whole.
func TestPartialPacketsDoNotWait(t *testing.T) {
	eachHalfway(t, func(t *testing.T, e halfwayEngine) {
		budget := &Budget{}
		budget.SetHigh(4 << 20)
		var all []*halfway
		for i := range 8 {
			ip := fmt.Sprintf("192.0.2.%d", i)
			if i%2 == 0 {
				ip = ""
			}
			all = append(all, e.from(budget, ip, 1<<20).listening())
		}
		for range 16 {
			for _, h := range all {
				if len(h.closed) == 0 {
					h.send(64 << 10)
				}
			}
			if limit := int64(2<<20 + 128<<10); budget.in.bytes > limit {
				t.Errorf("%d bytes are held", budget.in.bytes)
			}
		}
		whole := 0
		for _, h := range all {
			whole += int(h.packet.Load())
			if gone := len(h.closed) > 0; gone == (h.packet.Load() == 1) {
				t.Errorf("neither whole nor ended, or both: ended is %t", gone)
			}
			h.end()
		}
		if whole == 0 {
			t.Error("no packet came to its end")
		}
	})
}

// When others use up the memory, packets in part may have less; a single one is let be.
func TestPartialPacketsYield(t *testing.T) {
	eachHalfway(t, func(t *testing.T, e halfwayEngine) {
		budget := &Budget{}
		budget.SetHigh(8 << 20)
		budget.Add(8 << 20)
		one := e.from(budget, "192.0.2.1", 8<<20).listening()
		if !one.send(6 << 20) {
			t.Error("the only one has gone")
		}
		two := e.from(budget, "192.0.2.2", 8<<20).listening()
		two.send(200 << 10)
		if len(one.closed) == 0 || len(two.closed) != 0 {
			t.Errorf("the larger has gone: %t, the smaller: %t", len(one.closed) > 0, len(two.closed) > 0)
		}
		one.end()
		two.end()
	})
}

// What an ended connection had of a packet is free at once, also when its peer does not take the last bytes.
func TestShedIsFreeAtOnce(t *testing.T) {
	eachHalfway(t, func(t *testing.T, e halfwayEngine) {
		budget := &Budget{}
		budget.SetHigh(64 << 20)
		h := e.from(budget, "192.0.2.1", 8<<20)
		h.send(1 << 20)
		h.c.shed()
		synctest.Wait()
		if len(h.closed) > 0 || budget.in.bytes != 0 {
			t.Errorf("closed: %t, %d bytes", len(h.closed) > 0, budget.in.bytes)
		}
		time.Sleep(DefaultCloseTimeout)
		if err := h.recorder.end(t); !errors.Is(err, ErrMemory) {
			t.Errorf("Closed(%v)", err)
		}
		h.near.Close()
	})
}
