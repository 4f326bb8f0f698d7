//go:build !unix

package transport

import "net"

func newSock(nc net.Conn) sock { return &netSock{nc: nc} }
