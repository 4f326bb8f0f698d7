package bench_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"mqt/mqtt/bench"
	"mqt/mqtt/client"
)

// Shards of a real run, merged, are the whole: every message is in the account
// once.
func TestShardsMerge(t *testing.T) {
	addr := startBroker(t)
	const n = 3
	var at time.Time
	var reports []*bench.Report
	var err error
	for lead := 700 * time.Millisecond; at.IsZero() || errors.Is(err, bench.ErrLate) && lead < time.Minute; lead *= 4 {
		at = time.Now().Add(lead) // enough for a machine that has nothing else to do
		reports, err = runShards(addr, n, at)
	}
	if err != nil {
		t.Fatal(err)
	}
	rep, err := bench.MergeReports(reports, false)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Sent.N != 600 || rep.Connections.Connected != 39 || rep.Shard != nil || !rep.Contract.Held || rep.Load.Publishers != 30 {
		t.Errorf("%+v", rep)
	}
	for _, q := range rep.Contract.QoS {
		if q.Expected != 200 || q.Delivered != 200 || q.Lost != 0 {
			t.Errorf("%+v", q)
		}
	}
	late := bench.Scenario{Client: client.Options{URL: addr}, Publishers: 3, Subscribers: 3, Shard: &bench.Shard{0, 3}, StartAt: at}
	if _, err := bench.Run(context.Background(), late, nil); !errors.Is(err, bench.ErrLate) {
		t.Errorf("late: %v", err)
	}
}

// runShards runs all shards of a scenario at once.
func runShards(addr string, n int, at time.Time) ([]*bench.Report, error) {
	reports, errs := make([]*bench.Report, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			s := bench.Scenario{
				Client: client.Options{URL: addr}, RunID: "shards", Shape: bench.Shared, Publishers: 30, Subscribers: 9, Rate: 900, Duration: time.Second, Quiet: 100 * time.Millisecond,
				WarmUp: -1, Count: 600, Shard: &bench.Shard{i, n}, StartAt: at,
			}
			reports[i], errs[i] = bench.Run(context.Background(), s, nil)
		})
	}
	all.Wait()
	return reports, errors.Join(errs...)
}
