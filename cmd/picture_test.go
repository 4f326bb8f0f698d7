//go:build unix

package cmd_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"mqt/cmd"
)

// TestPicture holds the README's picture of a terminal to what mqt bench prints today, numbers aside. To make it anew, on
// a quiet machine: go test ./cmd -run '^TestPicture$' -update
func TestPicture(t *testing.T) {
	path := filepath.Join("..", "testdata", "pictures", "bench.svg")
	small := []string{"bench", "--clients", "30", "--rate", "300", "--duration", "600ms", "--warmup", "200ms"}
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, terminalSVG("mqt bench", benchOutput(t, "bench", "--color", "always")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	svg, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	shown, now := svgLines(t, svg), strings.Split(benchOutput(t, append(small, "--color", "never")...), "\n")
	if shown[0] != "$ mqt bench" {
		t.Errorf("it begins with %q", shown[0])
	}
	if !sameShape(shown[1:], now) {
		t.Errorf("the picture shows\n%s\n\nmqt bench prints\n%s", strings.Join(shapes(shown[1:]), "\n"), strings.Join(shapes(now), "\n"))
	}
	readme, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`!\[[^\]]{20,}\]\(([^)]+)\)`).FindAllSubmatch(readme, -1) {
		if info, err := os.Stat(filepath.Join("..", string(m[1]))); err != nil || info.Size() > 150_000 {
			t.Errorf("the picture %s: %v, larger than 150 KB: %v", m[1], err, err == nil)
		}
	}
}

// benchOutput is what a bench prints; without a target it measures its own broker.
func benchOutput(t *testing.T, args ...string) string {
	t.Helper()
	t.Setenv("MQTT_URL", "")
	var out, errs bytes.Buffer
	if code := cmd.Main(t.Context(), args, cmd.Stdio{In: strings.NewReader(""), Out: &out, Err: &errs}); !oneOf(measured, code) {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	return strings.TrimRight(out.String(), "\n")
}

// Metrics of the picture, in its own units. A character is as wide as textLength makes it, whatever font there is.
const (
	svgFont   = 13
	svgColumn = 7.8
	svgRow    = 18
	svgMargin = 16
)

// terminalSVG draws a terminal with a command and what it printed. Colours follow the reader's light or dark theme.
func terminalSVG(command, ansi string) []byte {
	lines := append([]string{"\x1b[2m$\x1b[0m " + command}, strings.Split(ansi, "\n")...)
	columns := 0
	for _, line := range lines {
		columns = max(columns, utf8.RuneCountInString(ansiEscape().ReplaceAllString(line, "")))
	}
	width, height := float64(columns)*svgColumn+2*svgMargin, len(lines)*svgRow+2*svgMargin
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" width="%.0f" height="%d" role="img">
<title>%s</title>
<style>
  .bg { fill: #f6f8fa; stroke: #d1d9e0; } text { fill: #1f2328; font: %dpx ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre; }
  .b { font-weight: 700; } .d { fill: #59636e; } .r { fill: #b3161d; } .g { fill: #116329; } .y { fill: #7d4e00; } .c { fill: #0a6570; }
  @media (prefers-color-scheme: dark) { .bg { fill: #0d1117; stroke: #30363d; } text { fill: #e6edf3; }
    .d { fill: #9198a1; } .r { fill: #ff7b72; } .g { fill: #56d364; } .y { fill: #e3b341; } .c { fill: #56d4dd; } }
</style>
<rect class="bg" x="0.5" y="0.5" width="%.0f" height="%d" rx="8"/>
`, width, height, width, height, html.EscapeString(command), svgFont, width-1, height-1)
	for i, line := range lines {
		svgLine(&b, line, svgMargin+(i+1)*svgRow-5)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func ansiEscape() *regexp.Regexp { return regexp.MustCompile("\x1b\\[([0-9;]*)m") }

// svgLine writes the runs of one style, each at its column.
func svgLine(b *bytes.Buffer, line string, y int) {
	classes := map[string]string{"1": "b", "2": "d", "31": "r", "32": "g", "33": "y", "36": "c"}
	fmt.Fprintf(b, `<text y="%d">`, y)
	class, column := "", 0
	escapes := append(ansiEscape().FindAllStringSubmatchIndex(line, -1), []int{len(line), len(line), len(line), len(line)})
	at := 0
	for _, e := range escapes {
		for text := line[at:e[0]]; text != ""; {
			// What stands apart gets a place of its own, so that columns hold in any font.
			gap := len(text) - len(strings.TrimLeft(text, " "))
			run := text[gap:]
			if end := strings.Index(run, "  "); end >= 0 {
				run = run[:end]
			}
			if n := utf8.RuneCountInString(run); n > 0 {
				fmt.Fprintf(b, `<tspan x="%.1f" textLength="%.1f"`, svgMargin+float64(column+gap)*svgColumn, float64(n)*svgColumn)
				if class != "" {
					fmt.Fprintf(b, ` class="%s"`, class)
				}
				fmt.Fprintf(b, ">%s</tspan>", html.EscapeString(run))
			}
			column += gap + utf8.RuneCountInString(run)
			text = text[gap+len(run):]
		}
		if class, at = classes[line[e[2]:e[3]]], e[1]; at == len(line) {
			break
		}
	}
	b.WriteString("</text>\n")
}

// svgLines reads the text of a picture back, with a space for each column that is empty.
func svgLines(t *testing.T, svg []byte) []string {
	t.Helper()
	var lines []string
	column := 0
	for dec := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			switch token.Name.Local {
			case "text":
				lines, column = append(lines, ""), 0
			case "tspan":
				var x float64
				if _, err := fmt.Sscan(token.Attr[0].Value, &x); err != nil {
					t.Fatal(err)
				}
				for to := int((x-svgMargin)/svgColumn + 0.5); column < to; column++ {
					lines[len(lines)-1] += " "
				}
			}
		case xml.CharData:
			if n := len(lines); n > 0 && strings.TrimSpace(string(token)) != "" {
				lines[n-1] += string(token)
				column += utf8.RuneCount(token)
			}
		}
	}
}
