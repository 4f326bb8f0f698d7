//go:build interop

package cmd_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const interopACL = `user alice
topic #
user bob
topic read open/#
pattern read own/%u/#
`

// TestInteropAccess runs mosquitto's clients, with users that mosquitto_passwd made and an acl_file, against mosquitto
// and against our broker.
func TestInteropAccess(t *testing.T) {
	dir := t.TempDir()
	users, acl := filepath.Join(dir, "users"), filepath.Join(dir, "acl")
	if err := os.WriteFile(acl, []byte(interopACL), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-c", "-b", users, "alice", "secret"}, {"-b", users, "bob", "hunter2"}} {
		if out, err := exec.Command("mosquitto_passwd", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	t.Run("mqt", func(t *testing.T) {
		ready := filepath.Join(t.TempDir(), "ready")
		runServer(t, exec.Command(mqtProgram(t), "broker", "-p", "0", "--ready-file", ready, "--password-file", users, "--acl", "mosquitto:"+acl))
		port := ""
		waitUntil(t, "the broker's ready file", func() bool {
			text, _ := os.ReadFile(ready)
			line, _, ok := strings.Cut(string(text), "\n")
			port = line[strings.LastIndexByte(line, ':')+1:]
			return ok
		})
		runChecks(t, nil, checkScript("access_check.sh"), port)
	})
	t.Run("mosquitto", func(t *testing.T) {
		port := freePorts(t, 1)[0]
		conf := filepath.Join(t.TempDir(), "mosquitto.conf")
		text := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous false\npassword_file %s\nacl_file %s\nuser root\n", port, users, acl)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		path, err := exec.LookPath("mosquitto")
		if err != nil { // Debian's is in sbin
			path = "/usr/sbin/mosquitto"
		}
		runServer(t, exec.Command(path, "-c", conf))
		waitUntil(t, "mosquitto", func() bool {
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				c.Close()
			}
			return err == nil
		})
		runChecks(t, nil, checkScript("access_check.sh"), fmt.Sprint(port))
	})
}
