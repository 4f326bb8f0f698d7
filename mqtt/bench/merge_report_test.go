package bench

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// shardReport is what a shard would report of a tally.
func shardReport(t *tally, index, count int) *Report {
	c := t.traffic(2 * time.Second)
	rep := &Report{
		Version: ReportVersion, RunID: "r", ConfigHash: "h", Measured: 2 * time.Second, Load: Load{Role: RolePub, Rate: 400},
		Sent: c.Sent, Acked: c.Acked, Delivered: c.Delivered, Latency: c.Latency,
		Generator:  Generator{Valid: true, Achieved: 1, Cores: 2},
		Contract:   Contract{Checked: true, Held: true, QoS: []QoS{{QoS: 1, Sent: t.sent, Expected: t.sent, Delivered: t.delivered, Lost: t.sent - t.delivered, Held: true}}},
		Phases:     []PhaseResult{{Name: Measuring, Recorded: true, To: 2 * time.Second, Target: 100, Traffic: c, Groups: []Traffic{c}}},
		Groups:     []GroupResult{{Name: "pubs", Role: RolePub, Clients: 1, Target: 100, Traffic: c}},
		Seconds:    []Second{{At: time.Second, Sent: t.sent, Duration: time.Second, Connected: 5, HDR: t.blobs()}},
		Thresholds: []Threshold{{Rule: "sent.rate >= target * 0.99"}, {Rule: "measure: e2e.p50 < 60m", Default: true}, {Rule: "pubs.e2e.count > 0"}, {Rule: "measure: pubs.e2e.count > 1k"}, {Rule: "measure: pubs.sent.rate < target"}, {Rule: "pubs.sent == 406"}},
	}
	if count > 0 {
		rep.Shard = &Shard{index, count}
	}
	return rep
}

// What is merged is bit for bit what one process would have recorded.
func TestMergeReportsIsExact(t *testing.T) {
	const n = 4
	random := rand.New(rand.NewPCG(1, 2))
	whole := &tally{}
	parts := [n]tally{}
	for i := range 20_000 {
		m, d := metric(i%int(numMetrics)), time.Duration(random.ExpFloat64()*1e6)
		whole.record(m, d)
		parts[i%n].record(m, d)
	}
	whole.record(pubAck, 2*time.Hour)
	parts[3].record(pubAck, 2*time.Hour)
	var shards []*Report
	for i := range parts {
		p := &parts[i]
		p.sent, p.sentBytes, p.acked, p.delivered = int64(100+i), 1000, 90, 80
		whole.counts.add(&p.counts)
		shards = append(shards, shardReport(p, i, n))
	}
	shards[0], shards[2] = shards[2], shards[0] // in any order
	got, err := MergeReports(shards, false)
	if err != nil {
		t.Fatal(err)
	}
	want := shardReport(whole, 0, 0)
	for _, pair := range [][2]any{
		{got.Sent, want.Sent}, {got.Acked, want.Acked}, {got.Delivered, want.Delivered}, {got.Latency, want.Latency},
		{got.Phases[0].Traffic, want.Phases[0].Traffic}, {got.Phases[0].Groups, want.Phases[0].Groups}, {got.Groups[0].Traffic, want.Groups[0].Traffic}, {got.Seconds[0].HDR, want.Seconds[0].HDR},
	} {
		a, errA := json.Marshal(pair[0])
		b, errB := json.Marshal(pair[1])
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Errorf("merged\n%.300s\none process\n%.300s", a, b)
		}
	}
	if s := got.Seconds[0]; s.Sent != whole.sent || s.Connected != 5*n || s.E2EN != got.Latency.E2E.N || s.E2EP99 != got.Latency.E2E.P99 {
		t.Errorf("the second: %+v", s)
	}
	q := got.Contract.QoS[0]
	if q.Expected != whole.sent || q.Lost != whole.sent-whole.delivered || q.LossRatio != float64(q.Lost)/float64(q.Expected) {
		t.Errorf("the account: %+v", q)
	}
	// 406 messages in 2 s against 4 × 100/s: not held; the others are.
	th := got.Thresholds
	if th[0].OK || th[0].Value != "203" || th[0].Limit != "396" || !th[1].OK || !th[1].Default || !th[2].OK || !th[3].OK || !th[4].OK || !th[5].OK || got.Verdict != ThresholdFailed {
		t.Errorf("%s: %+v", got.Verdict, th)
	}
	if got.Groups[0].Clients != n || got.Phases[0].Target != 100*n || got.Generator.Cores != 2*n {
		t.Errorf("%+v", got)
	}
}

// An invalid generator, a broken contract and an interruption are those of the
// whole.
func TestMergeReportsVerdict(t *testing.T) {
	made := func() []*Report {
		a, b := &tally{}, &tally{}
		for range 200 {
			a.record(endToEnd1, time.Millisecond)
			b.record(endToEnd1, time.Millisecond)
		}
		a.sent, a.delivered, b.sent, b.delivered = 200, 200, 200, 200
		return []*Report{shardReport(a, 0, 2), shardReport(b, 1, 2)}
	}
	for _, tt := range []struct {
		name   string
		change func(*Report)
		want   Verdict
	}{
		{"nothing", func(*Report) {}, Pass},
		{"generator", func(r *Report) { r.Generator.Valid, r.Generator.Faults = false, []string{"late"} }, Invalid},
		{"contract", func(r *Report) {
			r.Contract.Held, r.Contract.QoS[0].Held, r.Contract.QoS[0].Lost = false, false, 1
		}, ContractBroken},
		{"unchecked", func(r *Report) { r.Contract = Contract{} }, Pass},
	} {
		all := made()
		for _, r := range all {
			r.Thresholds = r.Thresholds[1:3]
		}
		tt.change(all[1])
		rep, err := MergeReports(all, false)
		if err != nil || rep.Verdict != tt.want {
			t.Errorf("%s: %+v, %v, want %s", tt.name, rep, err, tt.want)
		}
	}
	late := made()
	late[1].Started = late[0].Started.Add(3 * time.Second)
	if rep, err := MergeReports(late, false); err != nil || len(rep.Generator.Warnings) != 1 {
		t.Errorf("shards that began apart: %+v, %v", rep.Generator, err)
	}
}

func TestMergeReportsFaults(t *testing.T) {
	made := func(index, count int) *Report { return shardReport(&tally{}, index, count) }
	other := made(1, 2)
	other.RunID = "other"
	load := made(1, 2)
	load.ConfigHash = "other"
	sweep := made(0, 1)
	sweep.Sweep = &Sweep{}
	spoilt := made(0, 1)
	spoilt.Latency.E2E = &Distribution{HDR: "HISTF"}
	for _, tt := range []struct {
		shards []*Report
		want   string
	}{
		{nil, "nothing to merge"},
		{[]*Report{made(0, 0)}, "without --shard"},
		{[]*Report{made(0, 2)}, "shard 1 of 2 is missing"},
		{[]*Report{made(0, 2), made(0, 2)}, "there twice"},
		{[]*Report{made(0, 2), made(1, 3)}, "one of 3"},
		{[]*Report{made(0, 2), other}, "of run other"},
		{[]*Report{made(0, 2), load}, "with load other"},
		{[]*Report{sweep}, "sweeps cannot"},
		{[]*Report{spoilt}, "histogram"},
	} {
		if _, err := MergeReports(tt.shards, false); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
}

// No distribution is forgotten.
func TestLatencyFields(t *testing.T) {
	l := Latency{}
	for i, f := range l.fields() {
		*f = &Distribution{N: int64(i + 1)}
	}
	v := reflect.ValueOf(l)
	if v.NumField() != numFields {
		t.Errorf("%d fields, %d of them merged", v.NumField(), numFields)
	}
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			t.Errorf("%s is left out", v.Type().Field(i).Name)
		}
	}
	if n := len(l.All()); n != numFields {
		t.Errorf("All has %d", n)
	}
}
