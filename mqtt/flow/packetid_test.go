package flow

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"mqt/mqtt"
)

// All 65,535 identifiers are given out, none twice, and then none [MQTT-2.2.1-3].
func TestAllIdentifiers(t *testing.T) {
	var s Sender[int]
	seen := make([]bool, 1<<16)
	for i := range maxIDs {
		id, ok := s.Publish(mqtt.QoS1, i)
		if !ok || id == 0 || seen[id] {
			t.Fatalf("message %d: %d, %v", i, id, ok)
		}
		seen[id] = true
	}
	if id, ok := s.Publish(mqtt.QoS1, 0); ok || s.Quota() != 0 {
		t.Fatalf("one more: %d", id)
	}
	if id, ok := s.Reserve(SubscribeSent, 0); ok {
		t.Fatalf("SUBSCRIBE: %d", id)
	}
	if s.Restore(5, PublishQoS1, 0) {
		t.Fatal("restored an identifier in use")
	}
	// The only free one is the next, wherever it is.
	for range 500 {
		id := mqtt.PacketID(rand.N(maxIDs) + 1)
		if m, ok := s.Puback(id); !ok || m < 0 {
			t.Fatalf("Puback(%d): %d %v", id, m, ok)
		}
		if got, ok := s.Publish(mqtt.QoS1, 1); !ok || got != id {
			t.Fatalf("free %d, got %d %v", id, got, ok)
		}
	}
}

// An entry that the peer never acknowledges blocks no other identifier when
// the numbers wrap, and does not make the table grow.
func TestStalledOldest(t *testing.T) {
	for _, stalled := range []int{1, 5} {
		var s Sender[int]
		s.Reset(8)
		order := make([]mqtt.PacketID, 0, stalled)
		for i := range stalled {
			id, _ := s.Publish(mqtt.QoS2, -i)
			order = append(order, id)
		}
		given := make([]int, 1<<16)
		var window []mqtt.PacketID
		for i := range 2*maxIDs + 100 {
			id, ok := s.Publish(mqtt.QoS1, i)
			if !ok || slices.Contains(order, id) || slices.Contains(window, id) {
				t.Fatalf("message %d: identifier %d, %v", i, id, ok)
			}
			given[id]++
			if window = append(window, id); len(window) == 8-stalled {
				if _, ok := s.Puback(window[0]); !ok {
					t.Fatalf("Puback(%d)", window[0])
				}
				window = window[1:]
			}
			if n := len(s.ids.table.entries); n > 16 {
				t.Fatalf("a table of %d for %d", n, s.Len())
			}
		}
		var got []mqtt.PacketID
		for id := range s.All() {
			got = append(got, id)
		}
		if want := slices.Concat(order, window); !slices.Equal(got, want) {
			t.Fatalf("order %v, want %v", got, want)
		}
		// At most those are passed over whose place in the table is taken.
		unused := 0
		for id, n := range given[1:] {
			if n == 0 && !slices.Contains(order, mqtt.PacketID(id+1)) {
				unused++
			}
		}
		if most := maxIDs * stalled / 8; unused > most {
			t.Fatalf("%d identifiers never given out, at most %d are passed over", unused, most)
		}
	}
}

// The numbers of the order run out after four thousand million messages.
func TestOrderRenumbered(t *testing.T) {
	var s Sender[string]
	s.seq = math.MaxUint32 - 3
	var want []string
	for i := range 9 {
		m := string(rune('a' + i))
		if _, ok := s.Publish(mqtt.QoS2, m); !ok {
			t.Fatal("refused")
		}
		want = append(want, m)
	}
	if _, release, ok := s.Pubrec(2, 0); !release || !ok {
		t.Fatal("PUBREC")
	}
	want = append(slices.Delete(want, 1, 2), "b")
	var got []string
	for _, e := range s.All() {
		got = append(got, e.Value)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("order %v, want %v", got, want)
	}
	if s.seq > 20 {
		t.Fatalf("seq %d", s.seq)
	}
}

// The table against a map, through growth, shrinking and any identifiers.
func TestIDsAgainstMap(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	u := ids[uint64]{pool: new(Pool[uint64])}
	model := map[mqtt.PacketID]uint64{}
	add := func(e *entry[uint64]) {
		if _, used := model[e.id]; used || e.id == 0 {
			t.Fatalf("%d given out twice", e.id)
		}
		e.value = r.Uint64()
		model[e.id] = e.value
	}
	for _, goal := range []int{5, 0, 40, 3, 700, 1, 3000, 2900, 10, 40000, 39000, 41000, 200, 9, 0, 2, 0} {
		for len(model) < goal {
			if r.IntN(10) > 0 {
				add(u.add())
			} else if e := u.restore(mqtt.PacketID(r.IntN(1 << 16))); e != nil {
				add(e)
			}
		}
		for len(model) > goal {
			for id := range model {
				u.remove(u.find(id))
				delete(model, id)
				break
			}
		}
		compare(t, &u, model)
	}
	if u.table != nil {
		t.Fatal("table kept")
	}
}

func compare(t *testing.T, u *ids[uint64], model map[mqtt.PacketID]uint64) {
	t.Helper()
	if int(u.n) != len(model) {
		t.Fatalf("n %d, want %d", u.n, len(model))
	}
	for id := range 1 << 16 {
		e := u.find(mqtt.PacketID(id))
		if want, ok := model[mqtt.PacketID(id)]; (e != nil) != ok || ok && e.value != want {
			t.Fatalf("find(%d): %v, want %d %v", id, e, want, ok)
		}
	}
	n := 0
	for e := range u.each {
		if model[e.id] != e.value {
			t.Fatalf("each: %v", e)
		}
		n++
	}
	if n != len(model) {
		t.Fatalf("each: %d of %d", n, len(model))
	}
}

// A burst gives its memory back although some of it stays in flight.
func TestTableShrinks(t *testing.T) {
	tests := []struct {
		name string
		stay func(id int) bool
		most int // entries of the table at the end
	}{
		{"nothing", func(int) bool { return false }, 0},
		{"the oldest", func(id int) bool { return id == 1 }, 32},
		{"the newest", func(id int) bool { return id == maxIDs }, 32},
		{"ten together", func(id int) bool { return id > 5000 && id <= 5010 }, 64},
		{"every thousandth", func(id int) bool { return id%1000 == 0 }, 8192},
		{"two that share their low bits", func(id int) bool { return id == 3 || id == 3+1<<15 }, maxTable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var u ids[int]
			for u.add() != nil {
			}
			want := map[mqtt.PacketID]bool{}
			for id := 1; id <= maxIDs; id++ {
				if test.stay(id) {
					want[mqtt.PacketID(id)] = true
				} else {
					u.remove(u.find(mqtt.PacketID(id)))
				}
			}
			got := map[mqtt.PacketID]bool{}
			for e := range u.each {
				got[e.id] = true
			}
			if !maps.Equal(got, want) {
				t.Fatalf("left %v, want %v", got, want)
			}
			size := 0
			if u.table != nil {
				size = len(u.table.entries)
			}
			if size > test.most {
				t.Fatalf("a table of %d for %d entries", size, len(want))
			}
		})
	}
}

// Entries that do not fit a smaller table are not tried again at each removal.
func TestShrinkGivesUp(t *testing.T) {
	u := ids[int]{pool: new(Pool[int])}
	for u.add() != nil {
	}
	for id := 1; id <= maxIDs; id++ {
		if id%(1<<15) > 40 || id%(1<<15) == 0 {
			u.remove(u.find(mqtt.PacketID(id)))
		}
	}
	if len(u.table.entries) != maxTable || u.table.shrinkAt > int(u.n) {
		t.Fatalf("a table of %d for %d, next try at %d", len(u.table.entries), u.n, u.table.shrinkAt)
	}
	tried := testing.AllocsPerRun(100, func() {
		u.remove(u.add())
	})
	if tried != 0 {
		t.Fatalf("%v allocations at each removal", tried)
	}
	// The next owner of the table begins as if it were new.
	last := u.table
	for u.n > 0 {
		for e := range u.each {
			u.remove(e)
			break
		}
	}
	if want := newTable[int](maxTable).shrinkAt; last.shrinkAt != want {
		t.Fatalf("next try at %d, want %d", last.shrinkAt, want)
	}
}

// Senders of several goroutines share a pool, and none sees another's entries.
func TestPoolIsShared(t *testing.T) {
	var pool Pool[int]
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for round := range 200 {
				var s Sender[int]
				s.UsePool(&pool)
				n := 1 + (round*7+g)%50
				for i := range n {
					s.Publish(mqtt.QoS1, g*1000+i)
				}
				for i := range n {
					if m, ok := s.Puback(mqtt.PacketID(i + 1)); !ok || m != g*1000+i {
						t.Errorf("Puback(%d): %d %v", i+1, m, ok)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}

// One message at a time needs no table, and goes on with 1 after 65,535.
func TestOneAtATime(t *testing.T) {
	var s Sender[int]
	for i := range 3 * maxIDs {
		id, ok := s.Publish(mqtt.QoS1, i)
		if want := mqtt.PacketID(i%maxIDs + 1); id != want || !ok {
			t.Fatalf("message %d: identifier %d %v, want %d", i, id, ok, want)
		}
		if m, ok := s.Puback(id); m != i || !ok || s.ids.table != nil {
			t.Fatalf("Puback(%d): %d %v", id, m, ok)
		}
	}
}

// Iteration ends when its caller has enough.
func TestIterationStops(t *testing.T) {
	var s Sender[int]
	for i := range 5 {
		s.Publish(mqtt.QoS1, i)
	}
	var got []mqtt.PacketID
	for id := range s.All() {
		got = append(got, id)
		s.Puback(id + 1) // ended meanwhile: not yielded
		s.Publish(mqtt.QoS1, 9)
		if len(got) == 2 {
			break
		}
	}
	if !slices.Equal(got, []mqtt.PacketID{1, 3}) {
		t.Errorf("All: %v", got)
	}
	for _, n := range []int{3, 20} {
		var r Receiver
		for id := range n {
			if _, err := r.Publish(mqtt.PacketID(id+1), mqtt.QoS2); err != nil {
				t.Fatal(err)
			}
			if id == n/2 {
				r.Reset(0)
			}
		}
		for most := 1; most <= n; most++ {
			seen := map[mqtt.PacketID]bool{}
			for id := range r.IDs() {
				if seen[id] = true; len(seen) == most {
					break
				}
			}
			if len(seen) != most {
				t.Errorf("IDs: %d of %d", len(seen), most)
			}
		}
	}
}
