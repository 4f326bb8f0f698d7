package cmd

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"syscall"

	"mqt/mqtt/broker"
	"mqt/mqtt/transport"
)

// listenTLS are the files of mqtts and wss.
type listenTLS struct {
	cert, key, keypass, cafile string
	require                    bool // a client's certificate
}

// plan is where to listen, with everything read that it needs.
type plan struct {
	port      int // -1: not on localhost
	endpoints []*transport.Endpoint
	sockets   []passed
	options   transport.ListenOptions
	origins   []string      // of WebSocket requests
	warning   string        // about listeners that others can reach
	certs     *certificates // nil without TLS
	refused   *refusals
}

// plan checks the settings without listening yet.
func (o *brokerOptions) plan(log *slog.Logger) (*plan, error) {
	p := &plan{port: o.port, warning: o.access.warning(), refused: newRefusals(log)}
	for _, u := range o.listen {
		e, err := transport.ParseURL(u)
		if err != nil {
			return nil, &usageError{text: "--listen " + plain(err), hint: "write it as mqtt://127.0.0.1:1883"}
		}
		p.endpoints = append(p.endpoints, e)
	}
	var err error
	if p.sockets, err = passedSockets(); err != nil {
		return nil, err
	}
	if p.port < 0 && len(p.endpoints)+len(p.sockets) == 0 {
		p.port = 1883
	}
	p.options.OnError = p.refused.tell
	if err := p.secure(&o.tls); err != nil {
		return nil, errors.Join(err, p.close())
	}
	if p.origins = o.origins; len(p.origins) > 0 && !p.webSocket() {
		return nil, errors.Join(&usageError{text: "--ws-origin belongs to a listener with WebSocket",
			hint: "add one, as --listen ws://127.0.0.1:8080/mqtt"}, p.close())
	}
	if o.access.certAsUser != broker.CertificateNone && o.tls.cafile == "" {
		return nil, errors.Join(&usageError{text: "--cert-as-user needs --cafile",
			hint: "it has the CA that the certificates must be signed by"}, p.close())
	}
	return p, nil
}

// optionsFor adds what differs between listeners.
func (p *plan) optionsFor(e *transport.Endpoint) transport.ListenOptions {
	o := p.options
	o.CheckOrigin = originCheck(p.origins, loopbackEndpoint(e))
	return o
}

// webSocket tells that a listener speaks it.
func (p *plan) webSocket() bool {
	return slices.ContainsFunc(p.endpoints, (*transport.Endpoint).WebSocket) ||
		slices.ContainsFunc(p.sockets, func(s passed) bool { return s.endpoint().WebSocket() })
}

// close gives up the sockets that were passed.
func (p *plan) close() error {
	var err error
	for _, s := range p.sockets {
		err = errors.Join(err, s.Close())
	}
	return err
}

// open opens all listeners or none.
func (p *plan) open(ctx context.Context, b *broker.Broker, log *slog.Logger) (*listeners, error) {
	l := &listeners{}
	if p.port >= 0 {
		var err error
		if l.all, err = listenLocalhost(ctx, b, p.port, p.options); err != nil {
			return nil, errors.Join(err, p.close())
		}
		l.ready = append(l.ready, l.all[0].URL())
	}
	given, err := listenOn(b, p.sockets, p.optionsFor)
	for _, e := range p.endpoints {
		var one *transport.Listener
		if err == nil {
			if one, err = b.Listen(ctx, e, p.optionsFor(e)); err != nil {
				err = listenFailed(err)
			}
		}
		if one != nil {
			given = append(given, one)
		}
	}
	l.all = append(l.all, given...)
	if err != nil {
		l.close()
		return nil, errors.Join(err, p.close())
	}
	for _, one := range given {
		l.ready = append(l.ready, one.URL())
		if p.warning != "" && !local(one) {
			log.Warn(p.warning, "url", one.URL())
		}
	}
	return l, nil
}

// local tells that only this machine reaches it.
func local(l *transport.Listener) bool {
	a, ok := l.Addr().(*net.TCPAddr)
	return !ok || a.IP.IsLoopback()
}

// listenLocalhost listens on both loopback addresses with one port. A machine
// may lack IPv6.
func listenLocalhost(ctx context.Context, b *broker.Broker, port int, o transport.ListenOptions) (opened, error) {
	const tries = 10 // the port that one address has free may be taken on the other
	for try := 1; ; try++ {
		four := &transport.Endpoint{Scheme: transport.SchemeMQTT, Host: "127.0.0.1", Port: strconv.Itoa(port)}
		l, err := b.Listen(ctx, four, o)
		if err != nil {
			return nil, listenFailed(err)
		}
		six := &transport.Endpoint{Scheme: transport.SchemeMQTT, Host: "::1", Port: strconv.Itoa(port)}
		if a, ok := l.Addr().(*net.TCPAddr); ok {
			six.Port = strconv.Itoa(a.Port)
		}
		l6, err := b.Listen(ctx, six, o)
		switch {
		case err == nil:
			return opened{l, l6}, nil
		case !inUse(err):
			return opened{l}, nil
		case port != 0 || try == tries:
			_ = l.Close()
			return nil, listenFailed(err)
		}
		_ = l.Close()
	}
}

func inUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

func listenFailed(err error) error {
	hint := ""
	switch {
	case inUse(err):
		hint = "; another program listens there; -p 0 picks a free port"
	case errors.Is(err, os.ErrPermission):
		hint = "; not allowed for this user: ports below 1024 often are not"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "; this machine has no such address"
	}
	return fmt.Errorf("%w%s", err, hint)
}

// secure reads the files of TLS, which must be there when a listener has it and
// may not be otherwise.
func (p *plan) secure(t *listenTLS) error {
	encrypted := false
	for _, e := range p.endpoints {
		encrypted = encrypted || e.TLS()
	}
	for i := range p.sockets {
		encrypted = encrypted || p.sockets[i].endpoint().TLS()
	}
	if !encrypted {
		if *t != (listenTLS{}) {
			return &usageError{text: "--cert, --key, --keypass, --cafile and --require-cert belong to a listener with TLS",
				hint: "add one, as --listen mqtts://127.0.0.1:8883"}
		}
		return nil
	}
	if t.cert == "" || t.key == "" {
		return &usageError{text: "mqtts and wss need --cert and --key", hint: "both are PEM files"}
	}
	if t.require && t.cafile == "" {
		return &usageError{text: "--require-cert needs --cafile", hint: "it has the CA that the certificates must be signed by"}
	}
	loaded, err := t.load()
	if err != nil {
		return err
	}
	p.certs = &certificates{}
	p.certs.now.Store(loaded)
	p.options.TLS = p.certs.config()
	return nil
}

// readFile names the flag that the file was given with.
func readFile(flag, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err == nil {
		var b []byte
		b, err = io.ReadAll(io.LimitReader(f, maxFile+1))
		_ = f.Close()
		if err == nil && len(b) <= maxFile {
			return b, nil
		}
	}
	var p *os.PathError
	switch {
	case err == nil:
		err = fmt.Errorf("more than %d MiB", maxFile>>20)
	case errors.As(err, &p):
		err = p.Err
	}
	return nil, fmt.Errorf("%s: %s: %w", flag, path, err)
}

// maxFile bounds a file that is read as a whole: some, such as a device, have no
// end.
const maxFile = 64 << 20

func addCAs(pool *x509.CertPool, path string) error {
	pem, err := readFile("--cafile", path)
	if err != nil {
		return err
	}
	if !pool.AppendCertsFromPEM(pem) {
		return &tlsFileError{text: "--cafile: no certificate in " + path, hint: "it must be PEM: -----BEGIN CERTIFICATE-----"}
	}
	return nil
}
