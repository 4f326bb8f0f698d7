package cmd_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"

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
	c.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=broker.socket", "NOTIFY_SOCKET="+file)
	c.ExtraFiles = []*os.File{f}
	startCommand(ts, name, c)
	ts.Setenv("MQTT_URL", "mqtt://"+l.Addr().String())
}
