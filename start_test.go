package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// maxStart bounds the bytes that packages allocate when the program starts, of which there were 2.2 MB once and are
// 1.15 MB: who adds a dependency sees here what every mqt pub pays for it.
const maxStart = 1_300_000

// unwanted are packages that take long when the program starts, with what is there instead.
func unwanted() map[string]string {
	return map[string]string{
		"github.com/bufbuild/protocompile":              "format/codec compiles with its parser and linker",
		"github.com/russross/blackfriday/v2":            "the tag urfave_cli_no_docs leaves it out",
		"github.com/olekukonko/tablewriter/pkg/twcache": "tablewriter 1.0.9 has no cache of widths",
	}
}

// TestStart builds the program as a release and lets the runtime tell what runs before main.
func TestStart(t *testing.T) {
	program := filepath.Join(t.TempDir(), "mqt.exe")
	const tags = "-tags=urfave_cli_no_docs"
	if out, err := exec.Command("go", "build", tags, "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	deps, err := exec.Command("go", "list", "-deps", tags, ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, pkg := range strings.Fields(string(deps)) {
		if instead, ok := unwanted()[pkg]; ok {
			t.Errorf("%s is imported; %s", pkg, instead)
		}
	}
	cmd := exec.Command(program, "--version")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &trace)
	}
	sum := 0
	for line := range strings.Lines(trace.String()) {
		f := strings.Fields(line) // init PACKAGE @T ms, T ms clock, N bytes, N allocs
		if len(f) != 11 || f[0] != "init" || f[8] != "bytes," {
			t.Fatalf("the runtime says %q", line)
		}
		n, err := strconv.Atoi(f[7])
		if err != nil {
			t.Fatalf("the runtime says %q", line)
		}
		sum += n
	}
	if sum == 0 || sum > maxStart {
		t.Errorf("packages allocate %d bytes before main, more than %d:\n%s", sum, maxStart, &trace)
	}
}
