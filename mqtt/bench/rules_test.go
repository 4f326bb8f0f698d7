package bench

import (
	"strings"
	"testing"
	"time"
)

// fixedView is one tally for everything.
type fixedView struct{ t *tally }

func (v fixedView) scope(phase Phase, group string) (*tally, time.Duration, float64) {
	if group == "none" {
		return nil, 0, 0
	}
	return v.t, 10 * time.Second, 100
}

func ruleReport() (*Report, view) {
	t := &tally{}
	for i := range 1000 {
		t.record(endToEnd1, time.Duration(i+1)*time.Millisecond)
		t.record(pubAck, time.Duration(i+1)*time.Microsecond*100)
	}
	t.record(connect, time.Millisecond)
	for i, m := range []metric{connectDial, connectConnack, reconnect, subAck, firstMessage, pubRec, pubComp, endToEnd0, endToEnd2, service, lag} {
		t.record(m, time.Duration(i+2)*time.Millisecond)
	}
	t.sent, t.sentBytes, t.acked, t.delivered = 990, 99_000, 980, 970
	return &Report{
		Unsent: 10, Refused: []Cause{{N: 3}},
		Connections: Connections{Asked: 100, Failed: 2, Lost: 4, Refused: 5},
		Contract: Contract{Corrupt: 6, Unexpected: 7, QoS: []QoS{
			{QoS: 0, Expected: 100, Lost: 10, Duplicates: 1}, {QoS: 1, Expected: 100, Lost: 20, Duplicates: 2, OutOfOrder: 3, InDoubt: 4},
			{QoS: 2, Expected: 200, Lost: 10, Duplicates: 3}}},
		Generator: Generator{Valid: true, CPUShare: 0.5, Achieved: 0.99},
		Resume:    &Resume{Absent: 8, Recovered: 9, Backlog: 10, Rate: 11},
		Broker:    &Broker{CPUPerMillion: 12 * time.Second, PeakMemory: 13 << 20, PerConnection: 14 << 10},
	}, fixedView{t}
}

// Every operator, metric, stat and unit, and what is on the right.
func TestRules(t *testing.T) {
	untold := metricKinds()
	defer func() {
		for name := range untold {
			t.Errorf("no rule here is about %s", name)
		}
	}()
	for _, tt := range []struct {
		rule string
		ok   bool
	}{
		{"e2e.p50 < 501ms", true}, {"e2e.p50 < 499ms", false},
		{"e2e.p50 <= 501ms", true}, {"e2e.p50 <= 499ms", false},
		{"e2e.p50 > 499ms", true}, {"e2e.p50 > 501ms", false},
		{"e2e.p50 >= 499ms", true}, {"e2e.p50 >= 501ms", false},
		{"sent == 990", true}, {"sent == 991", false},
		{"sent != 991", true}, {"sent != 990", false},
		{"sent <= 990", true}, {"sent >= 990", true}, {"sent < 990", false}, {"sent > 990", false},
		{"e2e.p99<0.995s", true}, {"e2e.p90 < 905000us", true}, {"e2e.p99 > 985000000ns", true}, {"e2e.p99 < 1m", true},
		{"e2e.max >= 0.999s", true}, {"e2e.min <= 1.001ms", true}, {"e2e.mean > 490ms", true}, {"e2e.count == 1002", true},
		{"e2e_qos1.p50 < 501ms", true}, {"e2e_qos0.count == 1", true}, {"connect.max < 2ms", true}, {"connect.count == 1", true},
		{"sent.rate == 99/s", true}, {"sent.rate < 0.1k/s", true}, {"sent.bytes == 99k", true}, {"sent.bytes < 97KiB", true},
		{"delivered.count == 970", true}, {"recv == 970", true}, {"acked == 980", true}, {"unsent == 10", true}, {"nack == 3", true},
		{"disconnects == 4", true}, {"connect.failed == 2", true}, {"connect.fail_ratio == 2%", true}, {"connect.fail_ratio == 0.02", true},
		{"reconnect.failed == 5", true}, {"corrupt == 6", true}, {"unexpected == 7", true},
		{"lost == 40", true}, {"qos0.lost == 10", true}, {"qos1.lost == 20", true}, {"qos2.lost == 10", true},
		{"duplicates == 6", true}, {"qos2.duplicates == 3", true}, {"out_of_order == 3", true}, {"qos1.in_doubt == 4", true},
		{"loss_ratio == 10%", true}, {"qos0.loss_ratio == 10%", true}, {"qos1.loss_ratio < 19%", false},
		{"session_lost == 8", true}, {"resume.recovered == 9", true}, {"resume.backlog == 10", true}, {"resume.rate == 11/s", true},
		{"generator.valid", true}, {"generator.valid == 0", false}, {"generator.cpu < 60%", true}, {"generator.achieved >= 99%", true},
		{"broker.cpu_per_million < 13s", true}, {"broker.peak_memory < 14MiB", true}, {"broker.memory_per_connection <= 14KiB", true},
		{"sent.rate >= target * 0.99", true}, {"sent.rate >= target * 0.995", false}, {"sent.rate >= target - 1", true},
		{"sent.rate >= target*0.98 + 1", true}, {"delivered >= sent * 0.97", true}, {"delivered >= sent - 10", false},
		{"e2e.p50 < pub_ack.p50 * 11", true}, {"e2e.p50 < pub_ack.p50 + 400ms", false},
		{"steady: e2e.p50 < 501ms", true}, {"steady: devices.e2e.p50 < 501ms", true}, {"devices.sent.rate < 100", true},
		{"warm up: sent > 1", true},
		{"pub_ack.max <= 100.1ms", true}, {"connect.dial.max <= 2.01ms", true}, {"connect.dial.max < 1.9ms", false}, {"connect.connack.max <= 3.01ms", true}, {"connect.connack.mean > 3.1ms", false},
		{"reconnect.max <= 4.01ms", true}, {"reconnect.min >= 4.1ms", false}, {"sub_ack.max <= 5.01ms", true}, {"first_message.max <= 6.01ms", true},
		{"pub_rec.max <= 7.01ms", true}, {"pub_rec.max > 7.01ms", false}, {"pub_comp.max <= 8.01ms", true}, {"e2e_qos0.max <= 9.01ms", true},
		{"e2e_qos2.max <= 10.01ms", true}, {"e2e_service.max <= 11.02ms", true}, {"lag.max <= 12.02ms", true}, {"lag.max < 11ms", false}, {"lag.count == 1", true},
		{"qos0.duplicates == 1", true}, {"qos1.duplicates == 2", true}, {"qos0.out_of_order == 0", true}, {"qos1.out_of_order == 3", true}, {"qos2.out_of_order == 0", true},
		{"in_doubt == 4", true}, {"qos0.in_doubt == 0", true}, {"qos2.in_doubt == 0", true}, {"qos2.loss_ratio == 5%", true},
	} {
		r, err := ParseRule(tt.rule)
		if err != nil {
			t.Error(err)
			continue
		}
		rep, v := ruleReport()
		got := r.evaluate(rep, v)
		delete(untold, r.metric)
		if got.OK != tt.ok || got.Inconclusive || got.Value == "" {
			t.Errorf("%s: %+v, want %v", tt.rule, got, tt.ok)
		}
	}
}

func TestRulesInconclusive(t *testing.T) {
	for _, text := range []string{"e2e.p99.1 < 1s", "e2e.p99.9 < 1h", "connect.p50 < 1s", "sub_ack.max < 1s", "none.e2e.p50 < 1s", "e2e.p50 < connect.p50"} {
		r, err := ParseRule(strings.Replace(text, "1h", "60m", 1))
		if err != nil {
			t.Error(err)
			continue
		}
		rep, v := ruleReport()
		v.(fixedView).t.latency[subAck] = nil
		if got := r.evaluate(rep, v); got.OK || !got.Inconclusive {
			t.Errorf("%s: %+v", text, got)
		}
		rep.Load.Role = RolePub
		rep.Sent.N = 1000
		rep.judge(0, 1000, []Rule{r}, v, false)
		if rep.Verdict != ContractBroken && rep.Verdict != Inconclusive {
			t.Errorf("%s: %s", text, rep.Verdict)
		}
		rep.Thresholds, rep.Reasons = nil, nil
		rep.Contract = Contract{}
		rep.judge(0, 1000, []Rule{r}, v, true)
		if rep.Verdict != Pass {
			t.Errorf("%s allowed to be inconclusive: %s %q", text, rep.Verdict, rep.Reasons)
		}
	}
}

func TestRuleFaults(t *testing.T) {
	for rule, want := range map[string]string{
		"e2e.p99":                 "compares with",
		"e2e.p99 ~ 5ms":           "compares with",
		"e2e.p99 = 5ms":           "compares with",
		"e2e.p99 < 5":             "unit of time",
		"e2e < 5ms":               "say which",
		"e2e.rate < 5ms":          "say which",
		"e2e.p101 < 5ms":          "no percentile",
		"e2e.p0 < 5ms":            "no percentile",
		"e3e.p99 < 5ms":           `no metric "e3e"`,
		"devices.e3e.p99 < 5ms":   `no metric "devices.e3e"`,
		"sent.p99 < 5":            ".count, .rate and .bytes",
		"sent < 5ms":              "no unit here",
		"sent < ":                 "nothing to compare",
		"sent < x5":               "no metric",
		"sent < target":           "target is a rate",
		"sent.rate < target / 2":  "none of * + -",
		"sent.rate < target * x":  "",
		"sent.rate < target *":    "stray",
		"sent < e2e.p50":          "not of the same kind",
		"steady: qos1.lost == 0":  "of the whole run",
		"devices.qos1.lost == 0":  "of the whole run",
		"qos1.lost.rate == 0":     "no rate",
		"connect.fail_ratio < 5s": "no unit here",
		"e2e.p50 < 1.2.3s":        "no number",
	} {
		if r, err := ParseRule(rule); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v; want %q", rule, r, err, want)
		}
	}
}

func TestDefaultRulesParse(t *testing.T) {
	if n := len(defaultRules()); n != 4 {
		t.Errorf("%d default rules", n)
	}
}

// Rules name phases and groups that there are, and abort on what is known
// before the end.
func TestRulesOfPlan(t *testing.T) {
	for rule, want := range map[string]string{
		"measure: e2e.p50 < 1s": "", "subs.e2e.p50 < 1s": "", "measure: subs.e2e.p50 < pubs.pub_ack.p50": "",
		"nowhere: e2e.p50 < 1s": `no phase "nowhere"`, "nobody.e2e.p50 < 1s": `no group "nobody"`,
		"e2e.p50 < nobody.pub_ack.p50": `no group "nobody"`, "qos1.lost == 0": "known at the end",
	} {
		r, err := ParseRule(rule)
		if err != nil {
			t.Error(err)
			continue
		}
		r.Abort = true
		p, err := Scenario{}.Plan()
		if err != nil {
			t.Fatal(err)
		}
		p.Rules = []Rule{r}
		err = p.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", rule, err, want)
		}
	}
}

func FuzzParseRule(f *testing.F) {
	f.Add("steady: devices.e2e.p99.9 <= pub_ack.p50 * 2 + 5ms")
	f.Add("sent.rate >= target*0.99")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRule(text)
		if err != nil {
			return
		}
		rep, v := ruleReport()
		_ = r.evaluate(rep, v)
		if _, err := ParseRule(r.Text); err != nil && !strings.Contains(text, "generator.valid") {
			t.Errorf("%q was read, and its own text %q is not: %v", text, r.Text, err)
		}
	})
}
