package cmd

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mqt/mqtt/bench"
	"mqt/mqtt/client"
)

const scenarioFile = `version: 1
name: telemetry
defaults: { qos: 1, size: 128, inflight: 32 }
groups:
  devices:  { role: pub, clients: 20, topic: "t/${run}/${i}/data", rate: 200/s, arrival: poisson }
  commands: { role: sub, clients: 10, filter: "t/${run}/${i}/cmd", session: { clean: false, expiry: 10m } }
  backend:  { role: sub, clients: 2, filter: "$share/be/t/${run}/+/data" }
phases:
  - { name: connect, do: connect }
  - { name: warmup, do: load, for: 200ms, record: false, rate: 0%-100% }
  - { name: steady, do: load, for: 1s }
  - { name: storm, do: disconnect, groups: [devices], pick: 30%, how: rst, over: 100ms, reconnect: { after: 10ms, jitter: 100ms }, for: 1s }
  - { name: drain, do: drain, quiet: 500ms, timeout: 15s }
thresholds:
  - "steady: delivered > 100"
  - { expr: "steady: backend.e2e.p50 < 10s", abort: true, after: 10s }
  - "qos1.lost == 0"
`

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scenario.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A file runs through its phases, with its groups, faults and thresholds.
func TestBenchRun(t *testing.T) {
	path := writeFile(t, scenarioFile)
	code, out, errs := runBench(t.Context(), "run", path, "--json", "--set", "groups.devices.clients=40", "--set", "phases.steady.for=2s")
	var rep bench.Report
	if err := json.Unmarshal([]byte(out), &rep); err != nil {
		t.Fatalf("%d, %v: %s", code, err, errs)
	}
	if code != verdictCode(rep.Verdict) || rep.Name != "telemetry" || len(rep.Groups) != 3 || rep.Groups[0].Name != "devices" || rep.Groups[0].Clients != 40 {
		t.Errorf("exit code %d, report %+v", code, rep.Groups)
	}
	if rep.Connections.Cut != 12 || rep.Connections.Reconnected != 12 || !rep.Contract.Held || rep.Delivered.N < 300 || rep.Load.Role != bench.RoleScenario {
		t.Errorf("connections %+v, contract %+v, delivered %+v", rep.Connections, rep.Contract, rep.Delivered)
	}
	var names []string
	for _, p := range rep.Phases {
		names = append(names, string(p.Name))
		if p.Name == "steady" && p.To-p.From < 2*time.Second {
			t.Errorf("steady took %v", p.To-p.From)
		}
	}
	if got := strings.Join(names, " "); got != "connect subscribe probe warmup steady storm drain" {
		t.Errorf("phases %s", got)
	}
	for _, th := range rep.Thresholds {
		if !th.OK {
			t.Errorf("threshold %+v", th)
		}
	}
}

func TestBenchDryRun(t *testing.T) {
	code, out, errs := runBench(t.Context(), "run", writeFile(t, scenarioFile), "--dry-run", "--run-id", "abc")
	for _, want := range []string{"a broker of its own", "devices: 20 pub, t/abc/0/data, 200/s", "backend: 2 sub, $share/be/t/abc/+/data", "storm: load 1s, rst", "needs   32 connections"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if code != 0 || errs != "" {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// Faults of a file say where they are.
func TestBenchFileFaults(t *testing.T) {
	for _, tt := range []struct {
		change []string // old, new
		args   string
		want   string
	}{
		{[]string{"clients: 20", "klients: 20"}, "", "line 5: field klients not found"},
		{[]string{"do: drain", "don: drain"}, "", "line 13: field don not found"},
		{[]string{"abort: true", "abrot: true"}, "", "line 16: field abrot not found"},
		{[]string{"version: 1", "version: 2"}, "", "version: 2: this program reads version 1"},
		{[]string{"rate: 200/s", "rate: fast"}, "", "line 5: fast: it is a number a second"},
		{[]string{"for: 1s }", "for: soon }"}, "", "line 11: soon: it is seconds"},
		{[]string{"qos: 1", "qos: 3"}, "", "line 3: 3: QoS is 0, 1 or 2"},
		{[]string{"role: pub", "role: boss"}, "", "groups.devices.role: boss"},
		{[]string{"${run}/${i}/data", "${ruin}"}, "", "groups.devices.topic ${ruin}: is not known"},
		{[]string{"${run}/${i}/data", "${n}"}, "", "changes with each message"},
		{[]string{"groups: [devices]", "groups: [devisces]"}, "", `no group "devisces"`},
		{[]string{"how: rst", "how: hard"}, "", "no action hard"},
		{[]string{"steady: delivered", "staedy: delivered"}, "", `no phase "staedy"`},
		{[]string{"poisson", "burst"}, "", "groups.devices.arrival"},
		{[]string{"", ""}, "--set groups.devices.klients=1", "field klients not found"},
		{[]string{"", ""}, "--set groups", "write KEY=VALUE"},
		{[]string{"", ""}, "--set phases.nowhere.for=1", "there is no nowhere"},
		{[]string{"version: 1", "version: ["}, "", "did not find"},
		{[]string{scenarioFile, ""}, "", "it is empty"},
	} {
		path := writeFile(t, strings.Replace(scenarioFile, tt.change[0], tt.change[1], 1))
		code, out, errs := runBench(t.Context(), append([]string{"run", path}, strings.Fields(tt.args)...)...)
		if code != exitUsage || out != "" || !strings.Contains(errs, tt.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q; want %q", tt.change, code, out, errs, tt.want)
		}
	}
	if code, _, errs := runBench(t.Context(), "run"); code != exitUsage || !strings.Contains(errs, "needs one file") {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := runBench(t.Context(), "run", "/no/such/file"); code != exitFailed || !strings.Contains(errs, "no such file") {
		t.Errorf("%d %s", code, errs)
	}
}

// The schema knows the keys that the program reads, and no others.
func TestBenchSchema(t *testing.T) {
	code, out, _ := runBench(t.Context(), "run", "--schema")
	var schema map[string]any
	if err := json.Unmarshal([]byte(out), &schema); err != nil || code != 0 {
		t.Fatalf("%d, %v", code, err)
	}
	properties := func(path ...string) map[string]any {
		at := schema
		for _, p := range path {
			at = at[p].(map[string]any)
		}
		if at["additionalProperties"] != false {
			t.Errorf("%v allows other keys", path)
		}
		return at["properties"].(map[string]any)
	}
	for _, tt := range []struct {
		of   any
		keys map[string]any
	}{
		{benchFile{}, properties()}, {fileBroker{}, properties("properties", "broker")},
		{fileGroup{}, properties("$defs", "group")}, {filePhase{}, properties("$defs", "phase")},
		{fileAction{}, properties("$defs", "action")}, {fileRetry{}, properties("$defs", "reconnect")},
		{fileSession{}, properties("$defs", "group", "properties", "session")},
	} {
		typ := reflect.TypeOf(tt.of)
		known := 0
		for i := range typ.NumField() {
			if tag := typ.Field(i).Tag.Get("yaml"); tag != "" {
				known++
				if tt.keys[tag] == nil {
					t.Errorf("%s.%s is not in the schema", typ.Name(), tag)
				}
			}
		}
		if known != len(tt.keys) {
			t.Errorf("%s reads %d keys, the schema has %d", typ.Name(), known, len(tt.keys))
		}
	}
}

func TestExpandEnv(t *testing.T) {
	t.Setenv("BENCH_X", "mqtt://x")
	for in, want := range map[string]string{"mqtt://a": "mqtt://a", "${env:BENCH_X}": "mqtt://x", "${env:BENCH_X}/t": "mqtt://x/t",
		"${env:BENCH_Y:-mqtt://y}": "mqtt://y", "${env:BENCH_X:-mqtt://y}": "mqtt://x"} {
		if got, err := expandEnv(in); got != want || err != nil {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"${env:BENCH_Y}", "${env:BENCH_X"} {
		if got, err := expandEnv(in); err == nil {
			t.Errorf("%s: %q", in, got)
		}
	}
}

func TestPreflight(t *testing.T) {
	for _, tt := range []struct {
		p                preflight
		files, low, high uint64
		want             []string // commands
	}{
		{preflight{clients: 900}, 1024, 32768, 60999, nil},
		{preflight{clients: 1000}, 1024, 32768, 60999, []string{"ulimit -n 1064"}},
		{preflight{clients: 500, ownBroker: true}, 1024, 32768, 60999, []string{"ulimit -n 1064"}},
		{preflight{clients: 30000}, 1 << 20, 32768, 60999, []string{"sudo sysctl -w net.ipv4.ip_local_port_range='1024 65535', or give --source-ip with 2 addresses"}},
		{preflight{clients: 30000, sources: 2}, 1 << 20, 32768, 60999, nil},
		{preflight{clients: 30000, descriptor: true}, 1 << 20, 32768, 60999, nil},
		{preflight{clients: 200000}, 1 << 20, 1024, 65535, []string{"sudo sysctl -w net.ipv4.ip_local_port_range='1024 65535', and --source-ip with 4 addresses"}},
		{preflight{clients: 1 << 20}, 0, 0, 0, nil},
	} {
		var got []string
		for _, n := range tt.p.shortage(tt.files, tt.low, tt.high) {
			got = append(got, n.command)
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%+v: %q, want %q", tt.p, got, tt.want)
		}
	}
}

func TestReadSources(t *testing.T) {
	for in, want := range map[string]int{"": 0, "127.0.0.2": 1, "127.0.0.2, 127.0.0.3": 2, "127.0.0.0/29": 7} {
		got, err := readSources(in, nil)
		if err != nil || len(got) != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"x", "10.0.0.0/99", "203.0.113.0/24"} {
		if got, err := readSources(in, nil); err == nil {
			t.Errorf("%q: %v", in, got)
		}
	}
}

// Whatever a file says, it is read or refused.
func FuzzBenchFile(f *testing.F) {
	f.Add(scenarioFile, "groups.devices.clients=1")
	f.Add("version: 1\ngroups: {a: }\nphases: [{}]\n", "phases.0.for=1s")
	f.Fuzz(func(t *testing.T, text, set string) {
		var sets []string
		if set != "" {
			sets = []string{set}
		}
		file, err := readBenchFile([]byte(text), sets)
		if err != nil {
			return
		}
		o := &benchOptions{runID: "fuzz"}
		plan, err := o.filePlan(file, client.Options{Dial: func(context.Context) (net.Conn, error) { return nil, net.ErrClosed }})
		if err != nil || len(plan.Groups) > 100 {
			return
		}
		_ = plan.Validate()
	})
}
