package transport

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// frame makes a frame as a client, or a server, sends it.
func frame(op ws.OpCode, fin, masked bool, payload string) []byte {
	f := ws.NewFrame(op, fin, []byte(payload))
	if masked {
		f = ws.MaskFrameWith(f, [4]byte{1, 2, 3, 4})
	}
	return ws.MustCompileFrame(f)
}

// conversation is a stream of frames whose data is wsText.
func conversation(masked bool) []byte {
	long, huge := strings.Repeat("l", 300), strings.Repeat("h", 70_000)
	return slicesConcat(
		frame(ws.OpBinary, true, masked, "one"),
		frame(ws.OpBinary, true, masked, ""),
		frame(ws.OpPing, true, masked, "are you there"),
		frame(ws.OpBinary, false, masked, "frag"),
		frame(ws.OpPing, true, masked, ""),
		frame(ws.OpContinuation, false, masked, "men"),
		frame(ws.OpPong, true, masked, "unasked"),
		frame(ws.OpContinuation, true, masked, "ted"),
		frame(ws.OpBinary, true, masked, long),
		frame(ws.OpBinary, true, masked, huge),
		frame(ws.OpBinary, true, masked, "last"),
	)
}

func slicesConcat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

var wsText = "onefragmented" + strings.Repeat("l", 300) + strings.Repeat("h", 70_000) + "last"

func TestFramesCutAnywhere(t *testing.T) {
	for _, side := range []ws.State{ws.StateServerSide, ws.StateClientSide} {
		masked := side == ws.StateServerSide
		stream := conversation(masked)
		pongs := slicesConcat(frame(ws.OpPong, true, false, "are you there"), frame(ws.OpPong, true, false, ""))
		pieces := func(cuts ...int) {
			t.Helper()
			w := newWebSocket(side)
			var got []byte
			from := 0
			for _, to := range append(cuts, len(stream)) {
				p := bytes.Clone(stream[from:to])
				n, err := w.decode(p)
				check(t, err)
				got = append(got, p[:n]...)
				from = to
			}
			if string(got) != wsText {
				t.Fatalf("cut at %v: %d bytes", cuts, len(got))
			}
			if masked && !bytes.Equal(w.say, pongs) {
				t.Fatalf("cut at %v: replies %q", cuts, w.say)
			}
		}
		interesting := len(stream) - 70_000 // all but the middle of the huge frame
		for i := range 600 {
			pieces(i)
			pieces(i, i+1)
			pieces(i, i+2, i+7)
			pieces(interesting+69_900+i%100, len(stream)-1)
		}
		var all []int
		for i := range 700 {
			all = append(all, i)
		}
		pieces(all...)
	}
}

func TestFramesRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		in   []byte
		code ws.StatusCode
	}{
		"text":                     {frame(ws.OpText, true, true, "hi"), ws.StatusUnsupportedData},
		"unmasked":                 {frame(ws.OpBinary, true, false, "hi"), ws.StatusProtocolError},
		"reserved opcode":          {frame(3, true, true, "hi"), ws.StatusProtocolError},
		"reserved bit":             {[]byte{0xc2, 0x80, 0, 0, 0, 0}, ws.StatusProtocolError},
		"continuation of nothing":  {frame(ws.OpContinuation, true, true, "hi"), ws.StatusProtocolError},
		"data inside a fragmented": {slicesConcat(frame(ws.OpBinary, false, true, ""), frame(ws.OpBinary, true, true, "")), ws.StatusProtocolError},
		"fragmented ping":          {frame(ws.OpPing, false, true, "hi"), ws.StatusProtocolError},
		"long ping":                {frame(ws.OpPing, true, true, strings.Repeat("x", 126)), ws.StatusProtocolError},
		"length with its high bit": {[]byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, ws.StatusProtocolError},
		"Close of one byte":        {frame(ws.OpClose, true, true, "x"), ws.StatusProtocolError},
		"Close with code 1005":     {frame(ws.OpClose, true, true, "\x03\xed"), ws.StatusProtocolError},
	} {
		w := newWebSocket(ws.StateServerSide)
		_, err := w.decode(tt.in)
		if !errors.Is(err, ErrWebSocket) {
			t.Errorf("%s: %v", name, err)
		}
		if want := frame(ws.OpClose, true, false, string(ws.NewCloseFrameBody(tt.code, ""))); !bytes.Equal(w.say, want) {
			t.Errorf("%s: says %x", name, w.say)
		}
	}
	for name, payload := range map[string]string{"empty": "", "normal": "\x03\xe8bye", "application": "\x0f\xa1"} {
		w := newWebSocket(ws.StateServerSide)
		_, err := w.decode(frame(ws.OpClose, true, true, payload))
		if want := frame(ws.OpClose, true, false, payload[:min(2, len(payload))]); !errors.Is(err, io.EOF) || !bytes.Equal(w.say, want) {
			t.Errorf("Close, %s: %v, says %x", name, err, w.say)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(conversation(true)[:1000], 3)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		whole, pieces := newWebSocket(ws.StateServerSide), newWebSocket(ws.StateServerSide)
		a := bytes.Clone(stream)
		n, err := whole.decode(a)
		cut = int(uint(cut) % uint(len(stream)+1))
		b := bytes.Clone(stream)
		m, err2 := pieces.decode(b[:cut])
		got := bytes.Clone(b[:m])
		if err2 == nil {
			m, err2 = pieces.decode(b[cut:])
			got = append(got, b[cut:cut+m]...)
		}
		if !bytes.Equal(got, a[:n]) || fmt.Sprint(err) != fmt.Sprint(err2) || !bytes.Equal(whole.say, pieces.say) {
			t.Fatalf("whole: %q, %v; cut: %q, %v", a[:n], err, got, err2)
		}
	})
}

// request sends a WebSocket request and what follows it at once, and returns the connection and the response.
func request(t *testing.T, url, target string, header http.Header, after []byte) (net.Conn, string) {
	t.Helper()
	e, err := ParseURL(url)
	check(t, err)
	nc, err := net.Dial("tcp", e.Address())
	check(t, err)
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", target, e.Address())
	check(t, header.Write(&b))
	b.WriteString("\r\n")
	b.Write(after)
	_, err = nc.Write(b.Bytes())
	check(t, err)
	var response []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(response, []byte("\r\n\r\n")) {
		if _, err := nc.Read(one); err != nil {
			t.Fatalf("after %q: %v", response, err)
		}
		response = append(response, one[0])
	}
	return nc, string(response)
}

func subprotocol(names ...string) http.Header {
	return http.Header{"Sec-Websocket-Protocol": {strings.Join(names, ", ")}}
}

func TestWebSocketRequests(t *testing.T) {
	o := ListenOptions{CheckOrigin: func(origin, host string) bool { return origin == "https://good.example" && host != "" }}
	url := serve(t, "ws://127.0.0.1:0/mqtt", o, echo)
	with := func(h http.Header, k, v string) http.Header { h.Set(k, v); return h }
	for _, tt := range []struct {
		name, target string
		header       http.Header
		status       string
		protocol     string
	}{
		{"plain", "/mqtt", subprotocol("mqtt"), "101", "mqtt"},
		{"query", "/mqtt?token=x", subprotocol("mqtt"), "101", "mqtt"},
		{"choice", "/mqtt", subprotocol("other", "mqtt"), "101", "mqtt"},
		{"old", "/mqtt", subprotocol("mqttv3.1"), "101", "mqttv3.1"},
		{"no subprotocol", "/mqtt", http.Header{}, "400", ""},
		{"wrong subprotocol", "/mqtt", subprotocol("stomp"), "400", ""},
		{"path", "/other", subprotocol("mqtt"), "404", ""},
		{"origin", "/mqtt", with(subprotocol("mqtt"), "Origin", "https://good.example"), "101", "mqtt"},
		{"bad origin", "/mqtt", with(subprotocol("mqtt"), "Origin", "https://bad.example"), "403", ""},
	} {
		nc, response := request(t, url, tt.target, tt.header, nil)
		if !strings.HasPrefix(response, "HTTP/1.1 "+tt.status+" ") {
			t.Errorf("%s: %q", tt.name, response)
		}
		if tt.protocol != "" && !strings.Contains(response, "Sec-WebSocket-Protocol: "+tt.protocol+"\r\n") {
			t.Errorf("%s: %q", tt.name, response)
		}
		nc.Close()
	}
}

// A client that does not wait for the response loses nothing, a ping is answered between data, text ends it with 1003.
func TestWebSocketConversation(t *testing.T) {
	ended := make(chan *recorder, 1)
	url := serve(t, "ws://127.0.0.1:0", ListenOptions{}, func(c *Conn) Handler {
		r := echo(c).(*recorder)
		ended <- r
		return r
	})
	stream := slicesConcat(conversation(true), frame(ws.OpText, true, true, "text"))
	nc, _ := request(t, url, "/mqtt", subprotocol("mqtt"), stream)
	var data, control []string
	for {
		h, err := ws.ReadHeader(nc)
		if errors.Is(err, io.EOF) {
			break
		}
		check(t, err)
		p := make([]byte, h.Length)
		_, err = io.ReadFull(nc, p)
		check(t, err)
		if len(control) == 3 {
			t.Error("a frame after Close")
		}
		if h.OpCode.IsControl() {
			control = append(control, string(p))
		} else if h.OpCode != ws.OpBinary || !h.Fin || h.Masked {
			t.Errorf("frame %+v", h)
		} else {
			data = append(data, string(p))
		}
	}
	if got := strings.Join(data, ""); got != wsText {
		t.Errorf("%d bytes came back", len(got))
	}
	if fmt.Sprintf("%q", control) != `["are you there" "" "\x03\xeb"]` {
		t.Errorf("control frames %q", control)
	}
	if err := (<-ended).end(t); !errors.Is(err, ErrWebSocket) {
		t.Errorf("Closed(%v)", err)
	}
	nc.Close()
}

func TestDialRefusesOtherServers(t *testing.T) {
	for name, answer := range map[string]string{
		"404":         "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
		"no protocol": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\n\r\n",
		"not HTTP":    "220 smtp.example ESMTP\r\n",
		"nothing":     "",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		go func() {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			defer nc.Close()
			r, err := http.ReadRequest(bufio.NewReader(nc))
			if err == nil {
				_, _ = io.WriteString(nc, strings.Replace(answer, "KEY", acceptKey(r), 1))
			}
		}()
		e, _ := ParseURL("ws://" + l.Addr().String() + "/path")
		var step *DialError
		if _, err := Dial(t.Context(), e, DialOptions{}); !errors.As(err, &step) || step.Step != "websocket" {
			t.Errorf("%s: %v", name, err)
		}
		l.Close()
	}
}

func acceptKey(r *http.Request) string {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// reqOnly is a client that sends what it is given and then closes.
type reqOnly struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (r *reqOnly) Read(p []byte) (int, error)  { return r.in.Read(p) }
func (r *reqOnly) Write(p []byte) (int, error) { return r.out.Write(p) }

// Whatever a request holds, it is answered or not; what comes behind one that was accepted is kept to the byte.
func FuzzRequests(f *testing.F) {
	const good = "GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
	f.Add([]byte(good + "behind"))
	f.Add([]byte(strings.Replace(good, "mqtt\r\n\r\n", "a, mqtt;x=\"y, mqttv3.1\r\nOrigin: null\r\nSec-WebSocket-Extensions: permessage-deflate; a=\"b\r\n\r\n", 1)))
	f.Add([]byte("GET  HTTP/9.\r\n:\r\n\r\n"))
	f.Add([]byte("GET /mqtt HTTP/1.1\n\nGET /mqtt HTTP/1.1\r\n\r\n"))
	e := &Endpoint{Scheme: SchemeWS, Path: "/mqtt"}
	ln := newListener(nil, e, ListenOptions{CheckOrigin: func(string, string) bool { return true }})
	f.Fuzz(func(t *testing.T, request []byte) {
		nc := &reqOnly{in: bytes.NewReader(request)}
		l := &link{Conn: nc}
		err := l.upgradeServer(ln)
		accepted := bytes.HasPrefix(nc.out.Bytes(), []byte("HTTP/1.1 101 "))
		if (err == nil) != accepted || accepted != (l.ws != nil) {
			t.Fatalf("%v, answered %q", err, nc.out.Bytes())
		}
		if err == nil && (!bytes.HasSuffix(request[:len(request)-nc.in.Len()], l.pre) || len(request)-nc.in.Len()-len(l.pre) > maxRequest) {
			t.Fatalf("%q is kept of %q", l.pre, request)
		}
	})
}
