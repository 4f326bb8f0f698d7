package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mqt/mqtt"
	"mqt/mqtt/bench"
	"mqt/mqtt/client"
)

// bench runs the command as a shell would.
func runBench(ctx context.Context, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = Main(ctx, append([]string{"bench"}, args...), Stdio{In: strings.NewReader(""), Out: &o, Err: &e})
	return code, o.String(), e.String()
}

// Without a server it measures its own, and says so.
func TestBenchOwnBroker(t *testing.T) {
	file := filepath.Join(t.TempDir(), "result.json")
	code, out, errs := runBench(t.Context(), "--clients", "20", "--rate", "250", "--duration", "2", "--warmup", "100ms", "-o", "json="+file)
	// On a busy machine the verdict may be about the generator; it is the report's in any case.
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: %s", err, errs)
	}
	var rep bench.Report
	if err := json.Unmarshal(text, &rep); err != nil {
		t.Fatal(err)
	}
	if code != verdictCode(rep.Verdict) {
		t.Errorf("exit code %d for %q", code, rep.Verdict)
	}
	if !rep.Target.InProcess || rep.Sent.N != 500 || rep.Delivered.N != 500 || !rep.Contract.Held || rep.Connections.Connected != 20 || len(rep.Contract.QoS) != 3 {
		t.Errorf("report %s", text)
	}
	for _, want := range []string{rep.Target.URL, "500", "held", "RESULT"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report lacks %q:\n%s", want, out)
		}
	}
	if !strings.Contains(errs, "measure 1s/2s") {
		t.Errorf("progress: %s", errs)
	}
}

func TestBenchJSON(t *testing.T) {
	_, out, errs := runBench(t.Context(), "pubsub", "--clients", "2", "--max", "--limit", "200", "--warmup", "0", "--json", "--size", "20", "-q", "1")
	var rep bench.Report
	if err := json.Unmarshal([]byte(out), &rep); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	if rep.Version != bench.ReportVersion || rep.Sent.N != 200 || rep.Load.Size != 20 || !rep.Load.Max {
		t.Errorf("report %s", out)
	}
	if !strings.Contains(errs, "RESULT") {
		t.Errorf("stderr lacks the text: %s", errs)
	}
	code, out, errs := runBench(t.Context(), "--clients", "2", "--max", "--limit", "200", "--warmup", "0", "--json", "--quiet", "-q", "1")
	if errs != "" || !json.Valid([]byte(out)) {
		t.Errorf("--quiet: %d, stdout %q, stderr %q", code, out, errs)
	}
}

func TestBenchTooFew(t *testing.T) {
	code, out, _ := runBench(t.Context(), "--clients", "2", "--rate", "1k", "--limit", "20", "--warmup", "0")
	if code != exitInconclusive || !strings.Contains(out, "INCONCLUSIVE (exit 14)") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func TestBenchInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, out, errs := runBench(ctx, "--clients", "2")
	if code != exitInconclusive || !strings.Contains(out, "interrupted before anything was measured") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
	}
}

func TestBenchUsage(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"-q 3", exitUsage, "QoS is 0, 1 or 2"},
		{"-q 0,x", exitUsage, "QoS is 0, 1 or 2"},
		{"--rate 0", exitUsage, "a number a second"},
		{"--rate 10x", exitUsage, "a number a second"},
		{"--interval_of_msg -1", exitUsage, "milliseconds"},
		{"--shape ring", exitUsage, "fan-in, fan-out, shared or mesh"},
		{"--pubs 3 --subs 4", exitUsage, "as many publishers as subscribers"},
		{"--size 15", exitUsage, "no room"},
		{"--max --rate 5", exitUsage, "as fast as possible, and a rate"},
		{"--max --ramp 5s", exitUsage, "as fast as possible, and an arrival, a ramp or steps"},
		{"--max --arrival poisson", exitUsage, "as fast as possible, and an arrival, a ramp or steps"},
		{"--steps 1k:1s --duration 5s", exitUsage, "--steps, and a rate or a duration; each step has its own"},
		{"--steps 1k:1s --rate 5", exitUsage, "--steps, and a rate or a duration; each step has its own"},
		{"--duration 0", exitUsage, "--duration 0; it is longer than 0"},
		{"--size 0", exitUsage, "--size 0; it is a number of bytes from 1"},
		{"--waves 3", exitUsage, "--waves does nothing here; it is for mqt bench storm"},
		{"storm --from 5k", exitUsage, "--from does nothing here; it is for mqt bench sweep"},
		{"--schema", exitUsage, "--schema does nothing here; it is for mqt bench run, report, compare"},
		{"--threshold acked.rate>=90%", exitUsage, "is no unit here"},
		{"--rate 5 --rate-per-client 5", exitUsage, "a rate for all and a rate for each client"},
		{"--connecting 65", exitUsage, "from 1 to 64"},
		{"-o result.json", exitUsage, "json=FILE"},
		{"-o xml=result", exitUsage, "json=FILE"},
		{"-o json=/no/such/directory/result", exitFailed, "no such file or directory"},
		{"pubsub sub", exitUsage, "stray word sub"},
		{"nothing", exitUsage, "stray word nothing"},
		{"sub", exitUsage, "need to know what others publish"},
		{"-i me", exitUsage, "milliseconds"},
		{"-h 127.0.0.1 -p 1", exitFailed, "connection refused"},
		{"--topic-prefix a/#", exitUsage, "topic prefix"},
	} {
		code, out, errs := runBench(t.Context(), strings.Fields(tt.args)...)
		if code != tt.code || out != "" || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %d, %q", tt.args, code, out, errs, tt.code, tt.want)
		}
		if n := strings.Count(strings.TrimSpace(errs), "\n"); n > 0 && !strings.Contains(errs, "connect 0s") {
			t.Errorf("%s: more than one line: %q", tt.args, errs)
		}
	}
}

// Flags become the scenario.
func TestBenchScenario(t *testing.T) {
	for _, tt := range []struct {
		args string
		want func(*bench.Scenario) bool
	}{
		{"", func(s *bench.Scenario) bool { return s.Publishers == 0 && s.Rate == 0 && !s.Max && s.WarmUp == 0 }},
		{"--clients 10", func(s *bench.Scenario) bool { return s.Publishers == 5 && s.Subscribers == 0 }},
		{"--count 10 --shape fanin", func(s *bench.Scenario) bool { return s.Publishers == 9 && s.Shape == bench.FanIn }},
		{"--clients 10 --shape fan-in --subs 2", func(s *bench.Scenario) bool { return s.Publishers == 8 && s.Subscribers == 2 }},
		{"--clients 10 --shape fan-out", func(s *bench.Scenario) bool { return s.Publishers == 3 && s.Subscribers == 7 }},
		{"--clients 10 --shape fan-out -q 1", func(s *bench.Scenario) bool { return s.Publishers == 1 && s.Subscribers == 9 }},
		{"--clients 10 --shape fan-out --pubs 4", func(s *bench.Scenario) bool { return s.Publishers == 4 && s.Subscribers == 6 }},
		{"-q 0,1,1 --sub-qos 2", func(s *bench.Scenario) bool { return len(s.QoS) == 3 && s.QoS[2] == 1 && s.SubscriberQoS[0] == 2 }},
		{"--rate 2.5k/s", func(s *bench.Scenario) bool { return s.Rate == 2500 }},
		{"--rate 1M", func(s *bench.Scenario) bool { return s.Rate == 1e6 }},
		{"--interval_of_msg 200", func(s *bench.Scenario) bool { return s.RatePerClient == 5 }},
		{"--interval 10", func(s *bench.Scenario) bool { return s.ConnectRate == 100 }},
		{"--connrate 50", func(s *bench.Scenario) bool { return s.ConnectRate == 50 }},
		{"--warmup 0 --drain 0", func(s *bench.Scenario) bool { return s.WarmUp < 0 && s.Drain < 0 }},
		{"--limit 5 -F 7", func(s *bench.Scenario) bool { return s.Count == 5 && s.InFlight == 7 }},
		{"-V 311 -k 5 -u a -P b", func(s *bench.Scenario) bool {
			return s.Client.Version == mqtt.V311 && s.Client.KeepAlive == 5 && s.Client.Username == "a" && string(s.Client.Password) == "b"
		}},
	} {
		o := &benchOptions{}
		stdio := &Stdio{}
		c := benchCommand(stdio)
		c.Flags = flags(o.flags(stdio))
		w, err := parseWords(c, strings.Fields(tt.args))
		if err != nil {
			t.Errorf("%s: %v", tt.args, err)
			continue
		}
		for _, g := range w.given {
			if err := g.flag.(*option).Value.Set(g.value); err != nil {
				t.Errorf("%s: %v", tt.args, err)
			}
		}
		if err := w.fault(); err != nil {
			t.Errorf("%s: %v", tt.args, err)
		}
		client, err := o.connect.options(stdio)
		if err != nil {
			t.Errorf("%s: %v", tt.args, err)
		}
		if s, err := o.scenario(client); err != nil || !tt.want(&s) || s.Validate() != nil {
			t.Errorf("%s: %+v, %v, %v", tt.args, s, s.Validate(), err)
		}
	}
}

func TestVerdictCodes(t *testing.T) {
	for v, want := range map[bench.Verdict]int{
		bench.Pass: 0, bench.ThresholdFailed: 10, bench.ContractBroken: 11, bench.Invalid: 13, bench.Inconclusive: 14,
	} {
		if got := verdictCode(v); got != want {
			t.Errorf("%s: %d, want %d", v, got, want)
		}
	}
	denied := &client.SubscribeError{Filters: []string{"a"}, ReasonCodes: []mqtt.ReasonCode{mqtt.NotAuthorized}}
	if got := exitCode(benchFailed("mqtt://x", denied)); got != int(mqtt.NotAuthorized) {
		t.Errorf("a denied subscription: %d", got)
	}
	if got := exitCode(benchFailed("mqtt://x", &bench.ProbeError{Missing: 1, Of: 2})); got != exitFailed {
		t.Errorf("no probe: %d", got)
	}
}
