package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xdg-go/scram"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// Statements that no other test has for its subject.

// [MQTT-3.2.2-4]: after Clean Start there is no state that a Server could know.
func TestSessionPresentAfterCleanStart(t *testing.T) {
	for _, v := range []mqtt.Version{mqtt.V311, mqtt.V50} {
		eachEngine(t, func(t *testing.T) {
			f := newFake(t)
			done := dialling(f, client.Options{Version: v, Reconnect: &client.Backoff{First: true}})
			p := f.accept()
			if !p.connect.CleanStart {
				t.Fatal("CONNECT without Clean Start")
			}
			p.send(&mqtt.Connack{SessionPresent: true})
			p.closed()
			broken, ok := errors.AsType[*mqtt.Error]((<-done).err)
			if !ok || broken.Code != mqtt.ProtocolError || broken.Statement != "MQTT-3.2.2-4" || f.dials.Load() != 1 {
				t.Errorf("%d dials, %+v", f.dials.Load(), broken)
			}
		})
	}
}

// [MQTT-3.1.2-30]: a client that authenticates sends nothing but AUTH before
// CONNACK, whatever waits. Its AUTH has no texts [MQTT-3.15.2-2],
// [MQTT-3.15.2-3].
func TestSilentUntilConnack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		o := keep(client.Options{KeepAlive: 1, ConnectTimeout: time.Minute})
		o.Authentication = scramOptions(t, client.ScramSHA256, "pencil").Authentication
		done := dialling(f, o)
		admit := func(present bool, meanwhile func()) *peer {
			p := f.accept()
			meanwhile()
			p.silent(5 * time.Second) // nor a PINGREQ
			conv := scramServer(t, scram.SHA256)
			challenge, err := conv.Step(dataOf(t, client.ScramSHA256, p.connect.Properties))
			if err != nil {
				t.Fatal(err)
			}
			p.send(&mqtt.Auth{ReasonCode: mqtt.ContinueAuthentication, Properties: authProperties(client.ScramSHA256, challenge)})
			answer := next[*mqtt.Auth](p)
			if answer.Properties.Has(mqtt.ReasonString) || answer.Properties.Has(mqtt.UserProperty) {
				t.Errorf("AUTH with %v", answer.Properties)
			}
			final, err := conv.Step(dataOf(t, client.ScramSHA256, answer.Properties))
			if err != nil {
				t.Fatal(err)
			}
			p.silent(5 * time.Second)
			p.send(&mqtt.Connack{SessionPresent: present, Properties: authProperties(client.ScramSHA256, final)})
			return p
		}
		p := admit(false, func() {})
		c := (<-done).c
		defer end(c)
		subscribed := make(chan error, 1)
		ended := publish(t, c, 1, "x")
		id := p.expect("x", false)
		p.nc.Close()
		p = admit(true, func() {
			go func() {
				_, err := c.Subscribe(context.Background(), []mqtt.Subscription{{Filter: "a"}}, nil)
				subscribed <- err
			}()
			publish(t, c, 1, "y")
			if err := c.PublishAsync(&mqtt.Message{Topic: "t"}, nil); !errors.Is(err, client.ErrNotConnected) {
				t.Errorf("QoS 0 before CONNACK: %v", err)
			}
		})
		p.send(&mqtt.Suback{PacketID: next[*mqtt.Subscribe](p).PacketID, ReasonCodes: []mqtt.ReasonCode{0}})
		if again := p.expect("x", true); again != id {
			t.Errorf("sent again as %d, was %d", again, id)
		}
		p.expect("y", false)
		p.send(&mqtt.Puback{Ack: ack(id, 0)})
		if err := errors.Join(<-ended, <-subscribed); err != nil {
			t.Error(err)
		}
	})
}

// A Server with a small Maximum Packet Size [MQTT-3.2.2-15]: PUBACK
// [MQTT-3.4.2-2], [MQTT-3.4.2-3], PUBREC [MQTT-3.5.2-2], [MQTT-3.5.2-3], PUBREL
// [MQTT-3.6.2-2], [MQTT-3.6.2-3] and PUBCOMP [MQTT-3.7.2-2], [MQTT-3.7.2-3] never
// have texts, and DISCONNECT leaves out those that do not fit [MQTT-3.14.2-3],
// [MQTT-3.14.2-4].
func TestTextsThatDoNotFit(t *testing.T) {
	long := strings.Repeat("x", 40)
	for _, tt := range []struct {
		name       string
		ps         mqtt.Properties
		text, user bool // what is sent
	}{
		{"all fits", mqtt.Properties{mqtt.Str(mqtt.ReasonString, "r"), mqtt.User("k", "v")}, true, true},
		{"the user property does not", mqtt.Properties{mqtt.Str(mqtt.ReasonString, "r"), mqtt.User("k", long)}, true, false},
		{"the reason does not", mqtt.Properties{mqtt.Str(mqtt.ReasonString, long), mqtt.User("k", "v")}, false, false},
		{"nothing does", mqtt.Properties{mqtt.User("k", long), mqtt.Str(mqtt.ReasonString, long), mqtt.User(long, "")}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T) {
				f := newFake(t)
				c, p := connected(f, client.Options{AutoAck: true}, mqtt.Num(mqtt.MaximumPacketSize, 40))
				p.send(message(1, 1, "a"), message(2, 2, "b"), &mqtt.Pubrel{Ack: ack(2, 0)}, &mqtt.Pubrel{Ack: ack(9, 0)},
					&mqtt.Pubrec{Ack: ack(9, 0)})
				receive(t, c)
				receive(t, c)
				p.silentTexts(5)
				ps := append(tt.ps[:len(tt.ps):len(tt.ps)], mqtt.Num(mqtt.SessionExpiryInterval, 0))
				go func() {
					_ = c.Disconnect(context.Background(), mqtt.Disconnect{ReasonCode: mqtt.DisconnectWithWill, Properties: ps})
				}()
				d := next[*mqtt.Disconnect](p)
				if d.Size(mqtt.V50) > 40 || d.ReasonCode != mqtt.DisconnectWithWill || !d.Properties.Has(mqtt.SessionExpiryInterval) {
					t.Errorf("%d bytes: %+v", d.Size(mqtt.V50), d)
				}
				if d.Properties.Has(mqtt.ReasonString) != tt.text || d.Properties.Has(mqtt.UserProperty) != tt.user {
					t.Errorf("sent with %v", d.Properties)
				}
				p.closed()
				<-c.Done()
			})
		})
	}
}

// silentTexts reads n acknowledgements, which have no properties.
func (p *peer) silentTexts(n int) {
	p.t.Helper()
	for range n {
		pkt, err := p.packet()
		if err != nil {
			p.t.Fatal(err)
		}
		var a mqtt.Ack
		switch q := pkt.(type) {
		case *mqtt.Puback:
			a = q.Ack
		case *mqtt.Pubrec:
			a = q.Ack
		case *mqtt.Pubrel:
			a = q.Ack
		case *mqtt.Pubcomp:
			a = q.Ack
		default:
			p.t.Fatalf("got %s", pkt.Type())
		}
		if len(a.Properties) > 0 {
			p.t.Errorf("%s with %v", pkt.Type(), a.Properties)
		}
	}
}

// [MQTT-3.3.2-10]: every alias up to the maximum that CONNECT names is taken.
func TestEveryTopicAlias(t *testing.T) {
	eachEngine(t, func(t *testing.T) {
		f := newFake(t)
		const limit = 300
		c, p := connected(f, client.Options{TopicAliasMaximum: limit})
		defer end(c)
		if n, _ := p.connect.Properties.Number(mqtt.TopicAliasMaximum); n != limit {
			t.Fatalf("CONNECT names %d", n)
		}
		for round := range 2 {
			for n := range uint32(limit) {
				m := &mqtt.Publish{Properties: mqtt.Properties{mqtt.Num(mqtt.TopicAlias, n+1)}}
				want := fmt.Sprint("t/", n)
				if round == 0 {
					m.Topic = []byte(want)
				}
				p.send(m)
				if d := receive(t, c); d.Topic != want {
					t.Fatalf("alias %d is %q, want %q", n+1, d.Topic, want)
				}
			}
		}
	})
}
