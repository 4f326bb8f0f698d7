package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

// [MQTT-3.3.4-7], [MQTT-4.9.0-2]: never more than the Server's Receive Maximum,
// and nothing else is held up by it [MQTT-3.3.4-8], [MQTT-4.9.0-3].
func TestWindow(t *testing.T) {
	for _, tt := range []struct{ server, own, want int }{{3, 0, 3}, {0, 2, 2}, {3, 9, 3}, {0, 0, 65535}} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			eachEngine(t, func(t *testing.T) {
				f := newFake(t)
				var ps []mqtt.Property
				if tt.server > 0 {
					ps = append(ps, mqtt.Num(mqtt.ReceiveMaximum, uint32(tt.server)))
				}
				c, p := connected(f, client.Options{InFlight: tt.own}, ps...)
				defer end(c)
				if n := c.Window(); n != tt.want {
					t.Fatalf("the window is %d, want %d", n, tt.want)
				}
				if tt.want > 10 {
					return
				}
				ids := make([]mqtt.PacketID, tt.want)
				for i := range ids {
					publish(t, c, 1+mqtt.QoS(i)%2, "x")
					ids[i] = p.expect("x", false)
				}
				if err := c.PublishAsync(&mqtt.Message{Topic: "t", QoS: 1}, nil); !errors.Is(err, client.ErrWindowFull) {
					t.Errorf("one too many: %v", err)
				}
				publish(t, c, 0, "free") // QoS 0 needs no quota
				p.expect("free", false)
				waited := make(chan error, 1)
				go func() {
					_, err := c.Publish(context.Background(), &mqtt.Message{Topic: "t", QoS: 1, Payload: []byte("y")})
					waited <- err
				}()
				p.silent(time.Second)
				p.send(&mqtt.Puback{Ack: ack(ids[0], 0)})
				p.send(&mqtt.Puback{Ack: ack(p.expect("y", false), 0)})
				if err := <-waited; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What the Server does not take is not sent to it: [MQTT-3.2.2-11],
// [MQTT-3.2.2-14], [MQTT-3.2.2-15], [MQTT-3.2.2-17], [MQTT-3.2.2-18],
// [MQTT-3.3.2-2], [MQTT-3.3.2-9], [MQTT-3.3.2-14], [MQTT-3.3.4-6].
func TestServerLimits(t *testing.T) {
	text := func(n int) []byte { return bytes.Repeat([]byte("x"), n) }
	limits := []mqtt.Property{mqtt.Num(mqtt.MaximumPacketSize, 100), mqtt.Num(mqtt.MaximumQoS, 1), mqtt.Num(mqtt.RetainAvailable, 0)}
	tests := []struct {
		name string
		m    mqtt.Message
		want mqtt.ReasonCode
	}{
		{"size", mqtt.Message{Topic: "t", Payload: text(100)}, mqtt.PacketTooLarge},
		{"size of properties", mqtt.Message{Topic: "t", Properties: mqtt.Properties{mqtt.Bin(mqtt.CorrelationData, text(100))}}, mqtt.PacketTooLarge},
		{"QoS", mqtt.Message{Topic: "t", QoS: 2}, mqtt.QoSNotSupported},
		{"retain", mqtt.Message{Topic: "t", Retain: true}, mqtt.RetainNotSupported},
		{"alias", mqtt.Message{Topic: "t", Properties: mqtt.Properties{mqtt.Num(mqtt.TopicAlias, 1)}}, mqtt.TopicAliasInvalid},
		{"wildcard", mqtt.Message{Topic: "t/#"}, mqtt.TopicNameInvalid},
		{"no topic", mqtt.Message{}, mqtt.TopicNameInvalid},
		{"QoS 3", mqtt.Message{Topic: "t", QoS: 3}, mqtt.ProtocolError},
		{"property", mqtt.Message{Topic: "t", Properties: mqtt.Properties{mqtt.Num(mqtt.SubscriptionIdentifier, 1)}}, mqtt.ProtocolError},
		{"response topic", mqtt.Message{Topic: "t", Properties: mqtt.Properties{mqtt.Str(mqtt.ResponseTopic, "#")}}, mqtt.ProtocolError},
		{"length", mqtt.Message{Topic: "t", QoS: 1, Properties: mqtt.Properties{mqtt.Bin(mqtt.CorrelationData, text(70000))}}, mqtt.PacketTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T) {
				f := newFake(t)
				c, p := connected(f, client.Options{}, limits...)
				defer end(c)
				_, err := c.Publish(context.Background(), &tt.m)
				denied, ok := errors.AsType[*client.PublishError](err)
				if !ok || denied.ReasonCode != tt.want || errors.Is(err, client.ErrPacketTooLarge) != (tt.want == mqtt.PacketTooLarge) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				p.silent(time.Second)
				if c.InFlight() != 0 {
					t.Error("it holds a place")
				}
			})
		})
	}
	t.Run("a string too long", func(t *testing.T) {
		eachEngine(t, func(t *testing.T) {
			f := newFake(t)
			c, p := connected(f, client.Options{TopicAliasMaximum: 5}, mqtt.Num(mqtt.TopicAliasMaximum, 5))
			defer end(c)
			for qos := range mqtt.QoS(3) {
				m := &mqtt.Message{Topic: "t", QoS: qos, Properties: mqtt.Properties{mqtt.Bin(mqtt.CorrelationData, text(70000))}}
				_, err := c.Publish(context.Background(), m)
				if _, ok := errors.AsType[*mqtt.EncodeError](err); !ok || c.InFlight() != 0 {
					t.Errorf("QoS %d: %v, %d in flight", qos, err, c.InFlight())
				}
			}
			publish(t, c, 0, "x")
			if m := next[*mqtt.Publish](p); string(m.Topic) != "t" {
				t.Errorf("the alias that was not sent stands for the topic: %+v", m)
			}
		})
	})
}

func TestSubscribeFaults(t *testing.T) {
	lacks := []mqtt.Property{mqtt.Num(mqtt.WildcardSubscriptionAvailable, 0), mqtt.Num(mqtt.SharedSubscriptionAvailable, 0),
		mqtt.Num(mqtt.SubscriptionIdentifierAvailable, 0), mqtt.Num(mqtt.MaximumPacketSize, 60)}
	long := string(bytes.Repeat([]byte("x"), 60))
	tests := []struct {
		name  string
		sub   mqtt.Subscription
		props mqtt.Properties
		want  mqtt.ReasonCode // 0: another error
	}{
		{"wildcard", mqtt.Subscription{Filter: "a/+"}, nil, mqtt.WildcardSubscriptionsNotSupported},
		{"shared", mqtt.Subscription{Filter: "$share/g/a"}, nil, mqtt.SharedSubscriptionsNotSupported},
		{"identifier", mqtt.Subscription{Filter: "a"}, mqtt.Properties{mqtt.Num(mqtt.SubscriptionIdentifier, 1)}, mqtt.SubscriptionIdentifiersNotSupported},
		{"size", mqtt.Subscription{Filter: long}, nil, 0},
		{"filter", mqtt.Subscription{Filter: "a#"}, nil, 0},
		{"no local", mqtt.Subscription{Filter: "$share/g/a", NoLocal: true}, nil, 0},
		{"QoS", mqtt.Subscription{Filter: "a", QoS: 3}, nil, 0},
		{"property", mqtt.Subscription{Filter: "a"}, mqtt.Properties{mqtt.Num(mqtt.TopicAlias, 1)}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T) {
				f := newFake(t)
				c, p := connected(f, client.Options{}, lacks...)
				defer end(c)
				_, err := c.Subscribe(context.Background(), []mqtt.Subscription{tt.sub}, tt.props)
				denied, ok := errors.AsType[*client.SubscribeError](err)
				if err == nil || ok != (tt.want != 0) || ok && denied.ReasonCode() != tt.want {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				p.silent(time.Second)
				subscribe(t, c, p, mqtt.Subscription{Filter: "fine"})
			})
		})
	}
}

func TestSubackDenied(t *testing.T) {
	eachEngine(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, client.Options{})
		go func() {
			s := next[*mqtt.Subscribe](p)
			p.send(&mqtt.Suback{PacketID: s.PacketID, ReasonCodes: []mqtt.ReasonCode{1, mqtt.NotAuthorized},
				Properties: mqtt.Properties{mqtt.Str(mqtt.ReasonString, "no")}})
		}()
		codes, err := c.Subscribe(context.Background(), []mqtt.Subscription{{Filter: "a", QoS: 1}, {Filter: "b", QoS: 1}}, nil)
		denied, ok := errors.AsType[*client.SubscribeError](err)
		if !ok || denied.ReasonString != "no" || denied.ReasonCode() != mqtt.NotAuthorized || len(codes) != 2 || codes[0] != 1 {
			t.Errorf("got %v, %v", codes, err)
		}
		// One Reason Code for two filters breaks the standard [MQTT-3.9.3-1].
		var server sync.WaitGroup
		defer server.Wait()
		server.Go(func() {
			s := next[*mqtt.Subscribe](p)
			p.send(&mqtt.Suback{PacketID: s.PacketID, ReasonCodes: []mqtt.ReasonCode{1}})
			if d := next[*mqtt.Disconnect](p); d.ReasonCode != mqtt.ProtocolError {
				t.Errorf("DISCONNECT %v", d.ReasonCode)
			}
			p.closed()
		})
		_, err = c.Subscribe(context.Background(), []mqtt.Subscription{{Filter: "a"}, {Filter: "b"}}, nil)
		if _, ok := errors.AsType[*mqtt.Error](err); !ok {
			t.Errorf("got %v", err)
		}
		<-c.Done()
	})
}

// Every message is acknowledged as its QoS wants [MQTT-3.3.4-1], [MQTT-4.3.2-4],
// [MQTT-4.5.0-2], and in order [MQTT-4.6.0-2], [MQTT-4.6.0-3].
func TestAckOrder(t *testing.T) {
	eachEngine(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, client.Options{ReceiveMaximum: 4})
		defer end(c)
		p.send(message(5, 1, "a"), message(3, 1, "b"), message(9, 2, "c"), message(1, 1, "d"))
		var all []*client.Delivery
		for range 4 {
			all = append(all, receive(t, c))
		}
		all[3].Ack()
		all[1].Ack()
		p.silent(time.Second)
		all[0].Ack() // [MQTT-4.6.0-2]
		for _, want := range []mqtt.PacketID{5, 3} {
			if a := next[*mqtt.Puback](p); a.PacketID != want {
				t.Errorf("PUBACK %d, want %d", a.PacketID, want)
			}
		}
		p.send(message(6, 1, "e"), message(7, 1, "f")) // the places are free again
		all[2].Ack()
		if r := next[*mqtt.Pubrec](p); r.PacketID != 9 {
			t.Errorf("PUBREC %d", r.PacketID)
		}
		if a := next[*mqtt.Puback](p); a.PacketID != 1 {
			t.Errorf("PUBACK %d", a.PacketID)
		}
		p.send(&mqtt.Pubrel{Ack: ack(9, 0)})
		next[*mqtt.Pubcomp](p)
		p.send(message(9, 2, "g"), message(10, 1, "h"))
		for range 4 {
			receive(t, c).Ack()
		}
		for _, want := range []string{"PUBACK 6", "PUBACK 7", "PUBREC 9", "PUBACK 10"} {
			pkt, err := p.packet()
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			switch a := pkt.(type) {
			case *mqtt.Puback:
				got = fmt.Sprint("PUBACK ", a.PacketID)
			case *mqtt.Pubrec:
				got = fmt.Sprint("PUBREC ", a.PacketID)
			}
			if got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	})
}

// A consumer that works on one message while others wait still has the one
// before acknowledged soon.
func TestAckOfSlowConsumer(t *testing.T) {
	eachEngine(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, client.Options{})
		defer end(c)
		p.send(message(1, 1, "a"), message(2, 1, "b"), message(3, 1, "c"))
		receive(t, c).Ack()
		if a := next[*mqtt.Puback](p); a.PacketID != 1 { // which would not come at all before the next Ack
			t.Errorf("PUBACK %d", a.PacketID)
		}
		receive(t, c).Ack()
		receive(t, c).Ack()
		next[*mqtt.Puback](p)
		next[*mqtt.Puback](p)
	})
}

// [MQTT-4.5.0-2].
func TestAutoAckAndOnMessage(t *testing.T) {
	eachEngine(t, func(t *testing.T) {
		f := newFake(t)
		var seen []string
		c, p := connected(f, client.Options{AutoAck: true, TopicAliasMaximum: 1,
			OnMessage: func(c *client.Client, p *mqtt.Publish, topic string) bool {
				seen = append(seen, fmt.Sprintf("%s %s", topic, p.Payload))
				_ = c.PublishAsync(&mqtt.Message{Topic: "echo", Payload: bytes.Clone(p.Payload)}, nil)
				return p.QoS != mqtt.QoS1
			}})
		defer end(c)
		p.send(message(1, 2, "a"), message(2, 1, "b"))
		got := map[string]int{}
		for range 3 {
			pkt, err := p.packet()
			if err != nil {
				t.Fatal(err)
			}
			got[pkt.Type().String()]++
		}
		if got["PUBLISH"] != 2 || got["PUBREC"] != 1 { // b is not handled yet
			t.Errorf("got %v", got)
		}
		if d := receive(t, c); string(d.Payload) != "b" {
			t.Errorf("received %q", d.Payload)
		}
		next[*mqtt.Puback](p)
		p.send(message(1, 2, "a")) // the PUBREC was lost
		next[*mqtt.Pubrec](p)
		if fmt.Sprint(seen) != "[in a in b]" {
			t.Errorf("seen %q", seen)
		}
	})
}

func TestPropertiesIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, client.Options{TopicAliasMaximum: 2})
		defer end(c)
		props := func(more ...mqtt.Property) mqtt.Properties {
			return append(mqtt.Properties{mqtt.User("b", "1"), mqtt.User("a", "2"), mqtt.Str(mqtt.ContentType, "text")}, more...)
		}
		p.send(&mqtt.Publish{Topic: []byte("long/name"), Retain: true,
			Properties: props(mqtt.Num(mqtt.TopicAlias, 2), mqtt.Num(mqtt.SubscriptionIdentifier, 7), mqtt.Num(mqtt.SubscriptionIdentifier, 268435455))},
			&mqtt.Publish{Properties: props(mqtt.Num(mqtt.TopicAlias, 2))})
		for i := range 2 {
			d := receive(t, c)
			if d.Topic != "long/name" || d.TopicAlias != 2 || fmt.Sprint(d.Properties) != fmt.Sprint(props()) || d.Retain != (i == 0) {
				t.Errorf("got %+v %+v", d, d.Message)
			}
			if want := [][]uint32{{7, 268435455}, nil}[i]; fmt.Sprint(d.SubscriptionIdentifiers) != fmt.Sprint(want) {
				t.Errorf("Subscription Identifiers %v", d.SubscriptionIdentifiers)
			}
			if !d.Received.Equal(time.Now()) {
				t.Errorf("received at %v", d.Received)
			}
		}
	})
}

// [MQTT-3.3.2-7].
func TestTopicAliasOut(t *testing.T) {
	eachEngine(t, func(t *testing.T) {
		f := newFake(t)
		o := keep(client.Options{TopicAliasMaximum: 1})
		c, p := connected(f, o, mqtt.Num(mqtt.TopicAliasMaximum, 10))
		defer end(c)
		see := func(wantTopic string, wantAlias uint32) mqtt.PacketID {
			t.Helper()
			m := next[*mqtt.Publish](p)
			if alias := m.Properties.NumberOr(mqtt.TopicAlias, 0); string(m.Topic) != wantTopic || alias != wantAlias {
				t.Errorf("topic %q, alias %d; want %q, %d", m.Topic, alias, wantTopic, wantAlias)
			}
			return m.PacketID
		}
		publish(t, c, 1, "x")
		see("t", 1)
		publish(t, c, 1, "x")
		see("", 1)
		p.nc.Close()
		p = f.accept()
		p.send(&mqtt.Connack{SessionPresent: true, Properties: mqtt.Properties{mqtt.Num(mqtt.TopicAliasMaximum, 10)}})
		see("t", 1) // [MQTT-3.3.2-7]
		see("", 1)
	})
}

// A consumer that does not receive stops the reading; nothing is lost.
func TestReceiveBuffer(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for name, fill := range map[string]func(m *mqtt.Publish){
		"payload":  func(m *mqtt.Publish) { m.Payload = append(m.Payload, long...) },
		"property": func(m *mqtt.Publish) { m.Properties = append(m.Properties, mqtt.User("", long)) },
	} {
		t.Run(name, func(t *testing.T) { testReceiveBuffer(t, fill) })
	}
}

func testReceiveBuffer(t *testing.T, fill func(m *mqtt.Publish)) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, client.Options{ReceiveBuffer: 8 << 10, KeepAlive: 10})
		defer end(c)
		const n = 100
		sent := make(chan int, n)
		go func() {
			for i := range n {
				m := message(0, 0, fmt.Sprintf("%d ", i))
				fill(m)
				p.send(m)
				sent <- i
			}
		}()
		go func() {
			for {
				if _, err := p.packet(); err != nil {
					return
				}
			}
		}()
		time.Sleep(time.Hour) // a PINGRESP that cannot be read is not missed
		if len(sent) > 10 {
			t.Errorf("%d messages of 1 KB were read", len(sent))
		}
		for i := range n {
			d := receive(t, c)
			if !bytes.HasPrefix(d.Payload, fmt.Appendf(nil, "%d ", i)) {
				t.Fatalf("message %d is %.10q", i, d.Payload)
			}
		}
		if c.Waiting() {
			t.Error("one more waits")
		}
	})
}

// A Server that does not read stops the sending; nothing is lost and answers
// are kept.
func TestSendBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, client.Options{AutoAck: true, Transport: transport.Options{OutLimit: 10 << 10, StallTimeout: -1}, NoKeepAlive: true})
		defer end(c)
		const n = 100
		published := make(chan int, n)
		go func() {
			for i := range n {
				m := &mqtt.Message{Topic: "t", QoS: mqtt.QoS(i % 2), Payload: fmt.Appendf(nil, "%d %01000d", i, 0)}
				if i%2 == 0 {
					if _, err := c.Publish(context.Background(), m); err != nil {
						t.Error(err)
					}
				} else if err := untilRoom(c, m); err != nil {
					t.Error(err)
				}
				published <- i
			}
		}()
		time.Sleep(time.Second)
		if len(published) > 20 {
			t.Errorf("%d messages of 1 KB were taken", len(published))
		}
		p.send(message(1, 1, "in"))
		receive(t, c)
		time.Sleep(time.Second)
		i, acks := 0, 0
		for i < n || acks < 1 {
			pkt, err := p.packet()
			if err != nil {
				t.Fatal(err)
			}
			switch m := pkt.(type) {
			case *mqtt.Puback:
				acks++
			case *mqtt.Publish:
				if !bytes.HasPrefix(m.Payload, fmt.Appendf(nil, "%d ", i)) {
					t.Fatalf("message %d is %.10q", i, m.Payload)
				}
				i++
				if m.QoS == 1 {
					p.send(&mqtt.Puback{Ack: ack(m.PacketID, 0)})
				}
			}
		}
	})
}

func untilRoom(c *client.Client, m *mqtt.Message) error {
	for {
		err := c.PublishAsync(m, nil)
		if !errors.Is(err, client.ErrWindowFull) {
			return err
		}
		if err := c.WaitWindow(context.Background()); err != nil {
			return err
		}
	}
}

// A flood of packets that want answers from a Server that reads none of them is
// not read for ever.
func TestAnswersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, client.Options{Transport: transport.Options{OutLimit: 10 << 10, StallTimeout: -1}, NoKeepAlive: true})
		defer end(c)
		var flood []byte
		for range 1000 {
			flood = mqtt.AppendAck(flood, mqtt.TypePubrel, 7, 0, mqtt.V50)
		}
		sent := make(chan int, 1000)
		go func() {
			for i := range 1000 {
				p.raw(flood)
				sent <- i
			}
		}()
		time.Sleep(time.Minute)
		if n := len(sent) * len(flood); n > 1<<20 {
			t.Errorf("%d bytes were read", n)
		}
		for range 1000 * 1000 {
			next[*mqtt.Pubcomp](p)
		}
	})
}

func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		a, pa := connected(f, client.Options{})
		defer end(a)
		b, pb := connected(f, client.Options{})
		defer end(b)
		synctest.Wait() // nobody writes CONNECT any more, who would take what comes next along
		var batch client.Batch
		var mu sync.Mutex // each client calls from its own reader
		ended := map[uint64]mqtt.ReasonCode{}
		done := func(token uint64, code mqtt.ReasonCode, err error) {
			if (err != nil) != code.Failed() {
				t.Errorf("%d: %v %v", token, code, err)
			}
			mu.Lock()
			ended[token] = code
			mu.Unlock()
		}
		for i := range 20 {
			for k, c := range []*client.Client{a, b} {
				m := &mqtt.Message{Topic: "t", QoS: mqtt.QoS(i % 2), Payload: []byte(fmt.Sprint(i))}
				if err := batch.Publish(c, m, uint64(2*i+k), done); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(ended) != 20 { // QoS 0 has ended
			t.Errorf("%d have ended", len(ended))
		}
		pa.silent(time.Second)
		batch.Flush()
		for _, p := range []*peer{pa, pb} {
			for i := range 20 {
				if id := p.expect(fmt.Sprint(i), false); id != 0 {
					p.send(&mqtt.Puback{Ack: ack(id, []mqtt.ReasonCode{0, mqtt.QuotaExceeded}[i/2%2])})
				}
			}
		}
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(ended) != 40 || ended[2] != 0 || ended[6] != mqtt.QuotaExceeded || ended[7] != mqtt.QuotaExceeded {
			t.Errorf("ended: %v", ended)
		}
	})
}

func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var seen []string
		c, p := connected(f, client.Options{Trace: func(d client.Direction, pkt mqtt.Packet) {
			seen = append(seen, fmt.Sprintf("%d %v", d, pkt.Type()))
		}})
		defer end(c)
		publish(t, c, 2, "x")
		p.send(&mqtt.Pubrec{Ack: ack(p.expect("x", false), 0)})
		next[*mqtt.Pubrel](p)
		want := "[1 CONNECT 2 CONNACK 1 PUBLISH 2 PUBREC 1 PUBREL]"
		if fmt.Sprint(seen) != want {
			t.Errorf("saw %v, want %s", seen, want)
		}
	})
}
