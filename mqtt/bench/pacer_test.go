package bench

import (
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
)

// sends runs a load against the stub and returns when each message was due,
// since the measurement began, by publisher.
func sends(t *testing.T, change func(*Scenario)) ([][]time.Duration, *Report) {
	t.Helper()
	s := newStub()
	var mu sync.Mutex
	var at [][]time.Duration
	run := crc32.ChecksumIEEE([]byte("test"))
	s.on = func(_ uint64, p *mqtt.Publish) fault {
		var st stamp
		if st.read(p.Payload, run) == ours {
			mu.Lock()
			for len(at) <= int(st.publisher) {
				at = append(at, nil)
			}
			at[st.publisher] = append(at[st.publisher], st.intended)
			mu.Unlock()
		}
		return deliver
	}
	rep := runStub(t, s, change)
	least := time.Duration(math.MaxInt64)
	for _, times := range at {
		least = min(least, times[0])
	}
	for _, times := range at {
		for i := range times {
			times[i] -= least
		}
	}
	return at, rep
}

// The schedule is even: of all publishers together, and of each.
func TestScheduleIsEven(t *testing.T) {
	for _, pubs := range []int{1, 2, 5, 64} {
		synctest.Test(t, func(t *testing.T) {
			at, rep := sends(t, func(sc *Scenario) {
				sc.Publishers, sc.RatePerClient, sc.Rate = pubs, 0, 640
				sc.QoS = []mqtt.QoS{0, 1, 2}
			})
			if rep.Sent.N != 6400 {
				t.Errorf("%d publishers sent %d", pubs, rep.Sent.N)
			}
			var all []time.Duration
			for i, times := range at {
				all = append(all, times...)
				want := 6400 / pubs
				if len(times) != want {
					t.Errorf("publisher %d of %d sent %d, want %d", i, pubs, len(times), want)
				}
			}
			slices.Sort(all)
			for k, d := range all {
				if want := time.Duration(float64(k) / 640 * float64(time.Second)); d-want < -2 || d-want > 2 {
					t.Fatalf("%d publishers: message %d was due at %v, want %v", pubs, k, d, want)
				}
			}
			if l := rep.Latency.Lag; l.N != 6400 || l.Max > time.Millisecond {
				t.Errorf("lag %+v", l)
			}
		})
	}
}

// Above the rate of the timer several messages leave in one turn, and none is
// left out.
func TestHighRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, rep := sends(t, func(sc *Scenario) {
			sc.Publishers, sc.RatePerClient, sc.Rate, sc.Duration = 3, 0, 33_333, time.Second
		})
		if rep.Sent.N != 33_333 || rep.Unsent != 0 || rep.Generator.Achieved != 1 || rep.Latency.Lag.Max > 2*quantum {
			t.Errorf("sent %d, unsent %d, lag %+v", rep.Sent.N, rep.Unsent, rep.Latency.Lag)
		}
	})
}

// A publisher whose window is full keeps none of the others waiting, and what
// it could not send in time is told.
func TestFullWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		s.holdFrom, s.holdFor = 8*time.Second, time.Minute
		rep := runStub(t, s, func(sc *Scenario) {
			sc.InFlight, sc.RatePerClient, sc.Drain = 5, 100, time.Second
		})
		time.Sleep(s.holdFor) // until the stub has seen the end
		// The connect takes no time: after 8 s of 10 nothing is acknowledged any more.
		if rep.Sent.N < 800 || rep.Sent.N > 810 || rep.Unsent != 1000-rep.Sent.N {
			t.Errorf("sent %d, unsent %d", rep.Sent.N, rep.Unsent)
		}
		if a := rep.Generator.Achieved; a < 0.79 || a > 0.82 || !rep.Generator.Valid {
			t.Errorf("achieved %v, %q", a, rep.Generator.Faults)
		}
		if q := rep.Contract.QoS[0]; q.InDoubt != 5 || q.Lost != 0 || !q.Held {
			t.Errorf("account %+v", q)
		}
	})
}

func TestQuota(t *testing.T) {
	for _, n := range []int{1, 3, 7} {
		l := load{count: 100}
		var sum uint64
		for i := range n {
			q := l.quota(i, n)
			if q < uint64(100/n) || q > uint64(100/n+1) {
				t.Errorf("publisher %d of %d: %d", i, n, q)
			}
			sum += q
		}
		if sum != 100 {
			t.Errorf("%d publishers: %d messages of 100", n, sum)
		}
	}
	if (&load{}).quota(0, 1) != math.MaxUint64 {
		t.Error("a bound without count")
	}
}

func TestScenarioFaults(t *testing.T) {
	for _, tt := range []struct {
		s    Scenario
		want []string // all of them
	}{
		{Scenario{}, nil},
		{Scenario{Shape: "ring"}, []string{"shape \"ring\""}},
		{Scenario{Publishers: 2, Subscribers: 3}, []string{"as many publishers as subscribers"}},
		{Scenario{Shape: FanIn, Publishers: 2, Subscribers: 3}, []string{"no more subscribers"}},
		{Scenario{Shape: FanOut, Publishers: 4, Subscribers: 3}, []string{"no more publishers"}},
		{Scenario{QoS: []mqtt.QoS{3}, SubscriberQoS: []mqtt.QoS{4}}, []string{"QoS 3", "QoS 4"}},
		{Scenario{Size: 15}, []string{"no room for the 16"}},
		{Scenario{Size: 15, NoTracking: true}, nil},
		{Scenario{Rate: 5, RatePerClient: 5}, []string{"a rate for all and"}},
		{Scenario{Rate: 5, Max: true}, []string{"as fast as possible"}},
		{Scenario{Rate: -1, Publishers: -2, Subscribers: 1, Connecting: 65, InFlight: 70000, Duration: -1},
			[]string{"rate:", "publishers:", "connecting", "in-flight", "negative duration"}},
		{Scenario{Rate: math.NaN(), ConnectRate: math.Inf(1)}, []string{"rate:", "connect rate:"}},
		{Scenario{TopicPrefix: "a/#"}, []string{"topic prefix"}},
		{Scenario{RunID: "a/b"}, []string{"run \"a/b\""}},
		{Scenario{WarmUp: MaxDuration + 1}, []string{"duration above"}},
	} {
		err := tt.s.Validate()
		if (err != nil) != (tt.want != nil) {
			t.Errorf("%+v: %v", tt.s, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want %q", tt.s, err, want)
			}
		}
	}
}
