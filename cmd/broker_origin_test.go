package cmd

import "testing"

func TestOriginCheck(t *testing.T) {
	for _, tt := range []struct {
		allowed      []string
		local        bool
		origin, host string
		want         bool
	}{
		{nil, false, "https://broker.example", "broker.example", true},
		{nil, false, "http://Broker.example:8080", "broker.example:9001", true},
		{nil, false, "https://evil.example", "broker.example", false},
		{nil, false, "https://broker.example.evil.example", "broker.example", false},
		{nil, false, "https://evil.example/broker.example", "broker.example", false},
		{nil, false, "http://localhost", "broker.example", false},
		{nil, false, "null", "broker.example", false},
		{nil, false, "http://", "", false},
		{nil, false, "http://[2001:db8::1]:80", "[2001:db8::1]:9001", true},
		{nil, true, "http://localhost:3000", "127.0.0.1:9001", true},
		{nil, true, "http://127.0.0.1:3000", "localhost:9001", true},
		{nil, true, "http://[::1]:3000", "localhost:9001", true},
		{nil, true, "http://localhost.evil.example", "localhost:9001", false},
		{nil, true, "http://evil.example", "localhost:9001", false},
		{nil, true, "http://rebound.example:9001", "rebound.example:9001", false},
		{nil, true, "https://broker.example", "broker.example", true}, // a proxy in front
		{nil, true, "null", "localhost:9001", false},
		{[]string{"https://one.example"}, true, "https://one.example", "localhost", true},
		{[]string{"https://one.example"}, true, "http://localhost", "localhost", false},
		{[]string{"null"}, true, "null", "localhost", true},
		{[]string{"null"}, true, "*", "localhost", false},
	} {
		if got := originCheck(tt.allowed, tt.local)(tt.origin, tt.host); got != tt.want {
			t.Errorf("%q from %q to %q, local %v: %v", tt.allowed, tt.origin, tt.host, tt.local, got)
		}
	}
	if originCheck([]string{"https://one.example", "*"}, false) != nil {
		t.Error("* does not let everybody in")
	}
}
