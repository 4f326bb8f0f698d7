package bench

import (
	"os"
	"strings"
	"testing"
)

// TestReadmeMetrics: the README names what a threshold can name.
func TestReadmeMetrics(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range metricKinds() {
		if _, ofQoS, ok := strings.Cut(name, "."); ok && strings.HasPrefix(name, "qos") {
			name = ofQoS // qos1.lost, of which there is an example
		}
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("the README's table of metrics lacks %s", name)
		}
	}
}
