package client

import (
	"sync"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/transport"
)

// control are encoded packets that wait to be handed to the transport: those of
// a turn, acknowledgements that may wait a moment for more, and what the
// transport refused.
type control struct{ b []byte }

// controls lends them; a pool holds no state.
var controls = sync.Pool{New: func() any { return &control{b: make([]byte, 0, 512)} }}

// pauseAt is how many bytes of answers may wait before nothing more is read
// that would need another one.
const pauseAt = 64 << 10

// out returns the pending bytes to append to. mu is held.
func (l *link) out() *control {
	if l.pending == nil {
		l.pending = controls.Get().(*control)
	}
	return l.pending
}

// ack writes an acknowledgement. mu is held.
func (l *link) ack(t mqtt.Type, id mqtt.PacketID, code mqtt.ReasonCode) {
	o := l.out()
	o.b = mqtt.AppendAck(o.b, t, id, code, l.version)
	if l.c.run.trace == nil {
		return
	}
	a := mqtt.Ack{PacketID: id, ReasonCode: code}
	switch t {
	case mqtt.TypePuback:
		l.c.trace(Sent, &mqtt.Puback{Ack: a})
	case mqtt.TypePubrec:
		l.c.trace(Sent, &mqtt.Pubrec{Ack: a})
	case mqtt.TypePubrel:
		l.c.trace(Sent, &mqtt.Pubrel{Ack: a})
	default:
		l.c.trace(Sent, &mqtt.Pubcomp{Ack: a})
	}
}

// control writes a packet that is not on the hot path. mu is held.
func (l *link) control(p mqtt.Packet) error {
	o := l.out()
	b, err := p.Append(o.b, l.version)
	if err != nil {
		return err
	}
	o.b = b
	l.c.trace(Sent, p)
	return nil
}

// push hands the pending bytes to the transport. mu is held.
func (l *link) push(b *transport.Batch) {
	o := l.pending
	if o == nil || l.ending {
		return
	}
	if l.blocked {
		if len(o.b) > pauseAt {
			l.choked = true
			l.hold()
		}
		return
	}
	if len(o.b) > 0 && !l.conn.Append(b, o.b) {
		l.blocked = true
		return
	}
	l.sent = l.moment(time.Now())
	if l.acks != nil {
		l.acks.armed = false
	}
	l.release()
}

// release gives the empty buffer back.
func (l *link) release() {
	o := l.pending
	l.pending = nil
	if cap(o.b) <= maxScratch {
		o.b = o.b[:0]
		controls.Put(o)
	}
}

// flush sends the pending bytes now. mu is not held.
func (l *link) flush() {
	b := batches.Get().(*Batch)
	l.c.mu.Lock()
	l.push(&b.out)
	l.c.mu.Unlock()
	b.Flush()
	batches.Put(b)
}

// write sends one PUBLISH behind what is pending: head, and a body that is nil
// or must not change any more. mu is held.
func (l *link) write(b *Batch, head, body []byte) {
	l.push(&b.out)
	l.sent = l.moment(b.time())
	if !l.blocked && l.conn.AppendShared(&b.out, head, body) {
		return
	}
	// One message more than the transport wanted: the next one is refused.
	l.blocked = true
	o := l.out()
	o.b = append(append(o.b, head...), body...)
}

// disconnect writes a DISCONNECT, behind which nothing is sent [MQTT-3.14.4-1]; the
// caller closes [MQTT-3.14.4-2]. mu is held. What the transport refused before is
// lost, as is the DISCONNECT then.
func (l *link) disconnect(d *mqtt.Disconnect) error {
	if !l.up || l.ending {
		return nil
	}
	if l.version < mqtt.V50 {
		d = &mqtt.Disconnect{}
	}
	d = l.fitting(d)
	var err error
	if n := l.maximumPacketSize; n == 0 || d.Size(l.version) <= int(n) { // or not at all [MQTT-3.2.2-15]
		err = l.control(d)
	}
	l.push(nil)
	l.ending = true
	return err
}

// fitting leaves out of a DISCONNECT what the Server has no room for: User
// Properties first [MQTT-3.14.2-4], then the Reason String [MQTT-3.14.2-3].
func (l *link) fitting(d *mqtt.Disconnect) *mqtt.Disconnect {
	for _, id := range []mqtt.PropertyID{mqtt.UserProperty, mqtt.ReasonString} {
		if l.maximumPacketSize == 0 || d.Size(l.version) <= int(l.maximumPacketSize) {
			break
		}
		d = &mqtt.Disconnect{ReasonCode: d.ReasonCode, Properties: d.Properties.Without(id)}
	}
	return d
}
