//go:build interop

package cmd_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"mqt/mqtt"
)

// mosquitto_sub and mqt sub print the same traffic, byte for byte, for each letter of -F with each combination of flags,
// width and precision. A server in this file sends both exactly the same packets. What only mosquitto 2.1 knows (%f %d,
// the separator, the width of %x in bytes) is held to the golden table of package format instead, whose expectations
// come from the source of 2.1; see testdata/golden/mosquitto_sub.txt.

// formatMessages are the traffic: with everything, with nothing, binary, QoS 0 to 2.
func formatMessages() []*mqtt.Publish {
	return []*mqtt.Publish{
		{Topic: []byte("house/kitchen/temp"), Payload: []byte("21.5 \u00b0C"), QoS: 1, Retain: true, PacketID: 77, Properties: mqtt.Properties{
			mqtt.Num(mqtt.PayloadFormatIndicator, 1), mqtt.Num(mqtt.MessageExpiryInterval, 3600), mqtt.Str(mqtt.ContentType, "text/plain"),
			mqtt.Str(mqtt.ResponseTopic, "house/reply"), mqtt.Bin(mqtt.CorrelationData, []byte("id\x00\xff")), mqtt.User("unit", "C"),
			mqtt.User("place", "by the window"), mqtt.User("unit", "K"), mqtt.Num(mqtt.SubscriptionIdentifier, 12)}},
		{Topic: []byte("a"), Payload: []byte("hello")},
		{Topic: []byte("stra\u00dfe/\u2603"), Payload: []byte("\x00\x01\x7f\x80\xfe\xff\r\n")},
		{Topic: []byte("json"), Payload: []byte(`{"a": [1, 2.50, null]}`), Properties: mqtt.Properties{mqtt.Num(mqtt.MessageExpiryInterval, math.MaxInt32)}},
		{Topic: []byte("long"), Payload: bytes.Repeat([]byte("0123456789abcdef"), 20)},
		{Topic: []byte("empty/payload"), QoS: 2, PacketID: 65535}, // last: mosquitto_sub prints it at the PUBREL
	}
}

// formatServer sends the messages to whoever subscribes.
func formatServer(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveFormat(c)
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func serveFormat(c net.Conn) {
	defer c.Close()
	r := mqtt.Reader{Version: mqtt.V50, From: mqtt.Client}
	var have []byte
	for chunk := make([]byte, 4096); ; {
		n, err := c.Read(chunk)
		if err != nil {
			return
		}
		for have = append(have, chunk[:n]...); ; {
			p, n, err := r.Read(have)
			if err != nil {
				return
			}
			if n == 0 {
				break
			}
			var answers []mqtt.Packet
			switch p := p.(type) {
			case *mqtt.Connect:
				answers = append(answers, &mqtt.Connack{})
			case *mqtt.Subscribe:
				answers = append(answers, &mqtt.Suback{PacketID: p.PacketID, ReasonCodes: []mqtt.ReasonCode{2}})
				for _, m := range formatMessages() {
					answers = append(answers, m)
				}
			case *mqtt.Pubrec:
				answers = append(answers, &mqtt.Pubrel{Ack: mqtt.Ack{PacketID: p.PacketID}})
			case *mqtt.Disconnect:
				return
			}
			have = have[n:]
			var wire []byte
			for _, a := range answers {
				if wire, err = a.Append(wire, mqtt.V50); err != nil {
					return
				}
			}
			if _, err := c.Write(wire); err != nil {
				return
			}
		}
	}
}

// subscribeWith returns what a subscriber prints for the messages, or its exit code.
func subscribeWith(t *testing.T, port string, program []string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), checkTimeout)
	defer cancel()
	args = append([]string{"-h", "127.0.0.1", "-p", port, "-V", "5", "-t", "#", "-q", "2", "-C", fmt.Sprint(len(formatMessages())), "-W", "30"}, args...)
	c := exec.CommandContext(ctx, program[0], append(program[1:], args...)...)
	c.Env = append(os.Environ(), "TZ=Asia/Kolkata", "LC_ALL=C", "HOME=/nonexistent", "XDG_CONFIG_HOME=/nonexistent")
	out, err := c.Output()
	if err != nil {
		return string(out), c.ProcessState.ExitCode()
	}
	return string(out), 0
}

// letterFields are the flags, widths and precisions of a letter.
func letterFields() (all []string) {
	for _, flags := range []string{"", "-", "0", "-0"} {
		for _, width := range []string{"", "3", "9", "30"} {
			for _, precision := range []string{"", ".0", ".5"} {
				all = append(all, flags+width+precision)
			}
		}
	}
	return all
}

// wantedDifference says why mqt prints another thing than mosquitto_sub 2.0.11, "" if it must not.
func wantedDifference(field string, letter byte) string {
	width := strings.Trim(strings.SplitN(field, ".", 2)[0], "-0") != ""
	zero := strings.HasPrefix(strings.TrimPrefix(field, "-"), "0")
	switch {
	case (letter == 'x' || letter == 'X') && width:
		return "2.1: the width of %x and %X is that of the digits, and at most so many bytes"
	case (letter == 'x' || letter == 'X') && strings.Contains(field, ".5"):
		return "2.1: the precision of %x and %X groups digits"
	case strings.HasPrefix(field, "-") && !width && strings.IndexByte("pxX", letter) >= 0:
		return "mqt: without a width there is nothing to fill"
	case letter == 'C' && zero && width:
		return "2.1: the padding of a Content Type that is absent is zeros"
	}
	return ""
}

// TestInteropFormatLetters has each letter in a run of its own, with all fields in one format.
func TestInteropFormatLetters(t *testing.T) {
	port := formatServer(t)
	ours := []string{mqtProgram(t), "sub"}
	for _, letter := range []byte("%tplxXqrmACDEFRPS") {
		t.Run(string(letter), func(t *testing.T) {
			t.Parallel()
			var same []string
			for _, field := range letterFields() {
				spec := "%" + field + string(letter)
				why := wantedDifference(field, letter)
				if why == "" {
					same = append(same, spec)
					continue
				}
				theirs, _ := subscribeWith(t, port, []string{"mosquitto_sub"}, "-F", "["+spec+"]")
				mine, _ := subscribeWith(t, port, ours, "-F", "["+spec+"]")
				if theirs == mine {
					t.Errorf("%s is the same, though it is to differ: %s", spec, why)
				}
			}
			compareFormat(t, port, ours, same)
		})
	}
}

// compareFormat joins formats, and parts them again to name those that differ.
func compareFormat(t *testing.T, port string, ours, specs []string) {
	t.Helper()
	format := "[" + strings.Join(specs, "][") + "]"
	theirs, code := subscribeWith(t, port, []string{"mosquitto_sub"}, "-F", format)
	mine, ourCode := subscribeWith(t, port, ours, "-F", format)
	switch {
	case code != 0 || ourCode != 0:
		t.Errorf("%s: mosquitto_sub ends with %d, mqt with %d", format, code, ourCode)
	case theirs == mine:
	case len(specs) == 1:
		t.Errorf("%s:\n mosquitto_sub %q\n mqt           %q", format, theirs, mine)
	default:
		compareFormat(t, port, ours, specs[:len(specs)/2])
		compareFormat(t, port, ours, specs[len(specs)/2:])
	}
}

// TestInteropFormatText has what is no conversion, and the other forms of output.
func TestInteropFormatText(t *testing.T) {
	port := formatServer(t)
	ours := []string{mqtProgram(t), "sub"}
	tests := []struct {
		args []string
		why  string // mqt differs
	}{
		{args: []string{"-F", `\\|\0|\a|\e[1m|\n|\r|\t|\v|@@|100%%`}},
		{args: []string{"-F", "%t %q%q%q %p"}},
		{args: []string{"-F", ""}},
		{args: []string{"-F", `%t\0%p\0`, "-N"}},
		{args: []string{"-F", "\u00fc%t\u2603"}},
		{args: []string{"-v"}},
		{args: []string{}, why: "an empty payload is an empty line, so that messages can be counted"},
		{args: []string{"-N"}},
		{args: []string{"-v", "-N"}, why: "an empty payload is not dropped in silence"},
	}
	for _, tt := range tests {
		theirs, _ := subscribeWith(t, port, []string{"mosquitto_sub"}, tt.args...)
		mine, _ := subscribeWith(t, port, ours, tt.args...)
		if theirs == "" || (theirs == mine) != (tt.why == "") {
			t.Errorf("%q %s:\n mosquitto_sub %q\n mqt           %q", tt.args, tt.why, theirs, mine)
		}
	}
}

// TestInteropFormatRefused has formats that are a usage error in both.
func TestInteropFormatRefused(t *testing.T) {
	port := formatServer(t)
	var formats []string
	for c := byte('!'); c <= '~'; c++ {
		if strings.IndexByte("%ACDEFIJPRSUXjlmpqrtx"+"fd"+"-.0123456789"+"!\"#$&'()*+,/:;<=>?@[\\]^_`{|}~", c) < 0 {
			formats = append(formats, "%"+string(c), "%-05.3"+string(c))
		}
		if strings.IndexByte(`\0aenrtv`, c) < 0 {
			formats = append(formats, `\`+string(c))
		}
	}
	for _, format := range append(formats, "%", "x%", "%5", "%-", "%.", "@", `\`) {
		_, theirs := subscribeWith(t, port, []string{"mosquitto_sub"}, "-F", format)
		_, mine := subscribeWith(t, port, []string{mqtProgram(t), "sub"}, "-F", format)
		if theirs != 1 || mine != 2 { // 2 is our code of a usage error
			t.Errorf("%q: mosquitto_sub ends with %d, mqt with %d", format, theirs, mine)
		}
	}
}

// TestInteropFormatTime has all time letters. Both programs run at once; a pair that did not receive in the same second
// is run again.
func TestInteropFormatTime(t *testing.T) {
	port := formatServer(t)
	var format strings.Builder
	format.WriteString("@s %I|%30I|%-30I|%.10I|%12.4I")
	for _, c := range "aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%" {
		format.WriteString("|@" + string(c))
	}
	// Of a second only the form can be compared.
	format.WriteString("|%U|@N")
	part := regexp.MustCompile(`(?m)\|(\d{10})\.(\d{9})\|(\d{9})$`)
	for range 20 {
		type result struct {
			text string
			code int
		}
		theirs := make(chan result, 1)
		go func() {
			text, code := subscribeWith(t, port, []string{"mosquitto_sub"}, "-F", format.String())
			theirs <- result{text, code}
		}()
		mine, code := subscribeWith(t, port, []string{mqtProgram(t), "sub"}, "-F", format.String())
		other := <-theirs
		if code != 0 || other.code != 0 {
			t.Fatalf("mosquitto_sub ends with %d, mqt with %d", other.code, code)
		}
		for _, text := range []string{mine, other.text} {
			if n := len(part.FindAllString(text, -1)); n != len(formatMessages()) {
				t.Fatalf("%d times of %q", n, text)
			}
		}
		seconds := regexp.MustCompile(`(?m)^\d{10} `)
		if a, b := seconds.FindAllString(mine, -1), seconds.FindAllString(other.text, -1); strings.Join(a, "") != strings.Join(b, "") {
			continue
		}
		if a, b := part.ReplaceAllString(mine, ""), part.ReplaceAllString(other.text, ""); a != b {
			t.Errorf("\nmosquitto_sub %q\n mqt          %q", b, a)
		}
		return
	}
	t.Error("never in the same second")
}

// TestInteropRoundTrip has mosquitto at one end of "mqt sub --json | mqt pub --json", then at the other.
func TestInteropRoundTrip(t *testing.T) {
	messages := randomMessages(rand.New(rand.NewPCG(7, 7)), roundTrips, false) // mosquitto refuses control characters
	t.Run("from mosquitto", func(t *testing.T) { roundTrip(t, startMosquitto(t).tcp, startMQT(t).tcp, messages) })
	t.Run("to mosquitto", func(t *testing.T) { roundTrip(t, startMQT(t).tcp, startMosquitto(t).tcp, messages) })
}
