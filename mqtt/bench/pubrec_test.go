package bench

import (
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
)

// At QoS 2 the Server has a message with its PUBREC, and is done with it at the
// PUBCOMP: both are told.
func TestPubrecIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		s.compAfter = 20 * time.Millisecond
		rec, err := ParseRule("pub_rec.p90 < 5ms")
		if err != nil {
			t.Fatal(err)
		}
		rep := runStub(t, s, func(sc *Scenario) { sc.QoS, sc.RatePerClient, sc.Rules = []mqtt.QoS{2}, 20, []Rule{rec} })
		r, c := rep.Latency.PubRec, rep.Latency.PubComp
		if r == nil || c == nil || r.N != 200 || c.N != 200 || r.P99 > time.Millisecond || c.P50 < 20*time.Millisecond || rep.Verdict != Pass {
			t.Errorf("PUBREC %+v, PUBCOMP %+v, %s %q", r, c, rep.Verdict, rep.Reasons)
		}
		for i := range rep.Seconds {
			if n := len(rep.Seconds[i].HDR["pub_rec"]); n == 0 && rep.Seconds[i].Sent > 0 {
				t.Errorf("second %d has no histogram of PUBRECs", i)
			}
		}
	})
}
