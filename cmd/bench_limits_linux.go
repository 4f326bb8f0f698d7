package cmd

import (
	"fmt"
	"os"
	"syscall"
)

// machineLimits are the file descriptors of this process and the range of local
// ports. The soft limit of descriptors is raised to the hard one, as every Go
// program's is.
func machineLimits() (files, low, high uint64) {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil {
		files = l.Cur
	}
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		_, _ = fmt.Sscan(string(b), &low, &high) // 0 if it is something else
	}
	return files, low, high
}
