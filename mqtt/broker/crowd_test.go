package broker

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/transport"
)

// absent is a socket that is not there: what is sent to it counts as sent. With
// what a Conn keeps beside it, it takes the memory of one that a loop drives.
type absent struct {
	net.Conn
	peer *net.TCPAddr
	sent *atomic.Int64
}

func (a *absent) Write(p []byte) (int, error) {
	a.sent.Add(int64(len(p)))
	return len(p), nil
}

func (a *absent) Close() error                     { return nil }
func (a *absent) LocalAddr() net.Addr              { return a.peer }
func (a *absent) RemoteAddr() net.Addr             { return a.peer }
func (a *absent) SetDeadline(time.Time) error      { return nil }
func (a *absent) SetReadDeadline(time.Time) error  { return nil }
func (a *absent) SetWriteDeadline(time.Time) error { return nil }

// crowd is a broker with many clients that have everything but a socket: their
// bytes are fed as a loop does it, and nothing reads what they are sent.
type crowd struct {
	*Broker
	tb    testing.TB
	opt   transport.Options
	peer  *net.TCPAddr
	sent  atomic.Int64
	batch transport.Batch
	conns []transport.Handler
}

func newCrowd(tb testing.TB, o Options) *crowd {
	tb.Helper()
	b, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	return &crowd{Broker: b, tb: tb, opt: transport.Options{OutLimit: b.opt.OutLimit, Budget: &b.memory, Linger: -1},
		peer: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}}
}

// feed gives the broker what a client sends.
func (cr *crowd) feed(h transport.Handler, p []byte) {
	if n, err := h.Feed(&cr.batch, p); n != len(p) || err != nil {
		cr.tb.Fatalf("%d of %d bytes were taken: %v", n, len(p), err)
	}
	cr.batch.Flush()
}

// come connects a client whose 5.0 Session lasts, and subscribes unless filter
// is "".
func (cr *crowd) come(id, filter string, qos mqtt.QoS) transport.Handler {
	tc := transport.New(&absent{peer: cr.peer, sent: &cr.sent}, cr.opt)
	h := cr.Accept(tc)
	cr.conns = append(cr.conns, h)
	p, err := (&mqtt.Connect{Version: mqtt.V50, ClientID: id, KeepAlive: 3600,
		Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 3600)}}).Append(nil, mqtt.V50)
	if err == nil && filter != "" {
		p, err = (&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: filter, QoS: qos}}}).Append(p, mqtt.V50)
	}
	if err != nil {
		cr.tb.Fatal(err)
	}
	cr.feed(h, p)
	return h
}

// disperse ends all of it.
func (cr *crowd) disperse() {
	for _, h := range cr.conns {
		h.Closed(errDisconnected)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cr.tb.Context()), time.Minute)
	defer cancel()
	if err := cr.Shutdown(ctx); err != nil {
		cr.tb.Error(err)
	}
}
