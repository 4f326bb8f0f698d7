//go:build unix

package cmd_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mqt/cmd"
)

// Every command that the documents show is run: the fenced blocks of the README, the examples of each command's --help,
// and what the files of .package say. A block or a command that nothing here runs, or says why not, fails the test.

// docBlock is one fenced block: sh has commands, console has commands behind "$ " and what they print, yaml and text are
// files, named by a comment in their first line.
type docBlock struct {
	lang string
	line int
	text []string
}

// docCommand is a command with the place where it stands.
type docCommand struct {
	text, at string
}

const readmePath = "../README.md"

func readmeBlocks(t *testing.T) []docBlock {
	t.Helper()
	text, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	var all []docBlock
	open := false
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			if open = !open; open {
				all = append(all, docBlock{lang: line[3:], line: i + 1})
			}
		case open:
			b := &all[len(all)-1]
			b.text = append(b.text, line)
		case strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "\t"):
			t.Errorf("README.md:%d: a block by indentation: nothing tells whether it is to be run; use ```sh, console, yaml or text", i+1)
		}
	}
	if open || len(all) == 0 {
		t.Fatalf("README.md has %d blocks, and the last is open: %v", len(all), open)
	}
	return all
}

// fileName is the name in the first line of a block that is a file.
func (b *docBlock) fileName() string {
	m := regexp.MustCompile(`^# (\S*[./]?\S+?)(:.*|;.*)?$`).FindStringSubmatch(b.text[0])
	if m == nil {
		return ""
	}
	return m[1]
}

// bare takes a comment off a command.
func bare(line string) string {
	line, _, _ = strings.Cut(line, "  # ")
	return strings.TrimSpace(line)
}

// docCommands are those that are run one by one.
func docCommands(t *testing.T) []docCommand {
	t.Helper()
	var all []docCommand
	seen := make(map[string]bool)
	add := func(at string, lines ...string) {
		for _, line := range lines {
			if text := bare(line); text != "" && !strings.HasPrefix(text, "#") && !seen[text] {
				seen[text] = true
				all = append(all, docCommand{text, at})
			}
		}
	}
	for _, b := range readmeBlocks(t) {
		if b.lang == "sh" {
			add(fmt.Sprintf("README.md:%d", b.line), b.text...)
		}
	}
	add("README.md", proseCommands(t)...)
	for _, name := range commandNames(t) {
		examples := helpExamples(runHelp(t, name))
		if len(examples) == 0 {
			t.Errorf("mqt help %s has no example", name)
		}
		add("mqt help "+name, examples...)
	}
	for _, line := range packageCommands(t) {
		add(".package", line)
	}
	return all
}

// proseCommands are those in the README's sentences: mqt, a command, and something for it to do.
func proseCommands(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(readmePath)
	if err != nil {
		t.Fatal(err)
	}
	prose := regexp.MustCompile("(?ms)^```.*?^```").ReplaceAllString(string(text), "")
	var all []string
	for _, m := range regexp.MustCompile("`(mqt [^`]+)`").FindAllStringSubmatch(prose, -1) {
		if line := strings.Join(strings.Fields(m[1]), " "); strings.Count(line, " ") > 1 && !strings.Contains(line, "…") {
			all = append(all, line)
		}
	}
	return all
}

func runHelp(t *testing.T, words ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := cmd.Main(t.Context(), append([]string{"help"}, words...), cmd.Stdio{In: strings.NewReader(""), Out: &out, Err: &errs}); code != 0 {
		t.Fatalf("mqt help %s: %d, %s", words, code, errs.String())
	}
	return out.String()
}

// commandNames are those of mqt --help.
func commandNames(t *testing.T) []string {
	t.Helper()
	_, list, _ := strings.Cut(runHelp(t), "\nCommands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var names []string
	for line := range strings.Lines(list) {
		if name := strings.Fields(line)[0]; strings.HasPrefix(line, "  "+name) {
			names = append(names, name)
		}
	}
	if len(names) < 8 {
		t.Fatalf("commands %q", names)
	}
	return names
}

func helpExamples(help string) []string {
	_, list, _ := strings.Cut(help, "\nExamples:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var all []string
	for line := range strings.Lines(list) {
		all = append(all, strings.TrimSpace(line))
	}
	return all
}

// packageCommands are what systemd runs, and what a comment of the configuration tells to run.
func packageCommands(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, name := range []string{"mqt-broker.service", "broker.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", ".package", name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if m := regexp.MustCompile(`^(?:#\s+|ExecStart=/usr/bin/)(mqt [a-z]+ -.*)`).FindStringSubmatch(line); m != nil {
				all = append(all, m[1])
			}
		}
	}
	if len(all) != 2 {
		t.Errorf("commands in .package: %q", all)
	}
	return all
}

// TestManExamples: the pages show what --help shows, and that is run.
func TestManExamples(t *testing.T) {
	unroff := strings.NewReplacer(`\-`, "-", `\(aq`, "'", `\(ha`, "^", `\(ti`, "~", `\(ga`, "`", `\e`, `\`)
	for _, name := range commandNames(t) {
		var out, errs bytes.Buffer
		if code := cmd.Main(t.Context(), []string{"man", name}, cmd.Stdio{In: strings.NewReader(""), Out: &out, Err: &errs}); code != 0 {
			t.Fatal(errs.String())
		}
		page := unroff.Replace(out.String())
		for _, line := range helpExamples(runHelp(t, name)) {
			if !strings.Contains(page, line+"\n") {
				t.Errorf("mqt man %s lacks %s", name, line)
			}
		}
	}
}

// TestDocBlocks: each block of the README is run or read by something.
func TestDocBlocks(t *testing.T) {
	files := make(map[string]bool)
	var commands strings.Builder
	for _, b := range readmeBlocks(t) {
		at := fmt.Sprintf("README.md:%d", b.line)
		switch b.lang {
		case "sh":
			commands.WriteString(strings.Join(b.text, "\n"))
		case "console":
			commands.WriteString(strings.Join(b.text, "\n"))
			if !strings.HasPrefix(b.text[0], "$ ") {
				t.Errorf("%s: a console block begins with a command", at)
			}
		case "yaml", "text":
			name := b.fileName()
			if name == "" || files[name] {
				t.Errorf("%s: %q is no file of its own, named by a comment in the first line", at, b.text[0])
			}
			files[name] = true
		default:
			t.Errorf("%s: nothing runs a block of %q", at, b.lang)
		}
	}
	for name := range files {
		if slices.Contains(docPipelines(), name) {
			continue // TestDocPipelines
		}
		if !strings.Contains(commands.String(), name) {
			t.Errorf("README.md has a file %s, which no command reads", name)
		}
	}
}

// direction says how one command is run: see testdata/docs/commands.txt.
type direction struct {
	feed     [][2]string    // topic and payload, retained before it starts
	out, err *regexp.Regexp // what it must print
	codes    string         // as 0|13; "" is 0
	stop     string         // a signal for it once it has printed that
	file     string         // a pattern for a file that it makes
	skip     string         // why it is not run
	used     bool
}

func directions(t *testing.T) map[string]*direction {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "docs", "commands.txt"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*direction)
	var d *direction
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if !strings.HasPrefix(line, "\t") {
			d = &direction{}
			if all[line] != nil {
				t.Errorf("commands.txt has %s twice", line)
			}
			all[line] = d
			continue
		}
		word, rest, _ := strings.Cut(line[1:], " ")
		switch word {
		case "feed":
			topic, payload, _ := strings.Cut(rest, " ")
			d.feed = append(d.feed, [2]string{topic, payload})
		case "out":
			d.out = regexp.MustCompile("(?m)" + rest)
		case "err":
			d.err = regexp.MustCompile("(?m)" + rest)
		case "code":
			d.codes = rest
		case "stop":
			d.stop = rest
		case "file":
			d.file = rest
		case "skip":
			d.skip = rest
		default:
			t.Fatalf("commands.txt: no direction %q", word)
		}
	}
	return all
}

// TestDocCommands runs them, each in a folder and with a broker of its own.
func TestDocCommands(t *testing.T) {
	told := directions(t)
	base := newDocStage(t)
	for _, c := range docCommands(t) {
		d := told[c.text]
		if d == nil {
			d = &direction{}
		}
		d.used = true
		if d.skip != "" {
			continue
		}
		t.Run(c.text, func(t *testing.T) {
			t.Parallel()
			base.copy(t).run(t, c, d)
		})
	}
	for text, d := range told {
		if !d.used {
			t.Errorf("commands.txt has %s, which is in no document", text)
		}
	}
}

// TestDocSessions runs the console blocks and compares what is printed, numbers aside.
func TestDocSessions(t *testing.T) {
	base := newDocStage(t)
	for _, b := range readmeBlocks(t) {
		if b.lang == "console" {
			t.Run(fmt.Sprintf("README.md:%d", b.line), func(t *testing.T) {
				t.Parallel()
				base.copy(t).session(t, b.text)
			})
		}
	}
}

// run runs one command.
func (s *docStage) run(t *testing.T, c docCommand, d *direction) {
	t.Helper()
	for _, m := range d.feed {
		s.mustRun(t, "mqt", "pub", "-q", "1", "-r", "-t", m[0], "-m", m[1])
	}
	if strings.Contains(c.text, "profile") {
		if !strings.Contains(c.text, "profile add") {
			s.mustRun(t, "mqt", "profile", "add", "work", "-L", s.url)
		}
		s.url = "" // it is the profile that has it
	}
	script := s.local(c.text)
	if d.stop != "" {
		script = "exec env " + script
	}
	p := s.start(t, script)
	if d.stop != "" {
		p.waitFor(t, func() bool { return d.seen(s.dir, p) })
		if err := exec.Command("kill", "-"+d.stop, fmt.Sprint(p.cmd.Process.Pid)).Run(); err != nil {
			t.Error(err)
		}
	}
	p.wait(t)
	codes := d.codes
	if codes == "" {
		codes = "0"
		if strings.Contains(script, "mqt bench") {
			codes = measured
		}
	}
	if !oneOf(codes, p.code) {
		t.Errorf("%s: %s ended with %d, want %s\nit ran as %s\nstdout:\n%s\nstderr:\n%s", c.at, c.text, p.code, codes, script, p.out, p.err)
	} else if !d.seen(s.dir, p) {
		t.Errorf("%s: %s printed\n%s\nstderr:\n%s", c.at, c.text, p.out, p.err)
	}
}

// measured are the ends of a bench that could run: on a busy machine the thresholds may not hold, and in a short run the
// samples are too few.
const measured = "0|10|13|14"

// seen tells that it has printed and made what it must.
func (d *direction) seen(dir string, p *docProcess) bool {
	if d.out != nil && !d.out.MatchString(p.out.String()) || d.err != nil && !d.err.MatchString(p.err.String()) {
		return false
	}
	files, err := filepath.Glob(filepath.Join(dir, d.file))
	return err == nil && len(files) > 0
}
