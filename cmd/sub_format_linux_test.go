package cmd_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"mqt/mqtt"
)

// openTerminal returns both ends of a pseudo-terminal that changes no byte.
func openTerminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	fd := int(ours.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err == nil {
		mode.Oflag &^= unix.OPOST
		err = unix.IoctlSetTermios(fd, unix.TCSETS, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// hostile are messages that would turn a terminal against who looks at it: ANSI escapes, OSC 52 (the clipboard), OSC 0
// and 8, bidirectional overrides, C1 controls as characters and as bare bytes, bytes that are not UTF-8.
func hostile() []*mqtt.Message {
	all := []string{"\x1b[2J\x1b[31mred", "\x1b]52;c;ZXZpbA==\a", "\x1b]0;title\x1b\\", "\x1b]8;;http://evil\x1b\\x\x1b]8;;\x1b\\", "abc\rdef\b\b\v\f",
		"\u202etxt.exe\u202c\u2066x\u2069\u200f\u061c\u2028", "\u009b31m\u009d52;c;eA==\u009c\u0085", "\x7f\x0e\x0f\x05"}
	var out []*mqtt.Message
	for i, s := range all {
		ps := mqtt.Properties{mqtt.Str(mqtt.ContentType, s), mqtt.Str(mqtt.ResponseTopic, "r/"+s), mqtt.Bin(mqtt.CorrelationData, []byte(s+"\x9b\xff")),
			mqtt.User("k"+s, s)}
		out = append(out, &mqtt.Message{Topic: fmt.Sprintf("h/%d/%s", i, s), Payload: []byte(s), Properties: ps})
	}
	return append(out,
		&mqtt.Message{Topic: "h/c1", Payload: []byte("\x9b31m\x9d52;c;eA==\x9c\xff\xfe\xc0\xaf\xe2\x82")},
		&mqtt.Message{Topic: "h/json", Payload: []byte(`{"a":"` + "\u202e\u009b" + `","` + "\x7f" + `":[1]}`)},
		&mqtt.Message{Topic: "h/cbor", Payload: []byte("\xa1\x64\x1b[2J\x63\xe2\x80\xae")})
}

// TestTerminal: whatever is published, on a terminal nothing of it is obeyed, in no form of output.
func TestTerminal(t *testing.T) {
	url := brokerInProcess(t)
	for _, args := range [][]string{
		{}, {"-v"}, {"-v", "--color", "always"}, {"--json"}, {"--json", "--pretty"}, {"--output", "human"}, {"--output", "hexdump", "-v"}, {"--output", "pretty", "-v"},
		{"-F", "%t %p %C %R %D %P"}, {"-F", "%40t|%-40p|%.3t"}, {"-F", "%j %J"}, {"--jq", ".payload, .topic"}, {"--decode", "=cbor", "-v"},
		{"--decode", "=cbor", "-F", "%p"}, {"--decode", "h/json=json", "--output", "human"}, {"--watch"}, {"-v", "-d"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			text := onTerminal(t, url, args)
			for _, own := range []string{"\x1b[36m", "\x1b[0m", "\x1b[2m", "\x1b[33m", "\x1b[31;1m", "\x1b[22m", "\x1b[39m", "\x1b[0;22m"} { // colours of ours
				text = strings.ReplaceAll(text, own, "")
			}
			if len(args) > 0 && args[0] == "--watch" {
				text = watchMoves(text)
			}
			if !utf8.ValidString(text) {
				t.Errorf("not UTF-8: %q", text)
			}
			if i := strings.IndexFunc(text, func(r rune) bool {
				return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r) || r == 0x2028
			}); i >= 0 {
				t.Errorf("obeyed at %d: %q", i, text[max(0, i-40):min(len(text), i+40)])
			}
			if strings.Count(text, "h/") == 0 && strings.Count(text, "red") == 0 && strings.Count(text, "72 65 64") == 0 {
				t.Errorf("nothing was printed: %q", text)
			}
		})
	}
}

// watchMoves takes out what --watch itself moves the cursor with.
func watchMoves(text string) string {
	for _, own := range []string{"\x1b[2J", "\x1b[K", "\x1b[?7l", "\x1b[?7h"} {
		text = strings.ReplaceAll(text, own, "")
	}
	for row := range 100 {
		text = strings.ReplaceAll(text, fmt.Sprintf("\x1b[%d;1H", row), "")
	}
	return text
}

// onTerminal returns what mqt sub writes to a terminal, on both streams.
func onTerminal(t *testing.T, url string, args []string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scriptTimeout)
	defer cancel()
	ours, theirs := openTerminal(t)
	messages := hostile()
	program, err := exec.LookPath("mqt")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(ctx, program, append([]string{"sub", "-L", url, "-t", "h/#", "-C", fmt.Sprint(len(messages)), "-W", "20"}, args...)...)
	c.Env = append(os.Environ(), "TERM=xterm", "LC_ALL=C.UTF-8")
	c.Stdin, c.Stdout, c.Stderr = nil, theirs, theirs
	publisher := dial(ctx, t, url)
	for _, m := range messages {
		m.Retain = true
		if _, err := publisher.Publish(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := publisher.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		for b := make([]byte, 4096); ; {
			n, err := ours.Read(b)
			text.Write(b[:n])
			if err != nil { // EIO: the last program has closed it
				return
			}
		}
	}()
	err = c.Run()
	theirs.Close()
	select {
	case <-read:
	case <-time.After(scriptTimeout):
		t.Fatal("the terminal stays open")
	}
	if err != nil {
		t.Fatalf("%v: %q", err, text.String())
	}
	return text.String()
}
