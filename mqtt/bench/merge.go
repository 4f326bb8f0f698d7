package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histogram decodes d's histogram, in ns.
func (d *Distribution) Histogram() (*hdrhistogram.Histogram, error) {
	h, err := hdrhistogram.Decode([]byte(d.HDR))
	if err != nil {
		return nil, fmt.Errorf("bench: histogram: %w", err)
	}
	if h.LowestTrackableValue() != lowest || h.HighestTrackableValue() != highest || h.SignificantFigures() != digits {
		return nil, fmt.Errorf("bench: a histogram of %d to %d with %d digits cannot be added to one of %d to %d with %d",
			h.LowestTrackableValue(), h.HighestTrackableValue(), h.SignificantFigures(), lowest, highest, digits)
	}
	return h, nil
}

// MergeDistributions adds up histograms: what comes out is what one process
// would have recorded. nil is an empty one; all nil make nil.
func MergeDistributions(all ...*Distribution) (*Distribution, error) {
	var sum *hdrhistogram.Histogram
	var clamped int64
	for _, d := range all {
		if d == nil {
			continue
		}
		h, err := d.Histogram()
		if err != nil {
			return nil, err
		}
		clamped += d.Clamped
		if sum == nil {
			sum = h
		} else if dropped := sum.Merge(h); dropped > 0 {
			return nil, fmt.Errorf("bench: %d values do not fit", dropped)
		}
	}
	if sum == nil {
		return nil, nil
	}
	d := distribution(sum)
	d.Clamped = clamped
	return d, nil
}

// distribution sums up h.
func distribution(h *hdrhistogram.Histogram) *Distribution {
	at := func(p float64) time.Duration { return time.Duration(h.ValueAtQuantile(p)) }
	d := &Distribution{
		N: h.TotalCount(), Min: time.Duration(h.Min()), Mean: time.Duration(h.Mean()), Max: time.Duration(h.Max()),
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), P9999: at(99.99),
	}
	d.HDR = blob(h)
	return d
}

// blob is h in HdrHistogram's V2 compressed form, which the library has made
// base64.
func blob(h *hdrhistogram.Histogram) string {
	b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return "" // it writes to memory
	}
	return string(b)
}
