//go:build unix && !linux

package transport

import "syscall"

func sysRead(fd int, p []byte) (int, syscall.Errno)  { return result(syscall.Read(fd, p)) }
func sysWrite(fd int, p []byte) (int, syscall.Errno) { return result(syscall.Write(fd, p)) }

func result(n int, err error) (int, syscall.Errno) {
	if err == nil {
		return n, 0
	}
	if errno, ok := err.(syscall.Errno); ok {
		return 0, errno
	}
	return 0, syscall.EIO
}

// vector writes piece by piece where no portable writev exists.
type vector struct{}

func (vector) write(fd int, o *outbuf) (int, syscall.Errno) {
	p := o.piece()
	return sysWrite(fd, p[:min(len(p), maxWrite)])
}
