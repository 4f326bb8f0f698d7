package access

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Bounds of keys. Shorter RSA keys are not secure, longer ones take too long.
const (
	minRSABits    = 2048
	maxRSABits    = 8192
	minSecret     = 32 // bytes, RFC 7518, 3.2
	maxVerifyKeys = 64 // a token may be tried with all of them
)

// verifyKey is a key that tokens are checked with, and the algorithms that it
// is for.
type verifyKey struct {
	id         string // "kid", "" if it has none
	algorithms []string
	key        any
}

func (k *verifyKey) allows(alg string) bool { return slices.Contains(k.algorithms, alg) }

// newVerifyKey holds a key to what is secure, and finds its algorithms.
func newVerifyKey(key any) (verifyKey, error) {
	k := verifyKey{key: key}
	switch key := key.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minRSABits || n > maxRSABits {
			return k, fmt.Errorf("an RSA key of %d bits, it has %d to %d", n, minRSABits, maxRSABits)
		}
		k.algorithms = []string{"RS256", "RS384", "RS512"}
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			k.algorithms = []string{"ES256"}
		case elliptic.P384():
			k.algorithms = []string{"ES384"}
		case elliptic.P521():
			k.algorithms = []string{"ES512"}
		default:
			return k, errors.New("an elliptic curve other than P-256, P-384 and P-521")
		}
	case ed25519.PublicKey:
		k.algorithms = []string{"EdDSA"}
	case []byte: // no shorter than the hash, RFC 7518, 3.2
		for _, hs := range []struct {
			size int
			alg  string
		}{{minSecret, "HS256"}, {48, "HS384"}, {64, "HS512"}} {
			if len(key) >= hs.size {
				k.algorithms = append(k.algorithms, hs.alg)
			}
		}
		if k.algorithms == nil {
			return k, fmt.Errorf("a secret of %d bytes, it has at least %d", len(key), minSecret)
		}
	default:
		return k, fmt.Errorf("a key of the kind %T", key)
	}
	return k, nil
}

// parseKeyFile reads PEM, or else takes the whole for a secret. Nothing has no
// key.
func parseKeyFile(p []byte) ([]verifyKey, error) {
	if len(p) == 0 {
		return nil, nil
	}
	if !bytes.Contains(p, []byte("-----BEGIN ")) {
		p = bytes.TrimSuffix(bytes.TrimSuffix(p, []byte("\n")), []byte("\r"))
		k, err := newVerifyKey(bytes.Clone(p))
		return []verifyKey{k}, err
	}
	var keys []verifyKey
	for {
		block, rest := pem.Decode(p)
		if block == nil {
			break
		}
		k, err := parsePEM(block)
		if err != nil {
			return nil, err
		}
		keys, p = append(keys, k), rest
	}
	if len(keys) == 0 || len(keys) > maxVerifyKeys {
		return nil, fmt.Errorf("PEM with %d keys, it has 1 to %d", len(keys), maxVerifyKeys)
	}
	return keys, nil
}

func parsePEM(b *pem.Block) (verifyKey, error) {
	var key any
	var err error
	switch {
	case b.Type == "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(b.Bytes)
	case b.Type == "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(b.Bytes)
	case b.Type == "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(b.Bytes); err == nil {
			key = c.PublicKey
		}
	case strings.HasSuffix(b.Type, "PRIVATE KEY"):
		return verifyKey{}, errors.New("a private key: a server that only checks tokens needs the public one")
	default:
		return verifyKey{}, fmt.Errorf("PEM of the type %q", b.Type)
	}
	if err != nil {
		return verifyKey{}, err
	}
	return newVerifyKey(key)
}

// jwk is a JSON Web Key, RFC 7517 and RFC 7518, 6.
type jwk struct {
	KeyType string   `json:"kty"`
	ID      string   `json:"kid"`
	Use     string   `json:"use"`
	Ops     []string `json:"key_ops"`
	Alg     string   `json:"alg"`
	Curve   string   `json:"crv"`
	N, E    string   // RSA
	X, Y    string   // EC, OKP
	K       string   // oct
	D       string   // private
}

// parseJWKS reads a key set. Keys for other purposes, and of kinds that are not
// known, are passed over (RFC 7517, 5).
func parseJWKS(p []byte) ([]verifyKey, error) {
	if len(p) == 0 {
		return nil, nil
	}
	var doc struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(p, &doc); err != nil {
		return nil, err
	}
	var keys []verifyKey
	for i := range doc.Keys {
		k := &doc.Keys[i]
		if k.Use != "" && k.Use != "sig" || k.Ops != nil && !slices.Contains(k.Ops, "verify") {
			continue
		}
		key, err := k.decode()
		if err != nil {
			return nil, fmt.Errorf("key %d (%q): %w", i, k.ID, err)
		}
		if key.key != nil {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 || len(keys) > maxVerifyKeys {
		return nil, fmt.Errorf("%d keys that check signatures, it has 1 to %d", len(keys), maxVerifyKeys)
	}
	return keys, nil
}

// decode returns a key without key where its kind, curve or algorithm is not
// known.
func (j *jwk) decode() (verifyKey, error) {
	if j.D != "" {
		return verifyKey{}, errors.New("a private key: a server that only checks tokens needs the public one")
	}
	key, err := j.material()
	if key == nil || err != nil {
		return verifyKey{}, err
	}
	k, err := newVerifyKey(key)
	if err != nil {
		return k, err
	}
	k.id = j.ID
	if j.Alg != "" {
		if !k.allows(j.Alg) {
			if slices.Contains(tokenAlgorithms(), j.Alg) {
				return k, fmt.Errorf("it is not good for its algorithm %s", j.Alg)
			}
			return verifyKey{}, nil // such as PS256
		}
		k.algorithms = []string{j.Alg}
	}
	return k, nil
}

// material returns the key itself, nil where its kind is not known.
func (j *jwk) material() (any, error) {
	switch {
	case j.KeyType == "oct":
		return segment("k", j.K)
	case j.KeyType == "RSA":
		return j.rsa()
	case j.KeyType == "EC":
		return j.ec()
	case j.KeyType == "OKP" && j.Curve == "Ed25519":
		x, err := segment("x", j.X)
		if err == nil && len(x) != ed25519.PublicKeySize {
			err = fmt.Errorf("x has %d bytes", len(x))
		}
		return ed25519.PublicKey(x), err
	}
	return nil, nil // no key, no fault: what is not known is passed over
}

func (j *jwk) rsa() (any, error) {
	n, err := segment("n", j.N)
	if err != nil {
		return nil, err
	}
	e, err := segment("e", j.E)
	if err != nil {
		return nil, err
	}
	exponent := new(big.Int).SetBytes(e)
	if len(e) > 4 || exponent.Int64() < 3 || exponent.Bit(0) == 0 || exponent.BitLen() > 31 {
		return nil, errors.New("e is no exponent")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}

func (j *jwk) ec() (any, error) {
	var curve elliptic.Curve
	switch j.Curve {
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return nil, nil // as in material
	}
	x, err := segment("x", j.X)
	if err != nil {
		return nil, err
	}
	y, err := segment("y", j.Y)
	if err != nil {
		return nil, err
	}
	if size := (curve.Params().BitSize + 7) / 8; len(x) != size || len(y) != size {
		return nil, fmt.Errorf("x and y have %d and %d bytes, not %d", len(x), len(y), size)
	}
	return ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
}

// segment reads base64url without padding, RFC 7515, 2.
func segment(name, s string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) == 0 {
		return nil, fmt.Errorf("%s is not base64url", name)
	}
	return b, nil
}
