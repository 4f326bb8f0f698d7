package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// tokens gives out numbers.
type tokens struct {
	n      int
	renews []bool
	err    error
}

func (s *tokens) get(_ context.Context, renew bool) ([]byte, error) {
	s.renews = append(s.renews, renew)
	if renew {
		s.n++
	}
	return fmt.Append(nil, "token ", s.n), s.err
}

func TestCredentials(t *testing.T) {
	for code, first := range map[mqtt.ReasonCode]string{mqtt.MaximumConnectTime: "token 2", mqtt.NotAuthorized: "token 2", mqtt.ServerBusy: "token 1"} {
		synctest.Test(t, func(t *testing.T) {
			f, s := newFake(t), &tokens{}
			o := within()
			o.Username, o.Credentials = "me", s.get
			c, p := connected(f, o)
			if string(p.connect.Password) != "token 1" {
				t.Errorf("the first is %q", p.connect.Password)
			}
			p.send(message(0, 0, "of use"))
			receive(t, c)
			p.send(&mqtt.Disconnect{ReasonCode: code})
			p = f.accept()
			if string(p.connect.Password) != first {
				t.Errorf("%v: then it is %q", code, p.connect.Password)
			}
			if first == "token 1" { // refused, it is renewed once
				p.send(&mqtt.Connack{ReasonCode: mqtt.BadUserNameOrPassword})
				p = f.accept()
				if string(p.connect.Password) != "token 2" {
					t.Errorf("%v: at last it is %q", code, p.connect.Password)
				}
			}
			p.send(&mqtt.Connack{ReasonCode: mqtt.NotAuthorized})
			<-c.Done()
			if e, ok := errors.AsType[*client.ConnectError](c.Err()); !ok || e.ReasonCode != mqtt.NotAuthorized {
				t.Errorf("%v: ended by %v", code, c.Err())
			}
			if s.n != 2 {
				t.Errorf("%v: renewed to %d: %v", code, s.n, s.renews)
			}
		})
	}
}

func TestCredentialsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFake(t), &tokens{err: errors.New("no token today")}
		o := within()
		o.Dial, o.Credentials = f.dial, s.get
		if _, err := client.Connect(t.Context(), o); !errors.Is(err, s.err) || f.dials.Load() != 0 {
			t.Errorf("%d dials, %v", f.dials.Load(), err)
		}
	})
}

// An exchange is followed by another before its time is over.
func TestAuthenticatesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFake(t), &tokens{}
		last := ""
		until := func() time.Time { return time.Now().Add(time.Minute) }
		o := client.Options{ClientID: "x", NoKeepAlive: true, Credentials: func(ctx context.Context, renew bool) ([]byte, error) {
			b, err := s.get(ctx, renew)
			last = string(b)
			return nil, err
		}, Authentication: &client.Authentication{Method: "TOKEN", Until: until, Begin: func() client.AuthenticationStep {
			return func(_ []byte, done bool) ([]byte, error) {
				if done {
					return nil, nil
				}
				return []byte(last), nil
			}
		}}}
		done := dialling(f, o)
		p := f.accept()
		data := []string{dataOf(t, "TOKEN", p.connect.Properties)}
		p.send(&mqtt.Connack{Properties: mqtt.Properties{mqtt.Str(mqtt.AuthenticationMethod, "TOKEN")}})
		began := time.Now()
		for range 2 {
			again := next[*mqtt.Auth](p)
			if again.ReasonCode != mqtt.ReAuthenticate {
				t.Fatalf("AUTH with %v", again.ReasonCode)
			}
			data = append(data, dataOf(t, "TOKEN", again.Properties))
			p.send(&mqtt.Auth{Properties: mqtt.Properties{mqtt.Str(mqtt.AuthenticationMethod, "TOKEN")}})
			synctest.Wait()
		}
		if d := time.Since(began); d != 2*time.Minute {
			t.Errorf("after %v", d)
		}
		if !slices.Equal(data, []string{"token 1", "token 2", "token 3"}) {
			t.Errorf("sent %q", data)
		}
		end((<-done).c)
	})
}
