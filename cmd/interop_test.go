//go:build interop

// The interop suite: other people's clients against our broker, our commands against mosquitto, and a capture that
// Wireshark decodes. It runs apart (go test -tags interop -run Interop ./cmd), since it needs mosquitto with its
// clients, /usr/bin/python3 with paho-mqtt, node with the package mqtt (NODE_PATH), chromium, and dumpcap and tshark;
// .ci/run installs them. What is missing is a failure, never a skip. Every client also runs against mosquitto, which
// shows that the checks themselves are right.
package cmd_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	checkTimeout = 3 * time.Minute
	startTimeout = 60 * time.Second
)

// interopServer is a broker of its own for one test, so that nothing of another test is in it.
type interopServer struct {
	name   string // "mqt" or "mosquitto"
	tcp    string // mqtt://127.0.0.1:PORT
	ws     string // ws://127.0.0.1:PORT/mqtt
	tls    string // mqtts://127.0.0.1:PORT
	cafile string // of the authority that signed its certificate
	stderr *bytes.Buffer
}

// brokers start a server of each kind.
func brokers() map[string]func(*testing.T) interopServer {
	return map[string]func(*testing.T) interopServer{"mqt": startMQT, "mosquitto": startMosquitto}
}

// buildMQT builds the program once for all tests.
var buildMQT = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "mqt-interop-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "mqt")
	if out, err := exec.Command("go", "build", "-o", path, "..").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

func mqtProgram(t *testing.T) string {
	t.Helper()
	path, err := buildMQT()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func startMQT(t *testing.T) interopServer {
	ca, cert, key := interopCertificates(t)
	s := runMQT(t, "--listen", "mqtt://127.0.0.1:0", "--listen", "ws://127.0.0.1:0/mqtt", "--listen", "mqtts://127.0.0.1:0", "--cert", cert, "--key", key)
	s.cafile = ca
	return s
}

// runMQT runs our broker and waits for its addresses.
func runMQT(t *testing.T, args ...string) interopServer {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready")
	s := interopServer{name: "mqt"}
	s.stderr = runServer(t, exec.Command(mqtProgram(t), append([]string{"broker", "--ready-file", ready}, args...)...))
	waitUntil(t, "the broker's ready file", func() bool {
		text, err := os.ReadFile(ready)
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			switch {
			case strings.HasPrefix(line, "mqtt:"):
				s.tcp = line
			case strings.HasPrefix(line, "ws:"):
				s.ws = line
			case strings.HasPrefix(line, "mqtts:"):
				s.tls = line
			}
		}
		return err == nil
	})
	return s
}

func startMosquitto(t *testing.T) interopServer {
	tcp, ws, tls := freeAddr(t), freeAddr(t), freeAddr(t)
	ca, cert, key := interopCertificates(t)
	// Nearly mosquitto's defaults, as users meet them: 20 messages in flight, and a client that has more is cut off, though
	// 3.1.1 has no way to tell it so.
	text := fmt.Sprintf("listener %s\nlistener %s\nprotocol websockets\n"+
		"listener %s\ncafile %s\ncertfile %s\nkeyfile %s\n"+
		"allow_anonymous true\nmax_queued_messages 0\n", listener(tcp), listener(ws), listener(tls), ca, cert, key)
	return interopServer{name: "mosquitto", cafile: ca, tcp: "mqtt://" + tcp, ws: "ws://" + ws + "/mqtt", tls: "mqtts://" + tls,
		stderr: runMosquitto(t, text, tcp, ws, tls)}
}

// listener is the address in the words of mosquitto.conf.
func listener(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	return port + " " + host
}

// runMosquitto runs mosquitto with a configuration and waits until it is at all its addresses.
func runMosquitto(t *testing.T, text string, addrs ...string) *bytes.Buffer {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(conf, []byte(text+"user root\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("mosquitto")
	if err != nil { // Debian's is in sbin
		path = "/usr/sbin/mosquitto"
	}
	stderr := runServer(t, exec.Command(path, "-c", conf))
	for _, addr := range addrs {
		waitUntil(t, "mosquitto", func() bool {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
	return stderr
}

// interopCertificates makes an authority and a certificate of 127.0.0.1 that it signed, each for one test.
func interopCertificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	a := newAuthority(t, filepath.Join(dir, "ca.pem"))
	return a.file, filepath.Join(dir, "server.pem"), a.issue(t, dir, "server", x509.ExtKeyUsageServerAuth)
}

// authority signs certificates.
type authority struct {
	file     string
	template *x509.Certificate
	key      *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, file string) *authority {
	t.Helper()
	a := &authority{file: file, template: &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "interop authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}}
	a.key = a.sign(t, a.template, file)
	return a
}

// issue makes NAME.pem and NAME.key in dir, for 127.0.0.1 and the Common Name name, and returns the path of the key.
func (a *authority) issue(t *testing.T, dir, name string, usage x509.ExtKeyUsage) (key string) {
	t.Helper()
	k := a.sign(t, &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: a.template.NotBefore, NotAfter: a.template.NotAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage}}, filepath.Join(dir, name+".pem"))
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	key = filepath.Join(dir, name+".key")
	writePEM(t, key, "PRIVATE KEY", private)
	return key
}

// sign writes the certificate of a new key, which signs for itself if the authority has none yet.
func (a *authority) sign(t *testing.T, c *x509.Certificate, file string) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = k
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.template, k.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, file, "CERTIFICATE", der)
	return k
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// runServer runs a program until the test ends. Then it must end by itself on SIGTERM.
func runServer(t *testing.T, c *exec.Cmd) *bytes.Buffer {
	t.Helper()
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- c.Wait() }()
	t.Cleanup(func() {
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("%s ended early: %v\n%s", c, <-exited, lastBytes(stderr.Bytes()))
			return
		}
		select {
		case <-exited:
		case <-time.After(startTimeout):
			c.Process.Kill()
			t.Errorf("%s still runs %v after SIGTERM\n%s", c, startTimeout, lastBytes(stderr.Bytes()))
		}
	})
	return &stderr
}

func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is not there after %v", what, startTimeout)
		}
	}
}

// runChecks runs a script that prints "ok NAME" for each of its checks and stops at the first that fails.
func runChecks(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), checkTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	// The script's children hold its streams: its process group ends with it.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	out, err := c.Output()
	n := strings.Count("\n"+string(out), "\nok ")
	t.Logf("%d checks\n%s", n, out)
	if err != nil {
		t.Errorf("%s: %v\n%s", c, err, lastBytes(stderr.Bytes()))
	} else if n == 0 {
		t.Error("the script checked nothing")
	}
}

func lastBytes(b []byte) []byte { return b[max(0, len(b)-4000):] }

func checkScript(name string) string { return filepath.Join("..", "testdata", "interop", name) }

// TestInteropClients runs each foreign client against each broker.
func TestInteropClients(t *testing.T) {
	if os.Getenv("NODE_PATH") == "" {
		t.Fatal("NODE_PATH does not name the folder with MQTT.js: npm install mqtt")
	}
	clients := map[string]func(*testing.T, interopServer){
		"mosquitto": func(t *testing.T, s interopServer) {
			runChecks(t, nil, checkScript("mosquitto_check.sh"), s.tcp, s.name)
		},
		"mosquitto over TLS": func(t *testing.T, s interopServer) {
			runChecks(t, []string{"CAFILE=" + s.cafile}, checkScript("mosquitto_check.sh"), s.tls, s.name)
		},
		"paho-mqtt": func(t *testing.T, s interopServer) {
			runChecks(t, nil, "/usr/bin/python3", checkScript("paho_check.py"), s.tcp)
		},
		"paho-mqtt over WebSocket": func(t *testing.T, s interopServer) {
			runChecks(t, nil, "/usr/bin/python3", checkScript("paho_check.py"), s.ws)
		},
		"MQTT.js": func(t *testing.T, s interopServer) {
			runChecks(t, nil, "node", checkScript("mqttjs_check.js"), s.tcp, s.name)
		},
		"MQTT.js over WebSocket": func(t *testing.T, s interopServer) {
			runChecks(t, nil, "node", checkScript("mqttjs_check.js"), s.ws, s.name)
		},
		"paho.golang": pahoGolang,
	}
	for broker, start := range brokers() {
		for client, run := range clients {
			t.Run(broker+"/"+client, func(t *testing.T) {
				t.Parallel()
				run(t, start(t))
			})
		}
	}
}

// TestInteropCommands runs mqt pub and mqt sub where a script has mosquitto_pub and mosquitto_sub: one of the two at a
// time against mosquitto, and both against our broker.
func TestInteropCommands(t *testing.T) {
	pub, sub := "PUB="+mqtProgram(t)+" pub", "SUB="+mqtProgram(t)+" sub"
	tests := map[string]struct {
		broker func(*testing.T) interopServer
		tls    bool
		env    []string
	}{
		"mqt pub to mosquitto_sub by mosquitto":     {broker: startMosquitto, env: []string{pub}},
		"mosquitto_pub to mqt sub by mosquitto":     {broker: startMosquitto, env: []string{sub}},
		"mqt pub to mqt sub by mosquitto":           {broker: startMosquitto, env: []string{pub, sub}},
		"mqt pub to mqt sub by mosquitto, over TLS": {broker: startMosquitto, env: []string{pub, sub}, tls: true},
		"mqt pub to mosquitto_sub by mqt":           {broker: startMQT, env: []string{pub}},
		"mosquitto_pub to mqt sub by mqt":           {broker: startMQT, env: []string{sub}},
		"mqt pub to mqt sub by mqt":                 {broker: startMQT, env: []string{pub, sub}},
		"mqt pub to mqt sub by mqt, over TLS":       {broker: startMQT, env: []string{pub, sub}, tls: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tt.broker(t)
			address, env := s.tcp, tt.env
			if tt.tls {
				address, env = s.tls, append(slices.Clone(env), "CAFILE="+s.cafile)
			}
			runChecks(t, env, checkScript("mosquitto_check.sh"), address, s.name)
		})
	}
}

// TestInteropBench runs a short load against each broker, and wants its delivery contract to hold.
func TestInteropBench(t *testing.T) {
	for broker, start := range brokers() {
		for _, version := range []string{"3.1.1", "5"} {
			t.Run(broker+"/"+version, func(t *testing.T) {
				for _, qos := range []string{"0", "1", "2"} {
					s := start(t)
					ctx, cancel := context.WithTimeout(t.Context(), checkTimeout)
					defer cancel()
					c := exec.CommandContext(ctx, mqtProgram(t), "bench", "-L", s.tcp, "-V", version, "--qos", qos,
						"--clients", "100", "--rate", "1000", "--warmup", "1s", "--duration", "3s")
					out, err := c.CombinedOutput()
					t.Logf("%s\n%s", c, out)
					// 13 and 14 say that this machine was too busy to measure, which is not what is asked here.
					if exit, ok := errors.AsType[*exec.ExitError](err); ok && slices.Contains([]int{13, 14}, exit.ExitCode()) {
						continue
					}
					if err != nil {
						t.Errorf("QoS %s: %v", qos, err)
					}
				}
			})
		}
	}
}

// TestInteropCapture has Wireshark decode what our broker and our commands say to mosquitto's.
func TestInteropCapture(t *testing.T) {
	ours, theirs := startMQT(t), startMosquitto(t)
	file := filepath.Join(t.TempDir(), "capture.pcapng")
	port := func(s interopServer) string {
		u, err := url.Parse(s.tcp)
		if err != nil {
			t.Fatal(err)
		}
		return u.Port()
	}
	dump := exec.Command("dumpcap", "-q", "-i", "lo", "-B", "256", "-w", file,
		"-f", fmt.Sprintf("tcp port %s or tcp port %s", port(ours), port(theirs)))
	var said bytes.Buffer
	dump.Stderr = &said
	if err := dump.Start(); err != nil {
		t.Fatal(err)
	}
	defer dump.Process.Kill()
	waitUntil(t, "dumpcap", func() bool { f, err := os.Stat(file); return err == nil && f.Size() > 0 })
	runChecks(t, nil, checkScript("mosquitto_check.sh"), ours.tcp, ours.name)
	runChecks(t, []string{"PUB=" + mqtProgram(t) + " pub", "SUB=" + mqtProgram(t) + " sub"}, checkScript("mosquitto_check.sh"), theirs.tcp, theirs.name)
	dump.Process.Signal(os.Interrupt)
	if err := dump.Wait(); err != nil {
		t.Fatalf("dumpcap: %v: %s", err, said.Bytes())
	}
	if text := said.String(); !strings.Contains(text, "/0 (pcap:0/dumpcap:0/") {
		t.Fatalf("dumpcap lost packets: %s", text)
	}

	decode := func(args ...string) string {
		args = append([]string{"-r", file, "-d", "tcp.port==" + port(ours) + ",mqtt", "-d", "tcp.port==" + port(theirs) + ",mqtt"}, args...)
		var stderr bytes.Buffer
		c := exec.Command("tshark", args...)
		c.Stderr = &stderr
		out, err := c.Output()
		if err != nil {
			t.Fatalf("tshark: %v: %s", err, stderr.Bytes())
		}
		return string(out)
	}
	if bad := decode("-Y", `_ws.malformed or _ws.expert.severity == "Error" or _ws.unreassembled`); bad != "" {
		t.Errorf("Wireshark finds malformed packets:\n%s", lastBytes([]byte(bad)))
	}
	// It must have decoded what the test is about: every packet type that the clients use, in all three versions.
	seen := make(map[string]bool)
	for line := range strings.Lines(decode("-Y", "mqtt", "-T", "fields", "-e", "mqtt.msgtype", "-e", "mqtt.ver")) {
		types, versions, _ := strings.Cut(strings.TrimSpace(line), "\t")
		for v := range strings.SplitSeq(versions, ",") {
			seen["version "+v] = true
		}
		for x := range strings.SplitSeq(types, ",") {
			seen["type "+x] = true
		}
	}
	for _, want := range []string{"version 3", "version 4", "version 5", "type 1", "type 2", "type 3", "type 4", "type 5", "type 6", "type 7",
		"type 8", "type 9", "type 14"} {
		if !seen[want] {
			t.Errorf("Wireshark decoded no packet of %s", want)
		}
	}
}
