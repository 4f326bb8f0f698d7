package bench

import (
	"strconv"
	"testing"
	"time"
)

func TestStamp(t *testing.T) {
	const run = 0xdeadbeef
	for _, size := range []int{MinSize, stampSize - 1, stampSize, 200} {
		for _, in := range []stamp{
			{kind: probe},
			{kind: warmUp, publisher: 1, seq: 1, intended: tick, wait: time.Microsecond},
			{kind: measured, publisher: MaxClients, seq: 1<<32 - 1, intended: MaxDuration, wait: time.Hour},
			{kind: measured, publisher: 65536, seq: 1 << 20, intended: 123456789 * tick, wait: 5 * time.Millisecond},
		} {
			in.run = run
			p := make([]byte, size)
			in.put(p)
			var out stamp
			if m := out.read(p, run); m != ours {
				t.Fatalf("%d bytes, %+v: mark %d", size, in, m)
			}
			if out.kind != in.kind || out.publisher != in.publisher || out.seq != in.seq || out.intended != in.intended {
				t.Errorf("%d bytes: %+v became %+v", size, in, out)
			}
			if out.narrow != (size < stampSize) || !out.narrow && out.wait != in.wait {
				t.Errorf("%d bytes: wait %v became %v", size, in.wait, out.wait)
			}
			if m := out.read(p, run+1); m != foreign {
				t.Errorf("%d bytes: another run's message has mark %d", size, m)
			}
		}
	}
	var s stamp
	for _, p := range [][]byte{nil, {markFull}, make([]byte, 100), append([]byte{markFull | 3}, make([]byte, 50)...)} {
		if m := s.read(p, 7); m != foreign {
			t.Errorf("%x has mark %d", p, m)
		}
	}
}

// With a checksum no changed bit goes unnoticed, in the header or behind it.
func TestStampChecksum(t *testing.T) {
	s := stamp{kind: measured, run: 7, publisher: 3, seq: 9, intended: time.Second}
	p := make([]byte, 64)
	s.put(p)
	for i := range 8 * len(p) {
		p[i/8] ^= 1 << (i % 8)
		var out stamp
		if m := out.read(p, 7); m != corrupt {
			t.Errorf("bit %d changed, and its mark is %d", i, m)
		}
		p[i/8] ^= 1 << (i % 8)
	}
	for _, n := range []int{MinSize, stampSize - 1, stampSize, 63} {
		var out stamp
		if m := out.read(p[:n], 7); m != corrupt {
			t.Errorf("cut to %d bytes, and its mark is %d", n, m)
		}
	}
}

func TestWiden(t *testing.T) {
	for _, tt := range []struct {
		low        uint32
		near, want uint64
	}{
		{0, 0, 0}, {5, 0, 5}, {1<<32 - 1, 3, 1<<32 - 1}, // never negative
		{0, 1<<32 - 1, 1 << 32}, {3, 1 << 32, 1<<32 + 3}, {1<<32 - 1, 1 << 32, 1<<32 - 1},
		{100, 7<<32 + 90, 7<<32 + 100}, {90, 7<<32 + 100, 7<<32 + 90},
	} {
		if got := widen(tt.low, tt.near); got != tt.want {
			t.Errorf("widen(%d, %d) = %d, want %d", tt.low, tt.near, got, tt.want)
		}
	}
}

func BenchmarkStamp(b *testing.B) {
	for _, size := range []int{64, 1024, 16 << 10} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			p := make([]byte, size)
			s := stamp{kind: measured, run: 7}
			b.ReportAllocs()
			for i := range b.N {
				s.seq = uint64(i)
				s.put(p)
				if s.read(p, 7) != ours {
					b.Fatal("not ours")
				}
			}
		})
	}
}
