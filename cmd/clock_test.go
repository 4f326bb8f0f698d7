//go:build soak

package cmd_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clockSource is what is added to package time: its Now shows what the wall clock of a machine shows whose administrator, or NTP,
// has set it anew. The monotonic clock goes on, as the kernel's does. libfaketime cannot do that: Go asks the kernel itself.
const clockSource = `package time

import (
	"syscall"
	"unsafe"
)

var clockStep = openClockStep()

func openClockStep() *int64 {
	name, ok := syscall.Getenv("CLOCK_STEP")
	if !ok {
		return new(int64)
	}
	fd, err := syscall.Open(name, syscall.O_RDONLY, 0)
	if err != nil {
		panic(err)
	}
	b, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	return (*int64)(unsafe.Pointer(&b[0]))
}
`

// steppedMQT builds mqt with a wall clock that a file steps.
func steppedMQT(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	b, err := os.ReadFile(filepath.Join(src, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const line = "	sec, nsec, mono := runtimeNow()\n"
	head, tail, ok := strings.Cut(string(b), "func Now() Time {\n"+line)
	if !ok {
		t.Fatal("time.Now is not what it was: adapt this test")
	}
	replace := map[string]string{}
	for name, text := range map[string]string{"time.go": head + "func Now() Time {\n" + line + "	sec += *clockStep\n" + tail, "clock_step.go": clockSource} {
		replace[filepath.Join(src, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "mqt")
	build := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", exe, "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return exe
}

// clock is what the programs of a test take for the time.
type clock struct {
	t    *testing.T
	exe  string
	file string
}

// step sets the wall clock, so far from the true time.
func (c *clock) step(by time.Duration) {
	c.t.Helper()
	f, err := os.OpenFile(c.file, os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(int64(by/time.Second))), 0)
		f.Close()
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// start runs mqt until the test ends.
func (c *clock) start(args ...string) *program {
	c.t.Helper()
	p := &program{cmd: exec.Command(c.exe, args...), out: &output{}, err: &output{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "CLOCK_STEP="+c.file)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.err
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.done)
	}()
	c.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// run runs mqt to its end.
func (c *clock) run(args ...string) (code int, out string) {
	c.t.Helper()
	p := c.start(args...)
	select {
	case <-p.done:
	case <-time.After(scriptTimeout):
		c.t.Fatalf("%q does not end", args)
	}
	return p.code, p.out.String() + p.err.String()
}

func (c *clock) until(what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(scriptTimeout); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("%s: not within %v", what, scriptTimeout)
		}
	}
}

// A wall clock that is set anew, by an hour in either direction, changes nothing while the programs run: neither keep alive nor
// the expiry of sessions and messages depends on it, nor the schedule of bench. A broker that is started again has nothing else:
// it takes the time that it was away from the wall clock, and nothing for a time below zero.
func TestClockSteps(t *testing.T) {
	t.Parallel() // what it builds takes the time that the scripts of TestFaults wait
	exe := steppedMQT(t)
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		for _, durable := range []bool{false, true} {
			t.Run(fmt.Sprint(by, " durable ", durable), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				c := &clock{t: t, exe: exe, file: filepath.Join(dir, "step")}
				if err := os.WriteFile(c.file, make([]byte, 8), 0o600); err != nil {
					t.Fatal(err)
				}
				stepClock(c, dir, by, durable)
			})
		}
	}
}

func stepClock(c *clock, dir string, by time.Duration, durable bool) {
	t, addr := c.t, freeAddr(c.t)
	url := "mqtt://" + addr
	args := []string{"broker", "-v", "--listen", url, "--metrics", "127.0.0.1:0"}
	if durable {
		args = append(args, "--data-dir", filepath.Join(dir, "data"))
	}
	broker := c.start(args...)
	c.until("the broker listens", func() bool { return strings.Contains(broker.err.String(), "metrics on") })
	must := func(want string, args ...string) {
		t.Helper()
		if code, out := c.run(args...); code != 0 || out != want {
			t.Fatalf("mqt %q: exit code %d, %q, want %q", args, code, out, want)
		}
	}
	pub := func(topic string, more ...string) {
		t.Helper()
		must("", append([]string{"pub", "-L", url, "-t", topic, "-m", topic, "-q", "1"}, more...)...)
	}
	prime := func(id, expiry string) {
		t.Helper()
		must("", "sub", "-L", url, "-c", "-i", id, "-x", expiry, "-t", id, "-q", "1", "-E")
	}
	// A session and a message that have time, and such that have little.
	prime("long", "600")
	pub("long", "-D", "publish", "message-expiry-interval", "600")
	prime("short", "5")
	prime("brief", "600")
	pub("brief", "-D", "publish", "message-expiry-interval", "5")
	briefly := time.Now().Add(6 * time.Second)
	// Clients with a keep alive: one that receives nothing, and one that is told at the end.
	idle := c.start("sub", "-d", "-L", url, "-k", "2", "-t", "idle", "-C", "1", "--retry-for", "0")
	bench := c.start("bench", "-L", url, "--clients", "4", "-q", "1", "-k", "2", "--rate", "100", "--duration", "4s", "--warmup", "0", "--json")
	c.until("the subscription", func() bool { return strings.Contains(idle.err.String(), "<- SUBACK") })
	c.until("bench measures", func() bool { return strings.Contains(bench.err.String(), "measure") })
	c.step(by)
	<-bench.done
	if bench.code != 0 && bench.code != 13 || !strings.Contains(bench.out.String(), `"lost": 0`) {
		t.Errorf("bench ended with %d: %s\n%s", bench.code, bench.err, bench.out)
	}
	pub("idle")
	select {
	case <-idle.done:
	case <-time.After(scriptTimeout):
	}
	if idle.code != 0 || idle.out.String() != "idle\n" || strings.Contains(idle.err.String(), "lost") {
		t.Errorf("the idle client: exit code %d\n%s", idle.code, idle.err)
	}
	if strings.Contains(broker.err.String(), "keep alive") {
		t.Errorf("somebody was too late: %s", broker.err)
	}
	must("long\n", "sub", "-L", url, "-c", "-i", "long", "-x", "600", "-t", "long", "-q", "1", "-C", "1", "-W", "60")
	time.Sleep(time.Until(briefly))
	must("", "pub", "-L", url, "-t", "brief", "-m", "behind it", "-q", "1")
	must("behind it\n", "sub", "-L", url, "-c", "-i", "brief", "-x", "0", "-t", "brief", "-q", "1", "-C", "1", "-W", "60")
	c.until("the short session ends, the long one does not", func() bool { return c.sessions(broker) == "1" })
	if !durable {
		return
	}
	_ = broker.cmd.Process.Kill()
	<-broker.done
	c.step(2 * by)
	broker = c.start(args...)
	c.until("the broker listens again", func() bool { return strings.Contains(broker.err.String(), "metrics on") })
	want := map[bool]string{true: "0", false: "1"}[by > 0]
	c.until("the broker counts the time that it was away", func() bool { return c.sessions(broker) == want })
}

// sessions is what the broker says.
func (c *clock) sessions(broker *program) string {
	_, url, _ := strings.Cut(broker.err.String(), "metrics on ")
	url, _, _ = strings.Cut(url, "\n")
	resp, err := http.Get(url)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	_, n, _ := strings.Cut(string(b), "\nmqt_sessions ")
	n, _, _ = strings.Cut(n, "\n")
	return n
}
