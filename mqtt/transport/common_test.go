package transport

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen; only a failing test waits that long.
const patience = 2 * time.Minute

// recorder is a Handler that keeps what it is fed, or answers it.
type recorder struct {
	feed    func(b *Batch, p []byte) (int, error)
	drained func(b *Batch)
	closed  chan error // one element

	mu     sync.Mutex
	cond   *sync.Cond
	got    []byte
	active bool // a method is running
	over   bool
	fault  string
}

func newRecorder() *recorder {
	r := &recorder{closed: make(chan error, 1)}
	r.cond = sync.NewCond(&r.mu)
	return r
}

// enter checks that the calls of one Handler never overlap and that Closed is the last.
func (r *recorder) enter() {
	r.mu.Lock()
	if r.active {
		r.fault = "two handler methods at a time"
	}
	if r.over {
		r.fault = "a call after Closed"
	}
	r.active = true
	r.mu.Unlock()
}

func (r *recorder) leave() {
	r.mu.Lock()
	r.active = false
	r.cond.Broadcast()
	r.mu.Unlock()
}

func (r *recorder) Feed(b *Batch, p []byte) (int, error) {
	r.enter()
	defer r.leave()
	if r.feed != nil {
		return r.feed(b, p)
	}
	r.mu.Lock()
	r.got = append(r.got, p...)
	r.mu.Unlock()
	return len(p), nil
}

func (r *recorder) Drained(b *Batch) {
	r.enter()
	defer r.leave()
	if r.drained != nil {
		r.drained(b)
	}
}

func (r *recorder) Closed(err error) {
	r.enter()
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.leave()
	r.closed <- err
}

// waitFor waits until ok holds for what was received.
func (r *recorder) waitFor(t testing.TB, ok func(got []byte) bool) []byte {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	late := time.AfterFunc(patience, func() {
		r.mu.Lock()
		r.fault = "timed out"
		r.cond.Broadcast()
		r.mu.Unlock()
	})
	defer late.Stop()
	for !ok(r.got) {
		if r.fault != "" {
			t.Fatalf("%s; %d bytes received", r.fault, len(r.got))
		}
		r.cond.Wait()
	}
	return r.got
}

// end waits for Closed.
func (r *recorder) end(t testing.TB) error {
	t.Helper()
	select {
	case err := <-r.closed:
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.fault != "" {
			t.Fatal(r.fault)
		}
		return err
	case <-time.After(patience):
		t.Fatal("Closed was not called")
		return nil
	}
}

// certs makes a certificate authority and a certificate for localhost, 127.0.0.1 and ::1.
func certs(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	check(t, err)
	caCert, err := x509.ParseCertificate(caDER)
	check(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, caCert, &key.PublicKey, caKey)
	check(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(caCert)
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool}, &tls.Config{RootCAs: pool}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve listens on url, with * in a Unix URL replaced by a temporary directory, and returns the URL to dial.
func serve(t testing.TB, url string, o ListenOptions, accept func(*Conn) Handler) string {
	t.Helper()
	if url == "unix" {
		url = "unix://" + filepath.Join(t.TempDir(), "mqtt.sock")
	}
	e, err := ParseURL(url)
	check(t, err)
	l, err := Listen(t.Context(), e, o)
	check(t, err)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- l.Serve(ctx, accept) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.URL()
}

func dial(t testing.TB, url string, o DialOptions) net.Conn {
	t.Helper()
	e, err := ParseURL(url)
	check(t, err)
	nc, err := Dial(t.Context(), e, o)
	check(t, err)
	return nc
}

// echo is a Handler that sends back what it is fed, and does not read while it cannot.
func echo(c *Conn) Handler {
	r := newRecorder()
	r.feed = func(b *Batch, p []byte) (int, error) {
		if !c.Append(b, p) {
			c.Pause()
			return 0, nil
		}
		return len(p), nil
	}
	r.drained = func(*Batch) { c.Resume() }
	return r
}

var everyScheme = []string{"mqtt://127.0.0.1:0", "mqtt://[::1]:0", "mqtts://127.0.0.1:0", "ws://127.0.0.1:0", "wss://localhost:0", "unix"}

// eachEngine runs f once with Loops, and once without.
func eachEngine(t *testing.T, f func(t *testing.T, loops *Loops)) {
	t.Run("goroutines", func(t *testing.T) { f(t, nil) })
	t.Run("loops", func(t *testing.T) { f(t, &Loops{}) })
	t.Run("parked loops", func(t *testing.T) { f(t, &Loops{Parked: true}) })
	var waits atomic.Int64
	t.Run("loops parked at times", func(t *testing.T) {
		f(t, &Loops{calm: 1, ParkedWhile: func() bool { return waits.Add(1)%5 == 0 }})
	})
}

// everyServer runs f for each scheme with each engine.
func everyServer(t *testing.T, f func(t *testing.T, url string, o ListenOptions, d DialOptions)) {
	for _, url := range everyScheme {
		t.Run(url, func(t *testing.T) {
			server, client := certs(t)
			eachEngine(t, func(t *testing.T, loops *Loops) {
				f(t, url, ListenOptions{TLS: server, Conn: Options{Loops: loops}}, DialOptions{TLS: client})
			})
		})
	}
}

// everywhere is everyServer with a server that echoes. near is for the other end: both have the same engine.
func everywhere(t *testing.T, f func(t *testing.T, url string, d DialOptions, near Options)) {
	everyServer(t, func(t *testing.T, url string, o ListenOptions, d DialOptions) {
		f(t, serve(t, url, o, echo), d, Options{Loops: o.Conn.Loops})
	})
}

// pair returns two ends of a TCP connection.
func pair(t testing.TB) (a, b net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	check(t, err)
	b, err = l.Accept()
	check(t, err)
	return a, b
}
