package cmd

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mqt/mqtt/broker"
)

func TestPrintable(t *testing.T) {
	for _, s := range []string{"plain", "Grüße", "a\u009b31mb", "\u202eabc", "\U000e0001x", "\x7f", "\ufeff"} {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		out := printable(text)
		var back string
		if err := json.Unmarshal(out, &back); err != nil || back != s {
			t.Errorf("%q has become %s, %q, %v", s, out, back, err)
		}
		if strings.ContainsAny(string(out), "\u009b\u202e\U000e0001\x7f\ufeff") {
			t.Errorf("%q: %q", s, out)
		}
	}
}

func TestWhoSeesClients(t *testing.T) {
	b, err := broker.New(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Shutdown(t.Context()) })
	for _, tt := range []struct {
		open         bool
		remote, host string
		want         int
	}{
		{false, "127.0.0.1:5000", "localhost:9090", http.StatusOK},
		{false, "127.0.0.1:5000", "127.0.0.1", http.StatusOK},
		{false, "[::1]:5000", "[::1]:9090", http.StatusOK},
		{false, "127.0.0.1:5000", "rebound.example:9090", http.StatusForbidden},
		{false, "192.0.2.1:5000", "localhost:9090", http.StatusForbidden},
		{true, "192.0.2.1:5000", "broker.example:9090", http.StatusOK},
	} {
		r := httptest.NewRequest(http.MethodGet, "/clients", nil)
		r.RemoteAddr, r.Host = tt.remote, tt.host
		w := httptest.NewRecorder()
		newClientPages(b, tt.open).ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%+v: %d %s", tt, w.Code, w.Body)
		}
	}
	busy := newClientPages(b, true)
	busy.busy <- struct{}{}
	w := httptest.NewRecorder()
	busy.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/clients", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("two at a time: %d", w.Code)
	}
}
