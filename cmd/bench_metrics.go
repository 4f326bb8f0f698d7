package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mqt/mqtt/bench"
)

// benchMetrics is what Prometheus reads while a bench runs. It is for
// dashboards: the verdict is made of the exact histograms.
type benchMetrics struct {
	gauges   []benchNumber
	counters []benchNumber
	latency  *prometheus.Desc
	phase    *prometheus.Desc

	mu      sync.Mutex
	last    bench.Snapshot
	total   [3]float64 // sent, acked, delivered
	buckets map[string]*benchBuckets
}

type benchNumber struct {
	desc *prometheus.Desc
	of   func(*benchMetrics) float64
}

type benchBuckets struct {
	upTo []uint64
	n    uint64
	sum  time.Duration
}

// benchBounds are the buckets: powers of about the square root of ten.
func benchBounds() []time.Duration {
	var all []time.Duration
	for d := 100 * time.Microsecond; d <= 10*time.Second; d *= 10 {
		all = append(all, d, d*5/2, d*5)
	}
	return all
}

func benchLatencies() []string {
	return []string{"connect", "reconnect", "sub_ack", "first_message", "pub_ack", "pub_rec", "pub_comp", "e2e", "lag"}
}

func newBenchMetrics() *benchMetrics {
	m := &benchMetrics{buckets: make(map[string]*benchBuckets)}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("mqt_bench_"+name, help, labels, nil)
	}
	m.gauges = []benchNumber{
		{desc("clients", "Clients that the run has."), func(m *benchMetrics) float64 { return float64(m.last.Clients) }},
		{desc("clients_connected", "Clients that are connected."), func(m *benchMetrics) float64 { return float64(m.last.Connected) }},
	}
	m.counters = []benchNumber{
		{desc("connects_failed_total", "Clients that could not connect."), func(m *benchMetrics) float64 { return float64(m.last.Failed) }},
		{desc("connections_lost_total", "Connections that the client has not ended."), func(m *benchMetrics) float64 { return float64(m.last.Lost) }},
		{desc("messages_sent_total", "PUBLISH packets to the server, without those sent again, up to the last whole second of a phase."), func(m *benchMetrics) float64 { return m.total[0] }},
		{desc("messages_acked_total", "PUBACK and PUBCOMP without a failure, likewise."), func(m *benchMetrics) float64 { return m.total[1] }},
		{desc("messages_delivered_total", "PUBLISH packets that subscribers received, likewise."), func(m *benchMetrics) float64 { return m.total[2] }},
	}
	m.latency = desc("latency_seconds", "Latencies from the intended send time.", "metric")
	m.phase = desc("phase_info", "The phase of the run; the value is 1.", "phase", "version")
	return m
}

// observe takes what a second brought.
func (m *benchMetrics) observe(s bench.Snapshot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.last
	if s.Step != before.Step {
		before.Sent, before.Acked, before.Delivered = 0, 0, 0
	}
	for i, n := range []int64{s.Sent - before.Sent, s.Acked - before.Acked, s.Delivered - before.Delivered} {
		m.total[i] += float64(max(0, n))
	}
	for _, name := range benchLatencies() {
		upTo, n, sum := s.Buckets(name, benchBounds())
		if n == 0 {
			continue
		}
		b := m.buckets[name]
		if b == nil {
			b = &benchBuckets{upTo: make([]uint64, len(upTo))}
			m.buckets[name] = b
		}
		for i := range upTo {
			b.upTo[i] += upTo[i]
		}
		b.n += n
		b.sum += sum
	}
	m.last = s
}

// Describe implements prometheus.Collector.
func (m *benchMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, n := range append(append([]benchNumber(nil), m.gauges...), m.counters...) {
		to <- n.desc
	}
	to <- m.latency
	to <- m.phase
}

// Collect implements prometheus.Collector.
func (m *benchMetrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.gauges {
		to <- prometheus.MustNewConstMetric(n.desc, prometheus.GaugeValue, n.of(m))
	}
	for _, n := range m.counters {
		to <- prometheus.MustNewConstMetric(n.desc, prometheus.CounterValue, n.of(m))
	}
	bounds := benchBounds()
	for name, b := range m.buckets {
		upTo := make(map[float64]uint64, len(bounds))
		for i, d := range bounds {
			upTo[d.Seconds()] = b.upTo[i]
		}
		to <- prometheus.MustNewConstHistogram(m.latency, b.n, b.sum.Seconds(), upTo, name)
	}
	if m.last.Phase != "" {
		to <- prometheus.MustNewConstMetric(m.phase, prometheus.GaugeValue, 1, string(m.last.Phase), version())
	}
}

// scraped is the HTTP server of --metrics.
type scraped struct {
	http *http.Server
	done chan struct{}
}

// startMetrics listens on addr, if there is one.
func (out *benchOutputs) startMetrics(ctx context.Context, addr string) (*scraped, error) {
	if addr == "" {
		return nil, nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--metrics %s: %w", addr, errors.Unwrap(err))
	}
	out.metrics = newBenchMetrics()
	all := prometheus.NewRegistry()
	all.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), out.metrics)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(all, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	s := &scraped{done: make(chan struct{}), http: &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}}
	fmt.Fprintf(out.err, "metrics at http://%s/metrics\n", l.Addr())
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l) // it ends when told to
	}()
	return s, nil
}

func (s *scraped) stop() {
	if s != nil {
		_ = s.http.Close()
		<-s.done
	}
}
