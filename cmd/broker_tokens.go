package cmd

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"mqt/mqtt/access"
)

// tokenOptions are about JSON Web Tokens in the place of a password.
type tokenOptions struct{ key, jwks, jwksCA, audience, issuer, claim string }

func (o *tokenOptions) flags() []*option {
	const g = group("JSON Web Tokens, in the place of a password (* may change while the broker runs)")
	return []*option{
		g.text("jwt-key", "* `FILE` with a public key or certificate (PEM) for RS, ES and EdDSA, or the secret of HS256, HS384 and HS512", &o.key),
		g.text("jwks", "* `FILE` with a JSON Web Key Set, or its URL (http, https), fetched again for an unknown key and once 15 minutes old", &o.jwks),
		g.text("jwks-ca", "* `FILE` with the CA of that URL's server, in the place of the system's (PEM)", &o.jwksCA),
		g.text("jwt-audience", "* `NAME` that must be a token's audience; without it a token may have none", &o.audience),
		g.text("jwt-issuer", "* `NAME` that must be a token's issuer (default: any)", &o.issuer),
		g.text("jwt-user-claim", "* `CLAIM` with the user name (default: sub)", &o.claim),
	}
}

// load reads the keys; nil where tokens are not accepted.
func (o *tokenOptions) load(ctx context.Context, log *slog.Logger) (*access.Tokens, error) {
	t := access.TokenOptions{Audience: o.audience, Issuer: o.issuer, UserClaim: o.claim}
	if o.key == "" && o.jwks == "" {
		if o.jwksCA != "" || t.Audience != "" || t.Issuer != "" || t.UserClaim != "" {
			return nil, &usageError{text: "there is no key to check a token with", hint: "add --jwt-key FILE or --jwks FILE"}
		}
		return nil, nil // no tokens are no fault
	}
	file := o.jwks
	if scheme, _, ok := strings.Cut(o.jwks, "://"); ok && !isURL(o.jwks) {
		return nil, &usageError{text: "--jwks: a URL of the scheme " + shown(scheme), hint: "it is a file, or an http or https URL"}
	}
	if isURL(o.jwks) {
		var err error
		if t.KeySet, err = o.fetchKeys(ctx, log); err != nil {
			return nil, err
		}
		file = ""
	} else if o.jwksCA != "" {
		return nil, &usageError{text: "--jwks-ca is for a --jwks with an https URL"}
	}
	for _, f := range []struct {
		flag, path string
		dst        *[]byte
	}{{"--jwt-key", o.key, &t.Key}, {"--jwks", file, &t.JWKS}} {
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
		alone := access.TokenOptions{Key: t.Key} // so that a fault has the name of its file
		if f.dst == &t.JWKS {
			alone = access.TokenOptions{JWKS: t.JWKS}
		}
		if _, err := access.NewTokens(alone); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", f.flag, f.path, err)
		}
	}
	return access.NewTokens(t)
}

func isURL(s string) bool {
	scheme, _, ok := strings.Cut(s, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// fetchKeys names the URL without what may be secret in it.
func (o *tokenOptions) fetchKeys(ctx context.Context, log *slog.Logger) (*access.KeySet, error) {
	name, plain := "the URL", false
	if u, err := url.Parse(o.jwks); err == nil {
		name = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
		plain = u.Scheme == "http"
		if plain && !loopback(u.Hostname()) {
			log.Warn("the keys of tokens come by plain http: who is in between can make tokens", "url", name)
		}
	}
	ask := access.KeySetOptions{URL: o.jwks, Failed: func(err error) {
		log.Warn("the keys of tokens stay as they were", "url", name, "err", err)
	}}
	if o.jwksCA != "" {
		if plain {
			return nil, &usageError{text: "--jwks-ca is for a --jwks with an https URL"}
		}
		pem, err := readFile("--jwks-ca", o.jwksCA)
		if err != nil {
			return nil, err
		}
		ask.RootCAs = x509.NewCertPool()
		if !ask.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &tlsFileError{text: "--jwks-ca: no certificate in " + o.jwksCA, hint: "it must be PEM: -----BEGIN CERTIFICATE-----"}
		}
	}
	s, err := access.FetchKeySet(ctx, ask)
	if err != nil {
		return nil, fmt.Errorf("--jwks: %s: %w", name, err)
	}
	return s, nil
}
