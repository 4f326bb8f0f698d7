package flow

import (
	"fmt"
	"testing"
	"unsafe"

	"mqt/mqtt"
)

// A Session that has nothing in flight costs these structs and no heap.
func TestIdleSize(t *testing.T) {
	for _, test := range []struct {
		name      string
		got, most uintptr
	}{
		{"Sender", unsafe.Sizeof(Sender[*mqtt.Message]{}), 56},
		{"Receiver", unsafe.Sizeof(Receiver{}), 40},
		{"AliasIn", unsafe.Sizeof(AliasIn{}), 16},
		{"AliasOut", unsafe.Sizeof(AliasOut{}), 16},
		{"KeepAlive", unsafe.Sizeof(KeepAlive(0)), 2},
		{"entry in flight", unsafe.Sizeof(entry[*mqtt.Message]{}), 16},
	} {
		if test.got > test.most {
			t.Errorf("%s: %d bytes, at most %d", test.name, test.got, test.most)
		}
	}
}

// window runs a Sender with a number of messages in flight: each turn ends the
// oldest flow and begins another.
type window struct {
	s     Sender[*mqtt.Message]
	m     mqtt.Message
	qos   mqtt.QoS
	ids   []mqtt.PacketID
	first int
}

func newWindow(qos mqtt.QoS, n int) *window {
	w := &window{qos: qos, ids: make([]mqtt.PacketID, n)}
	w.s.Reset(0)
	for i := range n - 1 {
		w.ids[i], _ = w.s.Publish(qos, &w.m)
	}
	w.first = n - 1
	return w
}

func (w *window) turn() bool {
	id, ok := w.s.Publish(w.qos, &w.m)
	w.ids[w.first] = id
	if w.first++; w.first == len(w.ids) {
		w.first = 0
	}
	done := false
	if w.qos == mqtt.QoS1 {
		_, done = w.s.Puback(w.ids[w.first])
	} else if _, release, known := w.s.Pubrec(w.ids[w.first], 0); known && release {
		_, done = w.s.Pubcomp(w.ids[w.first])
	}
	return ok && done
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	for _, qos := range []mqtt.QoS{1, 2} {
		for _, n := range []int{1, 2, 20, 1000} {
			w := newWindow(qos, n)
			got := testing.AllocsPerRun(3000, func() {
				if !w.turn() {
					t.Error("refused")
				}
			})
			if got != 0 {
				t.Errorf("QoS %d, %d in flight: %v allocations", qos, n, got)
			}
		}
	}
	for _, n := range []mqtt.PacketID{1, 6, 100} {
		var r Receiver
		for id := mqtt.PacketID(1); id < n; id++ {
			if _, err := r.Publish(id, mqtt.QoS2); err != nil {
				t.Fatal(err)
			}
		}
		id := n
		if got := testing.AllocsPerRun(3000, func() { receive(&r, id, id-n+1); id++ }); got != 0 {
			t.Errorf("Receiver, %d in flight: %v allocations", n, got)
		}
	}
	var in AliasIn
	var out AliasOut
	in.Reset(4)
	out.Reset(4)
	topic := []byte("a/b")
	if got := testing.AllocsPerRun(100, func() {
		if alias, _ := out.Assign("a/b"); alias != 1 {
			t.Error("alias", alias)
		}
		if name, err := in.Resolve(1, topic); name != "a/b" || err != nil {
			t.Error(name, err)
		}
	}); got != 0 {
		t.Errorf("aliases: %v allocations", got)
	}
}

// receive begins one QoS 2 flow and ends another.
func receive(r *Receiver, begin, end mqtt.PacketID) bool {
	duplicate, err := r.Publish(max(1, begin), mqtt.QoS2)
	r.Pubrec(begin, mqtt.Success)
	known := r.Pubrel(max(1, end))
	r.Pubcomp()
	return !duplicate && err == nil && known
}

func BenchmarkSender(b *testing.B) {
	for _, qos := range []mqtt.QoS{1, 2} {
		for _, n := range []int{1, 20, 1000, 60000} {
			b.Run(fmt.Sprintf("QoS%d/%d", qos, n), func(b *testing.B) {
				w := newWindow(qos, n)
				b.ReportAllocs()
				for b.Loop() {
					w.turn()
				}
			})
		}
	}
}

// BenchmarkSenderStalled has one message that is never acknowledged.
func BenchmarkSenderStalled(b *testing.B) {
	w := newWindow(mqtt.QoS1, 20)
	w.s.ids.last = 65000
	w.turn()
	b.ReportAllocs()
	for b.Loop() {
		w.turn()
	}
}

// BenchmarkSenderBurst fills from empty and empties, over and over.
func BenchmarkSenderBurst(b *testing.B) {
	for _, n := range []int{2, 10, 100, 1000} {
		for _, pool := range []*Pool[*mqtt.Message]{nil, new(Pool[*mqtt.Message])} {
			b.Run(fmt.Sprintf("%d/pool=%v", n, pool != nil), func(b *testing.B) {
				var s Sender[*mqtt.Message]
				s.UsePool(pool)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if i%n == 0 {
						burst(&s, n)
					}
				}
			})
		}
	}
}

func burst(s *Sender[*mqtt.Message], n int) {
	first := s.ids.last + 1
	for range n {
		s.Publish(mqtt.QoS1, nil)
	}
	for id := first; s.Len() > 0; id++ {
		s.Puback(id)
	}
}

// BenchmarkSenderFull has one identifier free, far from the last one given.
func BenchmarkSenderFull(b *testing.B) {
	var s Sender[int]
	for range maxIDs {
		s.Publish(mqtt.QoS1, 1)
	}
	b.ReportAllocs()
	id := mqtt.PacketID(1)
	for b.Loop() {
		if id += 32771; id == 0 {
			id = 1
		}
		s.Puback(id)
		s.Publish(mqtt.QoS1, 1)
	}
}

func BenchmarkReceiver(b *testing.B) {
	for _, n := range []mqtt.PacketID{1, 5, 20, 1000} {
		b.Run(fmt.Sprintf("QoS2/%d", n), func(b *testing.B) {
			var r Receiver
			for id := mqtt.PacketID(1); id < n; id++ {
				receive(&r, id, 0)
			}
			b.ReportAllocs()
			for id := n; b.Loop(); id++ {
				receive(&r, id, id-n+1)
			}
		})
	}
}

func BenchmarkReconnect(b *testing.B) {
	for _, n := range []int{0, 20, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var s Sender[int]
			for i := range n {
				s.Publish(mqtt.QoS1, i)
			}
			b.ReportAllocs()
			for b.Loop() {
				s.Reset(0)
				for _, _, ok := s.Resend(); ok; _, _, ok = s.Resend() {
				}
			}
		})
	}
}

func BenchmarkAlias(b *testing.B) {
	topics := make([]string, 64)
	for i := range topics {
		topics[i] = fmt.Sprint("building/floor/room/", i)
	}
	for _, n := range []uint16{64, 16} {
		b.Run(fmt.Sprintf("Out/%d of 64", n), func(b *testing.B) {
			var out AliasOut
			out.Reset(n)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				out.Assign(topics[i%64])
			}
		})
	}
	b.Run("In", func(b *testing.B) {
		var in AliasIn
		in.Reset(64)
		for i, topic := range topics {
			if _, err := in.Resolve(uint16(i+1), []byte(topic)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := in.Resolve(uint16(i%64+1), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
