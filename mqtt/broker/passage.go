package broker

import (
	"errors"
	"time"

	"mqt/mqtt"
)

// errOccupied says that a CONNECT has to wait for who had the Client Identifier
// before.
var errOccupied = errors.New("broker: the client identifier is still occupied")

// passage is what is under way where the connection of a Client Identifier, or its
// Session, changes: one that has the Session no more and is still handling packets,
// a Session that ends, a will that is being published, a CONNECT that takes the
// Session up. Who is next waits until nothing is: what the client sends on its new
// connection may overtake neither what it has sent before [MQTT-4.6.0-6] nor its
// will. Who waits is paused, and holds up nobody. Guarded by Broker.mu; there is
// none while nothing is under way.
type passage struct {
	n    int      // how much is under way
	next *storing // the newest CONNECT that waits, nil: none
}

// passage returns that of a Client Identifier, made now if there was none. b.mu is
// held.
func (b *Broker) passage(clientID string) *passage {
	x := b.passages[clientID]
	if x == nil {
		x = &passage{}
		b.passages[clientID] = x
	}
	return x
}

// approach has c wait for its turn with the Client Identifier of its CONNECT, and
// closes the connection that has it [MQTT-3.1.4-3], [MQTT-3.1.1: 3.1.4-2]. With nil
// it is c's turn, until passed is called. errOccupied: c is paused, and presented
// its packet again when it may try once more. Of two that wait the newer is let in.
func (b *Broker) approach(t *turn, c *conn, k *storing) error {
	s, older, err := b.queueUp(c, k)
	if older != nil {
		older.c.tc.CloseWith(nil, errTakenOver) // it was not accepted yet
	}
	if err != nil || s == nil {
		return err
	}
	if err := b.leaveTime(c, s, k, t.now); err != nil {
		return err
	}
	held := s.dismiss()
	if err := b.await(c, held, k); err != nil {
		return err
	}
	var end remains
	s.mu.Lock()
	if held != nil && s.conn == held {
		end = s.lose(t, held, false)
	}
	t.wait = t.wait || s.ended && s.durable() // a Session that is said to be gone is
	s.mu.Unlock()
	if held != nil {
		held.feeding.Unlock()
	}
	end.settle(t)
	return nil
}

// queueUp is the beginning of approach. s is the Session if it has a connection.
// older is one that has waited for the same and does so in vain.
func (b *Broker) queueUp(c *conn, k *storing) (s *session, older *storing, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.flags.has(displaced) {
		return nil, nil, errTakenOver // by a newer one, while it waited
	}
	b.withdraw(k)
	if s, err = b.mayHave(k.connect, k.user); err != nil {
		return nil, nil, err
	}
	x := b.passage(k.connect.ClientID)
	if older = x.next; older != nil && older.user != k.user {
		return nil, nil, refuse(mqtt.NotAuthorized, "5.4.2", "the client identifier is another user's")
	}
	if older != nil {
		older.c.flags.put(displaced, true)
	}
	if x.n > 0 {
		c.wait(x, k)
		return nil, older, errOccupied
	}
	x.n, x.next = 1, nil
	if s != nil && !s.connected() {
		s = nil
	}
	return s, older, nil
}

// wait makes c the next on x. b.mu is held.
func (c *conn) wait(x *passage, k *storing) {
	k.done.Store(false)
	k.waited = true
	c.storing, x.next = k, k
	c.tc.Pause()
}

// lastWords is how long a connection is read on that is about to be taken over, where it was sent more than we have read.
const lastWords = time.Second

// leaveTime has c wait while the connection that has the Session is still to be fed what its client has sent: of a client
// that acknowledges, says DISCONNECT and is back at once, all that counts before its CONNECT does, and there is no will
// [MQTT-3.14.4-3]. Only one that never stops sending is cut off.
func (b *Broker) leaveTime(c *conn, s *session, k *storing, now time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.mu.Lock()
	held := s.live()
	s.mu.Unlock()
	if held == nil {
		return nil
	}
	if k.until == 0 {
		k.until = now + lastWords
	}
	before := held.flags.has(passing)
	held.flags.put(passing, true) // first: what is read from here on, it tells
	if now >= k.until || !held.tc.Unread() {
		held.flags.put(passing, before)
		return nil
	}
	if !before {
		b.passage(k.connect.ClientID).n++
	}
	return c.giveWay(b.passage(k.connect.ClientID), k)
}

// dismiss closes the connection of a Session, which gets nothing more, and returns
// it.
func (s *session) dismiss() *conn {
	s.mu.Lock()
	held, muted := s.conn, s.muted
	s.online.Store(nil)
	s.mu.Unlock()
	switch {
	case held == nil:
	case muted: // nothing comes before CONNACK
		held.tc.CloseWith(nil, errTakenOver)
	default:
		held.kick(mqtt.SessionTakenOver, errTakenOver)
	}
	return held
}

// await returns nil when held is at rest, with its feeding locked, so that it stays
// that. Else its work counts as under way, it is no longer c's turn, and c waits.
func (b *Broker) await(c, held *conn, k *storing) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.passage(k.connect.ClientID)
	if held != nil {
		held.flags.put(displaced, true)
	}
	if x.n == 1 && (held == nil || held.feeding.TryLock()) {
		return nil
	}
	if held != nil && !held.flags.has(passing) {
		held.flags.put(passing, true) // it looks when it has unlocked feeding, with b.mu held
		x.n++
	}
	return c.giveWay(x, k)
}

// giveWay is the end of c's turn, which is to come again. b.mu is held.
func (c *conn) giveWay(x *passage, k *storing) error {
	x.n--
	if x.next != nil {
		return errTakenOver // by a newer one
	}
	c.wait(x, k)
	return errOccupied
}

// departs is called by a connection that is about to give its Session up: what it
// does until it is fed no more is under way. false: it has none any more. It is
// within c.feeding.
func (c *conn) departs() bool {
	b, s := c.b, c.s
	b.mu.Lock()
	defer b.mu.Unlock()
	s.mu.Lock()
	has := s.conn == c
	s.mu.Unlock()
	if has && !c.flags.has(passing) {
		c.flags.put(passing, true)
		b.passage(s.clientID).n++
	}
	return has
}

// rests unlocks c.feeding. If somebody waits for that, it was waited for.
func (c *conn) rests() {
	c.feeding.Unlock()
	if !c.flags.has(passing | displaced) { // await sets one first, and the other when it finds feeding locked
		return
	}
	var next *storing
	c.b.mu.Lock()
	if c.flags.has(passing) && c.feeding.TryLock() { // else somebody has locked it again, and does this
		c.feeding.Unlock()
		c.flags.put(passing, false)
		next = c.b.leave(c.s.clientID)
	}
	c.b.mu.Unlock()
	next.resume()
}

// begins reports whether nothing is under way for a Client Identifier, and that
// there is something now, until passed is called.
func (b *Broker) begins(clientID string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.passages[clientID] != nil {
		return false
	}
	b.passage(clientID).n++
	return true
}

// passed is the end of something that was under way.
func (b *Broker) passed(clientID string) {
	b.mu.Lock()
	next := b.leave(clientID)
	b.mu.Unlock()
	next.resume()
}

// leave is passed with b.mu held. It returns who may try now, and is the next until
// it has.
func (b *Broker) leave(clientID string) *storing {
	x := b.passages[clientID]
	if x.n--; x.n > 0 {
		return nil
	}
	if x.next == nil {
		delete(b.passages, clientID)
	}
	return x.next
}

// resume has the connection presented its packet again.
func (k *storing) resume() {
	if k != nil {
		k.done.Store(true)
		k.c.tc.Resume()
	}
}

// giveUp is the end of a connection that has waited for its turn.
func (b *Broker) giveUp(k *storing) {
	if k != nil && k.connect != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.withdraw(k)
	}
}

// withdraw has k wait no more. b.mu is held.
func (b *Broker) withdraw(k *storing) {
	x := b.passages[k.connect.ClientID]
	if x == nil || x.next != k {
		return
	}
	if x.next = nil; x.n == 0 {
		delete(b.passages, k.connect.ClientID)
	}
}
