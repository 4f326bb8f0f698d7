package cmd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

// capture writes what the client and the server say to a pcap file, for
// Wireshark: below TLS, WebSocket and proxies, each connection as one of TCP to
// port 1883 with headers made up here.
type capture struct {
	mu   sync.Mutex
	file io.Writer // nil: it has failed
	warn io.Writer
	last netip.AddrPort // of the connection before, for its port
}

// The file's format: nanoseconds, and packets that begin with IP.
const (
	pcapMagic   = 0xa1b23c4d
	pcapRawIP   = 101
	pcapMost    = 262_144
	pcapSegment = 60_000 // an IP packet has no more than 65,535 bytes
	pcapPort    = 1883
)

// startCapture begins the file and has c's connections go through it.
func startCapture(path string, c *client.Options, warn io.Writer) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("--pcap: %w", err)
	}
	head := binary.LittleEndian.AppendUint32(nil, pcapMagic)
	head = binary.LittleEndian.AppendUint16(head, 2)
	head = binary.LittleEndian.AppendUint16(head, 4)
	head = append(head, make([]byte, 8)...) // UTC
	head = binary.LittleEndian.AppendUint32(head, pcapMost)
	head = binary.LittleEndian.AppendUint32(head, pcapRawIP)
	if _, err := f.Write(head); err != nil {
		return fmt.Errorf("--pcap: %w", err)
	}
	fmt.Fprintf(warn, "mqt: --pcap: %s has all that is said, passwords too\n", path)
	k := &capture{file: f, warn: warn} // open until the process ends
	endpoint, options := c.Endpoint, c.DialOptions
	c.Dial = func(ctx context.Context) (net.Conn, error) {
		nc, err := transport.Dial(ctx, endpoint, options)
		if err != nil {
			return nil, err
		}
		return k.open(nc), nil
	}
	return nil
}

// captured is one connection; what it reads and writes is captured.
type captured struct {
	net.Conn
	k    *capture
	flow [2]tcpSide // ours, the server's

	mu     sync.Mutex // of flow
	closed bool
}

// tcpSide is one end of the made-up connection.
type tcpSide struct {
	addr netip.AddrPort
	next uint32 // sequence number
}

// TCP's flags.
const (
	tcpFin = 1 << iota
	tcpSyn
	_
	tcpPush
	tcpAck
)

// open begins a connection with the handshake of TCP.
func (k *capture) open(nc net.Conn) *captured {
	c := &captured{Conn: nc, k: k}
	ours, theirs := addrPort(nc.LocalAddr()), addrPort(nc.RemoteAddr())
	if !ours.IsValid() || !theirs.IsValid() || ours.Addr().Is4() != theirs.Addr().Is4() {
		ours = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
		theirs = ours
	}
	k.mu.Lock()
	if ours.Port() == 0 || ours == k.last || ours.Port() == pcapPort {
		ours = netip.AddrPortFrom(ours.Addr(), max(k.last.Port(), 49_151)+1)
	}
	k.last = ours
	k.mu.Unlock()
	c.flow[0].addr, c.flow[1].addr = ours, netip.AddrPortFrom(theirs.Addr(), pcapPort)
	c.segment(0, tcpSyn, nil)
	c.segment(1, tcpSyn|tcpAck, nil)
	c.segment(0, tcpAck, nil)
	return c
}

// addrPort is an address of TCP; of others it is not valid.
func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		p := t.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
	}
	return netip.AddrPort{}
}

func (c *captured) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.data(1, p[:n])
	if errors.Is(err, io.EOF) {
		c.end(1)
	}
	return n, err
}

func (c *captured) Write(p []byte) (int, error) {
	c.data(0, p) // before the answer can come
	return c.Conn.Write(p)
}

func (c *captured) Close() error {
	c.end(0)
	return c.Conn.Close()
}

func (c *captured) data(from int, p []byte) {
	for len(p) > 0 {
		n := min(len(p), pcapSegment)
		c.segment(from, tcpPush|tcpAck, p[:n])
		p = p[n:]
	}
}

// end closes both directions, once.
func (c *captured) end(by int) {
	c.mu.Lock()
	done := c.closed
	c.closed = true
	c.mu.Unlock()
	if done {
		return
	}
	c.segment(by, tcpFin|tcpAck, nil)
	c.segment(1-by, tcpFin|tcpAck, nil)
	c.segment(by, tcpAck, nil)
}

// segment writes one record. Its order in the file is that of the calls.
func (c *captured) segment(from int, flags byte, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	src, dst := &c.flow[from], &c.flow[1-from]
	tcp := make([]byte, 20, 20+len(payload))
	binary.BigEndian.PutUint16(tcp[0:], src.addr.Port())
	binary.BigEndian.PutUint16(tcp[2:], dst.addr.Port())
	binary.BigEndian.PutUint32(tcp[4:], src.next)
	if flags&tcpAck != 0 {
		binary.BigEndian.PutUint32(tcp[8:], dst.next)
	}
	tcp[12], tcp[13] = 5<<4, flags
	binary.BigEndian.PutUint16(tcp[14:], 65_535) // window
	tcp = append(tcp, payload...)
	binary.BigEndian.PutUint16(tcp[16:], checksum(tcp, pseudoHeader(src.addr.Addr(), dst.addr.Addr(), len(tcp))))
	src.next += uint32(len(payload))
	if flags&(tcpSyn|tcpFin) != 0 {
		src.next++
	}
	c.k.write(append(ipHeader(src.addr.Addr(), dst.addr.Addr(), len(tcp)), tcp...))
}

// write adds a record with the time now.
func (k *capture) write(packet []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.file == nil {
		return
	}
	now := time.Now()
	b := binary.LittleEndian.AppendUint32(nil, uint32(now.Unix()))
	b = binary.LittleEndian.AppendUint32(b, uint32(now.Nanosecond()))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
	if _, err := k.file.Write(append(b, packet...)); err != nil {
		k.file = nil
		fmt.Fprintln(k.warn, "mqt: --pcap:", err.Error()+"; nothing more is captured")
	}
}

const protocolTCP = 6

// ipHeader is of version 4 or 6.
func ipHeader(src, dst netip.Addr, length int) []byte {
	if !src.Is4() {
		h := make([]byte, 8, 40+length)
		h[0] = 6 << 4
		binary.BigEndian.PutUint16(h[4:], uint16(length))
		h[6], h[7] = protocolTCP, 64
		return append(append(h, src.AsSlice()...), dst.AsSlice()...)
	}
	h := make([]byte, 12, 20+length)
	h[0] = 4<<4 | 5
	binary.BigEndian.PutUint16(h[2:], uint16(20+length))
	h[6] = 1 << 6 // don't fragment
	h[8], h[9] = 64, protocolTCP
	h = append(append(h, src.AsSlice()...), dst.AsSlice()...)
	binary.BigEndian.PutUint16(h[10:], checksum(h, nil))
	return h
}

// pseudoHeader is what TCP's checksum covers beside the segment.
func pseudoHeader(src, dst netip.Addr, length int) []byte {
	h := append(src.AsSlice(), dst.AsSlice()...)
	h = binary.BigEndian.AppendUint32(h, uint32(length))
	return binary.BigEndian.AppendUint32(h, protocolTCP)
}

// checksum is that of RFC 1071.
func checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, b := range parts {
		for ; len(b) > 1; b = b[2:] {
			sum += uint32(b[0])<<8 | uint32(b[1])
		}
		if len(b) == 1 {
			sum += uint32(b[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
