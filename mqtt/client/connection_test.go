package client_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

func TestConnectPacket(t *testing.T) {
	eachEngine(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, client.Options{
			ClientID: "id", Username: "u", Password: []byte{}, SessionExpiryInterval: 5, TopicAliasMaximum: 3,
			Properties: mqtt.Properties{mqtt.User("k", "v"), mqtt.Num(mqtt.ReceiveMaximum, 9), mqtt.Num(mqtt.TopicAliasMaximum, 4)},
			Will:       &mqtt.Will{Topic: "w", QoS: 1, Properties: mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, 1)}},
		}, mqtt.Str(mqtt.AssignedClientIdentifier, "other"))
		defer end(c)
		got := *p.connect
		want := mqtt.Connect{Version: mqtt.V50, CleanStart: true, KeepAlive: 60, ClientID: "id", Username: "u", HasUsername: true,
			HasPassword: true, Will: got.Will, Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 5),
				mqtt.Num(mqtt.ReceiveMaximum, 9), mqtt.Num(mqtt.TopicAliasMaximum, 3), mqtt.User("k", "v")}}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || got.Will == nil || !got.Will.Properties.Has(mqtt.WillDelayInterval) {
			t.Errorf("CONNECT\n%+v, want\n%+v", got, want)
		}
		if id := c.ClientID(); id != "other" {
			t.Errorf("the identifier is %q", id)
		}
		if v := c.Version(); v != mqtt.V50 || c.SessionPresent() {
			t.Errorf("version %v, session present %v", v, c.SessionPresent())
		}
	})
}

func TestVersionFallBack(t *testing.T) {
	tests := []struct {
		asked  mqtt.Version
		answer []byte
		want   mqtt.Version // 0: refused
	}{
		{0, []byte{0x20, 2, 0, 1}, mqtt.V311},       // as 3.1.1 Servers refuse
		{0, []byte{0x20, 3, 0, 0x84, 0}, mqtt.V311}, // as 5.0 ones do
		{mqtt.V50, []byte{0x20, 2, 0, 1}, 0},
		{0, []byte{0x20, 2, 0, 5}, 0},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d % x", tt.asked, tt.answer), func(t *testing.T) {
			eachEngine(t, func(t *testing.T) {
				f := newFake(t)
				go func() {
					f.accept().raw(tt.answer)
					if tt.want != 0 {
						f.welcome(false)
					}
				}()
				c, err := client.Connect(context.Background(), client.Options{Dial: f.dial, Transport: transport.Options{Loops: f.loops}, Version: tt.asked})
				if tt.want == 0 {
					refused, ok := errors.AsType[*client.ConnectError](err)
					if !ok || !refused.ReasonCode.Failed() || refused.Connack == nil || f.dials.Load() != 1 {
						t.Fatalf("%d dials, %v", f.dials.Load(), err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer end(c)
				if v := c.Version(); v != tt.want {
					t.Errorf("spoken is %v", v)
				}
			})
		})
	}
}

func TestConnectFails(t *testing.T) {
	cert := x509.UnknownAuthorityError{}
	tests := []struct {
		name   string
		dial   error
		answer func(*peer)
		want   error
	}{
		{"no answer", nil, func(p *peer) {}, context.DeadlineExceeded},
		{"closed", nil, func(p *peer) { p.nc.Close() }, io.EOF},
		{"certificate", fmt.Errorf("tls: %w", cert), nil, cert},
		{"half a CONNACK", nil, func(p *peer) { p.raw([]byte{0x20, 2}); p.nc.Close() }, io.EOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				o := client.Options{Dial: f.dial, Transport: transport.Options{Loops: f.loops}}
				if tt.dial != nil {
					o.Dial = func(context.Context) (net.Conn, error) { return nil, tt.dial }
				} else {
					go func() {
						p := f.accept()
						tt.answer(p)
						_, _ = p.packet()
					}()
				}
				began := time.Now()
				_, err := client.Connect(context.Background(), o)
				if _, ok := errors.AsType[*client.ConnectError](err); !ok || !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				if d := time.Since(began); d > client.DefaultConnectTimeout {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}

func TestConnectCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			p := f.accept()
			cancel()
			p.closed()
		}()
		_, err := client.Connect(ctx, client.Options{Dial: f.dial, Transport: transport.Options{Loops: f.loops}, Reconnect: &client.Backoff{First: true}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestFirstConnectIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.down.Store(true)
		o := client.Options{Dial: f.dial, Transport: transport.Options{Loops: f.loops}, Reconnect: &client.Backoff{First: true, Attempts: 3}}
		if _, err := client.Connect(context.Background(), o); err == nil || f.dials.Load() != 4 {
			t.Errorf("%d dials, %v", f.dials.Load(), err)
		}
		time.AfterFunc(5*time.Second, func() { f.down.Store(false) })
		o.Reconnect = &client.Backoff{First: true}
		go f.welcome(false)
		c, err := client.Connect(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		end(c)
	})
}

// [MQTT-3.1.2-20], [MQTT-3.1.2-21], [MQTT-3.2.2-21].
func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, client.Options{KeepAlive: 100}, mqtt.Num(mqtt.ServerKeepAlive, 20))
		began := time.Now()
		at := func(want time.Duration) {
			t.Helper()
			if d := time.Since(began); d != want {
				t.Errorf("after %v, want %v", d, want)
			}
		}
		next[*mqtt.Pingreq](p)
		at(18 * time.Second) // of the Server's 20 [MQTT-3.1.2-21]
		p.send(&mqtt.Pingresp{})
		time.Sleep(10 * time.Second)
		publish(t, c, 0, "x") // puts the next one off
		p.expect("x", false)
		p.send(message(0, 0, "y"))
		next[*mqtt.Pingreq](p)
		at(46 * time.Second)
		time.Sleep(10 * time.Second)
		p.send(message(0, 0, "y")) // not dead, only slow
		next[*mqtt.Pingreq](p)
		at(64 * time.Second)
		p.closed()
		at(76 * time.Second)
		<-c.Done()
		if err := c.Err(); !errors.Is(err, client.ErrPingTimeout) || !errors.Is(err, client.ErrConnectionLost) {
			t.Errorf("ended by %v", err)
		}
	})
}

func TestNoKeepAlive(t *testing.T) {
	eachEngine(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, client.Options{NoKeepAlive: true})
		defer end(c)
		if p.connect.KeepAlive != 0 {
			t.Errorf("Keep Alive is %d", p.connect.KeepAlive)
		}
		p.silent(24 * time.Hour)
	})
}

func TestPingAndFlush(t *testing.T) {
	eachEngine(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, client.Options{})
		ended := publish(t, c, 1, "x")
		flushed := make(chan error, 1)
		go func() { flushed <- c.Flush(context.Background()) }()
		id := p.expect("x", false)
		p.silent(time.Second)
		p.send(&mqtt.Puback{Ack: ack(id, 0)})
		next[*mqtt.Pingreq](p)
		if err := <-ended; err != nil || len(flushed) > 0 {
			t.Errorf("acknowledged: %v, flushed: %d", err, len(flushed))
		}
		p.send(&mqtt.Pingresp{}, &mqtt.Pingresp{}) // one too many is no harm
		if err := <-flushed; err != nil {
			t.Error(err)
		}
		go func() { flushed <- c.Ping(context.Background()) }()
		next[*mqtt.Pingreq](p)
		p.nc.Close()
		if err := <-flushed; !errors.Is(err, client.ErrConnectionLost) {
			t.Errorf("the ping ended by %v", err)
		}
		<-c.Done()
	})
}

// What a Server must not send: the answer and the error that follow
// [MQTT-4.13.1-1], [MQTT-4.13.2-1], [MQTT-3.2.0-2], [MQTT-3.3.2-11].
func TestBrokenServer(t *testing.T) {
	many := func(n int) (b []byte) {
		for id := range n {
			b, _ = message(mqtt.PacketID(id+1), 1, "x").Append(b, mqtt.V50)
		}
		return b
	}
	alias := func(n uint32, topic string) []byte {
		b, _ := (&mqtt.Publish{Topic: []byte(topic), Properties: mqtt.Properties{mqtt.Num(mqtt.TopicAlias, n)}}).Append(nil, mqtt.V50)
		return b
	}
	tests := []struct {
		name string
		sent []byte
		want mqtt.ReasonCode
	}{
		{"reserved type", []byte{0x00, 0}, mqtt.MalformedPacket},
		{"wrong flags", []byte{0x41, 2, 0, 1}, mqtt.MalformedPacket},
		{"QoS 3", []byte{0x36, 3, 0, 1, 'a'}, mqtt.MalformedPacket},
		{"a client's packet", []byte{0xc0, 0}, mqtt.ProtocolError},
		{"second CONNACK", []byte{0x20, 3, 0, 0, 0}, mqtt.ProtocolError},
		{"AUTH", []byte{0xf0, 0}, mqtt.ProtocolError},
		{"over the Receive Maximum", many(3), mqtt.ReceiveMaximumExceeded},
		{"too large", []byte{0x30, 0xff, 0x7f}, mqtt.PacketTooLarge},
		{"alias above the maximum", alias(3, "a"), mqtt.TopicAliasInvalid},
		{"alias without a meaning", alias(1, ""), mqtt.ProtocolError},
		{"wildcard in a name", []byte{0x30, 4, 0, 1, '#', 0}, mqtt.TopicNameInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T) {
				f := newFake(t)
				c, p := connected(f, client.Options{ReceiveMaximum: 2, MaximumPacketSize: 1000, TopicAliasMaximum: 2})
				go p.nc.Write(tt.sent)
				if d := next[*mqtt.Disconnect](p); d.ReasonCode != tt.want {
					t.Errorf("DISCONNECT %v, want %v", d.ReasonCode, tt.want)
				}
				p.closed()
				<-c.Done()
				broken, ok := errors.AsType[*mqtt.Error](c.Err())
				if !ok || broken.Code != tt.want || !errors.Is(c.Err(), client.ErrConnectionLost) {
					t.Errorf("ended by %v", c.Err())
				}
			})
		})
	}
}

func TestBeforeConnack(t *testing.T) {
	for _, sent := range [][]byte{{0xd0, 0}, {0x30, 3, 0, 1, 'a'}, {0x40, 2, 0, 1}, {0xf0, 0}} {
		t.Run(fmt.Sprintf("% x", sent), func(t *testing.T) {
			eachEngine(t, func(t *testing.T) {
				f := newFake(t)
				var server sync.WaitGroup
				defer server.Wait()
				server.Go(func() {
					p := f.accept()
					p.raw(sent)
					p.closed()
				})
				_, err := client.Connect(context.Background(), client.Options{Dial: f.dial, Transport: transport.Options{Loops: f.loops}, Reconnect: &client.Backoff{First: true}})
				broken, ok := errors.AsType[*mqtt.Error](err)
				if !ok || broken.Code != mqtt.ProtocolError && broken.Code != mqtt.MalformedPacket || f.dials.Load() != 1 {
					t.Errorf("%d dials, %v", f.dials.Load(), err)
				}
			})
		})
	}
}

func TestServerDisconnects(t *testing.T) {
	eachEngine(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, client.Options{})
		p.send(&mqtt.Disconnect{ReasonCode: mqtt.ServerMoved, Properties: mqtt.Properties{
			mqtt.Str(mqtt.ReasonString, "no more"), mqtt.Str(mqtt.ServerReference, "there")}})
		p.closed()
		<-c.Done()
		d, ok := errors.AsType[*client.DisconnectError](c.Err())
		if !ok || *d != (client.DisconnectError{mqtt.ServerMoved, "no more", "there"}) {
			t.Errorf("ended by %v", c.Err())
		}
		if s := d.Error(); !strings.Contains(s, "0x9D") || !strings.Contains(s, "no more") {
			t.Errorf("it says %q", s)
		}
	})
}

// [MQTT-3.14.4-1], [MQTT-3.14.4-2].
func TestDisconnect(t *testing.T) {
	for _, v := range []mqtt.Version{mqtt.V311, mqtt.V50} {
		t.Run(v.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				c, p := connected(f, client.Options{Version: v, Transport: transport.Options{OutLimit: 1000}})
				for i := 0; ; i++ { // more than the transport takes
					err := c.PublishAsync(&mqtt.Message{Topic: "t", Payload: make([]byte, 900)}, nil)
					if errors.Is(err, client.ErrWindowFull) {
						break
					}
					if err != nil || i > 10 {
						t.Fatal(i, err)
					}
				}
				done := make(chan error)
				go func() {
					done <- c.Disconnect(context.Background(), mqtt.Disconnect{ReasonCode: mqtt.DisconnectWithWill})
				}()
				for {
					pkt, err := p.packet()
					if err != nil {
						t.Fatal(err)
					}
					d, ok := pkt.(*mqtt.Disconnect)
					if ok {
						if (d.ReasonCode == mqtt.DisconnectWithWill) != (v == mqtt.V50) {
							t.Errorf("DISCONNECT %v", d.ReasonCode)
						}
						break
					}
				}
				p.closed()
				if err := <-done; err != nil || !errors.Is(c.Err(), client.ErrClosed) {
					t.Errorf("%v, ended by %v", err, c.Err())
				}
				if _, err := c.Receive(context.Background()); !errors.Is(err, client.ErrClosed) {
					t.Errorf("Receive: %v", err)
				}
				if _, err := c.Publish(context.Background(), &mqtt.Message{Topic: "t"}); !errors.Is(err, client.ErrClosed) {
					t.Errorf("Publish: %v", err)
				}
				if err := c.Disconnect(context.Background(), mqtt.Disconnect{}); err != nil {
					t.Errorf("a second time: %v", err)
				}
			})
		})
	}
}

func TestCloseWhileReconnecting(t *testing.T) {
	for _, when := range []string{"waiting", "dialling", "unanswered"} {
		t.Run(when, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				o := client.Options{Reconnect: &client.Backoff{Min: time.Hour, Max: time.Hour}, ConnectTimeout: time.Hour}
				c, p := connected(f, o)
				lost := publish(t, c, 1, "x")
				p.expect("x", false)
				p.nc.Close()
				synctest.Wait()
				switch when {
				case "unanswered":
					f.accept()
				case "dialling":
					for range cap(f.conns) { // the dial of the fake blocks
						f.conns <- nil
					}
					time.Sleep(2 * time.Hour)
				}
				c.Close()
				<-c.Done()
				if err := <-lost; !errors.Is(err, client.ErrClosed) || !errors.Is(c.Err(), client.ErrClosed) {
					t.Errorf("the message ended by %v, the client by %v", err, c.Err())
				}
				for range len(f.conns) {
					<-f.conns
				}
			})
		})
	}
}

// Also [MQTT-3.1.1: 3.1.2-22] and [MQTT-3.1.1: 3.1.3-7].
func TestOptionsFaults(t *testing.T) {
	_, err := client.Connect(context.Background(), client.Options{
		Version: mqtt.V31, KeepSession: true, Password: []byte("x"), InFlight: -1, Username: "",
		Will: &mqtt.Will{Topic: "a/+", QoS: 3}, Properties: mqtt.Properties{mqtt.Str(mqtt.ContentType, "x")},
	})
	for _, want := range []string{"keep a Session", "needs a Client Identifier", "no password", "negative", "wildcard", "QoS 3", "content-type"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %q is missing", err, want)
		}
	}
	if _, err := client.Connect(context.Background(), client.Options{URL: "gopher://x"}); err == nil {
		t.Error("a wrong URL is taken")
	}
}
