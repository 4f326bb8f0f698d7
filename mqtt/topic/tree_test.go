package topic

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// levels are few and similar, so that random strings meet often. The last two are not
// valid in a filter: the trees and Match read them alike nevertheless.
var levels = []string{"", "", "a", "a", "b", "ab", "é", "e\u0301", "温度", "$", "$SYS", "+", "+", "+", "#", "a+", "#a"}

// random returns a string of one to five levels.
func random(r *rand.Rand, levels []string) string {
	parts := make([]string, 1+r.IntN(5))
	for i := range parts {
		parts[i] = levels[r.IntN(len(levels))]
	}
	return strings.Join(parts, "/")
}

func randomFilter(r *rand.Rand) string {
	f := random(r, levels)
	if r.IntN(3) == 0 {
		f += "/#"
	}
	if r.IntN(8) == 0 {
		if _, inner, _, err := SplitShare("$share/group/" + f); err == nil {
			return inner
		}
	}
	return f
}

func randomName(r *rand.Rand) string {
	return random(r, levels[:11])
}

// model is what a FilterTree should hold: filter, key, value.
type model map[string]map[int]int

func (m model) matches(name string) []int {
	var values []int
	for filter, keys := range m {
		if Match(filter, name) {
			values = slices.AppendSeq(values, maps.Values(keys))
		}
	}
	slices.Sort(values)
	return values
}

// step applies one random change to the tree and to the model and compares what the
// tree answers.
func (m model) step(t *testing.T, tree *FilterTree[int, int], r *rand.Rand, filter string, key int) {
	t.Helper()
	want, there := m[filter][key]
	if got, ok := tree.Get(filter, key); got != want || ok != there {
		t.Fatalf("Get(%q, %d) = %d, %v; want %d, %v", filter, key, got, ok, want, there)
	}
	epoch := tree.Epoch()
	if r.IntN(2) == 0 {
		old, ok := tree.Delete(filter, key)
		if old != want || ok != there {
			t.Fatalf("Delete(%q, %d) = %d, %v; want %d, %v", filter, key, old, ok, want, there)
		}
		if ok && tree.Epoch() == epoch {
			t.Fatal("Delete left the epoch as it was")
		}
		delete(m[filter], key)
		return
	}
	value := r.Int()
	old, replaced := tree.Set(filter, key, value)
	if old != want || replaced != there {
		t.Fatalf("Set(%q, %d) = %d, %v; want %d, %v", filter, key, old, replaced, want, there)
	}
	if tree.Epoch() == epoch {
		t.Fatal("Set left the epoch as it was")
	}
	if m[filter] == nil {
		m[filter] = map[int]int{}
	}
	m[filter][key] = value
}

func (m model) len() int {
	n := 0
	for _, keys := range m {
		n += len(keys)
	}
	return n
}

func TestMatchAgreesWithNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	yes := 0
	for range 200_000 {
		filter, name := randomFilter(r), randomName(r)
		got := Match(filter, name)
		if want := naiveMatch(filter, name); got != want {
			t.Fatalf("Match(%q, %q) = %v", filter, name, got)
		}
		if got {
			yes++
		}
	}
	if yes < 2000 {
		t.Errorf("only %d of the random pairs match", yes)
	}
}

func TestFilterTreeAgreesWithMatch(t *testing.T) {
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 1))
		var tree FilterTree[int, int]
		m := model{}
		for range 1000 {
			m.step(t, &tree, r, randomFilter(r), r.IntN(4))
			name := randomName(r)
			got := tree.AppendMatches([]int{-1}, name)
			slices.Sort(got)
			if want := append([]int{-1}, m.matches(name)...); !slices.Equal(got, want) {
				t.Fatalf("seed %d: %q: got %v, want %v", seed, name, got, want)
			}
		}
		if tree.Len() != m.len() {
			t.Fatalf("Len = %d, want %d", tree.Len(), m.len())
		}
		for filter, keys := range m {
			for key := range keys {
				tree.Delete(filter, key)
			}
		}
		if tree.Len() != 0 || !tree.root.empty() || !tree.exact.empty() || !tree.crowds.empty() {
			t.Fatalf("seed %d: the tree is not empty after all is deleted", seed)
		}
	}
}

func TestNameTreeAgreesWithMatch(t *testing.T) {
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 2))
		var tree NameTree[int]
		m := map[string]int{}
		for range 1000 {
			stepNames(t, &tree, m, r, randomName(r))
			filter := randomFilter(r)
			got := map[string]int{}
			tree.Match(filter, func(name string, value int) bool {
				if _, twice := got[name]; twice {
					t.Fatalf("%q yields %q twice", filter, name)
				}
				got[name] = value
				return true
			})
			want := maps.Clone(m)
			maps.DeleteFunc(want, func(name string, _ int) bool { return !Match(filter, name) })
			if !maps.Equal(got, want) {
				t.Fatalf("seed %d: %q: got %v, want %v", seed, filter, got, want)
			}
		}
		if all := maps.Collect(tree.All()); !maps.Equal(all, m) || tree.Len() != len(m) {
			t.Fatalf("All = %v (Len %d), want %v", all, tree.Len(), m)
		}
		for name := range m {
			tree.Delete(name)
		}
		if tree.Len() != 0 || !tree.names.empty() || !tree.root.children.empty() {
			t.Fatalf("seed %d: the tree is not empty after all is deleted", seed)
		}
	}
}

func stepNames(t *testing.T, tree *NameTree[int], m map[string]int, r *rand.Rand, name string) {
	t.Helper()
	want, there := m[name]
	if got, ok := tree.Get(name); got != want || ok != there {
		t.Fatalf("Get(%q) = %d, %v; want %d, %v", name, got, ok, want, there)
	}
	if r.IntN(2) == 0 {
		if old, ok := tree.Delete(name); old != want || ok != there {
			t.Fatalf("Delete(%q) = %d, %v; want %d, %v", name, old, ok, want, there)
		}
		delete(m, name)
		return
	}
	m[name] = r.Int()
	if old, replaced := tree.Set(name, m[name]); old != want || replaced != there {
		t.Fatalf("Set(%q) = %d, %v; want %d, %v", name, old, replaced, want, there)
	}
}

// Many keys on one filter: through growth, replacement, an index, and back to one.
func TestManyKeys(t *testing.T) {
	for _, filter := range []string{"a/b", "a/+"} {
		r := rand.New(rand.NewPCG(3, 3))
		var tree FilterTree[int, int]
		m := model{}
		for _, span := range []int{3, 12, 20_000, 40, 2} {
			for key := range m[filter] {
				if key >= span {
					tree.Delete(filter, key)
					delete(m[filter], key)
				}
			}
			for range 3 * span {
				m.step(t, &tree, r, filter, r.IntN(span))
			}
			got := tree.AppendMatches(nil, "a/b")
			slices.Sort(got)
			if want := m.matches("a/b"); !slices.Equal(got, want) {
				t.Fatalf("%d keys: %d matches, want %d", span, len(got), len(want))
			}
		}
	}
}

// Enough filters that the exact table and a node's children split into parts, and all
// of them away again.
func TestManyFilters(t *testing.T) {
	const n = 200_000
	var tree FilterTree[int, int]
	filter := func(i int) string {
		if i%2 == 0 {
			return "device/" + strconv.Itoa(i)
		}
		return strconv.Itoa(i) + "/#"
	}
	for i := range n {
		tree.Set(filter(i), 0, i)
	}
	if p := tree.exact.content.Load().page; p.parts == nil {
		t.Error("the exact table has not split")
	}
	if p := tree.root.children.content.Load().page; p.parts == nil {
		t.Error("the root's children have not split")
	}
	for i := range n {
		name := strings.TrimSuffix(filter(i), "/#")
		if got := tree.AppendMatches(nil, name); !slices.Equal(got, []int{i}) {
			t.Fatalf("%q: got %v, want %d", name, got, i)
		}
	}
	for i := range n {
		if old, ok := tree.Delete(filter(i), 0); old != i || !ok {
			t.Fatalf("Delete(%q) = %d, %v", filter(i), old, ok)
		}
	}
	if !tree.exact.empty() || !tree.crowds.empty() || !tree.root.empty() {
		t.Error("the tree is not empty after all is deleted")
	}
}

func TestNameTreeStops(t *testing.T) {
	var tree NameTree[int]
	for i := range 100_000 {
		tree.Set("a/"+strconv.Itoa(i), i)
	}
	n := 0
	stop := func(string, int) bool { n++; return n < 10 }
	for _, filter := range []string{"#", "a/#", "a/+", "+/+"} {
		n = 0
		if tree.Match(filter, stop); n != 10 {
			t.Errorf("%q: yield was called %d times, want 10", filter, n)
		}
	}
	n = 0
	for range tree.All() {
		if n++; n == 10 {
			break
		}
	}
	if n != 10 {
		t.Errorf("All: yield was called %d times, want 10", n)
	}
}

// yield may change the tree: what it deletes and has not seen yet is not yielded.
func TestNameTreeChangesInYield(t *testing.T) {
	var tree NameTree[int]
	const n = 1000
	for i := range n {
		tree.Set("a/"+strconv.Itoa(i), i)
	}
	seen := 0
	tree.Match("#", func(name string, value int) bool {
		seen++
		tree.Delete(name)
		if other := "a/" + strconv.Itoa(value^1); value^1 < n {
			tree.Delete(other)
		}
		return true
	})
	if seen != n/2 || tree.Len() != 0 {
		t.Errorf("%d names seen, %d left; want %d and 0", seen, tree.Len(), n/2)
	}
}
