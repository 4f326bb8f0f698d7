package bench

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// fillRole sets the defaults of some roles.
func (s *Scenario) fillRole() {
	switch s.Role {
	case RoleStorm:
		s.Waves = cmp.Or(s.Waves, DefaultWaves)
		s.Pick = cmp.Or(s.Pick, DefaultPick)
		s.Cut = cmp.Or(s.Cut, RST)
		s.Jitter = cmp.Or(s.Jitter, DefaultJitter)
	case RoleResume:
		s.Duration = cmp.Or(s.Duration, DefaultBacklog)
		s.WarmUp = cmp.Or(s.WarmUp, -1)
	}
}

// Plan makes the scenario a Plan, defaults filled in.
func (s Scenario) Plan() (Plan, error) {
	if s.RunID == "" {
		s.RunID = newRunID()
	}
	if err := s.Validate(); err != nil {
		return Plan{}, err
	}
	s.fill()
	p := Plan{
		Client: s.Client, Dial: s.Dial, Target: s.Target, InProcess: s.InProcess, Tool: s.Tool, Role: s.Role, RunID: s.RunID, Seed: s.Seed,
		Rules: s.Rules, NoDefaultRules: s.NoDefaultRules, InconclusiveOK: s.InconclusiveOK, NoTracking: s.NoTracking, Keep: s.Keep, Precise: s.Precise,
		Connecting: s.Connecting, ConnectRate: s.ConnectRate, Watch: s.Watch, Ceilings: s.Ceilings,
		Shard: s.Shard, StartAt: s.StartAt,
	}
	s.groups(&p)
	s.steps(&p)
	p.load = s.load(&p)
	return p, nil
}

func (s *Scenario) groups(p *Plan) {
	name := func(r Role, letter byte) func(int) string {
		if s.ClientID != nil {
			return func(i int) string { return s.ClientID(r, i) }
		}
		// At most the 23 characters that any Server takes [MQTT-3.1.3-5].
		return func(i int) string { return "bench" + s.RunID + string(letter) + strconv.Itoa(i) }
	}
	setup := func(r Role) func(int, *client.Options) error {
		if s.Setup == nil {
			return nil
		}
		return func(i int, o *client.Options) error { return s.Setup(r, i, o) }
	}
	conns := Group{Name: "conns", Role: RoleConn, ClientID: name(RoleConn, 'c'), Setup: setup(RoleConn)}
	subs := Group{
		Name: "subs", Role: RoleSub, Clients: s.Subscribers, ClientID: name(RoleSub, 's'), Setup: setup(RoleSub),
		Topic: s.filter, QoS: s.SubscriberQoS, KeepSession: s.KeepSession,
	}
	pubs := Group{
		Name: "pubs", Role: RolePub, Clients: s.Publishers, ClientID: name(RolePub, 'p'), Setup: setup(RolePub), Topic: s.topic,
		QoS: s.QoS, Retain: s.Retain, Size: s.Size, MaxSize: s.MaxSize, Payload: s.Payload, Rate: s.Rate, Max: s.Max, InFlight: s.InFlight,
		Arrival: s.Arrival, Burst: s.Burst,
	}
	switch s.Role {
	case RoleConn:
		conns.Clients = s.Publishers + s.Subscribers
		p.Groups = []Group{conns}
		return
	case RolePub:
		p.Groups = []Group{pubs}
		return
	case RoleSub:
		if len(subs.QoS) == 0 {
			subs.QoS = s.QoS
		}
		p.Groups = []Group{subs}
		return
	case RoleRetained:
		pubs.Retain = true
	case RoleResume:
		subs.KeepSession = true
	case RoleStorm:
		for _, g := range []*Group{&subs, &pubs} {
			g.Reconnect, g.KeepSession, g.After, g.Jitter = true, true, s.After, s.Jitter
		}
	}
	p.Groups = []Group{subs, pubs}
	for i := range p.Groups {
		if g := &p.Groups[i]; g.KeepSession {
			g.Expiry = cmp.Or(s.Client.SessionExpiryInterval, DefaultExpiry)
		}
	}
}

func (s *Scenario) steps(p *Plan) {
	add := func(steps ...Step) { p.Steps = append(p.Steps, steps...) }
	measure := Step{Name: Measuring, Do: DoLoad, Record: true, For: s.Duration, Count: s.Count}
	drain := Step{Name: Draining, Do: DoDrain, Record: true, For: s.Drain, Quiet: s.Quiet}
	setup := []Step{{Name: Connecting, Do: DoConnect}, {Name: Subscribing, Do: DoSubscribe}, {Name: Probing, Do: DoProbe}}
	switch s.Role {
	case RoleConn:
		add(setup[0], Step{Name: Holding, Do: DoHold, Record: true, For: cmp.Or(s.Hold, s.Duration)})
		return
	case RoleSub:
		add(setup[0], setup[1], Step{Name: Measuring, Do: DoHold, Record: true, For: s.Duration})
		return
	case RolePub:
		add(setup[0])
	case RoleRetained:
		add(Step{Name: Connecting, Do: DoConnect, Groups: []string{"pubs"}}, Step{Name: Retaining, Do: DoRetain},
			Step{Name: Connecting, Do: DoConnect, Groups: []string{"subs"}},
			Step{Name: Measuring, Do: DoSubscribe, Record: true, For: s.Duration, Quiet: s.Quiet})
		return
	case RoleResume:
		add(setup...)
		add(Step{Name: Leaving, Do: DoDisconnect, Groups: []string{"subs"}}, measure,
			Step{Name: Resuming, Do: DoResume, Record: true, Groups: []string{"subs"}, For: max(s.Drain, time.Second), Quiet: s.Quiet}, drain)
		return
	default:
		add(setup...)
	}
	if s.Ramp > 0 && !s.Max {
		add(Step{Name: "ramp", Do: DoLoad, For: s.Ramp, From: 0, To: 1})
	}
	if s.WarmUp > 0 {
		add(Step{Name: WarmingUp, Do: DoLoad, For: s.WarmUp})
	}
	switch {
	case s.Role == RoleStorm:
		for i := range s.Waves {
			each := s.Duration / time.Duration(s.Waves)
			add(Step{Name: Phase(fmt.Sprintf("wave %d", i+1)), Do: DoLoad, Record: true, For: each,
				Actions: []Action{{Kind: s.Cut, Pick: s.Pick, Over: min(s.Over, each)}}})
		}
	case len(s.Levels) > 0:
		for _, l := range s.Levels {
			f := l.Rate / s.Rate
			add(Step{Name: Phase(fmt.Sprintf("%.6g/s", l.Rate)), Do: DoLoad, Record: true, For: l.For, From: f, To: f})
		}
	default:
		add(measure)
	}
	add(drain)
	if s.Hold > 0 {
		add(Step{Name: Holding, Do: DoHold, For: s.Hold})
	}
}

// topic is the Topic Name of publisher i.
func (s *Scenario) topic(i int) string {
	if s.Topic != nil {
		return s.Topic(i)
	}
	switch s.Shape {
	case FanIn:
		return s.TopicPrefix + "/" + strconv.Itoa(s.partner(i, s.Subscribers)) + "/" + strconv.Itoa(i)
	case Shared, Mesh:
		return s.TopicPrefix + s.apart(i) + "/" + strconv.Itoa(i)
	}
	return s.TopicPrefix + "/" + strconv.Itoa(i)
}

// partner is which of n clients of the other side client i has to do with: one
// of its own shard, which they take in turns.
func (s *Scenario) partner(i, n int) int {
	if s.Shard == nil || s.Shard.Count < 2 || n < s.Shard.Count { // the last is refused
		return i % n
	}
	shards := s.Shard.Count
	own := i % shards
	return i/shards%((n-own+shards-1)/shards)*shards + own
}

// apart is a level for the shard of client i.
func (s *Scenario) apart(i int) string {
	if s.Shard == nil || s.Shard.Count < 2 {
		return ""
	}
	return "/s" + strconv.Itoa(i%s.Shard.Count)
}

// filter is the Topic Filter of subscriber j.
func (s *Scenario) filter(j int) string {
	if s.Filter != nil {
		return s.Filter(j)
	}
	switch s.Shape {
	case FanIn:
		return s.TopicPrefix + "/" + strconv.Itoa(j) + "/+"
	case FanOut:
		j = s.partner(j, s.Publishers)
	case Shared:
		return "$share/" + s.RunID + "/" + s.TopicPrefix + s.apart(j) + "/+"
	case Mesh:
		return s.TopicPrefix + s.apart(j) + "/+"
	}
	return s.TopicPrefix + "/" + strconv.Itoa(j)
}

// load is the scenario for the report.
func (s *Scenario) load(p *Plan) Load {
	numbers := func(qs []mqtt.QoS) []int {
		var n []int
		for _, q := range qs {
			n = append(n, int(q))
		}
		return n
	}
	l := Load{
		Role: s.Role, Shape: s.Shape, QoS: numbers(s.QoS), SubscriberQoS: numbers(s.SubscriberQoS), Size: s.Size, Tracked: !s.NoTracking,
		Rate: s.Rate, Max: s.Max, InFlight: s.InFlight, WarmUp: s.WarmUp, Duration: s.Duration, Count: s.Count, TopicPrefix: s.TopicPrefix,
	}
	switch s.Role {
	case RoleConn:
		l.QoS, l.SubscriberQoS, l.Shape, l.Rate, l.Size, l.WarmUp, l.Tracked = nil, nil, "", 0, 0, 0, false
	case RoleSub:
		l.Rate, l.Size, l.WarmUp, l.Shape = 0, 0, 0, ""
	case RoleRetained:
		l.Rate, l.WarmUp = 0, 0
	case RolePub:
		l.Shape = ""
	}
	for i := range p.Groups {
		switch g := &p.Groups[i]; g.Role {
		case RoleConn:
			l.Connections += g.Clients
		case RolePub:
			l.Publishers += g.Clients
		default:
			l.Subscribers += g.Clients
		}
	}
	return l
}

// planned is the load of a Plan that no Scenario made.
func (p *Plan) planned() Load {
	l := Load{Role: p.Role, Tracked: !p.NoTracking}
	for i := range p.Groups {
		g := &p.Groups[i]
		switch g.Role {
		case RoleConn:
			l.Connections += g.Clients
		case RolePub:
			l.Publishers += g.Clients
			l.Rate += g.Rate
			l.Size = max(l.Size, g.Size, g.MaxSize)
			l.Max = l.Max || g.Max
			for _, q := range g.QoS {
				l.QoS = append(l.QoS, int(q))
			}
		default:
			l.Subscribers += g.Clients
		}
	}
	for i := range p.Steps {
		if s := &p.Steps[i]; s.Record && s.Do != DoDrain {
			l.Duration += s.For
		}
	}
	return l
}

// hash tells loads apart: the same load has the same, whatever the Server, the
// run and the seed.
func (p *Plan) configHash() string {
	l := p.load
	l.TopicPrefix = ""
	type step struct {
		Step
		Actions int
	}
	var steps []step
	for _, s := range p.Steps {
		steps = append(steps, step{s, len(s.Actions)})
	}
	var groups []string
	for i := range p.Groups {
		g := &p.Groups[i]
		groups = append(groups, fmt.Sprint(g.Name, g.Role, g.Clients, g.QoS, g.Retain, g.Size, g.MaxSize, g.Rate, g.Max, g.InFlight,
			g.Arrival, g.Burst, g.KeepSession, g.Expiry, g.Reconnect, g.After, g.Jitter))
	}
	text, err := json.Marshal([]any{l, steps, groups})
	if err != nil {
		return "" // plain data
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
