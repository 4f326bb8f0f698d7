package transport

import (
	"context"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindControl leaves the port of a bound address to connect(2), which knows the peer: one port serves many peers, and
// bind(2), which would look for a port that is free for all of them, gets slow when most are taken. What the system does
// not know, or does not do, is no reason not to connect.
func bindControl(ctx context.Context, network, address string, rc syscall.RawConn) error {
	_ = rc.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
	return keepAliveControl(ctx, network, address, rc)
}

// controlOf is what is done to a socket before it is bound to a.
func controlOf(a *net.TCPAddr) func(context.Context, string, string, syscall.RawConn) error {
	if a.Port != 0 {
		return keepAliveControl
	}
	return bindControl
}
