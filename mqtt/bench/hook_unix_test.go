//go:build unix

package bench

import (
	"context"
	"testing"
	"time"

	"mqt/mqtt"
)

// A command of a scenario does not hold up the end of a run, with all that it
// has started.
func TestHookEndsWithTheRun(t *testing.T) {
	s := newStub()
	sc := s.scenario()
	sc.QoS = []mqtt.QoS{1}
	p, err := sc.Plan()
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Steps {
		if p.Steps[i].Do == DoLoad {
			p.Steps[i].For = 10 * time.Minute
			p.Steps[i].Actions = []Action{{Kind: Exec, Command: "sleep 600; echo over"}}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := time.Now()
	rep, err := RunPlan(ctx, p, func(s Snapshot) {
		if s.Phase == Measuring && s.Elapsed > 0 {
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); !rep.Interrupted || took > 5*time.Minute {
		t.Errorf("interrupted %v, after %v", rep.Interrupted, took)
	}
}
