package bench

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// runStub makes a run in a bubble of time.
func runStub(t *testing.T, s *stub, change func(*Scenario)) *Report {
	t.Helper()
	sc := s.scenario()
	if change != nil {
		change(&sc)
	}
	rep, err := Run(t.Context(), sc, nil)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// A Server that stands still for one second in ten delays a tenth of the
// messages, by 1 s to 0: the 99th percentile of all is 0.9 s, whatever the
// client could send meanwhile.
func TestStallIsMeasured(t *testing.T) {
	for _, tt := range []struct {
		name     string
		qos      mqtt.QoS
		inFlight int
	}{{"QoS 0", 0, 0}, {"QoS 1", 1, 0}, {"QoS 1 one at a time", 1, 1}, {"QoS 2", 2, 0}, {"QoS 2 one at a time", 2, 1}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStub()
				s.holdFrom, s.holdFor = 5*time.Second, time.Second
				rep := runStub(t, s, func(sc *Scenario) {
					sc.QoS, sc.InFlight, sc.RatePerClient = []mqtt.QoS{tt.qos}, tt.inFlight, 100
				})
				d := rep.Latency.E2E
				if d.N != 1000 || d.P50 > 10*time.Millisecond || d.P99 < 880*time.Millisecond || d.P99 > 920*time.Millisecond ||
					d.Max < 980*time.Millisecond || d.Max > 1020*time.Millisecond {
					t.Errorf("end to end %+v, want p50 0, p99 0.9 s and max 1 s of 1000", d)
				}
				ack := map[mqtt.QoS]*Distribution{0: d, 1: rep.Latency.PubAck, 2: rep.Latency.PubComp}[tt.qos]
				if ack.P99 < 880*time.Millisecond || ack.P99 > 940*time.Millisecond {
					t.Errorf("acknowledged after %+v, want p99 0.9 s", ack)
				}
				if rep.Latency.Lag.Max > time.Millisecond {
					t.Errorf("lag %v although the generator was never late", rep.Latency.Lag.Max)
				}
				if rep.Verdict != Pass {
					t.Errorf("verdict %s: %q", rep.Verdict, rep.Reasons)
				}
				if slow := tt.inFlight == 1; slow && rep.Latency.E2EService.P99 > 10*time.Millisecond+time.Second {
					t.Errorf("service p99 %v", rep.Latency.E2EService.P99)
				}
			})
		})
	}
}

// Each fault of the Server is counted exactly.
func TestFaultsAreCounted(t *testing.T) {
	every := func(n uint64, f fault) func(uint64, *mqtt.Publish) fault {
		return func(seq uint64, _ *mqtt.Publish) fault {
			if seq%n == n-1 {
				return f
			}
			return deliver
		}
	}
	const sent = 200
	for _, tt := range []struct {
		name string
		qos  mqtt.QoS
		f    fault
		want QoS // of sent messages
		v    Verdict
	}{
		{"held", 1, deliver, QoS{Delivered: sent, Held: true}, Pass},
		{"lost", 0, lose, QoS{Delivered: 180, Lost: 20, LossRatio: 0.1, Held: true}, Pass},
		{"lost", 1, lose, QoS{Delivered: 180, Lost: 20, LossRatio: 0.1}, ContractBroken},
		{"lost", 2, lose, QoS{Delivered: 180, Lost: 20, LossRatio: 0.1}, ContractBroken},
		{"twice", 0, twice, QoS{Delivered: sent, Duplicates: 20}, ContractBroken},
		{"twice", 1, twice, QoS{Delivered: sent, Duplicates: 20, Held: true}, Pass},
		{"twice with DUP", 1, twiceD, QoS{Delivered: sent, Duplicates: 20, DuplicatesDUP: 20, Held: true}, Pass},
		{"twice", 2, twice, QoS{Delivered: sent, Duplicates: 20}, ContractBroken},
		{"out of order", 0, swap, QoS{Delivered: 199, Lost: 1, LossRatio: 0.005, OutOfOrder: 19}, ContractBroken},
		{"out of order", 1, swap, QoS{Delivered: 199, Lost: 1, LossRatio: 0.005, OutOfOrder: 19}, ContractBroken}, // the last has no next
		{"out of order", 2, swap, QoS{Delivered: 199, Lost: 1, LossRatio: 0.005, OutOfOrder: 19}, ContractBroken},
	} {
		for _, version := range []mqtt.Version{mqtt.V311, mqtt.V50} {
			t.Run(tt.name+" QoS "+string('0'+byte(tt.qos))+" "+version.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newStub()
					s.on = every(10, tt.f)
					rep := runStub(t, s, func(sc *Scenario) { sc.QoS, sc.RatePerClient, sc.Client.Version = []mqtt.QoS{tt.qos}, 20, version })
					want := tt.want
					want.QoS, want.Sent, want.Expected = int(tt.qos), sent, sent
					if len(rep.Contract.QoS) != 1 || rep.Contract.QoS[0] != want {
						t.Errorf("account %+v, want %+v", rep.Contract.QoS, want)
					}
					if rep.Verdict != tt.v {
						t.Errorf("verdict %s %q, want %s", rep.Verdict, rep.Reasons, tt.v)
					}
					if rep.Contract.Held != (tt.v == Pass) {
						t.Errorf("contract held: %v", rep.Contract.Held)
					}
					if broken := tt.v == ContractBroken; broken != (len(rep.Contract.Violations) > 0) {
						t.Errorf("violations %+v", rep.Contract.Violations)
					}
				})
			})
		}
	}
}

func TestViolationsSayWhich(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		s.on = func(seq uint64, _ *mqtt.Publish) fault {
			return map[uint64]fault{7: lose, 20: twice, 30: swap}[seq]
		}
		rep := runStub(t, s, func(sc *Scenario) { sc.QoS = []mqtt.QoS{2} })
		want := []Violation{
			{Kind: "duplicate", QoS: 2, Seq: 20, At: 2 * time.Second},
			{Kind: "order", QoS: 2, Seq: 30, At: 3100 * time.Millisecond},
			{Kind: "lost", QoS: 2, Seq: 7},
		}
		if len(rep.Contract.Violations) != len(want) {
			t.Fatalf("violations %+v", rep.Contract.Violations)
		}
		for i, v := range rep.Contract.Violations {
			want[i].Publisher, want[i].Subscriber, want[i].Topic = "benchtestp0", "benchtests0", "bench/test/0"
			if d := v.At - want[i].At; d < 0 || d > 10*time.Millisecond {
				t.Errorf("violation at %v, want %v", v.At, want[i].At)
			}
			if v.At = want[i].At; v != want[i] {
				t.Errorf("violation %+v, want %+v", v, want[i])
			}
		}
	})
}

func TestStrangeMessages(t *testing.T) {
	for _, tt := range []struct {
		name    string
		f       fault
		count   func(*Contract) int64
		verdict Verdict
		size    int
	}{
		{"corrupt", spoil, func(c *Contract) int64 { return c.Corrupt }, ContractBroken, 64},
		{"never sent", wrong, func(c *Contract) int64 { return c.Unexpected }, ContractBroken, 64},
		{"of somebody else", another, func(c *Contract) int64 { return c.Strange }, Pass, 64},
		{"of somebody else, compact", another, func(c *Contract) int64 { return c.Strange }, Pass, 16},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStub()
				s.on = func(seq uint64, _ *mqtt.Publish) fault {
					if seq%25 == 0 {
						return tt.f
					}
					return deliver
				}
				rep := runStub(t, s, func(sc *Scenario) { sc.Size, sc.QoS, sc.RatePerClient = tt.size, []mqtt.QoS{0}, 20 })
				if n := tt.count(&rep.Contract); n != 8 {
					t.Errorf("counted %d, want 8: %+v", n, rep.Contract)
				}
				if rep.Verdict != tt.verdict {
					t.Errorf("verdict %s %q", rep.Verdict, rep.Reasons)
				}
			})
		})
	}
}

// What the Server refuses need not be delivered, and is no success.
func TestRefusedMessages(t *testing.T) {
	for _, qos := range []mqtt.QoS{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			s := newStub()
			s.deny = func(seq uint64) mqtt.ReasonCode {
				if seq%10 == 3 {
					return mqtt.QuotaExceeded
				}
				return mqtt.Success
			}
			rep := runStub(t, s, func(sc *Scenario) { sc.QoS, sc.RatePerClient = []mqtt.QoS{qos}, 20 })
			want := QoS{QoS: int(qos), Sent: 200, Expected: 180, Delivered: 180, Held: true}
			if rep.Contract.QoS[0] != want {
				t.Errorf("account %+v, want %+v", rep.Contract.QoS[0], want)
			}
			if rep.Acked.N != 180 || len(rep.Refused) != 1 || rep.Refused[0].N != 20 || rep.Verdict != ThresholdFailed {
				t.Errorf("acked %d, refused %+v, verdict %s", rep.Acked.N, rep.Refused, rep.Verdict)
			}
		})
	}
}

func TestShapes(t *testing.T) {
	for _, tt := range []struct {
		shape       Shape
		pubs, subs  int
		qos, subQoS []mqtt.QoS
		delivered   int64
		account     []int64 // expected, by delivery QoS
	}{
		{Pairs, 3, 3, []mqtt.QoS{0, 1, 2}, nil, 300, []int64{100, 100, 100}},
		{Pairs, 2, 2, []mqtt.QoS{2}, []mqtt.QoS{0, 1}, 200, []int64{100, 100}},
		{FanIn, 7, 2, []mqtt.QoS{0, 1}, nil, 700, []int64{400, 300}},
		{FanIn, 3, 1, []mqtt.QoS{2}, []mqtt.QoS{1}, 300, []int64{0, 300}},
		{FanOut, 1, 5, []mqtt.QoS{1}, nil, 500, []int64{0, 500}},
		{FanOut, 2, 5, []mqtt.QoS{0, 2}, nil, 500, []int64{300, 0, 200}},
	} {
		t.Run(string(tt.shape), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rep := runStub(t, newStub(), func(sc *Scenario) {
					sc.Shape, sc.Publishers, sc.Subscribers, sc.QoS, sc.SubscriberQoS = tt.shape, tt.pubs, tt.subs, tt.qos, tt.subQoS
					sc.WarmUp = time.Second
				})
				if rep.Sent.N != int64(tt.pubs)*100 || rep.Delivered.N != tt.delivered || rep.Verdict != Pass {
					t.Errorf("sent %d, delivered %d, %s %q", rep.Sent.N, rep.Delivered.N, rep.Verdict, rep.Reasons)
				}
				got := make([]int64, len(tt.account))
				for _, q := range rep.Contract.QoS {
					got[q.QoS] = q.Expected
					if !q.Held || q.Delivered != q.Expected {
						t.Errorf("account %+v", q)
					}
				}
				for q, n := range tt.account {
					if got[q] != n {
						t.Errorf("expected %d at QoS %d, want %d", got[q], q, n)
					}
				}
				if rep.Sent.Rate != float64(tt.pubs)*10 {
					t.Errorf("rate %v", rep.Sent.Rate)
				}
			})
		})
	}
}

func TestConnectFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		s.refuse = func(n int) bool { return n%10 == 0 }
		rep := runStub(t, s, func(sc *Scenario) { sc.Publishers, sc.Connecting = 20, 1 })
		// Of 20 subscribers and 20 publishers, numbers 10, 20, 30 and 40 fail: pairs 9 and 19 of both.
		c := rep.Connections
		if c.Asked != 40 || c.Connected != 36 || c.Failed != 4 || len(c.Failures) != 1 || c.Failures[0].N != 4 {
			t.Errorf("connections %+v", c)
		}
		if rep.Verdict != ThresholdFailed || rep.Sent.N != 18*100 || !rep.Contract.Held {
			t.Errorf("verdict %s %q, sent %d", rep.Verdict, rep.Reasons, rep.Sent.N)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		s.refuse = func(int) bool { return true }
		_, err := Run(t.Context(), s.scenario(), nil)
		if e, ok := errors.AsType[*client.ConnectError](err); !ok || e.ReasonCode != mqtt.ServerBusy {
			t.Errorf("error %v, want Server busy", err)
		}
	})
}

func TestSubscriptionDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		s.grant = func(mqtt.QoS) mqtt.ReasonCode { return mqtt.NotAuthorized }
		_, err := Run(t.Context(), s.scenario(), nil)
		if e, ok := errors.AsType[*client.SubscribeError](err); !ok || e.ReasonCode() != mqtt.NotAuthorized {
			t.Errorf("error %v, want not authorized", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		s.grant = func(mqtt.QoS) mqtt.ReasonCode { return 0 }
		if _, err := Run(t.Context(), s.scenario(), nil); err == nil {
			t.Error("a lower QoS was granted, and no error")
		}
	})
}

func TestProbeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		sc := s.scenario()
		sc.Publishers, sc.TopicPrefix = 3, "probe"
		s.grant = func(q mqtt.QoS) mqtt.ReasonCode {
			clear(s.subs) // acknowledged and forgotten
			return mqtt.ReasonCode(q)
		}
		_, err := Run(t.Context(), sc, nil)
		if e, ok := errors.AsType[*ProbeError](err); !ok || e.Missing != 2 || e.Of != 3 {
			t.Errorf("error %v, want 2 of 3 subscriptions without a message", err)
		}
	})
}

func TestLostConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		s.cutAfter = 50
		rep := runStub(t, s, func(sc *Scenario) { sc.RatePerClient = 30 })
		if c := rep.Connections; c.Lost != 1 || len(c.Losses) != 1 || rep.Verdict != ThresholdFailed {
			t.Errorf("connections %+v, verdict %s %q", c, rep.Verdict, rep.Reasons)
		}
		if len(rep.Contract.QoS) != 0 {
			t.Errorf("a subscription that was cut off is held to %+v", rep.Contract.QoS)
		}
	})
}

// Interrupting the measurement gives the report so far, which concludes nothing unless that is allowed.
func TestInterrupt(t *testing.T) {
	for want, ok := range map[Verdict]bool{Inconclusive: false, Pass: true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			s := newStub()
			sc := s.scenario()
			sc.RatePerClient, sc.InconclusiveOK = 100, ok
			rep, err := Run(ctx, sc, func(p Snapshot) {
				if p.Phase == Measuring && p.Elapsed >= 3*time.Second {
					cancel()
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if !rep.Interrupted || rep.Sent.N < 290 || rep.Sent.N > 310 || rep.Verdict != want || rep.Unsent != 0 ||
				rep.Measured < 2900*time.Millisecond || rep.Measured > 3100*time.Millisecond {
				t.Errorf("interrupted %v, sent %d in %v, unsent %d, %s %q",
					rep.Interrupted, rep.Sent.N, rep.Measured, rep.Unsent, rep.Verdict, rep.Reasons)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newStub()
		sc := s.scenario()
		sc.WarmUp = 5 * time.Second
		rep, err := Run(ctx, sc, func(p Snapshot) {
			if p.Phase == WarmingUp && p.Elapsed >= time.Second {
				cancel()
			}
		})
		if err != nil || !rep.Interrupted || rep.Verdict != Inconclusive || rep.Sent.N != 0 || rep.Connections.Connected != 2 {
			t.Errorf("%+v, %v", rep, err)
		}
	})
}

func TestCount(t *testing.T) {
	for _, closed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			rep := runStub(t, newStub(), func(sc *Scenario) {
				sc.Publishers, sc.QoS = 7, []mqtt.QoS{0, 1, 2}
				sc.Count, sc.Duration = 1234, 0
				if sc.Max = closed; closed {
					sc.RatePerClient = 0
				}
			})
			if rep.Sent.N != 1234 || rep.Delivered.N != 1234 || rep.Verdict != Pass {
				t.Errorf("closed %v: sent %d, delivered %d, %s %q", closed, rep.Sent.N, rep.Delivered.N, rep.Verdict, rep.Reasons)
			}
			if !closed && (rep.Measured < 17600*time.Millisecond || rep.Measured > 17700*time.Millisecond) {
				t.Errorf("took %v for 1234 messages at 70 a second", rep.Measured)
			}
		})
	}
}

// In a closed loop a QoS 0 message that is lost is not waited for for ever.
func TestClosedLoopGoesOnAfterLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		s.on = func(seq uint64, _ *mqtt.Publish) fault {
			if seq%3 == 0 {
				return lose
			}
			return deliver
		}
		rep := runStub(t, s, func(sc *Scenario) {
			sc.QoS, sc.RatePerClient, sc.Max, sc.InFlight, sc.Count = []mqtt.QoS{0}, 0, true, 10, 300
			sc.Duration = time.Hour
		})
		if q := rep.Contract.QoS[0]; q.Sent != 300 || q.Lost != 100 || !q.Held {
			t.Errorf("account %+v", q)
		}
	})
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		sc := s.scenario()
		sc.WarmUp = 2 * time.Second
		var phases []Phase
		var last Snapshot
		_, err := Run(t.Context(), sc, func(p Snapshot) {
			if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
				phases = append(phases, p.Phase)
			}
			if p.Phase == Measuring {
				last = p
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []Phase{Connecting, Subscribing, Probing, WarmingUp, Measuring, Draining}
		if len(phases) != len(want) {
			t.Fatalf("phases %v", phases)
		}
		for i, p := range want {
			if phases[i] != p {
				t.Errorf("phase %d is %s, want %s", i, phases[i], p)
			}
		}
		if last.Connected != 2 || last.Sent < 90 || last.SentRate != 10 || last.DeliveredRate != 10 || last.Of != 10*time.Second {
			t.Errorf("last snapshot %+v", last)
		}
	})
}

func TestInconclusive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rep := runStub(t, newStub(), func(sc *Scenario) { sc.Duration = 5 * time.Second })
		if rep.Sent.N != 50 || rep.Verdict != Inconclusive || len(rep.Reasons) != 1 {
			t.Errorf("sent %d, %s %q", rep.Sent.N, rep.Verdict, rep.Reasons)
		}
	})
}

func TestNoTracking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rep := runStub(t, newStub(), func(sc *Scenario) {
			sc.NoTracking, sc.Size, sc.WarmUp = true, 3, time.Second
		})
		if rep.Contract.Checked || rep.Latency.E2E != nil || rep.Sent.N != 100 || rep.Delivered.N != 100 || rep.Acked.N != 100 || rep.Verdict != Pass {
			t.Errorf("%+v", rep)
		}
	})
}
