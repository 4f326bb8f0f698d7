package cmd

import "syscall"

// readProcess asks for the times of the process.
func readProcess() processStats {
	var s processStats
	self, err := syscall.GetCurrentProcess()
	if err != nil {
		return s
	}
	var start, exit, kernel, user syscall.Filetime
	if syscall.GetProcessTimes(self, &start, &exit, &kernel, &user) == nil {
		s.start = float64(start.Nanoseconds()) / 1e9
		s.cpu = (ticks(kernel) + ticks(user)) / 1e7
	}
	return s
}

// ticks are of 100 ns.
func ticks(t syscall.Filetime) float64 {
	return float64(uint64(t.HighDateTime)<<32 | uint64(t.LowDateTime))
}
