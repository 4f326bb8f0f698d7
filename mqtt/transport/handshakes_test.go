package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// distant is a connection from an address.
type distant struct {
	net.Conn
	addr net.Addr
}

func (d distant) RemoteAddr() net.Addr { return d.addr }

// door is a Listener whose peers come from where a test says.
type door struct {
	t     *testing.T
	m     *moody
	shut  atomic.Int32 // connections that OnError was told about
	many  atomic.Int32 // because of too many handshakes
	over  context.CancelFunc
	ended chan error
}

// openDoor serves WebSocket inside a synctest bubble.
func openDoor(t *testing.T, o ListenOptions) *door {
	d := &door{t: t, m: &moody{conns: make(chan net.Conn)}, ended: make(chan error, 1)}
	o.OnError = func(_ net.Addr, err error) {
		d.shut.Add(1)
		if errors.Is(err, ErrTooManyHandshakes) {
			d.many.Add(1)
		}
	}
	l, err := ListenOn(d.m, &Endpoint{Scheme: SchemeWS, Path: "/mqtt"}, o)
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	d.over = cancel
	go func() { d.ended <- l.Serve(ctx, echo) }()
	return d
}

func (d *door) close() {
	d.over()
	check(d.t, <-d.ended)
}

// knock connects from ip and says nothing.
func (d *door) knock(ip string) net.Conn {
	near, far := net.Pipe()
	var addr net.Addr = &net.UnixAddr{}
	if ip != "" {
		addr = &net.TCPAddr{IP: net.ParseIP(ip), Port: 1000}
	}
	d.m.conns <- distant{far, addr}
	return near
}

// enter makes the handshake of nc.
func (d *door) enter(nc net.Conn) error {
	lk := &link{Conn: nc}
	return lk.upgradeClient(&Endpoint{Scheme: SchemeWS, Host: "localhost", Path: "/mqtt"}, DialOptions{})
}

func gone(nc net.Conn) bool {
	_ = nc.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := nc.Read(make([]byte, 1))
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

// Who opens connections and says nothing keeps nobody else out.
func TestSilentHandshakesLetOthersIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDoor(t, ListenOptions{MaxHandshakes: 8, MaxHandshakesPerHost: 4})
		defer d.close()
		start := time.Now()
		var silent []net.Conn
		for i := range 30 { // an IPv6 host has a /64
			silent = append(silent, d.knock(fmt.Sprintf("2001:db8::%x", i+1)))
		}
		synctest.Wait()
		for i, nc := range silent {
			if gone(nc) != (i >= 4) {
				t.Errorf("connection %d: gone is %t", i, i < 4)
			}
		}
		if n := d.many.Load(); n != 26 {
			t.Errorf("%d were refused", n)
		}
		for i := range 20 { // as many as the table holds, and more, each from elsewhere
			silent = append(silent, d.knock(fmt.Sprintf("192.0.2.%d", i+1)))
			synctest.Wait() // those that were shed go
		}
		nc := d.knock("198.51.100.1")
		check(t, d.enter(nc))
		if waited := time.Since(start); waited > time.Second {
			t.Errorf("let in after %v", waited)
		}
		synctest.Wait()
		if n := d.many.Load() - 26; n != 20-8+4+1 {
			t.Errorf("%d were shed", n)
		}
		time.Sleep(DefaultHandshakeTimeout + time.Second)
		for i, nc := range silent {
			if !gone(nc) {
				t.Errorf("connection %d stays", i)
			}
			nc.Close()
		}
		if n := d.shut.Load(); n != 50 {
			t.Errorf("told of %d", n)
		}
		nc.Close()
	})
}

// The host with the most sheds its oldest; others with less, and this machine, lose none.
func TestMostSheds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDoor(t, ListenOptions{MaxHandshakes: 12, MaxHandshakesPerHost: 6})
		defer d.close()
		var all []net.Conn
		for _, ip := range []string{"192.0.2.2", "192.0.2.1", "192.0.2.1", "", "127.0.0.1", "192.0.2.1", "::1",
			"192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"} {
			all = append(all, d.knock(ip))
		}
		all = append(all, d.knock(""), d.knock("192.0.2.3"))
		synctest.Wait()
		for i, nc := range all {
			if want := i == 1 || i == 2; gone(nc) != want {
				t.Errorf("connection %d: gone is %t", i, !want)
			}
		}
		for _, nc := range all {
			nc.Close()
		}
		synctest.Wait()
	})
}
