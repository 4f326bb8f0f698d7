//go:build unix

package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// newRead returns a Conn over nc that a goroutine will read. It drives the descriptor of a TCP or Unix socket itself. Other
// types may do more in Read than read, so they are used as they are.
func newRead(nc net.Conn, opt *Options) *Conn {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
		if rc, err := nc.(syscall.Conn).SyscallConn(); err == nil {
			return newReadBy(nc, opt, fdSock{rc: rc})
		}
	}
	return newReadBy(nc, opt, netSock{nc: nc})
}

// fdSock parks in RawConn.Read, which keeps no buffer, and reads and writes the non-blocking descriptor directly.
type fdSock struct {
	rc syscall.RawConn
	fd int // valid inside park
}

func (s *fdSock) park(turn func() bool) error {
	return s.rc.Read(func(fd uintptr) bool {
		s.fd = int(fd)
		return turn()
	})
}

func (s *fdSock) read(p []byte) (int, error) {
	for {
		n, errno := sysRead(s.fd, p)
		switch {
		case errno == 0 && n > 0:
			return n, nil
		case errno == 0:
			return 0, io.EOF
		case errno == syscall.EAGAIN:
			return 0, errWouldBlock
		case errno != syscall.EINTR:
			return 0, os.NewSyscallError("read", errno)
		}
	}
}

func (s *fdSock) unread() (yes bool) {
	err := s.rc.Control(func(fd uintptr) { yes = unread(int(fd)) })
	return yes && err == nil
}

// unread looks into a socket, which keeps what is there.
func unread(fd int) bool {
	var p [1]byte
	for {
		_, _, err := syscall.Recvfrom(fd, p[:], syscall.MSG_PEEK)
		if err != syscall.EINTR {
			return err != syscall.EAGAIN
		}
	}
}

// writeOp is the state of one RawConn.Write. It is pooled with its callbacks, so that a write allocates nothing.
type writeOp struct {
	o     *outbuf
	n     int
	err   error
	vec   vector
	try   func(fd uintptr) bool
	until func(fd uintptr) bool
}

// Shared by all connections; a pool holds no state.
var writeOps = sync.Pool{New: func() any {
	w := new(writeOp)
	w.try = func(fd uintptr) bool {
		w.send(int(fd))
		return true
	}
	w.until = func(fd uintptr) bool {
		w.send(int(fd))
		return !errors.Is(w.err, errWouldBlock)
	}
	return w
}}

// send makes one write of what comes next in o.
func (w *writeOp) send(fd int) {
	for {
		var errno syscall.Errno
		if len(w.o.segs) == w.o.seg {
			p := w.o.b[w.o.pos:]
			w.n, errno = sysWrite(fd, p[:min(len(p), maxWrite)])
		} else {
			w.n, errno = w.vec.write(fd, w.o)
		}
		switch errno {
		case 0:
			w.err = nil
		case syscall.EAGAIN:
			w.n, w.err = 0, errWouldBlock
		case syscall.EINTR:
			continue
		default:
			w.n, w.err = 0, os.NewSyscallError("write", errno)
		}
		return
	}
}

func (s *fdSock) write(o *outbuf) (int, error) {
	w := writeOps.Get().(*writeOp)
	return s.run(w, o, w.try)
}

func (s *fdSock) writeWait(o *outbuf) (int, error) {
	w := writeOps.Get().(*writeOp)
	return s.run(w, o, w.until)
}

func (s *fdSock) run(w *writeOp, o *outbuf, f func(uintptr) bool) (int, error) {
	w.o, w.n, w.err = o, 0, nil
	err := s.rc.Write(f)
	if err == nil {
		err = w.err
	}
	n := w.n
	w.o = nil
	writeOps.Put(w)
	return n, err
}
