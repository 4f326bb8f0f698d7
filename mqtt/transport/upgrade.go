package transport

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/gobwas/ws"
)

// maxRequest bounds the WebSocket request.
const maxRequest = 16 << 10

// requestReader lets exactly one HTTP request through and keeps what came behind it: the library's reader would lose
// frames that a client sent early.
type requestReader struct {
	r    *bufio.Reader
	left int
	done bool
}

var (
	errRequestTooLarge = errors.New("the request is larger than 16 KiB")
	errNoRequest       = errors.New("no HTTP request")
)

func (r *requestReader) Read(p []byte) (int, error) {
	if r.done {
		return 0, io.EOF
	}
	line, err := r.r.ReadSlice('\n')
	if r.left -= len(line); r.left < 0 || len(line) > len(p) || errors.Is(err, bufio.ErrBufferFull) {
		return 0, errRequestTooLarge
	}
	if len(bytes.TrimRight(line, "\r\n")) == 0 && err == nil {
		r.done = true
	}
	return copy(p, line), err
}

// upgradeServer answers the WebSocket request. The client must offer the Subprotocol mqtt [MQTT-6.0.0-3], and gets it
// [MQTT-6.0.0-4].
func (l *link) upgradeServer(ln *Listener) error {
	below := l.belowWS()
	br := bufio.NewReaderSize(below, 4<<10)
	reject := func(code int, text string) error {
		return ws.RejectConnectionError(ws.RejectionStatus(code), ws.RejectionReason(text))
	}
	var host, origin string
	protocol := false
	path := wsPath(ln.ep.Path)
	u := ws.Upgrader{
		Header: ws.HandshakeHeaderHTTP(ln.opt.Header),
		Protocol: func(p []byte) bool {
			protocol = string(p) == wsProtocol || string(p) == wsOld
			return protocol
		},
		OnRequest: func(uri []byte) error {
			if u, err := url.ParseRequestURI(string(uri)); err != nil || u.Path != path {
				return reject(http.StatusNotFound, "no MQTT here")
			}
			return nil
		},
		OnHost: func(h []byte) error {
			host = string(h)
			return nil
		},
		OnHeader: func(k, v []byte) error {
			if string(k) == "Origin" {
				origin = string(v)
			}
			return nil
		},
	}
	u.OnBeforeUpgrade = func() (ws.HandshakeHeader, error) {
		if !protocol {
			return nil, reject(http.StatusBadRequest, "the subprotocol mqtt was not offered [MQTT-6.0.0-3]")
		}
		if origin != "" && ln.opt.CheckOrigin != nil && !ln.opt.CheckOrigin(origin, host) {
			return nil, reject(http.StatusForbidden, "origin not allowed")
		}
		return nil, nil
	}
	if b, err := br.Peek(1); err == nil && (b[0] < 'A' || b[0] > 'Z') { // MQTT or TLS, which would wait for an answer
		return errNoRequest
	}
	rw := struct {
		io.Reader
		io.Writer
	}{&requestReader{r: br, left: maxRequest}, below}
	if _, err := u.Upgrade(rw); err != nil {
		return err
	}
	pre, _ := br.Peek(br.Buffered())
	l.pre = bytes.Clone(pre)
	l.ws = newWebSocket(ws.StateServerSide)
	return nil
}
