package transport

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gobwas/ws"
)

// DefaultHandshakeTimeout bounds the handshakes of TLS and WebSocket.
const DefaultHandshakeTimeout = 10 * time.Second

// DialOptions are how a connection is made. The zero value works.
type DialOptions struct {
	// Bind is the local address to connect from: an IP address, or address:port.
	Bind string

	// Proxy, if given, makes the connection in our place: see ParseProxy. It is not for Unix sockets.
	Proxy *url.URL

	// ProxyTLS is for a proxy of the scheme https. Default: the system's roots.
	ProxyTLS *tls.Config

	// TLS is used for mqtts and wss. Without a ServerName the host is verified. Default: the system's roots.
	TLS *tls.Config

	// Header is sent with the WebSocket request, Origin included if one is wanted.
	Header http.Header

	// Timeout bounds the whole of Dial, beside its context. Default 30 s; negative means none.
	Timeout time.Duration
}

// DialError tells at which step a connection was not made. Err holds the cause: *net.OpError, x509 errors, and so on.
type DialError struct {
	Step string // "resolve", "proxy", "connect", "tls" or "websocket"
	URL  string // without user and password
	Err  error
}

func (e *DialError) Error() string {
	what := map[string]string{"resolve": "look up the host", "proxy": "connect by a proxy", "connect": "connect", "tls": "TLS handshake", "websocket": "WebSocket handshake"}[e.Step]
	return fmt.Sprintf("transport: %s: %s: %v", e.URL, what, dialCause(e.Err))
}

func (e *DialError) Unwrap() error { return e.Err }

// dialCause drops the words of net.OpError that DialError says already.
func dialCause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" && op.Err != nil {
		return op.Err
	}
	return err
}

// Dial connects to e and makes the handshakes of TLS and WebSocket. The error is a *DialError. The connection can be
// given to [New] or [Start], or be used as it is.
func Dial(ctx context.Context, e *Endpoint, o DialOptions) (net.Conn, error) {
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Timeout)
		defer cancel()
	}
	nc, err := dialSocket(ctx, e, o)
	if err != nil {
		var dns *net.DNSError
		var proxy *ProxyError
		step := "connect"
		switch {
		case errors.As(err, &proxy):
			step = "proxy"
		case errors.As(err, &dns):
			step = "resolve"
		}
		return nil, &DialError{Step: step, URL: e.String(), Err: err}
	}
	if !e.TLS() && !e.WebSocket() {
		return nc, nil
	}
	l := &link{Conn: nc}
	if step, err := l.handshake(ctx, func(l *link) (string, error) { return l.client(ctx, e, o) }); err != nil {
		_ = nc.Close()
		return nil, &DialError{Step: step, URL: e.String(), Err: err}
	}
	return l, nil
}

// dialSocket connects without handshakes.
func dialSocket(ctx context.Context, e *Endpoint, o DialOptions) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1}
	if e.Scheme == SchemeUnix {
		return d.DialContext(ctx, "unix", e.Path)
	}
	d.ControlContext = keepAliveControl
	if o.Bind != "" {
		a, err := bindAddr(ctx, o.Bind)
		if err != nil {
			return nil, err
		}
		d.LocalAddr, d.ControlContext = a, controlOf(a)
	}
	if e.port() == "0" {
		return nil, errors.New("port 0 cannot be connected to")
	}
	host := cmp.Or(e.Host, "localhost")
	if o.Proxy != nil {
		return dialThrough(ctx, &d, o, host, e.port())
	}
	return d.DialContext(ctx, "tcp", net.JoinHostPort(host, e.port())) // TCP_NODELAY is Go's default
}

// bindAddr reads address or address:port.
func bindAddr(ctx context.Context, s string) (*net.TCPAddr, error) {
	host, port := s, "0"
	if h, p, err := net.SplitHostPort(s); err == nil {
		host, port = h, p
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	n, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return nil, fmt.Errorf("bind address %q: %w", s, err)
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("bind address %q: %w", s, err)
	}
	return &net.TCPAddr{IP: ips[0].IP, Zone: ips[0].Zone, Port: n}, nil
}

// handshake runs step, whose reads and writes end when ctx does.
func (l *link) handshake(ctx context.Context, step func(*link) (string, error)) (string, error) {
	stop := context.AfterFunc(ctx, func() { _ = l.Conn.SetDeadline(longAgo()) })
	name, err := step(l)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return name, err
}

// client makes the handshakes of a Client. It returns the step that failed.
func (l *link) client(ctx context.Context, e *Endpoint, o DialOptions) (string, error) {
	if e.TLS() {
		cfg := o.TLS.Clone()
		if cfg == nil {
			cfg = &tls.Config{}
		}
		if cfg.ServerName == "" {
			cfg.ServerName = serverName(e.Host)
		}
		if e.WebSocket() && len(cfg.NextProtos) == 0 {
			cfg.NextProtos = []string{alpnHTTP}
		}
		cfg.DynamicRecordSizingDisabled = true
		l.below = &tlsBelow{Conn: l.Conn}
		l.tls = tls.Client(l.below, cfg)
		if err := l.tls.HandshakeContext(ctx); err != nil {
			return "tls", err
		}
	}
	if !e.WebSocket() {
		return "", nil
	}
	return "websocket", l.upgradeClient(e, o)
}

// serverName is the name that a certificate for host must have.
func serverName(host string) string {
	name, _, _ := strings.Cut(cmp.Or(host, "localhost"), "%")
	return name
}

// upgradeClient asks for the Subprotocol mqtt [MQTT-6.0.0-3] and insists on getting it [MQTT-6.0.0-4].
func (l *link) upgradeClient(e *Endpoint, o DialOptions) error {
	u, err := url.ParseRequestURI(cmp.Or(e.Path, DefaultPath))
	if err != nil {
		return fmt.Errorf("path %q: %w", e.Path, err)
	}
	u.Scheme, u.Host = e.Scheme, hostHeader(cmp.Or(e.Host, "localhost"), e.port(), e.TLS())
	d := ws.Dialer{Protocols: []string{wsProtocol}, Header: ws.HandshakeHeaderHTTP(o.Header)}
	below := l.belowWS()
	br, hs, err := d.Upgrade(struct {
		io.Reader
		io.Writer
	}{below, below}, u)
	if br != nil {
		l.pre, _ = br.Peek(br.Buffered())
		l.pre = bytes.Clone(l.pre)
		ws.PutReader(br)
	}
	var status ws.StatusError
	switch {
	case errors.As(err, &status):
		return fmt.Errorf("the server answered %s with HTTP %d %s: %w", e.Path, int(status), http.StatusText(int(status)), err)
	case err != nil:
		return err
	case hs.Protocol != wsProtocol:
		return errors.New("the server did not select the subprotocol mqtt [MQTT-6.0.0-4]")
	}
	l.ws = newWebSocket(ws.StateClientSide)
	return nil
}

// hostHeader is host[:port] without a default port.
func hostHeader(host, port string, tls bool) string {
	if (tls && port == "443") || (!tls && port == "80") {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, port)
}
