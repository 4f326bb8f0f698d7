package cmd_test

import (
	"context"
	"net"
	"os"
)

// askTestDNS sends the questions of this process to the DNS server of a script, if there is one.
func askTestDNS() {
	addr := os.Getenv("TEST_DNS")
	if addr == "" {
		return
	}
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", addr)
	}}
}
