package topic

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzMatch holds Match and both trees to the naive matcher, for any two strings.
func FuzzMatch(f *testing.F) {
	for _, s := range [][2]string{
		{"a/#", "a"}, {"+/#", "/"}, {"#", "$SYS/a"}, {"a/+/c", "a//c"}, {"a#/b", "a#/b"},
		{"$SYS/+", "$SYS/温度"}, {"", ""}, {"#/a", "#/a"}, {"+", "+"}, {"a/\x00/\xff", "a/\x00/\xff"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, filter, name string) {
		want := naiveMatch(filter, name)
		if got := Match(filter, name); got != want {
			t.Errorf("Match(%q, %q) = %v", filter, name, got)
		}
		var filters FilterTree[int, int]
		filters.Set(filter, 1, 1)
		if got := filters.AppendMatches(nil, name); (len(got) == 1) != want {
			t.Errorf("FilterTree: %q, %q: %v", filter, name, got)
		}
		var names NameTree[int]
		names.Set(name, 1)
		if got := matchNames(&names, filter); (len(got) == 1) != want {
			t.Errorf("NameTree: %q, %q: %q", filter, name, got)
		}
	})
}

// FuzzValidate compares validity with chapter 4.7 read level by level, and takes apart
// and puts together Shared Subscriptions.
func FuzzValidate(f *testing.F) {
	for _, s := range []string{"", "a", "a/#", "#/a", "a+", "+/+", "$share/g/a", "$share//a", "$share/g", "\xed\xa0\x80", "a\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text := s != "" && len(s) <= 65535 && utf8.ValidString(s) && !strings.Contains(s, "\x00")
		if got, want := ValidateName(s) == nil, text && !strings.ContainsAny(s, "+#"); got != want {
			t.Errorf("ValidateName(%q): valid is %v", s, got)
		}
		inner := s
		if levels := strings.Split(s, "/"); levels[0] == "$share" && len(levels) > 1 {
			inner = strings.Join(levels[min(2, len(levels)):], "/")
			text = text && levels[1] != "" && !strings.ContainsAny(levels[1], "+#") && inner != ""
		}
		levels := strings.Split(inner, "/")
		misplaced := func(level string) bool { return level != "+" && strings.ContainsAny(level, "+#") }
		if levels[len(levels)-1] == "#" {
			levels = levels[:len(levels)-1]
		}
		if got, want := ValidateFilter(s) == nil, text && !slices.ContainsFunc(levels, misplaced); got != want {
			t.Errorf("ValidateFilter(%q): valid is %v", s, got)
		}
		group, inner, shared, err := SplitShare(s)
		if err == nil && shared && "$share/"+group+"/"+inner != s || !shared && inner != s {
			t.Errorf("SplitShare(%q) = %q, %q, %v, %v", s, group, inner, shared, err)
		}
	})
}

// FuzzFilterTree runs a program of Set and Delete over a few filters and compares with
// a plain list. Each byte is one step: filter, key, and which of the two.
func FuzzFilterTree(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 128, 129, 130}, "a/b")
	f.Add([]byte{0, 8, 16, 24, 32, 40, 48, 56, 0, 8, 128, 136, 144, 152}, "")
	filters := []string{"a/b", "a/+", "a/#", "#", "+/b", "a", "+/+/#", "$a/+"}
	f.Fuzz(func(t *testing.T, program []byte, name string) {
		type subscription struct {
			filter string
			key    byte
		}
		var tree FilterTree[byte, int]
		plain := map[subscription]int{}
		for i, b := range program {
			s := subscription{filters[b&7], b >> 3 & 15}
			if b&128 == 0 {
				tree.Set(s.filter, s.key, i)
				plain[s] = i
			} else {
				tree.Delete(s.filter, s.key)
				delete(plain, s)
			}
		}
		for _, name := range []string{"a/b", "a", "$a/b", name} {
			var want []int
			for s, v := range plain {
				if Match(s.filter, name) {
					want = append(want, v)
				}
			}
			got := tree.AppendMatches(nil, name)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%q: got %v, want %v", name, got, want)
			}
		}
		if tree.Len() != len(plain) {
			t.Errorf("Len = %d, want %d", tree.Len(), len(plain))
		}
	})
}
