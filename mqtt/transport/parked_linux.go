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
	parks    func() bool // whether to wait so now, nil: always
	calm     int         // how often it has said no since it said yes
	patience int         // how often it may, before the runtime no longer polls
	f        *os.File    // a duplicate that the runtime polls, nil: it does not now
	raw      syscall.RawConn
	until    time.Time // the deadline that is set, zero: none
	n        int       // events in buffer
	try      func(fd uintptr) bool
}

func newParked(parks func() bool, patience int) (poller, error) {
	e, err := newPoller()
	if err != nil {
		return nil, err
	}
	p := &parked{epoll: *e.(*epoll), parks: parks, patience: patience}
	p.try = func(uintptr) bool {
		p.n = p.look(p.buffer[:])
		return p.n > 0
	}
	if parks == nil {
		err = p.enter()
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// enter has the runtime poll the epoll.
func (p *parked) enter() error {
	fd, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(p.fd), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return os.NewSyscallError("fcntl", errno)
	}
	if err := syscall.SetNonblock(int(fd), true); err != nil { // or os.File would block
		_ = syscall.Close(int(fd))
		return os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(fd, "epoll")
	raw, err := f.SyscallConn()
	if err == nil {
		err = f.SetReadDeadline(time.Time{}) // fails where the runtime does not poll it
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	p.f, p.raw, p.until = f, raw, time.Time{}
	return nil
}

// leave ends that.
func (p *parked) leave() {
	if p.f != nil {
		_ = p.f.Close()
		p.f = nil
	}
}

// mayPark reports whether the runtime polls the epoll, as it is wanted now.
func (p *parked) mayPark() bool {
	switch {
	case p.parks == nil:
	case p.parks():
		p.calm = 0
		return p.f != nil || p.enter() == nil
	case p.f != nil:
		if p.calm++; p.calm > p.patience {
			p.leave()
		}
	}
	return p.f != nil
}

func (p *parked) wait(timeout time.Duration, events []pollEvent) int {
	if timeout == 0 || !p.mayPark() {
		return p.epoll.wait(timeout, events)
	}
	if p.n = p.look(p.buffer[:]); p.n == 0 {
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
	p.leave()
	p.epoll.close()
}
