package mqtt_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mqt/mqtt"
)

// vector is one packet of testdata/packets: "-- name", then "version", "from" and "max" lines, lines of hex with
// comments, and last "= meaning", "> hex that is written back where it differs" or "! code statement".
type vector struct {
	file, name string
	versions   []mqtt.Version
	from       []mqtt.Side
	max        uint32
	wire       []byte
	meaning    string // "": an error is expected
	canonical  []byte // what Append writes
	code       mqtt.ReasonCode
	statement  string
}

func vectors(tb testing.TB) []vector {
	tb.Helper()
	files, err := filepath.Glob("../testdata/packets/*.txt")
	if err != nil {
		tb.Fatal(err)
	}
	var all []vector
	for _, name := range files {
		base := filepath.Base(name)
		if base == "properties.txt" || base == "reasons.txt" {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		blocks := strings.Split(string(text), "\n-- ")
		for _, block := range blocks[1:] {
			v, err := parseVector(block)
			if err != nil {
				tb.Fatalf("%s: %s: %v", base, v.name, err)
			}
			v.file = strings.TrimSuffix(base, ".txt")
			all = append(all, v)
		}
	}
	if len(all) < 300 {
		tb.Fatalf("only %d vectors in %d files", len(all), len(files))
	}
	return all
}

func parseVector(block string) (v vector, err error) {
	lines := bufio.NewScanner(strings.NewReader(block))
	lines.Scan()
	v.name = lines.Text()
	for lines.Scan() {
		line := lines.Text()
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "":
		case "version":
			for f := range strings.FieldsSeq(rest) {
				v.versions = append(v.versions, versionNamed(f))
			}
		case "from":
			for f := range strings.FieldsSeq(rest) {
				v.from = append(v.from, sideNamed(f))
			}
		case "max":
			n, e := strconv.ParseUint(rest, 10, 32)
			v.max, err = uint32(n), errors.Join(err, e)
		case "=":
			v.meaning, v.canonical = rest, v.wire
		case ">":
			v.canonical = unhex(rest)
		case "!":
			code, statement, _ := strings.Cut(rest, " ")
			n, e := strconv.ParseUint(code, 0, 8)
			v.code, v.statement, err = mqtt.ReasonCode(n), statement, errors.Join(err, e)
		default:
			v.wire = append(v.wire, unhex(line)...)
		}
	}
	if len(v.versions) == 0 || len(v.from) == 0 || len(v.wire) == 0 || (v.meaning == "") == (v.code == 0) {
		err = errors.Join(err, errors.New("incomplete"))
	}
	return v, err
}

func versionNamed(s string) mqtt.Version {
	return map[string]mqtt.Version{"3.1": mqtt.V31, "3.1.1": mqtt.V311, "5.0": mqtt.V50}[s]
}

func sideNamed(s string) mqtt.Side {
	return map[string]mqtt.Side{"client": mqtt.Client, "server": mqtt.Server}[s]
}

// unhex reads a line of hex up to its comment. It panics on a typing error in the test data.
func unhex(s string) []byte {
	s, _, _ = strings.Cut(s, "#")
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(fmt.Sprintf("%q: %v", s, err))
	}
	return b
}

// each calls f for every version and side of the vector.
func (v *vector) each(t *testing.T, f func(t *testing.T, r *mqtt.Reader)) {
	t.Helper()
	for _, version := range v.versions {
		for _, from := range v.from {
			t.Run(fmt.Sprintf("%s/%s/%s/%d", v.file, v.name, version, from), func(t *testing.T) {
				f(t, &mqtt.Reader{From: from, Version: version, MaximumPacketSize: v.max})
			})
		}
	}
}

func (v *vector) valid() bool { return v.meaning != "" }

func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		v.each(t, func(t *testing.T, r *mqtt.Reader) {
			if !v.valid() {
				wantError(t, r, v.wire, v.code, v.statement)
				return
			}
			p := wantPacket(t, r, v.wire)
			if got := render(p); got != v.meaning {
				t.Errorf("meaning\n got %s\nwant %s", got, v.meaning)
			}
			wantEncoding(t, p, r.Version, v.canonical)
		})
	}
}

// TestConnectIsFirst reads the vectors of CONNECT as a server does that has heard nothing yet, and sees it refuse all
// others [MQTT-3.1.0-1].
func TestConnectIsFirst(t *testing.T) {
	for _, v := range vectors(t) {
		r := &mqtt.Reader{MaximumPacketSize: v.max}
		switch {
		case v.file == "connect" && v.valid():
			if got := render(wantPacket(t, r, v.wire)); got != v.meaning {
				t.Errorf("%s: got %s", v.name, got)
			}
		case v.file == "connect":
			wantError(t, r, v.wire, v.code, v.statement)
		case v.valid() && v.from[0] == mqtt.Client && v.wire[0] != 0x6a && v.wire[0] != 0x8a && v.wire[0] != 0xaa:
			wantError(t, r, v.wire, mqtt.ProtocolError, "MQTT-3.1.0-1")
		}
	}
}

// wantPacket reads the one packet that wire is, with more behind it and without.
func wantPacket(t *testing.T, r *mqtt.Reader, wire []byte) mqtt.Packet {
	t.Helper()
	p, n, err := r.Read(append(bytes.Clone(wire), 0xff, 0xff, 0xff))
	if err != nil || n != len(wire) {
		t.Fatalf("% x: read %d of %d bytes, error %v", wire, n, len(wire), err)
	}
	before := render(p)
	p, n, err = r.Read(wire)
	if err != nil || n != len(wire) {
		t.Fatalf("% x: read %d of %d bytes, error %v", wire, n, len(wire), err)
	}
	if after := render(p); after != before {
		t.Fatalf("% x: what follows the packet changes it: %s, %s", wire, before, after)
	}
	if got := mqtt.Need(wire, r.Version); got != len(wire) {
		t.Fatalf("% x: Need is %d of %d bytes", wire, got, len(wire))
	}
	return p
}

func wantError(t *testing.T, r *mqtt.Reader, wire []byte, code mqtt.ReasonCode, statement string) {
	t.Helper()
	_, _, err := r.Read(wire)
	e, ok := errors.AsType[*mqtt.Error](err)
	if !ok {
		t.Fatalf("% x: got error %v, want %s [%s]", wire, err, code, statement)
	}
	if e.Code != code || e.Statement != statement {
		t.Fatalf("% x: got %v, want %s [%s]", wire, e, code, statement)
	}
	if e.Text == "" || !strings.Contains(e.Error(), e.Statement) {
		t.Fatalf("% x: the error says nothing: %q", wire, e.Error())
	}
}

// wantEncoding encodes behind what is there already.
func wantEncoding(t *testing.T, p mqtt.Packet, v mqtt.Version, want []byte) {
	t.Helper()
	const before = "before"
	got, err := p.Append([]byte(before), v)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	if string(got[:len(before)]) != before {
		t.Fatalf("Append changed what was there: %q", got[:len(before)])
	}
	if got = got[len(before):]; !bytes.Equal(got, want) {
		t.Errorf("encoding\n got % x\nwant % x", got, want)
	}
	if n := p.Size(v); n != len(got) {
		t.Errorf("Size is %d, Append wrote %d bytes", n, len(got))
	}
}

// TestPrefixes feeds every packet byte by byte: until it is whole, more is needed, and nothing else happens.
func TestPrefixes(t *testing.T) {
	for _, v := range vectors(t) {
		if !v.valid() {
			continue
		}
		v.each(t, func(t *testing.T, r *mqtt.Reader) {
			for n := range v.wire {
				p, read, err := r.Read(v.wire[:n:n])
				if p != nil || read != 0 || err != nil {
					t.Fatalf("after %d of %d bytes: packet %v, read %d, error %v", n, len(v.wire), p, read, err)
				}
			}
		})
	}
}

// TestShortened takes bytes from the end of every packet's body and corrects the Remaining Length. What is left is an
// error, or where the end is optional, a packet that reads the same when it is written again.
func TestShortened(t *testing.T) {
	for _, v := range vectors(t) {
		if !v.valid() {
			continue
		}
		v.each(t, func(t *testing.T, r *mqtt.Reader) {
			h, ok, err := mqtt.ParseHeader(v.wire, r.Version)
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			body := v.wire[h.Size:]
			for n := range body {
				wire := frame(v.wire[0], body[:n])
				p, _, err := r.Read(wire)
				switch e, ok := errors.AsType[*mqtt.Error](err); {
				case ok:
					if e.Code == 0 || e.Statement == "" {
						t.Errorf("% x: error without code or statement: %v", wire, e)
					}
				case err != nil:
					t.Errorf("% x: error of another type: %v", wire, err)
				case !mayEnd(h.Type, r.Version):
					t.Errorf("% x: no error, but %s", wire, render(p))
				default:
					roundTrip(t, p, r.From, r.Version)
				}
			}
		})
	}
}

// mayEnd tells whether a packet has parts at its end that can be missing.
func mayEnd(t mqtt.Type, v mqtt.Version) bool {
	switch t {
	case mqtt.TypePublish, mqtt.TypeSubscribe, mqtt.TypeSuback, mqtt.TypeUnsubscribe:
		return true // payload, further filters and codes
	case mqtt.TypeConnect:
		return v == mqtt.V31 // user name and password
	case mqtt.TypePuback, mqtt.TypePubrec, mqtt.TypePubrel, mqtt.TypePubcomp, mqtt.TypeUnsuback, mqtt.TypeDisconnect, mqtt.TypeAuth:
		return v == mqtt.V50
	}
	return false
}

// TestExtended puts a byte behind every packet's body and corrects the Remaining Length: only a PUBLISH has room for
// it. Lists of filters and codes read it as the start of the next.
func TestExtended(t *testing.T) {
	for _, v := range vectors(t) {
		if !v.valid() || v.wire[0]>>4 == byte(mqtt.TypePublish) {
			continue
		}
		v.each(t, func(t *testing.T, r *mqtt.Reader) {
			h, _, _ := mqtt.ParseHeader(v.wire, r.Version)
			wire := frame(v.wire[0], append(bytes.Clone(v.wire[h.Size:]), 0xff))
			p, _, err := r.Read(wire)
			if _, ok := errors.AsType[*mqtt.Error](err); !ok {
				t.Errorf("% x: read as %v, error %v", wire, p, err)
			}
		})
	}
}

// frame puts a fixed header before a body.
func frame(first byte, body []byte) []byte {
	return append(varint([]byte{first}, len(body)), body...)
}

// varint is the test's own Variable Byte Integer.
func varint(dst []byte, n int) []byte {
	for ; n > 127; n /= 128 {
		dst = append(dst, byte(n%128+128))
	}
	return append(dst, byte(n))
}

// roundTrip encodes p and reads it again: the meaning stays, and so does the second encoding.
func roundTrip(t *testing.T, p mqtt.Packet, from mqtt.Side, v mqtt.Version) {
	t.Helper()
	meaning := render(p)
	wire, err := p.Append(nil, v)
	if err != nil {
		t.Fatalf("%s does not encode: %v", meaning, err)
	}
	if n := p.Size(v); n != len(wire) {
		t.Fatalf("%s: Size is %d, Append wrote %d bytes", meaning, n, len(wire))
	}
	r := &mqtt.Reader{From: from, Version: v}
	again, n, err := r.Read(wire)
	if err != nil || n != len(wire) {
		t.Fatalf("%s: % x: read %d of %d bytes, error %v", meaning, wire, n, len(wire), err)
	}
	if got := render(again); got != meaning {
		t.Fatalf("the meaning changed\n from %s\n to   %s", meaning, got)
	}
	if second, err := again.Append(nil, v); err != nil || !bytes.Equal(second, wire) {
		t.Fatalf("%s: the encoding changed, error %v\n from % x\n to   % x", meaning, err, wire, second)
	}
}
