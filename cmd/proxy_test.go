package cmd_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// testProxy is a small SOCKS5 or CONNECT proxy. It notes what it was asked for in a file.
type testProxy struct {
	user, password string
	log            string
	mu             sync.Mutex
}

// startProxy serves a proxy until the script ends: proxy KIND [USER PASSWORD] sets PROXY to its URL, without them, and
// writes targets to proxy.log. KIND is socks5h, socks5, http or https, whose certificate is c/server.pem; or silent,
// teapot (HTTP 418 to everybody), closing or chatty (bytes behind its answer).
func startProxy(ts *testscript.TestScript, _ bool, args []string) {
	kind := args[0]
	p := &testProxy{log: ts.MkAbs("proxy.log")}
	if len(args) > 1 {
		p.user, p.password = args[1], args[2]
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	scheme, addr := kind, l.Addr().String()
	switch kind {
	case "https":
		cert, err := tls.LoadX509KeyPair(ts.MkAbs("c/server.pem"), ts.MkAbs("c/server.key"))
		ts.Check(err)
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
	case "silent", "teapot", "closing", "chatty":
		scheme = "http"
	}
	ts.Defer(func() { l.Close() })
	ts.Setenv("PROXY", scheme+"://"+addr)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if scheme == "http" || scheme == "https" {
					p.connect(c, kind)
				} else {
					p.socks(c)
				}
			}()
		}
	}()
}

func (p *testProxy) note(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, err := os.OpenFile(p.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		fmt.Fprintln(f, target)
		f.Close()
	}
}

func (p *testProxy) connect(c net.Conn, kind string) {
	switch kind {
	case "silent":
		io.Copy(io.Discard, c)
		return
	case "closing":
		return
	}
	br := bufio.NewReader(c)
	r, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.user+":"+p.password))
	switch {
	case kind == "teapot":
		fmt.Fprint(c, "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n")
		return
	case r.Method != http.MethodConnect:
		fmt.Fprint(c, "HTTP/1.1 405 Method Not Allowed\r\n\r\n")
		return
	case p.user != "" && r.Header.Get("Proxy-Authorization") != want:
		fmt.Fprint(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return
	}
	p.note(r.Host)
	to, err := net.Dial("tcp", r.Host)
	if err != nil {
		fmt.Fprint(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	fmt.Fprint(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	if kind == "chatty" {
		fmt.Fprint(c, "hello")
	}
	relay(c, to)
}

func (p *testProxy) socks(c net.Conn) {
	buf := make([]byte, 512)
	read := func(n int) []byte {
		if _, err := io.ReadFull(c, buf[:n]); err != nil {
			return make([]byte, n)
		}
		return append([]byte{}, buf[:n]...)
	}
	methods := read(int(read(2)[1]))
	method := byte(0)
	if p.user != "" {
		method = 0xff
		for _, m := range methods {
			if m == 2 {
				method = 2
			}
		}
	}
	c.Write([]byte{5, method})
	if method == 0xff {
		return
	}
	if method == 2 {
		user := string(read(int(read(2)[1])))
		password := string(read(int(read(1)[0])))
		if user != p.user || password != p.password {
			c.Write([]byte{1, 1})
			return
		}
		c.Write([]byte{1, 0})
	}
	head := read(4)
	var host string
	switch head[3] {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = string(read(int(read(1)[0])))
	case 4:
		host = net.IP(read(16)).String()
	}
	port := read(2)
	target := net.JoinHostPort(host, strconv.Itoa(int(port[0])<<8|int(port[1])))
	p.note(target)
	to, err := net.Dial("tcp", target)
	if err != nil {
		c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	relay(c, to)
}

func relay(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		io.Copy(a, b)
		a.Close()
		close(done)
	}()
	io.Copy(b, a)
	b.Close()
	<-done
}
