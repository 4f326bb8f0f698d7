package broker

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/xdg-go/scram"

	"mqt/mqtt"
	"mqt/mqtt/access"
)

// scramUsers are user with the password pencil, for both methods, and plain,
// who has no verifier.
func scramUsers(t *testing.T) *access.Users {
	t.Helper()
	hash, err := access.HashScram("pencil", 4096)
	if err != nil {
		t.Fatal(err)
	}
	text := access.SetUser(nil, "user", hash)
	text = access.SetUser(text, "other", hash)
	text = access.SetUser(text, "plain", access.Hash([]byte("pencil")))
	u, err := access.ParseUsers("users", text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// login is a client's side of an exchange.
type login struct {
	t      *testing.T
	method string
	conv   *scram.ClientConversation
}

func newLogin(t *testing.T, method, user, password string) *login {
	t.Helper()
	hash := map[string]scram.HashGeneratorFcn{access.ScramSHA256: scram.SHA256, access.ScramSHA512: scram.SHA512}[method]
	c, err := hash.NewClient(user, password, "")
	if err != nil {
		t.Fatal(err)
	}
	return &login{t, method, c.NewConversation()}
}

func (l *login) step(data []byte) []byte {
	l.t.Helper()
	out, err := l.conv.Step(string(data))
	if err != nil {
		l.t.Fatal(err)
	}
	return []byte(out)
}

// props are a method and data. [MQTT-4.12.0-5].
func (l *login) props(data []byte) mqtt.Properties {
	return mqtt.Properties{mqtt.Str(mqtt.AuthenticationMethod, l.method), mqtt.Bin(mqtt.AuthenticationData, data)}
}

func (l *login) data(ps mqtt.Properties) []byte {
	l.t.Helper()
	if m, _ := ps.Text(mqtt.AuthenticationMethod); m != l.method {
		l.t.Fatalf("authentication method %q, want %q", m, l.method)
	}
	data, _ := ps.Bytes(mqtt.AuthenticationData)
	return data
}

// begin is what a CONNECT has.
func (l *login) begin(c *mqtt.Connect) { c.Properties = append(c.Properties, l.props(l.step(nil))...) }

func (l *login) packet(code mqtt.ReasonCode, data []byte) *mqtt.Auth {
	return &mqtt.Auth{ReasonCode: code, Properties: l.props(data)}
}

// challenged sends a CONNECT and takes the AUTH behind it.
func (w *world) challenged(l *login, change func(*mqtt.Connect)) (*peer, []byte) {
	w.t.Helper()
	p := w.dial(mqtt.V50)
	c := &mqtt.Connect{Version: mqtt.V50, ClientID: "x", CleanStart: true}
	l.begin(c)
	if change != nil {
		change(c)
	}
	p.send(c)
	auth := next[*mqtt.Auth](p)
	equal(w.t, "AUTH", auth.ReasonCode, mqtt.ContinueAuthentication) // [MQTT-4.12.0-2]
	return p, l.data(auth.Properties)
}

// loggedIn goes through the whole exchange.
func (w *world) loggedIn(method string, change func(*mqtt.Connect)) *peer {
	w.t.Helper()
	l := newLogin(w.t, method, "user", "pencil")
	p, challenge := w.challenged(l, change)
	p.send(l.packet(mqtt.ContinueAuthentication, l.step(challenge)))
	ack := next[*mqtt.Connack](p)
	equal(w.t, "CONNACK", ack.ReasonCode, mqtt.Success)
	l.step(l.data(ack.Properties))
	if !l.conv.Valid() {
		w.t.Fatal("the broker did not authenticate itself")
	}
	return p
}

func TestScramConnect(t *testing.T) {
	for _, method := range []string{access.ScramSHA256, access.ScramSHA512} {
		inWorld(t, Options{Users: scramUsers(t), Anonymous: AnonymousNone}, func(w *world) {
			p := w.loggedIn(method, nil)
			p.subscribe(mqtt.QoS1, "t")
			p.send(publish(mqtt.QoS0, 0, "t", "hello"))
			p.message("t", "hello")
			p.quiet()

			// The session is the user's, whoever proves to be it and how.
			other := newLogin(t, method, "other", "pencil")
			q, challenge := w.challenged(other, nil)
			q.send(other.packet(mqtt.ContinueAuthentication, other.step(challenge)))
			q.refused(mqtt.NotAuthorized)
			p.quiet()
			q, ack := w.connect(mqtt.V50, "x", withPassword("user", "pencil"))
			equal(t, "by password", ack.ReasonCode, mqtt.Success)
			if ack.Properties.Has(mqtt.AuthenticationMethod) { // [MQTT-4.12.0-6]
				t.Error("CONNACK has a method that CONNECT did not have")
			}
			p.gone(mqtt.SessionTakenOver)
			q.quiet()
		})
	}
}

// Who is refused before CONNACK gets one CONNACK and no DISCONNECT.
func TestScramRefused(t *testing.T) {
	users := scramUsers(t)
	connect := func(ps ...mqtt.Property) func(*world, *peer) {
		return func(_ *world, p *peer) {
			p.send(&mqtt.Connect{Version: mqtt.V50, ClientID: "x", CleanStart: true, Properties: ps})
		}
	}
	method := mqtt.Str(mqtt.AuthenticationMethod, access.ScramSHA256)
	for _, c := range []struct {
		name string
		play func(*world, *peer)
		want mqtt.ReasonCode
	}{
		{"unknown method [MQTT-4.12.0-1]", connect(mqtt.Str(mqtt.AuthenticationMethod, "PLAIN")), mqtt.BadAuthenticationMethod},
		{"method of another case", connect(mqtt.Str(mqtt.AuthenticationMethod, "scram-sha-256")), mqtt.BadAuthenticationMethod},
		{"empty method", connect(mqtt.Str(mqtt.AuthenticationMethod, "")), mqtt.BadAuthenticationMethod},
		{"data without a method", connect(mqtt.Bin(mqtt.AuthenticationData, []byte("n,,n=user,r=x"))), mqtt.ProtocolError},
		{"no data", connect(method), mqtt.NotAuthorized},
		{"no SCRAM", connect(method, mqtt.Bin(mqtt.AuthenticationData, []byte("hello"))), mqtt.NotAuthorized},
		{"for somebody else", connect(method, mqtt.Bin(mqtt.AuthenticationData, []byte("n,a=root,n=user,r=x"))), mqtt.BadUserNameOrPassword},
		{"method twice", connect(method, method), mqtt.ProtocolError},
		{"no room for the AUTH", connect(method, mqtt.Num(mqtt.MaximumPacketSize, 40),
			mqtt.Bin(mqtt.AuthenticationData, []byte("n,,n=user,r=x"))), mqtt.PacketTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, Options{Users: users}, func(w *world) {
				p := w.dial(mqtt.V50)
				c.play(w, p)
				p.refused(c.want)
			})
		})
	}
	for _, c := range []struct{ user, password string }{{"user", "Pencil"}, {"nobody", "pencil"}, {"plain", "pencil"}} {
		t.Run("proof of "+c.user, func(t *testing.T) {
			inWorld(t, Options{Users: users}, func(w *world) {
				l := newLogin(t, access.ScramSHA256, c.user, c.password)
				p, challenge := w.challenged(l, nil)
				p.send(l.packet(mqtt.ContinueAuthentication, l.step(challenge)))
				p.refused(mqtt.BadUserNameOrPassword)
				equal(t, "refused", w.b.Stats().Refused, 1)
			})
		})
	}
	t.Run("nobody has a verifier", func(t *testing.T) {
		inWorld(t, Options{}, func(w *world) {
			p := w.dial(mqtt.V50)
			connect(method, mqtt.Bin(mqtt.AuthenticationData, []byte("n,,n=user,r=x")))(w, p)
			p.refused(mqtt.BadAuthenticationMethod)
		})
	})
	t.Run("CONNECT names somebody else", func(t *testing.T) {
		inWorld(t, Options{Users: users}, func(w *world) {
			l := newLogin(t, access.ScramSHA256, "user", "pencil")
			p, challenge := w.challenged(l, withPassword("plain", "pencil"))
			p.send(l.packet(mqtt.ContinueAuthentication, l.step(challenge)))
			p.refused(mqtt.NotAuthorized)
			w.loggedIn(access.ScramSHA256, withPassword("user", "")).quiet()
		})
	})
}

// Every packet that may not stand where it stands: between CONNECT and CONNACK.
func TestAuthStateErrors(t *testing.T) {
	users := scramUsers(t)
	l := newLogin(t, access.ScramSHA256, "user", "pencil")
	other := &login{t, access.ScramSHA512, l.conv}
	type attempt struct {
		name string
		raw  []byte
		pkt  mqtt.Packet
		want mqtt.ReasonCode // Success: no answer
	}
	all := []attempt{
		{"re-authentication [MQTT-4.12.1-1]", nil, l.packet(mqtt.ReAuthenticate, []byte("n,,n=user,r=x")), mqtt.ProtocolError},
		{"another method [MQTT-4.12.0-5]", nil, other.packet(mqtt.ContinueAuthentication, []byte("x")), mqtt.ProtocolError},
		{"no SCRAM", nil, l.packet(mqtt.ContinueAuthentication, []byte("x")), mqtt.NotAuthorized},
		{"no data", nil, &mqtt.Auth{ReasonCode: mqtt.ContinueAuthentication,
			Properties: mqtt.Properties{mqtt.Str(mqtt.AuthenticationMethod, l.method)}}, mqtt.NotAuthorized},
		{"no method", packet(0xf0, []byte{0x18}, props()), nil, mqtt.ProtocolError},
		{"success [MQTT-3.15.2-1]", packet(0xf0, []byte{0x00}, props([]byte{0x15}, text(l.method))), nil, mqtt.ProtocolError},
		{"empty", packet(0xf0), nil, mqtt.ProtocolError},
		{"unknown reason code", packet(0xf0, []byte{0x17}, props([]byte{0x15}, text(l.method))), nil, mqtt.ProtocolError},
		{"flags", packet(0xf1, []byte{0x18}, props([]byte{0x15}, text(l.method))), nil, mqtt.MalformedPacket},
		{"too large", append([]byte{0xf0}, 0x80, 0x80, 0x80, 0x01), nil, mqtt.PacketTooLarge},
		{"DISCONNECT", nil, &mqtt.Disconnect{}, mqtt.Success},
	}
	for _, pkt := range everyPacket(mqtt.V50) {
		switch pkt.Type() {
		case mqtt.TypeAuth, mqtt.TypeDisconnect:
		default:
			all = append(all, attempt{pkt.Type().String() + " [MQTT-3.1.2-30]", nil, pkt, mqtt.ProtocolError})
		}
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, Options{Users: users}, func(w *world) {
				p, _ := w.challenged(newLogin(t, l.method, "user", "pencil"), nil)
				if c.pkt != nil {
					p.send(c.pkt)
				} else {
					p.sendRaw(c.raw)
				}
				p.refused(c.want)
			})
		})
	}
}

// The time to connect counts to the CONNACK, however busy the peer looks.
func TestConnectTimeoutCoversTheExchange(t *testing.T) {
	inWorld(t, Options{Users: scramUsers(t)}, func(w *world) {
		start := time.Now()
		p := w.dial(mqtt.V50)
		time.Sleep(6 * time.Second)
		l := newLogin(t, access.ScramSHA256, "user", "pencil")
		c := &mqtt.Connect{Version: mqtt.V50, ClientID: "x", CleanStart: true}
		l.begin(c)
		p.send(c)
		next[*mqtt.Auth](p)
		time.Sleep(time.Until(start.Add(9900 * time.Millisecond)))
		p.quiet()
		time.Sleep(200 * time.Millisecond)
		p.refused(mqtt.Success)
	})
}

func TestReauthenticate(t *testing.T) {
	inWorld(t, Options{Users: scramUsers(t)}, func(w *world) {
		p := w.loggedIn(access.ScramSHA512, nil)
		p.subscribe(mqtt.QoS0, "t")
		for range 2 {
			l := newLogin(t, access.ScramSHA512, "user", "pencil")
			p.send(l.packet(mqtt.ReAuthenticate, l.step(nil)))
			auth := next[*mqtt.Auth](p)
			equal(t, "AUTH", auth.ReasonCode, mqtt.ContinueAuthentication)
			// Other packets go on meanwhile, section 4.12.1.
			p.send(publish(mqtt.QoS0, 0, "t", "meanwhile"), &mqtt.Pingreq{})
			p.message("t", "meanwhile")
			next[*mqtt.Pingresp](p)
			p.send(l.packet(mqtt.ContinueAuthentication, l.step(l.data(auth.Properties))))
			auth = next[*mqtt.Auth](p)
			equal(t, "AUTH", auth.ReasonCode, mqtt.Success)
			l.step(l.data(auth.Properties))
			if !l.conv.Valid() {
				t.Error("the broker did not authenticate itself")
			}
		}
		p.quiet()
	})
}

// [MQTT-4.12.1-2]: what fails on a connection closes it, with a DISCONNECT.
func TestReauthenticateFails(t *testing.T) {
	users := scramUsers(t)
	const method = access.ScramSHA256
	first := []byte("n,,n=user,r=x")
	for _, c := range []struct {
		name string
		play func(t *testing.T, w *world, p *peer)
		want mqtt.ReasonCode
	}{
		{"wrong proof", func(t *testing.T, _ *world, p *peer) { reauthenticate(t, p, "user", "Pencil") }, mqtt.NotAuthorized},
		{"another user", func(t *testing.T, _ *world, p *peer) { reauthenticate(t, p, "other", "pencil") }, mqtt.NotAuthorized},
		{"no such user", func(t *testing.T, _ *world, p *peer) { reauthenticate(t, p, "nobody", "pencil") }, mqtt.NotAuthorized},
		{"no SCRAM", func(t *testing.T, _ *world, p *peer) {
			p.send((&login{t: t, method: method}).packet(mqtt.ReAuthenticate, []byte("x")))
		}, mqtt.NotAuthorized},
		{"another method [MQTT-4.12.1-1]", func(t *testing.T, _ *world, p *peer) {
			p.send((&login{t: t, method: access.ScramSHA512}).packet(mqtt.ReAuthenticate, first))
		}, mqtt.ProtocolError},
		{"continue what has not begun [MQTT-4.12.0-3]", func(t *testing.T, _ *world, p *peer) {
			p.send((&login{t: t, method: method}).packet(mqtt.ContinueAuthentication, first))
		}, mqtt.ProtocolError},
		{"twice at once", func(t *testing.T, _ *world, p *peer) {
			l := &login{t: t, method: method}
			p.send(l.packet(mqtt.ReAuthenticate, first))
			next[*mqtt.Auth](p)
			p.send(l.packet(mqtt.ReAuthenticate, first))
		}, mqtt.ProtocolError},
		{"the users have gone", func(t *testing.T, w *world, p *peer) {
			w.b.SetUsers(nil)
			p.send((&login{t: t, method: method}).packet(mqtt.ReAuthenticate, first))
		}, mqtt.NotAuthorized},
		{"a new password", func(t *testing.T, w *world, p *peer) {
			hash, err := access.HashScram("pen", 4096)
			if err != nil {
				t.Fatal(err)
			}
			u, err := access.ParseUsers("users", access.SetUser(nil, "user", hash))
			if err != nil {
				t.Fatal(err)
			}
			w.b.SetUsers(u)
			reauthenticate(t, p, "user", "pencil")
		}, mqtt.NotAuthorized},
		{"a second CONNECT", func(_ *testing.T, _ *world, p *peer) {
			p.send(&mqtt.Connect{Version: mqtt.V50, ClientID: "x", CleanStart: true})
		}, mqtt.ProtocolError},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, Options{Users: users, Anonymous: AnonymousAll}, func(w *world) {
				watch := w.client(mqtt.V50, "watch")
				watch.subscribe(mqtt.QoS0, "will")
				p := w.loggedIn(method, func(c *mqtt.Connect) { c.Will = &mqtt.Will{Topic: "will", Payload: []byte("x")} })
				c.play(t, w, p)
				p.gone(c.want)
				watch.message("will", "x")
			})
		})
	}
}

// reauthenticate sends both messages.
func reauthenticate(t *testing.T, p *peer, user, password string) {
	t.Helper()
	l := newLogin(t, access.ScramSHA256, user, password)
	p.send(l.packet(mqtt.ReAuthenticate, l.step(nil)))
	auth := next[*mqtt.Auth](p)
	p.send(l.packet(mqtt.ContinueAuthentication, l.step(l.data(auth.Properties))))
}

const tokenSecret = "0123456789abcdef0123456789abcdef"

func tokenOptions(t *testing.T) Options {
	t.Helper()
	k, err := access.NewTokens(access.TokenOptions{Key: []byte(tokenSecret), Audience: "mqtt"})
	if err != nil {
		t.Fatal(err)
	}
	return Options{Tokens: k, Users: scramUsers(t), Anonymous: AnonymousNone}
}

// token is good for alice for a minute, but for the changes.
func token(t *testing.T, change jwt.MapClaims) string {
	t.Helper()
	c := jwt.MapClaims{"sub": "alice", "aud": "mqtt", "exp": time.Now().Add(time.Minute).Unix()}
	for k, v := range change {
		c[k] = v
	}
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString([]byte(tokenSecret))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestToken(t *testing.T) {
	eachVersion(t, tokenOptions(t), func(w *world, v mqtt.Version) {
		for _, c := range []struct {
			name, user, password string
			want                 mqtt.ReasonCode
		}{
			{"good", "alice", token(t, nil), mqtt.Success},
			{"without a name", "", token(t, nil), mqtt.Success},
			{"another name", "bob", token(t, nil), mqtt.BadUserNameOrPassword},
			{"expired", "alice", token(t, jwt.MapClaims{"exp": time.Now().Add(-time.Second).Unix()}), mqtt.BadUserNameOrPassword},
			{"other audience", "alice", token(t, jwt.MapClaims{"aud": "shop"}), mqtt.BadUserNameOrPassword},
			{"tampered", "alice", strings.Replace(token(t, nil), ".", ".A", 1), mqtt.BadUserNameOrPassword},
			{"a password beside it", "user", "pencil", mqtt.Success},
			{"a wrong one", "user", "Pencil", mqtt.BadUserNameOrPassword},
		} {
			p, ack := w.connect(v, "x", withPassword(c.user, c.password))
			equal(t, c.name, ack.ReasonCode, c.want)
			if c.want == mqtt.Success {
				p.quiet()
				p.send(&mqtt.Disconnect{})
			}
		}
	})
}

// The token is the user: its session, its rights.
func TestTokenIsTheUser(t *testing.T) {
	o := tokenOptions(t)
	o.ACL = aclOf(t, "user alice\n allow all home/%u/#\n")
	inWorld(t, o, func(w *world) {
		p, ack := w.connect(mqtt.V50, "x", withPassword("", token(t, nil)))
		equal(t, "CONNACK", ack.ReasonCode, mqtt.Success)
		p.subscribe(mqtt.QoS1, "home/alice/#")
		p.send(publish(mqtt.QoS1, 1, "home/user/lamp", "on"))
		equal(t, "PUBACK", next[*mqtt.Puback](p).ReasonCode, mqtt.NotAuthorized)
		_, ack = w.connect(mqtt.V50, "x", withPassword("user", "pencil"))
		equal(t, "another user's identifier", ack.ReasonCode, mqtt.NotAuthorized)
	})
}

// The connection ends when its token does, to the second, whatever is said and
// however silent it is.
func TestTokenExpires(t *testing.T) {
	eachVersion(t, tokenOptions(t), func(w *world, v mqtt.Version) {
		for _, c := range []struct {
			keepAlive uint16
			busy      bool
		}{{0, false}, {5, true}, {600, false}} {
			end := time.Now().Add(time.Minute).Truncate(time.Second)
			p, ack := w.connect(v, "x", func(p *mqtt.Connect) {
				withPassword("alice", token(t, jwt.MapClaims{"exp": end.Unix()}))(p)
				p.KeepAlive = c.keepAlive
			})
			equal(t, "CONNACK", ack.ReasonCode, mqtt.Success)
			for time.Until(end) > 4*time.Second {
				time.Sleep(4 * time.Second)
				if c.busy {
					p.send(&mqtt.Pingreq{})
					next[*mqtt.Pingresp](p)
				}
				p.quiet()
			}
			time.Sleep(time.Until(end) - 100*time.Millisecond)
			p.quiet()
			time.Sleep(200 * time.Millisecond)
			p.gone(mqtt.MaximumConnectTime)
		}
	})
}

// slowly answers with a key set that grows, after a time.
type slowly struct {
	delay    time.Duration
	requests int
}

func (s *slowly) RoundTrip(*http.Request) (*http.Response, error) {
	time.Sleep(s.delay)
	s.requests++
	w := httptest.NewRecorder()
	id, key := "old", base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("o", 32)))
	if s.requests > 1 {
		id, key = "new", base64.RawURLEncoding.EncodeToString([]byte(tokenSecret))
	}
	_, err := fmt.Fprintf(w, `{"keys":[{"kty":"oct","kid":%q,"k":%q}]}`, id, key)
	return w.Result(), err
}

// Who waits for a key set keeps nobody else waiting, however many there are:
// neither those connected nor those whose password is checked.
func TestTokenWaitsForKeys(t *testing.T) {
	eachVersion(t, Options{Users: scramUsers(t), Anonymous: AnonymousNone}, func(w *world, v mqtt.Version) {
		source := &slowly{}
		set, err := access.FetchKeySet(w.t.Context(), access.KeySetOptions{URL: "http://keys.example/", Transport: source})
		if err != nil {
			t.Fatal(err)
		}
		k, err := access.NewTokens(access.TokenOptions{KeySet: set})
		if err != nil {
			t.Fatal(err)
		}
		w.b.SetTokens(k)
		source.delay = 5 * time.Second
		time.Sleep(time.Minute)

		tok := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Minute).Unix()})
		tok.Header["kid"] = "new"
		signed, err := tok.SignedString([]byte(tokenSecret))
		if err != nil {
			t.Fatal(err)
		}
		var waiting []*peer
		for i := range 4 * runtime.GOMAXPROCS(0) {
			p := w.dial(v)
			c := &mqtt.Connect{Version: v, ClientID: fmt.Sprint("token", i), CleanStart: true}
			withPassword("alice", signed)(c)
			p.send(c)
			waiting = append(waiting, p)
		}
		begin := time.Now()
		p, ack := w.connect(v, "password", withPassword("user", "pencil"))
		equal(w.t, "CONNACK of a password", ack.ReasonCode, mqtt.Success)
		p.send(&mqtt.Pingreq{})
		next[*mqtt.Pingresp](p)
		equal(w.t, "time that took", time.Since(begin), 0)
		for _, p := range waiting {
			p.quiet()
		}
		time.Sleep(source.delay)
		for _, p := range waiting {
			equal(w.t, "CONNACK of a token", next[*mqtt.Connack](p).ReasonCode, mqtt.Success)
		}
		equal(w.t, "requests", source.requests, 2)
	})
}
