package broker

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/transport"
)

// nowhere is a connection that takes what it is given and brings nothing.
type nowhere struct{ net.Conn }

func (nowhere) Write(p []byte) (int, error)      { return len(p), nil }
func (nowhere) RemoteAddr() net.Addr             { return &net.UnixAddr{Net: "unix"} }
func (nowhere) LocalAddr() net.Addr              { return &net.UnixAddr{Net: "unix"} }
func (nowhere) Close() error                     { return nil }
func (nowhere) SetDeadline(time.Time) error      { return nil }
func (nowhere) SetWriteDeadline(time.Time) error { return nil }

// idleClients is n clients that have connected, have made a subscription each,
// and have nothing to say any more. tcs are their connections.
func idleClients(tb testing.TB, b *Broker, tcs []*transport.Conn) {
	tb.Helper()
	var batch transport.Batch
	for i, tc := range tcs {
		p, _ := (&mqtt.Connect{Version: mqtt.V50, ClientID: fmt.Sprint("idle-", i), KeepAlive: 600,
			Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 3600)}}).Append(nil, mqtt.V50)
		p, _ = (&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: fmt.Sprintf("own/%d/t", i)}}}).Append(p, mqtt.V50)
		if n, err := b.Accept(tc).Feed(&batch, p); n != len(p) || err != nil {
			tb.Fatal(n, err)
		}
		batch.Flush()
	}
}

// nowheres is n connections to nowhere.
func nowheres(n int) []*transport.Conn {
	tcs := make([]*transport.Conn, n)
	for i := range tcs {
		tcs[i] = transport.New(nowhere{}, transport.Options{})
	}
	return tcs
}

// idleMemory returns what a client takes here that does nothing, in bytes of the
// heap: its session with one subscription, its connection without what package
// transport has of it, and its places in maps, heaps and trees.
func idleMemory(tb testing.TB, n int) int {
	b, err := New(Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tcs := nowheres(n)
	before := inUse()
	idleClients(tb, b, tcs)
	for _, tc := range tcs {
		for tc.Buffered() > 0 {
			time.Sleep(time.Millisecond)
		}
	}
	inUse() // what pools keep for one cycle
	per := (inUse() - before) / int64(n)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = b.Shutdown(ctx) // the connections have nobody who would close them
	return int(per)
}

// BenchmarkIdle reports the bytes of a client that does nothing.
func BenchmarkIdle(b *testing.B) {
	for _, n := range []int{10_000, 18_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(float64(idleMemory(b, n)), "B/client")
			}
		})
	}
}
