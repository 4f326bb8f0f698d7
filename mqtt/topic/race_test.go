package topic

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// subscribed is a value that says where it was set.
type subscribed struct {
	filter, key string
	version     int
}

// raceFilters all match raceName, by each way through the tree.
var raceFilters = []string{"a/b/c", "+/b/c", "a/+/c", "a/b/+", "#", "a/#", "a/b/c/#", "+/+/#"}

const raceName = "a/b/c"

// Matches run while every kind of change happens to the filters that they meet: each
// subscription is seen exactly as it was before or after a change.
func TestFilterTreeConcurrent(t *testing.T) {
	var tree FilterTree[string, subscribed]
	for _, f := range raceFilters {
		tree.Set(f, "stays", subscribed{f, "stays", 1})
		tree.Set(f, "replaced", subscribed{f, "replaced", 0})
	}
	var readers, writers sync.WaitGroup
	var done atomic.Bool
	for range 2 {
		readers.Go(func() { readMatches(t, &tree, &done) })
	}
	writers.Go(func() { replaceAll(&tree, 600) })
	writers.Go(func() { toggle(t, &tree, 600) })
	writers.Go(func() { crowd(&tree) })
	writers.Go(func() { growAndShrink(&tree) })
	writers.Wait()
	done.Store(true)
	readers.Wait()
	if want := 2 * len(raceFilters); tree.Len() != want || len(tree.AppendMatches(nil, raceName)) != want {
		t.Errorf("%d subscriptions are left, want %d", tree.Len(), want)
	}
}

// readMatches checks that no subscription is missed, seen twice, or seen older than before.
func readMatches(t *testing.T, tree *FilterTree[string, subscribed], done *atomic.Bool) {
	var matches []subscribed
	latest := map[string]int{}
	for !done.Load() {
		matches = tree.AppendMatches(matches[:0], raceName)
		seen := map[[2]string]bool{}
		for _, s := range matches {
			id := [2]string{s.filter, s.key}
			if seen[id] {
				t.Errorf("%v is seen twice", id)
				return
			}
			seen[id] = true
			if s.key == "replaced" {
				if s.version < latest[s.filter] {
					t.Errorf("%s: version %d after %d", s.filter, s.version, latest[s.filter])
					return
				}
				latest[s.filter] = s.version
			}
		}
		for _, f := range raceFilters {
			if !seen[[2]string{f, "stays"}] || !seen[[2]string{f, "replaced"}] {
				t.Errorf("%s: a subscription that is always there is missed", f)
				return
			}
		}
	}
}

func replaceAll(tree *FilterTree[string, subscribed], n int) {
	for version := range n {
		for _, f := range raceFilters {
			tree.Set(f, "replaced", subscribed{f, "replaced", version + 1})
		}
	}
}

// toggle checks that a match which begins after Set or Delete has returned sees it.
func toggle(t *testing.T, tree *FilterTree[string, subscribed], n int) {
	var matches []subscribed
	sees := func(filter string) bool {
		matches = tree.AppendMatches(matches[:0], raceName)
		for _, s := range matches {
			if s.filter == filter && s.key == "toggled" {
				return true
			}
		}
		return false
	}
	for i := range n {
		f := raceFilters[i%len(raceFilters)]
		tree.Set(f, "toggled", subscribed{f, "toggled", i})
		if !sees(f) {
			t.Errorf("%s: not seen after Set", f)
			return
		}
		tree.Delete(f, "toggled")
		if sees(f) {
			t.Errorf("%s: seen after Delete", f)
			return
		}
	}
}

// crowd makes the rosters of the filters grow, get an index and shrink, several times.
func crowd(tree *FilterTree[string, subscribed]) {
	for range 4 {
		for i := range 60 * len(raceFilters) {
			f, key := raceFilters[i%len(raceFilters)], strconv.Itoa(i)
			tree.Set(f, key, subscribed{f, key, i})
		}
		for i := range 60 * len(raceFilters) {
			tree.Delete(raceFilters[i%len(raceFilters)], strconv.Itoa(i))
		}
	}
}

// growAndShrink makes the tables around the filters grow and shrink, and prunes nodes
// beside them.
func growAndShrink(tree *FilterTree[string, subscribed]) {
	for _, n := range []int{3, 3000, 30, 300} {
		for i := range n {
			for _, format := range []string{"%d", "%d/#", "a/%d/+", "+/b/%d/#"} {
				tree.Set(fmt.Sprintf(format, i), "", subscribed{})
			}
		}
		for i := range n {
			for _, format := range []string{"%d", "%d/#", "a/%d/+", "+/b/%d/#"} {
				tree.Delete(fmt.Sprintf(format, i), "")
			}
		}
	}
}

// The last subscription of a filter comes and goes while others match it: nodes are
// pruned and made anew under the readers.
func TestFilterTreePrunedConcurrently(t *testing.T) {
	var tree FilterTree[int, int]
	tree.Set("+/+/+", 0, 0)
	var readers, writers sync.WaitGroup
	var done atomic.Bool
	readers.Go(func() {
		for !done.Load() {
			counts := [3]int{}
			for _, v := range tree.AppendMatches(nil, "x/y/z") {
				counts[v]++
			}
			if counts[0] != 1 || counts[1] > 1 || counts[2] > 1 {
				t.Errorf("counts %v", counts)
				return
			}
		}
	})
	for i, f := range []string{"x/y/+", "x/y/z"} {
		writers.Go(func() {
			for range 2000 {
				tree.Set(f, 1, i+1)
				tree.Delete(f, 1)
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
	if tree.Len() != 1 || !tree.exact.empty() || !tree.crowds.empty() || !tree.root.children.empty() {
		t.Error("the tree is not pruned")
	}
}

// Names that stay are yielded once by every Match while others come and go.
func TestNameTreeConcurrent(t *testing.T) {
	var tree NameTree[int]
	const stays = 50
	for i := range stays {
		tree.Set("stays/"+strconv.Itoa(i), 0)
	}
	var readers, writers sync.WaitGroup
	var done atomic.Bool
	for _, filter := range []string{"#", "stays/#", "stays/+", "+/+"} {
		readers.Go(func() {
			for !done.Load() {
				seen := map[string]int{}
				tree.Match(filter, func(name string, value int) bool {
					if value < 1000 {
						seen[name]++
					}
					return true
				})
				for i := range stays {
					if name := "stays/" + strconv.Itoa(i); seen[name] != 1 {
						t.Errorf("%q yields %q %d times", filter, name, seen[name])
						return
					}
				}
			}
		})
	}
	for w := range 2 {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 4))
			for i := range 3000 {
				tree.Set("stays/"+strconv.Itoa(r.IntN(stays)), i%1000)
				name := []string{"stays/", "goes/", "a/b/"}[i%3] + strconv.Itoa(1000+w*10_000+i)
				tree.Set(name, 1000)
				if _, ok := tree.Get(name); !ok {
					t.Errorf("%q is not there after Set", name)
				}
				if i%2 == 0 {
					tree.Delete(name)
				}
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
}
