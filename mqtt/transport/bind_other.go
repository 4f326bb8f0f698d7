//go:build !linux

package transport

import (
	"context"
	"net"
	"syscall"
)

// controlOf is what is done to a socket before it is bound to a.
func controlOf(*net.TCPAddr) func(context.Context, string, string, syscall.RawConn) error {
	return keepAliveControl
}
