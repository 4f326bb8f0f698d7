package cmd

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// readProcess takes /proc/self apart.
func readProcess() processStats {
	var s processStats
	s.readStat()
	if dir, err := os.Open("/proc/self/fd"); err == nil {
		names, _ := dir.Readdirnames(-1)
		s.files = float64(len(names) - 1) // but for this one
		_ = dir.Close()
	}
	s.filesLimit, s.virtualLimit = rlimit(syscall.RLIMIT_NOFILE), rlimit(syscall.RLIMIT_AS)
	s.readNetstat()
	return s
}

// readStat reads proc_pid_stat(5); the fields are counted from the state, which
// is the third, for the name before it may hold anything.
func (s *processStats) readStat() {
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return
	}
	_, rest, _ := cutLast(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 22 {
		return
	}
	second := 1 / clockTick.Seconds()
	s.cpu = (kernelNumber(f[11]) + kernelNumber(f[12])) / second
	s.virtual = kernelNumber(f[20])
	s.resident = kernelNumber(f[21]) * float64(os.Getpagesize())
	if boot := bootTime(); boot > 0 {
		s.start = boot + kernelNumber(f[19])/second
	}
}

// bootTime is in seconds since 1970.
func bootTime() float64 {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if f := strings.Fields(string(line)); len(f) == 2 && f[0] == "btime" {
			return kernelNumber(f[1])
		}
	}
	return 0
}

// readNetstat reads the line IpExt, behind one of the same name with the fields' names.
func (s *processStats) readNetstat() {
	b, err := os.ReadFile("/proc/self/net/netstat")
	if err != nil {
		return
	}
	var names []string
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		switch {
		case len(f) == 0 || f[0] != "IpExt:":
		case names == nil:
			names = f
		default:
			if i := slices.Index(names, "InOctets"); i > 0 && i < len(f) {
				s.received = kernelNumber(f[i])
			}
			if i := slices.Index(names, "OutOctets"); i > 0 && i < len(f) {
				s.sent = kernelNumber(f[i])
			}
		}
	}
}

func kernelNumber(text string) float64 {
	v, _ := strconv.ParseFloat(text, 64) // the kernel's
	return v
}

func rlimit(resource int) float64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(resource, &l) != nil {
		return 0
	}
	return float64(l.Cur)
}
