package cmd_test

import (
	"io"
	"net"
	"strings"
	"sync/atomic"

	"github.com/rogpeppe/go-internal/testscript"

	"mqt/mqtt"
)

// startLossy puts a proxy in front of MQTT_URL that keeps every Nth PUBLISH to a
// client for itself, and acknowledges it.
func startLossy(ts *testscript.TestScript, _ bool, _ []string) {
	const every = 50
	target := strings.TrimPrefix(ts.Getenv("MQTT_URL"), "mqtt://")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv("MQTT_URL", "mqtt://"+l.Addr().String())
	var seen atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				s, err := net.Dial("tcp", target)
				if err != nil {
					return
				}
				defer s.Close()
				go func() {
					_, _ = io.Copy(s, c) // until one of them ends
					s.Close()
				}()
				lose(c, s, func(p *mqtt.Publish) bool { return p.QoS == mqtt.QoS1 && seen.Add(1)%every == 0 })
			}()
		}
	}()
}

// lose copies what the server s says to the client c, but for some messages.
func lose(c io.Writer, s io.ReadWriter, some func(*mqtt.Publish) bool) {
	r := mqtt.Reader{From: mqtt.Server, Version: mqtt.V50}
	var buf []byte
	for chunk := make([]byte, 4096); ; {
		n, err := s.Read(chunk)
		if err != nil {
			return
		}
		buf = append(buf, chunk[:n]...)
		for {
			p, n, err := r.Read(buf)
			if err != nil {
				return
			}
			if n == 0 {
				break
			}
			out, to := buf[:n], c
			if m, ok := p.(*mqtt.Publish); ok && some(m) {
				if out, err = (&mqtt.Puback{Ack: mqtt.Ack{PacketID: m.PacketID}}).Append(nil, mqtt.V50); err != nil {
					return
				}
				to = s
			}
			if _, err := to.Write(out); err != nil {
				return
			}
			buf = buf[n:]
		}
	}
}
