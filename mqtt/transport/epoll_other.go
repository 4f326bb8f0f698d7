//go:build !linux

package transport

import (
	"errors"
	"net"
	"net/netip"
)

func newPoller() (poller, error)                 { return nil, errors.ErrUnsupported }
func newParked(func() bool, int) (poller, error) { return nil, errors.ErrUnsupported }

// acceptor is only there where Loops are.
type acceptor struct{}

func newAcceptor(net.Listener) *acceptor { return nil }

func (*acceptor) next() (int, netip.AddrPort, error) {
	return 0, netip.AddrPort{}, errors.ErrUnsupported
}
func (*acceptor) close() error { return nil }

func newPolled(int, netip.AddrPort, *Options) *Conn { return nil }

func takeOver(net.Conn, *Options) *Conn { return nil }

// polledConn is of no use here: every Conn has a net.Conn.
type polledConn interface {
	net.Conn
	sock
}

func descriptorOf(*Conn) polledConn { return nil }
