package transport

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"

	"golang.org/x/net/proxy"
)

// ParseProxy reads the URL of a proxy: socks5, which is given an address that was looked up here, socks5h, which looks
// the host up itself, and http and https, which are asked with CONNECT. User and password are percent-decoded. The
// ports are 1080, 80 and 443 unless given.
func ParseProxy(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil { // it may hold a password, so it is not repeated
		return nil, errors.New("transport: the URL of a proxy is not one")
	}
	switch {
	case !slices.Contains([]string{"socks5", "socks5h", "http", "https"}, u.Scheme):
		return nil, errors.New("transport: the URL of a proxy begins with socks5://, socks5h://, http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("transport: the URL of a proxy has no host")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("transport: the URL of a proxy ends behind the port")
	}
	return u, nil
}

// ProxyError is what a proxy answered, or why there was no answer.
type ProxyError struct {
	Proxy  string // its URL, without user and password
	Status int    // of HTTP, 0 if there is none
	TLS    bool   // there is no trust in it
	Err    error  // nil if Status says it
}

// errProxyTLS marks the handshake with the proxy.
var errProxyTLS = errors.New("TLS")

func (e *ProxyError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("the proxy %s answered HTTP %d %s", e.Proxy, e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("the proxy %s: %v", e.Proxy, e.Err)
}

func (e *ProxyError) Unwrap() error { return e.Err }

// dialThrough makes a connection to host by way of the proxy.
func dialThrough(ctx context.Context, d *net.Dialer, o DialOptions, host, port string) (net.Conn, error) {
	p := o.Proxy
	name := (&url.URL{Scheme: p.Scheme, Host: p.Host}).String()
	defaults := map[string]string{"http": "80", "https": "443"}
	addr := net.JoinHostPort(p.Hostname(), cmp.Or(p.Port(), defaults[p.Scheme], "1080"))
	fail := func(err error) error { return &ProxyError{Proxy: name, TLS: errors.Is(err, errProxyTLS), Err: err} }
	if p.Scheme == "socks5" || p.Scheme == "socks5h" {
		nc, err := dialSOCKS(ctx, d, p, addr, host, port)
		if err != nil {
			return nil, fail(err)
		}
		return nc, nil
	}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fail(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(longAgo()) })
	tunnel, status, err := connectThrough(ctx, nc, o, net.JoinHostPort(host, port))
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	switch {
	case err != nil:
		_ = nc.Close()
		return nil, fail(err)
	case status/100 != 2:
		_ = nc.Close()
		return nil, &ProxyError{Proxy: name, Status: status}
	}
	return tunnel, nil
}

// dialSOCKS is RFC 1928 and 1929.
func dialSOCKS(ctx context.Context, d *net.Dialer, p *url.URL, addr, host, port string) (net.Conn, error) {
	if p.Scheme == "socks5" && net.ParseIP(host) == nil {
		ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
		if err != nil {
			return nil, err
		}
		host = ips[0].String()
	}
	var auth *proxy.Auth
	if p.User != nil {
		password, _ := p.User.Password()
		auth = &proxy.Auth{User: p.User.Username(), Password: password}
	}
	s, err := proxy.SOCKS5("tcp", addr, auth, d)
	if err != nil {
		return nil, err
	}
	c, ok := s.(proxy.ContextDialer)
	if !ok {
		return nil, errors.New("it cannot be interrupted")
	}
	return c.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
}

// maxProxyAnswer bounds the head of the answer to CONNECT.
const maxProxyAnswer = 64 << 10

// connectThrough asks for a tunnel, RFC 9110, section 9.3.6.
func connectThrough(ctx context.Context, nc net.Conn, o DialOptions, target string) (net.Conn, int, error) {
	if o.Proxy.Scheme == "https" {
		cfg := o.ProxyTLS.Clone()
		if cfg == nil {
			cfg = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		cfg.ServerName = cmp.Or(cfg.ServerName, serverName(o.Proxy.Hostname()))
		t := tls.Client(nc, cfg)
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, 0, fmt.Errorf("%w: %w", errProxyTLS, err)
		}
		nc = t
	}
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{}}
	r.Header.Set("User-Agent", "mqt")
	if u := o.Proxy.User; u != nil {
		password, _ := u.Password()
		r.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := r.Write(nc); err != nil {
		return nil, 0, err
	}
	br := bufio.NewReader(io.LimitReader(nc, maxProxyAnswer))
	answer, err := http.ReadResponse(br, r)
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it closed the connection without an answer")
		}
		return nil, 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 == 2 && br.Buffered() > 0 {
		return nil, 0, errors.New("bytes behind its answer: the other side cannot have spoken yet")
	}
	return nc, answer.StatusCode, nil
}
