package cmd_test

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// freeAddr is an address of this machine at which nobody listens. Its port is not one of those that the kernel gives to
// connections and to port 0, of which another test could have it before the program is there that is to listen.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	port, err := freePort()
	if err != nil {
		tb.Fatal(err)
	}
	return "127.0.0.1:" + port
}

func freePort() (string, error) {
	var failed error
	for range 100 {
		port := strconv.Itoa(10_000 + rand.IntN(22_000))
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			return port, l.Close()
		}
		failed = err
	}
	return "", failed
}

// setFreePort is freePort for a script.
func setFreePort(ts *testscript.TestScript, _ bool, args []string) {
	port, err := freePort()
	ts.Check(err)
	ts.Setenv(args[0], port)
}
