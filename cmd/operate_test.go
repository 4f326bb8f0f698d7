package cmd_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/rogpeppe/go-internal/testscript"
)

// The commands of the scripts about running a broker; script_test.go lists them.

func fetch(ts *testscript.TestScript, _ bool, args []string) {
	resp, err := http.Get(args[0])
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if want, err := strconv.Atoi(args[1]); err != nil || resp.StatusCode != want {
		ts.Fatalf("%s: %s, want %s", args[0], resp.Status, args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), body, 0o644))
}

func parses(ts *testscript.TestScript, _ bool, args []string) {
	text := []byte(ts.ReadFile(args[0]))
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(text))
	ts.Check(err)
	if len(families) < 20 {
		ts.Fatalf("%d metrics", len(families))
	}
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	ts.Check(err)
	for _, problem := range problems {
		ts.Fatalf("%s: %s", problem.Metric, problem.Text)
	}
}

func capture(ts *testscript.TestScript, _ bool, args []string) {
	re, p := regexp.MustCompile(args[2]), running(ts, args[1])
	poll(ts, args[2], func() bool {
		m := re.FindStringSubmatch(p.out.String() + p.err.String())
		if m != nil {
			ts.Setenv(args[0], m[1])
		}
		return m != nil
	})
}

// activated starts the broker by way of a shell that knows the process's number, as nobody does before it is there.
func activated(ts *testscript.TestScript, _ bool, args []string) {
	name := args[0]
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	ts.Check(err)
	defer l.Close()
	f, err := l.File()
	ts.Check(err)
	defer f.Close()
	file := ts.MkAbs(name + ".socket")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: file, Net: "unixgram"})
	ts.Check(err)
	ts.Defer(func() { told.Close() })
	go func() {
		buf, all := make([]byte, 4096), []byte(nil)
		for {
			n, err := told.Read(buf)
			if err != nil {
				return
			}
			all = append(append(all, buf[:n]...), '\n')
			os.WriteFile(ts.MkAbs(name+".notify"), all, 0o644)
		}
	}()
	path, err := exec.LookPath("mqt")
	ts.Check(err)
	c := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh", path, "broker"}, args[1:]...)...)
	c.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=broker.socket", "NOTIFY_SOCKET="+file, "WATCHDOG_USEC="+ts.Getenv("WATCHDOG_USEC"))
	c.ExtraFiles = []*os.File{f}
	startCommand(ts, name, c)
	ts.Setenv("MQTT_URL", "mqtt://"+l.Addr().String())
}

// shake makes a handshake that takes TLS 1.0 and does not look at the certificate.
func shake(ts *testscript.TestScript, neg bool, args []string) {
	version, ok := map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[args[0]]
	_, addr, _ := strings.Cut(ts.Getenv("MQTT_URL"), "://")
	addr, _, _ = strings.Cut(addr, "/")
	if !ok {
		ts.Fatalf("TLS %s", args[0])
	}
	nc, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: version, NextProtos: args[1:]})
	if err == nil {
		defer nc.Close()
		if got := nc.ConnectionState(); got.Version != version || len(args) > 1 && got.NegotiatedProtocol != args[len(args)-1] {
			ts.Fatalf("%s with %q", tls.VersionName(got.Version), got.NegotiatedProtocol)
		}
	} else if text := err.Error(); !strings.Contains(text, "protocol version not supported") && !strings.Contains(text, "no application protocol") {
		ts.Check(err)
	}
	if neg != (err != nil) {
		ts.Fatalf("TLS %s %q: %v", args[0], args[1:], err)
	}
}

func serves(ts *testscript.TestScript, _ bool, args []string) {
	s := httptest.NewUnstartedServer(http.FileServer(http.Dir(ts.MkAbs(args[0]))))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if len(args) > 1 {
		cert, err := tls.LoadX509KeyPair(ts.MkAbs(args[1]+"/server.pem"), ts.MkAbs(args[1]+"/server.key"))
		ts.Check(err)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		s.StartTLS()
	} else {
		s.Start()
	}
	ts.Defer(s.Close)
	ts.Setenv("URL", s.URL)
}
