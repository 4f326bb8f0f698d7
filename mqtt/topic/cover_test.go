package topic

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestCoversTable(t *testing.T) {
	for _, tt := range []struct {
		a, b              string
		covers, coveredBy bool
		overlap           bool
	}{
		{"a", "a", true, true, true},
		{"a", "b", false, false, false},
		{"+", "a", true, false, true},
		{"#", "a/b", true, false, true},
		{"#", "+/#", true, true, true},
		{"a/#", "a", true, false, true},
		{"a/#", "a/+/#", true, false, true},
		{"a/+", "a/#", false, true, true},
		{"a/+", "+/b", false, false, true},
		{"a/+/c", "a/b/#", false, false, true},
		{"a/+/c", "a/b/d", false, false, false},
		{"a", "a/b", false, false, false},
		{"a/+", "a", false, false, false},
		{"a/", "a/+", false, true, true},
		{"#", "$SYS/a", false, false, false},
		{"+/a", "$SYS/a", false, false, false},
		{"$SYS/#", "$SYS/+/a", true, false, true},
		{"#", "$SYS/#", false, false, false},
		{"#", "#", true, true, true},
		{"+/+", "/", true, false, true},
		{"+", "#", false, true, true},
	} {
		if got := Covers(tt.a, tt.b); got != tt.covers {
			t.Errorf("Covers(%q, %q) = %v", tt.a, tt.b, got)
		}
		if got := Covers(tt.b, tt.a); got != tt.coveredBy {
			t.Errorf("Covers(%q, %q) = %v", tt.b, tt.a, got)
		}
		if got := Overlaps(tt.a, tt.b); got != tt.overlap || got != Overlaps(tt.b, tt.a) {
			t.Errorf("Overlaps(%q, %q) = %v, the other way %v", tt.a, tt.b, got, Overlaps(tt.b, tt.a))
		}
	}
}

// TestCoversAgreesWithMatch compares with what Match says of all short names, with a level that no filter has:
// what holds for these holds for all.
func TestCoversAgreesWithMatch(t *testing.T) {
	var names []string
	var build func(prefix string, depth int)
	build = func(prefix string, depth int) {
		for _, level := range []string{"", "a", "b", "$S", "other"} {
			name := prefix + level
			names = append(names, name) // "" is no name, but "/#" and "+" agree on it
			if depth > 1 {
				build(name+"/", depth-1)
			}
		}
	}
	build("", 4)
	filter := func(r *rand.Rand) string {
		parts := make([]string, 1+r.IntN(3))
		for i := range parts {
			parts[i] = []string{"", "a", "b", "$S", "+", "+"}[r.IntN(6)]
		}
		if r.IntN(3) == 0 {
			parts[len(parts)-1] = "#"
		}
		if f := strings.Join(parts, "/"); f != "" {
			return f
		}
		return "a"
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 4000 {
		a, b := filter(r), filter(r)
		covers, overlap := true, false
		for _, name := range names {
			x, y := Match(a, name), Match(b, name)
			covers = covers && (x || !y)
			overlap = overlap || x && y
		}
		if got := Covers(a, b); got != covers {
			t.Fatalf("Covers(%q, %q) = %v", a, b, got)
		}
		if got := Overlaps(a, b); got != overlap {
			t.Fatalf("Overlaps(%q, %q) = %v", a, b, got)
		}
	}
}
