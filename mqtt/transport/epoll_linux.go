package transport

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"
)

// epoll is the poller of Linux.
type epoll struct {
	fd     int
	event  int // an eventfd
	buffer [maxEvents]syscall.EpollEvent
}

const (
	epollEdge = 1 << 31
	noSeat    = -1 // of the eventfd
	// Once and never again: what is not of interest now costs an event, changing it a call each time.
	epollAll = syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | epollEdge
)

func newPoller() (poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	event, _, errno := syscall.RawSyscall(syscall.SYS_EVENTFD2, 0, syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if errno != 0 {
		_ = syscall.Close(fd)
		return nil, os.NewSyscallError("eventfd2", errno)
	}
	e := &epoll{fd: fd, event: int(event)}
	// Each write raises an edge, so the eventfd is never read.
	ev := syscall.EpollEvent{Events: syscall.EPOLLIN | epollEdge, Fd: noSeat}
	if err := syscall.EpollCtl(fd, syscall.EPOLL_CTL_ADD, e.event, &ev); err != nil {
		e.close()
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return e, nil
}

func (e *epoll) add(fd int, seat, gen uint32) error {
	ev := syscall.EpollEvent{Events: epollAll, Fd: int32(seat), Pad: int32(gen)} // 64 bits of our own
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(e.fd, syscall.EPOLL_CTL_ADD, fd, &ev))
}

func (e *epoll) remove(fd int) error {
	var ev syscall.EpollEvent
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(e.fd, syscall.EPOLL_CTL_DEL, fd, &ev))
}

func (e *epoll) wait(timeout time.Duration, events []pollEvent) int {
	buf := e.buffer[:min(len(e.buffer), len(events))]
	if timeout == 0 {
		return told(events, buf[:e.look(buf)])
	}
	ms := -1
	if timeout > 0 {
		ms = int(min((timeout+time.Millisecond-1)/time.Millisecond, 1<<30))
	}
	n, err := syscall.EpollWait(e.fd, buf, ms)
	if err != nil {
		n = 0
	}
	return told(events, buf[:n])
}

// look does not wait.
func (e *epoll) look(buf []syscall.EpollEvent) int {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(e.fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// told translates what epoll has told, but for wake, and returns how many events that is.
func told(events []pollEvent, buf []syscall.EpollEvent) int {
	k := 0
	for i := range buf {
		ev := &buf[i]
		if ev.Fd == noSeat {
			continue
		}
		what := uint8(0)
		if ev.Events&syscall.EPOLLIN != 0 {
			what |= canRead
		}
		if ev.Events&(syscall.EPOLLOUT|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
			what |= canWrite // or to be told why not
		}
		if ev.Events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
			what |= hungUp
		}
		events[k] = pollEvent{what: what, seat: uint32(ev.Fd), gen: uint32(ev.Pad)}
		k++
	}
	return k
}

func (e *epoll) wake() {
	one := [8]byte{1} // or 1<<56, which is as good a few thousand years
	_, _ = sysWrite(e.event, one[:])
}

func (e *epoll) close() {
	_ = syscall.Close(e.event)
	_ = syscall.Close(e.fd)
}

// polledConn is a Conn that Loops drive as its own sock, and as the net.Conn of a descriptor that nobody else knows. Close
// and CloseWrite are called with mu held, and Close by the owner alone.
type polledConn Conn

// descriptorOf returns what c reaches its descriptor by.
func descriptorOf(c *Conn) *polledConn { return (*polledConn)(c) }

// newPolled returns a Conn that opt.Loops will drive. An invalid peer is a Unix socket.
func newPolled(fd int, peer netip.AddrPort, opt *Options) *Conn {
	c := &Conn{opt: opt, fd: int32(fd)}
	if ip := peer.Addr(); ip.Zone() != "" {
		c.extra = &extra{peer: net.TCPAddrFromAddrPort(peer)}
	} else if ip.IsValid() {
		c.peer, c.port = ip.As16(), peer.Port()
	}
	return c
}

// takeOver returns a Conn for the socket of nc that opt.Loops will drive, nil if it has none of the system's. nc is closed
// then, and with it what the runtime knows of the socket, which lives on in a duplicate of the descriptor.
func takeOver(nc net.Conn, opt *Options) *Conn {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return nil
	}
	fd, ok := duplicate(nc)
	if !ok {
		return nil
	}
	var peer netip.AddrPort
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		peer = a.AddrPort()
		peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	}
	_ = nc.Close()
	c := newPolled(fd, peer, opt)
	if !peer.IsValid() { // a Unix socket that may have a name
		c.extra = &extra{peer: nc.RemoteAddr()}
	}
	return c
}

// duplicate returns a second descriptor of s.
func duplicate(s any) (fd int, ok bool) {
	sc, ok := s.(syscall.Conn)
	if !ok {
		return -1, false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return -1, false
	}
	var errno syscall.Errno
	err = rc.Control(func(own uintptr) {
		var n uintptr
		n, _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, own, syscall.F_DUPFD_CLOEXEC, 0)
		fd = int(n)
	})
	return fd, err == nil && errno == 0
}

func (d *polledConn) read(p []byte) (int, error) {
	s := fdSock{fd: int(d.fd)}
	return s.read(p)
}

func (d *polledConn) unread() bool { return d.fd >= 0 && unread(int(d.fd)) }

func (d *polledConn) write(o *outbuf) (int, error) {
	w := writeOps.Get().(*writeOp)
	w.o = o
	w.send(int(d.fd))
	n, err := w.n, w.err
	w.o = nil
	writeOps.Put(w)
	return n, err
}

// What only a goroutine of its own would do.

func (d *polledConn) park(func() bool) error           { return errors.ErrUnsupported }
func (d *polledConn) writeWait(*outbuf) (int, error)   { return 0, errors.ErrUnsupported }
func (d *polledConn) Read([]byte) (int, error)         { return 0, errors.ErrUnsupported }
func (d *polledConn) Write([]byte) (int, error)        { return 0, errors.ErrUnsupported }
func (d *polledConn) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (d *polledConn) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (d *polledConn) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }

func (d *polledConn) Close() error {
	if d.fd < 0 {
		return net.ErrClosed
	}
	err := syscall.Close(int(d.fd))
	d.fd = -1
	return os.NewSyscallError("close", err)
}

func (d *polledConn) CloseWrite() error {
	if d.fd < 0 {
		return net.ErrClosed
	}
	return os.NewSyscallError("shutdown", syscall.Shutdown(int(d.fd), syscall.SHUT_WR))
}

func (d *polledConn) RemoteAddr() net.Addr {
	switch {
	case d.extra != nil && d.extra.peer != nil:
		return d.extra.peer
	case d.port != 0:
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom16(d.peer).Unmap(), d.port))
	}
	return &net.UnixAddr{Name: "@", Net: "unix"} // as for most clients
}

func (d *polledConn) LocalAddr() net.Addr {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd >= 0 {
		if sa, err := syscall.Getsockname(int(d.fd)); err == nil {
			if unix, ok := sa.(*syscall.SockaddrUnix); ok {
				return &net.UnixAddr{Name: unix.Name, Net: "unix"}
			}
			return net.TCPAddrFromAddrPort(addrPort(sa))
		}
	}
	if _, ok := d.RemoteAddr().(*net.TCPAddr); ok {
		return &net.TCPAddr{}
	}
	return &net.UnixAddr{Net: "unix"}
}

// addrPort returns the address of sa, invalid if it has none.
func addrPort(sa syscall.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *syscall.SockaddrInet6:
		ip := netip.AddrFrom16(sa.Addr).Unmap()
		if sa.ZoneId != 0 && ip.Is6() {
			ip = ip.WithZone(zone(int(sa.ZoneId)))
		}
		return netip.AddrPortFrom(ip, uint16(sa.Port))
	}
	return netip.AddrPort{}
}

func zone(index int) string {
	if i, err := net.InterfaceByIndex(index); err == nil {
		return i.Name
	}
	return strconv.Itoa(index)
}

// acceptor accepts descriptors for Loops on the socket of a net.Listener.
type acceptor struct {
	f   *os.File // a duplicate
	raw syscall.RawConn
}

// newAcceptor returns nil if nl is not a socket of the system's.
func newAcceptor(nl net.Listener) *acceptor {
	switch nl.(type) {
	case *net.TCPListener, *net.UnixListener:
	default:
		return nil
	}
	fd, ok := duplicate(nl)
	if !ok {
		return nil
	}
	// Accepted sockets inherit it; Go sets it for each.
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	f := os.NewFile(uintptr(fd), "listener")
	raw, err := f.SyscallConn()
	if err != nil {
		_ = f.Close()
		return nil
	}
	return &acceptor{f: f, raw: raw}
}

// next waits for one connection.
func (a *acceptor) next() (fd int, peer netip.AddrPort, err error) {
	for {
		var sa syscall.Sockaddr
		var aerr error
		err = a.raw.Read(func(own uintptr) bool {
			fd, sa, aerr = syscall.Accept4(int(own), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
			return !errors.Is(aerr, syscall.EAGAIN)
		})
		switch {
		case err != nil:
			return 0, peer, err
		case aerr == nil:
			return fd, addrPort(sa), nil
		case !errors.Is(aerr, syscall.EINTR) && !errors.Is(aerr, syscall.ECONNABORTED): // as net does
			return 0, peer, os.NewSyscallError("accept4", aerr)
		}
	}
}

func (a *acceptor) close() error { return a.f.Close() }
