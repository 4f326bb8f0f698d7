package transport

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// sealer makes the TLS records of a client whose secrets the test has, so that it can send what crypto/tls never would.
type sealer struct {
	suite  uint16 // TLS 1.3: AES-128-GCM unless it is ChaCha20-Poly1305, which machines without AES prefer
	secret []byte // TLS 1.3
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// gcm is AES-GCM with key.
func gcm(t testing.TB, key []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	check(t, err)
	aead, err := cipher.NewGCM(block)
	check(t, err)
	return aead
}

// rekey begins a traffic secret of TLS 1.3 (RFC 8446, 7.3).
func (s *sealer) rekey(t testing.TB, secret []byte) {
	t.Helper()
	s.secret, s.seq = secret, 0
	s.iv = s.expand(t, "iv", 12)
	if s.suite == tls.TLS_CHACHA20_POLY1305_SHA256 {
		aead, err := chacha20poly1305.New(s.expand(t, "key", chacha20poly1305.KeySize))
		check(t, err)
		s.aead = aead
		return
	}
	s.aead = gcm(t, s.expand(t, "key", 16))
}

// expand is HKDF-Expand-Label of the secret without context.
func (s *sealer) expand(t testing.TB, label string, n int) []byte {
	t.Helper()
	info := append(binary.BigEndian.AppendUint16(nil, uint16(n)), byte(len("tls13 "+label)))
	info = append(append(info, "tls13 "+label...), 0)
	out, err := hkdf.Expand(sha256.New, s.secret, string(info), n)
	check(t, err)
	return out
}

// seal13 is a record of TLS 1.3 of type typ.
func (s *sealer) seal13(typ byte, payload []byte) []byte {
	inner := append(bytes.Clone(payload), typ)
	head := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(inner)+16))
	nonce := bytes.Clone(s.iv)
	for i, b := range binary.BigEndian.AppendUint64(nil, s.seq) {
		nonce[4+i] ^= b
	}
	s.seq++
	return s.aead.Seal(head, nonce, inner, head)
}

// seal12 is a record of TLS 1.2 of type typ.
func (s *sealer) seal12(typ byte, payload []byte) []byte {
	seq := binary.BigEndian.AppendUint64(nil, s.seq)
	s.seq++
	head := binary.BigEndian.AppendUint16([]byte{typ, 3, 3}, uint16(len(payload)+8+16))
	with := binary.BigEndian.AppendUint16(append(bytes.Clone(seq), typ, 3, 3), uint16(len(payload)))
	return s.aead.Seal(append(head, seq...), append(bytes.Clone(s.iv), seq...), payload, with)
}

// keyLog finds a secret in what KeyLogWriter got.
func keyLog(t testing.TB, log, label string) []byte {
	t.Helper()
	_, line, ok := strings.Cut(log, label+" ")
	line, _, _ = strings.Cut(line, "\n")
	fields := strings.Fields(line)
	if !ok || len(fields) != 2 {
		t.Fatalf("no %s in the key log", label)
	}
	secret, err := hex.DecodeString(fields[1])
	check(t, err)
	return secret
}

// wiretap keeps what was read.
type wiretap struct {
	net.Conn
	got   []byte
	suite uint16 // that was agreed on
}

func (w *wiretap) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.got = append(w.got, p[:n]...)
	return n, err
}

// throughTLS makes the handshake of version with a listener inside a synctest bubble. It returns the socket and what the
// client logged and read of it.
func throughTLS(t *testing.T, version uint16, h Handler) (d *door, nc *wiretap, log string) {
	t.Helper()
	server, client := certs(t)
	server.SessionTicketsDisabled = true
	server.Time = func() time.Time { return time.Now() }
	d = &door{t: t, m: &moody{conns: make(chan net.Conn)}, ended: make(chan error, 1)}
	l, err := ListenOn(d.m, &Endpoint{Scheme: SchemeMQTTS}, ListenOptions{TLS: server, Conn: Options{Linger: -1}})
	check(t, err)
	d.over = func() { check(t, l.Close()) }
	go func() { d.ended <- l.Serve(t.Context(), func(*Conn) Handler { return h }) }()
	nc = &wiretap{Conn: d.knock("192.0.2.1")}
	var keys bytes.Buffer
	client = client.Clone()
	client.ServerName, client.MaxVersion, client.KeyLogWriter = "localhost", version, &keys
	client.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	c := tls.Client(nc, client)
	check(t, c.HandshakeContext(t.Context()))
	synctest.Wait()
	nc.suite = c.ConnectionState().CipherSuite
	return d, nc, keys.String()
}

// hostile runs f with a connection of TLS that ends as soon as it may, whose client's socket and secrets it has: behind a listener,
// and with each engine over a fake. take has the server's answers read,
// and returns how many bytes that are.
func hostile(t *testing.T, version uint16, f func(t *testing.T, r *recorder, nc *wiretap, log string, take func() func() int)) {
	t.Run("listener", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRecorder()
			d, nc, log := throughTLS(t, version, r)
			f(t, r, nc, log, func() func() int {
				var sum atomic.Int64
				go func() {
					n, _ := io.Copy(io.Discard, nc.Conn)
					sum.Store(n)
				}()
				return func() int { return int(sum.Load()) }
			})
			nc.Close()
			d.over()
			check(t, <-d.ended)
		})
	})
	for name, drive := range fakeEngines {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRecorder()
				n := layer(t, layers{version: version}, Options{Linger: -1}, drive)
				n.s.room = 0
				n.c.Start(r)
				f(t, r, n.wire, n.log, func() func() int {
					n.s.set(func() { n.s.room = -1 })
					return func() int { return len(n.s.sent()) }
				})
				n.c.Abort(nil)
				synctest.Wait()
			})
		})
	}
}

// Each KeyUpdate of TLS 1.3 may ask for one in return; who reads none of them does not have us keep them all.
func TestKeyUpdateFlood(t *testing.T) {
	hostile(t, tls.VersionTLS13, func(t *testing.T, r *recorder, nc *wiretap, log string, _ func() func() int) {
		s := &sealer{suite: nc.suite}
		s.rekey(t, keyLog(t, log, "CLIENT_TRAFFIC_SECRET_0"))
		update := []byte{24, 0, 0, 1, 1} // update_requested
		var err error
		n := 0
		for ; err == nil && n < 20_000; n++ {
			record := s.seal13(22, update)
			s.rekey(t, s.expand(t, "traffic upd", 32))
			if n%10 == 9 { // crypto/tls itself counts those without data between
				record = append(record, s.seal13(23, []byte("x"))...)
			}
			_, err = nc.Write(record)
			synctest.Wait()
		}
		if err == nil || n < 50 {
			t.Errorf("%d key updates were taken, %v", n, err)
			nc.Close()
		}
		if err := r.end(t); !errors.Is(err, ErrSlowConsumer) {
			t.Errorf("Closed(%v)", err)
		}
	})
}

// A message of the handshake that comes in pieces behind the handshake, and never ends, is not collected.
func TestHandshakeMessageWithoutEnd(t *testing.T) {
	hostile(t, tls.VersionTLS13, func(t *testing.T, r *recorder, nc *wiretap, log string, take func() func() int) {
		take()
		s := &sealer{suite: nc.suite}
		s.rekey(t, keyLog(t, log, "CLIENT_TRAFFIC_SECRET_0"))
		_, err := nc.Write(s.seal13(23, make([]byte, 16<<10))) // the largest record
		check(t, err)
		piece := append([]byte{24, 0, 0xff, 0}, make([]byte, 1020)...)
		n := 0
		for ; err == nil && n < 60; n++ {
			_, err = nc.Write(s.seal13(22, piece))
			synctest.Wait()
			piece = make([]byte, 1024)
		}
		if err == nil || n > 21 {
			t.Errorf("%d KiB were taken, %v", n, err)
			nc.Close()
		}
		if err := r.end(t); !errors.Is(err, errTLSSilent) || len(r.got) != 16<<10 {
			t.Errorf("Closed(%v) after %d bytes", err, len(r.got))
		}
	})
}

// prf12 is the PRF of TLS 1.2 (RFC 5246, 5).
func prf12(secret []byte, seed string, n int) (out []byte) {
	mac := func(parts ...string) []byte {
		h := hmac.New(sha256.New, secret)
		for _, p := range parts {
			_, _ = io.WriteString(h, p)
		}
		return h.Sum(nil)
	}
	for a := mac(seed); len(out) < n; a = mac(string(a)) {
		out = append(out, mac(string(a), seed)...)
	}
	return out[:n]
}

// A client may not renegotiate, which would cost a handshake for each of its records.
func TestRenegotiationIsRefused(t *testing.T) {
	hostile(t, tls.VersionTLS12, func(t *testing.T, r *recorder, nc *wiretap, log string, take func() func() int) {
		_, clientRandom, _ := strings.Cut(log, "CLIENT_RANDOM ")
		random, err := hex.DecodeString(clientRandom[:64])
		check(t, err)
		keys := prf12(keyLog(t, log, "CLIENT_RANDOM"), "key expansion"+string(nc.got[11:43])+string(random), 40)
		s := &sealer{aead: gcm(t, keys[:16]), iv: keys[32:36], seq: 1} // Finished was 0
		answer := take()
		_, err = nc.Write(s.seal12(23, []byte("hello")))
		check(t, err)
		r.waitFor(t, func(got []byte) bool { return string(got) == "hello" })
		hello := append([]byte{1, 0, 0, 43, 3, 3}, make([]byte, 32)...)
		hello = append(hello, 0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 0)
		hello[3] = byte(len(hello) - 4)
		_, err = nc.Write(s.seal12(22, hello))
		check(t, err)
		if err := r.end(t); err == nil || !strings.Contains(err.Error(), "tls: ") {
			t.Errorf("Closed(%v)", err)
		}
		synctest.Wait()
		if n := answer(); n == 0 || n > 100 { // an alert
			t.Errorf("%d bytes of answer", n)
		}
	})
}
