package bench_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/bench"
	"mqt/mqtt/broker"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

// startBroker serves the in-tree broker on a free port until the test ends.
func startBroker(t *testing.T) string {
	t.Helper()
	b, err := broker.New(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := transport.Listen(t.Context(), &transport.Endpoint{Scheme: transport.SchemeMQTT, Host: "127.0.0.1", Port: "0"}, transport.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := b.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		bye, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		if err := b.Shutdown(bye); err != nil {
			t.Error(err)
		}
	})
	return l.URL()
}

// The in-tree broker keeps its promises under a small load in every shape.
func TestInTreeBroker(t *testing.T) {
	url := startBroker(t)
	for _, tt := range []struct {
		name string
		s    bench.Scenario
		want int64 // deliveries
	}{
		{"pairs", bench.Scenario{Publishers: 30, Rate: 1000}, 1000},
		{"pairs 3.1.1", bench.Scenario{Publishers: 9, Rate: 1000, Client: client.Options{Version: mqtt.V311}}, 1000},
		{"fan-in", bench.Scenario{Shape: bench.FanIn, Publishers: 20, Subscribers: 3, Rate: 1000, Size: 16}, 1000},
		{"fan-out", bench.Scenario{Shape: bench.FanOut, Publishers: 3, Subscribers: 30, Rate: 100, Size: 6000}, 1000},
		{"closed loop", bench.Scenario{Publishers: 6, Max: true}, 1000},
		{"closed fan-out", bench.Scenario{Shape: bench.FanOut, Publishers: 3, Subscribers: 6, Max: true, InFlight: 3}, 2000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.s
			s.Client.URL = url
			s.Count, s.Duration, s.WarmUp = 1000, time.Minute, 100*time.Millisecond
			if s.Rate == 100 {
				s.Count = 100
			}
			rep, err := bench.Run(t.Context(), s, nil)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Sent.N != s.Count || rep.Delivered.N != tt.want || !rep.Contract.Held || rep.Connections.Failed+rep.Connections.Lost != 0 {
				t.Errorf("sent %d, delivered %d, want %d; contract %+v, connections %+v", rep.Sent.N, rep.Delivered.N, tt.want, rep.Contract, rep.Connections)
			}
			for _, q := range rep.Contract.QoS {
				if q.Lost+q.Duplicates+q.OutOfOrder+q.InDoubt != 0 {
					t.Errorf("account %+v", q)
				}
			}
			if rep.Target.URL != url {
				t.Errorf("target %q, want %q", rep.Target.URL, url)
			}
		})
	}
}
