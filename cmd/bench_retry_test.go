package cmd

import (
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"mqt/mqtt/bench"
)

// Clients of a scenario that lose their server do not come back in one instant, unless that is asked for.
func TestReconnectHasJitter(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"{}": bench.DefaultJitter, "{after: 1s}": bench.DefaultJitter, "{jitter: 0s}": 0, "{jitter: 5s}": 5 * time.Second,
	} {
		var r fileRetry
		if err := yaml.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		var g bench.Group
		r.use(&g)
		if !g.Reconnect || g.Jitter != want || g.After != time.Duration(r.After) {
			t.Errorf("reconnect: %s is %v, after %v, jitter %v; want jitter %v", text, g.Reconnect, g.After, g.Jitter, want)
		}
	}
}
