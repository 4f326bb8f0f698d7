//go:build soak

package cmd_test

import (
	"net"
	"net/netip"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/net/dns/dnsmessage"
)

// nameServer knows one address for all names under test, or none.
type nameServer struct {
	mu   sync.Mutex
	addr netip.Addr // the zero Addr: there is no such name
	mute bool       // it does not answer
}

type namesKey struct{}

// theNames is the nameServer of a script.
type theNames struct{ server *nameServer } // nil: none

// setNames is the command names: names ADDRESS|none|mute. The first time it starts a DNS server, which mqt asks from then on; each
// time it says what the server answers from now on: this address for any name, that there is none, or nothing.
func setNames(ts *testscript.TestScript, _ bool, args []string) {
	all := ts.Value(namesKey{}).(*theNames)
	if all.server == nil {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		ts.Check(err)
		ts.Defer(func() { c.Close() })
		ts.Setenv("TEST_DNS", c.LocalAddr().String())
		all.server = &nameServer{}
		go all.server.serve(c)
	}
	s := all.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addr, s.mute = netip.Addr{}, args[0] == "mute"
	if args[0] != "mute" && args[0] != "none" {
		s.addr = netip.MustParseAddr(args[0])
	}
}

func (s *nameServer) serve(c net.PacketConn) {
	for buf := make([]byte, 1500); ; {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		s.mu.Lock()
		addr, mute := s.addr, s.mute
		s.mu.Unlock()
		q := m.Questions[0]
		answer := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionDesired: m.RecursionDesired, RecursionAvailable: true}, Questions: m.Questions}
		switch {
		case mute:
			continue
		case !addr.IsValid():
			answer.RCode = dnsmessage.RCodeNameError
		case q.Type == dnsmessage.TypeA:
			answer.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: &dnsmessage.AResource{A: addr.As4()}}}
		}
		if b, err := answer.Pack(); err == nil {
			_, _ = c.WriteTo(b, from)
		}
	}
}
