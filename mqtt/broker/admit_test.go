package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt/transport"
)

// doorway is a net.Listener whose connections a test makes.
type doorway struct {
	conns chan net.Conn
}

func (d *doorway) Accept() (net.Conn, error) {
	nc, ok := <-d.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return nc, nil
}

func (d *doorway) Close() error   { close(d.conns); return nil }
func (d *doorway) Addr() net.Addr { return &net.TCPAddr{} }

// knock connects from ip and reads away what it is answered; end gets the time when it was closed.
func (d *doorway) knock(ip, say string) (nc net.Conn, end chan time.Time) {
	near, far := net.Pipe()
	d.conns <- located{far, &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}}
	end = make(chan time.Time, 1)
	go func() {
		_, _ = io.WriteString(near, say)
		_, _ = io.Copy(io.Discard, near)
		end <- time.Now()
	}()
	return near, end
}

const upgradeRequest = "GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

// inDoorway runs f with a WebSocket listener of w.
func inDoorway(w *world, o transport.ListenOptions, f func(d *doorway)) {
	d := &doorway{conns: make(chan net.Conn)}
	w.b.opt.Portable = true // a loop waits in the system, where no bubble sees that it waits
	l, err := w.b.ListenOn(d, &transport.Endpoint{Scheme: transport.SchemeWS, Path: "/mqtt"}, o)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.b.Serve(ctx, l) }()
	f(d)
	cancel()
	if err := <-done; err != nil {
		w.t.Error(err)
	}
}

func ended(end chan time.Time) bool {
	synctest.Wait()
	return len(end) > 0
}

// The limits of connections hold before a handshake costs anything, and what is under way counts.
func TestLimitsBeforeTheHandshake(t *testing.T) {
	for _, tt := range []struct {
		limit Limit
		o     Options
	}{
		{LimitAddress, Options{MaxPerAddress: 2, Anonymous: AnonymousAll}},
		{LimitConnections, Options{MaxConnections: 2, Anonymous: AnonymousAll}},
	} {
		inWorld(t, tt.o, func(w *world) {
			var told int
			o := transport.ListenOptions{OnError: func(net.Addr, error) { told++ }}
			inDoorway(w, o, func(d *doorway) {
				var all []net.Conn
				for i := range 6 {
					say := ""
					if i < 2 {
						say = upgradeRequest
					}
					nc, end := d.knock("192.0.2.1", say)
					all = append(all, nc)
					if got := ended(end); got != (i >= 4) {
						t.Errorf("%s: connection %d is closed: %t", tt.limit, i, got)
					}
				}
				s := w.b.Stats()
				equal(t, tt.limit.String(), []int64{s.Connections, s.Exceeded[tt.limit], s.Refused, s.Handshakes}, []int64{2, 2, 2, 0})
				all[3].Close() // a handshake that failed makes room
				synctest.Wait()
				equal(t, "told, failed", []int64{int64(told), w.b.Stats().Handshakes}, []int64{1, 1})
				nc, end := d.knock("192.0.2.1", upgradeRequest)
				if ended(end) {
					t.Errorf("%s: there was room", tt.limit)
				}
				equal(t, "connections", w.b.Stats().Connections, 3)
				for _, nc := range append(all, nc) {
					nc.Close()
				}
				synctest.Wait()
			})
			equal(t, "connections", w.b.Stats().Connections, 0)
			equal(t, "counted", []int{len(w.b.gate.addrs), int(w.b.gate.pending.Load())}, []int{0, 0})
		})
	}
}

// Handshakes beyond the limit of one address are closed, counted and logged as a limit.
func TestHandshakesPerAddress(t *testing.T) {
	inWorld(t, Options{Anonymous: AnonymousAll}, func(w *world) {
		o := transport.ListenOptions{MaxHandshakesPerHost: 2, OnError: func(_ net.Addr, err error) {
			if errors.Is(err, transport.ErrTooManyHandshakes) {
				t.Error("told twice")
			}
		}}
		inDoorway(w, o, func(d *doorway) {
			for i := range 5 {
				nc, end := d.knock("192.0.2.1", "")
				if got := ended(end); got != (i >= 2) {
					t.Errorf("connection %d is closed: %t", i, got)
				}
				defer nc.Close()
			}
			s := w.b.Stats()
			equal(t, "exceeded, failed", []int64{s.Exceeded[LimitHandshakes], s.Handshakes}, []int64{3, 3})
		})
	})
}

// ConnectTimeout runs from accept: a handshake that takes long leaves less for CONNECT.
func TestConnectTimeoutCoversTheHandshake(t *testing.T) {
	inWorld(t, Options{ConnectTimeout: 4 * time.Second, Anonymous: AnonymousAll}, func(w *world) {
		inDoorway(w, transport.ListenOptions{}, func(d *doorway) {
			start := time.Now()
			slow, end := d.knock("192.0.2.1", "")
			silent, never := d.knock("192.0.2.1", "")
			time.Sleep(3 * time.Second)
			_, err := io.WriteString(slow, upgradeRequest)
			equal(t, "write", fmt.Sprint(err), "<nil>")
			synctest.Wait()
			equal(t, "connections", w.b.Stats().Connections, 1)
			for _, end := range []chan time.Time{end, never} {
				if after := (<-end).Sub(start); after < 4*time.Second || after > 5*time.Second {
					t.Errorf("closed after %v", after)
				}
			}
			slow.Close()
			silent.Close()
		})
	})
}
