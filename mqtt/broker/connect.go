package broker

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/access"
	"mqt/mqtt/flow"
	"mqt/mqtt/topic"
)

// refusal is a CONNECT that is answered by a CONNACK with a Reason Code.
type refusal struct{ fault *mqtt.Error }

func (r refusal) Error() string { return r.fault.Error() }
func (r refusal) Unwrap() error { return r.fault }

func refuse(code mqtt.ReasonCode, statement, text string) error {
	return refusal{&mqtt.Error{Code: code, Statement: statement, Text: text}}
}

// connect handles CONNECT, section 3.1.4. malformed is what the decoder found
// wrong with it [MQTT-3.1.4-1]; what is refused for another reason
// [MQTT-3.1.4-2] is closed as well, behind its CONNACK [MQTT-3.2.2-7].
func (c *conn) connect(t *turn, p *mqtt.Connect, malformed error) error {
	c.setUp(p)
	err := malformed
	if err == nil && c.checking.Load() == nil { // once for each
		err = c.allowConnect(t, p)
	}
	if err == nil {
		err = c.b.admit(p)
	}
	var user string
	if err == nil {
		user, err = c.authenticate(t, p)
	}
	switch {
	case errors.Is(err, errChecking):
		c.version = 0 // CONNECT is still to come
		return err
	case errors.Is(err, errExchange):
		return nil // letIn is still to come
	case err != nil:
		c.refuse(t, p, err)
		return err
	}
	return c.letIn(t, p, user, nil)
}

// letIn accepts a CONNECT that user has sent. ps are properties for CONNACK.
func (c *conn) letIn(t *turn, p *mqtt.Connect, user string, ps mqtt.Properties) (err error) {
	connack := &mqtt.Connack{Properties: ps}
	if p.ClientID == "" { // [MQTT-3.1.3-6], [MQTT-3.1.3-7]
		p.ClientID = newClientID()
		connack.Properties = append(connack.Properties, mqtt.Str(mqtt.AssignedClientIdentifier, p.ClientID))
	}
	if err = c.b.mayLeaveWill(access.Principal{Username: user, ClientID: p.ClientID}, p.Will); err != nil {
		c.refuse(t, p, err)
		return err
	}
	connack.Properties = c.b.announce(connack.Properties, p)
	c.setKeepAlive(p)
	if uint64(connack.Size(c.version)) > uint64(c.maxPacket) {
		err = refuse(mqtt.PacketTooLarge, "MQTT-3.1.2-24", "the CONNACK is larger than the Maximum Packet Size")
		c.refuse(t, p, err)
		return err
	}
	if err = c.b.affordsSession(t, p, user, c.tc.RemoteAddr()); err == nil {
		err = c.enter(p, user)
	}
	if err != nil {
		c.refuse(t, p, err)
		return err
	}
	return c.goIn(t, &storing{c: c, connect: p, user: user, connack: connack})
}

// goIn is the end of letIn, when it is the connection's turn.
func (c *conn) goIn(t *turn, k *storing) error {
	p := k.connect
	err := c.b.attach(t, c, k)
	switch {
	case errors.Is(err, errOccupied), errors.Is(err, errTakenOver):
		return err
	case err != nil:
		c.refuse(t, p, err)
		return err
	}
	// Most brokers log no more than warnings: the texts are made for who reads them.
	if log := c.b.opt.Log; log.Enabled(context.Background(), slog.LevelInfo) {
		log.Info("connected", "client", p.ClientID, "version", p.Version.String(),
			"user", k.user, "addr", c.tc.RemoteAddr().String(), "resumed", k.connack.SessionPresent)
	}
	if c.storing != nil {
		return errStoring
	}
	return nil
}

// setUp takes from CONNECT what the connection itself needs, also for refusing
// it.
func (c *conn) setUp(p *mqtt.Connect) {
	c.version = p.Version
	if c.version < mqtt.V31 {
		c.version = mqtt.V31
	} else if c.version > mqtt.V50 {
		c.version = mqtt.V50
	}
	c.maxPacket = 1<<28 + 8
	if n, ok := p.Properties.Number(mqtt.MaximumPacketSize); ok && n > 0 {
		c.maxPacket = n // 0 is an error, which is answered
	}
	c.flags.put(noProblems, p.Properties.NumberOr(mqtt.RequestProblemInformation, 1) == 0)
}

// admit checks what the standard and the options require of a CONNECT. Any
// Client Identifier is welcome [MQTT-3.1.3-5]; an empty one is refused before 5.0
// [MQTT-3.1.3-8].
func (b *Broker) admit(p *mqtt.Connect) error {
	if p.ClientID == "" && p.Version < mqtt.V50 && (p.Version == mqtt.V31 || !p.CleanStart) {
		return refuse(mqtt.ClientIdentifierNotValid, "MQTT-3.1.1: 3.1.3-8", "an empty client identifier needs a clean session")
	}
	w := p.Will
	if w == nil {
		return nil
	}
	if err := topic.ValidateName(w.Topic); err != nil {
		return invalidTopic(err) // 3.1.1 has no answer to it [MQTT-3.1.1: 3.1.4-1]
	}
	if err := badResponse(w.Properties); err != nil {
		return err
	}
	switch {
	case b.oversize(w.Topic):
		b.exceeded(LimitTopic, p.ClientID, nil)
		return refuse(mqtt.TopicNameInvalid, "3.2.2.2", "the will's topic has more levels or bytes than allowed")
	case w.QoS > *b.opt.MaximumQoS:
		return refuse(mqtt.QoSNotSupported, "MQTT-3.2.2-12", "the will's QoS is above the maximum")
	case w.Retain && b.opt.NoRetain:
		return refuse(mqtt.RetainNotSupported, "MQTT-3.2.2-13", "the will is retained and retain is off")
	case isOurs(w.Topic):
		return refuse(mqtt.NotAuthorized, "4.7.2", "a will may not be published below $SYS")
	}
	return nil
}

// refuse answers with a CONNACK where the standard has one: any of 5.0's codes,
// or those of 3.1.1 that stand for this one.
func (c *conn) refuse(t *turn, p *mqtt.Connect, err error) {
	c.b.count.refused.Add(1)
	var fault *mqtt.Error
	if !errors.As(err, &fault) || p.Version == 0 && fault.Statement != "MQTT-3.1.2-2" {
		return // not MQTT at all, rather than an unknown level of it: say nothing
	}
	wasRefused := errors.As(err, new(refusal)) || fault.Code == mqtt.UnsupportedProtocolVersion
	if c.version < mqtt.V50 && !wasRefused {
		return // 3.1.1 has no code for a broken packet [MQTT-3.1.1: 3.1.4-1], [MQTT-3.1.1: 3.2.2-6]
	}
	connack := &mqtt.Connack{ReasonCode: fault.Code}       // [MQTT-3.1.1: 3.1.2-2]
	if !c.flags.has(noProblems) && p.Version == mqtt.V50 { // [MQTT-3.1.2-29]
		connack.Properties = mqtt.Properties{mqtt.Str(mqtt.ReasonString, fault.Text)}
	}
	if c.answer(t, connack) != nil { // [MQTT-3.2.2-19]
		connack.Properties = nil
		_ = c.answer(t, connack)
	}
}

// announce adds the limits of CONNACK, section 3.2.2.3: only what differs from
// the standard's defaults [MQTT-3.2.2-9]. There is no Response Information, asked
// for or not [MQTT-3.1.2-28], nor any User Property [MQTT-3.2.2-20].
func (b *Broker) announce(ps mqtt.Properties, p *mqtt.Connect) mqtt.Properties {
	o := &b.opt
	if want := p.Properties.NumberOr(mqtt.SessionExpiryInterval, 0); want > o.MaxSessionExpiry {
		ps = append(ps, mqtt.Num(mqtt.SessionExpiryInterval, o.MaxSessionExpiry))
	}
	if o.ReceiveMaximum < 65_535 {
		ps = append(ps, mqtt.Num(mqtt.ReceiveMaximum, uint32(o.ReceiveMaximum)))
	}
	if *o.MaximumQoS < mqtt.QoS2 {
		ps = append(ps, mqtt.Num(mqtt.MaximumQoS, uint32(*o.MaximumQoS)))
	}
	ps = slices.Grow(ps, 3)
	ps = append(ps, mqtt.Num(mqtt.MaximumPacketSize, o.MaximumPacketSize),
		mqtt.Num(mqtt.TopicAliasMaximum, uint32(o.TopicAliasMaximum)))
	for _, f := range []struct {
		off bool
		id  mqtt.PropertyID
	}{
		{o.NoRetain, mqtt.RetainAvailable}, {o.NoWildcard, mqtt.WildcardSubscriptionAvailable},
		{o.NoSubscriptionID, mqtt.SubscriptionIdentifierAvailable}, {o.NoShared, mqtt.SharedSubscriptionAvailable},
	} {
		if f.off {
			ps = append(ps, mqtt.Num(f.id, 0))
		}
	}
	if k := b.keepAliveFor(p); k != p.KeepAlive {
		ps = append(ps, mqtt.Num(mqtt.ServerKeepAlive, uint32(k)))
	}
	return ps
}

// keepAliveFor returns the Keep Alive that holds, in seconds: the client's own
// [MQTT-3.2.2-22], or another, which only a 5.0 client can be told
// [MQTT-3.1.2-21].
func (b *Broker) keepAliveFor(p *mqtt.Connect) uint16 {
	limit := b.opt.MaxKeepAlive
	if p.Version < mqtt.V50 || limit == 65_535 || p.KeepAlive != 0 && p.KeepAlive <= limit {
		return p.KeepAlive
	}
	return limit
}

func (c *conn) setKeepAlive(p *mqtt.Connect) { c.keepAlive = c.b.keepAliveFor(p) }

// patience is how long the client may be silent, 0: for ever.
func (c *conn) patience() time.Duration { return flow.KeepAlive(c.keepAlive).Timeout() }

// sessionExpiry returns how long the Session outlives the connection, in
// seconds. Clean session 0 of 3.1.1 is for ever [MQTT-3.1.1: 3.1.2-4], 1 until
// the connection ends [MQTT-3.1.1: 3.1.2-6].
func (b *Broker) sessionExpiry(p *mqtt.Connect) uint32 {
	want := p.Properties.NumberOr(mqtt.SessionExpiryInterval, 0)
	if p.Version < mqtt.V50 {
		want = 0
		if !p.CleanStart {
			want = Never
		}
	}
	return min(want, b.opt.MaxSessionExpiry)
}

// newClientID makes an identifier that no client has [MQTT-3.2.2-16], 23
// characters as everyone can take.
func newClientID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // it never fails
	return "mqt-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])[:19])
}

// attach gives the connection the Session of its Client Identifier
// [MQTT-3.1.3-2]: a new one [MQTT-3.1.2-4], [MQTT-3.1.2-6], or the one that is
// there [MQTT-3.1.2-5], as Clean Start has it [MQTT-3.1.4-4]. A will that is due is
// published before the client has its CONNACK: it is of the time before.
func (b *Broker) attach(t *turn, c *conn, k *storing) error {
	if err := b.approach(t, c, k); err != nil {
		return err
	}
	defer b.passed(k.connect.ClientID)
	t.wait = t.wait || k.waited && b.store != nil // perhaps for the end of a Session
	s, old, err := b.claim(t, k.connect, k.user)
	if err != nil {
		t.wait = false // a refusal promises nothing, and nothing is sent when the connection has closed
		return err
	}
	if old != nil {
		t.wait = t.wait || old.durable() // a Session that is said to be gone is
		old.end(t)
	}
	s.mu.Lock()
	w := s.takeWill(t, t.now)
	s.mu.Unlock()
	if w != nil {
		b.publishWill(t, s, w)
	}
	s.welcome(t, c, k.connect, k.connack)
	return nil
}

// mayHave finds the Session of a Client Identifier, nil if there is none. One that
// belongs to another user is not given away, whatever the client calls itself, nor
// is there a new one where there are as many as may be. b.mu is held.
func (b *Broker) mayHave(p *mqtt.Connect, user string) (*session, error) {
	if b.closed {
		return nil, refuse(mqtt.ServerUnavailable, "3.2.2.2", "the server is shutting down")
	}
	s := b.sessions.get(p.ClientID)
	if s != nil && s.owner.name != user && s.owner.name != "" && !s.over(b.timers.now()) {
		return nil, refuse(mqtt.NotAuthorized, "5.4.2", "the client identifier is another user's")
	}
	if s == nil && b.sessions.len() >= b.limit().MaxSessions {
		b.exceeded(LimitSessions, p.ClientID, nil)
		return nil, refuse(mqtt.QuotaExceeded, "3.2.2.2", "too many sessions")
	}
	if most := b.limit().MaxSessionsPerUser; most > 0 && user != "" && b.owners[user].count() >= most && (s == nil || s.owner.name != user) {
		b.exceeded(LimitUserSessions, p.ClientID, nil)
		return nil, refuse(mqtt.QuotaExceeded, "3.2.2.2", "too many sessions of this user")
	}
	return s, nil
}

// claim finds or makes the session of a Client Identifier, which has no connection.
// old is one that a clean start ends, or that has expired, or belongs to nobody.
func (b *Broker) claim(t *turn, p *mqtt.Connect, user string) (s, old *session, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old, err = b.mayHave(p, user); err != nil {
		return nil, nil, err
	}
	if old != nil {
		if old.owner.name == user && !p.CleanStart && !old.over(b.timers.now()) {
			return old, nil, nil
		}
		b.disown(old)
	}
	b.serial++
	fresh := &session{serial: b.serial, clientID: p.ClientID, owner: b.own(user)}
	if b.store != nil {
		fresh.keep = &keeper{next: b.store.First()}
	}
	t.tally.held += recordCost(p.ClientID, user)
	b.sessions.put(fresh)
	return fresh, old, nil
}

// over reports whether the Session has ended, or has expired though its timer
// has not run yet. b.mu is held.
func (s *session) over(now time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended || s.conn == nil && (s.endAt != 0 && now >= s.endAt || s.fleeting())
}

// connected reports whether the Session has a connection.
func (s *session) connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != nil
}

// fleeting tells that the Session ends with the connection that it has or had.
// s.mu is held.
func (s *session) fleeting() bool { return s.kept && s.expiry == 0 }

// welcome sends CONNACK and what is owed, and makes c the connection of the
// session, which has none.
func (s *session) welcome(t *turn, c *conn, p *mqtt.Connect, connack *mqtt.Connack) {
	s.mu.Lock()
	b := s.owner.b
	resumed := s.kept
	connack.SessionPresent = resumed && p.Version > mqtt.V31 // [MQTT-3.2.2-2], [MQTT-3.2.2-3]
	s.kept = true
	expiry, before := s.expiry, s.will
	s.expiry, s.endAt = b.sessionExpiry(p), 0 // [MQTT-3.1.2-7]
	s.setWill(t, newWill(p))                  // resumed before the delay of the one before was over [MQTT-3.1.3-9]
	peer := uint16(p.Properties.NumberOr(mqtt.ReceiveMaximum, 65_535))
	ours := b.opt.ReceiveMaximum
	if p.Version < mqtt.V50 {
		ours = 65_535 // it was never told less
	}
	s.begin(t, min(peer, b.opt.MaxInflight), ours)
	c.s = s
	s.conn = c
	b.timers.set(s, 0)
	waited := t.wait
	if s.stageConnect(t) {
		s.muted = true
		c.storing = &storing{connack: connack, version: p.Version, fresh: !resumed, expiry: expiry, will: before,
			optional: !waited && !s.durable()}
		s.mu.Unlock()
		return
	}
	s.greet(t, c, connack)
	s.mu.Unlock()
	c.welcomed(t)
}

// greet sends CONNACK [MQTT-3.1.4-5], whose size was checked and whose texts were
// decoded, and what waits. s.mu is held.
func (s *session) greet(t *turn, c *conn, connack *mqtt.Connack) {
	_ = c.answer(t, connack)
	c.flushAcks(t)
	s.pump(t)
	s.online.Store(c)
}

// welcomed begins to watch a connection that had its CONNACK.
func (c *conn) welcomed(t *turn) {
	c.lastSeen.Store(stamp(t.now)) // somebody may look as soon as it is known
	c.flags.put(known, true)
	silent := time.Duration(0)
	if c.keepAlive > 0 {
		silent = t.now + c.patience()
	}
	c.b.timers.set(c, earliest(silent, c.expires.at()))
}
