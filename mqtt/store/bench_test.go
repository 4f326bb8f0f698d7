//go:build unix

package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

// BenchmarkEnqueue is what a durable message costs: each producer has a queue
// of its own, waits until its message is durable, and takes out the one before.
func BenchmarkEnqueue(b *testing.B) {
	for _, producers := range []int{1, 100, 1000} {
		for _, drain := range []bool{false, true} {
			b.Run(fmt.Sprintf("producers=%d/drain=%v", producers, drain), func(b *testing.B) { benchEnqueue(b, producers, drain) })
		}
	}
}

func benchEnqueue(b *testing.B, producers int, drain bool) {
	d := openDisk(b, b.TempDir(), store.Options{})
	ids := make([]store.SessionID, producers)
	err := storetest.Write(d, func(x *store.Batch) {
		for i := range ids {
			ids[i] = d.NewSession()
			x.PutSession(ids[i], &store.Session{ClientID: fmt.Sprint("client-", i)})
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	payload := make([]byte, 256)
	before := d.Stats()
	cpu := cpuTime()
	b.ResetTimer()
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			durable := make(chan error, 1)
			done := func(err error) { durable <- err }
			for at := d.First(); left.Add(-1) >= 0; at++ {
				batch := &store.Batch{}
				if drain {
					batch.Done(id, at-1)
				}
				m := &store.Message{Topic: "plant/line/sensor", Payload: payload, QoS: 1, Born: time.UnixMilli(1_700_000_000_000)}
				batch.Enqueue(id, at, store.Delivery{Message: m, QoS: 1})
				d.Commit(batch, done)
				if err := <-durable; err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(b.N)/1000, "cpu-us/msg")
	after := d.Stats()
	b.ReportMetric(float64(b.N)/float64(after.Commits-before.Commits), "msg/commit")
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
