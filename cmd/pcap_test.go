package cmd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// fakeConn has addresses and plays back what it reads.
type fakeConn struct {
	net.Conn
	local, remote net.Addr
	in            bytes.Reader
}

func (c *fakeConn) Read(p []byte) (int, error)  { return c.in.Read(p) }
func (c *fakeConn) Write(p []byte) (int, error) { return len(p), nil }
func (c *fakeConn) Close() error                { return nil }
func (c *fakeConn) LocalAddr() net.Addr         { return c.local }
func (c *fakeConn) RemoteAddr() net.Addr        { return c.remote }

// TestCapture reads what is captured as a receiver of the segments would.
func TestCapture(t *testing.T) {
	big := slices.Repeat([]byte("abcdefg"), 20_001)
	for name, c := range map[string]*fakeConn{
		"ipv4": {local: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 40000}, remote: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 8883}},
		"ipv6": {local: &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 40000}, remote: &net.TCPAddr{IP: net.ParseIP("fe80::2"), Port: 1883}},
		"unix": {local: &net.UnixAddr{}, remote: &net.UnixAddr{Name: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			var file bytes.Buffer
			c.in.Reset(big)
			nc := (&capture{file: &file, warn: io.Discard}).open(c)
			for _, out := range [][]byte{[]byte("hello"), big, []byte("bye")} {
				if _, err := nc.Write(out); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := io.ReadAll(nc); err != nil || !bytes.Equal(got, big) {
				t.Fatalf("%d bytes read, %v", len(got), err)
			}
			nc.Close()
			sent, received := reassemble(t, file.Bytes())
			if !bytes.Equal(sent, slices.Concat([]byte("hello"), big, []byte("bye"))) || !bytes.Equal(received, big) {
				t.Errorf("%d bytes out and %d in", len(sent), len(received))
			}
		})
	}
}

// reassemble checks lengths, checksums and sequence numbers.
func reassemble(t *testing.T, file []byte) (sent, received []byte) {
	t.Helper()
	next := make(map[uint16]uint32)
	for len(file) > 0 {
		n := binary.LittleEndian.Uint32(file[8:])
		if at := time.Unix(int64(binary.LittleEndian.Uint32(file)), 0); time.Since(at) > time.Hour {
			t.Errorf("a record of %v", at)
		}
		ip := file[16 : 16+n]
		file = file[16+n:]
		head, length := 20, int(binary.BigEndian.Uint16(ip[2:]))
		addrs := ip[12:20]
		if ip[0]>>4 == 6 {
			head, length, addrs = 40, 40+int(binary.BigEndian.Uint16(ip[4:])), ip[8:40]
		} else if checksum(ip[:20]) != 0 {
			t.Error("the checksum of IP is wrong")
		}
		tcp := ip[head:]
		pseudo := append(bytes.Clone(addrs), 0, 0, byte(len(tcp)>>8), byte(len(tcp)), 0, 0, 0, 6)
		if length != len(ip) || checksum(tcp, pseudo) != 0 {
			t.Errorf("a packet of %d bytes says it has %d, or its checksum is wrong", len(ip), length)
		}
		port, seq := binary.BigEndian.Uint16(tcp), binary.BigEndian.Uint32(tcp[4:])
		if seq != next[port] {
			t.Errorf("sequence number %d, want %d", seq, next[port])
		}
		next[port] += uint32(len(tcp) - 20)
		if tcp[13]&(tcpSyn|tcpFin) != 0 {
			next[port]++
		}
		if port == pcapPort {
			received = append(received, tcp[20:]...)
		} else {
			sent = append(sent, tcp[20:]...)
		}
	}
	return sent, received
}

// failing cannot be written to.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// A full disk ends the capture, with one word, and not the run.
func TestCaptureFails(t *testing.T) {
	var warn bytes.Buffer
	c := &fakeConn{local: &net.UnixAddr{}, remote: &net.UnixAddr{}}
	nc := (&capture{file: failing{}, warn: &warn}).open(c)
	if n, err := nc.Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if warn.String() != "mqt: --pcap: disk full; nothing more is captured\n" {
		t.Errorf("said %q", warn.String())
	}
}
