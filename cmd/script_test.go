package cmd_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mqt/cmd"
)

// TestMain makes the test binary be mqt where a script runs mqt.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"jwt": printToken, "mqt": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		context.AfterFunc(ctx, stop)
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
		askTestDNS()
		os.Exit(cmd.Main(ctx, os.Args[1:], cmd.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
	}})
}

// printToken is a program that signs a JSON Web Token: jwt KEYFILE USER LIFE.
func printToken() {
	key, err := os.ReadFile(os.Args[1])
	life, bad := time.ParseDuration(os.Args[3])
	if err != nil || bad != nil {
		panic(errors.Join(err, bad))
	}
	enc := base64.RawURLEncoding.EncodeToString
	token := enc([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		enc(fmt.Appendf(nil, `{"sub":%q,"exp":%.3f}`, os.Args[2], float64(time.Now().Add(life).UnixMilli())/1000))
	mac := hmac.New(sha256.New, bytes.TrimSpace(key))
	mac.Write([]byte(token))
	fmt.Println(token + "." + enc(mac.Sum(nil)))
}

// scriptTimeout ends a step that hangs. It is long: with the race detector, on a busy machine, one that passes 100,000
// messages takes over half a minute.
const scriptTimeout = 2 * time.Minute

// TestScripts runs the promises of the command line, one a file.
//
//	broker [NAME=VALUE] [ARGS]     starts mqt broker on a free port, unless there are ARGS, with MQTT_URL set to it
//	freeport VARIABLE              sets it to a port for a broker that comes later, or again
//	server KIND                    starts a scripted server, see server_test.go, the same way
//	lossy                          puts a proxy before MQTT_URL that loses every 50th message of QoS 1 to clients, with MQTT_URL set to it
//	proxy KIND [USER PASSWORD]     starts a proxy, see proxy_test.go, with PROXY set to its URL
//	sub NAME ARGS                  starts mqt sub and waits until it has subscribed
//	run NAME ARGS                  starts mqt with a stdin that stays open; feed NAME FILE writes to it, "feed NAME" closes it
//	ended NAME CODE[|CODE]         waits for its end; NAME.out and NAME.err are what it wrote
//	signal NAME INT|TERM|KILL|HUP  signals it
//	exits CODE[|CODE] PROGRAM ARGS runs a program that ends so; stdout and stderr check its words
//	lines N FILE                   checks that a file has so many lines
//	fetch URL STATUS FILE          writes what an HTTP server answers into the file
//	parses FILE                    reads the file as Prometheus does, which also says what is bad style
//	capture VARIABLE NAME REGEXP   waits until what NAME wrote matches, and takes the group
//	activated NAME ARGS            starts mqt broker as systemd does: a TCP socket as the third descriptor, with MQTT_URL set
//	                               to it, and what it notifies in NAME.notify
//	shake VERSION [ALPN]...        makes a handshake with TLS up to VERSION at MQTT_URL; the last ALPN is what the server takes
//	serves DIRECTORY [CERTS]       starts an HTTP server with its files, at URL; https with certificates as certs makes them
//	gen KIND FILE                  makes a file: see generate
//	certs DIRECTORY                makes certificates, see certs_test.go
//	waitfor FILE [REGEXP]          waits until the file is there and matches
//
// The process of NAME is $PID_NAME.
func TestScripts(t *testing.T) { testscript.Run(t, scriptParams("script")) }

// scriptParams are those of the scripts in a folder of testdata.
func scriptParams(folder string) testscript.Params {
	return testscript.Params{
		Dir:                 filepath.Join("..", "testdata", folder),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values[programsKey{}] = &programs{running: make(map[string]*program)}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"broker": startBroker, "server": startServer, "sub": startSub, "run": startRun, "feed": feed, "ended": ended, "signal": signalProgram,
			"proxy": startProxy, "exits": exits, "lines": lines, "gen": generate, "certs": makeCerts, "waitfor": waitFor,
			"fetch": fetch, "lossy": startLossy, "parses": parses, "capture": capture, "activated": activated, "shake": shake, "serves": serves,
			"freeport": setFreePort,
		},
	}
}

type programsKey struct{}

// programs are those that a script has started.
type programs struct {
	running map[string]*program
}

// program runs in the background.
type program struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	out, err *output
	done     chan struct{}
	code     int
}

// output can be looked at while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func start(ts *testscript.TestScript, name string, args ...string) *program {
	path, err := exec.LookPath("mqt")
	ts.Check(err)
	c := exec.Command(path, args...)
	for _, v := range os.Environ() { // what the test process has, less what would steer the program
		if !strings.HasPrefix(v, "MQT") {
			c.Env = append(c.Env, v)
		}
	}
	c.Env = append(c.Env, "XDG_CONFIG_HOME="+ts.MkAbs("no-config")) // not that of who runs the tests
	for _, v := range []string{"MQTT_URL", "XDG_CONFIG_HOME", "MQT_URL", "MQT_TLS_KEYLOG", "MQT_CAFILE", "MQT_MAX_SUBSCRIPTIONS", "TEST_DNS"} {
		if value := ts.Getenv(v); value != "" {
			c.Env = append(c.Env, v+"="+value)
		}
	}
	return startCommand(ts, name, c)
}

func startCommand(ts *testscript.TestScript, name string, c *exec.Cmd) *program {
	all := ts.Value(programsKey{}).(*programs)
	if all.running[name] != nil {
		ts.Fatalf("%s runs already", name)
	}
	p := &program{cmd: c, out: &output{}, err: &output{}, done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = ts.Getenv("WORK"), p.out, p.err
	var err error
	p.in, err = p.cmd.StdinPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	all.running[name] = p
	ts.Setenv("PID_"+name, strconv.Itoa(p.cmd.Process.Pid))
	go func() {
		p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.done)
	}()
	ts.Defer(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

func poll(ts *testscript.TestScript, what string, ok func() bool) {
	wait := 5 * time.Millisecond
	for deadline := time.Now().Add(scriptTimeout); !ok(); time.Sleep(wait) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s: not within %v", what, scriptTimeout)
		}
		wait = min(wait*5/4, 100*time.Millisecond) // a look at all that a program wrote takes time from the program
	}
}

func startBroker(ts *testscript.TestScript, _ bool, args []string) {
	name, port := "broker", []string{"-p", "0"}
	for len(args) > 0 && strings.Contains(args[0], "=") && args[0][0] != '-' {
		name, args = strings.TrimPrefix(args[0], "name="), args[1:]
	}
	if len(args) > 0 {
		port = nil
	}
	ready := ts.MkAbs(name + ".ready")
	p := start(ts, name, append(append([]string{"broker", "-v", "--ready-file", ready}, port...), args...)...)
	poll(ts, "the broker's ready file", func() bool {
		select {
		case <-p.done:
			ts.Fatalf("the broker ended with %d: %s", p.code, p.err)
		default:
		}
		b, err := os.ReadFile(ready)
		if err == nil {
			url, _, _ := strings.Cut(string(b), "\n")
			ts.Setenv("MQTT_URL", url)
			if strings.HasSuffix(url, ":1883") {
				ts.Fatalf("the broker of a script has a port of its own, as -p 0 gives it, since other scripts run beside it")
			}
		}
		return err == nil
	})
}

func startSub(ts *testscript.TestScript, _ bool, args []string) {
	p := start(ts, args[0], append([]string{"sub", "-d"}, args[1:]...)...)
	poll(ts, "the subscription", func() bool {
		select {
		case <-p.done:
			ts.Fatalf("sub ended with %d: %s", p.code, p.err)
		default:
		}
		return strings.Contains(p.err.String(), "<- SUBACK")
	})
}

func startRun(ts *testscript.TestScript, _ bool, args []string) { start(ts, args[0], args[1:]...) }

func feed(ts *testscript.TestScript, _ bool, args []string) {
	p := running(ts, args[0])
	if len(args) == 1 {
		ts.Check(p.in.Close())
		return
	}
	_, err := io.WriteString(p.in, ts.ReadFile(args[1]))
	ts.Check(err)
}

func running(ts *testscript.TestScript, name string) *program {
	p := ts.Value(programsKey{}).(*programs).running[name]
	if p == nil {
		ts.Fatalf("%s was not started", name)
	}
	return p
}

func ended(ts *testscript.TestScript, _ bool, args []string) {
	p := running(ts, args[0])
	select {
	case <-p.done:
	case <-time.After(scriptTimeout):
		ts.Fatalf("%s does not end; stdout %q, stderr %s", args[0], p.out, p.err)
	}
	delete(ts.Value(programsKey{}).(*programs).running, args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".out"), []byte(p.out.String()), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".err"), []byte(p.err.String()), 0o644))
	if !oneOf(args[1], p.code) {
		ts.Fatalf("%s ended with %d, want %s; stderr:\n%s", args[0], p.code, args[1], p.err)
	}
}

func signalProgram(ts *testscript.TestScript, _ bool, args []string) {
	sig := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "KILL": os.Kill, "HUP": syscall.SIGHUP}[args[1]]
	ts.Check(running(ts, args[0]).cmd.Process.Signal(sig))
}

// oneOf takes 13 and 0|13.
func oneOf(want string, code int) bool {
	return slices.Contains(strings.Split(want, "|"), strconv.Itoa(code))
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if !oneOf(args[0], code) {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

func lines(ts *testscript.TestScript, _ bool, args []string) {
	if n := strings.Count(ts.ReadFile(args[1]), "\n"); fmt.Sprint(n) != args[0] {
		ts.Fatalf("%s has %d lines, want %s", args[1], n, args[0])
	}
}

// generate makes what a script cannot hold: bytes (all values, NUL first), seq (100,000 numbered lines), longline (two
// lines of 3 MB and no line feed at the end), mix (lines with NUL, CR and nothing), big (10 MB without pattern).
func generate(ts *testscript.TestScript, _ bool, args []string) {
	var b bytes.Buffer
	switch args[0] {
	case "bytes":
		for i := range 512 {
			b.WriteByte(byte(i))
		}
	case "seq":
		for i := range 100_000 {
			fmt.Fprintln(&b, i)
		}
	case "longline":
		b.WriteString(strings.Repeat("a", 3e6) + "\n" + strings.Repeat("b", 3e6))
	case "mix":
		b.WriteString("one\n\n\x00two\x00\nthree\r\n\xff\xfe\nlast")
	case "big":
		x := uint32(1)
		for range 10 << 20 {
			x = x*1664525 + 1013904223
			b.WriteByte(byte(x >> 24))
		}
	default:
		ts.Fatalf("gen: no %s", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b.Bytes(), 0o644))
}

func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	re := regexp.MustCompile("")
	if len(args) > 1 {
		re = regexp.MustCompile(args[1])
	}
	poll(ts, args[0], func() bool {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if p := ts.Value(programsKey{}).(*programs).running[args[0]]; p != nil {
			b, err = []byte(p.out.String()+p.err.String()), nil
		}
		return err == nil && re.Match(b)
	})
}
