package bench_test

import (
	"context"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/bench"
	"mqt/mqtt/client"
)

// leftBehind reports what a run has left at the server.
func leftBehind(t *testing.T, url string, v mqtt.Version, s *bench.Scenario) (sessions, retained int) {
	t.Helper()
	for _, role := range []string{"s", "p"} {
		for _, i := range []string{"0", "1", "2", "3", "4"} {
			o := at(t, url, v)
			o.ClientID, o.KeepSession = "bench"+s.RunID+role+i, true
			c, err := client.Connect(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if c.SessionPresent() {
				sessions++
			}
			if err := c.Disconnect(t.Context(), mqtt.Disconnect{}); err != nil {
				t.Error(err)
			}
			o.KeepSession = false // a 3.1.1 session of our own making
			if c, err = client.Connect(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			_ = c.Disconnect(t.Context(), mqtt.Disconnect{})
		}
	}
	o := at(t, url, v)
	o.ClientID = "looker"
	got := make(chan bool, 100)
	o.OnMessage = func(_ *client.Client, p *mqtt.Publish, _ string) bool {
		got <- p.Retain
		return true
	}
	c, err := client.Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Subscribe(t.Context(), []mqtt.Subscription{{Filter: "bench/" + s.RunID + "/#", QoS: 0}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(t.Context()); err != nil { // what is retained comes before
		t.Fatal(err)
	}
	if err := c.Disconnect(t.Context(), mqtt.Disconnect{}); err != nil {
		t.Error(err)
	}
	return sessions, len(got)
}

// Interrupted at any moment, a run makes a report and leaves nothing behind.
func TestInterruptLeavesNothing(t *testing.T) {
	url := startBroker(t)
	for _, version := range []mqtt.Version{mqtt.V50, mqtt.V311} {
		for _, role := range []bench.Role{bench.RoleResume, bench.RoleRetained, bench.RoleStorm} {
			phases := map[bench.Role][]bench.Phase{
				bench.RoleResume:   {bench.Connecting, bench.Probing, bench.Leaving, bench.Measuring, bench.Resuming, bench.Draining, ""},
				bench.RoleRetained: {bench.Connecting, bench.Retaining, bench.Measuring, ""},
				bench.RoleStorm:    {bench.Subscribing, "wave 1", ""},
			}[role]
			for _, phase := range phases {
				t.Run(string(role)+" "+string(phase)+" "+version.String(), func(t *testing.T) {
					s := bench.Scenario{
						Client: at(t, url, version), Dial: dial, Role: role, RunID: "int", QoS: []mqtt.QoS{1, 2}, Publishers: 5, Subscribers: 5,
						Rate: 100, WarmUp: -1, Duration: 300 * time.Millisecond, Waves: 1, Jitter: 10 * time.Millisecond, Quiet: 200 * time.Millisecond, Retain: true,
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					rep, err := bench.Run(ctx, s, func(p bench.Snapshot) {
						if p.Phase == phase {
							cancel()
						}
					})
					if err != nil {
						t.Fatal(err)
					}
					if rep.Interrupted != (phase != "") || rep.Verdict == "" {
						t.Errorf("interrupted %v, verdict %q", rep.Interrupted, rep.Verdict)
					}
					if sessions, retained := leftBehind(t, url, version, &s); sessions+retained > 0 {
						t.Errorf("%d sessions and %d retained messages are left", sessions, retained)
					}
				})
			}
		}
	}
}
