package broker

import (
	"bytes"
	"sync/atomic"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
)

// message is an Application Message that outlives the read that brought it. It
// is immutable, but for that count and that mark, and shared by all who hold it.
type message struct {
	topic   string
	payload []byte
	// props are those that travel: neither alias [MQTT-3.1.2-26],
	// [MQTT-3.1.2-27], identifiers nor expiry.
	props  mqtt.Properties
	born   time.Duration // when it was published
	size   int           // what it takes in memory
	expiry uint32        // Message Expiry Interval in seconds
	expire bool          // it has one
	qos    mqtt.QoS

	holders atomic.Int32                  // who keeps it, for counting its memory once
	stored  atomic.Pointer[store.Message] // what the store knows it by, nil: it does not
}

// expired reports whether the message may no longer be sent [MQTT-3.3.2-5].
func (m *message) expired(now time.Duration) bool {
	return m.expire && now-m.born >= time.Duration(m.expiry)*time.Second
}

// left is the Message Expiry Interval less the time spent here [MQTT-3.3.2-6].
// It is 0 for what expired in mid flow, which goes on [MQTT-4.3.3-7].
func (m *message) left(now time.Duration) uint32 {
	return m.expiry - min(m.expiry, uint32((now-m.born)/time.Second))
}

// propsAt returns the properties with the expiry that is left.
func (m *message) propsAt(now time.Duration) mqtt.Properties {
	if !m.expire {
		return m.props
	}
	return append(m.props[:len(m.props):len(m.props)], mqtt.Num(mqtt.MessageExpiryInterval, m.left(now)))
}

// publication is a message being routed. Until own is called it aliases the
// read buffer, so that QoS 0 costs no copy but the subscribers' own.
type publication struct {
	topic   string
	payload []byte
	props   mqtt.Properties // without alias; Message Expiry Interval still inside
	qos     mqtt.QoS
	retain  bool
	from    *session // for No Local
	msg     *message // made when somebody must keep it
	full    int      // how many had no room for it, at QoS 1 and 2
	frames  [12]frame
	plain   [6]*delivery // for sessions without identifiers, by QoS and RETAIN
}

// frame is the encoding that all subscribers with equal version, QoS and RETAIN
// share.
type frame struct {
	head []byte // whole, or all but a payload large enough to be shared
	ok   bool
}

// shareFrom is the payload size from which subscribers refer to one copy.
const shareFrom = 4 << 10

// begin makes p ready for another message.
func (p *publication) begin(topic string, payload []byte, props mqtt.Properties, qos mqtt.QoS, retain bool, from *session) {
	p.topic, p.payload, p.props, p.qos, p.retain, p.from = topic, payload, props, qos, retain, from
	p.msg, p.full, p.plain = nil, 0, [6]*delivery{}
	for i := range p.frames {
		p.frames[i].ok = false
	}
}

// delivery returns the message in the form of a route, which most routes share.
func (p *publication) delivery(t *turn, r *route, qos mqtt.QoS, retain bool) *delivery {
	k := int(qos) << 1
	if retain {
		k |= 1
	}
	alone := len(r.ids) > 0 || r.group != nil
	if d := p.plain[k]; d != nil && !alone {
		return d
	}
	var d *delivery
	if p.msg == nil {
		d = p.write(t.now)
	} else {
		d = &delivery{m: p.msg}
	}
	d.ids, d.group, d.qos, d.retain = r.ids, r.group, qos, retain
	if !alone {
		p.plain[k] = d
	}
	return d
}

// letter is a message and its first delivery, often the only one, in one piece;
// and note one with a short payload. Both save the garbage collector much.
type letter struct {
	message
	delivery
}

type note struct {
	letter
	text [40]byte
}

// write makes the message, and a delivery of it to be filled in.
func (p *publication) write(now time.Duration) *delivery {
	var l *letter
	var text []byte
	if n := len(p.payload); n <= len(note{}.text) {
		short := &note{}
		l, text = &short.letter, short.text[:n:n]
	} else {
		l, text = &letter{}, make([]byte, n)
	}
	copy(text, p.payload)
	p.fill(&l.message, text, now)
	l.delivery.m = &l.message
	return &l.delivery
}

// own returns the message in memory of its own.
func (p *publication) own(now time.Duration) *message {
	if p.msg == nil {
		p.fill(&message{}, bytes.Clone(p.payload), now)
	}
	return p.msg
}

// fill makes m the message, with payload.
func (p *publication) fill(m *message, payload []byte, now time.Duration) {
	m.topic, m.payload, m.qos, m.born = p.topic, payload, p.qos, now
	if len(p.props) > 0 {
		m.expiry, m.expire = p.props.Number(mqtt.MessageExpiryInterval)
		m.props = p.props.Without(mqtt.MessageExpiryInterval).Clone()
	}
	m.size = len(m.topic) + len(m.payload) + m.props.Memory()
	p.msg, p.payload = m, m.payload
}

// body is the payload where it is shared rather than copied; nil otherwise.
func (p *publication) body(now time.Duration) []byte {
	if len(p.payload) < shareFrom {
		return nil
	}
	return p.own(now).payload
}

// encoded returns the frame for a subscriber without Subscription Identifiers.
func (p *publication) encoded(t *turn, v mqtt.Version, qos mqtt.QoS, retain bool) *frame {
	k := int(qos) << 1
	if retain {
		k |= 1
	}
	if v >= mqtt.V50 {
		k += 6
	}
	f := &p.frames[k]
	if !f.ok {
		f.head = t.encode(f.head[:0], p.topic, p.payload, p.props, v, qos, retain)
		f.ok = true
	}
	return f
}

// encode appends a PUBLISH without Packet Identifier; the payload only if it is
// not shared.
func (t *turn) encode(dst []byte, topic string, payload []byte, props mqtt.Properties, v mqtt.Version, qos mqtt.QoS, retain bool) []byte {
	t.topic = append(t.topic[:0], topic...)
	p := &t.wire
	*p = mqtt.Publish{QoS: qos, Retain: retain, Topic: t.topic, Payload: payload}
	if v >= mqtt.V50 {
		p.Properties = props
	}
	// What came in by the codec goes out by it: no string has grown.
	dst, _ = p.AppendHead(dst, v)
	if len(payload) < shareFrom {
		dst = append(dst, payload...)
	}
	p.Properties, p.Payload = nil, nil
	return dst
}

// encodeDelivery encodes d for a client of version v, its own identifiers and
// remaining expiry included, into the turn's scratch.
func (t *turn) encodeDelivery(d *delivery, v mqtt.Version) (head, body []byte) {
	m, props := d.m, t.props[:0]
	if v >= mqtt.V50 {
		for _, id := range d.ids {
			props = append(props, mqtt.Num(mqtt.SubscriptionIdentifier, id))
		}
		if m.expire {
			props = append(props, mqtt.Num(mqtt.MessageExpiryInterval, m.left(t.now)))
		}
		props = append(props, m.props...)
	}
	t.scratch = t.encode(t.scratch[:0], m.topic, m.payload, props, v, d.qos, d.retain)
	clear(props)
	t.props = props[:0]
	if len(m.payload) >= shareFrom {
		body = m.payload
	}
	return t.scratch, body
}
