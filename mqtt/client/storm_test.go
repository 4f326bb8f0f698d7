package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt/client"
)

// crowd is a server whose clients all lose their connections at once.
type crowd struct {
	mu    sync.Mutex
	conns []net.Conn
	down  bool
	came  []time.Time // attempts since it is down
}

func (c *crowd) dial(context.Context) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		c.came = append(c.came, time.Now())
		return nil, errors.New("down")
	}
	near, far := net.Pipe()
	c.conns = append(c.conns, far)
	go func() {
		buf := make([]byte, 1024)
		if _, err := far.Read(buf); err != nil {
			return
		}
		_, _ = far.Write([]byte{0x20, 3, 0, 0, 0}) // CONNACK
		for {
			if _, err := far.Read(buf); err != nil {
				return
			}
		}
	}()
	return near, nil
}

// A thousand clients that lose their server in one instant do not come back in one: the first attempts are spread over Min, the
// later ones over ever longer times.
func TestReconnectsAreNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients = 1000
		var s crowd
		var all []*client.Client
		for i := range clients {
			c, err := client.Connect(t.Context(), client.Options{ClientID: fmt.Sprint(i), Dial: s.dial, NoKeepAlive: true, Reconnect: &client.Backoff{}})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
		s.mu.Lock()
		s.down = true
		for _, c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		began := time.Now()
		time.Sleep(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		perSlot := map[time.Duration]int{}
		const slot = 50 * time.Millisecond
		for _, at := range s.came {
			perSlot[at.Sub(began)/slot]++
		}
		// 50 are expected in each of the first 20 slots, and fewer later; the deviation is 7.
		for n, count := range perSlot {
			if count > 125 {
				t.Errorf("%d of %d attempts come in the 50 ms from %v", count, len(s.came), n*slot)
			}
		}
		if n := len(s.came); n < 4*clients || n > 9*clients {
			t.Errorf("%d attempts in a minute", n)
		}
		for _, c := range all {
			c.Close()
		}
	})
}
