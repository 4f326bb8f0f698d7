package bench

import (
	"os"
	"runtime"
	"time"
)

// cost is what the Server's process has used, at the moments that matter.
type cost struct {
	idled, counted       bool
	idleMemory           int64
	perConnection        int64
	cpuFrom, cpuTo       time.Duration
	resident, peakMemory int64
}

// idle is before the first connection.
func (c *cost) idle(w Watcher) {
	if w == nil || c.idled {
		return
	}
	if _, resident, _, err := w.Usage(); err == nil {
		c.idled, c.idleMemory = true, resident
	}
}

// connected is when n clients are, and nothing else has happened.
func (c *cost) connected(w Watcher, n int) {
	if w == nil || n == 0 {
		return
	}
	if _, resident, _, err := w.Usage(); err == nil {
		c.perConnection = max(0, resident-c.idleMemory) / int64(n)
	}
}

func (c *cost) begin(w Watcher) {
	if w == nil {
		return
	}
	if cpu, _, _, err := w.Usage(); err == nil {
		c.counted, c.cpuFrom, c.cpuTo = true, cpu, cpu
	}
}

func (c *cost) end(w Watcher) {
	if w == nil {
		return
	}
	if cpu, resident, peak, err := w.Usage(); err == nil {
		c.cpuTo, c.resident, c.peakMemory = cpu, resident, peak
	}
}

func (c *cost) report(w Watcher, messages int64) *Broker {
	if w == nil {
		return nil
	}
	b := &Broker{Command: w.Command(), CPU: c.cpuTo - c.cpuFrom, PeakMemory: c.peakMemory, IdleMemory: c.idleMemory, PerConnection: c.perConnection}
	if messages > 0 {
		b.CPUPerMillion = time.Duration(float64(b.CPU) / float64(messages) * 1e6)
	}
	return b
}

// environment is this machine.
func environment() Environment {
	host, _ := os.Hostname() // "" is an answer
	e := Environment{Host: host, OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.GOMAXPROCS(0), Go: runtime.Version()}
	e.Kernel, e.CPU, e.Memory = hostFacts()
	return e
}
