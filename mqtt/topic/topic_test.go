package topic

import (
	"bufio"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// row is a line of testdata/topics.txt: what, its strings, and the last word if it is
// not a string.
type row struct {
	line    int
	what    string
	strings []string
	want    string
}

func readTable(t *testing.T) []row {
	t.Helper()
	f, err := os.Open("../../testdata/topics.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows []row
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		text := strings.TrimSpace(in.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		r := row{line: n}
		r.what, text, _ = strings.Cut(text, " ")
		for text = strings.TrimSpace(text); strings.HasPrefix(text, `"`); text = strings.TrimSpace(text) {
			quoted, err := strconv.QuotedPrefix(text)
			if err != nil {
				t.Fatalf("line %d: %v", n, err)
			}
			s, _ := strconv.Unquote(quoted)
			r.strings = append(r.strings, s)
			text = text[len(quoted):]
		}
		r.want = text
		rows = append(rows, r)
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestTable(t *testing.T) {
	seen := map[string]int{}
	for _, r := range readTable(t) {
		seen[r.what]++
		switch r.what {
		case "match":
			checkMatch(t, r)
		case "name":
			checkError(t, r, ValidateName(r.strings[0]), CodeNameInvalid)
		case "filter":
			checkError(t, r, ValidateFilter(r.strings[0]), CodeFilterInvalid)
		case "share":
			checkShare(t, r)
		default:
			t.Fatalf("line %d: unknown kind %q", r.line, r.what)
		}
	}
	for _, what := range []string{"match", "name", "filter", "share"} {
		if seen[what] < 10 {
			t.Errorf("the table has only %d lines of %q", seen[what], what)
		}
	}
}

// checkMatch holds Match, both trees and the naive matcher to the table.
func checkMatch(t *testing.T, r row) {
	t.Helper()
	filter, name := r.strings[0], r.strings[1]
	if err := ValidateFilter(filter); err != nil {
		t.Errorf("line %d: %v", r.line, err)
	}
	if err := ValidateName(name); err != nil {
		t.Errorf("line %d: %v", r.line, err)
	}
	want := r.want == "yes"
	if !want && r.want != "no" {
		t.Fatalf("line %d: want yes or no, not %q", r.line, r.want)
	}
	if got := Match(filter, name); got != want {
		t.Errorf("line %d: Match(%q, %q) = %v", r.line, filter, name, got)
	}
	if got := naiveMatch(filter, name); got != want {
		t.Errorf("line %d: naiveMatch(%q, %q) = %v", r.line, filter, name, got)
	}
	var filters FilterTree[int, int]
	filters.Set(filter, 1, 1)
	if got := len(filters.AppendMatches(nil, name)) == 1; got != want {
		t.Errorf("line %d: FilterTree: %q matches %q: %v", r.line, filter, name, got)
	}
	var names NameTree[int]
	names.Set(name, 1)
	if got := len(matchNames(&names, filter)) == 1; got != want {
		t.Errorf("line %d: NameTree: %q matches %q: %v", r.line, filter, name, got)
	}
}

func checkError(t *testing.T, r row, err error, code byte) {
	t.Helper()
	if r.want == "ok" {
		if err != nil {
			t.Errorf("line %d: %q: %v", r.line, r.strings[0], err)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("line %d: %q: no error, want %s", r.line, r.strings[0], r.want)
		return
	}
	if e.Statement != r.want || e.Code != code {
		t.Errorf("line %d: %q: code %#x, %v; want %#x, %s", r.line, r.strings[0], e.Code, e, code, r.want)
	}
	if !strings.HasPrefix(e.Error(), "topic: ") || !strings.Contains(e.Error(), "["+r.want+"]") {
		t.Errorf("line %d: error reads %q", r.line, e)
	}
}

func checkShare(t *testing.T, r row) {
	t.Helper()
	group, inner, shared, err := SplitShare(r.strings[0])
	switch {
	case r.want == "none":
		if group != "" || inner != r.strings[0] || shared || err != nil {
			t.Errorf("line %d: got %q %q %v %v", r.line, group, inner, shared, err)
		}
	case r.want == "":
		if !slices.Equal([]string{group, inner}, r.strings[1:]) || !shared || err != nil {
			t.Errorf("line %d: got %q %q %v %v", r.line, group, inner, shared, err)
		}
	default:
		checkError(t, r, err, CodeFilterInvalid)
		if group != "" || inner != "" || !shared {
			t.Errorf("line %d: got %q %q %v", r.line, group, inner, shared)
		}
	}
}

// The longest string that a UTF-8 Encoded String can carry is valid; one byte more is
// not [MQTT-4.7.3-3].
func TestLength(t *testing.T) {
	longest := strings.Repeat("/", MaxLength)
	for _, s := range []string{longest, strings.Repeat("a", MaxLength), "$share/g/" + longest[9:]} {
		if err := errors.Join(ValidateName(s), ValidateFilter(s)); err != nil {
			t.Error(err)
		}
		for _, err := range []error{ValidateName(s + "a"), ValidateFilter(s + "a")} {
			if e := (*Error)(nil); !errors.As(err, &e) || e.Statement != "MQTT-4.7.3-3" {
				t.Errorf("got %v, want MQTT-4.7.3-3", err)
			}
		}
	}
	if got := Levels(longest); got != MaxLength+1 {
		t.Errorf("Levels = %d", got)
	}
}

// A filter as deep as a filter can be must not break the trees, which recurse.
func TestDeepest(t *testing.T) {
	filter := strings.Repeat("+/", MaxLength/2) + "#"
	name := strings.Repeat("a/", MaxLength/2) + "a"
	if !Match(filter, name) {
		t.Error("Match: no")
	}
	var filters FilterTree[int, int]
	filters.Set(filter, 1, 1)
	if got := filters.AppendMatches(nil, name); len(got) != 1 {
		t.Errorf("FilterTree: %d matches", len(got))
	}
	if _, ok := filters.Delete(filter, 1); !ok || !filters.root.empty() {
		t.Error("FilterTree: Delete left nodes behind")
	}
	var names NameTree[int]
	names.Set(name, 1)
	if got := matchNames(&names, filter); len(got) != 1 {
		t.Errorf("NameTree: %d matches", len(got))
	}
	if _, ok := names.Delete(name); !ok || !names.root.children.empty() {
		t.Error("NameTree: Delete left nodes behind")
	}
}

func TestNoAllocations(t *testing.T) {
	var filters FilterTree[int, int]
	var names NameTree[int]
	for i, f := range []string{"a/b/c", "a/+/c", "#", "a/b/#", "+/b/+", "x"} {
		filters.Set(f, i, i)
	}
	names.Set("a/b/c", 1)
	dst := make([]int, 0, 16)
	for what, f := range map[string]func(){
		"Match":          func() { Match("a/+/#", "a/b/c") },
		"ValidateName":   func() { _ = ValidateName("a/b/c") },
		"ValidateFilter": func() { _ = ValidateFilter("$share/g/a/+/#") },
		"AppendMatches":  func() { dst = filters.AppendMatches(dst[:0], "a/b/c") },
		"Get":            func() { names.Get("a/b/c") },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	if len(dst) != 5 {
		t.Errorf("%d matches, want 5", len(dst))
	}
}

// naiveMatch reads chapter 4.7 as plainly as possible, to compare with.
func naiveMatch(filter, name string) bool {
	f, n := strings.Split(filter, "/"), strings.Split(name, "/")
	if strings.HasPrefix(name, "$") && (f[0] == "+" || f[0] == "#") {
		return false
	}
	if last := len(f) - 1; f[last] == "#" {
		if len(n) < last {
			return false
		}
		f, n = f[:last], n[:last]
	}
	return slices.EqualFunc(f, n, func(f, n string) bool { return f == "+" || f == n })
}

func matchNames(t *NameTree[int], filter string) []string {
	var names []string
	t.Match(filter, func(name string, _ int) bool {
		names = append(names, name)
		return true
	})
	return names
}
