package cmd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"syscall"

	"mqt/mqtt/broker"
	"mqt/mqtt/transport"
)

// listenTLS are the files of mqtts and wss.
type listenTLS struct {
	cert, key, keypass, cafile string
}

// open opens all listeners or none.
func (o *brokerOptions) open(ctx context.Context, b *broker.Broker, log *slog.Logger) (*listeners, error) {
	port := o.port
	if port < 0 && len(o.listen) == 0 {
		port = 1883
	}
	endpoints := make([]*transport.Endpoint, 0, len(o.listen))
	for _, u := range o.listen {
		e, err := transport.ParseURL(u)
		if err != nil {
			return nil, &usageError{text: "--listen " + plain(err), hint: "write it as mqtt://127.0.0.1:1883"}
		}
		endpoints = append(endpoints, e)
	}
	options, err := o.listenOptions(endpoints, log)
	if err != nil {
		return nil, err
	}
	l := &listeners{}
	if port >= 0 {
		if l.all, err = listenLocalhost(ctx, b, port, options); err != nil {
			return nil, err
		}
		l.ready = append(l.ready, l.all[0].URL())
	}
	for _, e := range endpoints {
		one, err := b.Listen(ctx, e, options)
		if err != nil {
			l.close()
			return nil, listenFailed(err)
		}
		l.all = append(l.all, one)
		l.ready = append(l.ready, one.URL())
		if !local(one) {
			log.Warn("there are no passwords: whoever reaches this address may publish and subscribe", "url", e.String())
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

func (o *brokerOptions) listenOptions(endpoints []*transport.Endpoint, log *slog.Logger) (transport.ListenOptions, error) {
	lo := transport.ListenOptions{OnError: func(peer net.Addr, err error) {
		from := "-"
		if peer != nil {
			from = peer.String()
		}
		log.Info("connection refused", "addr", from, "err", err)
	}}
	encrypted := false
	for _, e := range endpoints {
		encrypted = encrypted || e.TLS()
	}
	t := &o.tls
	if !encrypted {
		if *t != (listenTLS{}) {
			return lo, &usageError{text: "--cert, --key, --keypass and --cafile belong to a listener with TLS",
				hint: "add one, as --listen mqtts://127.0.0.1:8883"}
		}
		return lo, nil
	}
	if t.cert == "" || t.key == "" {
		return lo, &usageError{text: "mqtts and wss need --cert and --key", hint: "both are PEM files"}
	}
	cert, err := loadCertificate(t.cert, t.key, t.keypass)
	if err != nil {
		return lo, err
	}
	lo.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if t.cafile != "" {
		pool := x509.NewCertPool()
		if err := addCAs(pool, t.cafile); err != nil {
			return lo, err
		}
		lo.TLS.ClientCAs, lo.TLS.ClientAuth = pool, tls.RequireAndVerifyClientCert
	}
	return lo, nil
}

// readFile names the flag that the file was given with.
func readFile(flag, path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		return b, nil
	}
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return nil, fmt.Errorf("%s: %s: %w", flag, path, err)
}

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
