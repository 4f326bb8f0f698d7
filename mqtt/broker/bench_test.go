package broker

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mqt/mqtt"
)

// shape is who publishes to whom.
type shape struct {
	name      string
	pubs      int
	subs      int
	topic     func(pub int) string
	filter    func(sub int) string
	copies    int // of each message
	pipelined int // messages that a publisher sends at once
}

func shapes() []shape {
	own := func(i int) string { return fmt.Sprint("bench/", i) }
	all := func(int) string { return "bench/#" }
	return []shape{
		{"fan-in", 10, 1, own, all, 1, 50},
		{"fan-out", 1, 10, own, all, 10, 50},
		{"pairs", 10, 10, own, own, 1, 50},
	}
}

// BenchmarkBroker counts delivered messages of 64 bytes over Unix sockets;
// clients and broker share the processors.
func BenchmarkBroker(b *testing.B) {
	for _, s := range shapes() {
		for qos := range mqtt.QoS2 + 1 {
			b.Run(fmt.Sprintf("%s/QoS %d", s.name, qos), func(b *testing.B) { s.run(b, qos) })
		}
	}
}

func (s *shape) run(b *testing.B, qos mqtt.QoS) {
	l, stop := benchBroker(b)
	defer stop()
	var got atomic.Int64
	var subs, pubs sync.WaitGroup
	var receivers []*livePeer
	for i := range s.subs {
		p := l.client(l.t, mqtt.V50, fmt.Sprint("sub", i), nil)
		sub := subscribeTo(s.filter(i))
		sub.Subscriptions[0].QoS = qos
		p.write(sub)
		p.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypeSuback })
		receivers = append(receivers, p)
		subs.Go(func() { p.receiveAll(&got) })
	}
	each := (b.N + s.pubs*s.copies - 1) / (s.pubs * s.copies)
	total := int64(each * s.pubs * s.copies)
	senders := make([]*livePeer, s.pubs)
	for i := range senders {
		senders[i] = l.client(l.t, mqtt.V50, fmt.Sprint("pub", i), nil)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var sent atomic.Int64
	for i, p := range senders {
		pubs.Go(func() { p.sendAll(s, s.topic(i), qos, each, &sent, &got) })
	}
	pubs.Wait()
	for got.Load() < total && l.Stats().DroppedSlow == 0 {
		runtime.Gosched()
	}
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(total), "ns/message")
	for _, p := range append(receivers, senders...) {
		p.nc.Close()
	}
	subs.Wait()
	if n := l.Stats().DroppedSlow; n > 0 {
		b.Errorf("%d messages were dropped", n)
	}
}

// benchBroker is a broker on a Unix socket, and what ends it.
func benchBroker(b *testing.B) (*live, func()) {
	br, err := New(Options{MaxInflight: 1000})
	if err != nil {
		b.Fatal(err)
	}
	l := &live{Broker: br, t: new(testing.T), served: make(chan error, 1)}
	dir, err := os.MkdirTemp("", "mqt")
	if err == nil {
		err = l.open(b.Context(), byUnix+dir+"/s")
	}
	if err != nil {
		b.Fatal(err)
	}
	return l, func() {
		_ = l.listener.Close()
		if err := errors.Join(<-l.served, l.Shutdown(b.Context()), os.RemoveAll(dir)); err != nil || l.t.Failed() {
			b.Error("the broker did not end well: ", err)
		}
	}
}

// receiveAll goes through with each flow until the connection ends.
func (p *livePeer) receiveAll(got *atomic.Int64) {
	p.await(func(pkt mqtt.Packet) bool {
		switch m := pkt.(type) {
		case *mqtt.Publish:
			got.Add(1)
			switch m.QoS {
			case mqtt.QoS1:
				p.ack(mqtt.TypePuback, m.PacketID)
			case mqtt.QoS2:
				p.ack(mqtt.TypePubrec, m.PacketID)
			}
		case *mqtt.Pubrel:
			p.ack(mqtt.TypePubcomp, m.PacketID)
		}
		return false
	})
}

// sendAll sends n messages, s.pipelined at a time, and never so far ahead of
// the receivers that the broker would have to drop.
func (p *livePeer) sendAll(s *shape, topic string, qos mqtt.QoS, n int, sent, got *atomic.Int64) {
	payload := string(make([]byte, 64))
	var block []byte
	for i := range s.pipelined {
		block, _ = publish(qos, mqtt.PacketID(i+1), topic, payload).Append(block, p.v)
	}
	size := len(block) / s.pipelined
	for n > 0 {
		k := min(n, s.pipelined)
		n -= k
		for sent.Add(int64(k*s.copies))-got.Load() > 20_000 {
			sent.Add(int64(-k * s.copies))
			time.Sleep(20 * time.Microsecond)
		}
		if _, err := p.nc.Write(block[:k*size]); err != nil {
			return
		}
		for open := k; open > 0 && qos > mqtt.QoS0; {
			p.await(func(pkt mqtt.Packet) bool {
				switch a := pkt.(type) {
				case *mqtt.Puback, *mqtt.Pubcomp:
					open--
				case *mqtt.Pubrec:
					p.ack(mqtt.TypePubrel, a.PacketID)
				}
				return open == 0
			})
		}
	}
}

// BenchmarkConnect is one client coming, subscribing and going.
func BenchmarkConnect(b *testing.B) {
	l, stop := benchBroker(b)
	defer stop()
	b.ReportAllocs()
	for b.Loop() {
		p := l.client(l.t, mqtt.V50, "visitor", nil)
		p.write(subscribeTo("t"), &mqtt.Disconnect{})
		p.await(func(mqtt.Packet) bool { return false })
		p.nc.Close()
	}
}
