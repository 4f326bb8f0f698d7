package format

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"mqt/mqtt"
	"mqt/mqtt/bench"
)

func distribution(n int64, us ...time.Duration) *bench.Distribution {
	for i := range us {
		us[i] *= time.Microsecond
	}
	return &bench.Distribution{N: n, Min: us[0], P50: us[1], P90: us[2], P99: us[3], P999: us[4], Max: us[5]}
}

func passing() *bench.Report {
	seconds := []bench.Second{}
	for i, p99 := range []time.Duration{1200, 1300, 1250, 18000, 1300, 1200} {
		seconds = append(seconds, bench.Second{At: time.Duration(i+1) * time.Second, E2EP99: p99 * time.Microsecond, LagP99: 600 * time.Microsecond})
	}
	return &bench.Report{
		RunID:       "7f3a",
		Target:      bench.Target{URL: "mqtt://127.0.0.1:41883", InProcess: true, Protocol: mqtt.V50, ReceiveMaximum: 1024},
		Load:        bench.Load{Shape: bench.Pairs, Publishers: 500, Subscribers: 500, QoS: []int{0, 1, 2, 1}, Size: 64, Tracked: true, Rate: 3000, WarmUp: 2 * time.Second},
		Connections: bench.Connections{Asked: 1000, Connected: 1000, Took: 812 * time.Millisecond},
		Measured:    10 * time.Second, Drained: 12345 * time.Microsecond,
		Sent: bench.Count{N: 30000, Rate: 3000, Bytes: 1920000}, Acked: bench.Count{N: 20000, Rate: 2000, Bytes: 1280000},
		Delivered: bench.Count{N: 29990, Rate: 2999, Bytes: 1919360},
		Contract: bench.Contract{Checked: true, Held: true, QoS: []bench.QoS{
			{QoS: 0, Sent: 10000, Expected: 10000, Delivered: 9990, Lost: 10, LossRatio: 0.001, Held: true},
			{QoS: 1, Sent: 10000, Expected: 10000, Delivered: 10000, Duplicates: 3, DuplicatesDUP: 3, Held: true},
			{QoS: 2, Sent: 10000, Expected: 9999, Delivered: 10000, InDoubt: 1, Held: true},
		}},
		Latency: bench.Latency{
			Connect: distribution(1000, 600, 1200, 2000, 4800, 9100, 12000), SubAck: distribution(500, 100, 200, 300, 400, 500, 600),
			PubAck: distribution(10000, 210, 480, 900, 3100, 8400, 21000), PubComp: distribution(10000, 400, 800, 1500, 5100, 9400, 31000),
			E2E: distribution(29990, 42, 710, 1300, 4200, 9900, 22400), E2EQoS0: distribution(9990, 42, 500, 900, 2100, 4400, 9000),
			E2EQoS1: distribution(10000, 300, 700, 1300, 4200, 9900, 22400), E2EQoS2: distribution(10000, 300, 700, 1300, 4200, 9900, 22400),
			E2EService: distribution(29990, 40, 700, 1200, 3900, 9000, 21000), Lag: distribution(30000, 0, 40, 110, 600, 2100, 4000),
		},
		Seconds:    seconds,
		Generator:  bench.Generator{Valid: true, Achieved: 1, CPUShare: 0.611, Cores: 2, LagP99: 600 * time.Microsecond},
		Thresholds: []bench.Threshold{{Rule: "connect.fail_ratio == 0", Value: "0", OK: true}, {Rule: "e2e.p99 < 20ms", Value: "4.20ms", OK: true}},
		Verdict:    bench.Pass,
	}
}

func failing() *bench.Report {
	r := passing()
	r.Target = bench.Target{URL: "mqtts://broker.example/\x1b[31m", Protocol: mqtt.V311}
	r.Interrupted = true
	r.Load.Max, r.Load.InFlight, r.Load.SubscriberQoS = true, 32, []int{0}
	r.Connections = bench.Connections{Asked: 1000, Connected: 990, Failed: 10, Lost: 2, Took: 61 * time.Second,
		Failures: []bench.Cause{{Text: "connection refused", N: 4}, {Text: "b", N: 1}, {Text: "c", N: 1}, {Text: "d", N: 1}, {Text: "e", N: 1}, {Text: "f", N: 1}, {Text: "g", N: 1}},
		Losses:   []bench.Cause{{Text: "Server shutting\ndown (0x8B)", N: 2}}}
	r.Unsent = 1234
	r.Refused = []bench.Cause{{Text: "Quota exceeded (0x97)", N: 7}}
	r.Contract.Held, r.Contract.Corrupt, r.Contract.Strange = false, 1, 2
	r.Contract.QoS[1].Held, r.Contract.QoS[1].Lost, r.Contract.QoS[1].OutOfOrder = false, 1, 5
	r.Contract.Violations = []bench.Violation{{Kind: "lost", QoS: 1, Publisher: "p-1", Subscriber: "s-1", Topic: "bench/7f3a/1\x07", Seq: 42},
		{Kind: "order", QoS: 1, Publisher: "p-2", Subscriber: "s-2", Topic: "bench/7f3a/2", Seq: 7, At: 2500 * time.Millisecond}}
	r.Latency.E2E.Clamped = 3
	r.Generator.Valid, r.Generator.Faults, r.Generator.Warnings = false, []string{"lag p99 is 80 % of end to end p99"}, []string{"cpu above 75 %"}
	r.Thresholds[1].OK, r.Thresholds[1].Value = false, "44.2ms"
	r.Verdict, r.Reasons = bench.ContractBroken, []string{"QoS 1: 1 message lost", "the generator was the bottleneck"}
	return r
}

// scenario has what only some roles have.
func scenario() *bench.Report {
	r := passing()
	r.Load = bench.Load{Role: bench.RoleScenario, Connections: 5, Publishers: 200, Subscribers: 4, QoS: []int{1}, Size: 128, Tracked: true, Rate: 400}
	r.Connections.Cut, r.Connections.Reconnected, r.Connections.Refused = 60, 58, 2
	r.Latency.ConnectDial, r.Latency.ConnectConnack = distribution(1000, 100, 200, 300, 400, 500, 600), distribution(1000, 100, 200, 300, 400, 500, 600)
	r.Latency.Reconnect, r.Latency.FirstMessage = distribution(60, 100, 200, 300, 400, 500, 600), distribution(4, 100, 200, 300, 400, 500, 600)
	traffic := bench.Traffic{Sent: bench.Count{N: 800, Rate: 400}, Delivered: bench.Count{N: 800, Rate: 400}, Latency: bench.Latency{E2E: r.Latency.E2E}}
	r.Phases = []bench.PhaseResult{{Name: "connect", To: time.Second}, {Name: "steady", Recorded: true, To: 2 * time.Second, Target: 400, Traffic: traffic},
		{Name: "storm", Recorded: true, From: 2 * time.Second, To: 5 * time.Second, Traffic: traffic}, {Name: "drain", Recorded: true}}
	r.Groups = []bench.GroupResult{{Name: "devices", Role: bench.RolePub, Connected: 200, Lost: 1, Traffic: bench.Traffic{Latency: bench.Latency{PubAck: r.Latency.PubAck}}},
		{Name: "idle\x1b", Role: bench.RoleConn, Connected: 5}}
	r.Resume = &bench.Resume{Sessions: 58, Present: 57, Absent: 1, Backlog: 100, Recovered: 90, Took: 1500 * time.Millisecond, Rate: 60}
	r.Sweep = &bench.Sweep{Highest: 2000, Knee: 4000, Points: []bench.SweepPoint{{Rate: 2000, Sent: 2000, Delivered: 2000, N: 20000, E2EP50: 700000, E2EP99: 4200000, Verdict: bench.Pass},
		{Rate: 4000, Sent: 3500, Delivered: 3400, N: 34000, E2EP50: 700000000, E2EP99: 1700000000, Verdict: bench.ThresholdFailed}}}
	r.Broker = &bench.Broker{Command: "mosquitto -p 1883", CPU: 123 * time.Millisecond, CPUPerMillion: 9100 * time.Millisecond, PeakMemory: 20 << 20, IdleMemory: 6 << 20, PerConnection: 4096}
	r.Thresholds = append(r.Thresholds, bench.Threshold{Rule: "delivered.rate >= target * 0.99", Value: "400", Limit: "396", OK: true},
		bench.Threshold{Rule: "e2e.p99.9 < 1s", Value: "9.9ms", N: 800, Inconclusive: true})
	r.Verdict, r.Reasons = bench.Inconclusive, []string{"e2e.p99.9 < 1s: 800 samples are too few to tell"}
	return r
}

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    *bench.Report
		exit int
	}{
		{"report-pass.txt", passing(), 0},
		{"report-fail.txt", failing(), 11},
		{"report-scenario.txt", scenario(), 14},
		{"report-empty.txt", &bench.Report{Verdict: bench.Inconclusive}, 14},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := AppendReport(nil, tt.r, tt.exit, Style{Width: 20})
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(goldenPath(tt.name), got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(goldenPath(tt.name))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if i := strings.IndexFunc(string(got), func(r rune) bool { return unicode.IsControl(r) && r != '\n' }); i >= 0 {
				t.Errorf("control character at %d", i)
			}
			// Colour changes nothing but colour.
			colored, err := AppendReport(nil, tt.r, tt.exit, Style{Color: true})
			plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(string(colored), "")
			if err != nil || plain == string(colored) || plain != string(got) {
				t.Errorf("coloured (%v)\n%s", err, plain)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	measuring := bench.Snapshot{Phase: bench.Measuring, Elapsed: 4 * time.Second, Of: 10 * time.Second, Clients: 1000, Connected: 998, Failed: 1, Lost: 1,
		SentRate: 3000, AckedRate: 2000, DeliveredRate: 2999.6, E2EP99: 4200 * time.Microsecond, LagP99: 60 * time.Microsecond}
	const whole = "measure 4s/10s  998/1 000 clients  failed 1  lost 1  sent 3 000/s  acked 2 000/s  delivered 3 000/s  p99 4.20 ms  lag 0.060 ms"
	tests := []struct {
		p     bench.Snapshot
		width int
		want  string
	}{
		{bench.Snapshot{Phase: bench.Connecting, Elapsed: 350 * time.Millisecond, Clients: 1000, Connected: 120}, 80, "connect 350ms  120/1 000 clients"},
		{measuring, 0, whole},
		{measuring, len(whole) + 1, whole},
		{measuring, len(whole), whole[:strings.Index(whole, "  lag")]},
		{measuring, 40, "measure 4s/10s  998/1 000 clients"},
		{measuring, 5, ""},
		{measuring, len(whole) + 15, strings.Replace(whole, "4s/10s", "4s/10s  ████░░░░░░░░", 1)},
	}
	for _, tt := range tests {
		got := string(AppendProgress([]byte("\r"), tt.p, Style{Width: tt.width}))
		if got != "\r"+tt.want {
			t.Errorf("width %d: %q, want %q", tt.width, got, tt.want)
		}
		if n := utf8.RuneCountInString(tt.want); tt.width > 0 && n >= tt.width && n > 0 {
			t.Errorf("%d columns of %d", n, tt.width)
		}
	}
	if got := string(AppendProgress(nil, measuring, Style{Color: true})); !strings.Contains(got, "\x1b[31;1mlost 1\x1b[") {
		t.Errorf("%q", got)
	}
}

func TestReportError(t *testing.T) {
	w := &reportWriter{err: errors.New("x")}
	w.table(Table{Header: []string{"a"}})
	if len(w.dst) != 0 {
		t.Errorf("wrote %q after an error", w.dst)
	}
}
