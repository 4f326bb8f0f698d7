package transport

import (
	"net"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// The port of an address to connect from is found by connect, unless it is given.
func TestBindWithoutPort(t *testing.T) {
	u := serve(t, "mqtt://127.0.0.1:0", ListenOptions{}, echo)
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close() // never connected to, so it is free
	for _, tt := range []struct {
		bind string
		port int // 0: any
		want int
	}{
		{"127.0.0.2", 0, 1},
		{"127.0.0.2:0", 0, 1},
		{net.JoinHostPort("127.0.0.2", strconv.Itoa(port)), port, 0},
		{"", 0, 0},
	} {
		nc := dial(t, u, DialOptions{Bind: tt.bind})
		a := nc.LocalAddr().(*net.TCPAddr)
		if tt.bind != "" && a.IP.String() != "127.0.0.2" || a.Port == 0 || tt.port != 0 && a.Port != tt.port {
			t.Errorf("%q: we are %s", tt.bind, a)
		}
		rc, err := nc.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got int
		if cerr := rc.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT) }); cerr != nil || err != nil {
			t.Fatal(cerr, err)
		}
		if got != tt.want {
			t.Errorf("%q: IP_BIND_ADDRESS_NO_PORT is %d, want %d", tt.bind, got, tt.want)
		}
	}
}
