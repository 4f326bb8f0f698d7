//go:build interop

package cmd_test

import (
	"bytes"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session/state"
)

const quietTime = 300 * time.Millisecond // in which what must not come would have come

// pahoClient is one Network Connection of paho.golang, which speaks 5.0 only.
type pahoClient struct {
	*paho.Client
	t        *testing.T
	conn     net.Conn
	connack  *paho.Connack
	messages chan *paho.Publish
	closes   chan byte // the Reason Code of the server's DISCONNECT
}

func dialPaho(t *testing.T, s interopServer, connect *paho.Connect, session *state.State) *pahoClient {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.tcp, "mqtt://"))
	if err != nil {
		t.Fatal(err)
	}
	c := &pahoClient{t: t, conn: conn, messages: make(chan *paho.Publish, 10000), closes: make(chan byte, 1)}
	config := paho.ClientConfig{ClientID: connect.ClientID, Conn: conn, PacketTimeout: startTimeout,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			c.messages <- p.Packet
			return true, nil
		}},
		OnServerDisconnect: func(d *paho.Disconnect) { c.closes <- d.ReasonCode },
	}
	if session != nil {
		config.Session = session
	}
	c.Client = paho.NewClient(config)
	if connect.KeepAlive == 0 {
		connect.KeepAlive = 60
	}
	if c.connack, err = c.Connect(t.Context(), connect); err != nil {
		t.Fatalf("CONNECT: %v", err)
	}
	t.Cleanup(func() {
		conn.Close()
		<-c.Done()
	})
	return c
}

func (c *pahoClient) subscribe(o paho.SubscribeOptions, id int) {
	c.t.Helper()
	s := &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{o}}
	if id > 0 {
		s.Properties = &paho.SubscribeProperties{SubscriptionIdentifier: &id}
	}
	ack, err := c.Subscribe(c.t.Context(), s)
	if err != nil {
		c.t.Fatalf("SUBSCRIBE: %v", err)
	}
	if !slices.Equal(ack.Reasons, []byte{o.QoS}) {
		c.t.Fatalf("SUBACK %v, want %d", ack.Reasons, o.QoS)
	}
}

func (c *pahoClient) publish(p *paho.Publish) byte {
	c.t.Helper()
	r, err := c.Publish(c.t.Context(), p)
	if err != nil {
		c.t.Fatalf("PUBLISH: %v", err)
	}
	return r.ReasonCode
}

func (c *pahoClient) next() *paho.Publish {
	c.t.Helper()
	select {
	case m := <-c.messages:
		return m
	case <-time.After(startTimeout):
		c.t.Fatal("no message came")
		return nil
	}
}

func (c *pahoClient) nothing(what string) {
	c.t.Helper()
	select {
	case m := <-c.messages:
		c.t.Fatalf("%s: %v", what, m)
	case <-time.After(quietTime):
	}
}

func pahoGolang(t *testing.T, s interopServer) {
	for _, check := range []struct {
		name string
		run  func(*testing.T, interopServer)
	}{
		{"delivery", pahoDelivery}, {"properties", pahoProperties}, {"order", pahoOrder}, {"retained", pahoRetained},
		{"session", pahoSession}, {"will", pahoWill}, {"aliases", pahoAliases}, {"big", pahoBig}, {"long topic", pahoLongTopic},
		{"unsubscribe", pahoUnsubscribe}, {"reasons", pahoReasons}, {"maximum packet size", pahoMaximumPacketSize},
	} {
		t.Run(check.name, func(t *testing.T) { check.run(t, s) })
	}
}

func cleanStart(id string) *paho.Connect { return &paho.Connect{ClientID: id, CleanStart: true} }

func pahoDelivery(t *testing.T, s interopServer) {
	a, b := dialPaho(t, s, cleanStart("go-a"), nil), dialPaho(t, s, cleanStart("go-b"), nil)
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	for granted := range byte(3) {
		a.subscribe(paho.SubscribeOptions{Topic: fmt.Sprintf("go/delivery/%d/+", granted), QoS: granted}, 0)
		for qos := range byte(3) {
			for _, payload := range [][]byte{{}, []byte("text"), binary, make([]byte, 1000)} {
				topic := fmt.Sprintf("go/delivery/%d/%d", granted, qos)
				b.publish(&paho.Publish{Topic: topic, QoS: qos, Payload: payload})
				m := a.next()
				if m.Topic != topic || m.QoS != min(qos, granted) || !bytes.Equal(m.Payload, payload) || m.Retain || m.Duplicate() {
					t.Fatalf("message %v, want topic %s, QoS %d, payload %x", m, topic, min(qos, granted), payload)
				}
			}
		}
	}
}

func pahoProperties(t *testing.T, s interopServer) {
	a, b := dialPaho(t, s, cleanStart("go-a"), nil), dialPaho(t, s, cleanStart("go-b"), nil)
	a.subscribe(paho.SubscribeOptions{Topic: "go/properties", QoS: 2}, 1<<28-1)
	for qos := range byte(3) {
		sent := paho.PublishProperties{CorrelationData: []byte{0, 1}, ContentType: "text/plain", ResponseTopic: "go/answer",
			PayloadFormat: paho.Byte(1), MessageExpiry: paho.Uint32(60),
			User: paho.UserProperties{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}, {Key: "", Value: ""}}}
		b.publish(&paho.Publish{Topic: "go/properties", QoS: qos, Payload: []byte("x"), Properties: &sent})
		got := *a.next().Properties
		if got.SubscriptionIdentifier == nil || *got.SubscriptionIdentifier != 1<<28-1 {
			t.Errorf("Subscription Identifier %v, want %d", got.SubscriptionIdentifier, 1<<28-1)
		}
		if got.MessageExpiry == nil || *got.MessageExpiry < 58 || *got.MessageExpiry > 60 {
			t.Errorf("Message Expiry Interval %v, want the 60 seconds that were sent", got.MessageExpiry)
		}
		got.SubscriptionIdentifier, got.MessageExpiry = nil, sent.MessageExpiry
		if !reflect.DeepEqual(got, sent) {
			t.Errorf("properties %+v, want %+v", got, sent)
		}
	}
}

func pahoOrder(t *testing.T, s interopServer) {
	connect := cleanStart("go-a")
	connect.Properties = &paho.ConnectProperties{ReceiveMaximum: paho.Uint16(5)}
	a, b := dialPaho(t, s, connect, nil), dialPaho(t, s, cleanStart("go-b"), nil)
	for qos := range byte(3) {
		topic := fmt.Sprintf("go/order/%d", qos)
		a.subscribe(paho.SubscribeOptions{Topic: topic, QoS: qos}, 0)
		go func() {
			for i := range 500 {
				if _, err := b.Publish(t.Context(), &paho.Publish{Topic: topic, QoS: qos, Payload: fmt.Append(nil, i)}); err != nil {
					t.Errorf("PUBLISH %d at QoS %d: %v", i, qos, err)
					return
				}
			}
		}()
		for i := range 500 {
			if m := a.next(); string(m.Payload) != fmt.Sprint(i) {
				t.Fatalf("message %s at place %d of QoS %d", m.Payload, i, qos)
			}
		}
		a.nothing("one message too many")
	}
}

func pahoRetained(t *testing.T, s interopServer) {
	b := dialPaho(t, s, cleanStart("go-b"), nil)
	b.publish(&paho.Publish{Topic: "go/retained", QoS: 1, Retain: true, Payload: []byte("kept")})
	a := dialPaho(t, s, cleanStart("go-a"), nil)
	a.subscribe(paho.SubscribeOptions{Topic: "go/#", QoS: 1}, 0)
	if m := a.next(); !m.Retain || string(m.Payload) != "kept" || m.QoS != 1 {
		t.Errorf("message %v, want the retained one", m)
	}
	a.subscribe(paho.SubscribeOptions{Topic: "go/#", QoS: 1, RetainHandling: 1}, 0)
	a.nothing("retained message to a subscription that was there")
	b.publish(&paho.Publish{Topic: "go/retained", QoS: 1, Retain: true})
	if m := a.next(); m.Retain {
		t.Errorf("message %v has the retain flag without Retain As Published", m)
	}
	a.subscribe(paho.SubscribeOptions{Topic: "go/#", QoS: 1}, 0)
	a.nothing("retained message after it was cleared")
}

// pahoSession cuts the connection while QoS 1 and 2 messages are on their way, both ways.
func pahoSession(t *testing.T, s interopServer) {
	keep := func(id string) *paho.Connect {
		return &paho.Connect{ClientID: id, Properties: &paho.ConnectProperties{SessionExpiryInterval: paho.Uint32(300)}}
	}
	session := state.NewInMemory()
	defer session.Close()
	a := dialPaho(t, s, keep("go-session"), session)
	if a.connack.SessionPresent {
		t.Error("Session Present of a new session")
	}
	a.subscribe(paho.SubscribeOptions{Topic: "go/session", QoS: 2}, 0)
	b := dialPaho(t, s, cleanStart("go-b"), nil)
	got := make(map[string]int)
	for i := range 40 {
		if i%10 == 5 {
			a.conn.Close()
			<-a.Done()
		}
		b.publish(&paho.Publish{Topic: "go/session", QoS: 2, Payload: fmt.Append(nil, i)})
		if i%10 == 9 {
			old := a.messages
			a = dialPaho(t, s, keep("go-session"), session)
			if !a.connack.SessionPresent {
				t.Fatal("no Session Present after a cut")
			}
			for len(old) > 0 {
				got[string((<-old).Payload)]++
			}
			for len(got) <= i {
				got[string(a.next().Payload)]++
			}
		}
	}
	a.nothing("one message too many")
	for payload, n := range got {
		if n != 1 {
			t.Errorf("message %s came %d times at QoS 2", payload, n)
		}
	}
}

func pahoWill(t *testing.T, s interopServer) {
	connect := func(delay uint32) *paho.Connect {
		c := cleanStart("go-dead")
		c.WillMessage = &paho.WillMessage{Topic: "go/will", Payload: []byte("gone\x00"), QoS: 2}
		// Of a will's properties paho.golang 0.23 sends the delay and User Properties only.
		c.WillProperties = &paho.WillProperties{WillDelayInterval: &delay, User: paho.UserProperties{{Key: "why", Value: "cut"}}}
		c.Properties = &paho.ConnectProperties{SessionExpiryInterval: paho.Uint32(60)}
		return c
	}
	a := dialPaho(t, s, cleanStart("go-a"), nil)
	a.subscribe(paho.SubscribeOptions{Topic: "go/will", QoS: 2}, 0)
	if err := dialPaho(t, s, connect(0), nil).Disconnect(&paho.Disconnect{}); err != nil {
		t.Fatal(err)
	}
	a.nothing("will after DISCONNECT")
	for _, delay := range []uint32{0, 1} {
		cut := time.Now()
		dialPaho(t, s, connect(delay), nil).conn.Close()
		m := a.next()
		if string(m.Payload) != "gone\x00" || m.QoS != 2 || m.Properties.User.Get("why") != "cut" {
			t.Errorf("will %v", m)
		}
		// mosquitto counts in whole seconds and may be up to one early.
		if early := time.Duration(delay)*time.Second - time.Since(cut); early > 0 && s.name != "mosquitto" {
			t.Errorf("the will came %v before its delay was over", early)
		}
	}
	if err := dialPaho(t, s, connect(0), nil).Disconnect(&paho.Disconnect{ReasonCode: 4}); err != nil {
		t.Fatal(err)
	}
	a.next() // 0x04 Disconnect with Will Message
}

func pahoAliases(t *testing.T, s interopServer) {
	connect := cleanStart("go-a")
	connect.Properties = &paho.ConnectProperties{TopicAliasMaximum: paho.Uint16(3)}
	a, b := dialPaho(t, s, connect, nil), dialPaho(t, s, cleanStart("go-b"), nil)
	maximum := b.connack.Properties.TopicAliasMaximum
	if maximum == nil || *maximum == 0 {
		t.Fatal("the server takes no Topic Alias")
	}
	a.subscribe(paho.SubscribeOptions{Topic: "go/alias/+", QoS: 1}, 0)
	aliases := make(map[uint16]string)
	for i := range 50 {
		topic := fmt.Sprintf("go/alias/%d", i%7)
		p := &paho.Publish{Topic: fmt.Sprintf("go/alias/%d", i%2), QoS: byte(i % 2), Payload: []byte("x"),
			Properties: &paho.PublishProperties{TopicAlias: maximum}}
		switch {
		case i%2 == 1 && i > 2: // the name once more, then by its alias
			b.publish(p)
			topic = p.Topic
			a.wantTopic(topic, aliases)
			p.Topic = ""
		default:
			p.Topic, p.Properties = topic, nil
		}
		b.publish(p)
		a.wantTopic(topic, aliases)
	}
}

// wantTopic resolves the server's alias, which paho.golang leaves to its user.
func (c *pahoClient) wantTopic(topic string, aliases map[uint16]string) {
	c.t.Helper()
	m := c.next()
	if alias := m.Properties.TopicAlias; alias != nil {
		if *alias == 0 || *alias > 3 {
			c.t.Fatalf("Topic Alias %d, at most 3 was allowed", *alias)
		}
		if m.Topic != "" {
			aliases[*alias] = m.Topic
		}
		m.Topic = aliases[*alias]
	}
	if m.Topic != topic {
		c.t.Fatalf("topic %q, want %q", m.Topic, topic)
	}
}

func pahoBig(t *testing.T, s interopServer) {
	payload := bytes.Repeat([]byte("\x00payload"), 10<<20/8)
	a := dialPaho(t, s, cleanStart("go-a"), nil)
	for qos := range byte(3) {
		a.subscribe(paho.SubscribeOptions{Topic: "go/big", QoS: qos}, 0)
		a.publish(&paho.Publish{Topic: "go/big", QoS: qos, Payload: payload})
		if m := a.next(); !bytes.Equal(m.Payload, payload) || m.QoS != qos {
			t.Errorf("%d bytes at QoS %d, want the 10 MiB that were sent at QoS %d", len(m.Payload), m.QoS, qos)
		}
	}
}

func pahoLongTopic(t *testing.T, s interopServer) {
	topic := "go/" + strings.Repeat("é", (65535-3)/2)
	a := dialPaho(t, s, cleanStart("go-a"), nil)
	a.subscribe(paho.SubscribeOptions{Topic: topic, QoS: 1}, 0)
	a.publish(&paho.Publish{Topic: topic, QoS: 1, Payload: []byte("x")})
	if m := a.next(); m.Topic != topic {
		t.Errorf("topic of %d bytes, want the one of %d that was sent", len(m.Topic), len(topic))
	}
}

func pahoUnsubscribe(t *testing.T, s interopServer) {
	a := dialPaho(t, s, cleanStart("go-a"), nil)
	a.subscribe(paho.SubscribeOptions{Topic: "go/left", QoS: 1}, 0)
	ack, err := a.Unsubscribe(t.Context(), &paho.Unsubscribe{Topics: []string{"go/left", "go/never"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []byte{0x00, 0x11}; !bytes.Equal(ack.Reasons, want) { // Success, No subscription existed
		t.Errorf("UNSUBACK %x, want %x", ack.Reasons, want)
	}
	a.publish(&paho.Publish{Topic: "go/left", QoS: 1, Payload: []byte("x")})
	a.nothing("message after UNSUBSCRIBE")
}

func pahoReasons(t *testing.T, s interopServer) {
	a := dialPaho(t, s, cleanStart(""), nil)
	if a.connack.Properties.AssignedClientID == "" {
		t.Error("no Assigned Client Identifier")
	}
	if r := a.publish(&paho.Publish{Topic: "go/no one", QoS: 1, Payload: []byte("x")}); r != 0x00 && r != 0x10 {
		t.Errorf("PUBACK 0x%02x, want Success or No matching subscribers", r)
	}
	b := dialPaho(t, s, cleanStart("go-twin"), nil)
	dialPaho(t, s, cleanStart("go-twin"), nil)
	<-b.Done()
	select {
	case r := <-b.closes:
		if r != 0x8e {
			t.Errorf("DISCONNECT 0x%02x, want 0x8e Session taken over", r)
		}
	case <-time.After(quietTime):
		// mosquitto 2.0 closes without the DISCONNECT that [MQTT-3.1.4-3] asks for.
		if s.name != "mosquitto" {
			t.Error("no DISCONNECT to the client whose session was taken over")
		}
	}
}

// pahoMaximumPacketSize wants a message that is too large for one subscriber to reach the other, and harm neither.
func pahoMaximumPacketSize(t *testing.T, s interopServer) {
	connect := cleanStart("go-small")
	connect.Properties = &paho.ConnectProperties{MaximumPacketSize: paho.Uint32(200)}
	small, large := dialPaho(t, s, connect, nil), dialPaho(t, s, cleanStart("go-large"), nil)
	for _, c := range []*pahoClient{small, large} {
		c.subscribe(paho.SubscribeOptions{Topic: "go/size", QoS: 1}, 0)
	}
	for _, n := range []int{10, 1000, 20} {
		large.publish(&paho.Publish{Topic: "go/size", QoS: 1, Payload: make([]byte, n)})
		if m := large.next(); len(m.Payload) != n {
			t.Fatalf("payload of %d bytes, want %d", len(m.Payload), n)
		}
		if n < 200 {
			if m := small.next(); len(m.Payload) != n {
				t.Fatalf("payload of %d bytes to the client that takes 200, want %d", len(m.Payload), n)
			}
		}
	}
}
