package cmd

import (
	"context"
	"errors"
	"fmt"
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
		UsageText: "mqt bench [-h HOST | -L URL] [--shape SHAPE] [--clients NUMBER] [-q QOS] [--rate RATE | --max]",
		ArgsUsage: "[pubsub]",
		Description: `Without a server it starts a broker of its own on a free port of this machine, and measures that.
Messages are sent on a schedule (--rate), and latency counts from when they were due, also while the
server is too slow to take them. --max sends as fast as the server acknowledges instead. Every message
is followed from publisher to subscriber: QoS 1 at least once, QoS 2 exactly once, all in order.

Examples:
  mqt bench
  mqt bench -h broker.example --clients 2000 -q 1 --rate 10k --duration 60s
  mqt bench -L mqtts://broker.example --shape fan-in --pubs 1000 --subs 4 -q 0,1
  mqt bench -h localhost --shape fan-out --pubs 1 --subs 500 --max --inflight 64 -q 1
  mqt bench -h localhost --rate 5k --json >result.json`,
		Flags: flags(o.flags(s)),
		Action: func(c *cli.Context) error {
			places := c.Args().Slice()
			if len(places) > 0 && places[0] == "pubsub" {
				places = places[1:]
			}
			if len(places) > 0 {
				return &usageError{text: "stray word " + shown(places[0]), hint: "see mqt bench --help"}
			}
			return o.run(c.Context, s)
		},
	}
}

func (o *benchOptions) run(ctx context.Context, s *Stdio) error {
	c, err := o.connect.options(s)
	if err != nil {
		return err
	}
	scenario := o.scenario(c)
	if err := scenario.Validate(); err != nil {
		return &usageError{text: plain(err)}
	}
	out, err := o.openOutputs(s)
	if err != nil {
		return err
	}
	defer out.close()
	if !o.named() {
		own, err := startOwnBroker(ctx)
		if err != nil {
			return err
		}
		defer own.stop()
		scenario.Client.Endpoint, scenario.InProcess = own.endpoint, true
	}
	scenario.Target = scenario.Client.Endpoint.String()
	rep, err := bench.Run(ctx, scenario, out.progress)
	out.endProgress()
	if err != nil {
		return benchFailed(scenario.Target, err)
	}
	code := verdictCode(rep.Verdict)
	if err := out.report(rep, code); err != nil {
		return err
	}
	if code != exitOK {
		return &exitError{code: code}
	}
	return nil
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
