package bench

import (
	"context"
	"net/url"
	"runtime"
	"sync"

	"mqt/mqtt"
)

// maxViolations is how many are told one by one.
const maxViolations = 10

// violations are the first that were found.
type violations struct {
	mu   sync.Mutex
	list []Violation
}

func (v *violations) add(make func() Violation) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.list) < maxViolations {
		v.list = append(v.list, make())
	}
}

// report makes the Report. All clients have ended.
func (r *runner) report(ctx context.Context) *Report {
	r.gather(measured) // nothing but what came with the goodbye
	t := r.total
	rep := &Report{
		Version: ReportVersion, RunID: r.s.RunID, Started: r.began.Round(0), Target: r.target(), Load: r.load(),
		Interrupted: ctx.Err() != nil, Measured: r.measuredFor, Drained: r.drainedFor,
		Sent: r.count(t.sent, t.sentBytes), Acked: r.count(t.acked, t.ackedBytes),
		Delivered: r.count(t.delivered, t.deliveredBytes),
		Refused:   r.refused.all(), Unsent: t.due - t.sent,
		Connections: Connections{
			Asked: len(r.pubs) + len(r.subs), Connected: int(r.connected.Load()), Failed: int(r.failed.Load()),
			Failures: r.failures.all(), Lost: int(r.lost.Load()), Losses: r.losses.all(), Took: r.connectTook,
		},
		Contract: r.contract(), Seconds: r.seconds,
		Latency: Latency{
			Connect: t.distribution(connect), SubAck: t.distribution(subAck),
			PubAck: t.distribution(pubAck), PubComp: t.distribution(pubComp),
			E2E:     t.distribution(endToEnd0, endToEnd1, endToEnd2),
			E2EQoS0: t.distribution(endToEnd0), E2EQoS1: t.distribution(endToEnd1), E2EQoS2: t.distribution(endToEnd2),
			E2EService: t.distribution(service), Lag: t.distribution(lag),
		},
		Generator: Generator{CPU: r.cpuAll, Cores: runtime.GOMAXPROCS(0), LagP99: t.quantile(99, lag)},
	}
	if t.due > 0 && !r.s.Max {
		rep.Generator.Achieved = float64(t.sent) / float64(t.due)
	}
	if wall := r.measuredFor + r.drainedFor; wall > 0 {
		rep.Generator.CPUShare = float64(r.cpuAll) / float64(wall) / float64(rep.Generator.Cores)
	}
	rep.judge(t.missed, t.due)
	return rep
}

func (r *runner) count(n, bytes int64) Count {
	return Count{N: n, Bytes: bytes, Rate: perSecond(float64(n), r.measuredFor)}
}

func (r *runner) target() Target {
	t := Target{URL: r.s.Target, InProcess: r.s.InProcess, Protocol: r.protocol}
	if t.URL == "" {
		t.URL = redacted(r.s.Client.URL)
		if e := r.s.Client.Endpoint; e != nil {
			t.URL = e.String()
		}
	}
	for _, p := range r.pubs {
		if p.c == nil {
			continue
		}
		ps := p.c.Connack().Properties
		t.ReceiveMaximum = int(ps.NumberOr(mqtt.ReceiveMaximum, 0))
		t.MaximumPacketSize = int(ps.NumberOr(mqtt.MaximumPacketSize, 0))
		t.ServerKeepAlive = int(ps.NumberOr(mqtt.ServerKeepAlive, 0))
		break
	}
	return t
}

func redacted(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return u.Redacted()
}

func (r *runner) load() Load {
	s := &r.s
	numbers := func(qs []mqtt.QoS) []int {
		var n []int
		for _, q := range qs {
			n = append(n, int(q))
		}
		return n
	}
	return Load{
		Shape: s.Shape, Publishers: s.Publishers, Subscribers: s.Subscribers,
		QoS: numbers(s.QoS), SubscriberQoS: numbers(s.SubscriberQoS), Size: s.Size, Tracked: !s.NoTracking,
		Rate: s.Rate, Max: s.Max, InFlight: s.InFlight, WarmUp: s.WarmUp, Duration: s.Duration, Count: s.Count,
		TopicPrefix: s.TopicPrefix,
	}
}

// contract adds up the ledger.
func (r *runner) contract() Contract {
	c := Contract{Checked: !r.s.NoTracking, Corrupt: r.total.corrupt, Unexpected: r.total.unexpected, Strange: r.total.strange}
	if !c.Checked {
		return c
	}
	var qos [3]QoS
	var used [3]bool
	counted := make([][3]bool, len(r.pubs)) // publishers, by the QoS of their deliveries
	for _, s := range r.subs {
		if !s.active || s.broken {
			continue // its subscription has not lasted
		}
		for k := range s.streams {
			p := r.pubs[r.s.source(s.id, k)]
			if p.c == nil {
				continue
			}
			q := s.deliveryQoS(k)
			used[q] = true
			if !counted[p.id][q] {
				counted[p.id][q] = true
				qos[q].Sent += int64(p.seq.Load()) //nolint:gosec // far below
				qos[q].InDoubt += p.unsure.n - p.denied
			}
			r.settle(&qos[q], s, k, p, q)
		}
	}
	c.Held = c.Corrupt == 0 && c.Unexpected == 0
	for q := range qos {
		if !used[q] {
			continue
		}
		a := &qos[q]
		a.QoS = q
		if a.Expected > 0 {
			a.LossRatio = float64(a.Lost) / float64(a.Expected)
		}
		// [MQTT-4.3.1-1] at most once, [MQTT-4.3.2-1] at least once,
		// [MQTT-4.3.3-1] exactly once, [MQTT-4.6.0-5] in order.
		a.Held = a.OutOfOrder == 0 && (q == 0 || a.Lost == 0) && (q == 1 || a.Duplicates == 0)
		c.Held = c.Held && a.Held
		c.QoS = append(c.QoS, *a)
	}
	c.Violations = r.violations.list
	return c
}

// settle adds one stream to the account of its QoS.
func (r *runner) settle(a *QoS, s *subscriber, k int, p *publisher, q mqtt.QoS) {
	sm := &s.streams[k]
	sent := p.seq.Load()
	a.Delivered += sm.got
	a.Duplicates += sm.duplicates
	a.DuplicatesDUP += sm.dup
	a.OutOfOrder += sm.disorder
	if p.qos == mqtt.QoS0 || q == mqtt.QoS0 {
		a.Expected += int64(sent)            //nolint:gosec // far below
		a.Lost += max(0, int64(sent)-sm.got) //nolint:gosec // far below
		return
	}
	a.Expected += int64(sent) - p.unsure.n //nolint:gosec // far below
	sm.missing(sent, func(seq uint64) bool {
		if !p.unsure.has(seq) {
			a.Lost++
			r.violations.add(func() Violation { return s.violation("lost", q, p.id, seq) })
		}
		return true
	})
}
