package cmd

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
)

// parsed reads a command line for pub and returns what the flags were given.
func parsed(t *testing.T, args ...string) (*words, error) {
	t.Helper()
	return parseWords(pubCommand(&Stdio{In: &bytes.Buffer{}, Out: io.Discard, Err: io.Discard}), args)
}

func TestWords(t *testing.T) {
	for _, tt := range []struct {
		line string
		want string // name=value of each flag, as the library is given them
	}{
		{"-t a -m b", "--topic=a --message=b"},
		{"--topic a --message b", "--topic=a --message=b"},
		{"--topic=a -m=b", "--topic=a --message=b"},
		{"-m -5 -t -t", "--message=-5 --topic=-t"},
		{"-r -n --nul", "--retain=true --null-message=true --nul=true"},
		{"--retain=false", "--retain=false"},
		{"-m= -t --help", "--message= --topic=--help"},
		{"-D publish content-type -x -q 1", "--property=publish\x00content-type\x00-x --qos=1"},
		{"-D publish user-property k -v -q 1", "--property=publish\x00user-property\x00k\x00-v --qos=1"},
		{"-h host --pw x --client-id y", "--host=host --password=x --id=y"},
		{"-u a -u b", "--username=a --username=b"},
	} {
		w, err := parsed(t, strings.Fields(tt.line)...)
		if err != nil {
			t.Errorf("%s: %v", tt.line, err)
			continue
		}
		got := w.canonical("mqt", "pub")
		if want := append(append([]string{"mqt", "pub"}, strings.Split(tt.want, " ")...), "--"); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", tt.line, got, want)
		}
	}
}

func TestWordsFaults(t *testing.T) {
	for line, want := range map[string]string{
		"-t":                         "-t needs a value; write -t TOPIC",
		"a":                          "stray word",
		"-":                          "stray word",
		"--":                         "unknown flag --",
		"--tpoic a":                  "did you mean --topic?",
		"-topic a":                   "did you mean --topic?",
		"-q1":                        "did you mean -q 1?",
		"-D publish":                 "-D needs COMMAND NAME",
		"-D publish user-property k": "-D needs COMMAND NAME",
		"--nope":                     "see mqt pub --help",
		"--zzzzzzzzzzzzzzzz":         "see mqt pub --help",
		"-Z":                         "unknown flag -Z",
	} {
		_, err := parsed(t, strings.Fields(line)...)
		if err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != exitUsage {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

// Who comes from another tool is told what a flag of theirs is here.
func TestElsewhere(t *testing.T) {
	for _, tt := range []struct{ command, flag, want string }{
		{"pub", "-S", "no look-up by DNS SRV"},
		{"pub", "--path", "here it is --ws-path"},
		{"pub", "-Wd", "here it is --will-delay-interval"},
		{"pub", "--file-read", "here it is -f"},
		{"sub", "-nl", "here it is --no-local"},
		{"sub", "--jsonOutput", "here it is --json"},
		{"bench", "-S", "here it is --tls"},
		{"bench", "--vus", "here it is --clients"},
		{"bench", "--psk", "no TLS-PSK"},
		{"passwd", "--output-mode", "see mqt passwd --help"},
	} {
		app := newApp(&Stdio{In: &bytes.Buffer{}, Out: io.Discard, Err: io.Discard}, tt.command)
		_, err := parseWords(app.Commands[0], []string{tt.flag, "x"})
		if err == nil || !strings.Contains(err.Error(), tt.want) || exitCode(err) != exitUsage {
			t.Errorf("%s %s: %v, want %q", tt.command, tt.flag, err, tt.want)
		}
	}
}

// What is said of a flag that is elsewhere is not said of one that is there, and names one that is.
func TestElsewhereIsHere(t *testing.T) {
	for _, c := range newApp(&Stdio{In: &bytes.Buffer{}, Out: io.Discard, Err: io.Discard}, "").Commands {
		for _, f := range c.Flags {
			for _, name := range namesOf(f) {
				if hint := elsewhere(c.Name, dashed(name)); hint != "" {
					t.Errorf("%s has %s, of which is said %q", c.Name, dashed(name), hint)
				}
			}
		}
	}
}

// A variable of a flag's second name is not that of another command's flag, unless that is the same one.
func TestVariables(t *testing.T) {
	owner := make(map[string]string)
	commands := newApp(&Stdio{In: &bytes.Buffer{}, Out: io.Discard, Err: io.Discard}, "").Commands
	for _, c := range commands {
		for _, f := range c.Flags {
			owner[envName(namesOf(f)[0])] += c.Name + " "
		}
	}
	same := map[string]bool{"MQT_MAX_INFLIGHT": true, "MQT_CLIENT_ID": true}
	for _, c := range commands {
		for _, f := range c.Flags {
			o, ok := f.(*option)
			if !ok || o.apart != "" {
				continue
			}
			for _, name := range o.variables()[1:] {
				if owner[name] != "" && !same[name] {
					t.Errorf("%s of %s --%s is the variable of %s", name, c.Name, o.names[0], owner[name])
				}
			}
		}
	}
}

// FuzzWords holds that no command line upsets the reading of it, and that what is read is all that was given.
func FuzzWords(f *testing.F) {
	f.Add("-t\na\n-m\nb")
	f.Add("-D\npublish\nuser-property\nk\nv\n--retain=1")
	f.Add("--\n-\n=\n--=\n-t=")
	f.Fuzz(func(t *testing.T, line string) {
		line = strings.ReplaceAll(line, "\x00", "") // no word can hold one
		args := strings.Split(line, "\n")
		w, err := parsed(t, args...)
		if err != nil {
			if exitCode(err) != exitUsage {
				t.Errorf("%q: %v is no usage error", args, err)
			}
			return
		}
		for _, g := range w.given {
			if g.typed[0] == '-' && !strings.Contains(line, strings.ReplaceAll(g.value, "\x00", "\n")) && g.value != "true" {
				t.Errorf("%q: %s has the value %q", args, g.typed, g.value)
			}
		}
	})
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"topic", "topic", 0}, {"tpoic", "topic", 1}, {"kitten", "sitting", 3}, {"--retian", "--retain", 1}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q to %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for s, want := range map[string]string{"3": "3s", "2.5": "2.5s", "500ms": "500ms", "1m30s": "1m30s", "0": "0s", ".25": "250ms"} {
		if d, err := parseDuration(s); err != nil || d.String() != want {
			t.Errorf("%s: %v, %v", s, d, err)
		}
	}
	for _, s := range []string{"", "-1", "soon", "1x", "1e300", "NaN", "-5s", "Inf", "999999h"} {
		if d, err := parseDuration(s); err == nil {
			t.Errorf("%q: %v", s, d)
		}
	}
}
