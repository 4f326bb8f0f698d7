package cmd

import (
	"runtime"
	"testing"
)

// The headroom of the garbage collector counts as its heap, but not where the user
// has said how large that gets.
func TestHeadroom(t *testing.T) {
	for env, want := range map[string]bool{"": true, "GOGC": false, "GOMEMLIMIT": false} {
		t.Run(env, func(t *testing.T) {
			t.Setenv("GOGC", "")
			t.Setenv("GOMEMLIMIT", "")
			if env != "" {
				t.Setenv(env, "200")
			}
			heap := heapNow()
			release := headroom()
			if heap = heapNow() - heap; (heap > 6<<20) != want {
				t.Errorf("the heap is %d bytes larger", heap)
			}
			release()
		})
	}
}

func heapNow() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
