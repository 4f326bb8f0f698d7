//go:build unix

package transport

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// listenControl turns on TCP keep-alive with the system's times, once: accepted sockets inherit it. Go's own default
// would cost four calls for each connection and a probe every 15 seconds.
func listenControl(network, _ string, rc syscall.RawConn) error {
	return setKeepAlive(network, rc)
}

func keepAliveControl(_ context.Context, network, _ string, rc syscall.RawConn) error {
	return setKeepAlive(network, rc)
}

func setKeepAlive(network string, rc syscall.RawConn) error {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil
	}
	var serr error
	err := rc.Control(func(fd uintptr) {
		serr = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
	})
	return errors.Join(err, serr)
}

func refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

func tooManyFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// spare holds one descriptor back, so that at the limit a connection can be accepted and closed: its peer learns at
// once, instead of waiting in the backlog.
type spare struct{ f *os.File }

func newSpare() *spare {
	f, err := os.Open(os.DevNull)
	if err != nil {
		return &spare{}
	}
	return &spare{f: f}
}

func (s *spare) close() {
	if s.f != nil {
		_ = s.f.Close()
		s.f = nil
	}
}

// mostTurnedAway bounds how many connections are turned away at a time.
const mostTurnedAway = 256

// turnAway closes the connections that wait.
func (s *spare) turnAway(l net.Listener) {
	if s.f == nil {
		*s = *newSpare() // somebody else was faster the last time
		return
	}
	s.close()
	if d, ok := l.(interface{ SetDeadline(time.Time) error }); ok {
		for range mostTurnedAway {
			_ = d.SetDeadline(time.Now().Add(time.Millisecond))
			nc, err := l.Accept()
			if err != nil {
				break
			}
			_ = nc.Close()
		}
		_ = d.SetDeadline(time.Time{})
	}
	*s = *newSpare()
}
