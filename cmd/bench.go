package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"mqt/mqtt/bench"
	"mqt/mqtt/broker"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

func benchCommand(s *Stdio) *cli.Command {
	o := &benchOptions{}
	return &cli.Command{
		Name: "bench", Usage: "load-test a broker",
		UsageText: `mqt bench [pubsub|conn|pub|sub|storm|retained|resume|sweep] [-h HOST | -L URL | --broker-cmd COMMAND] [FLAGS]
mqt bench run FILE.yaml [--set KEY=VALUE] [FLAGS]
mqt bench report FILE.json | compare BASE NEW | ab A B | merge FILES | k8s FILE.yaml | calibrate`,
		ArgsUsage: "[pubsub]",
		Description: `Without a server it starts a broker of its own on a free port of this machine, and measures that.
Messages are sent on a schedule (--rate), and latency counts from when they were due, also while the
server is too slow to take them. --max sends as fast as the server acknowledges instead. Every message
is followed from publisher to subscriber: QoS 1 at least once, QoS 2 exactly once, all in order.

  pubsub     publishers and subscribers (the default)
  conn       connections that do nothing
  pub, sub   one side only; sub counts what others publish below --filter
  storm      connections break and come back, in waves
  retained   how long it takes to get the first retained message
  resume     subscribers are away, and take up their sessions with what has come meanwhile
  sweep      the highest rate at which the thresholds hold
  run        a scenario file, with groups, phases and faults
  report     a saved result (-o json=FILE) in another form; --schema prints the JSON Schema of results
  compare    two results, or lists or folders of them: is the new one worse than noise tells
  ab         two brokers by turns, A B B A: URLs, commands with {port}, or self
  merge      one result of those of all shards
  k8s        a Kubernetes Job that runs a scenario file in shards
  calibrate  how fast this machine can publish; later runs that come near it are invalid

Examples:
  mqt bench
  mqt bench -h broker.example --clients 2000 -q 1 --rate 10k --duration 60s
  mqt bench -L mqtts://broker.example --shape fan-in --pubs 1000 --subs 4 -q 0,1
  mqt bench --broker-cmd 'mosquitto -p {port}' --threshold 'e2e.p99 < 20ms'
  mqt bench conn -h localhost --clients 10000 --hold 60s
  mqt bench storm -h localhost --clients 1000 --cut rst --pick 50%
  mqt bench sweep -h localhost -q 1 --threshold 'e2e.p99 < 10ms'
  mqt bench run telemetry.yaml --set groups.devices.clients=100
  mqt bench -h localhost -o json=new.json -o html=new.html -o junit=new.xml
  mqt bench compare base.json new.json
  mqt bench ab self 'mosquitto -p {port}' --rounds 4 --duration 5s
  mqt bench -h broker.example --clients 80000 --shard 0/4 --run-id big -o json=0.json`,
		Flags: flags(o.flags(s)),
		Action: func(c *cli.Context) error {
			places := c.Args().Slice()
			if len(places) == 0 {
				places = []string{string(bench.RolePubSub)}
			}
			if err := o.misplaced(places[0]); err != nil {
				return err
			}
			return o.verb(c.Context, s, places[0], places[1:])
		},
	}
}

// verb is what stands first.
func (o *benchOptions) verb(ctx context.Context, s *Stdio, verb string, rest []string) error {
	switch o.role = bench.Role(verb); o.role {
	case bench.RolePubSub, bench.RoleConn, bench.RolePub, bench.RoleSub, bench.RoleStorm, bench.RoleRetained, bench.RoleResume, bench.RoleSweep:
		if len(rest) > 0 {
			return strayWord(rest[0])
		}
		return o.run(ctx, s)
	case bench.RoleScenario:
		return o.runFile(ctx, s, rest)
	}
	switch {
	case verb == "calibrate" && len(rest) == 0:
		return o.calibrate(ctx, s)
	case verb == "report":
		return o.showReport(s, rest)
	case verb == "compare":
		return o.compare(s, rest)
	case verb == "ab":
		return o.ab(ctx, s, rest)
	case verb == "merge":
		return o.merge(s, rest)
	case verb == "k8s":
		return o.k8s(s, rest)
	}
	return strayWord(verb)
}

func strayWord(word string) error {
	return &usageError{text: "stray word " + shown(word), hint: "see mqt bench --help"}
}

// run is every role but those of files.
func (o *benchOptions) run(ctx context.Context, s *Stdio) error {
	c, err := o.client(s)
	if err != nil {
		return err
	}
	sc, err := o.scenario(c)
	if err != nil {
		return err
	}
	sweep := o.role == bench.RoleSweep
	if sweep {
		sc.Role = bench.RolePubSub
	}
	plan, err := sc.Plan()
	if err != nil {
		return &usageError{text: plain(err)}
	}
	return o.measure(ctx, s, &plan, func(ctx context.Context, p *bench.Plan, progress func(bench.Snapshot)) (*bench.Report, error) {
		if !sweep {
			return bench.RunPlan(ctx, *p, progress)
		}
		sc.Client, sc.InProcess, sc.Target, sc.Watch, sc.Ceilings = p.Client, p.InProcess, p.Target, p.Watch, p.Ceilings
		return bench.RunSweep(ctx, sc, o.search, progress)
	})
}

// client is what every client is made from.
func (o *benchOptions) client(s *Stdio) (client.Options, error) {
	t := &o.connect.tls
	if strings.Contains(t.cert+t.key, "${") { // one for each client
		o.certs, o.keys, t.cert, t.key, t.on = t.cert, t.key, "", "", true
	}
	c, err := o.connect.options(s)
	if !o.portable {
		c.Transport.Loops = &transport.Loops{Parked: true}
	}
	return c, err
}

// measure starts a broker if need be, runs a plan and writes the report.
func (o *benchOptions) measure(ctx context.Context, s *Stdio, p *bench.Plan, run func(context.Context, *bench.Plan, func(bench.Snapshot)) (*bench.Report, error)) (err error) {
	if err = p.Validate(); err != nil {
		return &usageError{text: plain(err)}
	}
	if err = o.checkShard(); err != nil {
		return err
	}
	own := !o.named() && o.brokerCmd == ""
	pre := preflight{ownBroker: own}
	for i := range p.Groups {
		pre.clients += (p.Groups[i].Clients + o.shards() - 1) / o.shards()
	}
	if e := p.Client.Endpoint; e != nil {
		pre.descriptor = e.Scheme == transport.SchemeUnix
	}
	if o.identity != nil {
		pre.sources = len(o.identity.sources)
	}
	if o.dry {
		return o.showPlan(s, p, pre)
	}
	if err := pre.check(); err != nil {
		return err
	}
	if o.saved, err = savedRuns(o.baseline...); err != nil {
		return err
	}
	out, err := o.openOutputs(s)
	if err != nil {
		return err
	}
	defer out.close()
	scraped, err := out.startMetrics(ctx, o.metrics)
	if err != nil {
		return err
	}
	defer scraped.stop()
	stop, err := o.startBroker(ctx, p, own)
	if err != nil {
		return err
	}
	defer stop()
	p.Target, p.Ceilings = p.Client.Endpoint.String(), knownCeilings()
	rep, err := run(ctx, p, out.progress)
	out.endProgress()
	if err != nil {
		return benchFailed(p.Target, err)
	}
	code := verdictCode(rep.Verdict)
	if err := out.report(rep, code); err != nil {
		return err
	}
	if code, err = o.againstBaseline(out, rep, code); err != nil {
		return err
	}
	if code != exitOK {
		return &exitError{code: code}
	}
	return nil
}

// startBroker starts the broker to measure, where nobody else has.
func (o *benchOptions) startBroker(ctx context.Context, p *bench.Plan, own bool) (stop func(), err error) {
	switch {
	case o.brokerCmd != "":
		b, err := startTestedBroker(ctx, o.brokerCmd)
		if err != nil {
			return nil, err
		}
		p.Client.Endpoint, p.Watch = b.endpoint, b
		return b.stop, nil
	case own:
		b, err := startOwnBroker(ctx)
		if err != nil {
			return nil, err
		}
		p.Client.Endpoint, p.InProcess = b.endpoint, true
		return b.stop, nil
	}
	return func() {}, nil
}

// showPlan is --dry-run.
func (o *benchOptions) showPlan(s *Stdio, p *bench.Plan, pre preflight) error {
	var b strings.Builder
	target := "a broker of its own"
	switch {
	case o.brokerCmd != "":
		target = o.brokerCmd
	case o.named():
		target = p.Client.Endpoint.String()
	}
	fmt.Fprintf(&b, "target  %s\n", target)
	for i := range p.Groups {
		g := &p.Groups[i]
		fmt.Fprintf(&b, "group   %s: %d %s", g.Name, g.Clients, g.Role)
		if g.Topic != nil {
			fmt.Fprintf(&b, ", %s", g.Topic(0))
		}
		if g.Rate > 0 {
			fmt.Fprintf(&b, ", %.6g/s", g.Rate)
		}
		b.WriteByte('\n')
	}
	for i := range p.Steps {
		st := &p.Steps[i]
		fmt.Fprintf(&b, "phase   %s: %s", st.Name, st.Do)
		if st.For > 0 {
			fmt.Fprintf(&b, " %v", st.For)
		}
		for _, a := range st.Actions {
			fmt.Fprintf(&b, ", %s", a.Kind)
		}
		b.WriteByte('\n')
	}
	files, low, high := machineLimits()
	fmt.Fprintf(&b, "needs   %d connections; there are %d file descriptors and %d ports\n", pre.clients, files, high-low+1)
	if _, err := fmt.Fprint(s.Out, b.String()); err != nil {
		return err
	}
	return pre.check()
}

// benchFailed is a run that came to no report.
func benchFailed(url string, err error) error {
	if errors.Is(err, context.Canceled) {
		return &exitError{code: exitFailed, err: errors.New("interrupted before anything was measured")}
	}
	if _, ok := errors.AsType[*client.ConnectError](err); ok {
		return &connectFailure{url, err}
	}
	if _, ok := errors.AsType[*client.SubscribeError](err); ok {
		return &connectFailure{url, err}
	}
	return fmt.Errorf("%s: %w", url, err)
}

// verdictCode is the exit code of a verdict.
func verdictCode(v bench.Verdict) int {
	switch v {
	case bench.Pass:
		return exitOK
	case bench.ContractBroken:
		return exitContract
	case bench.Invalid:
		return exitInvalid
	case bench.ThresholdFailed:
		return exitThreshold
	case bench.Regression:
		return exitRegression
	}
	return exitInconclusive
}

// ownBroker is the broker that is measured when nobody names one.
type ownBroker struct {
	endpoint *transport.Endpoint
	b        *broker.Broker
	cancel   context.CancelFunc
	wg       sync.WaitGroup
}

func startOwnBroker(ctx context.Context) (*ownBroker, error) {
	b, err := broker.New(broker.Options{})
	if err != nil {
		return nil, err
	}
	at := &transport.Endpoint{Scheme: transport.SchemeMQTT, Host: "127.0.0.1", Port: "0"}
	l, err := b.Listen(ctx, at, transport.ListenOptions{})
	if err != nil {
		return nil, listenFailed(err)
	}
	own := &ownBroker{b: b}
	if own.endpoint, err = transport.ParseURL(l.URL()); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	own.cancel = cancel
	own.wg.Go(func() { _ = b.Serve(serving, l) }) // nil: it ends when told to
	return own, nil
}

func (own *ownBroker) stop() {
	own.cancel()
	own.wg.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	_ = own.b.Shutdown(ctx) // the process ends anyhow
}
