package cmd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		"plain":          "plain",
		"--url":          `\-\-url`,
		".TH a\n'br\nb.": "\\&.TH a\n\\(aqbr\nb.",
		`\n \t`:          `\en \et`,
		"~/x `y` ^z":     `\(ti/x \(gay\(ga \(haz`,
	} {
		if got := roff(text); got != want {
			t.Errorf("roff(%q) is %q, want %q", text, got, want)
		}
	}
}

// TestManPages holds the pages to the commands and flags that there are, and has groff find nothing wrong with them.
func TestManPages(t *testing.T) {
	var s Stdio
	app := newApp(&s, "")
	dir := t.TempDir()
	if err := writeManPages(dir, app); err != nil {
		t.Fatal(err)
	}
	pages := map[string][]cli.Flag{"mqt.1": nil}
	for _, c := range app.Commands {
		pages["mqt-"+c.Name+".1"] = c.Flags
	}
	groff, groffMissing := exec.LookPath("groff")
	for name, flags := range pages {
		page, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range flags {
			if !bytes.Contains(page, []byte("\n.B "+roff(strings.TrimSpace(synopsis(f)))+"\n")) {
				t.Errorf("%s: no %s", name, synopsis(f))
			}
		}
		if groffMissing != nil {
			continue
		}
		out, err := exec.Command(groff, "-man", "-Tascii", "-ww", "-z", filepath.Join(dir, name)).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if groffMissing != nil {
		t.Skip("groff has not read the pages: ", groffMissing)
	}
}
