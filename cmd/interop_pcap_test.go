//go:build interop

package cmd_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestInteropPcap has Wireshark read what --pcap wrote: every packet that -d told of, and none malformed, by every
// transport and version.
func TestInteropPcap(t *testing.T) {
	big := strings.Repeat("0123456789", 20_000) // more than one segment
	for _, s := range []interopServer{startMQT(t), startMosquitto(t)} {
		for scheme, url := range map[string]string{"tcp": s.tcp, "ws": s.ws, "tls": s.tls} {
			for _, version := range []string{"311", "5"} {
				t.Run(s.name+" "+scheme+" "+version, func(t *testing.T) {
					file := filepath.Join(t.TempDir(), "out.pcap")
					topic := "pcap/" + scheme + version
					var said bytes.Buffer
					c := exec.Command(mqtProgram(t), "sub", "-L", url, "-V", version, "-d", "--pcap", file, "-t", topic, "-q", "2", "-C", "3", "-W", "20")
					if scheme == "tls" {
						c.Args = append(c.Args, "--cafile", s.cafile)
					}
					c.Stderr = &said
					if err := c.Start(); err != nil {
						t.Fatal(err)
					}
					for _, qos := range []string{"0", "1", "2"} {
						pub := exec.Command(mqtProgram(t), "pub", "-L", s.tcp, "-t", topic, "-q", qos, "-r", "-s")
						pub.Stdin = strings.NewReader(big + qos)
						if out, err := pub.CombinedOutput(); err != nil {
							t.Fatalf("pub: %v: %s", err, out)
						}
						if qos == "0" {
							waitUntil(t, "the retained message or the subscription", func() bool { return strings.Contains(said.String(), "SUBACK") })
						}
					}
					if err := c.Wait(); err != nil {
						t.Fatalf("sub: %v: %s", err, said.String())
					}
					want := strings.Count(said.String(), " -> ") + strings.Count(said.String(), " <- ")
					// What comes behind our DISCONNECT is captured, but not handled any more.
					if got := dissect(t, file); got != want && got != want+1 {
						t.Errorf("Wireshark sees %d packets, -d told of %d:\n%s", got, want, said.String())
					}
				})
			}
		}
	}
}

// dissect counts the MQTT packets of a file, none of which may be malformed.
func dissect(t *testing.T, file string) int {
	t.Helper()
	tshark := func(args ...string) string {
		var stderr bytes.Buffer
		c := exec.Command("tshark", append([]string{"-r", file, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"}, args...)...)
		c.Stderr = &stderr
		out, err := c.Output()
		if err != nil {
			t.Fatalf("tshark: %v: %s", err, stderr.Bytes())
		}
		return string(out)
	}
	if bad := tshark("-Y", `_ws.malformed or _ws.expert.severity >= "Warning" or _ws.unreassembled`); bad != "" {
		t.Errorf("Wireshark finds fault:\n%s", lastBytes([]byte(bad)))
	}
	n := 0
	for line := range strings.Lines(tshark("-Y", "mqtt", "-T", "fields", "-e", "mqtt.msgtype")) {
		for x := range strings.SplitSeq(strings.TrimSpace(line), ",") {
			if _, err := strconv.Atoi(x); err == nil {
				n++
			}
		}
	}
	return n
}
