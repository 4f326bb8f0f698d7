package cmd

import (
	"context"
	"fmt"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/bench"
	"mqt/mqtt/transport"
)

// calibrateFor is how long each QoS is measured.
const calibrateFor = 3 * time.Second

// calibrate tells what this machine can generate: publishers alone, as fast as
// a broker in this process takes it.
func (o *benchOptions) calibrate(ctx context.Context, s *Stdio) error {
	own, err := startOwnBroker(ctx)
	if err != nil {
		return err
	}
	defer own.stop()
	fmt.Fprintf(s.Out, "%-8s %14s %26s\n", "publish", "messages/s", "CPU seconds per million")
	for _, q := range []mqtt.QoS{mqtt.QoS0, mqtt.QoS1, mqtt.QoS2} {
		sc := bench.Scenario{
			Role: bench.RolePub, Publishers: 10, QoS: []mqtt.QoS{q}, Max: true, InFlight: 100, InProcess: true, NoTracking: true,
			WarmUp: time.Second, Duration: calibrateFor, Dial: benchDial,
		}
		sc.Client.Endpoint, sc.Client.Transport.Loops = own.endpoint, &transport.Loops{}
		rep, err := bench.Run(ctx, sc, nil)
		if err != nil {
			return benchFailed(own.endpoint.String(), err)
		}
		if rep.Interrupted {
			return &exitError{code: exitInconclusive}
		}
		n := rep.Sent.N
		if q > mqtt.QoS0 {
			n = rep.Acked.N
		}
		perMillion := 0.0
		if n > 0 {
			perMillion = rep.Generator.CPU.Seconds() / float64(n) * 1e6
		}
		fmt.Fprintf(s.Out, "QoS %-4d %14.0f %26.1f\n", q, float64(n)/rep.Measured.Seconds(), perMillion)
	}
	fmt.Fprintln(s.Out, "The broker is in this process and its part is in these numbers: a server elsewhere leaves more to the generator.")
	return nil
}
