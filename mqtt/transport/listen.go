package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

// What ALPN calls the protocols over TLS: the registry has mqtt, and WebSocket begins as a request of HTTP/1.1.
const (
	alpnMQTT = "mqtt"
	alpnHTTP = "http/1.1"
)

// ListenOptions are how connections are accepted. The zero value works, but mqtts and wss need TLS.
type ListenOptions struct {
	// Conn is what every accepted connection is driven with.
	Conn Options

	// TLS must hold a certificate for mqtts and wss. Without NextProtos, mqtts speaks "mqtt" and wss "http/1.1" by ALPN.
	TLS *tls.Config

	// CheckOrigin decides on the Origin header of a WebSocket request that has one, for host as the client wrote it.
	// Default: every origin is taken.
	CheckOrigin func(origin, host string) bool

	// Header is sent with the WebSocket response.
	Header http.Header

	// HandshakeTimeout bounds the handshakes of TLS and WebSocket, both together from accept. Default
	// DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration

	// MaxHandshakes bounds how many of them are under way. For one more, the host with the most sheds its oldest. Default
	// DefaultMaxHandshakes.
	MaxHandshakes int

	// MaxHandshakesPerHost bounds those of one host, see [PeerHost]; its next connection is closed at once. This machine
	// may have MaxHandshakes. Default DefaultMaxHandshakesPerHost.
	MaxHandshakesPerHost int

	// Admit is asked about a peer before its connection costs a handshake of TLS or WebSocket, and must not block; false
	// closes it. leave is called when the handshakes are over, just before accept if they went well. Connections without
	// handshakes are left to accept. Default: everybody may come.
	Admit func(peer net.Addr) (leave func(), ok bool)

	// UnixMode is the mode of a Unix socket's file. Default: what the umask leaves.
	UnixMode fs.FileMode

	// OnError is told what goes wrong without ending the Listener: a failed handshake with the peer's address, or a
	// failed accept with nil. It must not block and may be called by several goroutines. Default: nothing.
	OnError func(peer net.Addr, err error)
}

// Listener accepts connections.
type Listener struct {
	nl   net.Listener
	ep   Endpoint
	opt  ListenOptions
	conn *Options
	tls  *tls.Config
	busy *handshakes
	wg   sync.WaitGroup
	bare *acceptor // nil: the sockets come from nl

	closed chan struct{}
	once   sync.Once
}

// Listen opens e. A Unix socket's file that nobody listens on any more is replaced.
func Listen(ctx context.Context, e *Endpoint, o ListenOptions) (*Listener, error) {
	if err := o.certified(e); err != nil {
		return nil, err
	}
	nl, err := listenSocket(ctx, e, o)
	if err != nil {
		return nil, fmt.Errorf("transport: listen %s: %w", e, dialCause(err))
	}
	return newListener(nl, e, o), nil
}

// ListenOn is Listen for a socket that somebody else has opened, such as systemd. e says what is spoken there; its
// address is not looked at. The Listener owns nl from now on, unless there is an error.
func ListenOn(nl net.Listener, e *Endpoint, o ListenOptions) (*Listener, error) {
	if err := o.certified(e); err != nil {
		return nil, err
	}
	return newListener(nl, e, o), nil
}

// certified checks that TLS has what it needs.
func (o *ListenOptions) certified(e *Endpoint) error {
	if e.TLS() && (o.TLS == nil || (len(o.TLS.Certificates) == 0 && o.TLS.GetCertificate == nil && o.TLS.GetConfigForClient == nil)) {
		return fmt.Errorf("transport: listen %s: a certificate is needed", e)
	}
	return nil
}

func newListener(nl net.Listener, e *Endpoint, o ListenOptions) *Listener {
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if o.MaxHandshakes <= 0 {
		o.MaxHandshakes = DefaultMaxHandshakes
	}
	if o.MaxHandshakesPerHost <= 0 {
		o.MaxHandshakesPerHost = DefaultMaxHandshakesPerHost
	}
	if o.Admit == nil {
		o.Admit = func(net.Addr) (func(), bool) { return func() {}, true }
	}
	l := &Listener{
		nl: nl, ep: *e, opt: o, conn: o.Conn.withDefaults(),
		busy:   newHandshakes(o.MaxHandshakes, o.MaxHandshakesPerHost),
		closed: make(chan struct{}),
	}
	if e.TLS() {
		l.tls = serverTLS(o.TLS, e)
	}
	if l.conn.Loops != nil && !e.TLS() && !e.WebSocket() {
		l.bare = newAcceptor(nl)
	}
	return l
}

// serverTLS is the configuration of a listener, which names by ALPN what is spoken there unless cfg does: a client that
// offers only something else is refused (RFC 7301, 3.2), so that nothing for another protocol ends up here. Clients that
// offer nothing are fine.
func serverTLS(cfg *tls.Config, e *Endpoint) *tls.Config {
	name := alpnMQTT
	if e.WebSocket() {
		name = alpnHTTP
	}
	own := func(cfg *tls.Config) *tls.Config {
		cfg = cfg.Clone()
		cfg.DynamicRecordSizingDisabled = true
		if len(cfg.NextProtos) == 0 {
			cfg.NextProtos = []string{name}
		}
		return cfg
	}
	cfg = own(cfg)
	if get := cfg.GetConfigForClient; get != nil {
		cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			c, err := get(hello)
			if c == nil || err != nil {
				return nil, err
			}
			return own(c), nil
		}
	}
	return cfg
}

func listenSocket(ctx context.Context, e *Endpoint, o ListenOptions) (net.Listener, error) {
	if e.Scheme != SchemeUnix {
		lc := net.ListenConfig{KeepAlive: -1, Control: listenControl}
		return lc.Listen(ctx, "tcp", e.Address())
	}
	if err := removeStale(ctx, e.Path); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	nl, err := lc.Listen(ctx, "unix", e.Path) // unlinked by its Close
	if err == nil && o.UnixMode != 0 {
		if err = os.Chmod(e.Path, o.UnixMode); err != nil {
			_ = nl.Close()
		}
	}
	return nl, err
}

// removeStale removes a socket's file that a process left behind. Other files, and sockets in use, stay.
func removeStale(ctx context.Context, path string) error {
	fi, err := os.Lstat(path)
	if err != nil || fi.Mode().Type() != fs.ModeSocket {
		return nil // nothing there, or bind will say what
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		_ = nc.Close()
		return errors.New("another process listens there")
	}
	if !refused(err) {
		return nil
	}
	return os.Remove(path)
}

// Addr returns the address listened on, with the port that was picked.
func (l *Listener) Addr() net.Addr { return l.nl.Addr() }

// URL returns what a client on this machine can dial: an unspecified address is given as a loopback address.
func (l *Listener) URL() string {
	e := l.ep
	if a, ok := l.nl.Addr().(*net.TCPAddr); ok {
		e.Port = fmt.Sprint(a.Port)
		if e.Host == "" || (net.ParseIP(e.Host) != nil && net.ParseIP(e.Host).IsUnspecified()) {
			e.Host = "127.0.0.1" // [::] takes IPv4 too
		}
	}
	return e.String()
}

// Close stops accepting and ends handshakes that are under way. Connections that were handed out stay.
func (l *Listener) Close() error {
	var err error
	l.once.Do(func() {
		close(l.closed)
		err = l.nl.Close()
		if l.bare != nil {
			err = errors.Join(err, l.bare.close())
		}
	})
	return err
}

// Serve accepts connections until ctx ends or Close is called, then waits for the handshakes under way and returns nil.
// accept is called for each before any byte is fed, by several goroutines with TLS or WebSocket, and must not block;
// its Conn can be used. A nil Handler refuses the connection. Errors of accept(2) are told to OnError and tried again.
func (l *Listener) Serve(ctx context.Context, accept func(*Conn) Handler) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer l.wg.Wait()
	hctx, cancel := context.WithCancel(ctx)
	defer cancel()
	spare := newSpare()
	defer spare.close()
	acceptOne := func() error {
		nc, err := l.nl.Accept()
		if err == nil {
			l.handle(hctx, nc, accept)
		}
		return err
	}
	switch err := l.enterLoops(); {
	case l.conn.Loops == nil:
	case err == nil:
		defer l.conn.Loops.release()
		if l.bare != nil {
			acceptOne = func() error { return l.acceptBare(accept) }
		}
	default:
		opt := *l.conn
		opt.Loops = nil
		l.conn = &opt
	}
	wait := time.Duration(0)
	for {
		err := acceptOne()
		if err == nil {
			wait = 0
			continue
		}
		select {
		case <-l.closed:
			return nil
		default:
		}
		l.report(nil, fmt.Errorf("transport: accept on %s: %w", l.ep.String(), err))
		if tooManyFiles(err) {
			spare.turnAway(l.nl)
		}
		// The limit is gone as soon as somebody disconnects, or it stays: never faster than that, never slower than 1 s.
		wait = min(max(2*wait, 5*time.Millisecond), time.Second)
		select {
		case <-l.closed:
			return nil
		case <-time.After(wait):
		}
	}
}

// enterLoops has the Loops there until they are released, with TLS and WebSocket too: a connection may not find any later, when
// it is too late for a goroutine. An error is told, unless this system has none.
func (l *Listener) enterLoops() error {
	if l.conn.Loops == nil {
		return nil
	}
	err := l.conn.Loops.acquire()
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		l.report(nil, fmt.Errorf("transport: accept on %s: no event loops, goroutines will do: %w", l.ep.String(), err))
	}
	return err
}

// handle starts nc, by way of its handshakes. It never waits for a peer.
func (l *Listener) handle(ctx context.Context, nc net.Conn, accept func(*Conn) Handler) {
	if !l.ep.TLS() && !l.ep.WebSocket() {
		l.start(nc, accept)
		return
	}
	peer := nc.RemoteAddr()
	leave, ok := l.opt.Admit(peer)
	if !ok {
		_ = nc.Close()
		return
	}
	ctx, end := context.WithCancelCause(ctx)
	h, err := l.busy.enter(peer, end)
	if err != nil {
		end(err)
		_ = nc.Close()
		leave()
		l.report(peer, fmt.Errorf("transport: handshake: %w", err))
		return
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, l.opt.HandshakeTimeout)
	l.wg.Go(func() {
		lk := &link{Conn: nc}
		step, err := lk.handshake(ctx, func(lk *link) (string, error) { return lk.server(ctx, l) })
		cancel()
		end(nil)
		l.busy.leave(h)
		if err != nil {
			_ = nc.Close()
			leave()
			l.report(peer, fmt.Errorf("transport: %s handshake: %w", step, err))
			return
		}
		lk.took = time.Since(begun)
		leave()
		l.start(lk, accept)
	})
}

// acceptBare accepts one connection for the Loops.
func (l *Listener) acceptBare(accept func(*Conn) Handler) error {
	fd, peer, err := l.bare.next()
	if err == nil {
		begin(newPolled(fd, peer, l.conn), accept)
	}
	return err
}

func (l *Listener) start(nc net.Conn, accept func(*Conn) Handler) { begin(newConn(nc, l.conn), accept) }

// begin starts c if it is taken.
func begin(c *Conn, accept func(*Conn) Handler) {
	h := accept(c)
	if h == nil {
		c.Close(nil)
		return
	}
	c.Start(h)
}

func (l *Listener) report(peer net.Addr, err error) {
	if l.opt.OnError != nil {
		l.opt.OnError(peer, err)
	}
}

// server makes the handshakes of a Server. It returns the step that failed.
func (l *link) server(ctx context.Context, ln *Listener) (string, error) {
	if ln.ep.TLS() {
		l.below = &tlsBelow{Conn: l.Conn}
		l.tls = tls.Server(l.below, ln.tls)
		if err := l.tls.HandshakeContext(ctx); err != nil {
			return "TLS", err
		}
	}
	if !ln.ep.WebSocket() {
		return "TLS", nil
	}
	return "WebSocket", l.upgradeServer(ln)
}

// wsPath is the path that requests must have.
func wsPath(p string) string {
	u, err := url.ParseRequestURI(p)
	if err != nil || u.Path == "" {
		return DefaultPath
	}
	return u.Path
}
