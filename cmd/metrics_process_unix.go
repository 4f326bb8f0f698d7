//go:build unix && !linux

package cmd

import "syscall"

// readProcess asks for what there is without cgo.
func readProcess() processStats {
	var s processStats
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		s.cpu = float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) == nil {
		s.filesLimit = float64(l.Cur)
	}
	if syscall.Getrlimit(syscall.RLIMIT_AS, &l) == nil {
		s.virtualLimit = float64(l.Cur)
	}
	return s
}
