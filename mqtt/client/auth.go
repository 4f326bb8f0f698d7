package client

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/xdg-go/scram"

	"mqt/mqtt"
)

// The Authentication Methods that SCRAM makes.
const (
	ScramSHA256 = "SCRAM-SHA-256" // RFC 7677
	ScramSHA512 = "SCRAM-SHA-512"
)

// maxIterations bounds the work that a Server may ask for.
const maxIterations = 10_000_000

var (
	// ErrServerNotAuthenticated: the Server did not prove that it knows the
	// client's credentials. It may be somebody else.
	ErrServerNotAuthenticated = errors.New("client: the server did not authenticate itself")
	// ErrAuthenticating: an authentication is under way.
	ErrAuthenticating = errors.New("client: authentication is under way already")
)

// Authentication is enhanced authentication, section 4.12, which 5.0 has.
type Authentication struct {
	// Method is the Authentication Method.
	Method string
	// Begin starts an exchange: one for each connection, and one for each
	// Reauthenticate.
	Begin func() AuthenticationStep
	// Until, if set, says when the last exchange must be followed by another: the
	// Client calls Reauthenticate by itself then. The zero time is for never.
	Until func() time.Time
}

// AuthenticationStep takes the Server's Authentication Data and returns the
// answer, nil for none. The first call has nil; done is set when the Server
// says that it is satisfied, where an error means that the client is not. Calls
// are made one after the other, most of them on the goroutine that reads.
type AuthenticationStep func(data []byte, done bool) (answer []byte, err error)

// SCRAM authenticates by SCRAM-SHA-256 or SCRAM-SHA-512 (RFC 5802): neither
// side learns the password, and both prove that they know it. User and password
// are prepared by SASLprep (RFC 4013), whose refusal is the error.
func SCRAM(method, user, password string) (*Authentication, error) {
	var hash scram.HashGeneratorFcn
	switch method {
	case ScramSHA256:
		hash = scram.SHA256
	case ScramSHA512:
		hash = scram.SHA512
	default:
		return nil, fmt.Errorf("client: no authentication method %q", method)
	}
	if user == "" {
		return nil, fmt.Errorf("client: %s needs a user name", method)
	}
	c, err := hash.NewClient(user, password, "")
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return &Authentication{Method: method, Begin: func() AuthenticationStep { return scramStep(c.NewConversation()) }}, nil
}

func scramStep(conv *scram.ClientConversation) AuthenticationStep {
	return func(data []byte, done bool) ([]byte, error) {
		var out string
		if tooMuchWork(string(data)) {
			return nil, fmt.Errorf("it asks for more than %d iterations", maxIterations)
		}
		if !conv.Done() {
			var err error
			if out, err = conv.Step(string(data)); err != nil {
				return nil, err
			}
		}
		if done && !conv.Valid() {
			return nil, ErrServerNotAuthenticated
		}
		return []byte(out), nil
	}
}

// tooMuchWork finds the iteration count of a server-first-message.
func tooMuchWork(message string) bool {
	for field := range strings.SplitSeq(message, ",") {
		if n, ok := strings.CutPrefix(field, "i="); ok {
			i, err := strconv.Atoi(n)
			return err != nil || i > maxIterations
		}
	}
	return false
}

// authenticator is what a connection with Options.Authentication has.
type authenticator struct {
	*Authentication
	under *authenticating // guarded by Client.mu; nil: nothing is under way
	timer *time.Timer     // begins the next exchange
}

// authenticating is the exchange under way. Its step is called by the reader
// alone, but for the first call.
type authenticating struct {
	step  AuthenticationStep
	ended chan error // of Reauthenticate; nil: it is that of CONNECT
}

// beginAuth adds the first Authentication Data to CONNECT. mu is held.
func (l *link) beginAuth(p *mqtt.Connect) error {
	with := l.c.dials.opt.Authentication
	if with == nil {
		return nil
	}
	l.auth = &authenticator{Authentication: with, under: &authenticating{step: with.Begin()}}
	data, err := l.auth.under.step(nil, false)
	p.Properties = append(p.Properties, l.authProperties(data)...)
	return err
}

func (l *link) authProperties(data []byte) mqtt.Properties {
	ps := mqtt.Properties{mqtt.Str(mqtt.AuthenticationMethod, l.auth.Method)} // [MQTT-4.12.0-5]
	if data != nil {
		ps = append(ps, mqtt.Bin(mqtt.AuthenticationData, data))
	}
	return ps
}

// Reauthenticate authenticates the connection anew, section 4.12.1. If that
// fails the connection is lost [MQTT-4.12.1-2]. It needs
// Options.Authentication.
func (c *Client) Reauthenticate(ctx context.Context) error {
	if f := c.run.credentials; f != nil {
		if _, err := f(ctx, true); err != nil {
			return fmt.Errorf("client: %w", err)
		}
	}
	c.mu.Lock()
	if c.state == Closed {
		defer c.mu.Unlock()
		return c.err
	}
	l := c.link
	switch {
	case !c.open():
		c.mu.Unlock()
		return ErrNotConnected
	case l.auth == nil: // [MQTT-4.12.0-7]
		c.mu.Unlock()
		return errors.New("client: the connection was made without an authentication method")
	case l.auth.under != nil:
		c.mu.Unlock()
		return ErrAuthenticating
	}
	a := &authenticating{step: l.auth.Begin(), ended: make(chan error, 1)}
	data, err := a.step(nil, false)
	if err == nil {
		l.auth.under = a
		err = l.control(&mqtt.Auth{ReasonCode: mqtt.ReAuthenticate, Properties: l.authProperties(data)})
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	l.flush()
	select {
	case err := <-a.ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// onAuth handles AUTH, section 4.12. mu is not held.
func (l *link) onAuth(p *mqtt.Auth) error {
	c := l.c
	c.mu.Lock()
	a, up := l.underWay(), l.up
	c.mu.Unlock()
	method, _ := p.Properties.Text(mqtt.AuthenticationMethod)
	switch {
	case l.auth == nil:
		return protocolError("MQTT-4.12.0-6", "AUTH without an authentication method in CONNECT")
	case method != l.auth.Method:
		return protocolError("MQTT-4.12.0-5", "AUTH with another authentication method")
	case a == nil:
		return protocolError("4.12", "AUTH while nothing is being authenticated")
	case p.ReasonCode == mqtt.Success && !up:
		return protocolError("4.12", "AUTH with success in the place of CONNACK")
	case p.ReasonCode == mqtt.Success:
		return l.authenticated(a, p.Properties)
	}
	data, _ := p.Properties.Bytes(mqtt.AuthenticationData)
	answer, err := a.step(data, false)
	if err != nil {
		return l.distrust(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// [MQTT-4.12.0-3]
	return l.control(&mqtt.Auth{ReasonCode: mqtt.ContinueAuthentication, Properties: l.authProperties(answer)})
}

// authenticated ends the exchange: the Server is satisfied, by CONNACK or AUTH.
// mu is not held.
func (l *link) authenticated(a *authenticating, ps mqtt.Properties) error {
	data, _ := ps.Bytes(mqtt.AuthenticationData)
	if _, err := a.step(data, true); err != nil {
		return l.distrust(err)
	}
	l.c.mu.Lock()
	l.auth.under = nil
	l.authenticateLater()
	l.c.mu.Unlock()
	if a.ended != nil {
		a.ended <- nil
	}
	return nil
}

// authenticateLater sets the timer of Until. mu is held.
func (l *link) authenticateLater() {
	if l.auth.Until == nil {
		return
	}
	at := l.auth.Until()
	if at.IsZero() {
		return
	}
	if l.auth.timer != nil {
		l.auth.timer.Stop()
	}
	l.auth.timer = time.AfterFunc(max(time.Until(at), minReauthenticate), func() {
		ctx, cancel := context.WithTimeout(context.Background(), reauthenticateTimeout)
		defer cancel()
		// What fails here ends the connection, or the Server ends it in time.
		_ = l.c.Reauthenticate(ctx)
	})
}

// Bounds of an authentication that begins by itself.
const (
	minReauthenticate     = time.Second
	reauthenticateTimeout = time.Minute
)

// distrust ends a connection whose Server is not the one that it should be
// [MQTT-4.12.1-2].
func (l *link) distrust(err error) error {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if l.up {
		_ = l.disconnect(&mqtt.Disconnect{ReasonCode: mqtt.UnspecifiedError}) // a client has no better code
	}
	if errors.Is(err, ErrServerNotAuthenticated) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrServerNotAuthenticated, err)
}

// confirm holds a CONNACK to the exchange that it ends. mu is not held.
func (l *link) confirm(p *mqtt.Connack) error {
	l.c.mu.Lock()
	a, up := l.underWay(), l.up
	// Somebody may speak for themselves: then nothing can be said of it here.
	asked := !up && l.c.dials.opt.Properties.Has(mqtt.AuthenticationMethod)
	l.c.mu.Unlock()
	if up || asked || p.ReasonCode != mqtt.Success {
		return nil
	}
	method, has := p.Properties.Text(mqtt.AuthenticationMethod)
	switch {
	case a == nil && has:
		return protocolError("MQTT-4.12.0-6", "CONNACK with an authentication method that CONNECT did not have")
	case a == nil:
		return nil
	case method != l.auth.Method:
		return protocolError("MQTT-4.12.0-5", "CONNACK with another authentication method")
	}
	return l.authenticated(a, p.Properties)
}

// underWay is the exchange under way, nil for none. mu is held.
func (l *link) underWay() *authenticating {
	if l.auth == nil {
		return nil
	}
	return l.auth.under
}

// endAuth tells Reauthenticate that the connection has ended. mu is held.
func (l *link) endAuth(err error) {
	a := l.underWay()
	if a == nil {
		return
	}
	if a.ended != nil {
		a.ended <- err
	}
	l.auth.under = nil
}
