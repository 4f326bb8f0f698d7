package cmd

import (
	"syscall"
	"time"
	"unsafe"
)

// sinceBoot is the clock CLOCK_MONOTONIC, by which the service manager orders
// what it is told.
func sinceBoot() (time.Duration, bool) {
	const monotonic = 1
	var ts syscall.Timespec
	if _, _, e := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, monotonic, uintptr(unsafe.Pointer(&ts)), 0); e != 0 {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}
