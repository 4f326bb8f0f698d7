package mqtt_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"mqt/mqtt"
)

// FuzzClient reads what a client may send, FuzzServer what a server may.
func FuzzClient(f *testing.F) { fuzz(f, mqtt.Client) }

func FuzzServer(f *testing.F) { fuzz(f, mqtt.Server) }

func fuzz(f *testing.F, side mqtt.Side) {
	f.Helper()
	versions := []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V50}
	if side == mqtt.Client {
		versions = append(versions, 0) // before CONNECT
	}
	for _, v := range vectors(f) {
		for i, version := range versions {
			if slices.Contains(v.from, side) && (version == 0 || slices.Contains(v.versions, version)) {
				f.Add(byte(i), v.wire)
			}
		}
	}
	// Packets after packets: the state that a Reader reuses must not leak from one into the next.
	f.Add(byte(2), unhex("30 09 00 01 61 03 23 00 01 70 71 40 02 00 01 32 06 00 01 61 00 02 00"))
	f.Fuzz(func(t *testing.T, version byte, p []byte) {
		r := &mqtt.Reader{From: side, Version: versions[int(version)%len(versions)], MaximumPacketSize: 1 << 20}
		for len(p) > 0 {
			n := fuzzOne(t, r, p)
			if n == 0 {
				return
			}
			p = p[n:]
		}
	})
}

// fuzzOne reads the packet at the start of p and holds what was read to the rules; it returns its length.
func fuzzOne(t *testing.T, r *mqtt.Reader, p []byte) int {
	t.Helper()
	input := bytes.Clone(p)
	packet, n, err := r.Read(p)
	if !bytes.Equal(p, input) {
		t.Fatal("Read changed its input")
	}
	if packet != nil {
		_ = fmt.Sprint(packet)
	}
	if err != nil {
		e, ok := errors.AsType[*mqtt.Error](err)
		if !ok || !e.Code.Failed() || e.Statement == "" || e.Text == "" {
			t.Fatalf("% x: error %#v", p, err)
		}
		return 0
	}
	if n == 0 {
		if packet != nil || mqtt.Need(p, r.Version) != 0 && mqtt.Need(p, r.Version) <= len(p) {
			t.Fatalf("% x: more is needed, but the packet is there: %v", p, packet)
		}
		return 0
	}
	if n < 2 || n > len(p) || n != mqtt.Need(p, r.Version) {
		t.Fatalf("% x: read %d bytes of %d, need %d", p, n, len(p), mqtt.Need(p, r.Version))
	}
	meaning := render(packet)
	version := r.Version
	if c, ok := packet.(*mqtt.Connect); ok {
		version = c.Version
	}
	fresh := &mqtt.Reader{From: r.From, Version: r.Version}
	if again, _, err := fresh.Read(p[:n:n]); err != nil || render(again) != meaning {
		t.Fatalf("% x: a fresh Reader disagrees: %v, %s", p[:n], err, meaning)
	}
	wire, err := packet.Append(nil, version)
	if err != nil || len(wire) > n && !isConnack(packet) || len(wire) != packet.Size(version) {
		t.Fatalf("%s: encoded from %d to %d bytes, Size %d, error %v", meaning, n, len(wire), packet.Size(version), err)
	}
	again, m, err := fresh.Read(wire)
	if err != nil || m != len(wire) || render(again) != meaning {
		t.Fatalf("the meaning changed, error %v\n from %s\n to   %s", err, meaning, render(again))
	}
	return n
}

// isConnack: the refusal of 5.0 by a server of 3.1.1 is the one packet that grows when it is written again.
func isConnack(p mqtt.Packet) bool { return p.Type() == mqtt.TypeConnack }
