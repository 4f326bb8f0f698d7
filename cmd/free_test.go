package cmd_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// freeAddr is an address of this machine at which nobody listens. Its port is not one of those that the kernel gives to
// connections and to port 0, of which another test could have it before the program is there that is to listen.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(22_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	tb.Fatal("no port is free")
	return ""
}
