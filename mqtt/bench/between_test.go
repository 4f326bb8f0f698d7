package bench

import (
	"testing"
	"time"
)

// What comes between two phases is in a second, too: the seconds together are the whole.
func TestBetweenPhases(t *testing.T) {
	rec := &recorder{cur: &tally{}}
	g := &group{interval: &tally{}, total: &tally{}, readers: []*recorder{rec}}
	r := &runner{began: time.Now(), groups: []*group{g}, interval: &tally{}, unnoted: &tally{}, spare: &tally{}, total: &tally{}}
	p := &phaseTally{step: &Step{Record: true}, all: &tally{}, groups: []*tally{{}}}
	arrive := func() {
		rec.cur.arrived++
		rec.cur.record(pubAck, time.Millisecond)
	}
	arrive()
	r.gather(p, measured)
	arrive()
	r.collect(p, measured, 0)
	arrive()
	r.gather(p, measured)
	r.collect(p, measured, 0)
	var n int64
	for i := range r.seconds {
		h, err := (&Distribution{HDR: r.seconds[i].HDR["pub_ack"]}).Histogram()
		if err != nil {
			t.Fatal(err)
		}
		n += h.TotalCount()
	}
	if all := r.total.latency[pubAck].TotalCount(); n != all || n != 3 || len(r.seconds) != 2 {
		t.Errorf("%d in %d seconds, %d in all", n, len(r.seconds), all)
	}
}
