//go:build !unix

package transport

import (
	"context"
	"net"
	"strings"
	"syscall"
)

func listenControl(string, string, syscall.RawConn) error { return nil }

func keepAliveControl(context.Context, string, string, syscall.RawConn) error { return nil }

func refused(err error) bool { return strings.Contains(err.Error(), "refused") }

func tooManyFiles(error) bool { return false }

// spare is only needed where descriptors run out.
type spare struct{}

func newSpare() *spare               { return &spare{} }
func (*spare) close()                {}
func (*spare) turnAway(net.Listener) {}
