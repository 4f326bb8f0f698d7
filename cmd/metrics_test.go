package cmd

import (
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrape asks for the metrics in a format and reads them again.
func scrape(t *testing.T, accept string, collect ...func(*metricFamilies)) (map[string]*dto.MetricFamily, string) {
	t.Helper()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	metricPages(collect...).ServeHTTP(w, r)
	text := w.Body.String()
	if strings.HasPrefix(w.Header().Get("Content-Type"), "application/openmetrics-text") {
		return nil, text
	}
	families := make(map[string]*dto.MetricFamily)
	for d := expfmt.NewDecoder(strings.NewReader(text), expfmt.ResponseFormat(w.Header())); ; {
		var f dto.MetricFamily
		if err := d.Decode(&f); err != nil {
			break
		}
		families[f.GetName()] = &f
	}
	return families, text
}

func TestMetricPages(t *testing.T) {
	total := counterDesc("x_total", `a "total"`, "of")
	fill := func(all *metricFamilies) {
		all.add(gaugeDesc("y", "one\nnumber"), -1.5)
		all.add(total, 1, "a\"b")
		all.add(total, 2, "c")
		all.histogram(histogramDesc("z_seconds", "z"), 3, 1500*time.Millisecond, []time.Duration{time.Millisecond, time.Second}, []uint64{1, 2})
	}
	want := "# HELP x_total a \"total\"\n# TYPE x_total counter\nx_total{of=\"a\\\"b\"} 1\nx_total{of=\"c\"} 2\n" +
		"# HELP y one\\nnumber\n# TYPE y gauge\ny -1.5\n" +
		"# HELP z_seconds z\n# TYPE z_seconds histogram\nz_seconds_bucket{le=\"0.001\"} 1\nz_seconds_bucket{le=\"1\"} 2\n" +
		"z_seconds_bucket{le=\"+Inf\"} 3\nz_seconds_sum 1.5\nz_seconds_count 3\n"
	if _, text := scrape(t, "", fill); text != want {
		t.Errorf("text:\n%s\nwant\n%s", text, want)
	}
	if _, text := scrape(t, "application/openmetrics-text; version=1.0.0", fill); !strings.Contains(text, "# TYPE x counter\n") || !strings.HasSuffix(text, "\n# EOF\n") {
		t.Errorf("OpenMetrics:\n%s", text)
	}
	families, _ := scrape(t, "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", fill)
	if f := families["x_total"]; len(f.GetMetric()) != 2 || f.Metric[1].GetCounter().GetValue() != 2 {
		t.Errorf("protobuf: %v", families)
	}
}

func TestRuntimeMetrics(t *testing.T) {
	runtime.GC()
	families, text := scrape(t, "", runtimeMetrics, processMetrics)
	value := func(name string) float64 {
		m := families[name].GetMetric()
		if len(m) != 1 {
			t.Errorf("%s is there %d times in\n%s", name, len(m), text)
			return 0
		}
		return m[0].GetGauge().GetValue() + m[0].GetCounter().GetValue()
	}
	for name := range families {
		if !model.LegacyValidation.IsValidMetricName(name) {
			t.Errorf("%q is no name", name)
		}
	}
	if s := families["go_gc_duration_seconds"].GetMetric()[0].GetSummary(); s.GetSampleCount() == 0 || len(s.Quantile) != 5 || s.Quantile[4].GetValue() <= 0 {
		t.Errorf("pauses: %v", s)
	}
	if value("go_memstats_heap_alloc_bytes") < 1<<10 || value("go_goroutines") < 1 || value("go_info") != 1 {
		t.Error(text)
	}
	if runtime.GOOS != "linux" {
		return // the others tell less
	}
	if age := float64(time.Now().Unix()) - value("process_start_time_seconds"); age < -2 || age > 3600 {
		t.Errorf("it started %v s ago", age)
	}
	rss, virtual := value("process_resident_memory_bytes"), value("process_virtual_memory_bytes")
	if rss < 1<<20 || rss > virtual || value("process_open_fds") < 3 || value("process_open_fds") > value("process_max_fds") {
		t.Error(text)
	}
	if value("process_virtual_memory_max_bytes") <= 0 || value("process_network_receive_bytes_total") < 0 {
		t.Error(text)
	}
}
