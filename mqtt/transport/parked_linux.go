package transport

import (
	"os"
	"syscall"
	"time"
)

// parked is an epoll whose loop waits as a goroutine waits for a socket: the runtime's poller polls the epoll. An event
// costs one more hop than for a loop that waits in the system. But such a loop has its thread for itself, and when others
// work for it all the time, as the senders of a load test do, threads wake each other for each message.
type parked struct {
	epoll
	f     *os.File
	raw   syscall.RawConn
	until time.Time // the deadline that is set, zero: none
	n     int       // events in buffer
	try   func(fd uintptr) bool
}

func newParked() (poller, error) {
	e, err := newPoller()
	if err != nil {
		return nil, err
	}
	p := &parked{epoll: *e.(*epoll)}
	if err := syscall.SetNonblock(p.fd, true); err != nil { // or os.File would block
		p.epoll.close()
		return nil, os.NewSyscallError("fcntl", err)
	}
	p.f = os.NewFile(uintptr(p.fd), "epoll")
	if p.raw, err = p.f.SyscallConn(); err == nil {
		err = p.f.SetReadDeadline(time.Time{}) // fails where the runtime does not poll it
	}
	if err != nil {
		p.close()
		return nil, err
	}
	p.try = func(uintptr) bool {
		p.n = p.look(p.buffer[:])
		return p.n > 0
	}
	return p, nil
}

func (p *parked) wait(timeout time.Duration, events []pollEvent) int {
	if p.n = p.look(p.buffer[:]); p.n == 0 && timeout != 0 {
		p.limit(timeout)
		if p.raw.Read(p.try) != nil {
			p.n = 0 // it is late
		}
	}
	return told(events, p.buffer[:p.n])
}

// limit sets the deadline, unless about the same is set.
func (p *parked) limit(timeout time.Duration) {
	var until time.Time
	if timeout > 0 {
		until = time.Now().Add(timeout)
		if d := until.Sub(p.until); d >= 0 && d < time.Millisecond && timeout > time.Millisecond {
			return
		}
	} else if p.until.IsZero() {
		return
	}
	p.until = until
	_ = p.f.SetReadDeadline(until)
}

func (p *parked) close() {
	_ = syscall.Close(p.event)
	_ = p.f.Close()
}
