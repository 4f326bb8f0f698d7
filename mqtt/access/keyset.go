package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// How keys are fetched.
const (
	maxKeySet     = 1 << 20  // bytes
	maxKeyHeader  = 64 << 10 // bytes of the response's header
	maxRedirects  = 3
	fetchTimeout  = 10 * time.Second // from the first look-up to the last byte
	fetchPause    = time.Minute      // between two attempts
	fetchInterval = 15 * time.Minute // how long keys are good
)

// How it is waited for.
const (
	maxWaiting    = 1024            // more do without
	knownPatience = 2 * time.Second // of a token whose key is there, but old
)

// KeySet is a JSON Web Key Set (RFC 7517) behind a URL. It is fetched anew when
// a token names a key that is not in it, though once a minute at most, and when
// it is older than 15 minutes. A failed attempt leaves the keys as they are.
// Make it with FetchKeySet; it can be used by several goroutines, and needs no
// end: it fetches for those who ask, and nothing runs in between.
type KeySet struct {
	url    string
	client *http.Client
	failed func(error)
	keys   atomic.Pointer[[]verifyKey]
	waits  atomic.Int32

	mu      sync.Mutex
	tried   time.Time     // begin of the last attempt
	fetched time.Time     // begin of the last that was good
	flight  chan struct{} // closed at the end of the attempt under way, nil: none
}

// KeySetOptions say where keys are. URL is needed.
type KeySetOptions struct {
	// URL is http or https.
	URL string
	// Transport is what requests go by. Default: TCP or TLS, with the proxy that
	// the environment names.
	Transport http.RoundTripper
	// RootCAs are those that sign the certificate of an https server. Default: the
	// system's. It is for the default Transport only.
	RootCAs *x509.CertPool
	// Failed is told of attempts after the first that fail, by any goroutine.
	// Default: nobody is.
	Failed func(error)
}

// FetchKeySet fetches the keys, in 10 seconds and 1 MiB at most. Its error is an
// ErrToken.
func FetchKeySet(ctx context.Context, o KeySetOptions) (*KeySet, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("%w: key set: it is no http or https URL", ErrToken)
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: maxKeyHeader,
			TLSClientConfig: &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	}
	s := &KeySet{url: o.URL, failed: o.Failed, client: &http.Client{Transport: o.Transport, CheckRedirect: checkRedirect}}
	s.tried = time.Now()
	s.fetched = s.tried
	if err := s.fetch(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// checkRedirect does not give up what TLS protects.
func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if r.URL.Scheme != "https" && via[0].URL.Scheme == "https" {
		return errors.New("a redirect away from https")
	}
	return nil
}

// fetch makes one attempt.
func (s *KeySet) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	keys, err := s.get(ctx)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, in which there may be a password
		}
		return fmt.Errorf("%w: key set: %w", ErrToken, err)
	}
	s.keys.Store(&keys)
	return nil
}

func (s *KeySet) get(ctx context.Context) ([]verifyKey, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxKeySet:
		return nil, fmt.Errorf("more than %d bytes", maxKeySet)
	case len(text) == 0:
		return nil, errors.New("nothing came")
	}
	return parseJWKS(text)
}

// all are the keys of the last attempt that was good.
func (s *KeySet) all() []verifyKey {
	if s == nil {
		return nil
	}
	return *s.keys.Load()
}

func (s *KeySet) has(id string) bool {
	return slices.ContainsFunc(s.all(), func(k verifyKey) bool { return k.id == id })
}

// prepare waits for an attempt that the key identifier makes due.
func (s *KeySet) prepare(stop <-chan struct{}, id string) {
	missing := id != "" && !s.has(id)
	flight := s.refresh(missing)
	if flight == nil {
		return
	}
	defer s.waits.Add(-1)
	if s.waits.Add(1) > maxWaiting {
		return
	}
	patience := fetchTimeout
	if !missing {
		patience = knownPatience
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-flight:
	case <-late.C:
	case <-stop:
	}
}

// refresh fetches the keys where one is missing or they are old, and returns
// the end of the attempt under way, nil for none. There is one at a time.
func (s *KeySet) refresh(missing bool) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !missing && now.Sub(s.fetched) < fetchInterval {
		return nil
	}
	if s.flight != nil || now.Sub(s.tried) < fetchPause {
		return s.flight
	}
	s.tried = now
	s.flight = make(chan struct{})
	go s.fly(now)
	return s.flight
}

// fly is an attempt. It is nobody's: who asked for it may have gone.
func (s *KeySet) fly(begin time.Time) {
	err := s.fetch(context.Background())
	s.mu.Lock()
	if err == nil {
		s.fetched = begin
	}
	close(s.flight)
	s.flight = nil
	s.mu.Unlock()
	if err != nil && s.failed != nil {
		s.failed(err)
	}
}
