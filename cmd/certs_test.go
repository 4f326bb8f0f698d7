package cmd_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// makeCerts makes ca.pem and, signed by it, server (localhost, 127.0.0.1), other (example.org), expired, future and client, each
// .pem with its .key; client-secret.key is the client's key encrypted with "secret"; stranger.pem is another CA.
func makeCerts(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	write := func(name, kind string, der []byte) {
		ts.Check(os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
	serial := int64(0)
	issue := func(name string, hosts []string, until time.Time, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		ts.Check(err)
		serial++
		c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: min48(until), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature}
		for _, h := range hosts {
			if ip := net.ParseIP(h); ip != nil {
				c.IPAddresses = append(c.IPAddresses, ip)
			} else {
				c.DNSNames = append(c.DNSNames, h)
			}
		}
		if parent == nil {
			parent, by = c, key
			c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
		ts.Check(err)
		write(name+".pem", "CERTIFICATE", der)
		secret, err := x509.MarshalPKCS8PrivateKey(key)
		ts.Check(err)
		write(name+".key", "PRIVATE KEY", secret)
		if name == "client" {
			write("client-secret.key", "ENCRYPTED PRIVATE KEY", encryptKey(ts, secret, "secret"))
		}
		return c, key
	}
	later := time.Now().Add(time.Hour)
	ca, caKey := issue("ca", nil, later, nil, nil)
	issue("stranger", nil, later, nil, nil)
	issue("server", []string{"localhost", "127.0.0.1"}, later, ca, caKey)
	issue("other", []string{"example.org"}, later, ca, caKey)
	issue("expired", []string{"localhost"}, time.Now().Add(-24*time.Hour), ca, caKey)
	issue("future", []string{"localhost"}, time.Now().Add(96*time.Hour), ca, caKey)
	issue("client", nil, later, ca, caKey)
}

// min48 is two days ago, or for what ends in days, two days before that.
func min48(until time.Time) time.Time {
	if time.Until(until) > 48*time.Hour {
		return until.Add(-48 * time.Hour)
	}
	return time.Now().Add(-48 * time.Hour)
}

// encryptKey is PBES2 with PBKDF2, HMAC-SHA-256 and AES-256-CBC, as openssl writes.
func encryptKey(ts *testscript.TestScript, der []byte, passphrase string) []byte {
	salt, iv := make([]byte, 16), make([]byte, aes.BlockSize)
	rand.Read(salt)
	rand.Read(iv)
	key, err := pbkdf2.Key(sha256.New, passphrase, salt, 2048, 32)
	ts.Check(err)
	block, err := aes.NewCipher(key)
	ts.Check(err)
	n := aes.BlockSize - len(der)%aes.BlockSize
	for range n {
		der = append(der, byte(n))
	}
	out := make([]byte, len(der))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, der)

	type algorithm struct {
		ID     asn1.ObjectIdentifier
		Params any
	}
	type kdf struct {
		Salt       []byte
		Iterations int
		PRF        algorithm
	}
	b, err := asn1.Marshal(struct {
		Algorithm algorithm
		Data      []byte
	}{algorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, struct{ KDF, Cipher algorithm }{
		algorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, kdf{salt, 2048,
			algorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, asn1.NullRawValue}}},
		algorithm{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, iv},
	}}, out})
	ts.Check(err)
	return b
}
