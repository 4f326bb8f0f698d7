package bench

import (
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
)

// everyTenth breaks one message in ten of each publisher.
func everyTenth(f fault) func(uint64, *mqtt.Publish) fault {
	return func(seq uint64, _ *mqtt.Publish) fault {
		if seq%10 == 9 {
			return f
		}
		return deliver
	}
}

// What a Server does to the messages of a Shared Subscription is counted
// exactly, whoever of its members sees it.
func TestFaultsOfShared(t *testing.T) {
	const sent = 4 * 200
	for _, tt := range []struct {
		name string
		qos  mqtt.QoS
		f    fault
		want QoS
	}{
		{"held", 1, deliver, QoS{Delivered: sent, Held: true}},
		{"lost", 0, lose, QoS{Delivered: sent - 80, Lost: 80, LossRatio: 0.1, Held: true}},
		{"lost", 1, lose, QoS{Delivered: sent - 80, Lost: 80, LossRatio: 0.1}},
		{"lost", 2, lose, QoS{Delivered: sent - 80, Lost: 80, LossRatio: 0.1}},
		{"twice", 1, twice, QoS{Delivered: sent, Duplicates: 80, Held: true}},
		{"twice", 2, twice, QoS{Delivered: sent, Duplicates: 80}},
		{"twice with DUP", 1, twiceD, QoS{Delivered: sent, Duplicates: 80, DuplicatesDUP: 80, Held: true}},
	} {
		t.Run(tt.name+" QoS "+string('0'+byte(tt.qos)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStub()
				s.on = everyTenth(tt.f)
				rep := runStub(t, s, func(sc *Scenario) {
					sc.Shape, sc.Publishers, sc.Subscribers, sc.QoS, sc.RatePerClient = Shared, 4, 3, []mqtt.QoS{tt.qos}, 20
				})
				want := tt.want
				want.QoS, want.Sent, want.Expected = int(tt.qos), sent, sent
				if len(rep.Contract.QoS) != 1 || rep.Contract.QoS[0] != want {
					t.Errorf("account %+v, want %+v", rep.Contract.QoS, want)
				}
			})
		})
	}
	t.Run("order of a member", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStub()
			s.on = everyTenth(swap)
			rep := runStub(t, s, func(sc *Scenario) {
				sc.Shape, sc.Publishers, sc.Subscribers, sc.QoS, sc.RatePerClient = Shared, 1, 1, []mqtt.QoS{1}, 20
			})
			if q := rep.Contract.QoS[0]; q.OutOfOrder != 19 || q.Lost != 1 || q.Held { // the last has no next
				t.Errorf("account %+v", q)
			}
		})
	})
}

// And so is what it does to the backlog of a Session.
func TestFaultsOfResumed(t *testing.T) {
	const sent = 200
	for _, tt := range []struct {
		name string
		qos  mqtt.QoS
		f    fault
		want QoS
	}{
		{"held", 1, deliver, QoS{Delivered: sent, Held: true}},
		{"held", 2, deliver, QoS{Delivered: sent, Held: true}},
		{"lost", 1, lose, QoS{Delivered: sent - 20, Lost: 20, LossRatio: 0.1}},
		{"lost", 2, lose, QoS{Delivered: sent - 20, Lost: 20, LossRatio: 0.1}},
		{"twice", 1, twice, QoS{Delivered: sent, Duplicates: 20, Held: true}},
		{"twice", 2, twice, QoS{Delivered: sent, Duplicates: 20}},
		{"out of order", 2, swap, QoS{Delivered: sent - 1, Lost: 1, LossRatio: 0.005, OutOfOrder: 19}},
	} {
		for _, version := range []mqtt.Version{mqtt.V311, mqtt.V50} {
			t.Run(tt.name+" QoS "+string('0'+byte(tt.qos))+" "+version.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newStub()
					s.on = everyTenth(tt.f)
					rep := runStub(t, s, func(sc *Scenario) {
						sc.Role, sc.QoS, sc.RatePerClient, sc.Client.Version = RoleResume, []mqtt.QoS{tt.qos}, 20, version
					})
					want := tt.want
					want.QoS, want.Sent, want.Expected = int(tt.qos), sent, sent
					if len(rep.Contract.QoS) != 1 || rep.Contract.QoS[0] != want {
						t.Errorf("account %+v, want %+v", rep.Contract.QoS, want)
					}
					if r := rep.Resume; r == nil || r.Sessions != 1 || r.Present != 1 || r.Backlog != sent || r.Recovered != want.Delivered {
						t.Errorf("resume %+v", r)
					}
				})
			})
		}
	}
}

// A Session that is gone is told, and what it should have kept is lost.
func TestSessionLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		s.forget = true
		rep := runStub(t, s, func(sc *Scenario) { sc.Role, sc.QoS, sc.RatePerClient = RoleResume, []mqtt.QoS{1}, 20 })
		if r := rep.Resume; r.Sessions != 1 || r.Absent != 1 || rep.Verdict != ContractBroken || rep.Contract.QoS[0].Lost != 200 || len(rep.Reasons) != 2 {
			t.Errorf("%+v, %s %q", r, rep.Verdict, rep.Reasons)
		}
	})
}

// A rule with abort ends the run, and says so.
func TestAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		s.holdFrom, s.holdFor = 2*time.Second, 2500*time.Millisecond // it ends between two looks at the rule
		rule, err := ParseRule("e2e.p90 < 500ms")
		if err != nil {
			t.Fatal(err)
		}
		rule.Abort, rule.After = true, time.Second
		rep := runStub(t, s, func(sc *Scenario) {
			sc.Duration, sc.RatePerClient, sc.Rules = 30*time.Second, 100, []Rule{rule}
		})
		// The load begins a millisecond after the clock that looks each second.
		if rep.Aborted != rule.Text || rep.Interrupted || rep.Verdict != ThresholdFailed || rep.Measured != 4999*time.Millisecond {
			t.Errorf("aborted %q, interrupted %v, %s %q after %v", rep.Aborted, rep.Interrupted, rep.Verdict, rep.Reasons, rep.Measured)
		}
	})
}
