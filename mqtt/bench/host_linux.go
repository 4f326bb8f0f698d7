package bench

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// hostCounters are what the kernel counts; those that it does not tell are 0.
type hostCounters struct {
	periods, throttled     uint64 // of the container's CPU limit
	ticks, steal           uint64 // of all CPUs
	retransmits, overflows uint64
}

func readHost() hostCounters {
	var h hostCounters
	pairs("/sys/fs/cgroup/cpu.stat", func(f []string) {
		switch f[0] {
		case "nr_periods":
			h.periods = atou(f[1])
		case "nr_throttled":
			h.throttled = atou(f[1])
		}
	})
	pairs("/proc/stat", func(f []string) {
		if f[0] != "cpu" {
			return
		}
		for i, v := range f[1:min(len(f), 9)] {
			h.ticks += atou(v)
			if i == 7 {
				h.steal = atou(v)
			}
		}
	})
	h.retransmits = column("/proc/net/snmp", "Tcp:", "RetransSegs")
	h.overflows = column("/proc/net/netstat", "TcpExt:", "ListenOverflows")
	return h
}

// pairs calls f with the words of each line that has two at least.
func pairs(path string, f func([]string)) {
	b, err := os.ReadFile(path)
	if err != nil {
		return // not on this system
	}
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		if words := strings.Fields(sc.Text()); len(words) > 1 {
			f(words)
		}
	}
}

// column reads a table whose first line names what the second counts.
func column(path, table, name string) (n uint64) {
	at := -1
	pairs(path, func(f []string) {
		if f[0] != table {
			return
		}
		if at >= 0 && at < len(f) {
			n, at = atou(f[at]), -2
			return
		}
		for i, word := range f {
			if at == -1 && word == name {
				at = i
			}
		}
	})
	return n
}

func atou(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64) // 0 for what is none
	return n
}

// nap sleeps by the kernel's clock, which is more exact than a timer of Go's and
// keeps a thread.
func nap(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil) // cut short by a signal: the caller looks at the clock
}

// descriptors are how many this process may have, and has.
func descriptors() (limit uint64, used int) {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0, 0
	}
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, 0
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return 0, 0
	}
	return l.Cur, len(names)
}

// hostFacts are the kernel, the model of the CPU and the memory.
func hostFacts() (kernel, cpu string, memory int64) {
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = strings.TrimSpace(string(b))
	}
	pairs("/proc/cpuinfo", func(f []string) {
		if cpu == "" && len(f) > 3 && f[0] == "model" && f[1] == "name" {
			cpu = strings.Join(f[3:], " ")
		}
	})
	pairs("/proc/meminfo", func(f []string) {
		if f[0] == "MemTotal:" {
			memory = int64(atou(f[1])) << 10
		}
	})
	return kernel, cpu, memory
}
