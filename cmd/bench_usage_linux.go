package cmd

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the kernel's USER_HZ, the same on every architecture that Go
// runs on.
const clockTick = time.Second / 100

// Usage adds up all processes of the broker's group.
func (b *testedBroker) Usage() (cpu time.Duration, resident, peak int64, err error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, 0, 0, err
	}
	found := false
	for _, dir := range dirs {
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended
		}
		// The name before the last parenthesis may hold anything.
		_, rest, ok := cutLast(string(stat), ") ")
		f := strings.Fields(rest)
		if !ok || len(f) < 13 || f[2] != strconv.Itoa(b.cmd.Process.Pid) {
			continue
		}
		found = true
		user, _ := strconv.ParseInt(f[11], 10, 64)
		system, _ := strconv.ParseInt(f[12], 10, 64)
		cpu += time.Duration(user+system) * clockTick
		now, most := memoryOf(dir)
		resident += now
		peak += most
	}
	if !found {
		return 0, 0, 0, errors.New("the broker has ended")
	}
	return cpu, resident, peak, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// memoryOf are the resident bytes of a process, now and at most.
func memoryOf(dir string) (now, most int64) {
	b, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return 0, 0
	}
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			now = n << 10
		case "VmHWM:":
			most = n << 10
		}
	}
	return now, most
}
