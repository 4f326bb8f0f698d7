package transport

import "syscall"

// SetWriteBuffer is for smallBuffers.
func (d *socket) SetWriteBuffer(n int) error {
	return syscall.SetsockoptInt(d.fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, n)
}
