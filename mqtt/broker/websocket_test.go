package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"mqt/mqtt"
)

// frameOf is the beginning of a WebSocket frame that claims size bytes. Its
// mask is zero, so that what follows is the payload as it is.
func frameOf(op ws.OpCode, fin bool, size uint64) []byte {
	b := []byte{byte(op), 0xff}
	if fin {
		b[0] |= 0x80
	}
	return append(binary.BigEndian.AppendUint64(b, size), 0, 0, 0, 0)
}

// A frame or message has no limit of its own, for none of it is kept but the
// packet that is incomplete: that has the limit of packets, however it is
// framed and whatever the frame claims.
func TestWebSocketPacketLimit(t *testing.T) {
	const limit = 4096
	connect, err := (&mqtt.Connect{Version: mqtt.V50, ClientID: "x", CleanStart: true}).Append(nil, mqtt.V50)
	if err != nil {
		t.Fatal(err)
	}
	fits, err := publish(mqtt.QoS1, 7, "t", strings.Repeat("x", 1000)).Append(nil, mqtt.V50)
	if err != nil {
		t.Fatal(err)
	}
	large := func(size int) []byte { // the first bytes of a PUBLISH
		return append(binary.AppendUvarint([]byte{0x30}, uint64(size)), 0, 1, 't', 0)
	}
	whole := func(claim uint64, p ...[]byte) []byte {
		return append(frameOf(ws.OpBinary, true, claim), bytes.Join(p, nil)...)
	}
	pieces := func(p ...[]byte) (all []byte) {
		op := ws.OpBinary
		for _, b := range bytes.Join(p, nil) {
			all = append(append(append(all, frameOf(op, false, 1)...), b), frameOf(ws.OpContinuation, false, 0)...)
			op = ws.OpContinuation
		}
		return all
	}
	const most = math.MaxInt64
	disconnect := []byte{0xe0, 0}
	for _, c := range []struct {
		name string
		send []byte
		want string
	}{
		{"in a frame without end", whole(most, connect, large(limit)), "CONNACK DISCONNECT 0x95"},
		{"in pieces", pieces(connect, large(limit)), "CONNACK DISCONNECT 0x95"},
		{"before CONNECT", whole(most, []byte{0x10}, binary.AppendUvarint(nil, maxConnectSize)), ""},
		{"before CONNECT, in pieces", pieces([]byte{0x10}, binary.AppendUvarint(nil, maxConnectSize)), ""},
		{"larger message of packets that fit", whole(most, connect, bytes.Repeat(fits, 20), disconnect), "CONNACK" + strings.Repeat(" PUBACK", 20)},
	} {
		b := liveBroker(t, Options{MaximumPacketSize: limit})
		b.listen("ws://127.0.0.1:0/mqtt")
		if got := b.webSocket(c.send); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		b.stop()
	}
}

// webSocket sends frames and returns the packets that come back until the
// broker ends the connection.
func (b *live) webSocket(frames []byte) string {
	b.t.Helper()
	nc := b.dial()
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(60 * time.Second)); err != nil { // only a failing test waits that long
		b.t.Fatal(err)
	}
	request := "GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
	if _, err := nc.Write(append([]byte(request), frames...)); err != nil {
		b.t.Fatal(err)
	}
	all, err := io.ReadAll(nc)
	if err != nil {
		b.t.Fatal(err)
	}
	head, rest, ok := bytes.Cut(all, []byte("\r\n\r\n"))
	if !ok || !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
		b.t.Fatalf("%q", all)
	}
	var data []byte
	for r := bytes.NewReader(rest); ; {
		h, err := ws.ReadHeader(r)
		if errors.Is(err, io.EOF) {
			break
		}
		p := make([]byte, h.Length)
		if _, err = io.ReadFull(r, p); err != nil {
			b.t.Fatal(err)
		}
		if h.OpCode == ws.OpBinary {
			data = append(data, p...)
		}
	}
	var got []string
	for reader := (mqtt.Reader{From: mqtt.Server, Version: mqtt.V50}); len(data) > 0; {
		pkt, n, err := reader.Read(data)
		if err != nil || n == 0 {
			b.t.Fatalf("% x: %v", data, err)
		}
		name := pkt.Type().String()
		if d, ok := pkt.(*mqtt.Disconnect); ok {
			name += fmt.Sprintf(" 0x%02X", byte(d.ReasonCode))
		}
		got, data = append(got, name), data[n:]
	}
	return strings.Join(got, " ")
}
