package format

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"encoding/binary"

	"mqt/mqtt"
)

// Our output is held against that of the real mosquitto_sub, recorded in
// testdata/golden/mosquitto_sub.txt. With -update the recording is made anew:
// mosquitto_sub 2.0 must be installed; it gets each message from a server in
// this file that sends exactly the PUBLISH wanted.

var update = flag.Bool("update", false, "write the golden files anew; mosquitto_sub 2.0 is needed")

const recording = "mosquitto_sub.txt"

func goldenPath(name string) string { return filepath.Join("..", "testdata", "golden", name) }

// kolkata is the recording's TZ: no daylight saving, and minutes in the zone.
var kolkata = time.FixedZone("IST", 5*3600+1800)

// moment is the time of messages whose line does not tell it.
var moment = time.Date(2026, time.January, 2, 3, 4, 5, 678901234, kolkata)

func message(topic, payload string, qos mqtt.QoS, ps ...mqtt.Property) *Received {
	m := &Received{Message: &mqtt.Message{Topic: topic, Payload: []byte(payload), QoS: qos, Properties: ps}, At: moment}
	if qos > 0 {
		m.PacketID = 77
	}
	return m
}

// sent are the messages of the recording.
func sent() map[string]*Received {
	full := message("house/kitchen/temp", "21.5 \u00b0C", 1,
		mqtt.Num(mqtt.PayloadFormatIndicator, 1), mqtt.Num(mqtt.MessageExpiryInterval, 3600),
		mqtt.Str(mqtt.ContentType, "text/plain"), mqtt.Str(mqtt.ResponseTopic, "house/reply"),
		mqtt.Bin(mqtt.CorrelationData, []byte("id-42")), mqtt.User("unit", "C"), mqtt.User("place", "by the window"), mqtt.User("unit", "K"))
	full.Retain = true
	full.SubscriptionIdentifiers = []uint32{12} // libmosquitto 2.0 refuses a second one
	long := message("a", "0123456789abcdefghijABCDEFGHIJ", 2)
	long.PacketID = 65535
	single := make([]byte, 4)
	binary.NativeEndian.PutUint32(single, math.Float32bits(-12.375))
	return map[string]*Received{
		"full":   full,
		"plain":  message("a/b", "hello", 0),
		"empty":  message("a/b/c", "", 0),
		"binary": message("b", "\x00\x01\x7f\x80\xfe\xff", 0),
		"long":   long,
		"json":   message("j", `{"a": [1, 2.50, null], "b": "\u00e9"}`, 0),
		"quotes": message("q/\"x\"\\y", "say \"hi\"\\\b\f\n\r\t\x1b\x7f", 0),
		"utf8":   message("stra\u00dfe/\u2603", "\u20ac\U0001f600\u0085", 0),
		"forever": message("e", "x", 0, mqtt.Num(mqtt.MessageExpiryInterval, math.MaxUint32),
			mqtt.Bin(mqtt.CorrelationData, []byte{0, 1, 0xff})),
		"single": message("f", string(single), 0),
	}
}

// entry is a line of the recording.
type entry struct {
	message string
	args    []string // -F FORMAT, or other flags
	output  string   // mosquitto_sub's, or refused
	want    string   // ours where it differs, and why
	why     string
}

// refused stands for an error before anything is received.
const refused = "REFUSED"

func readRecording(t *testing.T) (head []string, all []entry) {
	t.Helper()
	text, err := os.ReadFile(goldenPath(recording))
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if line == "" || line[0] == '#' {
			head = append(head, line)
			continue
		}
		cells := strings.Split(line, "\t")
		cells = append(cells, make([]string, 5-min(len(cells), 5))...)
		e := entry{message: cells[0], output: unquote(t, i, cells[2]), want: unquote(t, i, cells[3]), why: cells[4]}
		if cells[1][0] == '-' {
			e.args = strings.Fields(cells[1])
		} else {
			e.args = []string{"-F", unquote(t, i, cells[1])}
		}
		all = append(all, e)
	}
	return head, all
}

func unquote(t *testing.T, line int, s string) string {
	t.Helper()
	if s == "" || s == refused {
		return s
	}
	text, err := strconv.Unquote(s)
	if err != nil {
		t.Fatalf("line %d: %s: %v", line+1, s, err)
	}
	return text
}

func quote(s string) string {
	if s == refused {
		return s
	}
	return strconv.QuoteToASCII(s)
}

func (e entry) line() string {
	args := strings.Join(e.args, " ")
	if e.args[0] == "-F" {
		args = quote(e.args[1])
	}
	cells := []string{e.message, args, quote(e.output)}
	if e.why != "" {
		cells = append(cells, quote(e.want), e.why)
	}
	return strings.Join(cells, "\t")
}

func TestMosquitto(t *testing.T) {
	head, all := readRecording(t)
	if *update {
		for i := range all {
			all[i].output = record(t, all[i])
		}
		var b strings.Builder
		for _, h := range head {
			fmt.Fprintln(&b, h)
		}
		for _, e := range all {
			fmt.Fprintln(&b, e.line())
		}
		if err := os.WriteFile(goldenPath(recording), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 100 {
		t.Fatalf("%d cases: the recording is not whole", len(all))
	}
	for _, e := range all {
		m := sent()[e.message]
		if m == nil {
			t.Fatalf("no message %q", e.message)
		}
		want := e.output
		if e.why != "" {
			want = e.want
		} else {
			m.At = told(e.output)
		}
		if got := ours(e, m); got != want {
			t.Errorf("%s %q:\n  ours      %q\n  want      %q\n  mosquitto %q\n  %s", e.message, e.args, got, want, e.output, e.why)
		}
	}
}

var clockPrefix = regexp.MustCompile(`^(\d{10})\.(\d{9}) `)

// told is the time that the line begins with, if it does.
func told(output string) time.Time {
	m := clockPrefix.FindStringSubmatch(output)
	if m == nil {
		return moment
	}
	sec, _ := strconv.ParseInt(m[1], 10, 64)
	nsec, _ := strconv.ParseInt(m[2], 10, 64)
	return time.Unix(sec, nsec).In(kolkata)
}

func ours(e entry, m *Received) string {
	var p Printer
	switch strings.Join(e.args, " ") {
	case "-v":
		p = &Text{Topic: true}
	case "-N":
		p = &Text{NoEOL: true}
	case "-v -N":
		p = &Text{Topic: true, NoEOL: true}
	case "-q 2":
		p = &Text{}
	default:
		var err error
		if p, err = ParseTemplate(e.args[1], TemplateOptions{}); err != nil {
			return refused
		}
	}
	return string(p.Append(nil, m))
}

// record has mosquitto_sub print the message.
func record(t *testing.T, e entry) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- serve(l, sent()[e.message]) }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	args := append([]string{"-h", "127.0.0.1", "-p", port, "-V", "5", "-t", "#", "-C", "1", "-W", "5"}, e.args...)
	cmd := exec.CommandContext(ctx, "mosquitto_sub", args...)
	cmd.Env = append(os.Environ(), "TZ=Asia/Kolkata", "LC_ALL=C", "HOME=/nonexistent")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	l.Close()
	fault := <-served
	if err != nil {
		if strings.Contains(errs.String(), "Error: Inv") || strings.Contains(errs.String(), "Error: Inc") {
			return refused
		}
		t.Fatalf("mosquitto_sub %q: %v: %s; server: %v", e.args, err, errs.String(), fault)
	}
	return out.String()
}

// serve is a server for one subscriber and one message.
func serve(l net.Listener, m *Received) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	ps := m.Properties
	for _, id := range m.SubscriptionIdentifiers {
		ps = append(ps, mqtt.Num(mqtt.SubscriptionIdentifier, id))
	}
	r := mqtt.Reader{Version: mqtt.V50}
	in := bufio.NewReader(c)
	var have []byte
	for {
		b, err := in.ReadByte()
		if err != nil {
			return nil // the subscriber left
		}
		have = append(have, b)
		pkt, n, err := r.Read(have)
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		have = have[n:]
		var answers []mqtt.Packet
		switch p := pkt.(type) {
		case *mqtt.Connect:
			answers = append(answers, &mqtt.Connack{})
		case *mqtt.Subscribe:
			answers = append(answers, &mqtt.Suback{PacketID: p.PacketID, ReasonCodes: []mqtt.ReasonCode{2}},
				&mqtt.Publish{Topic: []byte(m.Topic), Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, PacketID: m.PacketID, Properties: ps})
		case *mqtt.Pubrec:
			answers = append(answers, &mqtt.Pubrel{Ack: mqtt.Ack{PacketID: p.PacketID}})
		}
		var wire []byte
		for _, a := range answers {
			if wire, err = a.Append(wire, mqtt.V50); err != nil {
				return err
			}
		}
		if _, err := c.Write(wire); err != nil {
			return err
		}
	}
}
