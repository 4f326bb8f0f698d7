//go:build soak

package cmd_test

import (
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// badLink stands between clients and a server, and behaves as networks do at their worst.
type badLink struct {
	host, to string

	mu    sync.Mutex
	mode  string
	delay time.Duration
	wake  chan struct{} // closed at the next change
	conns map[net.Conn]struct{}
}

type linkKey struct{}

// theLink is that of a script.
type theLink struct{ link *badLink } // nil: none

// controlLink is the command link. The first time, and when MQTT_URL is another broker's, it puts itself before MQTT_URL, which
// is set to it and to be found in $DIRECT as it was; each time it says what it does from now on:
//
//	link open          what comes goes on, what was held first
//	link cut           ends the connections that there are, and then is open
//	link refuse        ends them, and each new one at once
//	link hole          swallows whatever comes, to both sides, and nobody hears of an end: the peer is gone without FIN
//	link hold          keeps what comes until it is open, so that it comes behind what later connections sent
//	link delay TIME    each piece comes so much later
//	link crumbs        each byte comes alone
func controlLink(ts *testscript.TestScript, _ bool, args []string) {
	all := ts.Value(linkKey{}).(*theLink)
	u, err := url.Parse(ts.Getenv("MQTT_URL"))
	ts.Check(err)
	if all.link == nil || all.link.host != u.Host {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		link := &badLink{to: u.Host, wake: make(chan struct{}), conns: map[net.Conn]struct{}{}}
		all.link = link
		_, port, err := net.SplitHostPort(l.Addr().String())
		ts.Check(err)
		u.Host = net.JoinHostPort(u.Hostname(), port)
		link.host = u.Host
		ts.Setenv("DIRECT", ts.Getenv("MQTT_URL"))
		ts.Setenv("MQTT_URL", u.String())
		go link.serve(l)
		ts.Defer(func() {
			l.Close()
			link.set("refuse", 0)
		})
	}
	delay := time.Duration(0)
	if len(args) > 1 {
		var err error
		delay, err = time.ParseDuration(args[1])
		ts.Check(err)
	}
	all.link.set(args[0], delay)
}

func (l *badLink) set(mode string, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mode, l.delay = mode, delay
	close(l.wake)
	l.wake = make(chan struct{})
	if mode != "cut" && mode != "refuse" {
		return
	}
	for c := range l.conns {
		c.Close()
	}
	clear(l.conns)
}

func (l *badLink) now() (mode string, delay time.Duration, wake chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mode, l.delay, l.wake
}

func (l *badLink) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		l.conns[c] = struct{}{}
	}
	return l.mode != "refuse"
}

func (l *badLink) serve(from net.Listener) {
	for {
		c, err := from.Accept()
		if err != nil {
			return
		}
		go func() {
			s, err := net.Dial("tcp", l.to)
			if err != nil {
				c.Close()
				return
			}
			if !l.keep(c, s) {
				c.Close()
				s.Close()
				return
			}
			go l.carry(s, c)
			l.carry(c, s)
		}()
	}
}

// carry takes what comes to the other side.
func (l *badLink) carry(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !l.pass(to, buf[:n]) || err != nil {
			break
		}
	}
	for mode, _, wake := l.now(); mode == "hole" || mode == "hold"; mode, _, wake = l.now() {
		<-wake // the end is swallowed too
	}
	to.Close()
	from.Close()
}

func (l *badLink) pass(to net.Conn, p []byte) bool {
	if len(p) == 0 {
		return true
	}
	mode, delay, wake := l.now()
	for ; mode == "hold"; mode, delay, wake = l.now() {
		<-wake
	}
	switch mode {
	case "hole":
		return true
	case "delay":
		time.Sleep(delay)
	case "crumbs":
		for i := range p {
			if _, err := to.Write(p[i : i+1]); err != nil {
				return false
			}
		}
		return true
	}
	_, err := to.Write(p)
	return err == nil
}
