package bench

import "testing"

// Whatever the numbers, a shard's clients have to do with its own, and each of
// them with as many as the others, or one more.
func TestShardsKeepShapesApart(t *testing.T) {
	for _, shape := range []Shape{Pairs, FanIn, FanOut, Shared, Mesh} {
		for _, n := range [][2]int{{12, 4}, {13, 5}, {17, 3}, {7, 7}, {100, 3}, {3, 3}} {
			pubs, subs := n[0], n[1]
			switch shape {
			case Pairs:
				subs = pubs
			case FanOut:
				pubs, subs = subs, pubs
			}
			for _, count := range []int{1, 2, 3} {
				for index := range count {
					s := Scenario{Shape: shape, Publishers: pubs, Subscribers: subs, RunID: "x", Shard: &Shard{index, count}}
					p, err := s.Plan()
					if err != nil {
						t.Fatal(err)
					}
					if err := p.Validate(); err != nil {
						t.Errorf("%s, %d to %d, shard %d of %d: %v", shape, pubs, subs, index, count, err)
					}
				}
			}
		}
	}
	s := Scenario{Shard: &Shard{0, 2}}
	seen := make(map[int]int)
	for i := range 50 {
		j := s.partner(i, 5)
		if j%2 != i%2 {
			t.Errorf("client %d has to do with %d", i, j)
		}
		seen[j]++
	}
	if len(seen) != 5 || min(seen[0], seen[2], seen[4]) < 8 || min(seen[1], seen[3]) < 12 {
		t.Errorf("%v", seen)
	}
}
