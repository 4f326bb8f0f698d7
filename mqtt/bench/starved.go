package bench

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
)

// starved counts connections that were not made for want of something that this
// machine has too little of.
type starved struct{ ports, files atomic.Int64 }

// add looks what a connection failed for.
func (s *starved) add(err error) {
	switch {
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		s.ports.Add(1)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		s.files.Add(1)
	}
}

// report adds the faults.
func (s *starved) report(g *Generator) {
	fault := func(n int64, text string) {
		if n > 0 {
			g.Faults = append(g.Faults, fmt.Sprintf("%d connections %s", n, text))
		}
	}
	fault(s.ports.Load(), "found no free local port: use more source addresses (--source-ip), widen net.ipv4.ip_local_port_range, "+
		"or wait a minute until those of the last run are free")
	fault(s.files.Load(), "found no free file descriptor: raise ulimit -n")
}
