package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testdata/conformance.txt says of every normative statement of MQTT 5.0, and of those of 3.1.1 that differ, which test
// proves it and which file obeys it. What it says is held against the repository here.

const conformance = "testdata/conformance.txt"

// section is a section of the standard with the numbers of its statements.
type section struct {
	number      string
	first, last int
}

// sections is appendix B of MQTT 5.0: 251 statements. Two sections do not begin with 1 or end early: so does it.
func sections() []section {
	return []section{
		{"1.5.4", 1, 3}, {"1.5.5", 1, 1}, {"1.5.7", 1, 1},
		{"2.1.3", 1, 1}, {"2.2.1", 2, 6}, {"2.2.2", 1, 1},
		{"3.1.0", 1, 2}, {"3.1.2", 1, 30}, {"3.1.3", 1, 12}, {"3.1.4", 1, 6},
		{"3.2.0", 1, 2}, {"3.2.2", 1, 22},
		{"3.3.1", 1, 13}, {"3.3.2", 1, 20}, {"3.3.4", 1, 10},
		{"3.4.2", 1, 3}, {"3.5.2", 1, 3}, {"3.6.1", 1, 1}, {"3.6.2", 1, 3}, {"3.7.2", 1, 3},
		{"3.8.1", 1, 1}, {"3.8.3", 1, 5}, {"3.8.4", 1, 8}, {"3.9.2", 1, 2}, {"3.9.3", 1, 2},
		{"3.10.1", 1, 1}, {"3.10.3", 1, 2}, {"3.10.4", 1, 6}, {"3.11.2", 1, 2}, {"3.11.3", 1, 2}, {"3.12.4", 1, 1},
		{"3.14.0", 1, 1}, {"3.14.1", 1, 1}, {"3.14.2", 1, 4}, {"3.14.4", 1, 3}, {"3.15.1", 1, 1}, {"3.15.2", 1, 3},
		{"4.1.0", 1, 2}, {"4.2.0", 1, 1}, {"4.3.1", 1, 1}, {"4.3.2", 1, 5}, {"4.3.3", 1, 13}, {"4.4.0", 1, 2}, {"4.5.0", 1, 2},
		{"4.6.0", 1, 6}, {"4.7.0", 1, 1}, {"4.7.1", 1, 2}, {"4.7.2", 1, 1}, {"4.7.3", 1, 4}, {"4.8.2", 1, 6}, {"4.9.0", 1, 3},
		{"4.12.0", 1, 7}, {"4.12.1", 1, 2}, {"4.13.1", 1, 1}, {"4.13.2", 1, 1}, {"6.0.0", 1, 4},
	}
}

// older is what stands before the number of a statement of 3.1.1.
const older = "MQTT-3.1.1: "

// olderStatements is how many statements of 3.1.1 differ from 5.0.
const olderStatements = 26

// claim is one line of the file.
type claim struct {
	line     int
	id       string // as it is cited: MQTT-3.3.1-5, or MQTT-3.1.1: 3.1.2-22
	tests    [][2]string
	excuse   string // instead of tests
	files    []string
	statedAs string
}

// citation is a statement's number in a text. The standard itself writes 3-8.3-4.
var citation = regexp.MustCompile(`MQTT-(?:3\.1\.1: \d+[.-]\d+\.\d+-\d+|\d+[.-]\d+\.\d+-\d+)\b`)

func parseClaim(line string) (c claim, err error) {
	field := strings.Split(line, " | ")
	if len(field) != 5 {
		return c, fmt.Errorf("%d fields, want number, who it binds, tests, files and meaning", len(field))
	}
	c.id, c.statedAs, c.files = field[0], strings.TrimSpace(field[4]), strings.Fields(field[3])
	why, untestable := strings.CutPrefix(field[2], "untestable:")
	what, open := strings.CutPrefix(field[2], "open:")
	switch {
	case citation.FindString(c.id) != c.id:
		return c, fmt.Errorf("%q is not a statement's number", c.id)
	case !slices.Contains([]string{"server", "client", "both"}, field[1]):
		return c, fmt.Errorf("it binds %q", field[1])
	case c.statedAs == "" || len(c.statedAs) > 80:
		return c, fmt.Errorf("a meaning of %d bytes", len(c.statedAs))
	case len(c.files) == 0:
		return c, fmt.Errorf("no file obeys it")
	case untestable && strings.TrimSpace(why) == "" || open && strings.TrimSpace(what) == "":
		return c, fmt.Errorf("neither a test nor a reason")
	case untestable || open:
		c.excuse = field[2]
		return c, nil
	}
	for group := range strings.SplitSeq(field[2], "; ") {
		dir, names, ok := strings.Cut(group, ": ")
		if !ok || len(strings.Fields(names)) == 0 {
			return c, fmt.Errorf("%q does not name tests of a package", group)
		}
		for _, name := range strings.Fields(names) {
			c.tests = append(c.tests, [2]string{dir, name})
		}
	}
	return c, nil
}

// parseClaims reads the file; the faults are those of single lines and of the list as a whole.
func parseClaims(text string) (claims []claim, faults []string) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSuffix(line, "\n"); line == "" || line[0] == '#' {
			continue
		}
		c, err := parseClaim(line)
		if err != nil {
			faults = append(faults, fmt.Sprintf("line %d: %v", n, err))
			continue
		}
		c.line = n
		claims = append(claims, c)
	}
	return claims, append(faults, listFaults(claims)...)
}

// listFaults holds the list against the standard's: all of it, each once, in order, and those of 3.1.1 behind.
func listFaults(claims []claim) (faults []string) {
	var want []string
	for _, s := range sections() {
		for n := s.first; n <= s.last; n++ {
			want = append(want, fmt.Sprintf("MQTT-%s-%d", s.number, n))
		}
	}
	seen := make(map[string]bool)
	at, old := 0, 0
	for _, c := range claims {
		place := slices.Index(want, c.id)
		switch isOlder := strings.HasPrefix(c.id, older); {
		case seen[c.id]:
			faults = append(faults, fmt.Sprintf("line %d: %s a second time", c.line, c.id))
		case isOlder:
			old++
		case place < 0:
			faults = append(faults, fmt.Sprintf("line %d: 5.0 has no %s", c.line, c.id))
		case old > 0 || place < at:
			faults = append(faults, fmt.Sprintf("line %d: %s is out of order", c.line, c.id))
		default:
			at = place
		}
		seen[c.id] = true
	}
	for _, id := range want {
		if !seen[id] {
			faults = append(faults, id+" is missing")
		}
	}
	if old != olderStatements {
		faults = append(faults, fmt.Sprintf("%d statements of 3.1.1, want %d", old, olderStatements))
	}
	return faults
}

// proofs are the test functions of a package by name, each with the numbers that it cites.
type proofs map[string][]string

// proofsOf reads the test functions of a folder. Their comments count: there most numbers are.
func proofsOf(fset *token.FileSet, name, text string, into proofs) error {
	f, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Test") && !strings.HasPrefix(fn.Name.Name, "Fuzz") {
			continue
		}
		from := fn.Pos()
		if fn.Doc != nil {
			from = fn.Doc.Pos()
		}
		source := text[fset.Position(from).Offset:fset.Position(fn.End()).Offset]
		into[fn.Name.Name] = append(citation.FindAllString(source, -1), "")
	}
	return nil
}

// repository is what a claim is held against.
type repository struct {
	tests map[string]proofs   // by folder
	cited map[string][]string // the numbers in each file
}

// faults checks what one line says.
func (r *repository) faults(c claim) (faults []string) {
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Sprintf("line %d: %s: ", c.line, c.id)+fmt.Sprintf(format, args...))
	}
	cited := c.excuse != ""
	for _, t := range c.tests {
		numbers := r.tests[t[0]][t[1]]
		if numbers == nil {
			fault("%s has no %s", t[0], t[1])
		}
		cited = cited || slices.Contains(numbers, c.id)
	}
	for _, name := range c.files {
		numbers, ok := r.cited[name]
		if !ok {
			fault("there is no %s", name)
		}
		cited = cited || slices.Contains(numbers, c.id)
	}
	if !cited {
		fault("neither %s nor a test of it cites the number", strings.Join(c.files, ", "))
	}
	return faults
}

// strangers finds numbers that are cited and that the file does not know.
func (r *repository) strangers(claims []claim) (faults []string) {
	known := make(map[string]bool)
	for _, c := range claims {
		known[c.id] = true
	}
	for name, numbers := range r.cited {
		for _, id := range numbers {
			if !known[id] && name != conformance {
				faults = append(faults, fmt.Sprintf("%s cites %s, which is not in the list", name, id))
			}
		}
	}
	slices.Sort(faults)
	return slices.Compact(faults)
}

// readRepository reads the sources and the data of tests below the root.
func readRepository(t *testing.T) *repository {
	t.Helper()
	r := &repository{tests: make(map[string]proofs), cited: make(map[string][]string)}
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		name = filepath.ToSlash(name)
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && d.Name()[0] == '.':
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") && (path.Ext(name) != ".txt" || !strings.Contains(name, "testdata/")):
			return nil
		case name == "conformance_test.go": // its examples are no citations
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		r.cited[name] = citation.FindAllString(string(text), -1)
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		dir := path.Dir(name)
		if r.tests[dir] == nil {
			r.tests[dir] = make(proofs)
		}
		return proofsOf(fset, name, string(text), r.tests[dir])
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestConformance(t *testing.T) {
	text, err := os.ReadFile(conformance)
	if err != nil {
		t.Fatal(err)
	}
	claims, faults := parseClaims(string(text))
	r := readRepository(t)
	for _, c := range claims {
		faults = append(faults, r.faults(c)...)
	}
	for _, fault := range append(faults, r.strangers(claims)...) {
		t.Errorf("%s: %s", conformance, fault)
	}
	for _, c := range claims {
		if c.excuse != "" {
			t.Logf("%s: %s", c.id, c.excuse)
		}
	}
}

// The checker itself: what a line can get wrong is noticed.
func TestConformanceNoticesFaults(t *testing.T) {
	const sound = "MQTT-3.3.1-5 | server | mqtt/broker: TestA TestB; mqtt/client: TestC | mqtt/broker/a.go | it means"
	r := &repository{
		tests: map[string]proofs{"mqtt/client": {"TestC": {""}}, "mqtt/broker": {}},
		cited: map[string][]string{"mqtt/broker/a.go": {"MQTT-3.3.1-5"}, "mqtt/broker/bare.go": {"MQTT-3.3.1-13"}},
	}
	source := "package broker\n\n// [MQTT-3.3.1-5], [MQTT-3.1.1: 3.1.2-22].\nfunc TestA(t *testing.T) {}\n\nfunc TestB(t *testing.T) {}\n"
	if err := proofsOf(token.NewFileSet(), "a_test.go", source, r.tests["mqtt/broker"]); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"sound", "", "", ""},
		{"a field too few", " | it means", "", "4 fields"},
		{"a field too many", "it means", "it | means", "6 fields"},
		{"no number", "MQTT-3.3.1-5", "MQTT-3.3.1", "not a statement's number"},
		{"nobody", "server", "all", "it binds"},
		{"no meaning", "it means", " ", "a meaning of 0"},
		{"a long one", "it means", strings.Repeat("x", 81), "a meaning of 81"},
		{"no file", "mqtt/broker/a.go", " ", "no file"},
		{"another file", "a.go", "b.go", "there is no mqtt/broker/b.go"},
		{"no package", "mqtt/broker: ", "", "does not name tests"},
		{"no test", "TestC", " ", "does not name tests"},
		{"another test", "TestC", "TestD", "mqtt/client has no TestD"},
		{"another package", "mqtt/client", "mqtt/flow", "mqtt/flow has no TestC"},
		{"a test that cites", "a.go", "bare.go", ""},
		{"no citation", "mqtt/broker: TestA TestB; mqtt/client: TestC | mqtt/broker/a.go", "mqtt/broker: TestB | mqtt/broker/bare.go", "cites the number"},
		{"no number like it", "MQTT-3.3.1-5", "MQTT-3.3.1-1", "cites the number"},
		{"an older one", "MQTT-3.3.1-5", "MQTT-3.1.1: 3.1.2-22", ""},
		{"open", "mqtt/broker: TestA TestB; mqtt/client: TestC", "open: it is not built", ""},
		{"open without a reason", "mqtt/broker: TestA TestB; mqtt/client: TestC", "open: ", "nor a reason"},
		{"untestable without a reason", "mqtt/broker: TestA TestB; mqtt/client: TestC", "untestable:", "nor a reason"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if one, err := parseClaim(strings.Replace(sound, c.old, c.new, 1)); err != nil {
				got = err.Error()
			} else {
				got = strings.Join(r.faults(one), "\n")
			}
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("faults %q, want one with %q", got, c.want)
			}
		})
	}
	if got := r.strangers([]claim{{id: "MQTT-3.3.1-5"}}); len(got) != 1 || !strings.Contains(got[0], "bare.go cites MQTT-3.3.1-13") {
		t.Errorf("strangers %q", got)
	}
}

// The list is the standard's: all of it, once, in order.
func TestConformanceNoticesGaps(t *testing.T) {
	var all []claim
	for _, s := range sections() {
		for n := s.first; n <= s.last; n++ {
			all = append(all, claim{id: fmt.Sprintf("MQTT-%s-%d", s.number, n)})
		}
	}
	if len(all) != 251 {
		t.Fatalf("%d statements, appendix B has 251", len(all))
	}
	for n := range olderStatements {
		all = append(all, claim{id: fmt.Sprintf("%s9.9.9-%d", older, n)})
	}
	if got := listFaults(all); len(got) > 0 {
		t.Fatalf("the list itself: %q", got)
	}
	for want, broken := range map[string][]claim{
		"MQTT-1.5.4-3 is missing":      slices.Delete(slices.Clone(all), 2, 3),
		"MQTT-1.5.4-1 a second time":   slices.Insert(slices.Clone(all), 1, all[0]),
		"MQTT-1.5.4-1 is out of order": append(append(slices.Clone(all[1:2]), all[0]), all[2:]...),
		"MQTT-6.0.0-4 is out of order": append(append(slices.Clone(all[:250]), all[251], all[250]), all[252:]...),
		"5.0 has no MQTT-2.2.1-1":      append(slices.Clone(all), claim{id: "MQTT-2.2.1-1"}),
		"25 statements of 3.1.1":       slices.Clone(all[:len(all)-1]),
	} {
		if got := listFaults(broken); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("faults %q, want %q", got, want)
		}
	}
}
