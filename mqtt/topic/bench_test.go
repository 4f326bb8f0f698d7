package topic

import (
	"fmt"
	"runtime"
	"testing"
)

// benchFilter returns the i-th filter of a fleet of devices and a name that it matches.
// Of mixed filters, one in ten has a wildcard.
func benchFilter(i int, mixed bool) (filter, name string) {
	site, device := i/1000, i%1000
	name = fmt.Sprintf("site%d/device%d/sensor/temperature", site, device)
	if !mixed || i%10 != 0 {
		return name, name
	}
	if i%20 == 0 {
		return fmt.Sprintf("site%d/device%d/#", site, device), name
	}
	return fmt.Sprintf("site%d/+/device%d/temperature", site, device), name
}

type benchSet struct {
	filters, names []string
}

func newBenchSet(n int, mixed bool) benchSet {
	s := benchSet{make([]string, n), make([]string, n)}
	for i := range n {
		// Steps coprime with n: neither the order of subscribing nor that of publishing
		// follows the topics, nor each other, as that would flatter the caches.
		s.filters[i], _ = benchFilter(i*7919%n, mixed)
		_, s.names[i] = benchFilter(i*104_729%n, mixed)
	}
	return s
}

var benchSizes = []struct {
	name  string
	n     int
	mixed bool
}{
	{"10k-exact", 10_000, false},
	{"10k-mixed", 10_000, true},
	{"1M-exact", 1_000_000, false},
	{"1M-mixed", 1_000_000, true},
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkFilterTreeMatch matches names in turn, each with one exact subscription or a
// wildcard one: all of them, a few, and all of them on all processors.
func BenchmarkFilterTreeMatch(b *testing.B) {
	for _, size := range benchSizes {
		set := newBenchSet(size.n, size.mixed)
		var tree FilterTree[uint64, *int]
		for i, f := range set.filters {
			tree.Set(f, uint64(i), new(int))
		}
		b.Run(size.name, func(b *testing.B) {
			b.ReportAllocs()
			dst := make([]*int, 0, 16)
			for i := 0; b.Loop(); {
				dst = tree.AppendMatches(dst[:0], set.names[i])
				if i++; i == size.n {
					i = 0
				}
			}
		})
		b.Run(size.name+"-hot", func(b *testing.B) { // 64 names again and again
			dst := make([]*int, 0, 16)
			for i := 0; b.Loop(); i++ {
				dst = tree.AppendMatches(dst[:0], set.names[i%64])
			}
		})
		b.Run(size.name+"-parallel", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				dst := make([]*int, 0, 16)
				for i := 0; pb.Next(); {
					dst = tree.AppendMatches(dst[:0], set.names[i])
					if i++; i == size.n {
						i = 0
					}
				}
			})
		})
	}
}

// BenchmarkFilterTreeSet fills a tree; one operation is one subscription. B/sub is the
// heap of a tree with all of them, without the filter's own bytes.
func BenchmarkFilterTreeSet(b *testing.B) {
	for _, size := range benchSizes {
		set := newBenchSet(size.n, size.mixed)
		value := new(int)
		b.Run(size.name, func(b *testing.B) {
			before := heap()
			tree := new(FilterTree[uint64, *int])
			for i, f := range set.filters {
				tree.Set(f, uint64(i), value)
			}
			after := heap()
			runtime.KeepAlive(tree)
			for i := 0; b.Loop(); i++ {
				if i%size.n == 0 {
					tree = new(FilterTree[uint64, *int])
				}
				tree.Set(set.filters[i%size.n], 1, value)
			}
			b.ReportMetric(float64(after-before)/float64(size.n), "B/sub")
		})
	}
}

// BenchmarkFilterTreeChurn deletes and sets one subscription of a full tree.
func BenchmarkFilterTreeChurn(b *testing.B) {
	for _, size := range benchSizes {
		set := newBenchSet(size.n, size.mixed)
		var tree FilterTree[uint64, *int]
		for _, f := range set.filters {
			tree.Set(f, 1, nil)
		}
		b.Run(size.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				tree.Delete(set.filters[i%size.n], 1)
				tree.Set(set.filters[i%size.n], 1, nil)
			}
		})
	}
}

// BenchmarkFilterTreeFanOut has all keys on one filter.
func BenchmarkFilterTreeFanOut(b *testing.B) {
	const n = 100_000
	var tree FilterTree[uint64, *int]
	for i := range uint64(n) {
		tree.Set("a/b", i, nil)
	}
	b.Run("match-100k", func(b *testing.B) {
		dst := make([]*int, 0, n)
		for b.Loop() {
			dst = tree.AppendMatches(dst[:0], "a/b")
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/key")
	})
	b.Run("churn-100k", func(b *testing.B) {
		b.ReportAllocs()
		for i := uint64(0); b.Loop(); i++ {
			tree.Delete("a/b", i%n)
			tree.Set("a/b", i%n, nil)
		}
	})
}

func BenchmarkNameTree(b *testing.B) {
	for _, size := range benchSizes {
		if size.mixed {
			continue
		}
		set := newBenchSet(size.n, false)
		before := heap()
		tree := new(NameTree[*int])
		for _, name := range set.names {
			tree.Set(name, nil)
		}
		perName := float64(heap()-before) / float64(size.n)
		b.Run(size.name+"/set", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				tree.Set(set.names[i%size.n], nil)
			}
			b.ReportMetric(perName, "B/name")
		})
		b.Run(size.name+"/get", func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				tree.Get(set.names[i%size.n])
			}
		})
		for _, filter := range []string{"#", "site3/#", "site3/+/sensor/+", "+/device7/sensor/temperature"} {
			b.Run(size.name+"/match/"+filter, func(b *testing.B) {
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					tree.Match(filter, func(string, *int) bool { n++; return true })
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(n, 1)), "ns/name")
			})
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Match("site7/+/sensor/#", "site7/device12/sensor/temperature")
	}
}

func BenchmarkValidateName(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_ = ValidateName("site7/device12/sensor/temperature")
	}
}
