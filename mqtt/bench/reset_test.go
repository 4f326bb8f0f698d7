package bench_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/bench"
	"mqt/mqtt/broker"
	"mqt/mqtt/transport"
)

// certificate is one for 127.0.0.1, and who believes it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// endings counts how connections ended.
type endings struct{ resets, fins atomic.Int64 }

// watched is a listener's address behind one that sees how its clients end.
func watched(t *testing.T, target string, e *endings) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				s, err := net.Dial("tcp", target)
				if err != nil {
					return
				}
				wg.Go(func() {
					if _, err := io.Copy(c, s); err == nil {
						c.Close() // the server ended
					}
				})
				defer s.Close()
				switch _, err := io.Copy(s, c); {
				case errors.Is(err, syscall.ECONNRESET):
					e.resets.Add(1)
				case err == nil:
					e.fins.Add(1)
				}
			})
		}
	})
	return l.Addr().String()
}

// A connection that is reset ends with RST, and one that is closed with FIN,
// whatever is on top of its socket.
func TestCutsUnderLayers(t *testing.T) {
	cert, pool := certificate(t)
	for _, scheme := range []string{transport.SchemeMQTT, transport.SchemeMQTTS, transport.SchemeWS, transport.SchemeWSS} {
		for _, cut := range []bench.ActionKind{bench.RST, bench.FIN} {
			t.Run(scheme+" "+string(cut), func(t *testing.T) {
				t.Parallel()
				b, err := broker.New(broker.Options{})
				if err != nil {
					t.Fatal(err)
				}
				l, err := transport.Listen(t.Context(), &transport.Endpoint{Scheme: scheme, Host: "127.0.0.1", Port: "0"},
					transport.ListenOptions{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}})
				if err != nil {
					t.Fatal(err)
				}
				serving, cancel := context.WithCancel(context.Background()) // t's ends before its clean-up
				var wg sync.WaitGroup
				wg.Go(func() { _ = b.Serve(serving, l) }) // until it is cancelled
				defer func() {
					cancel()
					wg.Wait()
					_ = b.Shutdown(context.Background())
				}()
				var e endings
				front, err := transport.ParseURL(l.URL())
				if err != nil {
					t.Fatal(err)
				}
				_, front.Port, _ = net.SplitHostPort(watched(t, net.JoinHostPort(front.Host, front.Port), &e))
				s := bench.Scenario{
					Dial: dial, Role: bench.RoleStorm, QoS: []mqtt.QoS{1}, Publishers: 5, Rate: 5, WarmUp: -1, Duration: 2 * time.Second,
					Waves: 1, Pick: 1, Cut: cut, Jitter: 100 * time.Millisecond, Quiet: 500 * time.Millisecond,
				}
				s.Client.Endpoint, s.Client.DialOptions.TLS = front, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
				rep, err := bench.Run(t.Context(), s, nil)
				if err != nil {
					t.Fatal(err)
				}
				// Those that come back say goodbye at the end, and close.
				reset := cut == bench.RST
				// One of them may have been told by a message that was on its way.
				if got := e.resets.Load(); reset != (got >= 8) || !reset && got > 2 || rep.Connections.Cut != 10 || rep.Connections.Reconnected != 10 || rep.Connections.Lost > 0 || !rep.Contract.Held {
					t.Errorf("%d resets and %d other ends\n%+v\n%+v", got, e.fins.Load(), rep.Connections, rep.Contract)
				}
			})
		}
	}
}
