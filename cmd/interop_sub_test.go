//go:build interop

package cmd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// subResult is what a subscriber did.
type subResult struct {
	code  int
	lines []string // sorted: no order of retained messages is promised
	left  []string // the topics that are retained behind it
}

// runProgram runs a client to its end.
func runProgram(t *testing.T, program string, args ...string) (stdout string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	var out, stderr bytes.Buffer
	c.Stdout, c.Stderr = &out, &stderr
	err := c.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s %v: %d %q %s", program, args, code, out.String(), stderr.String())
	return out.String(), code
}

func sortedLines(s string) []string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines)
	return lines
}

// TestInteropSubFlags changes one word of a script: mosquitto_sub and mqt sub print the same and end alike, each on a
// mosquitto of its own with the same three retained messages, and two that wait in a session. Left out is what
// mosquitto_sub 2.0 does not do well: --remove-retained prints the clearing too, and with -C never ends; --random-filter
// 100 loses messages.
func TestInteropSubFlags(t *testing.T) {
	mqt := mqtProgram(t)
	for _, args := range []string{
		"-t r/# -C 3", "-t r/# -C 3 -v", "-t r/1 -C 1 -N", "-t r/1 -t r/2 -C 2 -q 1", "-t r/# -T r/2 -C 2 -v", "-t r/# -W 1 -v", "-t none -E",
		"-t r/# -C 3 -q 2 -F %t:%q:%r:%l:%x", "-c -i kept -q 1 -t r/# -R -C 2 -v", "-c -i kept -q 1 -t r/# --retained-only -v",
		"-t r/# -R --remove-retained -W 1 -v",
		"-c -i kept -q 1 -t none -U wait/# -C 2 -v", "-V mqttv5 -t r/# -C 3 -v -D connect session-expiry-interval 5",
		"-V 31 -i x -t r/# -C 3 -v", "--quiet -t r/# -W 1", "-t r/# -C 0", "-t r/#/x -C 1", "-t r/# -W 0", "-q 3 -t r/#", "-C 1",
	} {
		t.Run(args, func(t *testing.T) {
			var results [2]subResult
			for i, words := range [][]string{{"mosquitto_sub"}, {mqt, "sub"}} {
				s := startMosquitto(t)
				u, err := url.Parse(s.tcp)
				if err != nil {
					t.Fatal(err)
				}
				server := []string{"-h", u.Hostname(), "-p", u.Port()}
				for n := range 3 {
					runProgram(t, mqt, append([]string{"pub", "-t", fmt.Sprintf("r/%d", n), "-r", "-q", "1", "-m", fmt.Sprintf("text %d", n)}, server...)...)
				}
				runProgram(t, mqt, append([]string{"sub", "-V", "311", "-c", "-i", "kept", "-q", "1", "-t", "wait/#", "-E"}, server...)...)
				for n := range 2 {
					runProgram(t, mqt, append([]string{"pub", "-t", fmt.Sprintf("wait/%d", n), "-q", "1", "-m", "waited"}, server...)...)
				}
				out, code := runProgram(t, words[0], slices.Concat(words[1:], server, strings.Fields(args))...)
				left, _ := runProgram(t, mqt, append([]string{"sub", "-t", "#", "--retained-end", "-F", "%t"}, server...)...)
				results[i] = subResult{code, sortedLines(out), sortedLines(left)}
			}
			want, got := results[0], results[1]
			if want.code == 1 {
				want.code = 2 // usage has a code of its own here
			}
			if got.code != want.code || !slices.Equal(got.lines, want.lines) || !slices.Equal(got.left, want.left) {
				t.Errorf("mqt sub: %+v\nmosquitto_sub: %+v", got, want)
			}
		})
	}
}

// TestInteropSub holds what mosquitto_sub has not against other servers: the end of what is retained, with windows smaller
// than that, and messages whose command fails.
func TestInteropSub(t *testing.T) {
	mqt := mqtProgram(t)
	for name, start := range brokers() {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			run := func(want int, args ...string) []string {
				t.Helper()
				out, code := runProgram(t, mqt, append(args, "-L", s.tcp)...)
				if code != want {
					t.Errorf("%v: exit code %d, want %d", args, code, want)
				}
				return strings.Fields(out)
			}
			for n := range 100 {
				run(0, "pub", "-t", fmt.Sprintf("many/%d", n), "-r", "-q", "2", "-m", fmt.Sprint(n))
			}
			for _, args := range []string{"-q 0", "-q 1", "-q 2", "-q 1 -V 311", "-q 2 --max-inflight 1"} {
				if got := run(0, append([]string{"sub", "-t", "many/#", "--retained-end"}, strings.Fields(args)...)...); len(got) != 100 {
					t.Errorf("%s: %d retained messages, want 100", args, len(got))
				}
			}
			run(0, "sub", "-t", "many/#", "-T", "many/7", "--retained-end", "--remove-retained")
			if got := run(0, "sub", "-t", "many/#", "--retained-end"); !slices.Equal(got, []string{"7"}) {
				t.Errorf("left: %v", got)
			}

			worker := []string{"sub", "-c", "-i", "worker", "-q", "1", "-t", "jobs"}
			run(0, append(worker, "-E")...)
			for _, job := range []string{"one", "two", "three"} {
				run(0, "pub", "-t", "jobs", "-q", "1", "-m", job)
			}
			run(1, append(worker, "-C", "3", "--exec", "read x; test $x != two")...)
			if got := run(1, append(worker, "-C", "1", "--exec-fail", "refuse", "--exec", "cat; exit 1")...); !slices.Equal(got, []string{"two"}) {
				t.Errorf("again: %v", got)
			}
			run(27, append(worker, "-W", "0.5")...) // it was refused
		})
	}
}
