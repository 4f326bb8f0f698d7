package cmd

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
)

// The headroom of the garbage collector counts as its heap, and takes none of the
// machine's memory, in a process that has just begun: in one that has run other
// tests, it may be given pages that they have touched.
func TestHeadroomIsNotTaken(t *testing.T) {
	if os.Getenv("MQT_TEST_HEADROOM") == "" {
		again := exec.Command(os.Args[0], "-test.run=^TestHeadroomIsNotTaken$")
		again.Env = append(os.Environ(), "MQT_TEST_HEADROOM=1")
		if out, err := again.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	heap, taken := heapNow(), anonymousMemory(t)
	release := headroom()
	heap, taken = heapNow()-heap, anonymousMemory(t)-taken
	release()
	if heap < 7<<20 {
		t.Errorf("the heap is %d bytes larger", heap)
	}
	if taken > 4<<20 {
		t.Errorf("%d bytes are taken", taken)
	}
	for _, env := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Run(env, func(t *testing.T) {
			t.Setenv(env, "200")
			heap := heapNow()
			release := headroom()
			if heap = heapNow() - heap; heap > 4<<20 {
				t.Errorf("the heap is %d bytes larger although the user has set how large it gets", heap)
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

// anonymousMemory is what the process has of the machine's memory, but for files.
func anonymousMemory(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if f := bytes.Fields(line); len(f) > 1 && string(f[0]) == "RssAnon:" {
			kb, err := strconv.Atoi(string(f[1]))
			if err != nil {
				t.Fatal(err)
			}
			return int64(kb) << 10
		}
	}
	t.Fatal("the system does not say")
	return 0
}
