package access

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The examples of RFC 7515, appendix A.1 to A.3. They expired in 2011, which in
// a bubble of synctest is still to come.
func TestTokenVectors(t *testing.T) {
	const claims = ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
	for _, c := range []struct{ name, key, token string }{
		{"A.1 HS256", `{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}`,
			"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" + claims + "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
		{"A.2 RS256", `{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}`,
			"eyJhbGciOiJSUzI1NiJ9" + claims + "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
		{"A.3 ES256", `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
			"eyJhbGciOiJFUzI1NiJ9" + claims + "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
	} {
		synctest.Test(t, func(t *testing.T) {
			k, err := NewTokens(TokenOptions{JWKS: []byte(`{"keys":[` + c.key + `]}`), Issuer: "joe", UserClaim: "iss"})
			if err != nil {
				t.Fatal(c.name, err)
			}
			user, until, err := k.Check([]byte(c.token))
			if err != nil || user != "joe" || until.Unix() != 1300819380 {
				t.Errorf("%s: %q, %v, %v", c.name, user, until, err)
			}
			if !LooksLikeToken([]byte(c.token)) {
				t.Errorf("%s does not look like a token", c.name)
			}
			time.Sleep(time.Until(until))
			if _, _, err := k.Check([]byte(c.token)); !errors.Is(err, ErrToken) {
				t.Errorf("%s at its expiry: %v", c.name, err)
			}
		})
	}
}

// pair is a key with its public half in PEM.
type pair struct {
	method  jwt.SigningMethod
	private crypto.PrivateKey
	file    []byte
}

func pairs(t *testing.T) map[string]pair {
	t.Helper()
	all := make(map[string]pair)
	add := func(m jwt.SigningMethod, key crypto.Signer, err error) {
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		all[m.Alg()] = pair{m, key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
	}
	r, err := rsa.GenerateKey(rand.Reader, minRSABits)
	add(jwt.SigningMethodRS256, r, err)
	add(jwt.SigningMethodRS384, r, err)
	add(jwt.SigningMethodRS512, r, err)
	for m, curve := range map[jwt.SigningMethod]elliptic.Curve{
		jwt.SigningMethodES256: elliptic.P256(), jwt.SigningMethodES384: elliptic.P384(), jwt.SigningMethodES512: elliptic.P521()} {
		e, err := ecdsa.GenerateKey(curve, rand.Reader)
		add(m, e, err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	add(jwt.SigningMethodEdDSA, ed, err)
	for _, m := range []*jwt.SigningMethodHMAC{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
		secret := bytes.Repeat([]byte(m.Alg()), 13)
		all[m.Alg()] = pair{m, secret, append(secret[:len(secret):len(secret)], '\n')}
	}
	return all
}

func sign(t *testing.T, p pair, claims jwt.MapClaims, header map[string]any) []byte {
	t.Helper()
	tok := jwt.NewWithClaims(p.method, claims)
	for k, v := range header {
		tok.Header[k] = v
	}
	s, err := tok.SignedString(p.private)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(s)
}

func sound() jwt.MapClaims {
	return jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}
}

// Each algorithm is good with its own key and with no other.
func TestTokenAlgorithms(t *testing.T) {
	all := pairs(t)
	if len(all) != len(tokenAlgorithms()) {
		t.Fatalf("%d algorithms are tested, there are %d", len(all), len(tokenAlgorithms()))
	}
	for keyAlg, key := range all {
		k, err := NewTokens(TokenOptions{Key: key.file})
		if err != nil {
			t.Fatal(keyAlg, err)
		}
		for alg, signer := range all {
			user, _, err := k.Check(sign(t, signer, sound(), nil))
			same := alg == keyAlg || keyAlg[:2] == "RS" && alg[:2] == "RS"
			if same != (err == nil) || same != (user == "alice") {
				t.Errorf("a token by %s, a key for %s: %q, %v", alg, keyAlg, user, err)
			}
		}
	}
}

// A token must not choose how it is checked.
func TestTokenConfusion(t *testing.T) {
	all := pairs(t)
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		k, err := NewTokens(TokenOptions{Key: all[alg].file})
		if err != nil {
			t.Fatal(err)
		}
		// The public key, in every form it is known in, as the secret of HS256.
		block, _ := pem.Decode(all[alg].file)
		for _, secret := range [][]byte{all[alg].file, bytes.TrimSpace(all[alg].file), block.Bytes} {
			for _, m := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
				if _, _, err := k.Check(sign(t, pair{m, secret, nil}, sound(), nil)); !errors.Is(err, ErrToken) {
					t.Errorf("%s with the %s key as its secret: %v", m.Alg(), alg, err)
				}
			}
		}
		none := sign(t, pair{jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil}, sound(), nil)
		good := sign(t, all[alg], sound(), nil)
		for _, token := range [][]byte{none, bytes.Replace(none, []byte(seg(`{"alg":"none","typ":"JWT"}`)), []byte(seg(`{"alg":"None"}`)), 1),
			append(none, good[bytes.LastIndexByte(good, '.')+1:]...), good[:bytes.LastIndexByte(good, '.')+1]} {
			if _, _, err := k.Check(token); !errors.Is(err, ErrToken) {
				t.Errorf("%s: %v", token, err)
			}
		}
	}
}

func seg(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestTokenClaims(t *testing.T) {
	key := pair{jwt.SigningMethodHS256, bytes.Repeat([]byte("k"), 32), nil}
	now := time.Now()
	with := func(change ...any) jwt.MapClaims {
		c := sound()
		for i := 0; i < len(change); i += 2 {
			c[change[i].(string)] = change[i+1]
		}
		return c
	}
	strict := TokenOptions{Audience: "mqtt", Issuer: "idp", UserClaim: "name"}
	for _, c := range []struct {
		name   string
		o      TokenOptions
		claims jwt.MapClaims
		header map[string]any
		user   string // "": refused
	}{
		{"sound", TokenOptions{}, sound(), nil, "alice"},
		{"no expiry", TokenOptions{}, jwt.MapClaims{"sub": "alice"}, nil, ""},
		{"expired", TokenOptions{}, with("exp", now.Add(-time.Second).Unix()), nil, ""},
		{"expiry is text", TokenOptions{}, with("exp", "never"), nil, ""},
		{"expiry beyond time", TokenOptions{}, with("exp", 1e300), nil, ""},
		{"not yet", TokenOptions{}, with("nbf", now.Add(time.Minute).Unix()), nil, ""},
		{"since a minute", TokenOptions{}, with("nbf", now.Add(-time.Minute).Unix()), nil, "alice"},
		{"for somebody, who is nobody here", TokenOptions{}, with("aud", "shop"), nil, ""},
		{"an issuer, whoever it is", TokenOptions{}, with("iss", "idp"), nil, "alice"},
		{"all as it must be", strict, with("aud", []string{"shop", "mqtt"}, "iss", "idp", "name", "bob"), nil, "bob"},
		{"other audience", strict, with("aud", "shop", "iss", "idp", "name", "bob"), nil, ""},
		{"no audience", strict, with("iss", "idp", "name", "bob"), nil, ""},
		{"other issuer", strict, with("aud", "mqtt", "iss", "idp2", "name", "bob"), nil, ""},
		{"no issuer", strict, with("aud", "mqtt", "name", "bob"), nil, ""},
		{"no such claim", strict, with("aud", "mqtt", "iss", "idp"), nil, ""},
		{"no subject", TokenOptions{}, with("sub", nil), nil, ""},
		{"empty subject", TokenOptions{}, with("sub", ""), nil, ""},
		{"the subject is a number", TokenOptions{UserClaim: "id"}, with("id", 7), nil, ""},
		{"NUL in the subject", TokenOptions{}, with("sub", "a\x00"), nil, ""},
		{"an extension that must be understood", TokenOptions{}, sound(), map[string]any{"crit": []string{"b64"}, "b64": true}, ""},
		{"a key identifier that no key has", TokenOptions{}, sound(), map[string]any{"kid": "7"}, "alice"},
		{"a key identifier that is a number", TokenOptions{}, sound(), map[string]any{"kid": 7}, "alice"},
		{"too long", TokenOptions{}, with("x", strings.Repeat("x", maxToken)), nil, ""},
	} {
		c.o.Key = key.private.([]byte)
		k, err := NewTokens(c.o)
		if err != nil {
			t.Fatal(err)
		}
		user, until, err := k.Check(sign(t, key, c.claims, c.header))
		if user != c.user || (err == nil) != (c.user != "") || err != nil && !errors.Is(err, ErrToken) {
			t.Errorf("%s: %q, %v, want %q", c.name, user, err, c.user)
		}
		if err == nil && until.Unix() != c.claims["exp"].(int64) {
			t.Errorf("%s: until %v", c.name, until)
		}
	}
}

// One bit makes another token.
func TestTokenTampered(t *testing.T) {
	for alg, p := range pairs(t) {
		k, err := NewTokens(TokenOptions{Key: p.file})
		if err != nil {
			t.Fatal(err)
		}
		token := sign(t, p, sound(), nil)
		for i := range token {
			broken := bytes.Clone(token)
			broken[i] ^= 1
			if _, _, err := k.Check(broken); !errors.Is(err, ErrToken) {
				t.Errorf("%s with byte %d changed: %v", alg, i, err)
			}
		}
	}
}

func TestJWKSByKeyID(t *testing.T) {
	secret := func(c string) string { return seg(strings.Repeat(c, 64)) }
	set := `{"keys":[{"kty":"oct","kid":"a","k":"` + secret("a") + `","alg":"HS256"},
		{"kty":"oct","kid":"b","k":"` + secret("b") + `"},
		{"kty":"oct","k":"` + secret("c") + `"},
		{"kty":"RSA","use":"enc","n":"AA","e":"AA"},
		{"kty":"oct","kid":"d","key_ops":["sign"],"k":"` + secret("d") + `"},
		{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"},
		{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"},
		{"kty":"OKP","crv":"X25519","x":"AA"}]}`
	k, err := NewTokens(TokenOptions{JWKS: []byte(set)})
	if err != nil {
		t.Fatal(err)
	}
	if len(k.keys) != 3 {
		t.Fatalf("%d keys, want 3", len(k.keys))
	}
	for _, c := range []struct {
		key, kid string
		method   jwt.SigningMethod
		good     bool
	}{
		{"a", "a", jwt.SigningMethodHS256, true}, {"a", "b", jwt.SigningMethodHS256, false},
		{"a", "a", jwt.SigningMethodHS512, false}, {"b", "b", jwt.SigningMethodHS512, true},
		{"c", "zzz", jwt.SigningMethodHS384, true}, {"a", "zzz", jwt.SigningMethodHS256, false},
		{"a", "", jwt.SigningMethodHS256, true}, {"b", "", jwt.SigningMethodHS256, true}, {"d", "d", jwt.SigningMethodHS256, false},
	} {
		header := map[string]any{}
		if c.kid != "" {
			header["kid"] = c.kid
		}
		_, _, err := k.Check(sign(t, pair{c.method, []byte(strings.Repeat(c.key, 64)), nil}, sound(), header))
		if (err == nil) != c.good {
			t.Errorf("key %s, kid %q, %s: %v", c.key, c.kid, c.method.Alg(), err)
		}
	}
}

// Keys that are no good are refused when the server starts.
func TestWeakOrPrivateKeys(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	asPEM := func(kind string, der []byte) TokenOptions {
		return TokenOptions{Key: pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})}
	}
	set := func(key string) TokenOptions { return TokenOptions{JWKS: []byte(`{"keys":[` + key + `]}`)} }
	for name, o := range map[string]TokenOptions{
		"none":               {},
		"short secret":       {Key: []byte("secret\n")},
		"RSA 1024":           asPEM("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&short.PublicKey)),
		"private":            asPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(short)),
		"not DER":            asPEM("PUBLIC KEY", []byte("x")),
		"other PEM":          asPEM("X509 CRL", []byte("x")),
		"PEM without end":    {Key: []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n")},
		"not JSON":           {JWKS: []byte("{")},
		"empty set":          {JWKS: []byte(`{"keys":[]}`)},
		"private in a set":   set(`{"kty":"RSA","n":"AA","e":"AQAB","d":"AA"}`),
		"RSA without n":      set(`{"kty":"RSA","e":"AQAB"}`),
		"RSA with e 1":       set(`{"kty":"RSA","n":"AA","e":"AQ"}`),
		"RSA with large e":   set(`{"kty":"RSA","n":"AA","e":"AQAAAAAAAAAB"}`),
		"not on the curve":   set(`{"kty":"EC","crv":"P-256","x":"` + seg(strings.Repeat("x", 32)) + `","y":"` + seg(strings.Repeat("x", 32)) + `"}`),
		"short coordinate":   set(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`),
		"short Ed25519":      set(`{"kty":"OKP","crv":"Ed25519","x":"AA"}`),
		"padding":            set(`{"kty":"oct","k":"AAAA="}`),
		"algorithm of other": set(`{"kty":"oct","alg":"RS256","k":"` + seg(strings.Repeat("x", 64)) + `"}`),
		"too short for it":   set(`{"kty":"oct","alg":"HS512","k":"` + seg(strings.Repeat("x", 32)) + `"}`),
	} {
		if _, err := NewTokens(o); !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzJWKS(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}]}`))
	f.Fuzz(func(t *testing.T, p []byte) {
		keys, err := parseJWKS(p)
		if err == nil && len(keys) == 0 && len(p) > 0 {
			t.Error("neither keys nor a fault")
		}
		for _, k := range keys {
			if len(k.algorithms) == 0 || k.key == nil {
				t.Errorf("key %+v", k)
			}
		}
	})
}

func FuzzToken(f *testing.F) {
	secret := bytes.Repeat([]byte("k"), 64)
	k, err := NewTokens(TokenOptions{Key: secret})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"alg":"HS256"}`), []byte(`{"sub":"a","exp":4102444800}`))
	f.Add([]byte(`{"alg":"none"}`), []byte(`{"sub":"a","exp":4102444800,"aud":["x"]}`))
	f.Fuzz(func(t *testing.T, header, claims []byte) {
		text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
		sig, err := jwt.SigningMethodHS256.Sign(text, secret)
		if err != nil {
			t.Fatal(err)
		}
		user, until, err := k.Check([]byte(text + "." + base64.RawURLEncoding.EncodeToString(sig)))
		if err != nil {
			return
		}
		var h struct{ Alg string }
		if json.Unmarshal(header, &h) != nil || h.Alg != "HS256" || user == "" || !until.After(time.Now()) {
			t.Errorf("%s %s is taken: %q until %v", header, claims, user, until)
		}
	})
}
