package cmd

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// metricFamilies are what /metrics tells, in Prometheus' model. Its client
// library would take a twelfth of the time of one mqt pub for what it prepares
// when the program starts; this takes the model and the formats alone.
type metricFamilies []*dto.MetricFamily

// metricDesc says what a metric is.
type metricDesc struct {
	name, help string
	kind       dto.MetricType
	labels     []string
}

func gaugeDesc(name, help string, labels ...string) *metricDesc {
	return &metricDesc{name, help, dto.MetricType_GAUGE, labels}
}

func counterDesc(name, help string, labels ...string) *metricDesc {
	return &metricDesc{name, help, dto.MetricType_COUNTER, labels}
}

func histogramDesc(name, help string, labels ...string) *metricDesc {
	return &metricDesc{name, help, dto.MetricType_HISTOGRAM, labels}
}

// family returns that of d; all metrics of one name are in one.
func (f *metricFamilies) family(d *metricDesc) *dto.MetricFamily {
	if i := slices.IndexFunc(*f, func(m *dto.MetricFamily) bool { return m.GetName() == d.name }); i >= 0 {
		return (*f)[i]
	}
	m := &dto.MetricFamily{Name: &d.name, Help: &d.help, Type: &d.kind}
	*f = append(*f, m)
	return m
}

// metric appends an empty one, with values for the labels of d.
func (f *metricFamilies) metric(d *metricDesc, labels []string) *dto.Metric {
	m := &dto.Metric{}
	for i := range labels {
		m.Label = append(m.Label, &dto.LabelPair{Name: &d.labels[i], Value: &labels[i]})
	}
	family := f.family(d)
	family.Metric = append(family.Metric, m)
	return m
}

// add appends a number.
func (f *metricFamilies) add(d *metricDesc, v float64, labels ...string) {
	m := f.metric(d, labels)
	if d.kind == dto.MetricType_COUNTER {
		m.Counter = &dto.Counter{Value: &v}
	} else {
		m.Gauge = &dto.Gauge{Value: &v}
	}
}

// histogram appends one of n values; upTo[i] of them are not above bounds[i].
func (f *metricFamilies) histogram(d *metricDesc, n uint64, sum time.Duration, bounds []time.Duration, upTo []uint64, labels ...string) {
	seconds := sum.Seconds()
	h := &dto.Histogram{SampleCount: &n, SampleSum: &seconds}
	for i, bound := range bounds {
		le, count := bound.Seconds(), upTo[i] // the caller's go on counting
		h.Bucket = append(h.Bucket, &dto.Bucket{UpperBound: &le, CumulativeCount: &count})
	}
	f.metric(d, labels).Histogram = h
}

// maxScrapes are answered at the same time.
const maxScrapes = 4

// metricPages answers /metrics in the format that is asked for: text, OpenMetrics or protobuf.
func metricPages(collect ...func(*metricFamilies)) http.Handler {
	busy := make(chan struct{}, maxScrapes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case busy <- struct{}{}:
			defer func() { <-busy }()
		default:
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		var all metricFamilies
		for _, c := range collect {
			c(&all)
		}
		slices.SortFunc(all, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
		format := expfmt.NegotiateIncludingOpenMetrics(r.Header)
		w.Header().Set("Content-Type", string(format))
		enc := expfmt.NewEncoder(w, format)
		for _, family := range all {
			if enc.Encode(family) != nil {
				return // it has hung up
			}
		}
		if c, ok := enc.(expfmt.Closer); ok {
			_ = c.Close() // the same
		}
	})
}
