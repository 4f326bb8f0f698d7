package transport

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
)

// Who does not read is counted and, above the high water, held to a little; who reads is neither.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := &Budget{}
		budget.SetHigh(1 << 20)
		open := func() (*Conn, net.Conn) {
			near, far := net.Pipe()
			c := New(far, Options{OutLimit: 8 << 20, Budget: budget, Linger: -1})
			c.Start(newRecorder())
			return c, near
		}
		deaf, deafPeer := open()
		reading, readingPeer := open()
		go func() { _, _ = io.Copy(io.Discard, readingPeer) }()

		chunk := make([]byte, 10_000)
		taken := 0
		for deaf.Append(nil, chunk) {
			taken += len(chunk)
			if !reading.Append(nil, chunk) {
				t.Fatal("the one who reads is refused")
			}
			synctest.Wait()
		}
		if taken < 1<<20 || taken > 1<<20+64<<10 {
			t.Errorf("%d bytes were taken", taken)
		}
		if used := budget.Used(); used < 1<<20 || used > 1<<20+64<<10 || !budget.High() {
			t.Errorf("%d used", used)
		}
		if !reading.Append(nil, chunk) {
			t.Error("the one who reads pays for the other")
		}
		budget.SetHigh(8 << 20)
		if !deaf.Append(nil, chunk) {
			t.Error("refused below the high water")
		}
		deaf.Abort(nil)
		reading.Abort(nil)
		synctest.Wait()
		if used := budget.Used(); used != 0 {
			t.Errorf("%d used when all have gone", used)
		}
		deafPeer.Close()
		readingPeer.Close()
	})
}

// Answers that a peer asks for and does not read are bounded by the memory of all, too.
func TestRepliesKeepToTheBudget(t *testing.T) {
	for _, high := range []bool{false, true} {
		scripted(t, Options{Budget: &Budget{}, Linger: -1}, func(t *testing.T, s *fake, c *Conn, r *recorder) {
			c.opt.Budget.SetHigh(1000)
			if high {
				c.opt.Budget.Add(2000)
			} else {
				c.opt.Budget.SetHigh(1 << 30)
			}
			s.set(func() { s.room = 0 })
			c.Start(r)
			taken := 0
			for taken < 10<<20 && c.AppendReply(nil, make([]byte, 1000)) {
				taken += 1000
				synctest.Wait()
			}
			if want := map[bool]int{false: DefaultOutLimit, true: spareOut}[high]; taken < want || taken > want+3000 {
				t.Errorf("above the high water %t: %d bytes", high, taken)
			}
			c.Abort(nil)
			_ = r.end(t)
			synctest.Wait()
		})
	}
}
