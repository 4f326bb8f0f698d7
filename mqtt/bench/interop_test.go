package bench_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"testing"
	"time"

	"mqt/mqtt"
)

// startMosquitto runs mosquitto on a free port until the test ends.
func startMosquitto(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		t.Skip("mosquitto is not installed")
	}
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(path, "-p", port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 500 {
		if nc, err := net.Dial("tcp", addr); err == nil {
			nc.Close()
			return "mqtt://" + addr
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("mosquitto does not listen")
	return ""
}

// freeAddr is an address of this machine at which nobody listens. Its port is not one of those that the kernel gives to
// connections and to port 0, of which another test could have it before the program is there that is to listen.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(22_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// Mosquitto in every role, both versions.
func TestInteropMosquitto(t *testing.T) {
	url := startMosquitto(t)
	runRoles(t, url, mqtt.V50)
	runRoles(t, url, mqtt.V311)
}
