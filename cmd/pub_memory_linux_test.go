package cmd_test

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"testing"
)

// Endless input takes no more memory than a little of it.
func TestPubMemoryIsFlat(t *testing.T) {
	path, err := exec.LookPath("mqt")
	if err != nil {
		t.Fatal(err)
	}
	l := newLedger(t, func(port string) *exec.Cmd { return exec.Command(path, "broker", "-p", port) })
	line := append(bytes.Repeat([]byte{'x'}, 999), '\n')
	for qos := range 3 {
		peak := func(megabytes int64) int64 {
			pub := exec.Command(path, "pub", "-p", l.port, "-t", "t", "-l", "-q", fmt.Sprint(qos))
			pub.Stdin = io.LimitReader(&endless{line: line}, megabytes*1e6)
			if out, err := pub.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			return pub.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
		}
		little, much := peak(10), peak(100)
		t.Logf("QoS %d: %d kB for 10 MB of lines, %d kB for 100 MB", qos, little, much)
		if much > 2*little {
			t.Errorf("QoS %d: it grows with the input", qos)
		}
	}
}

// endless is the same line again and again.
type endless struct {
	line []byte
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	for n := 0; ; {
		if n == len(p) {
			return n, nil
		}
		c := copy(p[n:], e.line[e.at:])
		n += c
		e.at = (e.at + c) % len(e.line)
	}
}
