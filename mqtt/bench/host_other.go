//go:build !linux

package bench

import "time"

// hostCounters are what the kernel counts; here it is not asked.
type hostCounters struct {
	periods, throttled     uint64
	ticks, steal           uint64
	retransmits, overflows uint64
}

func readHost() hostCounters { return hostCounters{} }

func nap(d time.Duration) { time.Sleep(d) }

func descriptors() (limit uint64, used int) { return 0, 0 }

func hostFacts() (kernel, cpu string, memory int64) { return "", "", 0 }
