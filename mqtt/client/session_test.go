package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

func keep(o client.Options) client.Options {
	o.ClientID, o.KeepSession = "keep", true
	o.Reconnect = &client.Backoff{}
	return o
}

// What is under way outlives the connection [MQTT-3.1.2-23] and comes again in
// order [MQTT-4.6.0-1], with DUP [MQTT-3.3.1-1].
func TestRedeliveryOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, keep(client.Options{}))
		defer end(c)
		var ended []<-chan error
		for i := range 5 {
			ended = append(ended, publish(t, c, 1, fmt.Sprint(i)))
		}
		ids := make([]mqtt.PacketID, 5)
		for i := range 5 {
			ids[i] = p.expect(fmt.Sprint(i), false)
		}
		p.send(&mqtt.Puback{Ack: ack(ids[1], 0)}, &mqtt.Puback{Ack: ack(ids[2], mqtt.NoMatchingSubscribers)})
		for _, i := range []int{1, 2} {
			if err := <-ended[i]; err != nil {
				t.Fatal(err)
			}
		}
		p.nc.Close()
		synctest.Wait()
		if s := c.State(); s != client.Reconnecting {
			t.Fatalf("the state is %v", s)
		}
		later := publish(t, c, 1, "later") // never sent before: DUP 0 [MQTT-4.3.2-2]
		if err := c.PublishAsync(&mqtt.Message{Topic: "t"}, nil); !errors.Is(err, client.ErrNotConnected) {
			t.Errorf("QoS 0 without a connection: %v", err)
		}

		p = f.welcome(true)
		if p.connect.CleanStart {
			t.Error("a reconnect with Clean Start")
		}
		for _, i := range []int{0, 3, 4} {
			if id := p.expect(fmt.Sprint(i), true); id != ids[i] { // [MQTT-4.4.0-1]
				t.Errorf("message %d again as %d, was %d", i, id, ids[i])
			}
		}
		id := p.expect("later", false)
		new := publish(t, c, 1, "new")
		p.send(&mqtt.Puback{Ack: ack(ids[0], 0)}, &mqtt.Puback{Ack: ack(ids[3], 0)}, &mqtt.Puback{Ack: ack(ids[4], 0)},
			&mqtt.Puback{Ack: ack(id, 0)}, &mqtt.Puback{Ack: ack(p.expect("new", false), 0)})
		for _, ch := range []<-chan error{ended[0], ended[3], ended[4], later, new} {
			if err := <-ch; err != nil {
				t.Error(err)
			}
		}
		if n := c.InFlight(); n != 0 {
			t.Errorf("%d in flight at the end", n)
		}
	})
}

// [MQTT-4.3.3-2], [MQTT-4.3.3-4], [MQTT-4.3.3-6].
func TestQoS2SendOverReconnect(t *testing.T) {
	eachEngine(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, keep(client.Options{}))
		defer end(c)
		a, b := publish(t, c, 2, "a"), publish(t, c, 2, "b")
		ida, idb := p.expect("a", false), p.expect("b", false)
		p.send(&mqtt.Pubrec{Ack: ack(idb, 0)})
		if r := next[*mqtt.Pubrel](p); r.PacketID != idb {
			t.Fatalf("PUBREL %d", r.PacketID)
		}
		p.nc.Close()

		p = f.welcome(true)
		if r := next[*mqtt.Pubrel](p); r.PacketID != idb { // [MQTT-4.3.3-6]: no PUBLISH
			t.Fatalf("PUBREL %d, want %d", r.PacketID, idb)
		}
		if id := p.expect("a", true); id != ida {
			t.Fatalf("PUBLISH %d, want %d", id, ida)
		}
		p.send(&mqtt.Pubcomp{Ack: ack(idb, 0)}, &mqtt.Pubrec{Ack: ack(ida, 0)}, &mqtt.Pubrec{Ack: ack(ida, 0)})
		next[*mqtt.Pubrel](p)
		next[*mqtt.Pubrel](p) // a repeated PUBREC is answered again
		p.send(&mqtt.Pubcomp{Ack: ack(ida, 0)})
		if err := errors.Join(<-a, <-b); err != nil {
			t.Error(err)
		}
		// What is not known: 0x92 in 5.0.
		p.send(&mqtt.Pubrec{Ack: ack(99, 0)}, &mqtt.Pubrel{Ack: ack(98, 0)})
		if r := next[*mqtt.Pubrel](p); r.PacketID != 99 || r.ReasonCode != mqtt.PacketIdentifierNotFound {
			t.Errorf("PUBREL %+v", r)
		}
		if r := next[*mqtt.Pubcomp](p); r.PacketID != 98 || r.ReasonCode != mqtt.PacketIdentifierNotFound {
			t.Errorf("PUBCOMP %+v", r)
		}
		// A PUBREC with a failure ends the flow without PUBREL.
		refused := publish(t, c, 2, "c")
		p.send(&mqtt.Pubrec{Ack: ack(p.expect("c", false), mqtt.QuotaExceeded)})
		denied, ok := errors.AsType[*client.PublishError](<-refused)
		if !ok || denied.ReasonCode != mqtt.QuotaExceeded {
			t.Errorf("the refusal is %v", denied)
		}
		p.silent(time.Second)
	})
}

func receive(t *testing.T, c *client.Client) *client.Delivery {
	t.Helper()
	d, err := c.Receive(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func empty(t *testing.T, c *client.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if d, err := c.Receive(ctx); err == nil {
		t.Fatalf("one message more: %+v", d.Message)
	}
}

func message(id mqtt.PacketID, qos mqtt.QoS, payload string) *mqtt.Publish {
	return &mqtt.Publish{Topic: []byte("in"), PacketID: id, QoS: qos, Payload: []byte(payload)}
}

// [MQTT-4.3.3-8], [MQTT-4.3.3-10], [MQTT-4.3.3-11], [MQTT-4.3.3-12].
func TestExactlyOnceOverReconnect(t *testing.T) {
	eachEngine(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, keep(client.Options{}))
		defer end(c)
		p.send(message(1, 2, "held"), message(2, 2, "handled"), message(3, 2, "released"))
		held, handled, released := receive(t, c), receive(t, c), receive(t, c)
		p.silent(time.Second) // PUBREC means handled
		handled.Ack()
		released.Ack()
		p.silent(time.Second) // and they go in order [MQTT-4.6.0-3]
		p.nc.Close()

		p = f.welcome(true)
		again := message(1, 2, "held")
		again.Dup = true
		second := message(2, 2, "handled")
		second.Dup = true
		p.send(again, second)
		p.silent(time.Second)
		held.Ack()
		held.Ack()
		for _, id := range []mqtt.PacketID{1, 2} {
			if r := next[*mqtt.Pubrec](p); r.PacketID != id {
				t.Errorf("PUBREC %d, want %d", r.PacketID, id)
			}
		}
		p.send(again) // its PUBREC was lost: one more, and no second delivery
		if r := next[*mqtt.Pubrec](p); r.PacketID != 1 {
			t.Errorf("PUBREC %d", r.PacketID)
		}
		empty(t, c)
		for _, id := range []mqtt.PacketID{1, 2} {
			p.send(&mqtt.Pubrel{Ack: ack(id, 0)})
			if r := next[*mqtt.Pubcomp](p); r.PacketID != id || r.ReasonCode != mqtt.Success {
				t.Errorf("PUBCOMP %+v", r)
			}
		}
		p.send(message(1, 2, "new")) // the identifier is free
		if d := receive(t, c); string(d.Payload) != "new" {
			t.Errorf("got %q", d.Payload)
		}
	})
}

// [MQTT-3.2.2-5].
func TestSessionGone(t *testing.T) {
	eachEngine(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, keep(client.Options{}))
		defer end(c)
		subscribe(t, c, p, mqtt.Subscription{Filter: "a/#", QoS: 1}, mqtt.Subscription{Filter: "b", QoS: 2})
		subscribe(t, c, p, mqtt.Subscription{Filter: "b", QoS: 0}) // replaces the other b
		subscribe(t, c, p, mqtt.Subscription{Filter: "gone"})
		go func() {
			u := next[*mqtt.Unsubscribe](p)
			p.send(&mqtt.Unsuback{PacketID: u.PacketID, ReasonCodes: []mqtt.ReasonCode{0}})
		}()
		if _, err := c.Unsubscribe(context.Background(), []string{"gone"}, nil); err != nil {
			t.Fatal(err)
		}
		one, two, taken := publish(t, c, 1, "one"), publish(t, c, 2, "two"), publish(t, c, 2, "taken")
		p.expect("one", false)
		p.expect("two", false)
		p.send(&mqtt.Pubrec{Ack: ack(p.expect("taken", false), 0)})
		next[*mqtt.Pubrel](p)
		p.nc.Close()

		p = f.welcome(false)
		if err := <-taken; err != nil {
			t.Errorf("the Server took it over: %v", err)
		}
		for _, want := range [][]mqtt.Subscription{{{Filter: "a/#", QoS: 1}}, {{Filter: "b", QoS: 0}}} {
			s := next[*mqtt.Subscribe](p)
			if fmt.Sprint(s.Subscriptions) != fmt.Sprint(want) {
				t.Errorf("subscribed again to %v, want %v", s.Subscriptions, want)
			}
			p.send(&mqtt.Suback{PacketID: s.PacketID, ReasonCodes: []mqtt.ReasonCode{0}})
		}
		p.send(&mqtt.Puback{Ack: ack(p.expect("one", false), 0)}) // a new Session: the first transmission
		p.send(&mqtt.Pubrec{Ack: ack(p.expect("two", false), 0)})
		p.send(&mqtt.Pubcomp{Ack: ack(next[*mqtt.Pubrel](p).PacketID, 0)})
		if err := errors.Join(<-one, <-two); err != nil {
			t.Error(err)
		}
	})
}

// A subscription that the new Session is denied ends the client: it would wait
// for ever without a word.
func TestSubscriptionLost(t *testing.T) {
	eachEngine(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, keep(client.Options{}))
		subscribe(t, c, p, mqtt.Subscription{Filter: "a"})
		p.nc.Close()
		p = f.welcome(false)
		p.send(&mqtt.Suback{PacketID: next[*mqtt.Subscribe](p).PacketID, ReasonCodes: []mqtt.ReasonCode{mqtt.NotAuthorized}})
		<-c.Done()
		denied, ok := errors.AsType[*client.SubscribeError](c.Err())
		if !ok || denied.ReasonCode() != mqtt.NotAuthorized {
			t.Errorf("ended by %v", c.Err())
		}
	})
}

func subscribe(t *testing.T, c *client.Client, p *peer, subs ...mqtt.Subscription) {
	t.Helper()
	go func() {
		s := next[*mqtt.Subscribe](p)
		codes := make([]mqtt.ReasonCode, len(s.Subscriptions))
		for i := range codes {
			codes[i] = mqtt.ReasonCode(s.Subscriptions[i].QoS)
		}
		p.send(&mqtt.Suback{PacketID: s.PacketID, ReasonCodes: codes})
	}()
	if _, err := c.Subscribe(context.Background(), subs, nil); err != nil {
		t.Fatal(err)
	}
}

// A SUBSCRIBE whose connection ends before its SUBACK is sent on the next one.
func TestSubscribeOverReconnect(t *testing.T) {
	eachEngine(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, keep(client.Options{}))
		defer end(c)
		done := make(chan error)
		go func() {
			codes, err := c.Subscribe(context.Background(), []mqtt.Subscription{{Filter: "x", QoS: 1}}, nil)
			if err == nil && (len(codes) != 1 || codes[0] != 1) {
				err = fmt.Errorf("codes %v", codes)
			}
			done <- err
		}()
		next[*mqtt.Subscribe](p)
		p.nc.Close()
		p = f.welcome(true)
		p.send(&mqtt.Suback{PacketID: next[*mqtt.Subscribe](p).PacketID, ReasonCodes: []mqtt.ReasonCode{1}})
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		o := keep(client.Options{})
		o.Reconnect = &client.Backoff{Min: 100 * time.Millisecond, Max: time.Second, Attempts: 6}
		var times []time.Time
		o.OnState = func(s client.State, err error) {
			times = append(times, time.Now())
			if err == nil && s != client.Connected {
				t.Errorf("%v without a reason", s)
			}
		}
		c, p := connected(f, o)
		f.down.Store(true)
		p.nc.Close()
		<-c.Done()
		if !errors.Is(c.Err(), client.ErrConnectionLost) {
			t.Errorf("ended by %v", c.Err())
		}
		if f.dials.Load() != 1+6 {
			t.Errorf("%d dials, want 7", f.dials.Load())
		}
		// Connected, Reconnecting 6 times, Closed.
		if len(times) != 8 {
			t.Fatalf("%d states, want 8", len(times))
		}
		for i, ceiling := range []int{100, 200, 400, 800, 1000, 1000} {
			d := times[i+2].Sub(times[i+1])
			if d <= 0 || d > time.Duration(ceiling)*time.Millisecond {
				t.Errorf("wait %d was %v, at most %d ms", i, d, ceiling)
			}
		}
	})
}

func TestWhatIsNotTriedAgain(t *testing.T) {
	for _, tt := range []struct {
		name string
		act  func(*peer)
	}{
		{"moved", func(p *peer) { p.send(&mqtt.Disconnect{ReasonCode: mqtt.ServerMoved}) }},
		{"malformed", func(p *peer) { p.raw([]byte{0x0f, 0}) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T) {
				f := newFake(t)
				c, p := connected(f, keep(client.Options{}))
				lost := publish(t, c, 1, "x")
				p.expect("x", false)
				tt.act(p)
				go p.packet()
				<-c.Done()
				if err := <-lost; !errors.Is(err, client.ErrConnectionLost) || fmt.Sprint(err) != fmt.Sprint(c.Err()) {
					t.Errorf("the message ended by %v, the client by %v", err, c.Err())
				}
				if f.dials.Load() != 1 {
					t.Errorf("%d dials", f.dials.Load())
				}
			})
		})
	}
}

// After a take-over the client comes back, for it may have been its own late
// CONNECT; it does not fight for the Session for ever.
func TestTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, keep(client.Options{}))
		p.send(&mqtt.Disconnect{ReasonCode: mqtt.SessionTakenOver})
		p = f.welcome(true)
		p.send(&mqtt.Disconnect{ReasonCode: mqtt.ServerBusy})
		p = f.welcome(true)
		for range 3 {
			p.send(&mqtt.Disconnect{ReasonCode: mqtt.SessionTakenOver})
			p = f.welcome(true)
		}
		p.send(&mqtt.Disconnect{ReasonCode: mqtt.SessionTakenOver})
		<-c.Done()
		d, ok := errors.AsType[*client.DisconnectError](c.Err())
		if !ok || d.ReasonCode != mqtt.SessionTakenOver || f.dials.Load() != 6 {
			t.Errorf("%d dials, ended by %v", f.dials.Load(), c.Err())
		}
	})
}

// A Server that is busy is tried again, with the identifier that it assigned.
func TestServerShuttingDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, client.Options{Reconnect: &client.Backoff{}, SessionExpiryInterval: 60},
			mqtt.Str(mqtt.AssignedClientIdentifier, "given"))
		defer end(c)
		if !p.connect.CleanStart || p.connect.ClientID != "" {
			t.Errorf("CONNECT %+v", p.connect)
		}
		p.send(&mqtt.Disconnect{ReasonCode: mqtt.ServerShuttingDown})
		p = f.accept()
		if p.connect.CleanStart || p.connect.ClientID != "given" {
			t.Errorf("CONNECT %+v", p.connect)
		}
		p.send(&mqtt.Connack{ReasonCode: mqtt.ServerBusy})
		p = f.accept()
		p.send(&mqtt.Connack{ReasonCode: mqtt.NotAuthorized})
		<-c.Done()
		refused, ok := errors.AsType[*client.ConnectError](c.Err())
		if !ok || refused.ReasonCode != mqtt.NotAuthorized {
			t.Errorf("ended by %v", c.Err())
		}
	})
}

// A Session that is lost takes what the Server had received with it, or that
// comes again: by choice, in order, and as a first publication.
func TestNewSessionAfterPubrec(t *testing.T) {
	for _, resend := range []bool{false, true} {
		t.Run(fmt.Sprint(resend), func(t *testing.T) {
			eachEngine(t, func(t *testing.T) {
				f := newFake(t)
				o := keep(client.Options{})
				o.ResendReceived = resend
				c, p := connected(f, o)
				defer end(c)
				a, b := publish(t, c, 2, "a"), publish(t, c, 2, "b")
				ida := p.expect("a", false)
				p.expect("b", false)
				p.send(&mqtt.Pubrec{Ack: ack(ida, 0)})
				next[*mqtt.Pubrel](p)
				p.nc.Close()

				p = f.welcome(false)
				if resend {
					ida = p.expect("a", false)
				}
				p.send(&mqtt.Pubrec{Ack: ack(p.expect("b", false), mqtt.QuotaExceeded)})
				if resend {
					p.send(&mqtt.Pubrec{Ack: ack(ida, 0)})
					next[*mqtt.Pubrel](p)
					p.send(&mqtt.Pubcomp{Ack: ack(ida, 0)})
				}
				if err := <-a; err != nil {
					t.Error(err)
				}
				if _, ok := errors.AsType[*client.PublishError](<-b); !ok {
					t.Error("b was not denied")
				}
				if n := c.InFlight(); n != 0 {
					t.Errorf("%d in flight at the end", n)
				}
			})
		})
	}
}
