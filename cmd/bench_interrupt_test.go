//go:build unix

package cmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mqt/mqtt/bench"
	"mqt/mqtt/broker"
	"mqt/mqtt/transport"
)

// interruptedBenches have something to leave behind: Sessions, retained messages, a command of theirs.
func interruptedBenches() map[string][]string {
	return map[string][]string{
		"conn":     {"conn", "--clients", "300", "--hold", "60s"},
		"pubsub":   {"pubsub", "--clients", "20", "--rate", "200", "--duration", "60s", "--warmup", "500ms", "--ramp", "500ms", "-r", "--keep-session"},
		"sweep":    {"sweep", "--clients", "10", "-q", "1", "--duration", "500ms", "--warmup", "200ms", "-r"},
		"resume":   {"resume", "--clients", "20", "--rate", "200", "--duration", "1s", "-r"},
		"storm":    {"storm", "--clients", "20", "--rate", "100", "--duration", "60s", "--warmup", "300ms"},
		"retained": {"retained", "--clients", "200"},
		"hook":     {"run", "hook.yaml"},
	}
}

const hookScenario = `version: 1
groups:
  s: { role: sub, clients: 5, filter: "bench/${run}/+", qos: 1, session: { clean: false, expiry: 10m } }
  p: { role: pub, clients: 5, topic: "bench/${run}/${i}", rate: 100, qos: 1, retain: true }
phases:
  - { do: connect }
  - { do: load, for: 60s, actions: [{ do: exec, command: "sleep 59", at: 300ms }] }
  - { do: drain }
`

// Whenever Ctrl-C comes, bench prints a whole report, ends with the code of its verdict, and leaves nothing at the broker.
func TestBenchInterrupt(t *testing.T) {
	for name, args := range interruptedBenches() {
		for i := range 2 {
			t.Run(fmt.Sprint(name, " ", i), func(t *testing.T) {
				t.Parallel()
				b, url := emptyBroker(t)
				p := startBench(t, url, args)
				eventually(t, "a client", func() bool { return b.Stats().Accepted > 0 || p.ended() })
				wait := rand.N(1500 * time.Millisecond)
				time.Sleep(wait) // a moment like another
				if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !p.ended() {
					t.Fatal(err)
				}
				eventually(t, "the end", p.ended)
				var rep bench.Report
				if err := json.Unmarshal(p.out.Bytes(), &rep); err != nil {
					t.Fatalf("%v after the first client: %v, code %d\n%s%s", wait, err, p.cmd.ProcessState.ExitCode(), &p.out, &p.err)
				}
				want := map[bench.Verdict]int{
					bench.Pass: 0, bench.ThresholdFailed: 10, bench.ContractBroken: 11, bench.Invalid: 13, bench.Inconclusive: 14,
				}
				if code, ok := want[rep.Verdict]; !ok || p.cmd.ProcessState.ExitCode() != code {
					t.Errorf("%v after the first client: code %d, verdict %q %q", wait, p.cmd.ProcessState.ExitCode(), rep.Verdict, rep.Reasons)
				}
				eventually(t, "nothing to be left", func() bool {
					s := b.Stats()
					return s.Connections+s.Sessions+s.Subscriptions+s.Retained == 0
				})
			})
		}
	}
}

// A second Ctrl-C does not wait for what the first one has begun.
func TestBenchInterruptTwice(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go behaviour{kind: "mute"}.serve(c)
		}
	}()
	p := startBench(t, "mqtt://"+l.Addr().String(), []string{"run", "mute.yaml"})
	eventually(t, "the load", func() bool { return strings.Contains(p.err.String(), "load") || p.ended() })
	eventually(t, "the end", func() bool {
		_ = p.cmd.Process.Signal(os.Interrupt)
		return p.ended()
	})
	if ws := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGINT {
		t.Errorf("it ended by itself, with %v\n%s", p.cmd.ProcessState, p.err.String())
	}
}

// Nothing is acknowledged, so that the drain would last.
const muteScenario = `version: 1
groups:
  p: { role: pub, clients: 2, topic: "bench/${run}/${i}", rate: 20, qos: 1 }
phases:
  - { do: connect }
  - { do: load, name: load, for: 5m }
  - { do: drain, quiet: 5m, timeout: 5m }
`

// benchProcess is a bench that can be interrupted.
type benchProcess struct {
	cmd  *exec.Cmd
	out  bytes.Buffer // once it has ended
	err  output
	done chan struct{}
}

func startBench(t *testing.T, url string, args []string) *benchProcess {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"hook.yaml": hookScenario, "mute.yaml": muteScenario} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := &benchProcess{cmd: exec.Command("mqt", append(append([]string{"bench"}, args...), "-L", url, "--json")...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.out, &p.err
	p.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "GITHUB_STEP_SUMMARY=")
	if signal.Ignored(os.Interrupt) { // under nohup or in a script's background; who is started inherits what is not handled
		handled := make(chan os.Signal, 1)
		signal.Notify(handled, os.Interrupt)
		defer signal.Stop(handled)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // its ProcessState tells
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

func (p *benchProcess) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// emptyBroker serves on a free port until the test ends.
func emptyBroker(t *testing.T) (*broker.Broker, string) {
	t.Helper()
	b, err := broker.New(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := b.Listen(t.Context(), &transport.Endpoint{Scheme: transport.SchemeMQTT, Host: "127.0.0.1", Port: "0"}, transport.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := b.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b, l.URL()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(scriptTimeout); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", scriptTimeout, what)
		}
	}
}
