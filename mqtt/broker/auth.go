package broker

import (
	"bytes"
	"errors"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/access"
)

// authState is the enhanced authentication of a connection, section 4.12.
// It is there for as long as the connection, which may authenticate anew.
type authState struct {
	method  string
	connect *mqtt.Connect // it waits for the exchange, nil once it was answered
	scram   *access.Scram // the exchange under way, nil: none
	user    string        // who was proved to be there
}

// errExchange says that a CONNECT waits for an exchange of AUTH packets.
var errExchange = errors.New("broker: the client is asked to authenticate")

// errExpired closes a connection whose token has run out.
var errExpired = errors.New("broker: the token has expired")

// beginAuth starts the exchange that the Authentication Method of a CONNECT
// asks for. It returns errExchange, with the first AUTH on its way.
func (c *conn) beginAuth(t *turn, p *mqtt.Connect) error {
	method, _ := p.Properties.Text(mqtt.AuthenticationMethod)
	scram, ok := c.b.scram(method)
	if !ok {
		return refuse(mqtt.BadAuthenticationMethod, "MQTT-4.12.0-1", "the authentication method is not supported")
	}
	a := &authState{method: method, connect: p, scram: scram}
	data, _ := p.Properties.Bytes(mqtt.AuthenticationData)
	// Two messages of the client are needed: this one cannot be the last.
	answer, _, err := scram.Step(data)
	if err == nil {
		err = c.answer(t, a.packet(mqtt.ContinueAuthentication, answer)) // [MQTT-4.12.0-2]
	}
	if err != nil {
		return a.fault(err)
	}
	c.auth = a
	return errExchange
}

// scram begins an exchange; false: there is no such method, or nobody who could
// use it.
func (b *Broker) scram(method string) (*access.Scram, bool) {
	users := b.users.Load()
	if users == nil {
		return nil, false
	}
	return users.Scram(method)
}

// properties belong to every AUTH, and to the CONNACK that lets in
// [MQTT-4.12.0-5]. Without a method there are none [MQTT-4.12.0-6].
func (a *authState) properties(data []byte) mqtt.Properties {
	if a == nil {
		return nil
	}
	return mqtt.Properties{mqtt.Str(mqtt.AuthenticationMethod, a.method), mqtt.Bin(mqtt.AuthenticationData, data)}
}

func (a *authState) packet(code mqtt.ReasonCode, data []byte) *mqtt.Auth {
	return &mqtt.Auth{ReasonCode: code, Properties: a.properties(data)}
}

// fault turns what went wrong into the peer's Reason Code. What DISCONNECT may
// not carry is for CONNACK alone [MQTT-4.12.0-4], [MQTT-4.12.1-2].
func (a *authState) fault(err error) error {
	switch {
	case errors.Is(err, access.ErrProof) && a.connect != nil:
		return refuse(mqtt.BadUserNameOrPassword, "MQTT-4.12.0-4", "user name and password do not fit")
	case errors.Is(err, access.ErrProof), errors.Is(err, access.ErrScram):
		return refuse(mqtt.NotAuthorized, "MQTT-4.12.0-4", "authentication failed")
	}
	return err
}

// exchanging handles what comes between a CONNECT with an Authentication Method
// and its CONNACK.
func (c *conn) exchanging(t *turn, pkt mqtt.Packet) error {
	switch p := pkt.(type) {
	case *mqtt.Auth:
		return c.authPacket(t, p)
	case *mqtt.Disconnect:
		return errDisconnected
	}
	return &mqtt.Error{Code: mqtt.ProtocolError, Statement: "MQTT-3.1.2-30",
		Text: pkt.Type().String() + " before CONNACK, where only AUTH and DISCONNECT may come"}
}

// authPacket handles AUTH, section 4.12.
func (c *conn) authPacket(t *turn, p *mqtt.Auth) error {
	a := c.auth
	fault := func(statement, text string) error {
		return &mqtt.Error{Code: mqtt.ProtocolError, Statement: statement, Text: text}
	}
	method, _ := p.Properties.Text(mqtt.AuthenticationMethod)
	again := p.ReasonCode == mqtt.ReAuthenticate
	switch {
	case a == nil:
		return fault("MQTT-4.12.0-7", "AUTH without an authentication method in CONNECT")
	case again && a.connect != nil:
		return fault("MQTT-4.12.1-1", "re-authentication before CONNACK")
	case again && method != a.method:
		return fault("MQTT-4.12.1-1", "re-authentication by another method")
	case method != a.method:
		return fault("MQTT-4.12.0-5", "AUTH with another authentication method")
	case again && a.scram != nil:
		return fault("4.12.1", "re-authentication while one is under way")
	case !again && a.scram == nil:
		return fault("MQTT-4.12.0-3", "AUTH that nothing was asked by")
	case again:
		var ok bool
		if a.scram, ok = c.b.scram(method); !ok { // any more
			return refuse(mqtt.NotAuthorized, "MQTT-4.12.1-2", "the authentication method is not supported any more")
		}
	}
	data, _ := p.Properties.Bytes(mqtt.AuthenticationData)
	answer, user, err := a.scram.Step(data)
	switch {
	case err != nil:
		return a.fault(err)
	case user == "":
		return c.answer(t, a.packet(mqtt.ContinueAuthentication, answer))
	case a.connect != nil:
		return c.proved(t, user, answer)
	case user != a.user: // the session is not theirs
		return refuse(mqtt.NotAuthorized, "MQTT-4.12.1-2", "re-authentication as another user")
	}
	a.scram = nil
	c.b.opt.Log.Info("authenticated anew", "client", c.clientID(), "user", user)
	return c.answer(t, a.packet(mqtt.Success, answer))
}

// proved goes on with the CONNECT that has waited. What else names a user must
// name the same one.
func (c *conn) proved(t *turn, user string, final []byte) error {
	a := c.auth
	certified, ok, err := c.certified()
	switch {
	case err != nil:
		return err
	case ok && certified != user:
		return refuse(mqtt.NotAuthorized, "5.4.1", "the certificate is another user's")
	case a.connect.Username != "" && a.connect.Username != user:
		return refuse(mqtt.NotAuthorized, "5.4.1", "CONNECT has the name of another user")
	}
	p := a.connect
	a.connect, a.scram, a.user = nil, nil, user
	return c.letIn(t, p, user, a.properties(final))
}

// refuseExchange answers the CONNECT that waits: before CONNACK there is no
// DISCONNECT [MQTT-3.14.0-1].
func (c *conn) refuseExchange(t *turn, err error) {
	a := c.auth
	if a == nil || a.connect == nil {
		return
	}
	p := a.connect
	a.connect = nil
	c.refuse(t, p, err)
}

// SetTokens replaces what JSON Web Tokens are checked with; nil: none is
// accepted. Who is connected stays.
func (b *Broker) SetTokens(k *access.Tokens) { b.tokens.Store(k) }

// checkToken has a JSON Web Token in the place of the password checked
// elsewhere. It ends the connection when it expires.
func (c *conn) checkToken(k *access.Tokens, p *mqtt.Connect) error {
	token, name := bytes.Clone(p.Password), p.Username
	return c.check(func(stop <-chan struct{}) { k.Prepare(stop, token) }, func() (string, error) {
		user, expires, err := k.Check(token)
		if err == nil && name != "" && name != user {
			err = errors.New("broker: the user name of CONNECT is not the token's")
		}
		if err != nil {
			c.b.opt.Log.Info("token refused", "addr", c.tc.RemoteAddr().String(), "err", err)
			return "", refuse(mqtt.BadUserNameOrPassword, "5.4.1", "the token is not accepted")
		}
		c.expires = coarsely(c.b.timers.now()+min(time.Until(expires), farAway)) + 1
		return user, nil
	})
}

// farAway is beyond what a deadline can be.
const farAway = 100 * 365 * 24 * time.Hour
