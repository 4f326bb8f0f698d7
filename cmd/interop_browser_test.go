//go:build interop

package cmd_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// browserChecks is how many the page makes: in 3.1.1 those of every version, and in 5.0 one more.
const browserChecks = 7 + 8

// TestInteropBrowser has a page in headless Chromium check each broker with MQTT.js.
func TestInteropBrowser(t *testing.T) {
	if os.Getenv("NODE_PATH") == "" {
		t.Fatal("NODE_PATH does not name the folder with MQTT.js: npm install mqtt")
	}
	for broker, start := range brokers() {
		t.Run(broker, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			page := servePage(t, s)
			ended, stderr := startChromium(t, page.url+"/?broker="+s.name+"&url="+url.QueryEscape(s.ws))
			page.wait(t, ended, stderr)
		})
	}
}

// browserPage is what the page says to the server that it came from.
type browserPage struct {
	url     string
	reports chan string

	mu      sync.Mutex
	origins []string // of the WebSocket requests that went through the proxy
}

// servePage serves the page, MQTT.js, and a proxy to the broker that sees the browser's WebSocket requests.
func servePage(t *testing.T, s interopServer) *browserPage {
	t.Helper()
	target, err := url.Parse(strings.Replace(s.ws, "ws:", "http:", 1))
	if err != nil {
		t.Fatal(err)
	}
	p := &browserPage{reports: make(chan string, 100)}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
		p.mu.Lock()
		defer p.mu.Unlock()
		p.origins = append(p.origins, r.Out.Header.Get("Origin"))
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, checkScript("browser.html")) })
	mux.HandleFunc("GET /mqtt.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(os.Getenv("NODE_PATH"), "mqtt", "dist", "mqtt.min.js"))
	})
	mux.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		line, err := io.ReadAll(io.LimitReader(r.Body, 4000))
		if err != nil {
			line = []byte("FAIL report: " + err.Error())
		}
		p.reports <- string(line)
	})
	mux.Handle("GET /mqtt", proxy)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// wait logs what the page reports, until its end.
func (p *browserPage) wait(t *testing.T, ended <-chan struct{}, stderr func() []byte) {
	t.Helper()
	deadline := time.After(checkTimeout)
	checks := 0
	for {
		select {
		case line := <-p.reports:
			switch {
			case line == "end":
				if checks != browserChecks {
					t.Fatalf("%d checks passed, want %d", checks, browserChecks)
				}
				p.checkOrigins(t)
				return
			case strings.HasPrefix(line, "ok "):
				checks++
				t.Log(line)
			default:
				t.Error(line)
			}
		case <-ended:
			t.Fatalf("chromium ended early\n%s", lastBytes(stderr()))
		case <-deadline:
			t.Fatalf("the page has not come to its end after %v", checkTimeout)
		}
	}
}

// checkOrigins wants the Origin of the page with each WebSocket request, as no other client sends it.
func (p *browserPage) checkOrigins(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.origins) == 0 || slices.ContainsFunc(p.origins, func(o string) bool { return o != p.url }) {
		t.Errorf("Origin headers %q, want only %q", p.origins, p.url)
	}
}

// startChromium opens the page until the test ends, in a profile of its own. stderr may be read once it has ended.
func startChromium(t *testing.T, page string) (ended <-chan struct{}, stderr func() []byte) {
	t.Helper()
	dir, err := os.MkdirTemp("", "mqt-chromium-") // t.TempDir's name is long for the sockets below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-default-apps", "--disable-sync",
		"--disable-breakpad", "--no-proxy-server", "--user-data-dir="+dir, page)
	c.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir)
	var said bytes.Buffer
	c.Stderr = &said
	// Its helpers hold its streams: Wait returns once all of them are gone.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = startTimeout
	if err := c.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		c.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		defer cancel()
		c.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(startTimeout):
			cancel()
			<-done
		}
	})
	return done, said.Bytes
}
