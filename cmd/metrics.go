package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mqt/mqtt/broker"
	"mqt/mqtt/store"
)

// metricsServer answers /metrics, /clients, /healthz and /readyz.
type metricsServer struct {
	l     net.Listener
	http  *http.Server
	ready atomic.Bool
	done  chan struct{}
}

// checkMetrics finds what is wrong with addr without listening there.
func checkMetrics(ctx context.Context, addr string) error {
	if addr == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.DefaultResolver.LookupPort(ctx, "tcp", port)
	}
	if a, ok := errors.AsType[*net.AddrError](err); ok { // the address is named once
		return fmt.Errorf("--metrics %s: %s", addr, a.Err)
	}
	if err != nil {
		return fmt.Errorf("--metrics %s: %w", addr, err)
	}
	return nil
}

// startMetrics listens on addr; nil where there is none.
func startMetrics(ctx context.Context, addr string, openClients bool, b *broker.Broker, log *slog.Logger) (*metricsServer, error) {
	if addr == "" {
		return nil, nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--metrics %s: %w", addr, errors.Unwrap(err))
	}
	all := prometheus.NewRegistry()
	all.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newBrokerMetrics(b))
	m := &metricsServer{l: l, done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(all, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	mux.Handle("GET /clients", newClientPages(b, openClients))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !m.ready.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		if err := b.StoreErr(); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		if b.StoreFull() {
			http.Error(w, "not ready: the disk of --data-dir is full", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	m.http = &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelInfo)}
	go func() {
		defer close(m.done)
		_ = m.http.Serve(l) // it ends when told to
	}()
	return m, nil
}

// setReady is what /readyz tells from now on.
func (m *metricsServer) setReady(ready bool) {
	if m != nil {
		m.ready.Store(ready)
	}
}

func (m *metricsServer) stop() {
	if m != nil {
		_ = m.http.Close()
		<-m.done
	}
}

// brokerMetrics reads broker.Stats whenever it is asked.
type brokerMetrics struct {
	b                       *broker.Broker
	plain                   []plainMetric
	dropped, exceeded, info *prometheus.Desc
	store                   []storeMetric
	failed                  *prometheus.Desc
}

// plainMetric is a number without labels.
type plainMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*broker.Stats) int64
}

func newBrokerMetrics(b *broker.Broker) *brokerMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("mqt_"+name, help, labels, nil)
	}
	gauge := func(name, help string, of func(*broker.Stats) int64) plainMetric {
		return plainMetric{desc(name, help), prometheus.GaugeValue, of}
	}
	total := func(name, help string, of func(*broker.Stats) int64) plainMetric {
		return plainMetric{desc(name+"_total", help), prometheus.CounterValue, of}
	}
	return &brokerMetrics{
		b:        b,
		dropped:  desc("messages_dropped_total", "Messages that were not delivered.", "reason"),
		exceeded: desc("limit_exceeded_total", "How often somebody went over a limit.", "limit"),
		info:     desc("info", "The program; the value is 1.", "version"),
		plain: []plainMetric{
			gauge("connections", "Network connections, also before CONNECT.", func(s *broker.Stats) int64 { return s.Connections }),
			gauge("clients", "Connected clients.", func(s *broker.Stats) int64 { return s.Clients }),
			gauge("clients_maximum", "The most clients that were ever connected at once.", func(s *broker.Stats) int64 { return s.MaxClients }),
			gauge("sessions", "Sessions, connected or not.", func(s *broker.Stats) int64 { return s.Sessions }),
			gauge("subscriptions", "Subscriptions, shared ones included.", func(s *broker.Stats) int64 { return s.Subscriptions }),
			gauge("shared_subscriptions", "Shared subscriptions.", func(s *broker.Stats) int64 { return s.Shared }),
			gauge("retained_messages", "Retained messages.", func(s *broker.Stats) int64 { return s.Retained }),
			gauge("retained_bytes", "Topics and payloads of retained messages.", func(s *broker.Stats) int64 { return s.RetainedBytes }),
			gauge("queued_messages", "Messages waiting in sessions, once for each.", func(s *broker.Stats) int64 { return s.Waiting }),
			gauge("queued_bytes", "Bytes that clients have the broker keep, have sent of packets in part, and do not read.", func(s *broker.Stats) int64 { return s.Memory }),
			total("connections_accepted", "Network connections so far.", func(s *broker.Stats) int64 { return s.Accepted }),
			total("connections_refused", "Connections refused before or with CONNACK.", func(s *broker.Stats) int64 { return s.Refused }),
			total("connection_errors", "Connections that ended by an error of the peer.", func(s *broker.Stats) int64 { return s.ProtocolErrors }),
			total("handshakes_failed", "TLS and WebSocket handshakes that failed or were refused.", func(s *broker.Stats) int64 { return s.Handshakes }),
			total("clients_admitted", "Clients that were let in.", func(s *broker.Stats) int64 { return s.Admitted }),
			total("packets_received", "Packets of any type.", func(s *broker.Stats) int64 { return s.Packets }),
			total("packets_sent", "Packets of any type.", func(s *broker.Stats) int64 { return s.PacketsSent }),
			total("bytes_received", "Bytes of packets, without TLS and WebSocket.", func(s *broker.Stats) int64 { return s.BytesReceived }),
			total("bytes_sent", "Bytes of packets, without TLS and WebSocket.", func(s *broker.Stats) int64 { return s.BytesSent }),
			total("messages_received", "PUBLISH packets from clients.", func(s *broker.Stats) int64 { return s.Received }),
			total("messages_sent", "PUBLISH packets to clients.", func(s *broker.Stats) int64 { return s.Sent }),
			total("payload_bytes_received", "Payloads of PUBLISH packets from clients.", func(s *broker.Stats) int64 { return s.PayloadBytesReceived }),
			total("payload_bytes_sent", "Payloads of PUBLISH packets to clients.", func(s *broker.Stats) int64 { return s.PayloadBytesSent }),
		},
		store: []storeMetric{
			{desc("store_commits_total", "Transactions that became durable."), prometheus.CounterValue, func(s *store.Stats) float64 { return float64(s.Commits) }},
			{desc("store_batches_total", "Batches in them, one for each turn of a client."), prometheus.CounterValue, func(s *store.Stats) float64 { return float64(s.Batches) }},
			{desc("store_operations_total", "Operations in them."), prometheus.CounterValue, func(s *store.Stats) float64 { return float64(s.Ops) }},
			{desc("store_full_total", "Batches that were refused because the disk was full."), prometheus.CounterValue, func(s *store.Stats) float64 { return float64(s.Full) }},
			{desc("store_pending_bytes", "Bytes that wait to be written."), prometheus.GaugeValue, func(s *store.Stats) float64 { return float64(s.Pending) }},
			{desc("store_last_commit_seconds", "How long the last transaction took, its syncs included."), prometheus.GaugeValue, func(s *store.Stats) float64 { return s.LastCommit.Seconds() }},
			{desc("store_file_bytes", "Size of the file."), prometheus.GaugeValue, func(s *store.Stats) float64 { return float64(s.FileBytes) }},
			{desc("store_free_bytes", "Of that, what is empty and will be used again."), prometheus.GaugeValue, func(s *store.Stats) float64 { return float64(s.FreeBytes) }},
		},
		failed: desc("store_failed", "1 if the store has failed for good, and nothing that it would keep is acknowledged."),
	}
}

// storeMetric is a number of the store, where there is one.
type storeMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*store.Stats) float64
}

// Describe implements prometheus.Collector.
func (m *brokerMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, p := range m.plain {
		to <- p.desc
	}
	for _, p := range m.store {
		to <- p.desc
	}
	to <- m.failed
	to <- m.dropped
	to <- m.exceeded
	to <- m.info
}

// Collect implements prometheus.Collector.
func (m *brokerMetrics) Collect(to chan<- prometheus.Metric) {
	s := m.b.Stats()
	for _, p := range m.plain {
		to <- prometheus.MustNewConstMetric(p.desc, p.kind, float64(p.of(&s)))
	}
	for _, d := range s.Drops() {
		to <- prometheus.MustNewConstMetric(m.dropped, prometheus.CounterValue, float64(d.Count), d.Reason)
	}
	for i, n := range s.Exceeded {
		to <- prometheus.MustNewConstMetric(m.exceeded, prometheus.CounterValue, float64(n), broker.Limit(i).String())
	}
	if s.Store != nil {
		for _, p := range m.store {
			to <- prometheus.MustNewConstMetric(p.desc, p.kind, p.of(s.Store))
		}
		failed := 0.0
		if s.StoreFailed {
			failed = 1
		}
		to <- prometheus.MustNewConstMetric(m.failed, prometheus.GaugeValue, failed)
	}
	to <- prometheus.MustNewConstMetric(m.info, prometheus.GaugeValue, 1, version())
}
