//go:build !race

package broker

import (
	"fmt"
	"testing"

	"mqt/mqtt"
	"mqt/mqtt/transport"
)

// What a routed message may allocate: QoS 0 nothing; QoS 1 and 2 one
// piece with the message, its short payload and its delivery, once for all who
// receive it. It is bounded rather than timed, for processors are busy with other
// things. The race detector makes pools forget, so this runs without it.
func TestAllocationsPerMessage(t *testing.T) {
	for qos := range mqtt.QoS2 + 1 {
		for _, subs := range []int{1, 20} {
			t.Run(fmt.Sprintf("QoS %d to %d", qos, subs), func(t *testing.T) { testAllocations(t, qos, subs) })
		}
	}
}

func testAllocations(t *testing.T, qos mqtt.QoS, subs int) {
	cr := newCrowd(t, Options{})
	defer cr.disperse()
	var receivers []transport.Handler
	for i := range subs {
		receivers = append(receivers, cr.come(fmt.Sprint("sub", i), "bench/+", qos))
	}
	pub := cr.come("pub", "", 0)
	// A publisher's read brings that many, and each receiver's read as many acknowledgements.
	const each = 50
	var messages, releases, first, second []byte
	for id := mqtt.PacketID(1); id <= each; id++ {
		messages = appendTo(t, messages, publish(qos, id, "bench/t", "0123456789abcdef"))
		switch qos {
		case mqtt.QoS1:
			first = appendTo(t, first, puback(id))
		case mqtt.QoS2:
			releases = appendTo(t, releases, pubrel(id))
			first = appendTo(t, first, pubrec(id))
			second = appendTo(t, second, pubcomp(id))
		}
	}
	round := func() {
		cr.feed(pub, messages)
		cr.feed(pub, releases)
		for _, h := range receivers {
			cr.feed(h, first)
			cr.feed(h, second)
		}
	}
	for range 10 {
		round()
	}
	before := cr.Stats().Sent
	n := testing.AllocsPerRun(50, round) / each
	if got, want := cr.Stats().Sent-before, int64(51*each*subs); got != want {
		t.Fatalf("%d messages were sent, want %d", got, want)
	}
	// Each flush of a connection without a loop begins a goroutine: that is the
	// test's, twice for each receiver and round.
	most := [...]float64{0, 1.5, 1.5}[qos] + 0.1 + 0.02*float64(subs)
	t.Logf("%.2f allocations for each message", n)
	if n > most {
		t.Errorf("%.2f allocations for each message, more than %.1f", n, most)
	}
}

func appendTo(t *testing.T, b []byte, p mqtt.Packet) []byte {
	t.Helper()
	b, err := p.Append(b, mqtt.V50)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
