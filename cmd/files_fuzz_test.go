package cmd

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// told is a fault that a person gets to see: it names the file, and no terminal obeys it.
func told(t *testing.T, err error, path string) {
	t.Helper()
	usage, ok := errors.AsType[*usageError](err)
	if !ok || !strings.HasPrefix(usage.text, path+":") {
		t.Errorf("the fault is %v", err)
	}
}

// FuzzSettings reads broker.yaml, writes down what was understood and reads that.
func FuzzSettings(f *testing.F) {
	text, err := os.ReadFile("../.package/broker.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(bytes.ReplaceAll(text, []byte("\n#"), []byte("\n")))
	for _, seed := range []string{"", "---", "null", "[]", "listen: &a [mqtt://:1]\npassword-file: *a", "a: 1\n---\nb: 1", "max-queue: 1k\nmax-queue: 2",
		"limit: ~", "connect-timeout: 1h2m\nlog-format: json\nmax-memory: 1GiB", "allow-anonymous: true\nlisten: ws://localhost:0/x", "<<: {verbose: 1}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o := newBrokerOptions()
		if err := readSettings("f", text, o.flags); err != nil {
			told(t, err, "f")
			return
		}
		said := make(map[string]any)
		for _, f := range o.flags {
			switch {
			case !f.given():
			case f.repeats:
				said[f.names[0]] = f.values
			default:
				said[f.names[0]] = f.values[0]
			}
		}
		again, err := yaml.Marshal(said)
		if err != nil {
			t.Fatal(err)
		}
		next := newBrokerOptions()
		if err := readSettings("f", again, next.flags); err != nil {
			t.Fatalf("%q is written as %q: %v", text, again, err)
		}
		for i, f := range o.flags {
			if !slices.Equal(f.values, next.flags[i].values) {
				t.Errorf("%s is %q, and %q when it is read again", f.names[0], f.values, next.flags[i].values)
			}
		}
	})
}

// FuzzProfiles reads the file of profiles, writes it and reads that.
func FuzzProfiles(f *testing.F) {
	for _, seed := range []string{"", "default: a\nprofiles:\n  a: {host: h, port: 1884}\n  b:\n    url: mqtts://u:p@h\n    user-property: [a b]\n", "profiles: {a: }",
		"default: x", "profiles: &p {a: {b: *p}}", "[]", "profiles:\n  # why\n  a:\n    host: h # here\n", "profiles: {a: &x {host: h}, b: *x}"} {
		f.Add([]byte(seed))
	}
	fresh := func() *profiles {
		return &profiles{path: "f", doc: &yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode, Tag: "!!map"}}}}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p := fresh()
		if err := p.read(bytes.NewReader(text)); err != nil {
			told(t, err, "f")
			return
		}
		written, err := p.text()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		next := fresh()
		if err := next.read(bytes.NewReader(written)); err != nil {
			t.Fatalf("%q is written as %q: %v", text, written, err)
		}
		if a, b := p.names(), next.names(); !slices.Equal(a, b) || p.standard() != next.standard() {
			t.Errorf("the profiles %q, %q become %q, %q", a, p.standard(), b, next.standard())
		}
		_ = p.private()
	})
}

// FuzzOptionsFile reads mosquitto's files of options.
func FuzzOptionsFile(f *testing.F) {
	for _, seed := range []string{"", "-h broker\n-p 1884\n# no\n\n--will-payload  two words\r\n", "\ufeff-t a\n-t b", "-q=2\n--retain", "-m", "-", "--", "-o x", "-D publish user-property a b c"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c := newApp(&Stdio{}, "pub").Command("pub")
		var w words
		if err := w.optionLines(c, "f", text); err != nil {
			told(t, err, "f")
			return
		}
		if lines := bytes.Count(text, []byte("\n")) + 1; len(w.given) > lines {
			t.Errorf("%d lines have %d options", lines, len(w.given))
		}
		for _, g := range w.given {
			if g.origin != fromFile || !strings.HasPrefix(g.typed, "f:") || strings.Contains(g.value, "\n") {
				t.Errorf("%+v", g)
			}
		}
	})
}
