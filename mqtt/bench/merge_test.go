package bench

import (
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

// The parts of a run add up to what one process would have recorded, bit for
// bit.
func TestMergeIsExact(t *testing.T) {
	var whole tally
	parts := make([]tally, 3)
	for i := range 100_000 {
		d := time.Duration(rand.ExpFloat64() * float64(5*time.Millisecond))
		whole.record(endToEnd0, d)
		parts[i%len(parts)].record(endToEnd0, d)
	}
	whole.record(endToEnd0, 2*time.Hour)
	parts[1].record(endToEnd0, 2*time.Hour)
	var all []*Distribution
	for i := range parts {
		all = append(all, parts[i].distribution(endToEnd0))
	}
	got, err := MergeDistributions(append(all, nil)...)
	if err != nil {
		t.Fatal(err)
	}
	if want := whole.distribution(endToEnd0); !reflect.DeepEqual(got, want) {
		t.Errorf("merged %+v\nwant   %+v", got, want)
	}
	if got, err := MergeDistributions(nil, nil); got != nil || err != nil {
		t.Errorf("nothing merged is %v, %v", got, err)
	}
	if _, err := MergeDistributions(&Distribution{HDR: "x"}); err == nil {
		t.Error("merged what is no histogram")
	}
}
