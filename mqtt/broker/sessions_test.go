package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// The table holds what a map would after any puts and deletes, and gets small
// again.
func TestSessionTable(t *testing.T) {
	st := newSessionTable()
	want := map[string]*session{}
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 6 {
		most := []int{3, 200, 20_000, 300, 40, 0}[round]
		for range max(4*most, 40_000) {
			id := fmt.Sprint("c", r.IntN(2*most+1))
			switch s := want[id]; {
			case len(want) > most || s != nil && r.IntN(2) == 0:
				if s == nil {
					for _, s = range want {
						break
					}
				}
				st.delete(s)
				delete(want, s.clientID)
			case len(want) < most:
				s := &session{clientID: id} // another one, in the place of the old
				st.put(s)
				want[id] = s
			}
		}
		equal(t, "sessions", st.len(), len(want))
		all := slices.Collect(st.all)
		equal(t, "all", len(all), len(want))
		for id, s := range want {
			if st.get(id) != s {
				t.Fatalf("round %d: %q is not there", round, id)
			}
		}
		if s := st.get("absent"); s != nil {
			t.Fatalf("got %q", s.clientID)
		}
		slots := 0
		for i := range st.parts {
			slots += len(st.parts[i].slots)
		}
		if most := 8*len(want) + 8*sessionParts; slots > most {
			t.Errorf("%d slots for %d sessions", slots, len(want))
		}
	}
	equal(t, "at last", st.len(), 0)
}

// With hashes that are all the same but for their order of coming, none is lost
// when those before it go.
func TestSessionTableCollisions(t *testing.T) {
	st := newSessionTable()
	var same []*session
	for i := 0; len(same) < 12; i++ {
		s := &session{clientID: fmt.Sprint(i)}
		if p, h := st.home(s.clientID); p == &st.parts[0] && h&31 >= 28 { // they wrap around
			same = append(same, s)
			st.put(s)
		}
	}
	for len(same) > 0 {
		i := len(same) * 5 / 7
		st.delete(same[i])
		same = slices.Delete(same, i, i+1)
		for _, s := range same {
			if st.get(s.clientID) != s {
				t.Fatalf("%q is lost with %d left", s.clientID, len(same))
			}
		}
	}
}
