package format

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mqt/mqtt/bench"
)

// AppendCSV writes the seconds of a bench run, one line each below a heading:
// times in milliseconds, rates a second, nothing where nothing was measured.
func AppendCSV(dst []byte, r *bench.Report) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write([]string{"at_s", "duration_s", "phase", "connected", "connections_lost", "sent", "acked", "delivered", "sent_rate", "delivered_rate",
		"e2e_n", "e2e_p50_ms", "e2e_p99_ms", "e2e_max_ms", "ack_p99_ms", "lag_p99_ms", "cpu_cores"}) // Error tells
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	ms := func(d time.Duration) string {
		if d == 0 {
			return ""
		}
		return number(float64(d) / 1e6)
	}
	for i := range r.Seconds {
		s := &r.Seconds[i]
		_ = w.Write([]string{
			seconds3(s.At), seconds3(s.Duration), safe(string(s.Phase)), strconv.Itoa(s.Connected), strconv.Itoa(s.Lost),
			number(float64(s.Sent)), number(float64(s.Acked)), number(float64(s.Delivered)), fmt.Sprintf("%.1f", secondRate(s.Sent, s)), fmt.Sprintf("%.1f", secondRate(s.Delivered, s)),
			strconv.FormatInt(s.E2EN, 10), ms(s.E2EP50), ms(s.E2EP99), ms(s.E2EMax), ms(s.AckP99), ms(s.LagP99), fmt.Sprintf("%.3f", s.CPU),
		})
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return dst, fmt.Errorf("format: csv: %w", err)
	}
	return append(dst, b.Bytes()...), nil
}

// secondRate is n of a second that may be shorter or longer than one.
func secondRate(n int64, s *bench.Second) float64 {
	if s.Duration <= 0 {
		return float64(n)
	}
	return float64(n) / s.Duration.Seconds()
}

// AppendHDRLog writes the histograms of a bench run in the log format of
// HdrHistogram (version 1.3), in ns, which HistogramLogReader and the
// HistogramLogAnalyzer read: each second of e2e, pub_ack, pub_rec, pub_comp and lag, and
// of what has no seconds the whole run, as one interval. The tag is the
// metric's name. Times count from the beginning of the measurement.
func AppendHDRLog(dst []byte, r *bench.Report) ([]byte, error) {
	base := r.Started
	for i := range r.Phases {
		if r.Phases[i].Recorded {
			base = base.Add(r.Phases[i].From)
			break
		}
	}
	epoch := float64(base.UnixMilli()) / 1e3
	dst = fmt.Appendf(dst, "#[mqt bench, run %s, values in ns]\n#[Histogram log format version 1.3]\n", safe(r.RunID))
	dst = fmt.Appendf(dst, "#[StartTime: %.3f (seconds since epoch), %s]\n#[BaseTime: %.3f (seconds since epoch)]\n", epoch, base.UTC().Format(time.UnixDate), epoch)
	dst = append(dst, "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n"...)
	inSeconds := make(map[string]bool)
	for i := range r.Seconds {
		for name := range r.Seconds[i].HDR {
			inSeconds[name] = true
		}
	}
	for _, d := range r.Latency.All() {
		if d.HDR == "" || inSeconds[d.Name] {
			continue
		}
		var err error
		if dst, err = appendInterval(dst, d.Name, 0, r.Measured+r.Drained, d.HDR); err != nil {
			return dst, err
		}
	}
	for i := range r.Seconds {
		s := &r.Seconds[i]
		for _, d := range r.Latency.All() { // a fixed order
			blob := s.HDR[d.Name]
			if blob == "" {
				continue
			}
			var err error
			if dst, err = appendInterval(dst, d.Name, max(0, s.At-s.Duration), s.Duration, blob); err != nil {
				return dst, err
			}
		}
	}
	return dst, nil
}

// appendInterval has its maximum in milliseconds, as HistogramLogWriter does.
func appendInterval(dst []byte, tag string, from, length time.Duration, blob string) ([]byte, error) {
	h, err := (&bench.Distribution{HDR: blob}).Histogram()
	if err != nil {
		return dst, fmt.Errorf("format: hdr log: %w", err)
	}
	if strings.ContainsAny(blob, "\r\n") { // base64 would take them
		return dst, fmt.Errorf("format: hdr log: a line's end in a histogram of %s", tag)
	}
	return fmt.Appendf(dst, "Tag=%s,%.3f,%.3f,%.3f,%s\n", tag, from.Seconds(), length.Seconds(), float64(h.Max())/1e6, blob), nil
}
