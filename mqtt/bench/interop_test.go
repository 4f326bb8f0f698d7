package bench_test

import (
	"fmt"
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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	l.Close()
	cmd := exec.Command(path, "-p", fmt.Sprint(addr.Port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 500 {
		if nc, err := net.Dial("tcp", addr.String()); err == nil {
			nc.Close()
			return "mqtt://" + addr.String()
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("mosquitto does not listen")
	return ""
}

// Mosquitto in every role, both versions.
func TestInteropMosquitto(t *testing.T) {
	url := startMosquitto(t)
	runRoles(t, url, mqtt.V50)
	runRoles(t, url, mqtt.V311)
}
