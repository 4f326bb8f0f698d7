//go:build !unix

package transport

import "net"

// newRead returns a Conn over nc that a goroutine will read.
func newRead(nc net.Conn, opt *Options) *Conn { return newReadBy(nc, opt, netSock{nc: nc}) }
