package cmd

import (
	"cmp"
	"strings"
	"time"

	"mqt/mqtt/bench"
	"mqt/mqtt/client"
	"mqt/mqtt/template"
)

// defaultFileExpiry is how long the sessions of a file are kept that says
// nothing else.
const defaultFileExpiry = time.Hour

// fileGroup makes a group of the file's words.
func (o *benchOptions) fileGroup(f *benchFile, p *bench.Plan, texts *benchText, name string) (bench.Group, error) {
	w := f.Groups[name]
	if w == nil {
		w = &fileGroup{}
	}
	w.inherit(&f.Defaults)
	where := "groups." + name
	g := bench.Group{
		Name: name, Role: bench.Role(w.Role), Clients: w.Clients, QoS: w.QoS, Retain: w.Retain, Size: w.Size.low, MaxSize: w.Size.high,
		Rate: float64(w.Rate), Max: w.Max, InFlight: w.InFlight,
	}
	switch g.Role {
	case bench.RoleConn, bench.RolePub, bench.RoleSub:
	default:
		return g, &usageError{text: where + ".role: " + shown(w.Role), hint: "it is conn, pub or sub"}
	}
	if w.PerClient > 0 {
		g.Rate = float64(w.PerClient) * float64(w.Clients)
	}
	if w.Arrival != "" {
		spread := &benchOptions{}
		if err := spread.readArrival(w.Arrival); err != nil {
			return g, &usageError{text: where + ".arrival: " + plain(err)}
		}
		g.Arrival, g.Burst = spread.arrival, spread.burst
	}
	if w.Reconnect != nil {
		w.Reconnect.use(&g)
	}
	if s := w.Session; s != nil && s.Clean != nil && !*s.Clean {
		g.KeepSession = true
		g.Expiry = uint32(cmp.Or(time.Duration(s.Expiry), defaultFileExpiry) / time.Second)
	}
	return g, o.groupTexts(&g, w, p, texts, where)
}

func (w *fileGroup) inherit(d *fileGroup) {
	w.Clients = cmp.Or(w.Clients, d.Clients)
	if len(w.QoS) == 0 && w.Role != string(bench.RoleSub) { // subscriptions follow their publishers
		w.QoS = d.QoS
	}
	if w.Size == (fileSize{}) {
		w.Size = d.Size
	}
	if w.Size == (fileSize{}) {
		w.Size.low = bench.DefaultSize
	}
	w.Topic, w.Filter, w.Payload = cmp.Or(w.Topic, d.Topic), cmp.Or(w.Filter, d.Filter), cmp.Or(w.Payload, d.Payload)
	w.Retain, w.Max = w.Retain || d.Retain, w.Max || d.Max
	if w.Rate == 0 && w.PerClient == 0 && !w.Max {
		w.Rate, w.PerClient = d.Rate, d.PerClient
	}
	w.InFlight, w.Arrival = cmp.Or(w.InFlight, d.InFlight), cmp.Or(w.Arrival, d.Arrival)
	w.Session, w.Reconnect = cmp.Or(w.Session, d.Session), cmp.Or(w.Reconnect, d.Reconnect)
	w.ClientID, w.Username, w.Password = cmp.Or(w.ClientID, d.ClientID), cmp.Or(w.Username, d.Username), cmp.Or(w.Password, d.Password)
	w.Role = cmp.Or(w.Role, d.Role)
}

// groupTexts makes what is different for each client of a group.
func (o *benchOptions) groupTexts(g *bench.Group, w *fileGroup, p *bench.Plan, texts *benchText, where string) error {
	each := func(key, text string) (func(int) string, error) {
		if text == "" {
			return nil, nil
		}
		t, err := texts.static(where+"."+key, text)
		if err != nil {
			return nil, err
		}
		return func(i int) string { return t.String(texts.values(g.Role, g.Name, i)) }, nil
	}
	key, text := "topic", w.Topic
	if g.Role == bench.RoleSub {
		key, text = "filter", cmp.Or(w.Filter, w.Topic)
	}
	var err error
	if g.Topic, err = each(key, text); err != nil {
		return err
	}
	if g.ClientID, err = each("client_id", w.ClientID); err != nil {
		return err
	}
	if w.Payload != "" && g.Role == bench.RolePub {
		if g.Payload, err = benchPayload(texts, where+".payload", w.Payload); err != nil {
			return err
		}
	}
	d := &identity{text: texts, tls: p.Client.DialOptions.TLS}
	for _, t := range []struct {
		key, text string
		dst       **template.Template
	}{{"username", w.Username, &d.user}, {"password", w.Password, &d.password}} {
		if t.text == "" {
			continue
		}
		if *t.dst, err = texts.static(where+"."+t.key, t.text); err != nil {
			return err
		}
	}
	if d.sources, err = readSources(o.sources, p.Client.Endpoint); err != nil {
		return err
	}
	name, role := g.Name, g.Role
	if d.user != nil || d.password != nil || len(d.sources) > 0 || texts.rows != nil {
		g.Setup = func(i int, c *client.Options) error { return d.setup(role, name, i, c) }
	}
	return nil
}

// steps makes the phases.
func (f *benchFile) steps(p *bench.Plan) error {
	probed := false
	for i := range f.Phases {
		w := &f.Phases[i]
		where := "phases." + cmp.Or(w.Name, w.Do)
		s := bench.Step{
			Name: bench.Phase(cmp.Or(w.Name, w.Do)), Groups: w.Groups, For: time.Duration(cmp.Or(w.For, w.Timeout)),
			Record: true, Count: w.Count, Quiet: time.Duration(w.Quiet),
		}
		if w.Record != nil {
			s.Record = *w.Record
		}
		if err := w.share(&s, where); err != nil {
			return err
		}
		if err := w.act(&s, p, where); err != nil {
			return err
		}
		if s.Do == bench.DoConnect {
			s.Record, s.For = false, 0
			p.Steps = append(p.Steps, s, bench.Step{Name: bench.Subscribing, Do: bench.DoSubscribe, Groups: s.Groups})
			continue
		}
		if !probed && (s.Do == bench.DoLoad || s.Do == bench.DoHold) {
			probed = true
			p.Steps = append(p.Steps, bench.Step{Name: bench.Probing, Do: bench.DoProbe})
		}
		if s.Do == bench.DoDrain && s.For == 0 {
			s.For = bench.DefaultDrain
		}
		p.Steps = append(p.Steps, s)
	}
	return nil
}

// share reads a phase's part of the rate, 50% or 0%-100%.
func (w *filePhase) share(s *bench.Step, where string) error {
	if w.Rate == "" {
		return nil
	}
	from, to, ranged := strings.Cut(w.Rate, "-")
	for _, t := range []struct {
		text string
		dst  *float64
	}{{from, &s.From}, {to, &s.To}} {
		if t.text == "" && !ranged {
			s.To = s.From
			continue
		}
		if t.text == "0%" || t.text == "0" {
			continue
		}
		var err error
		digits, _ := strings.CutSuffix(t.text, "%")
		if *t.dst, err = shareOfRate(digits, t.text); err != nil {
			return &usageError{text: where + ".rate: " + shown(w.Rate), hint: "it is a share of the groups' rates, as 50%, 150% or 0%-100%"}
		}
	}
	return nil
}

func shareOfRate(digits, text string) (float64, error) {
	var x float64
	if err := rateTo(&x)(digits); err != nil {
		return 0, err
	}
	if digits != text {
		x /= 100
	}
	return x, nil
}

// act reads what a phase does.
func (w *filePhase) act(s *bench.Step, p *bench.Plan, where string) error {
	kinds := map[string]bench.ActionKind{"disconnect": bench.Disconnect, "fin": bench.FIN, "rst": bench.RST, "half-open": bench.HalfOpen,
		"slow": bench.Slow, "take-over": bench.TakeOver, "exec": bench.Exec}
	actions := w.Actions
	switch w.Do {
	case "connect", "load", "hold", "drain", "leave", "resume", "retain":
		s.Do = bench.Do(w.Do)
	case "":
		s.Do = bench.DoLoad
	default:
		if kinds[w.Do] == "" {
			return &usageError{text: where + ".do: " + shown(w.Do),
				hint: "it is connect, load, hold, drain, leave, resume, retain, disconnect, fin, rst, half-open, slow, take-over or exec"}
		}
		s.Do = bench.DoLoad
		actions = append([]fileAction{{Do: cmp.Or(w.How, w.Do), Groups: w.Groups, Pick: w.Pick, At: w.At, Over: w.Over, Command: w.Command}}, actions...)
		s.Groups = nil // the load goes on for all
	}
	for _, a := range actions {
		k := kinds[a.Do]
		if k == "" {
			return &usageError{text: where + ": no action " + shown(a.Do)}
		}
		s.Actions = append(s.Actions, bench.Action{Kind: k, Groups: a.Groups, Pick: float64(a.Pick), At: time.Duration(a.At), Over: time.Duration(a.Over), Command: a.Command})
		w.comeBack(p, a.Groups, k)
	}
	return nil
}

// comeBack lets the clients of a phase come back whose connections it breaks.
func (w *filePhase) comeBack(p *bench.Plan, groups []string, k bench.ActionKind) {
	if w.Reconnect == nil || k == bench.Exec {
		return
	}
	for i := range p.Groups {
		g := &p.Groups[i]
		for _, name := range append([]string{}, groups...) {
			if name == g.Name {
				w.Reconnect.use(g)
			}
		}
		if len(groups) == 0 {
			w.Reconnect.use(g)
		}
	}
}
