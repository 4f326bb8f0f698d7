package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// holding is a net.Conn that keeps everything after the first write until it is let go, in one piece.
type holding struct {
	net.Conn
	writes int
	held   []byte
}

func (h *holding) Write(p []byte) (int, error) {
	if h.writes++; h.writes == 1 {
		return h.Conn.Write(p)
	}
	h.held = append(h.held, p...)
	return len(p), nil
}

// The data is inside crypto/tls when the handshake ends, and the socket never becomes readable for it.
func TestDataInTheSegmentOfFinished(t *testing.T) {
	server, client := certs(t)
	client.ServerName = "localhost"
	accepted := make(chan *recorder, 1)
	url := serve(t, "mqtts://127.0.0.1:0", ListenOptions{TLS: server}, func(c *Conn) Handler {
		h := echo(c)
		accepted <- h.(*recorder)
		return h
	})
	e, err := ParseURL(url)
	check(t, err)
	nc, err := net.Dial("tcp", e.Address())
	check(t, err)
	h := &holding{Conn: nc}
	c := tls.Client(h, client)
	check(t, c.Handshake())
	want := bytes.Repeat([]byte("CONNECT"), 10_000) // several records
	_, err = c.Write(want)
	check(t, err)
	_, err = nc.Write(h.held)
	check(t, err)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("echo: %v", err)
	}
	h.held = nil
	check(t, c.CloseWrite()) // close_notify without a FIN
	check(t, nc.SetWriteDeadline(time.Time{}))
	_, err = nc.Write(h.held)
	check(t, err)
	if err := (<-accepted).end(t); !errors.Is(err, io.EOF) {
		t.Errorf("Closed(%v)", err)
	}
	if _, err := c.Read(got); !errors.Is(err, io.EOF) {
		t.Errorf("the server's close_notify: %v", err)
	}
	nc.Close()
}

func TestTLSBytesOneByOne(t *testing.T) {
	server, client := certs(t)
	client.ServerName = "localhost"
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client.MaxVersion = version
		accepted := make(chan *Conn, 1)
		url := serve(t, "mqtts://127.0.0.1:0", ListenOptions{TLS: server}, func(c *Conn) Handler {
			accepted <- c
			return echo(c)
		})
		e, _ := ParseURL(url)
		nc, err := net.Dial("tcp", e.Address())
		check(t, err)
		c := tls.Client(&trickle{nc}, client)
		want := []byte("PINGREQ")
		_, err = c.Write(want)
		check(t, err)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("echo %q: %v", got, err)
		}
		s := <-accepted
		if s.TLS() == nil || s.TLS().Version != version {
			t.Errorf("TLS() = %v", s.TLS())
		}
		check(t, c.Close())
	}
}

// trickle writes byte by byte.
type trickle struct{ net.Conn }

func (w *trickle) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := w.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func TestTLSGarbageEndsWithAnAlert(t *testing.T) {
	server, client := certs(t)
	accepted := make(chan *recorder, 1)
	url := serve(t, "mqtts://127.0.0.1:0", ListenOptions{TLS: server}, func(*Conn) Handler {
		r := newRecorder()
		accepted <- r
		return r
	})
	nc := dial(t, url, DialOptions{TLS: client})
	l := nc.(*link)
	_, err := l.Conn.Write([]byte("\x17\x03\x03\x00\x20 this is not a record at all....."))
	check(t, err)
	if err := (<-accepted).end(t); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Closed(%v)", err)
	}
	if _, err := nc.Read(make([]byte, 10)); !strings.Contains(fmt.Sprint(err), "remote error: tls:") {
		t.Errorf("the client reads %v", err)
	}
	nc.Close()
}

func TestTLSErrorsCanBeTold(t *testing.T) {
	server, client := certs(t)
	var mu sync.Mutex
	var told []error
	o := ListenOptions{TLS: server, OnError: func(peer net.Addr, err error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, err)
	}}
	url := serve(t, "mqtts://127.0.0.1:0", o, echo)
	e, err := ParseURL(url)
	check(t, err)
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	if _, err := Dial(t.Context(), e, DialOptions{}); !errors.As(err, &unknown) {
		t.Errorf("unknown authority: %v", err)
	}
	other := client.Clone()
	other.ServerName = "example.org"
	if _, err := Dial(t.Context(), e, DialOptions{TLS: other}); !errors.As(err, &host) {
		t.Errorf("wrong name: %v", err)
	}
	var step *DialError
	if _, err := Dial(t.Context(), e, DialOptions{}); !errors.As(err, &step) || step.Step != "tls" {
		t.Errorf("step: %v", err)
	}
	e.Scheme = SchemeMQTT // not TLS at all
	nc, err := Dial(t.Context(), e, DialOptions{})
	check(t, err)
	_, err = nc.Write([]byte("\x10\x10 CONNECT in the clear"))
	check(t, err)
	_, _ = io.Copy(io.Discard, nc)
	nc.Close()
}

func TestHandshakesEndInTime(t *testing.T) {
	server, client := certs(t)
	for _, scheme := range []string{"mqtts", "ws", "wss"} {
		errs := make(chan error, 1)
		o := ListenOptions{TLS: server, HandshakeTimeout: 30 * time.Millisecond, OnError: func(_ net.Addr, err error) { errs <- err }}
		e, _ := ParseURL(serve(t, scheme+"://127.0.0.1:0", o, echo))
		nc, err := net.Dial("tcp", e.Address())
		check(t, err)
		if n, err := nc.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%s: the silent client was not closed: %d, %v", scheme, n, err)
		}
		nc.Close()
		if err := <-errs; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: told %v", scheme, err)
		}

		silent, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		s, _ := ParseURL(scheme + "://" + silent.Addr().String())
		if _, err := Dial(t.Context(), s, DialOptions{TLS: client, Timeout: 30 * time.Millisecond}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: Dial: %v", scheme, err)
		}
		silent.Close()
	}
}

// handshake is one of a client, which it hangs up after.
func handshake(t *testing.T, url string, cfg *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	e, err := ParseURL(url)
	check(t, err)
	nc, err := net.Dial("tcp", e.Address())
	check(t, err)
	defer nc.Close()
	c := tls.Client(nc, cfg)
	err = c.HandshakeContext(t.Context())
	return c.ConnectionState(), err
}

// served is the ways in which a listener has its certificate.
func served(server *tls.Config) map[string]*tls.Config {
	return map[string]*tls.Config{
		"fixed":      server,
		"per client": {GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return server, nil }},
	}
}

func TestALPN(t *testing.T) {
	server, client := certs(t)
	client.ServerName = "localhost"
	for how, cfg := range served(server) {
		for _, tt := range []struct {
			scheme string
			offer  []string
			want   string // "-": refused
		}{
			{"mqtts", nil, ""},
			{"mqtts", []string{"mqtt"}, "mqtt"},
			{"mqtts", []string{"x", "mqtt"}, "mqtt"},
			{"mqtts", []string{"h2", "http/1.1"}, "-"},
			{"wss", nil, ""},
			{"wss", []string{"http/1.1"}, "http/1.1"},
			{"wss", []string{"h2", "http/1.1"}, "http/1.1"},
			{"wss", []string{"h2"}, "-"},
		} {
			url := serve(t, tt.scheme+"://127.0.0.1:0", ListenOptions{TLS: cfg}, echo)
			offer := client.Clone()
			offer.NextProtos = tt.offer
			state, err := handshake(t, url, offer)
			if refused := strings.Contains(fmt.Sprint(err), "no application protocol"); refused != (tt.want == "-") || !refused && err != nil {
				t.Errorf("%s, %s, %q: %v", how, tt.scheme, tt.offer, err)
			} else if !refused && state.NegotiatedProtocol != tt.want {
				t.Errorf("%s, %s, %q: %q", how, tt.scheme, tt.offer, state.NegotiatedProtocol)
			}
		}
		if len(server.NextProtos) > 0 {
			t.Errorf("%s: the caller's configuration was changed", how)
		}
	}
	own := server.Clone()
	own.NextProtos = []string{"mine"}
	client.NextProtos = []string{"mqtt", "mine"}
	if state, err := handshake(t, serve(t, "mqtts://127.0.0.1:0", ListenOptions{TLS: own}, echo), client); err != nil || state.NegotiatedProtocol != "mine" {
		t.Errorf("NextProtos of the caller: %q, %v", state.NegotiatedProtocol, err)
	}
}

// TLS 1.2 is the least, whatever the client would take.
func TestTLSVersions(t *testing.T) {
	server, client := certs(t)
	client.ServerName, client.MinVersion = "localhost", tls.VersionTLS10
	for how, cfg := range served(server) {
		for _, scheme := range []string{"mqtts", "wss"} {
			url := serve(t, scheme+"://127.0.0.1:0", ListenOptions{TLS: cfg}, echo)
			for version, want := range map[uint16]bool{
				tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
				client.MaxVersion = version
				_, err := handshake(t, url, client)
				if want != (err == nil) || !want && !strings.Contains(err.Error(), "protocol version not supported") {
					t.Errorf("%s, %s, %s: %v", how, scheme, tls.VersionName(version), err)
				}
			}
		}
	}
}
