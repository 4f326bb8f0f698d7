package broker_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	"github.com/xdg-go/scram"

	"mqt/mqtt"
	"mqt/mqtt/access"
	"mqt/mqtt/broker"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

// scramBroker serves user with the password pencil by TCP, and nobody else.
func scramBroker(t *testing.T) (url string) {
	t.Helper()
	hash, err := access.HashScram("pencil", 4096)
	if err != nil {
		t.Fatal(err)
	}
	users, err := access.ParseUsers("users", access.SetUser(nil, "user", hash))
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Options{Users: users, Anonymous: broker.AnonymousNone})
	if err != nil {
		t.Fatal(err)
	}
	e, err := transport.ParseURL("mqtt://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := b.Listen(context.Background(), e, transport.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { served <- b.Serve(ctx, l) }()
	t.Cleanup(func() {
		bye, done := context.WithTimeout(context.Background(), 60*time.Second)
		defer done()
		if err := b.Shutdown(bye); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		cancel()
		l.Close()
		<-served
	})
	return l.URL()
}

// The client of this module, over a network.
func TestScramByOurClient(t *testing.T) {
	url := scramBroker(t)
	for _, method := range []string{client.ScramSHA256, client.ScramSHA512} {
		for password, want := range map[string]mqtt.ReasonCode{"pencil": mqtt.Success, "Pencil": mqtt.BadUserNameOrPassword} {
			a, err := client.SCRAM(method, "user", password)
			if err != nil {
				t.Fatal(err)
			}
			c, err := client.Connect(t.Context(), client.Options{URL: url, Authentication: a})
			if want != mqtt.Success {
				var refused *client.ConnectError
				if !errors.As(err, &refused) || refused.ReasonCode != want {
					t.Errorf("%s with %s: %v", method, password, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := c.Reauthenticate(t.Context()); err != nil {
					t.Errorf("%s anew: %v", method, err)
				}
			}
			if err := c.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			c.Close()
			<-c.Done()
		}
	}
}

// pahoScram lets paho.golang speak SCRAM.
type pahoScram struct {
	method string
	conv   *scram.ClientConversation
	done   chan struct{}
}

func (s *pahoScram) Authenticate(a *paho.Auth) *paho.Auth {
	out, _ := s.conv.Step(string(a.Properties.AuthData)) // a wrong answer is seen by the broker
	return s.packet(0x18, out)
}

func (s *pahoScram) Authenticated() { s.done <- struct{}{} }

func (s *pahoScram) packet(code byte, data string) *paho.Auth {
	return &paho.Auth{ReasonCode: code, Properties: &paho.AuthProperties{AuthMethod: s.method, AuthData: []byte(data)}}
}

// paho.golang is another's implementation of the AUTH exchange.
func TestScramByPaho(t *testing.T) {
	url := scramBroker(t)
	for method, hash := range map[string]scram.HashGeneratorFcn{client.ScramSHA256: scram.SHA256, client.ScramSHA512: scram.SHA512} {
		keys, err := hash.NewClient("user", "pencil", "")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "mqtt://"))
		if err != nil {
			t.Fatal(err)
		}
		s := &pahoScram{method, keys.NewConversation(), make(chan struct{}, 2)}
		c := paho.NewClient(paho.ClientConfig{ClientID: "paho", Conn: conn, AuthHandler: s, PacketTimeout: 60 * time.Second})
		first, _ := s.conv.Step("")
		ack, err := c.Connect(t.Context(), &paho.Connect{ClientID: "paho", CleanStart: true, KeepAlive: 60,
			Properties: &paho.ConnectProperties{AuthMethod: method, AuthData: []byte(first)}})
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		<-s.done
		if _, err := s.conv.Step(string(ack.Properties.AuthData)); err != nil || !s.conv.Valid() || ack.Properties.AuthMethod != method {
			t.Errorf("%s: the broker did not authenticate itself: %v", method, err)
		}
		s.conv = keys.NewConversation()
		first, _ = s.conv.Step("")
		again, err := c.Authenticate(t.Context(), s.packet(0x19, first))
		if err != nil || !again.Success || again.ReasonCode != 0 {
			t.Errorf("%s anew: %+v, %v", method, again, err)
		}
		<-s.done
		if err := c.Disconnect(&paho.Disconnect{}); err != nil {
			t.Error(err)
		}
		<-c.Done()
	}
}
