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
