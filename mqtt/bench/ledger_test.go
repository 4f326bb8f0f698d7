package bench

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestStream: what came in which order, and what the ledger says. A number is
// seq, negative with the DUP flag.
func TestStream(t *testing.T) {
	all := func(from, to int) []int {
		var s []int
		for i := from; i < to; i++ {
			s = append(s, i)
		}
		return s
	}
	for _, tt := range []struct {
		name     string
		came     []int
		sent     uint64
		got      int64
		again    int64
		dup      int64
		disorder int64
		missing  []uint64
	}{
		{"nothing of nothing", nil, 0, 0, 0, 0, 0, nil},
		{"nothing", nil, 3, 0, 0, 0, 0, []uint64{0, 1, 2}},
		{"in order", all(0, 5), 5, 5, 0, 0, 0, nil},
		{"first lost", all(1, 5), 5, 4, 0, 0, 0, []uint64{0}},
		{"last lost", all(0, 4), 5, 4, 0, 0, 0, []uint64{4}},
		{"gap", []int{0, 1, 3}, 4, 3, 0, 0, 0, []uint64{2}},
		{"swapped", []int{0, 2, 1, 3}, 4, 4, 0, 0, 1, nil},
		{"reversed", []int{3, 2, 1, 0}, 4, 4, 0, 0, 3, nil},
		{"again", []int{0, 1, 1, 2}, 3, 3, 1, 0, 0, nil},
		{"again with DUP", []int{0, 1, -1, -1, 2}, 3, 3, 2, 2, 0, nil},
		{"again, late", []int{0, 1, 2, -1}, 3, 3, 1, 1, 0, nil}, // a redelivery is no disorder
		{"first delivery late and DUP", []int{0, 2, -1}, 3, 3, 0, 0, 1, nil},
		{"chunks", all(0, 5*chunkBits), 5 * chunkBits, 5 * chunkBits, 0, 0, 0, nil},
		{"again in a chunk that is gone", append(all(0, 2*chunkBits), 5, -6), 2 * chunkBits, 2 * chunkBits, 2, 1, 0, nil},
		{"gap at a chunk's edge", append(all(0, chunkBits-1), all(chunkBits, chunkBits+3)...), chunkBits + 3, chunkBits + 2, 0, 0, 0, []uint64{chunkBits - 1}},
		{"gap filled chunks later", append(append(all(1, 3*chunkBits), 0), 3*chunkBits), 3*chunkBits + 1, 3*chunkBits + 1, 0, 0, 1, nil},
		{"far ahead", []int{4 * chunkBits}, 4*chunkBits + 1, 1, 0, 0, 0, func() []uint64 {
			var m []uint64
			for i := range uint64(4 * chunkBits) {
				m = append(m, i)
			}
			return m
		}()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s stream
			for _, n := range tt.came {
				s.see(uint64(max(n, -n)), n < 0, false)
			}
			var missing []uint64
			s.missing(tt.sent, func(seq uint64) bool { missing = append(missing, seq); return true })
			if s.got != tt.got || s.duplicates != tt.again || s.dup != tt.dup || s.disorder != tt.disorder {
				t.Errorf("got %d, duplicates %d, with DUP %d, out of order %d", s.got, s.duplicates, s.dup, s.disorder)
			}
			if !slices.Equal(missing, tt.missing) {
				t.Errorf("missing %v, want %v", missing, tt.missing)
			}
		})
	}
}

// The ledger agrees with a map on random traffic: losses, duplicates, disorder.
func TestStreamModel(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		sent := uint64(r.IntN(6 * chunkBits))
		var came []uint64
		for i := range sent {
			switch r.IntN(20) {
			case 0:
			case 1:
				came = append(came, i, i)
			default:
				came = append(came, i)
			}
		}
		for range r.IntN(100) {
			if len(came) > 1 {
				i, j := r.IntN(len(came)), r.IntN(len(came))
				came[i], came[j] = came[j], came[i]
			}
		}
		var s stream
		seen := make(map[uint64]bool)
		var duplicates, disorder int64
		top := uint64(0)
		for _, seq := range came {
			s.see(seq, false, false)
			switch {
			case seen[seq]:
				duplicates++
			case seq < top:
				disorder++
			}
			seen[seq] = true
			top = max(top, seq+1)
		}
		var missing int
		s.missing(sent, func(seq uint64) bool {
			missing++
			if seen[seq] {
				t.Errorf("seed %d: %d is not missing", seed, seq)
			}
			return true
		})
		if missing != int(sent)-len(seen) || s.got != int64(len(seen)) || s.duplicates != duplicates || s.disorder != disorder {
			t.Errorf("seed %d: missing %d, got %d, duplicates %d, disorder %d; want %d, %d, %d, %d", seed, missing, s.got,
				s.duplicates, s.disorder, int(sent)-len(seen), len(seen), duplicates, disorder)
		}
	}
}

// A long stream costs no more than a short one, lossless or not.
func TestStreamIsBounded(t *testing.T) {
	var s stream
	for i := range uint64(1_000_000) {
		s.see(i, false, false)
	}
	if len(s.chunks) > 2 {
		t.Errorf("a stream without gaps holds %d chunks", len(s.chunks))
	}
	var lossy stream
	var n int64
	for i := range uint64(1_000_000) {
		if i%100 != 0 {
			lossy.see(i, false, true)
			n++
		}
	}
	if len(lossy.chunks) > keepQoS0+1 || lossy.got != n {
		t.Errorf("a stream of QoS 0 holds %d chunks, and counts %d of %d", len(lossy.chunks), lossy.got, n)
	}
}

func TestMarks(t *testing.T) {
	var m marks
	in := []uint64{0, 5, chunkBits - 1, chunkBits, 10 * chunkBits}
	for _, seq := range append(in, 5) {
		m.add(seq)
	}
	for seq := range uint64(11 * chunkBits) {
		if m.has(seq) != slices.Contains(in, seq) {
			t.Errorf("has(%d) is %v", seq, m.has(seq))
		}
	}
	if m.n != int64(len(in)) || m.has(1<<40) {
		t.Errorf("%d marks", m.n)
	}
}

func BenchmarkStream(b *testing.B) {
	var s stream
	b.ReportAllocs()
	for i := range uint64(b.N) {
		s.see(i, false, false)
	}
}
