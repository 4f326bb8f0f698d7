package cmd

import (
	"math"
	"runtime"
	"runtime/debug"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// memStat is a number of runtime.MemStats under the name that Prometheus' users know.
type memStat struct {
	desc *metricDesc
	of   func(*runtime.MemStats) uint64
}

func memStats() []memStat {
	gauge := func(name, help string, of func(*runtime.MemStats) uint64) memStat {
		return memStat{gaugeDesc("go_memstats_"+name, help), of}
	}
	total := func(name, help string, of func(*runtime.MemStats) uint64) memStat {
		return memStat{counterDesc("go_memstats_"+name, help), of}
	}
	return []memStat{
		gauge("alloc_bytes", "Heap in use.", func(s *runtime.MemStats) uint64 { return s.Alloc }),
		total("alloc_bytes_total", "Heap allocated so far.", func(s *runtime.MemStats) uint64 { return s.TotalAlloc }),
		gauge("sys_bytes", "Memory taken from the system.", func(s *runtime.MemStats) uint64 { return s.Sys }),
		total("mallocs_total", "Objects allocated so far.", func(s *runtime.MemStats) uint64 { return s.Mallocs }),
		total("frees_total", "Objects freed so far.", func(s *runtime.MemStats) uint64 { return s.Frees }),
		gauge("heap_alloc_bytes", "Heap in use.", func(s *runtime.MemStats) uint64 { return s.HeapAlloc }),
		gauge("heap_sys_bytes", "Heap taken from the system.", func(s *runtime.MemStats) uint64 { return s.HeapSys }),
		gauge("heap_idle_bytes", "Heap that waits to be used.", func(s *runtime.MemStats) uint64 { return s.HeapIdle }),
		gauge("heap_inuse_bytes", "Heap in spans with an object.", func(s *runtime.MemStats) uint64 { return s.HeapInuse }),
		gauge("heap_released_bytes", "Heap given back to the system.", func(s *runtime.MemStats) uint64 { return s.HeapReleased }),
		gauge("heap_objects", "Objects on the heap.", func(s *runtime.MemStats) uint64 { return s.HeapObjects }),
		gauge("stack_inuse_bytes", "Stacks in use.", func(s *runtime.MemStats) uint64 { return s.StackInuse }),
		gauge("stack_sys_bytes", "Stacks taken from the system.", func(s *runtime.MemStats) uint64 { return s.StackSys }),
		gauge("mspan_inuse_bytes", "The allocator's spans in use.", func(s *runtime.MemStats) uint64 { return s.MSpanInuse }),
		gauge("mspan_sys_bytes", "The allocator's spans taken from the system.", func(s *runtime.MemStats) uint64 { return s.MSpanSys }),
		gauge("mcache_inuse_bytes", "The allocator's caches in use.", func(s *runtime.MemStats) uint64 { return s.MCacheInuse }),
		gauge("mcache_sys_bytes", "The allocator's caches taken from the system.", func(s *runtime.MemStats) uint64 { return s.MCacheSys }),
		gauge("buck_hash_sys_bytes", "Tables of profiles.", func(s *runtime.MemStats) uint64 { return s.BuckHashSys }),
		gauge("gc_sys_bytes", "Metadata of garbage collection.", func(s *runtime.MemStats) uint64 { return s.GCSys }),
		gauge("other_sys_bytes", "Other memory taken from the system.", func(s *runtime.MemStats) uint64 { return s.OtherSys }),
		gauge("next_gc_bytes", "Heap at which garbage is collected next.", func(s *runtime.MemStats) uint64 { return s.NextGC }),
	}
}

// runtimeMetrics are those of Go.
func runtimeMetrics(all *metricFamilies) {
	all.add(gaugeDesc("go_goroutines", "Goroutines."), float64(runtime.NumGoroutine()))
	threads, _ := runtime.ThreadCreateProfile(nil)
	all.add(gaugeDesc("go_threads", "Threads created."), float64(threads))
	all.add(gaugeDesc("go_info", "The Go version; the value is 1.", "version"), 1, runtime.Version())
	all.add(gaugeDesc("go_sched_gomaxprocs_threads", "Threads that run at once, GOMAXPROCS."), float64(runtime.GOMAXPROCS(0)))
	all.add(gaugeDesc("go_gc_gomemlimit_bytes", "Limit of memory, GOMEMLIMIT."), float64(debug.SetMemoryLimit(-1)))
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	for _, m := range memStats() {
		all.add(m.desc, float64(m.of(&s)))
	}
	all.add(gaugeDesc("go_memstats_last_gc_time_seconds", "When garbage was collected last, since 1970."), float64(s.LastGC)/1e9)
	all.pauses()
}

// pauses are a summary, the only one.
func (f *metricFamilies) pauses() {
	stats := debug.GCStats{PauseQuantiles: make([]time.Duration, 5)}
	debug.ReadGCStats(&stats)
	count, sum := uint64(stats.NumGC), stats.PauseTotal.Seconds()
	summary := &dto.Summary{SampleCount: &count, SampleSum: &sum}
	for i, q := range stats.PauseQuantiles {
		at, v := float64(i)/4, q.Seconds()
		if count == 0 {
			v = math.NaN()
		}
		summary.Quantile = append(summary.Quantile, &dto.Quantile{Quantile: &at, Value: &v})
	}
	f.metric(&metricDesc{name: "go_gc_duration_seconds", help: "Pauses for garbage collection.", kind: dto.MetricType_SUMMARY}, nil).Summary = summary
}
