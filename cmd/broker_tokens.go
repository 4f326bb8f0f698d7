package cmd

import (
	"errors"
	"fmt"

	"mqt/mqtt/access"
)

// tokenOptions are about JSON Web Tokens in the place of a password.
type tokenOptions struct{ key, jwks, audience, issuer, claim string }

func (o *tokenOptions) flags() []*option {
	const g = group("JSON Web Tokens, in the place of a password (* may change while the broker runs)")
	return []*option{
		g.text("jwt-key", "* `FILE` with a public key or certificate (PEM) for RS, ES and EdDSA, or the secret of HS256, HS384 and HS512", &o.key),
		g.text("jwks", "* `FILE` with a JSON Web Key Set", &o.jwks),
		g.text("jwt-audience", "* `NAME` that must be a token's audience; without it a token may have none", &o.audience),
		g.text("jwt-issuer", "* `NAME` that must be a token's issuer (default: any)", &o.issuer),
		g.text("jwt-user-claim", "* `CLAIM` with the user name (default: sub)", &o.claim),
	}
}

// load reads the keys; nil where tokens are not accepted.
func (o *tokenOptions) load() (*access.Tokens, error) {
	t := access.TokenOptions{Audience: o.audience, Issuer: o.issuer, UserClaim: o.claim}
	if o.key == "" && o.jwks == "" {
		if t.Audience != "" || t.Issuer != "" || t.UserClaim != "" {
			return nil, &usageError{text: "there is no key to check a token with", hint: "add --jwt-key FILE or --jwks FILE"}
		}
		return nil, nil // no tokens are no fault
	}
	for _, f := range []struct {
		flag, path string
		dst        *[]byte
	}{{"--jwt-key", o.key, &t.Key}, {"--jwks", o.jwks, &t.JWKS}} {
		if f.path == "" {
			continue
		}
		text, err := readFile(f.flag, f.path)
		if err == nil && len(text) == 0 {
			err = fmt.Errorf("%s: %s: %w", f.flag, f.path, errors.New("the file is empty"))
		}
		if err != nil {
			return nil, err
		}
		*f.dst = text
	}
	return access.NewTokens(t)
}
