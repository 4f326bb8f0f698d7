package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDependencies holds README's table against go.mod: each module that we require has a row that says why, and no row is
// left behind.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var required []string
	for _, r := range mod.Require {
		if !r.Indirect {
			required = append(required, r.Path)
		}
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	last := string(readme[strings.LastIndex(string(readme), "\n## "):])
	var rows []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+\\.[^`]+/[^`]+)` \\| .*[^ ] \\|$").FindAllStringSubmatch(last, -1) {
		rows = append(rows, row[1])
	}
	slices.Sort(required)
	slices.Sort(rows)
	if !slices.Equal(rows, required) {
		t.Errorf("README's last section has rows of\n%s\nand go.mod requires\n%s", strings.Join(rows, "\n"), strings.Join(required, "\n"))
	}
}
