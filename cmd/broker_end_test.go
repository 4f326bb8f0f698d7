package cmd_test

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mqt/cmd"
	"mqt/mqtt"
)

// TestEndThoughClientDoesNotRead: what a client leaves unread is no failure of the broker.
func TestEndThoughClientDoesNotRead(t *testing.T) {
	t.Parallel()
	ready := filepath.Join(t.TempDir(), "ready")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs := &output{} // the log and the program write it
	code := make(chan int, 1)
	go func() {
		code <- cmd.Main(ctx, []string{"broker", "--listen", "mqtt://127.0.0.1:0", "--ready-file", ready},
			cmd.Stdio{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: errs})
	}()
	var text []byte
	for deadline := time.Now().Add(time.Minute); len(text) == 0 && time.Now().Before(deadline); {
		text, _ = os.ReadFile(ready)
		time.Sleep(time.Millisecond)
	}
	u, err := url.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	packets := []mqtt.Packet{&mqtt.Connect{Version: mqtt.V50, ClientID: "c", CleanStart: true},
		&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "t"}}}}
	for range 300 { // more than the system's buffers take
		packets = append(packets, &mqtt.Publish{Topic: []byte("t"), Payload: make([]byte, 1<<16)})
	}
	for _, p := range packets {
		b, err := p.Append(nil, mqtt.V50)
		if err == nil {
			_, err = c.Write(b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if n := <-code; n != 0 || strings.Contains(errs.String(), "deadline") {
		t.Errorf("exit code %d, %s", n, errs)
	}
}
