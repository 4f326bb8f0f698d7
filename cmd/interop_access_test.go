//go:build interop

package cmd_test

import (
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The rules for the two users, as mosquitto and as we write them.
const (
	interopMosquittoACL = `user alice
topic #
user bob
topic read open/#
pattern read own/%u/#
`
	interopACL = `user alice
  allow all #
user bob
  allow subscribe open/#
  allow subscribe own/%u/#
`
)

// accessFiles are users that mosquitto_passwd made, rules for them, and certificates.
type accessFiles struct {
	dir, users, acl, mosquittoACL, ca, cert, key string
}

func makeAccessFiles(t *testing.T) accessFiles {
	t.Helper()
	dir := t.TempDir()
	f := accessFiles{dir: dir, users: filepath.Join(dir, "users"), acl: filepath.Join(dir, "acl"), mosquittoACL: filepath.Join(dir, "mosquitto.acl"),
		ca: filepath.Join(dir, "ca.pem"), cert: filepath.Join(dir, "server.pem")}
	for file, text := range map[string]string{f.acl: interopACL, f.mosquittoACL: interopMosquittoACL} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"-c", "-b", f.users, "alice", "secret"}, {"-b", f.users, "bob", "hunter2"}} {
		if out, err := exec.Command("mosquitto_passwd", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	ca := newAuthority(t, f.ca)
	f.key = ca.issue(t, dir, "server", x509.ExtKeyUsageServerAuth)
	for _, name := range []string{"alice", "bob"} {
		ca.issue(t, dir, name, x509.ExtKeyUsageClientAuth)
	}
	newAuthority(t, filepath.Join(dir, "other-ca.pem")).issue(t, dir, "stranger", x509.ExtKeyUsageClientAuth)
	return f
}

// TestInteropAccess runs mosquitto's clients and paho-mqtt, with users by password and by certificate, against mosquitto
// and against our broker.
func TestInteropAccess(t *testing.T) {
	f := makeAccessFiles(t)
	mqt := func(acl string) func(*testing.T) interopServer {
		return func(t *testing.T) interopServer {
			return runMQT(t, "--listen", "mqtt://127.0.0.1:0", "--listen", "mqtts://127.0.0.1:0", "--cert", f.cert, "--key", f.key,
				"--cafile", f.ca, "--require-cert", "--cert-as-user", "cn", "--password-file", f.users, "--acl", acl)
		}
	}
	for name, start := range map[string]func(*testing.T) interopServer{
		"mqt":                       mqt(f.acl),
		"mqt with mosquitto's file": mqt("mosquitto:" + f.mosquittoACL),
		"mosquitto":                 f.startMosquitto,
	} {
		for client, program := range map[string][]string{
			"mosquitto": {checkScript("access_check.sh")},
			"paho-mqtt": {"/usr/bin/python3", checkScript("access_check.py")},
		} {
			t.Run(name+"/"+client, func(t *testing.T) {
				t.Parallel()
				s := start(t)
				args := append(program[1:], strings.TrimPrefix(s.tcp, "mqtt://127.0.0.1:"), strings.TrimPrefix(s.tls, "mqtts://127.0.0.1:"), f.dir, s.name)
				runChecks(t, nil, program[0], args...)
			})
		}
	}
}

func (f *accessFiles) startMosquitto(t *testing.T) interopServer {
	tcp, tls := freeAddr(t), freeAddr(t)
	text := fmt.Sprintf("listener %s\nlistener %s\ncafile %s\ncertfile %s\nkeyfile %s\n"+
		"require_certificate true\nuse_identity_as_username true\n"+
		"allow_anonymous false\npassword_file %s\nacl_file %s\n", listener(tcp), listener(tls), f.ca, f.cert, f.key, f.users, f.mosquittoACL)
	return interopServer{name: "mosquitto", tcp: "mqtt://" + tcp, tls: "mqtts://" + tls, stderr: runMosquitto(t, text, tcp, tls)}
}
