package bench_test

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/bench"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

func dial(ctx context.Context, o *client.Options) (net.Conn, error) {
	return transport.Dial(ctx, o.Endpoint, o.DialOptions)
}

// at is what clients of url are made from.
func at(t *testing.T, url string, v mqtt.Version) client.Options {
	t.Helper()
	e, err := transport.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return client.Options{Endpoint: e, Version: v}
}

// roles are small runs of every role and shape, and what must come of them.
func roles() []struct {
	name string
	s    bench.Scenario
	want func(*bench.Report) bool
} {
	held := func(r *bench.Report) bool {
		return r.Contract.Checked && r.Contract.Held && r.Connections.Lost+r.Connections.Failed == 0 &&
			!slices.ContainsFunc(r.Contract.QoS, func(q bench.QoS) bool {
				return q.QoS > 0 && (q.Expected == 0 || q.Delivered != q.Expected)
			})
	}
	s := func(role bench.Role, change func(*bench.Scenario)) bench.Scenario {
		s := bench.Scenario{Role: role, Publishers: 10, Subscribers: 10, Rate: 500, Duration: time.Second, WarmUp: -1, Quiet: 500 * time.Millisecond}
		if change != nil {
			change(&s)
		}
		return s
	}
	return []struct {
		name string
		s    bench.Scenario
		want func(*bench.Report) bool
	}{
		{"conn", s(bench.RoleConn, func(s *bench.Scenario) { s.Publishers, s.Subscribers = 120, 0 }), func(r *bench.Report) bool {
			return r.Latency.Connect.N == 120 && r.Latency.ConnectDial.N == 120 && r.Latency.ConnectConnack.N == 120 && r.Measured >= time.Second
		}},
		{"pub", s(bench.RolePub, func(s *bench.Scenario) { s.QoS = []mqtt.QoS{1, 2} }), func(r *bench.Report) bool {
			return r.Sent.N == 500 && r.Acked.N == 500 && !r.Contract.Checked && r.Latency.PubAck.N == 250
		}},
		{"pairs", s(bench.RolePubSub, nil), held},
		{"pairs, QoS apart", s(bench.RolePubSub, func(s *bench.Scenario) { s.QoS, s.SubscriberQoS = []mqtt.QoS{2}, []mqtt.QoS{0, 1, 2} }), held},
		{"fan-in", s(bench.RolePubSub, func(s *bench.Scenario) { s.Shape, s.Subscribers = bench.FanIn, 3 }), held},
		{"fan-out", s(bench.RolePubSub, func(s *bench.Scenario) { s.Shape, s.Publishers, s.Rate = bench.FanOut, 2, 100 }), held},
		{"mesh", s(bench.RolePubSub, func(s *bench.Scenario) { s.Shape, s.Publishers, s.Subscribers, s.Rate = bench.Mesh, 4, 5, 200 }), func(r *bench.Report) bool {
			return held(r) && r.Delivered.N == 1000
		}},
		{"shared", s(bench.RolePubSub, func(s *bench.Scenario) { s.Shape, s.Subscribers, s.Client.Version = bench.Shared, 4, mqtt.V50 }), func(r *bench.Report) bool {
			return held(r) && r.Delivered.N == 500
		}},
		{"bursts", s(bench.RolePubSub, func(s *bench.Scenario) { s.Arrival, s.Burst = bench.Bursts, 50 }), held},
		{"Poisson", s(bench.RolePubSub, func(s *bench.Scenario) { s.Arrival = bench.Poisson }), held},
		{"random sizes", s(bench.RolePubSub, func(s *bench.Scenario) { s.Size, s.MaxSize = 16, 900 }), func(r *bench.Report) bool {
			return held(r) && r.Sent.Bytes > 500*300 && r.Sent.Bytes < 500*600 && r.Delivered.Bytes == r.Sent.Bytes
		}},
		{"payload of its own", s(bench.RolePubSub, func(s *bench.Scenario) {
			s.Payload = func(dst []byte, _ int, _ uint64) []byte { return append(dst, "a body"...) }
		}), func(r *bench.Report) bool { return held(r) && r.Sent.Bytes == 500*40 }},
		{"levels", s(bench.RolePubSub, func(s *bench.Scenario) {
			s.Levels = []bench.Level{{Rate: 200, For: 500 * time.Millisecond}, {Rate: 600, For: 500 * time.Millisecond}}
		}), func(r *bench.Report) bool { return held(r) && r.Sent.N == 400 }},
		{"ramp", s(bench.RolePubSub, func(s *bench.Scenario) { s.Ramp = time.Second }), func(r *bench.Report) bool {
			i := slices.IndexFunc(r.Phases, func(p bench.PhaseResult) bool { return p.Name == "ramp" })
			return held(r) && r.Sent.N == 500 && i > 0 && r.Phases[i].Sent.N >= 245 && r.Phases[i].Sent.N <= 255
		}},
		{"storm", s(bench.RoleStorm, func(s *bench.Scenario) {
			s.Waves, s.Pick, s.Duration, s.Jitter = 2, 0.5, 3*time.Second, 200*time.Millisecond
		}), func(r *bench.Report) bool {
			return r.Connections.Cut == 20 && r.Connections.Reconnected == 20 && r.Connections.Lost == 0 && r.Latency.Reconnect.N == 20 &&
				r.Contract.Held && r.Resume != nil && r.Resume.Present == 20
		}},
		{"storm of FIN", s(bench.RoleStorm, func(s *bench.Scenario) {
			s.Waves, s.Pick, s.Duration, s.Jitter, s.Cut = 1, 0.5, 2*time.Second, 200*time.Millisecond, bench.FIN
		}), func(r *bench.Report) bool {
			return r.Connections.Cut == 10 && r.Connections.Reconnected == 10 && r.Contract.Held
		}},
		{"storm of DISCONNECT", s(bench.RoleStorm, func(s *bench.Scenario) {
			s.Waves, s.Pick, s.Duration, s.Jitter, s.Cut = 1, 0.5, 2*time.Second, 200*time.Millisecond, bench.Disconnect
		}), func(r *bench.Report) bool {
			return r.Connections.Cut == 10 && r.Connections.Reconnected == 10 && r.Contract.Held
		}},
		{"storm of take-overs", s(bench.RoleStorm, func(s *bench.Scenario) {
			s.Waves, s.Pick, s.Duration, s.Jitter, s.Cut = 1, 0.5, 2*time.Second, 200*time.Millisecond, bench.TakeOver
		}), func(r *bench.Report) bool {
			return r.Connections.Cut == 10 && r.Connections.Reconnected == 10 && r.Contract.Held
		}},
		{"storm of half-open", s(bench.RoleStorm, func(s *bench.Scenario) {
			s.Waves, s.Pick, s.Duration, s.Jitter, s.Cut = 2, 0.5, 3*time.Second, 200*time.Millisecond, bench.HalfOpen
			// Mosquitto 2.0.11 acknowledges QoS 2 messages of a 3.1.1 client and drops
			// them when there are more under way than its max_inflight_messages.
			s.InFlight = 20
		}), func(r *bench.Report) bool {
			return r.Connections.Cut > 0 && r.Connections.Lost == 0 && r.Contract.Held
		}},
		{"retained", s(bench.RoleRetained, nil), func(r *bench.Report) bool { return r.Latency.FirstMessage.N == 10 }},
		{"resume", s(bench.RoleResume, func(s *bench.Scenario) { s.QoS = []mqtt.QoS{1, 2} }), func(r *bench.Report) bool {
			return held(r) && r.Resume != nil && r.Resume.Sessions == 10 && r.Resume.Present == 10 && r.Resume.Backlog == 500 && r.Resume.Recovered == 500
		}},
	}
}

func runRoles(t *testing.T, url string, v mqtt.Version) {
	for _, tt := range roles() {
		if v == mqtt.V311 && tt.s.Shape == bench.Shared {
			continue // there are none
		}
		t.Run(tt.name+" "+v.String(), func(t *testing.T) {
			s := tt.s
			s.Client, s.Dial = at(t, url, v), dial
			if v == mqtt.V311 && s.InFlight == 0 {
				// Mosquitto 2.0.11 acknowledges QoS 2 messages of a 3.1.1 client and drops
				// them when there are more under way than its max_inflight_messages.
				s.InFlight = 20
			}
			rep, err := bench.Run(t.Context(), s, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.want(rep) {
				t.Errorf("sent %+v delivered %+v\nconnections %+v\ncontract %+v\nresume %+v\nlatency %+v\nevents %v",
					rep.Sent, rep.Delivered, rep.Connections, rep.Contract, rep.Resume, rep.Latency, rep.Events)
			}
		})
	}
}

// The in-tree broker in every role, both versions.
func TestRoles(t *testing.T) {
	url := startBroker(t)
	runRoles(t, url, mqtt.V50)
	runRoles(t, url, mqtt.V311)
}
