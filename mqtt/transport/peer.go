package transport

import (
	"net"
	"net/netip"
)

// PeerHost is what limits by address count a peer by: an IPv4 address, or the /64 of an IPv6 address, which one host has
// to itself. It reports false for this machine, which such limits leave alone: proxies and load tests live here.
func PeerHost(a net.Addr) (netip.Addr, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	if !ip.IsValid() || ip.IsLoopback() {
		return netip.Addr{}, false
	}
	if ip.Is6() {
		p, _ := ip.Prefix(64) // 64 bits are there
		return p.Addr(), true
	}
	return ip, true
}
