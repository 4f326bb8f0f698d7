//go:build interop

package cmd_test

import (
	"os/exec"
	"testing"
)

// The same as TestPubOutlivesTheBroker with a broker that takes a QoS 2 message over at its PUBREL: what it had by PUBREC
// alone goes down with it.
func TestInteropPubOutlivesMosquitto(t *testing.T) {
	path, err := exec.LookPath("mosquitto")
	if err != nil { // Debian's is in sbin
		path = "/usr/sbin/mosquitto"
	}
	killBrokers(t, func(port string) *exec.Cmd { return exec.Command(path, "-p", port) })
}
