package bench

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"mqt/mqtt"
)

// All shards together have each client, topic, QoS and message of the plan once.
func TestShardsAreThePlan(t *testing.T) {
	for _, s := range []Scenario{
		{Publishers: 10, Subscribers: 10, Rate: 100, Count: 1001},
		{Shape: FanIn, Publishers: 11, Subscribers: 3},
		{Shape: FanOut, Publishers: 3, Subscribers: 20},
		{Shape: Shared, Publishers: 10, Subscribers: 7}, {Shape: Mesh, Publishers: 5, Subscribers: 4},
		{Role: RoleConn, Publishers: 17},
	} {
		s.RunID = "r"
		if s.Role != RoleConn {
			s.QoS = []mqtt.QoS{0, 1, 2, 1}
		}
		const n = 3
		clients := func(shard *Shard) (all []string, rate float64, count int64) {
			s.Shard = shard
			p, err := s.Plan()
			if err != nil {
				t.Fatal(err)
			}
			if p.Shard.Count == 1 {
				p.Shard = nil
			}
			if err := p.shard(); err != nil {
				t.Fatalf("%s: %v", s.Shape, err)
			}
			for _, g := range p.Groups {
				for i := range g.Clients {
					line := g.Name + " " + g.ClientID(i)
					if len(g.QoS) > 0 {
						line += fmt.Sprint(" ", g.QoS[i%len(g.QoS)])
					}
					if g.Topic != nil && s.Shape != Shared && s.Shape != Mesh {
						line += " " + g.Topic(i)
					}
					all = append(all, line)
				}
				rate += g.Rate
			}
			for _, st := range p.Steps {
				count += st.Count
			}
			return all, rate, count
		}
		want, wantRate, wantCount := clients(&Shard{0, 1})
		var got []string
		var gotRate float64
		var gotCount int64
		for i := range n {
			all, rate, count := clients(&Shard{i, n})
			got, gotRate, gotCount = append(got, all...), gotRate+rate, gotCount+count
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) || math.Abs(gotRate-wantRate) > 1e-6 || gotCount != wantCount {
			t.Errorf("%s %s: the shards are\n%q, %v, %d\nwant\n%q, %v, %d", s.Role, s.Shape, got, gotRate, gotCount, want, wantRate, wantCount)
		}
	}
}

func TestShardFaults(t *testing.T) {
	for _, tt := range []struct {
		s    Scenario
		want string
	}{
		{Scenario{Shard: &Shard{3, 3}}, "count from 0"},
		{Scenario{Shard: &Shard{0, 0}}, "count from 0"},
		{Scenario{Publishers: 2, Subscribers: 2, Shard: &Shard{0, 3}}, "cannot be divided"},
		{Scenario{Publishers: 6, Subscribers: 6, Shard: &Shard{0, 3}, Topic: func(int) string { return "a" }, Filter: func(int) string { return "#" }}, "as ${shard}"},
	} {
		p, err := tt.s.Plan()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.shard(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.s.Shard, err, tt.want)
		}
	}
	p, err := Scenario{Shape: FanOut, Publishers: 4, Subscribers: 20, Shard: &Shard{0, 3}, NoTracking: true}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.shard(); err != nil {
		t.Errorf("nothing is checked, and yet: %v", err)
	}
}
