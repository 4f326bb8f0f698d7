package cmd

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/bench"
	"mqt/mqtt/transport"
)

// calibrateFor is how long each QoS is measured by default.
const calibrateFor = 3 * time.Second

// calibrate tells what this machine can generate: publishers alone, as fast as
// somebody takes it who only acknowledges. Later runs are held against it.
func (o *benchOptions) calibrate(ctx context.Context, s *Stdio) error {
	k, err := startSink(ctx)
	if err != nil {
		return err
	}
	defer k.stop()
	var ceilings bench.Ceilings
	fmt.Fprintf(s.Out, "%-8s %14s %26s\n", "publish", "messages/s", "CPU seconds per million")
	for q := range ceilings {
		length := cmp.Or(o.duration, calibrateFor)
		sc := bench.Scenario{
			Role: bench.RolePub, Publishers: 10, QoS: []mqtt.QoS{mqtt.QoS(q)}, Max: true, InFlight: 100, InProcess: true, NoTracking: true,
			WarmUp: length / 3, Duration: length, Dial: benchDial,
		}
		sc.Client.Endpoint, sc.Client.Transport.Loops = k.endpoint, &transport.Loops{Parked: true}
		rep, err := bench.Run(ctx, sc, nil)
		if err != nil {
			return benchFailed(k.endpoint.String(), err)
		}
		if rep.Interrupted {
			return &exitError{code: exitInconclusive}
		}
		n := rep.Sent.N
		if q > 0 {
			n = rep.Acked.N
		}
		perMillion := 0.0
		if n > 0 {
			perMillion = rep.Generator.CPU.Seconds() / float64(n) * 1e6
		}
		ceilings[q] = float64(n) / rep.Measured.Seconds()
		fmt.Fprintf(s.Out, "QoS %-4d %14.0f %26.1f\n", q, ceilings[q], perMillion)
	}
	fmt.Fprintln(s.Out, "With many in flight on few connections, against a sink in this process. More clients, or messages to receive, leave less.")
	if path, err := keepCeilings(ceilings); err != nil {
		fmt.Fprintf(s.Err, "mqt bench: the result is not kept: %v\n", err)
	} else {
		fmt.Fprintf(s.Out, "Kept in %s: a run of mqt bench at more than 85 %% of it is invalid.\n", shown(path))
	}
	return nil
}

// sink is a server that does nothing but acknowledge.
type sink struct {
	endpoint *transport.Endpoint
	l        net.Listener
	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
}

func startSink(ctx context.Context) (*sink, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, listenFailed(err)
	}
	k := &sink{l: l}
	if k.endpoint, err = transport.ParseURL("mqtt://" + l.Addr().String()); err != nil {
		_ = l.Close()
		return nil, err
	}
	k.wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return // it is closed
			}
			k.mu.Lock()
			k.conns = append(k.conns, nc)
			k.mu.Unlock()
			k.wg.Go(func() { takeAll(nc) })
		}
	})
	return k, nil
}

func (k *sink) stop() {
	_ = k.l.Close()
	k.mu.Lock()
	for _, nc := range k.conns {
		_ = nc.Close()
	}
	k.mu.Unlock()
	k.wg.Wait()
}

// takeAll answers one client until it leaves.
func takeAll(nc net.Conn) {
	defer nc.Close()
	r := mqtt.Reader{From: mqtt.Client}
	in := make([]byte, 0, 64<<10)
	var out []byte
	for {
		if len(in) == cap(in) {
			return // a packet that no calibration sends
		}
		n, err := nc.Read(in[len(in):cap(in)])
		if err != nil {
			return
		}
		in = in[:len(in)+n]
		out = out[:0]
		rest := in
		for {
			p, n, err := r.Read(rest)
			if err != nil {
				return
			}
			if n == 0 {
				break
			}
			rest = rest[n:]
			if out, err = appendAnswer(out, &r, p); err != nil {
				return
			}
		}
		in = in[:copy(in[:cap(in)], rest)]
		if _, err := nc.Write(out); err != nil {
			return
		}
	}
}

// appendAnswer acknowledges p.
func appendAnswer(out []byte, r *mqtt.Reader, p mqtt.Packet) ([]byte, error) {
	switch p := p.(type) {
	case *mqtt.Connect:
		r.Version = p.Version
		return (&mqtt.Connack{}).Append(out, r.Version)
	case *mqtt.Publish:
		ack := mqtt.Ack{PacketID: p.PacketID}
		switch p.QoS {
		case mqtt.QoS1:
			return (&mqtt.Puback{Ack: ack}).Append(out, r.Version)
		case mqtt.QoS2:
			return (&mqtt.Pubrec{Ack: ack}).Append(out, r.Version)
		}
	case *mqtt.Pubrel:
		return (&mqtt.Pubcomp{Ack: mqtt.Ack{PacketID: p.PacketID}}).Append(out, r.Version)
	case *mqtt.Pingreq:
		return (&mqtt.Pingresp{}).Append(out, r.Version)
	}
	return out, nil
}
