package broker

import (
	"testing"
	"testing/synctest"

	"mqt/mqtt"
	"mqt/mqtt/access"
)

func usersOf(t *testing.T, pairs ...string) *access.Users {
	t.Helper()
	var text []byte
	for i := 0; i < len(pairs); i += 2 {
		text = access.SetUser(text, pairs[i], access.Hash([]byte(pairs[i+1])))
	}
	u, err := access.ParseUsers("users", text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func aclOf(t *testing.T, text string) *access.ACL {
	t.Helper()
	a, err := access.ParseACL("acl", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// withPassword gives a CONNECT a name and a password.
func withPassword(name, password string) func(*mqtt.Connect) {
	return func(c *mqtt.Connect) {
		c.Username, c.HasUsername = name, true
		c.Password, c.HasPassword = []byte(password), true
	}
}

func TestPassword(t *testing.T) {
	eachVersion(t, Options{Users: usersOf(t, "alice", "secret"), Anonymous: AnonymousAll}, func(w *world, v mqtt.Version) {
		for _, tt := range []struct {
			name, password string
			want           mqtt.ReasonCode
		}{
			{"alice", "secret", mqtt.Success},
			{"alice", "Secret", mqtt.BadUserNameOrPassword},
			{"alice", "", mqtt.BadUserNameOrPassword},
			{"bob", "secret", mqtt.BadUserNameOrPassword},
			{"", "", mqtt.BadUserNameOrPassword},
		} {
			p, ack := w.connect(v, "x", withPassword(tt.name, tt.password))
			equal(t, tt.name+"/"+tt.password, ack.ReasonCode, tt.want)
			synctest.Wait()
			if p.closed.Load() != tt.want.Failed() {
				t.Errorf("%s/%s: closed is %v", tt.name, tt.password, p.closed.Load())
			}
			p.drop()
		}
		// A name alone is not enough, though anonymous clients may come in here.
		_, ack := w.connect(v, "x", func(c *mqtt.Connect) { c.Username, c.HasUsername = "alice", true })
		equal(t, "without a password", ack.ReasonCode, mqtt.BadUserNameOrPassword)
		_, ack = w.connect(v, "y", nil)
		equal(t, "anonymous", ack.ReasonCode, mqtt.Success)
	})
}

// What is sent behind CONNECT waits for the verdict and is then handled, or not.
func TestPasswordPipelined(t *testing.T) {
	inWorld(t, Options{Users: usersOf(t, "alice", "secret"), Anonymous: AnonymousAll}, func(w *world) {
		sub := w.client(mqtt.V50, "sub")
		sub.subscribe(mqtt.QoS0, "t")
		for _, password := range []string{"secret", "wrong"} {
			p := w.dial(mqtt.V50)
			c := &mqtt.Connect{Version: mqtt.V50, ClientID: "p", CleanStart: true}
			withPassword("alice", password)(c)
			p.send(c, publish(mqtt.QoS0, 0, "t", password))
			ack := next[*mqtt.Connack](p)
			if password == "wrong" {
				equal(t, "CONNACK", ack.ReasonCode, mqtt.BadUserNameOrPassword)
				continue
			}
			equal(t, "CONNACK", ack.ReasonCode, mqtt.Success)
			sub.message("t", "secret")
		}
		sub.quiet()
	})
}
