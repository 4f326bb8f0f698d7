//go:build unix

package cmd_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mqt/cmd"
)

// localPlace is a name in the documents, and what stands for it here.
type localPlace struct{ documented, here, why string }

// localPlaces is the table of what a command of the documents says and another word takes its place: servers of others,
// fixed ports, folders of the system, and sizes of load that a test has no time for.
func localPlaces() []localPlace {
	return []localPlace{
		{`-h (HOST|localhost|broker\.example)( |$)`, `-L "$$MQTT_URL" `, "the broker of this test"},
		{`mqtts://broker\.example`, `"$$TLS_URL" --cafile ca.pem`, "its TLS port, by the CA of this test"},
		{`mqtt://elsewhere`, `"$$MQTT_URL"`, "the same broker"},
		{`go run \.`, `mqt`, "the program, which need not be built again"},
		{`mqt broker`, `MQT_PORT=0 mqt broker`, "a free port in the place of 1883"},
		{`0\.0\.0\.0:[0-9]+`, `127.0.0.1:0`, "the same, and only for this machine"},
		{`://:[0-9]+`, `://127.0.0.1:0`, "the same"},
		{`127\.0\.0\.1:[0-9]{4,}`, `127.0.0.1:0`, "the same"},
		{`/etc/mqt/`, `./`, "a folder of this test"},
		{`/var/lib/mqt`, `data`, "the same"},
		{`\bDIR\b`, `data`, "the same"},
		{`help COMMAND\b`, `help pub`, "one of them"},
		{`/usr/local/bin`, `"$$BIN"`, "the same"},
		{`"\$\{fpath\[1\]\}/`, `"./`, "a folder of zsh, and the shell is another"},
		{`--run-id big`, `--run-id big --drain 2s`, "the other shards do not run"},
		{`mqt bench( [a-z-]|$)`, `MQT_CLIENTS=20 MQT_RATE=200 MQT_DURATION=600ms MQT_WARMUP=0 MQT_FROM=100 MQT_MOST=100 MQT_ROUNDS=1 MQT_WAVES=1 MQT_JITTER=50ms mqt bench$1`, "a load that is over soon"},
		{`--duration [0-9]+s`, `--duration 600ms`, "the same"},
		{`--hold [0-9]+s`, `--hold 100ms`, "the same"},
		{`--rounds [0-9]+`, `--rounds 1`, "the same"},
		{`--repeat [0-9]+`, `--repeat 3`, "the same"},
		{`\b(for|at|after|jitter): [0-9]+m?s`, `$1: 200ms`, "the same, in a scenario"},
		{`--clients [0-9]+`, `--clients 20`, "the same"},
		{`--pubs [0-9]+`, `--pubs 10`, "the same"},
		{`--rate [0-9]+k`, `--rate 200`, "the same"},
		{`MQT_RATE=200 (.*--max )`, `$1`, "--max has no rate"},
		{`--limit [0-9]+`, `--limit 1000`, "the same"},
	}
}

// docStub is a program that is not ours: a script of the same name runs in its place.
type docStub struct{ name, script, why string }

func docStubs() []docStub {
	return []docStub{
		{"mosquitto", `shift; exec mqt broker -p "$1"`, "another broker; ours answers for it, so that none need be installed"},
		{"pass", "echo secret", "a password manager"},
		{"jq", "cat", "it is not everywhere; here everything passes"},
		{"tail", `shift; cat "$@"`, "-f would never end"},
		{"man", "cat >/dev/null", "it is not in a container"},
		{"wget", `exec cat "$2"`, "the archive is a file of this test"},
		{"sudo", `exec "$@"`, "the job is its own user"},
		{"systemctl", "exit 0", "it would reach the system's services"},
		{"Out-String", "cat", "PowerShell's"},
		{"Invoke-Expression", "cat >/dev/null", "PowerShell's"},
	}
}

// docStage is a folder with every file that the commands name, and a broker.
type docStage struct {
	dir, bin string
	url, tls string
	env      []string
}

// newDocStage makes the files: those that the README shows, and what else its commands read.
func newDocStage(t *testing.T) *docStage {
	t.Helper()
	s := &docStage{dir: t.TempDir(), bin: t.TempDir()}
	write := func(path, text string, mode os.FileMode) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range readmeBlocks(t) {
		if b.lang == "yaml" || b.lang == "text" {
			write(filepath.Join(s.dir, b.fileName()), s.local(strings.Join(b.text, "\n")+"\n"), 0o644)
		}
	}
	for _, stub := range docStubs() {
		write(filepath.Join(s.bin, stub.name), "#!/bin/sh\n"+stub.script+"\n", 0o755)
	}
	for name, text := range map[string]string{
		"pw": "secret\n", "state.json": `{"on":true}`, "log": "one\ntwo\n",
		"meter.proto": "syntax = \"proto3\";\nmessage Reading { double value = 1; }\n",
		"creds.csv":   "username,password\nann,one\n",
	} {
		write(filepath.Join(s.dir, name), text, 0o600)
	}
	write(filepath.Join(s.dir, "run-tests.sh"), "#!/bin/sh\nexec mqt pub -t test -m x -q 1\n", 0o755)
	write(filepath.Join(s.dir, "work"), "#!/bin/sh\necho \"$1: $(cat)\"\n", 0o755)
	write(filepath.Join(s.dir, ".config", "fish", "completions", "none"), "", 0o644)
	docCerts(t, s.dir)
	for _, args := range [][]string{
		{"passwd", "-c", "-b", "users", "bob", "secret"},
		{"broker", "-p", "0", "--data-dir", "data", "--exec", "mqt pub -t a -m b -r -q 1"},
		{"bench", "pub", "--pubs", "2", "-q", "0", "--rate", "400", "--duration", "500ms", "--warmup", "0", "--no-tracking", "--inconclusive-ok", "-o", "json=base.json"},
	} {
		s.mustRun(t, "mqt", args...)
	}
	saved, err := os.ReadFile(filepath.Join(s.dir, "base.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"new.json", "result.json"} {
		write(filepath.Join(s.dir, name), string(saved), 0o644)
	}
	return s
}

// copy is the same folder again, with a broker of its own.
func (s *docStage) copy(t *testing.T) *docStage {
	t.Helper()
	c := &docStage{dir: t.TempDir(), bin: s.bin}
	if err := os.CopyFS(c.dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	c.broker(t)
	return c
}

// broker runs mqt broker in this process until the test ends.
func (s *docStage) broker(t *testing.T) {
	t.Helper()
	in := func(name string) string { return filepath.Join(s.dir, name) }
	done := make(chan int, 1)
	var errs output
	ctx := t.Context()
	go func() {
		done <- cmd.Main(ctx, []string{"broker", "--listen", "mqtt://127.0.0.1:0", "--listen", "mqtts://127.0.0.1:0", "--cert", in("server.pem"),
			"--key", in("server.key"), "--ready-file", in("broker.ready")}, cmd.Stdio{In: strings.NewReader(""), Out: &errs, Err: &errs})
	}()
	t.Cleanup(func() { <-done })
	for deadline := time.Now().Add(scriptTimeout); ; time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(in("broker.ready"))
		if urls := strings.Fields(string(text)); err == nil && len(urls) == 2 {
			s.url, s.tls = urls[0], urls[1]
			return
		}
		if time.Now().After(deadline) || len(done) > 0 {
			t.Fatalf("the broker is not ready: %s", &errs)
		}
	}
}

// local puts this machine's names into a command.
func (s *docStage) local(text string) string {
	for _, p := range localPlaces() {
		text = regexp.MustCompile(p.documented).ReplaceAllString(text, p.here)
	}
	return text
}

// docProcess is a shell that runs a command.
type docProcess struct{ *program }

// command prepares a program in the folder: no setting of who runs the tests reaches it.
func (s *docStage) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = s.dir
	path := s.bin + ":" + os.Getenv("PATH")
	c.Env = []string{"PATH=" + path, "HOME=" + s.dir, "XDG_CONFIG_HOME=" + filepath.Join(s.dir, ".config"), "TMPDIR=" + os.TempDir(), "BIN=" + s.bin}
	if s.url != "" {
		c.Env = append(c.Env, "MQTT_URL="+s.url)
	}
	if s.tls != "" {
		c.Env = append(c.Env, "TLS_URL="+s.tls)
	}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "GO") || strings.HasPrefix(v, "TESTSCRIPT") {
			c.Env = append(c.Env, v)
		}
	}
	c.Env = append(c.Env, s.env...)
	return c
}

func (s *docStage) mustRun(t *testing.T, name string, args ...string) {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		name = path
	}
	c := s.command(name, args...)
	out, err := c.CombinedOutput()
	if code := c.ProcessState.ExitCode(); err != nil && code != 13 {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// start has bash run the script, in a process group that ends with the test.
func (s *docStage) start(t *testing.T, script string) *docProcess {
	t.Helper()
	c := s.command("bash", "-e", "-o", "pipefail", "-c", script)
	p := &docProcess{program: &program{cmd: c, out: &output{}, err: &output{}, done: make(chan struct{})}}
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader("secret\n"), p.out, p.err
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.WaitDelay = time.Second // what it has left in the background holds the pipes
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		c.Wait()
		p.code = c.ProcessState.ExitCode()
		close(p.done)
	}()
	t.Cleanup(func() {
		syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		<-p.done
	})
	return p
}

// wait waits for its end.
func (p *docProcess) wait(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(scriptTimeout):
		t.Fatalf("it does not end; stdout:\n%s\nstderr:\n%s", p.out, p.err)
	}
}

// waitFor waits until it has done something.
func (p *docProcess) waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	wait := 5 * time.Millisecond
	for deadline := time.Now().Add(scriptTimeout); !ok(); time.Sleep(wait) {
		select {
		case <-p.done:
			if !ok() {
				t.Fatalf("it has ended with %d; stdout:\n%s\nstderr:\n%s", p.code, p.out, p.err)
			}
			return
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v; stdout:\n%s\nstderr:\n%s", scriptTimeout, p.out, p.err)
		}
		wait = min(wait*5/4, 100*time.Millisecond)
	}
}

// session runs the commands of a console block in one shell, and compares what each prints before the next.
func (s *docStage) session(t *testing.T, lines []string) {
	t.Helper()
	s.url = "" // it starts its own
	var script strings.Builder
	var wants [][]string
	for _, line := range lines {
		text, isCommand := strings.CutPrefix(line, "$ ")
		if !isCommand {
			if line != "" {
				wants[len(wants)-1] = append(wants[len(wants)-1], line)
			}
			continue
		}
		wants = append(wants, nil)
		n := len(wants)
		text = s.local(bare(text))
		if job, inBackground := strings.CutSuffix(text, " &"); inBackground {
			text = background(job, n)
		}
		// The next command waits until this one's lines were seen.
		fmt.Fprintf(&script, "{ %s\n} 2>&1; : >step.%d; until [ -e go.%d ]; do sleep 0.01; done\n", text, n, n)
	}
	p := s.start(t, "set +e +o pipefail\n"+script.String())
	seen := ""
	for i, want := range wants {
		p.waitFor(t, func() bool { _, err := os.Stat(filepath.Join(s.dir, fmt.Sprintf("step.%d", i+1))); return err == nil })
		var got []string
		same := func() bool {
			got = strings.Split(strings.TrimPrefix(p.out.String(), seen), "\n")
			return sameShape(want, got)
		}
		for deadline := time.Now().Add(scriptTimeout); !same() && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		}
		if !same() {
			t.Fatalf("step %d printed\n%s\nthe README has\n%s\nas shapes:\n%s\n\n%s\nstderr %s", i+1, strings.Join(got, "\n"), strings.Join(want, "\n"),
				strings.Join(shapes(got), "\n"), strings.Join(shapes(want), "\n"), p.err)
		}
		seen = p.out.String()
		if err := os.WriteFile(filepath.Join(s.dir, fmt.Sprintf("go.%d", i+1)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// background starts a job and waits until it is of use: a broker listens, a subscriber has subscribed.
func background(job string, n int) string {
	if strings.Contains(job, "mqt broker") {
		return fmt.Sprintf("MQT_READY_FILE=ready.%d %s &\nuntil [ -s ready.%d ]; do sleep 0.01; done\nexport MQTT_URL=$(head -n 1 ready.%d)", n, job, n, n)
	}
	return fmt.Sprintf("MQT_DEBUG=true %s 2>debug.%d &\nuntil grep -qs '<- SUBACK' debug.%d; do sleep 0.01; done", job, n, n)
}

// shape is a line with its numbers and what depends on the machine masked.
func shape(line string) string {
	for _, m := range [][2]string{
		{`[▁-█]+`, "S"},
		{` and mqtt://\[::1\]:[0-9]+`, ""}, // where there is IPv6
		{`"tst":"[^"]*"`, `"tst":"T"`},
		{`run [0-9a-f]{8}`, "run H"},
		{`[0-9][0-9.,\x{a0}\x{202f} ]*`, "N "},
		{`(N )+(ns|µs|ms|s|m)\b`, "T "},
		{`(N )+([KMGT]?i?B)(/s)?\b`, "B$3 "},
		{`(N |T )+`, "N "},
		{`\s+`, " "},
	} {
		line = regexp.MustCompile(m[0]).ReplaceAllString(line, m[1])
	}
	return strings.TrimSpace(line)
}

// shapes are those of lines that are there in every run: a busy machine makes a bench warn, or say that it is spoilt.
func shapes(lines []string) []string {
	var all []string
	for _, line := range lines {
		warns := regexp.MustCompile(`^ {12}[^ ✓✗?u]`).MatchString(line)
		sh := shape(line)
		switch {
		case warns || sh == "":
			continue
		case strings.HasPrefix(line, "generator"), strings.HasPrefix(line, "because"), strings.HasPrefix(line, "RESULT"), strings.HasPrefix(line, "worst"):
			sh, _, _ = strings.Cut(sh, " ")
			if sh == "because" {
				continue
			}
		}
		all = append(all, sh)
	}
	return all
}

func sameShape(want, got []string) bool { return slices.Equal(shapes(want), shapes(got)) }

// docCerts makes server.pem, which is its own CA, and server.key.
func docCerts(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{"server.pem": cert, "ca.pem": cert, "server.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
