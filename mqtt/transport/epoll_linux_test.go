package transport

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"unsafe"
)

// SetWriteBuffer is for smallBuffers.
func (d *polledConn) SetWriteBuffer(n int) error {
	return syscall.SetsockoptInt(int(d.fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, n)
}

// When there is no descriptor left, who comes is turned away and learns at once; later ones are served.
func TestNoDescriptorLeft(t *testing.T) {
	if os.Getenv("MQT_TEST_ALONE") == "" { // sockets of other tests would still be closing
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNoDescriptorLeft$")
		cmd.Env = append(os.Environ(), "MQT_TEST_ALONE=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	told := make(chan error, 100)
	url := serve(t, "mqtt://127.0.0.1:0", ListenOptions{Conn: Options{Loops: &Loops{}}, OnError: func(_ net.Addr, err error) {
		select {
		case told <- err:
		default:
		}
	}}, echo)
	e, err := ParseURL(url)
	check(t, err)
	port, err := strconv.Atoi(e.Port)
	check(t, err)
	first := dial(t, url, DialOptions{}) // it has begun to serve
	defer first.Close()
	_, err = first.Write([]byte("x"))
	check(t, err)
	_, err = io.ReadFull(first, make([]byte, 1))
	check(t, err)

	var limit syscall.Rlimit
	check(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	check(t, err)
	free, err := syscall.Dup(fd)
	check(t, err)
	check(t, syscall.Close(free))
	none := limit
	none.Cur = uint64(free)
	check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
	err = syscall.Connect(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port})
	n := 0
	if err == nil {
		n, err = syscall.Read(fd, make([]byte, 1))
	}
	check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	if n > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d, %v", n, err)
	}
	check(t, syscall.Close(fd))
	if err := <-told; !errors.Is(err, syscall.EMFILE) {
		t.Errorf("told %v", err)
	}
	for served := false; !served; { // it may still be turned away
		second := dial(t, url, DialOptions{})
		_, _ = second.Write([]byte("y"))
		_, err = io.ReadFull(second, make([]byte, 1))
		served = err == nil
		second.Close()
	}
}

// The addresses are those that a net.Conn has.
func TestAddresses(t *testing.T) {
	type addrs struct{ remote, local net.Addr }
	for _, url := range []string{"mqtt://127.0.0.1:0", "mqtt://[::1]:0", "unix"} {
		var seen [2]addrs
		var local string
		for i, loops := range []*Loops{nil, {}} {
			got := make(chan addrs, 1)
			u := serve(t, url, ListenOptions{Conn: Options{Loops: loops}}, func(c *Conn) Handler {
				got <- addrs{c.RemoteAddr(), c.LocalAddr()}
				return echo(c)
			})
			nc := dial(t, u, DialOptions{})
			seen[i], local = <-got, nc.LocalAddr().String()
			if url != "unix" && (seen[i].remote.String() != local || seen[i].local.String() != nc.RemoteAddr().String()) {
				t.Errorf("%s: %v, the client is at %s", url, seen[i], local)
			}
			nc.Close()
		}
		if url == "unix" && seen[0].remote.String() != seen[1].remote.String() {
			t.Errorf("%v and %v", seen[0].remote, seen[1].remote)
		}
		if seen[0].local.Network() != seen[1].local.Network() || seen[0].remote.Network() != seen[1].remote.Network() {
			t.Errorf("%v", seen)
		}
	}
}

// A peer is kept in 18 bytes, unless that does not say all.
func TestPeers(t *testing.T) {
	for _, peer := range []string{"192.0.2.1:1883", "[2001:db8::1]:65535", "[fe80::1%eth0]:5", "[fe80::1%7]:5"} {
		want := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(peer))
		got := newPolled(-1, want.AddrPort(), Options{}.withDefaults()).RemoteAddr()
		if a, ok := got.(*net.TCPAddr); !ok || a.AddrPort() != want.AddrPort() || got.String() != peer {
			t.Errorf("%s: %v", peer, got)
		}
	}
	if got := newPolled(-1, netip.AddrPort{}, Options{}.withDefaults()).RemoteAddr(); got.Network() != "unix" || got.String() != "@" {
		t.Errorf("a Unix socket: %v", got)
	}
}

// Sizes are those that were paid for when there are a million of them, each the most that its size class of the allocator
// holds: what is needed now and then does not belong there.
func TestSizes(t *testing.T) {
	for _, tt := range []struct {
		name      string
		size, max uintptr
	}{
		{"an idle connection, which nothing else belongs to", unsafe.Sizeof(Conn{}), 80},
		{"its seat in a loop", unsafe.Sizeof(seat{}), 16},
		{"what is under way, as a message that is being sent", unsafe.Sizeof(work{}), 80},
		{"more for TLS, WebSocket and other addresses", unsafe.Sizeof(extra{}), 64},
		{"TLS and WebSocket themselves", unsafe.Sizeof(filters{}), 112},
	} {
		if tt.size > tt.max {
			t.Errorf("%s: %d bytes, more than %d", tt.name, tt.size, tt.max)
		}
	}
}
