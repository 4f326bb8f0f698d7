package client_test

import (
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

// A refused message has a Reason Code in its turn, and frees its place
// [MQTT-4.3.3-9]; before 5.0 there is no such code.
func TestRefuse(t *testing.T) {
	for _, v := range []mqtt.Version{mqtt.V50, mqtt.V311} {
		t.Run(v.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				o := client.Options{Version: v}
				want := mqtt.Success
				if v == mqtt.V50 {
					o.ReceiveMaximum, want = 2, mqtt.UnspecifiedError
				}
				c, p := connected(f, o)
				defer end(c)
				p.send(message(1, 1, "a"), message(2, 2, "b"))
				a, b := receive(t, c), receive(t, c)
				b.Refuse(mqtt.UnspecifiedError)
				p.silent(time.Second)
				a.Refuse(mqtt.UnspecifiedError)
				if got := next[*mqtt.Puback](p); got.PacketID != 1 || got.ReasonCode != want {
					t.Errorf("PUBACK %d %v, want 1 %v", got.PacketID, got.ReasonCode, want)
				}
				if got := next[*mqtt.Pubrec](p); got.PacketID != 2 || got.ReasonCode != want {
					t.Errorf("PUBREC %d %v, want 2 %v", got.PacketID, got.ReasonCode, want)
				}
				if v < mqtt.V50 { // the flow goes on
					p.send(&mqtt.Pubrel{Ack: ack(2, 0)})
					next[*mqtt.Pubcomp](p)
				}
				p.send(message(2, 2, "c"), message(1, 1, "d"))
				for _, want := range []string{"c", "d"} {
					if d := receive(t, c); string(d.Payload) != want {
						t.Errorf("got %q, want %q", d.Payload, want)
					}
				}
			})
		})
	}
}

// A message that is left is not acknowledged, does not hold back those behind
// it, keeps its place, and is delivered again when the Server sends it again.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, keep(client.Options{}))
		defer end(c)
		p.send(message(1, 1, "one"), message(2, 2, "two"), message(3, 1, "three"))
		one, two, three := receive(t, c), receive(t, c), receive(t, c)
		three.Ack()
		two.Leave()
		two.Ack() // too late
		p.silent(time.Second)
		one.Leave()
		if a := next[*mqtt.Puback](p); a.PacketID != 3 {
			t.Errorf("PUBACK %d", a.PacketID)
		}
		p.silent(time.Second)
		p.nc.Close()

		p = f.welcome(true)
		again, second := message(1, 1, "one"), message(2, 2, "two")
		again.Dup, second.Dup = true, true
		p.send(again, second)
		for _, want := range []string{"one", "two"} {
			d := receive(t, c)
			if string(d.Payload) != want || !d.Dup {
				t.Errorf("got %q %v, want %q", d.Payload, d.Dup, want)
			}
			d.Ack()
		}
		if a := next[*mqtt.Puback](p); a.PacketID != 1 {
			t.Errorf("PUBACK %d", a.PacketID)
		}
		if r := next[*mqtt.Pubrec](p); r.PacketID != 2 || r.ReasonCode != mqtt.Success {
			t.Errorf("PUBREC %+v", r)
		}
		p.send(&mqtt.Pubrel{Ack: ack(2, 0)})
		next[*mqtt.Pubcomp](p)
		empty(t, c)
	})
}

// WaitClosed returns when a Server that goes on sending has read the DISCONNECT
// and closed, not when it is on its way. A pipe cannot be closed by half, so this
// is a socket.
func TestWaitClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var closed atomic.Bool
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		p := &peer{t: t, nc: nc, r: mqtt.Reader{From: mqtt.Client, Version: mqtt.V50}}
		for {
			pkt, err := p.packet()
			if _, ok := pkt.(*mqtt.Connect); ok {
				p.send(&mqtt.Connack{})
				continue
			}
			if err != nil { // half closed
				break
			}
			p.send(message(1, 0, "late"))
			time.Sleep(100 * time.Millisecond)
		}
		closed.Store(true)
		nc.Close()
	}()
	c, err := client.Connect(t.Context(), client.Options{URL: "mqtt://" + l.Addr().String(), Transport: transport.Options{Linger: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Disconnect(t.Context(), mqtt.Disconnect{}); err != nil {
		t.Error(err)
	}
	if err := c.WaitClosed(t.Context()); err != nil || !closed.Load() {
		t.Errorf("WaitClosed: %v; the server has closed: %v", err, closed.Load())
	}
	if err := c.WaitClosed(t.Context()); err != nil {
		t.Errorf("a second time: %v", err)
	}
}
