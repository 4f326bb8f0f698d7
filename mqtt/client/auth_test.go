package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xdg-go/scram"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// scramServer is the server's side of SCRAM for user and pencil.
func scramServer(t *testing.T, hash scram.HashGeneratorFcn) *scram.ServerConversation {
	t.Helper()
	c, err := hash.NewClient("user", "pencil", "")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "0123456789abcdef", Iters: 4096})
	if err != nil {
		t.Fatal(err)
	}
	s, err := hash.NewServer(func(string) (scram.StoredCredentials, error) { return keys, nil })
	if err != nil {
		t.Fatal(err)
	}
	return s.NewConversation()
}

func scramOptions(t *testing.T, method, password string) client.Options {
	t.Helper()
	a, err := client.SCRAM(method, "user", password)
	if err != nil {
		t.Fatal(err)
	}
	return client.Options{ClientID: "x", Authentication: a}
}

func authProperties(method, data string) mqtt.Properties {
	return mqtt.Properties{mqtt.Str(mqtt.AuthenticationMethod, method), mqtt.Bin(mqtt.AuthenticationData, []byte(data))}
}

func dataOf(t *testing.T, method string, ps mqtt.Properties) string {
	t.Helper()
	if m, _ := ps.Text(mqtt.AuthenticationMethod); m != method { // [MQTT-4.12.0-5]
		t.Fatalf("authentication method %q, want %q", m, method)
	}
	data, _ := ps.Bytes(mqtt.AuthenticationData)
	return string(data)
}

// authenticate plays the server up to its last message, which it returns: data
// is the client's first.
func (p *peer) authenticate(method, data string, conv *scram.ServerConversation) string {
	p.t.Helper()
	challenge, err := conv.Step(data)
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(&mqtt.Auth{ReasonCode: mqtt.ContinueAuthentication, Properties: authProperties(method, challenge)})
	answer := next[*mqtt.Auth](p)
	if answer.ReasonCode != mqtt.ContinueAuthentication { // [MQTT-4.12.0-3]
		p.t.Fatalf("AUTH with %v", answer.ReasonCode)
	}
	final, err := conv.Step(dataOf(p.t, method, answer.Properties))
	if err != nil {
		p.t.Fatal(err)
	}
	return final
}

type connection struct {
	c   *client.Client
	err error
}

func dialling(f *fake, o client.Options) <-chan connection {
	o.Dial, o.Transport.Loops = f.dial, f.loops
	done := make(chan connection, 1)
	go func() {
		c, err := client.Connect(context.Background(), o)
		done <- connection{c, err}
	}()
	return done
}

// A connection by SCRAM, authenticated anew, and then refused.
func TestScram(t *testing.T) {
	for method, hash := range map[string]scram.HashGeneratorFcn{client.ScramSHA256: scram.SHA256, client.ScramSHA512: scram.SHA512} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			done := dialling(f, scramOptions(t, method, "pencil"))
			p := f.accept()
			if p.connect.HasPassword || p.connect.HasUsername {
				t.Error("CONNECT has what SCRAM is there to hide")
			}
			final := p.authenticate(method, dataOf(t, method, p.connect.Properties), scramServer(t, hash))
			p.send(&mqtt.Connack{Properties: authProperties(method, final)})
			r := <-done
			if r.err != nil {
				t.Fatal(r.err)
			}
			defer end(r.c)

			again := func() <-chan error {
				ended := make(chan error, 1)
				go func() { ended <- r.c.Reauthenticate(t.Context()) }()
				return ended
			}
			ended := again()
			first := next[*mqtt.Auth](p)
			if first.ReasonCode != mqtt.ReAuthenticate { // [MQTT-4.12.1-1]
				t.Fatalf("AUTH with %v", first.ReasonCode)
			}
			if err := r.c.Reauthenticate(t.Context()); !errors.Is(err, client.ErrAuthenticating) {
				t.Errorf("a second one meanwhile: %v", err)
			}
			final = p.authenticate(method, dataOf(t, method, first.Properties), scramServer(t, hash))
			p.send(&mqtt.Auth{Properties: authProperties(method, final)})
			if err := <-ended; err != nil {
				t.Errorf("authenticated anew: %v", err)
			}

			ended = again()
			next[*mqtt.Auth](p)
			p.send(&mqtt.Disconnect{ReasonCode: mqtt.NotAuthorized})
			if err := <-ended; !errors.Is(err, client.ErrConnectionLost) {
				t.Errorf("refused: %v", err)
			}
			p.nc.Close()
			<-r.c.Done()
		})
	}
}

// What a server does that is no party to the password, or breaks the standard.
func TestScramServerIsAnother(t *testing.T) {
	const method = client.ScramSHA256
	connack := func(p *peer, ps mqtt.Properties) { p.send(&mqtt.Connack{Properties: ps}) }
	auth := func(p *peer, method, data string) {
		p.send(&mqtt.Auth{ReasonCode: mqtt.ContinueAuthentication, Properties: authProperties(method, data)})
	}
	first := func(p *peer) string { return dataOf(p.t, method, p.connect.Properties) }
	nonce := func(p *peer) string { return first(p)[strings.Index(first(p), "r=")+2:] }
	for _, c := range []struct {
		name   string
		play   func(p *peer)
		broken bool // the standard, rather than trust
	}{
		{"CONNACK without a word", func(p *peer) { connack(p, nil) }, true},
		{"CONNACK at once", func(p *peer) { connack(p, authProperties(method, "")) }, false},
		{"CONNACK with the challenge", func(p *peer) { connack(p, authProperties(method, "r="+nonce(p)+"x,s=AAAA,i=4096")) }, false},
		{"its signature is wrong", func(p *peer) {
			p.authenticate(method, first(p), scramServer(p.t, scram.SHA256))
			connack(p, authProperties(method, "v="+strings.Repeat("A", 43)+"="))
		}, false},
		{"no signature", func(p *peer) {
			p.authenticate(method, first(p), scramServer(p.t, scram.SHA256))
			connack(p, mqtt.Properties{mqtt.Str(mqtt.AuthenticationMethod, method)})
		}, false},
		{"the method of CONNACK is another", func(p *peer) {
			connack(p, authProperties(client.ScramSHA512, p.authenticate(method, first(p), scramServer(p.t, scram.SHA256))))
		}, true},
		{"the method of AUTH is another", func(p *peer) { auth(p, client.ScramSHA512, "r="+nonce(p)+"x,s=AAAA,i=4096") }, true},
		{"AUTH with success", func(p *peer) { p.send(&mqtt.Auth{Properties: authProperties(method, "")}) }, true},
		{"the nonce is not ours", func(p *peer) { auth(p, method, "r=x,s=AAAA,i=4096") }, false},
		{"too few iterations", func(p *peer) { auth(p, method, "r="+nonce(p)+"x,s=AAAA,i=1") }, false},
		{"iterations for a day", func(p *peer) { auth(p, method, "r="+nonce(p)+"x,s=AAAA,i=2000000000") }, false},
		{"no SCRAM", func(p *peer) { auth(p, method, "hello") }, false},
		{"PUBLISH before CONNACK", func(p *peer) { p.send(&mqtt.Publish{Topic: []byte("t")}) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				o := scramOptions(t, method, "pencil")
				o.Reconnect = &client.Backoff{First: true}
				done := dialling(f, o)
				p := f.accept()
				c.play(p)
				p.closed()
				err := (<-done).err
				var broken *mqtt.Error
				if errors.As(err, &broken) != c.broken || errors.Is(err, client.ErrServerNotAuthenticated) == c.broken {
					t.Errorf("Connect: %v", err)
				}
				if n := f.dials.Load(); n != 1 {
					t.Errorf("%d attempts, want 1", n)
				}
			})
		})
	}
}

// A server that fails when it is to prove itself again is left.
func TestReauthenticateServerIsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const method = client.ScramSHA256
		f := newFake(t)
		done := dialling(f, scramOptions(t, method, "pencil"))
		p := f.accept()
		final := p.authenticate(method, dataOf(t, method, p.connect.Properties), scramServer(t, scram.SHA256))
		p.send(&mqtt.Connack{Properties: authProperties(method, final)})
		c := (<-done).c
		ended := make(chan error, 1)
		go func() { ended <- c.Reauthenticate(t.Context()) }()
		next[*mqtt.Auth](p)
		p.send(&mqtt.Auth{Properties: authProperties(method, "")})
		if d := next[*mqtt.Disconnect](p); d.ReasonCode != mqtt.UnspecifiedError {
			t.Errorf("DISCONNECT %v", d.ReasonCode)
		}
		p.closed()
		if err := <-ended; !errors.Is(err, client.ErrServerNotAuthenticated) || !errors.Is(err, client.ErrConnectionLost) {
			t.Errorf("Reauthenticate: %v", err)
		}
		<-c.Done()
		if err := c.Reauthenticate(t.Context()); !errors.Is(err, client.ErrServerNotAuthenticated) {
			t.Errorf("Reauthenticate at the end: %v", err)
		}
	})
}

// [MQTT-4.12.0-6], [MQTT-4.12.0-7]: without a method there is nothing of it.
func TestNoAuthentication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, client.Options{})
		if err := c.Reauthenticate(t.Context()); err == nil {
			t.Error("Reauthenticate without a method")
		}
		p.send(&mqtt.Auth{ReasonCode: mqtt.ContinueAuthentication, Properties: authProperties("x", "")})
		if d := next[*mqtt.Disconnect](p); d.ReasonCode != mqtt.ProtocolError {
			t.Errorf("DISCONNECT %v", d.ReasonCode)
		}
		end(c)

		done := dialling(f, client.Options{})
		f.accept().send(&mqtt.Connack{Properties: authProperties("x", "")})
		if err := (<-done).err; err == nil {
			t.Error("a CONNACK with a method is taken")
		}
	})
}

// A server that knows no 5.0 is not told the password another way, and one that
// never answers is left in time.
func TestScramGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		done := dialling(f, scramOptions(t, client.ScramSHA256, "pencil"))
		f.accept().send(&mqtt.Connack{ReasonCode: mqtt.UnsupportedProtocolVersion})
		if err := (<-done).err; err == nil || f.dials.Load() != 1 {
			t.Errorf("%v after %d attempts", err, f.dials.Load())
		}
		done = dialling(f, scramOptions(t, client.ScramSHA256, "pencil"))
		p := f.accept()
		challenge, _ := scramServer(t, scram.SHA256).Step(dataOf(t, client.ScramSHA256, p.connect.Properties))
		p.send(&mqtt.Auth{ReasonCode: mqtt.ContinueAuthentication, Properties: authProperties(client.ScramSHA256, challenge)})
		next[*mqtt.Auth](p)
		start := time.Now()
		if err := (<-done).err; !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > client.DefaultConnectTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestScramOptions(t *testing.T) {
	for _, c := range []struct{ method, user, password string }{
		{"SCRAM-SHA-1", "user", "pencil"}, {client.ScramSHA256, "", "pencil"}, {client.ScramSHA256, "user", "\u0007"}, {client.ScramSHA256, "us\u0007er", "x"},
	} {
		if _, err := client.SCRAM(c.method, c.user, c.password); err == nil || strings.Contains(err.Error(), "pencil") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for name, o := range map[string]client.Options{
		"3.1.1":     {Version: mqtt.V311},
		"its data":  {Properties: mqtt.Properties{mqtt.Str(mqtt.AuthenticationMethod, "x")}},
		"no method": {Authentication: &client.Authentication{}},
	} {
		if o.Authentication == nil {
			o.Authentication = scramOptions(t, client.ScramSHA256, "pencil").Authentication
		}
		if o.Validate() == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
