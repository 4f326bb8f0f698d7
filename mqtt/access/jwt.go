package access

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// maxToken bounds a JSON Web Token, in bytes.
const maxToken = 16 << 10

// ErrToken is a JSON Web Token that is not accepted, or a key that is of no
// use; the error around it says why.
var ErrToken = errors.New("access: token")

// TokenOptions say which JSON Web Tokens (RFC 7519) are good in the place of a
// password, and whom they stand for.
type TokenOptions struct {
	// Key is the content of a key file: public keys or certificates in PEM, for
	// RS256, RS384, RS512, ES256, ES384, ES512 and EdDSA; or else the secret of
	// HS256, HS384 and HS512, of which a line end at the end is no part.
	Key []byte
	// JWKS is a JSON Web Key Set (RFC 7517). Its keys add to Key.
	JWKS []byte
	// KeySet has keys that may change. They add to Key and JWKS.
	KeySet *KeySet
	// Audience must be among a token's "aud". Default "": a token that names an
	// audience is refused, for it is meant for somebody else (RFC 7519, 4.1.3).
	Audience string
	// Issuer must be a token's "iss". Default "": any.
	Issuer string
	// UserClaim is the claim with the user's name. Default "sub".
	UserClaim string
}

// Tokens checks JSON Web Tokens. It does not change but for its KeySet; make it
// with NewTokens.
type Tokens struct {
	keys     []verifyKey
	set      *KeySet // nil: none
	parser   *jwt.Parser
	audience string
	claim    string
}

// NewTokens reads the keys. Its error is an ErrToken.
func NewTokens(o TokenOptions) (*Tokens, error) {
	keys, err := parseKeyFile(o.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: key: %w", ErrToken, err)
	}
	all, err := parseJWKS(o.JWKS)
	if err != nil {
		return nil, fmt.Errorf("%w: key set: %w", ErrToken, err)
	}
	k := &Tokens{keys: append(keys, all...), set: o.KeySet, audience: o.Audience, claim: cmp.Or(o.UserClaim, "sub")}
	if len(k.keys) == 0 && k.set == nil {
		return nil, fmt.Errorf("%w: there is no key to check one with", ErrToken)
	}
	checks := []jwt.ParserOption{jwt.WithValidMethods(tokenAlgorithms()), jwt.WithExpirationRequired(), jwt.WithStrictDecoding()}
	if o.Audience != "" {
		checks = append(checks, jwt.WithAudience(o.Audience))
	}
	if o.Issuer != "" {
		checks = append(checks, jwt.WithIssuer(o.Issuer))
	}
	k.parser = jwt.NewParser(checks...)
	return k, nil
}

// tokenAlgorithms are all that are known; a key allows few of them. "none" is
// not among them.
func tokenAlgorithms() []string {
	return []string{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// LooksLikeToken tells a token from a password: three parts, of which the
// first is a JSON object.
func LooksLikeToken(password []byte) bool {
	s := string(password[:min(len(password), maxToken+1)])
	return strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") == 2 // {" in base64
}

// Prepare fetches the KeySet again where the token, which Check is going to be
// asked about, makes that due, and waits until that has ended or stop is closed:
// 10 seconds at most, 2 where a key for the token is there. Without a KeySet there is nothing to do.
func (k *Tokens) Prepare(stop <-chan struct{}, token []byte) {
	if k.set == nil || len(token) > maxToken {
		return
	}
	t, _, err := k.parser.ParseUnverified(string(token), jwt.MapClaims{})
	if err != nil {
		return // nor will Check read it
	}
	id, _ := t.Header["kid"].(string)
	k.set.prepare(stop, id)
}

// Check returns whom the token stands for, and until when. Its error is an
// ErrToken, and holds nothing of the token that could be used.
func (k *Tokens) Check(token []byte) (user string, expires time.Time, err error) {
	if len(token) > maxToken {
		return "", expires, fmt.Errorf("%w: longer than %d bytes", ErrToken, maxToken)
	}
	claims := jwt.MapClaims{}
	if _, err := k.parser.ParseWithClaims(string(token), claims, k.keyOf); err != nil {
		return "", expires, fmt.Errorf("%w: %w", ErrToken, err)
	}
	aud, err := claims.GetAudience()
	if err != nil || len(aud) > 0 && k.audience == "" {
		return "", expires, fmt.Errorf("%w: it is for an audience, and this server was given none to be", ErrToken)
	}
	exp, err := claims.GetExpirationTime()
	if err != nil || exp == nil { // it was checked
		return "", expires, fmt.Errorf("%w: no expiry", ErrToken)
	}
	user, ok := claims[k.claim].(string)
	if !ok || !validUser(user) {
		return "", expires, fmt.Errorf("%w: the claim %q is no user name", ErrToken, k.claim)
	}
	return user, exp.Time, nil
}

// validUser holds a name to what a User Name is, section 1.5.4.
func validUser(s string) bool {
	return s != "" && len(s) <= 65_535 && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// keyOf picks the keys that may have signed: those of the token's key
// identifier, where there are any, that are meant for its algorithm. The
// algorithm follows from the key and never the key from the algorithm, so that
// a public key is not taken for a secret.
func (k *Tokens) keyOf(t *jwt.Token) (any, error) {
	if _, critical := t.Header["crit"]; critical { // RFC 7515, 4.1.11
		return nil, errors.New("it asks for an extension")
	}
	id, named := t.Header["kid"].(string)
	var byID, others jwt.VerificationKeySet
	for _, key := range slices.Concat(k.keys, k.set.all()) {
		switch {
		case !key.allows(t.Method.Alg()):
		case named && key.id == id:
			byID.Keys = append(byID.Keys, key.key)
		case !named || key.id == "":
			others.Keys = append(others.Keys, key.key)
		}
	}
	if len(byID.Keys) > 0 {
		return byID, nil
	}
	if len(others.Keys) == 0 {
		return nil, errors.New("no key for it")
	}
	return others, nil
}
