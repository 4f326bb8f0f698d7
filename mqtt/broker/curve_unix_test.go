//go:build unix

package broker

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"mqt/mqtt"
)

// BenchmarkSubscriptions is what a message costs among more and more
// subscriptions, of which one matches it: to one topic again and again, as most
// devices publish, and to any of them. Sockets are left out, see crowd; one in
// ten of the mixed filters has a wildcard.
//
//	go test ./mqtt/broker -run xxx -bench Subscriptions -benchtime 100000x
func BenchmarkSubscriptions(b *testing.B) {
	for _, mixed := range []bool{false, true} {
		for _, n := range []int{100, 1000, 10_000, 100_000, 1_000_000} {
			cr := newCrowd(b, Options{MaxSubscriptions: n})
			subscribeAll(b, cr, n, mixed)
			name := fmt.Sprint(map[bool]string{false: "exact/", true: "mixed/"}[mixed], n)
			b.Run(name+"/one topic", func(b *testing.B) { cr.publishTo(b, n, mixed, 1) })
			b.Run(name+"/any topic", func(b *testing.B) { cr.publishTo(b, n, mixed, n) })
			cr.disperse()
		}
	}
}

// subscribeAll shares n filters among 100 clients.
func subscribeAll(b *testing.B, cr *crowd, n int, mixed bool) {
	for i := range 100 {
		h := cr.come(fmt.Sprint("sub", i), "", 0)
		for j := i; j < n; j += 100 {
			filter, _ := crowdFilter(j, mixed)
			p, err := subscribeTo(filter).Append(nil, mqtt.V50)
			if err != nil {
				b.Fatal(err)
			}
			cr.feed(h, p)
		}
	}
}

// publishTo publishes to topics of the first some of n clients, 100 messages in
// a read.
func (cr *crowd) publishTo(b *testing.B, n int, mixed bool, some int) {
	pub := cr.come("pub", "", 0)
	defer func() {
		pub.Closed(errDisconnected)
		cr.conns = cr.conns[:len(cr.conns)-1]
	}()
	const each, reads = 100, 200
	random := rand.New(rand.NewPCG(1, uint64(n)))
	var packets [][]byte
	for range reads {
		var p []byte
		for range each {
			_, topic := crowdFilter(random.IntN(some), mixed)
			var err error
			if p, err = publish(mqtt.QoS0, 0, topic, "0123456789abcdef").Append(p, mqtt.V50); err != nil {
				b.Fatal(err)
			}
		}
		packets = append(packets, p)
	}
	before, used := cr.Stats().Sent, cpuUsed()
	rounds := max(1, b.N/each)
	b.ResetTimer()
	for i := range rounds {
		cr.feed(pub, packets[i%reads])
	}
	b.StopTimer()
	b.ReportMetric(float64((cpuUsed()-used).Nanoseconds())/float64(rounds*each), "CPU-ns/message")
	b.ReportMetric(0, "ns/op") // of a hundredth
	if got := cr.Stats().Sent - before; got != int64(rounds*each) {
		b.Fatalf("%d of %d messages were sent", got, rounds*each)
	}
}
