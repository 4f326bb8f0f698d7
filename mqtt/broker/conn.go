package broker

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/flow"
	"mqt/mqtt/topic"
	"mqt/mqtt/transport"
)

// Reasons for which a connection is closed that are no fault of a packet.
var (
	errDisconnected   = errors.New("broker: client disconnected")
	errTakenOver      = errors.New("broker: session taken over")
	errShutdown       = errors.New("broker: shutting down")
	errKeepAlive      = errors.New("broker: keep alive timeout")
	errConnectTimeout = errors.New("broker: no CONNECT in time")
	errSlow           = errors.New("broker: client does not read what it is owed")
)

// maxConnectSize bounds what a peer may send before it is known: a Will with
// the largest payload (section 3.1.3.3) and properties or a password as long.
const maxConnectSize = 140 << 10

// conn is one Network Connection. Its fields belong to the goroutine that feeds
// it, but for those that CONNECT sets once, before the session knows it.
type conn struct {
	b          *Broker
	tc         *transport.Conn
	prev, next *conn      // Broker.conns
	s          *session   // nil until CONNECT is accepted
	noted      *notes     // nil: nothing has been published yet, nor limited
	auth       *authState // nil: CONNECT had no Authentication Method
	checking   checking   // somebody works out whether CONNECT may come in
	storing    *storing   // a packet that waits for the store, nil: none
	timer                 // connect timeout, then Keep Alive and expiry

	accepted coarse        // when the connection was made
	expires  coarse        // when the client's token does, 0: never; set before known
	feeding  sync.Mutex    // held while packets are handled; nothing is locked around it
	lastSeen atomic.Uint32 // when a packet was last received, a stamp
	owed     atomic.Int32  // answers that wait for the store
	flags    flags

	maxPacket uint32       // the client's Maximum Packet Size
	keepAlive uint16       // in seconds, 0: none
	version   mqtt.Version // 0 until CONNECT
	ended     bool         // nothing more is handled [MQTT-3.1.4-6]
}

// flags are what others than the goroutine that feeds a connection set or ask.
type flags struct{ atomic.Uint32 }

const (
	known      = 1 << iota // s is set, for the timers' goroutine
	displaced              // another connection has the session, or is about to
	passing                // it counts in the passage of its Client Identifier
	full                   // QoS 2 takes up all of our Receive Maximum
	noProblems             // Request Problem Information is 0
	admitted               // gate counts it
	ending                 // the client will send nothing more, and waits for answers
)

func (f *flags) has(flag uint32) bool { return f.Load()&flag != 0 }

// put sets a flag, or takes it away.
func (f *flags) put(flag uint32, on bool) {
	switch {
	case f.has(flag) == on:
	case on:
		f.Or(flag)
	default:
		f.And(^flag)
	}
}

// notes are what a connection remembers of its PUBLISH packets.
type notes struct {
	aliases   flow.AliasIn
	judged    judgement            // the last topic published to, by the ACL
	lastTopic string               // the last name that was validated
	topics    []routing            // what this publisher sent to lately, more than once
	lately    [cachedTopics]uint32 // hashes of the last topics that are not among them
	nextTopic uint8
	nextSeen  uint8  // in lately
	held      int64  // bytes of aliases and topics
	share     *share // what is limited for this client, nil while nothing is
	place     int    // among Broker.publishers, from 1; 0: none. Guarded by its lock
	listed    bool   // there
}

// notes returns the memory of a connection that has something to do.
func (c *conn) notes() *notes {
	if c.noted == nil {
		c.noted = &notes{}
		c.noted.aliases.Reset(c.b.opt.TopicAliasMaximum)
	}
	return c.noted
}

// stamp is a time in a word: milliseconds, rounded up, that begin anew after 49
// days. What it is compared with is never that far.
func stamp(now time.Duration) uint32 {
	return uint32((now + time.Millisecond - 1) / time.Millisecond)
}

// seen is when the last packet was received.
func (c *conn) seen(now time.Duration) time.Duration {
	silent := int32(stamp(now) - c.lastSeen.Load())
	return (now + time.Millisecond - 1).Truncate(time.Millisecond) - time.Duration(silent)*time.Millisecond
}

// Feed handles the packets in p, section 4.
func (c *conn) Feed(batch *transport.Batch, p []byte) (consumed int, err error) {
	c.feeding.Lock()
	defer c.rests()
	t := c.b.beginTurn(batch)
	for consumed < len(p) && err == nil && !c.ended && !batch.Enough() {
		if c.flags.has(displaced) {
			err = errTakenOver
			break
		}
		t.reader.Version, t.reader.MaximumPacketSize = c.version, c.maxIncoming()
		pkt, n, e := t.reader.Read(p[consumed:])
		if e == nil && n == 0 {
			break
		}
		consumed += n
		t.tally.packets++
		if err = e; e == nil || pkt != nil && pkt.Type() == mqtt.TypeConnect {
			err = c.handle(t, pkt, e)
		}
		if errors.Is(err, errChecking) || errors.Is(err, errStoring) || errors.Is(err, errOccupied) {
			// The connection is paused, and will be fed the packet again.
			consumed, err = consumed-n, nil
			t.tally.packets--
			break
		}
	}
	if consumed > 0 {
		c.lastSeen.Store(stamp(t.now)) // a packet, not a part of one [MQTT-3.1.2-22]
	}
	t.tally.bytes = int64(consumed)
	if t.tally.received > 0 && c.s != nil {
		n := c.s.counted()
		n.in.Add(t.tally.received)
		n.bytesIn.Add(t.tally.bytes)
	}
	if err == nil {
		err = c.throttleBytes(t, consumed)
	}
	if err != nil {
		err = c.fail(t, err)
		consumed = len(p)
	}
	if c.mustWait(t) {
		c.commit(t)
	} else {
		c.flushAcks(t)
	}
	t.end()
	return consumed, err
}

func (c *conn) maxIncoming() uint32 {
	if c.s == nil {
		return min(maxConnectSize, c.b.opt.MaximumPacketSize)
	}
	return c.b.opt.MaximumPacketSize
}

// handle is the one switch from packet to its file. malformed is the decoder's
// verdict on a CONNECT, whose answer depends on the version it asks for.
func (c *conn) handle(t *turn, pkt mqtt.Packet, malformed error) error {
	if c.storing != nil {
		return c.stored(t)
	}
	if c.version == 0 {
		if p, ok := pkt.(*mqtt.Connect); ok {
			return c.connect(t, p, malformed)
		}
		return &mqtt.Error{Code: mqtt.ProtocolError, Statement: "MQTT-3.1.0-1", Text: pkt.Type().String() + " before CONNECT"}
	}
	if c.s == nil {
		return c.exchanging(t, pkt)
	}
	switch p := pkt.(type) {
	case *mqtt.Publish:
		return c.publish(t, p)
	case *mqtt.Puback:
		return c.puback(t, p)
	case *mqtt.Pubrec:
		return c.pubrec(t, p)
	case *mqtt.Pubrel:
		return c.pubrel(t, p)
	case *mqtt.Pubcomp:
		return c.pubcomp(t, p)
	case *mqtt.Subscribe:
		return c.subscribe(t, p)
	case *mqtt.Unsubscribe:
		return c.unsubscribe(t, p)
	case *mqtt.Pingreq:
		return c.answer(t, &mqtt.Pingresp{}) // [MQTT-3.12.4-1]
	case *mqtt.Disconnect:
		return c.disconnect(t, p)
	case *mqtt.Auth:
		return c.authPacket(t, p)
	}
	return &mqtt.Error{Code: mqtt.ProtocolError, Statement: "MQTT-3.1.0-2", Text: "a second " + pkt.Type().String()}
}

// answer queues a packet among the acknowledgements of this turn. One that the
// client says it cannot take may not be sent [MQTT-3.1.2-24], nor left out.
func (c *conn) answer(t *turn, p mqtt.Packet) (err error) {
	if uint64(p.Size(c.version)) > uint64(c.maxPacket) {
		return &mqtt.Error{Code: mqtt.PacketTooLarge, Statement: "MQTT-3.1.2-24",
			Text: "the " + p.Type().String() + " is larger than the client's Maximum Packet Size"}
	}
	t.acks, err = p.Append(t.acks, c.version)
	t.tally.packetsOut++
	return err
}

// ack queues one of the four acknowledgements.
func (c *conn) ack(t *turn, typ mqtt.Type, id mqtt.PacketID, code mqtt.ReasonCode) error {
	t.acks = mqtt.AppendAck(t.acks, typ, id, code, c.version)
	t.tally.packetsOut++
	return nil
}

// flushAcks appends this turn's answers to the out-buffer. A client that sends
// and never reads is closed: answers cannot be dropped.
func (c *conn) flushAcks(t *turn) {
	if len(t.acks) > 0 && !c.mustWait(t) {
		c.reply(t, t.acks)
		t.acks = t.acks[:0]
	}
}

// append adds a PUBLISH to the out-buffer and counts it; false: it is full, or closing.
func (c *conn) append(t *turn, head, body []byte) bool {
	ok := false
	if body == nil {
		ok = c.tc.Append(t.batch, head)
	} else {
		ok = c.tc.AppendShared(t.batch, head, body)
	}
	if ok {
		t.tally.sent++
		t.tally.packetsOut++
		t.tally.bytesOut += int64(len(head) + len(body))
		c.countSent(len(head) + len(body))
	}
	return ok
}

// countSent counts a PUBLISH to the client, of n bytes.
func (c *conn) countSent(n int) {
	k := c.s.counted()
	k.out.Add(1)
	k.bytesOut.Add(int64(n))
}

// reply appends what cannot be left out. It has room of its own above that of
// messages, so only a client that asks and never reads is closed for it
// [MQTT-3.1.1: 4.8.0-2].
func (c *conn) reply(t *turn, p []byte) {
	t.tally.bytesOut += int64(len(p))
	if !c.tc.AppendReply(t.batch, p) {
		c.tc.Close(errSlow)
	}
}

// fail ends the connection because of err [MQTT-4.13.1-1], [MQTT-4.13.2-1],
// [MQTT-3.1.1: 4.8.0-1]. A 5.0 client that had its CONNACK [MQTT-3.14.0-1] is
// told why, and nothing is sent behind that [MQTT-3.14.4-1], [MQTT-3.14.4-2].
func (c *conn) fail(t *turn, err error) error {
	c.ended = true
	if c.s != nil {
		c.detach(t, false) // nobody may append behind what follows
	}
	if errors.Is(err, errDisconnected) || errors.Is(err, errTakenOver) {
		return err
	}
	if !errors.As(err, new(refusal)) {
		c.b.count.protocolErrors.Add(1)
	}
	var fault *mqtt.Error
	if errors.As(err, &fault) && c.flags.has(known) {
		if c.mustWait(t) {
			t.acks = t.acks[:0] // the client will ask again
		}
		c.goodbye(t, fault.Code, fault.Text)
		c.tc.CloseWith(t.acks, err)
		t.acks = t.acks[:0]
	}
	c.refuseExchange(t, err)
	c.b.opt.Log.Debug("connection closed", "client", c.clientID(), "addr", c.tc.RemoteAddr().String(), "err", err)
	return err
}

// goodbye queues a DISCONNECT, which before 5.0 a Server does not have. It
// fits or is not sent; the Reason String is left out first [MQTT-3.14.2-3].
func (c *conn) goodbye(t *turn, code mqtt.ReasonCode, why string) {
	if c.version < mqtt.V50 {
		return
	}
	d := &mqtt.Disconnect{ReasonCode: code}
	if why != "" && !c.flags.has(noProblems) {
		d.Properties = mqtt.Properties{mqtt.Str(mqtt.ReasonString, why)}
	}
	if c.answer(t, d) != nil {
		d.Properties = nil
		_ = c.answer(t, d)
	}
}

// kick closes the connection from outside its goroutine, with a DISCONNECT.
func (c *conn) kick(code mqtt.ReasonCode, why error) {
	var p []byte
	if c.version >= mqtt.V50 {
		p, _ = (&mqtt.Disconnect{ReasonCode: code}).Append(nil, c.version)
		if uint64(len(p)) > uint64(c.maxPacket) {
			p = nil
		}
	}
	c.tc.CloseWith(p, why)
}

// Shed is the end of a connection that has sent so much of packets that are not
// whole that others lack the memory. It is called by any goroutine.
func (c *conn) Shed(err error) {
	id := ""
	in := c.flags.has(known)
	if in {
		id = c.clientID()
	}
	c.b.exceeded(LimitMemory, id, c.tc.RemoteAddr())
	if in {
		c.kick(mqtt.QuotaExceeded, err)
	}
}

// Drained goes on where an out-buffer was full.
func (c *conn) Drained(batch *transport.Batch) {
	if c.s == nil || c.ended {
		return
	}
	t := c.b.beginTurn(batch)
	defer t.end()
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.conn == c {
		c.s.pump(t)
	}
}

// Unanswered implements [transport.Answerer]: who only closes its half may wait for what the store keeps back.
func (c *conn) Unanswered() bool {
	c.flags.put(ending, true) // first: who answers last looks at it then
	return c.owed.Load() > 0
}

// Closed is the end of the Network Connection.
func (c *conn) Closed(err error) {
	c.ended = true
	c.b.checks.abandon(c.checking.Load())
	c.b.timers.set(c, 0)
	defer c.b.forgetConn(c) // at last: Shutdown waits for it
	if c.s == nil {
		c.b.giveUp(c.storing)
		return
	}
	if c.flags.has(known) && !errors.Is(err, errDisconnected) && !errors.Is(err, io.EOF) {
		c.b.opt.Log.Info("connection lost", "client", c.clientID(), "err", err)
	}
	c.feeding.Lock()
	defer c.rests()
	t := c.b.beginTurn(nil)
	t.because = c // whose will may go to many
	defer t.end()
	c.settle(t)
	c.detach(t, errors.Is(err, errShutdown))
}

// due is the deadline of a connection: CONNECT has not come, or nothing for
// one and a half times the Keep Alive [MQTT-3.1.2-22].
func (c *conn) due(now time.Duration) time.Duration {
	limit, why, since := c.b.opt.ConnectTimeout, errConnectTimeout, c.accepted.at()
	in := c.flags.has(known)
	expires := time.Duration(0)
	if in {
		limit, why, since, expires = c.patience(), errKeepAlive, c.seen(now), c.expires.at()
	}
	switch at := since + limit; {
	case expires != 0 && now >= expires:
		c.kick(mqtt.MaximumConnectTime, errExpired)
	case limit == 0:
		return expires
	case now < at:
		if in {
			c.s.idle()
		}
		return earliest(at, expires)
	case in && (c.owed.Load() > 0 || c.tc.Unread()):
		// It waits for the store, and may have sent what is not read meanwhile; or it has, and we are late.
		return earliest(now+limit, expires)
	case in:
		c.kick(mqtt.KeepAliveTimeout, why)
	case now < at+busyGrace && c.overdue():
		return at + busyGrace
	default:
		c.tc.Abort(why)
	}
	return 0
}

func (c *conn) clientID() string {
	if c.s == nil {
		return ""
	}
	return c.s.clientID
}

// invalidTopic turns topic's verdict into the peer's Reason Code.
func invalidTopic(err error) *mqtt.Error {
	e := &topic.Error{Code: topic.CodeNameInvalid, Statement: "4.7", Text: err.Error()}
	errors.As(err, &e)
	return &mqtt.Error{Code: mqtt.ReasonCode(e.Code), Statement: e.Statement, Text: e.Text}
}

// connList is all connections. They are linked through themselves: a map of
// them would cost more than the rest of an idle one. Guarded by Broker.mu.
type connList struct {
	first *conn
	n     int
}

func (l *connList) add(c *conn) {
	c.next = l.first
	if l.first != nil {
		l.first.prev = c
	}
	l.first = c
	l.n++
}

func (l *connList) remove(c *conn) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	l.n--
}

func (l *connList) all() []*conn {
	out := make([]*conn, 0, l.n)
	for c := l.first; c != nil; c = c.next {
		out = append(out, c)
	}
	return out
}
