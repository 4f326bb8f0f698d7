package access

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func secretOf(id string) []byte { return []byte(strings.Repeat(id, minSecret)) }

func setOf(ids ...string) string {
	var keys []string
	for _, id := range ids {
		keys = append(keys, fmt.Sprintf(`{"kty":"oct","kid":%q,"k":%q}`, id, base64.RawURLEncoding.EncodeToString(secretOf(id))))
	}
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
}

// source serves keys within a bubble.
type source struct {
	body     atomic.Value // a string; "": HTTP 500
	delay    atomic.Int64 // before the answer
	requests atomic.Int32
	failed   atomic.Value // the last error
}

func (s *source) RoundTrip(r *http.Request) (*http.Response, error) {
	s.requests.Add(1)
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-time.After(time.Duration(s.delay.Load())):
	}
	w := httptest.NewRecorder()
	if body := s.body.Load().(string); body == "" {
		w.WriteHeader(http.StatusInternalServerError)
	} else {
		w.WriteString(body)
	}
	return w.Result(), nil
}

func (s *source) tokens(t *testing.T, body string) *Tokens {
	t.Helper()
	s.body.Store(body)
	set, err := FetchKeySet(t.Context(), KeySetOptions{URL: "https://idp.example/keys", Transport: s, Failed: func(err error) { s.failed.Store(err) }})
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewTokens(TokenOptions{KeySet: set})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// present does as a server does, and tells how long it took.
func present(t *testing.T, k *Tokens, id string) (ok bool, took time.Duration) {
	t.Helper()
	token := sign(t, pair{jwt.SigningMethodHS256, secretOf(id), nil}, sound(), map[string]any{"kid": id})
	begin := time.Now()
	k.Prepare(nil, token)
	took = time.Since(begin)
	_, _, err := k.Check(token)
	if err != nil && !errors.Is(err, ErrToken) {
		t.Error(err)
	}
	return err == nil, took
}

func TestKeySetRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s source
		k := s.tokens(t, setOf("a"))
		for i, step := range []struct {
			sleep    time.Duration
			body     string // served from now on
			id       string
			ok       bool
			requests int32
		}{
			{0, setOf("a"), "a", true, 1},
			{0, setOf("b"), "b", false, 1}, // a minute has not passed
			{0, setOf("b"), "a", true, 1},
			{fetchPause, setOf("b"), "b", true, 2},
			{0, setOf("b"), "a", false, 2}, // it is gone
			{fetchPause - 1, setOf("b"), "nobody's", false, 2},
			{1, setOf("b"), "nobody's", false, 3},
			{0, setOf("b"), "nobody's", false, 3},
			{fetchInterval - 1, setOf("c"), "b", true, 3},
			{1, setOf("c"), "b", false, 4}, // nothing but its age made it be fetched
			{fetchInterval, "", "c", true, 5},
			{fetchPause - 1, setOf("d"), "c", true, 5}, // nor is a failure tried again at once
			{1, `{"keys":[]}`, "c", true, 6},
			{fetchPause, setOf("d"), "d", true, 7},
		} {
			time.Sleep(step.sleep)
			s.body.Store(step.body)
			if ok, _ := present(t, k, step.id); ok != step.ok || s.requests.Load() != step.requests {
				t.Fatalf("step %d: %q: %t after %d requests, want %t after %d", i, step.id, ok, s.requests.Load(), step.ok, step.requests)
			}
			if failure, _ := s.failed.Load().(error); i == 10 && (!errors.Is(failure, ErrToken) || !strings.Contains(failure.Error(), "HTTP 500")) {
				t.Errorf("told %v", failure)
			}
		}
		k.Prepare(nil, []byte("eyJ.no.token"))
		if k.Prepare(nil, make([]byte, maxToken+1)); s.requests.Load() != 7 {
			t.Error("what is no token made it be fetched")
		}
	})
}

// Many ask for one attempt, and wait for it no longer than it may take.
func TestKeySetIsFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s source
		k := s.tokens(t, setOf("a"))
		s.body.Store(setOf("a", "b"))
		s.delay.Store(int64(5 * time.Second))
		time.Sleep(fetchInterval)
		var wg sync.WaitGroup
		var good, old atomic.Int32
		for range 200 {
			wg.Go(func() {
				if ok, took := present(t, k, "b"); ok && took == 5*time.Second {
					good.Add(1)
				}
			})
			wg.Go(func() { // its key is there
				if ok, took := present(t, k, "a"); ok && took == knownPatience {
					old.Add(1)
				}
			})
		}
		wg.Wait()
		if good.Load() != 200 || old.Load() != 200 || s.requests.Load() != 2 {
			t.Errorf("%d and %d good, %d requests", good.Load(), old.Load(), s.requests.Load())
		}

		s.delay.Store(int64(time.Hour))
		time.Sleep(fetchPause)
		stop := make(chan struct{})
		close(stop)
		begin := time.Now()
		k.Prepare(stop, sign(t, pair{jwt.SigningMethodHS256, secretOf("c"), nil}, sound(), map[string]any{"kid": "c"}))
		if took := time.Since(begin); took != 0 {
			t.Errorf("stopped after %v", took)
		}
		if ok, took := present(t, k, "c"); ok || took != fetchTimeout {
			t.Errorf("without an answer: %t after %v", ok, took)
		}
		synctest.Wait()
		if failure, _ := s.failed.Load().(error); !errors.Is(failure, context.DeadlineExceeded) {
			t.Errorf("told %v", failure)
		}
		k.set.waits.Store(maxWaiting)
		time.Sleep(fetchPause)
		if ok, took := present(t, k, "c"); ok || took != 0 {
			t.Errorf("one too many: %t after %v", ok, took)
		}
		time.Sleep(fetchTimeout)
	})
}

func TestFetchKeySetFails(t *testing.T) {
	mux := http.NewServeMux()
	answer := func(path, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) })
	}
	set := setOf("a")
	answer("/good", set)
	answer("/full", set+strings.Repeat(" ", maxKeySet-len(set)))
	answer("/large", set+strings.Repeat(" ", maxKeySet+1-len(set)))
	answer("/empty", "")
	answer("/html", "<html>")
	mux.Handle("/moved", http.RedirectHandler("/good", http.StatusFound))
	mux.Handle("/round", http.RedirectHandler("/round", http.StatusFound))
	mux.HandleFunc("/header", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 2*maxKeyHeader))
		io.WriteString(w, set)
	})
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := httptest.NewServer(mux)
	defer server.Close()
	for path, want := range map[string]string{
		"/good": "", "/full": "", "/moved": "",
		"/large": "more than 1048576 bytes", "/empty": "nothing came", "/html": "invalid character", "/missing": "HTTP 404",
		"/round": "redirects", "/header": "header", "/silent": "deadline",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		if path == "/silent" {
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		}
		_, err := FetchKeySet(ctx, KeySetOptions{URL: strings.Replace(server.URL, "://", "://user:hidden@", 1) + path})
		cancel()
		if want == "" && err != nil || want != "" && (!errors.Is(err, ErrToken) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", path, err)
		}
		if strings.Contains(fmt.Sprint(err), "hidden") {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, u := range []string{"", "file:///keys", "https://", "ftp://host/keys", "http://[", "host/keys"} {
		if _, err := FetchKeySet(t.Context(), KeySetOptions{URL: u}); !errors.Is(err, ErrToken) {
			t.Errorf("%q: %v", u, err)
		}
	}
	secure, plain := httptest.NewRequest("GET", "https://host/", nil), httptest.NewRequest("GET", "http://host/", nil)
	if checkRedirect(plain, []*http.Request{secure}) == nil || checkRedirect(secure, []*http.Request{plain}) != nil || checkRedirect(plain, []*http.Request{plain}) != nil {
		t.Error("redirects between http and https")
	}
}
