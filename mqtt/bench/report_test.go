package bench

import (
	"encoding/json"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
)

// What is written as JSON is read back whole.
func TestReportJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		s.on = func(seq uint64, _ *mqtt.Publish) fault {
			return map[uint64]fault{7: lose, 20: twice}[seq]
		}
		s.deny = func(seq uint64) mqtt.ReasonCode {
			if seq == 5 {
				return mqtt.QuotaExceeded
			}
			return 0
		}
		rep := runStub(t, s, func(sc *Scenario) {
			sc.Publishers, sc.QoS, sc.SubscriberQoS = 6, []mqtt.QoS{0, 1, 2}, []mqtt.QoS{2}
		})
		text, err := json.Marshal(rep)
		if err != nil {
			t.Fatal(err)
		}
		var back Report
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		back.Started = rep.Started // the same moment in another zone
		if !reflect.DeepEqual(rep, &back) {
			t.Errorf("wrote %+v\nread %+v", rep, &back)
		}
		var members map[string]any
		if err := json.Unmarshal(text, &members); err != nil || members["version"] != float64(ReportVersion) {
			t.Errorf("version %v, %v", members["version"], err)
		}
	})
}

// TestVerdict: the gravest wins, and all reasons are told.
func TestVerdict(t *testing.T) {
	good := func() *Report {
		return &Report{
			Load: Load{Tracked: true}, Contract: Contract{Checked: true, Held: true},
			Latency:   Latency{E2E: &Distribution{N: 1000, P99: 100 * time.Millisecond}},
			Generator: Generator{LagP99: time.Millisecond},
		}
	}
	broken := func(r *Report) { r.Contract.Held, r.Contract.Corrupt = false, 1 }
	late := func(r *Report) { r.Generator.LagP99 = 60 * time.Millisecond }
	failed := func(r *Report) { r.Connections.Failed = 1 }
	few := func(r *Report) { r.Latency.E2E.N = 99 }
	for _, tt := range []struct {
		name    string
		make    []func(*Report)
		want    Verdict
		reasons int
	}{
		{"good", nil, Pass, 0},
		{"few", []func(*Report){few}, Inconclusive, 1},
		{"none", []func(*Report){func(r *Report) { r.Latency.E2E = nil }}, Inconclusive, 1},
		{"failed", []func(*Report){failed}, ThresholdFailed, 1},
		{"lost", []func(*Report){func(r *Report) { r.Connections.Lost = 1 }}, ThresholdFailed, 1},
		{"refused", []func(*Report){func(r *Report) { r.Refused = []Cause{{N: 1}} }}, ThresholdFailed, 1},
		{"late", []func(*Report){late}, Invalid, 1},
		{"late in one process", []func(*Report){late, func(r *Report) { r.Target.InProcess = true }}, Pass, 0},
		{"busy", []func(*Report){func(r *Report) { r.Generator.CPUShare = 0.95 }}, Invalid, 1},
		{"busy in one process", []func(*Report){func(r *Report) { r.Generator.CPUShare, r.Target.InProcess = 0.95, true }}, Pass, 0},
		{"late by little", []func(*Report){func(r *Report) { r.Generator.LagP99, r.Latency.E2E.P99 = 2*time.Millisecond, 2*time.Millisecond }}, Pass, 0},
		{"broken", []func(*Report){broken}, ContractBroken, 1},
		{"unchecked", []func(*Report){func(r *Report) { r.Contract = Contract{}; r.Load.Tracked, r.Sent.N = false, 100 }}, Pass, 0},
		{"late and failed", []func(*Report){late, failed}, Invalid, 2},
		{"all", []func(*Report){few, failed, late, broken}, ContractBroken, 4},
	} {
		r := good()
		for _, f := range tt.make {
			f(r)
		}
		r.judge(0, 1000, defaultRules(), nil, false)
		if r.Verdict != tt.want || len(r.Reasons) != tt.reasons {
			t.Errorf("%s: %s %q, want %s and %d reasons", tt.name, r.Verdict, r.Reasons, tt.want, tt.reasons)
		}
	}
	r := good()
	r.judge(30, 1000, defaultRules(), nil, false)
	if r.Verdict != Invalid {
		t.Errorf("3 %% of the messages were not tried: %s", r.Verdict)
	}
}
