package flow

import (
	"iter"

	"mqt/mqtt"
)

// Receiver is the receiving side of sections 4.3.3 and 4.9: which QoS 2
// messages of the peer are between their PUBLISH and their PUBREL, and how
// much of our Receive Maximum is in use.
//
// The owner tells it every QoS 1 and 2 PUBLISH, every PUBREL, and every
// acknowledgement when it sends it: acknowledgements that wait for a store
// keep their places until then.
//
// The zero value is a new Session with the default Receive Maximum of 65,535.
// A Session that ends is replaced by a zero value.
type Receiver struct {
	ids     idSet  // QoS 2 messages of this Network Connection, no PUBREL yet
	earlier *idSet // those of earlier ones, not sent again yet; nil when none
	quota   quota
	// released are the places whose PUBREL has come and PUBCOMP not gone.
	released uint16
	// credit is how many PUBCOMPs for flows of earlier Network Connections may
	// still give a place back: see Pubcomp.
	credit uint16
}

// Reset begins a new Network Connection of the Session, for which we gave the
// Receive Maximum, 0 if none (65,535). All places are free [MQTT-4.9.0-1];
// QoS 2 messages without PUBREL are still known.
func (r *Receiver) Reset(receiveMaximum uint16) {
	r.quota = quota{max: receiveMaximum}
	r.released, r.credit = 0, r.quota.limit()
	for id := range r.ids.all {
		r.Restore(id)
	}
	r.ids = idSet{}
}

// Restore puts back an identifier of a stored Session.
func (r *Receiver) Restore(id mqtt.PacketID) {
	if r.earlier == nil {
		r.earlier = new(idSet)
	}
	r.earlier.add(id)
}

// Publish handles an incoming PUBLISH. A QoS 2 message is duplicate if its
// PUBLISH was seen before and its PUBREL not: it gets its PUBREC again and is
// not delivered [MQTT-4.3.3-10]. A QoS 1 message is always new
// [MQTT-4.3.2-5]; QoS 0 is not counted.
//
// The error is a *mqtt.Error with 0x93, Receive Maximum exceeded, for a peer
// with more messages under way than it may have. Its Statement is the one for
// a Client, [MQTT-3.3.4-7]; the Server's is [MQTT-3.3.4-9]. The message is not
// recorded then.
func (r *Receiver) Publish(id mqtt.PacketID, qos mqtt.QoS) (duplicate bool, err error) {
	if qos == mqtt.QoS0 {
		return false, nil
	}
	if qos == mqtt.QoS2 && r.ids.has(id) {
		return true, nil // holds its place already
	}
	if !r.quota.take() {
		return false, &mqtt.Error{
			Code:      mqtt.ReceiveMaximumExceeded,
			Statement: "MQTT-3.3.4-7",
			Text:      "more messages under way than the Receive Maximum",
		}
	}
	if qos == mqtt.QoS1 {
		return false, nil
	}
	duplicate = r.forgetEarlier(id)
	r.ids.add(id)
	return duplicate, nil
}

// Puback is told when a PUBACK is sent: its place is free.
func (r *Receiver) Puback() { r.quota.give() }

// Pubrec is told when a PUBREC is sent. With a code of 0x80 or greater the flow
// is over: the next PUBLISH with this identifier is a new message
// [MQTT-4.3.3-9]. With a lower code the place stays taken.
func (r *Receiver) Pubrec(id mqtt.PacketID, code mqtt.ReasonCode) {
	if code < 0x80 {
		return
	}
	if r.ids.remove(id) {
		r.quota.give()
	} else {
		r.forgetEarlier(id)
	}
}

// Pubrel handles a PUBREL. It forgets the identifier, for which a PUBCOMP must
// be sent in any case [MQTT-4.3.3-11]: the next PUBLISH with it is a new message
// [MQTT-4.3.3-12]. Not known: no QoS 2 message waited for
// it, and the PUBCOMP of a 5.0 connection carries 0x92.
func (r *Receiver) Pubrel(id mqtt.PacketID) (known bool) {
	if r.ids.remove(id) {
		r.released++
		return true
	}
	return r.forgetEarlier(id)
}

// Pubcomp is told when a PUBCOMP is sent: its place is free.
//
// A sender takes a place back for each PUBCOMP, also for one that ends a flow
// of an earlier Network Connection, which had no place in this one (4.9). As
// many as the Receive Maximum may come of that, so a peer cannot gain more by
// sending PUBRELs of its invention.
func (r *Receiver) Pubcomp() {
	switch {
	case r.released > 0:
		r.released--
		r.quota.give()
	case r.credit > 0 && r.quota.give():
		r.credit--
	}
}

func (r *Receiver) forgetEarlier(id mqtt.PacketID) bool {
	if r.earlier == nil || !r.earlier.remove(id) {
		return false
	}
	if r.earlier.n == 0 {
		r.earlier = nil
	}
	return true
}

// Quota returns how many QoS 1 and 2 messages the peer may still send.
func (r *Receiver) Quota() int { return r.quota.left() }

// Len returns how many QoS 2 messages wait for their PUBREL.
func (r *Receiver) Len() int {
	n := int(r.ids.n)
	if r.earlier != nil {
		n += int(r.earlier.n)
	}
	return n
}

// IDs yields the Packet Identifiers of the QoS 2 messages that wait for their
// PUBREL, in no order. The Receiver must not be changed meanwhile.
func (r *Receiver) IDs() iter.Seq[mqtt.PacketID] {
	return func(yield func(mqtt.PacketID) bool) {
		more := true
		if r.earlier != nil {
			r.earlier.all(func(id mqtt.PacketID) bool {
				more = yield(id)
				return more
			})
		}
		if more {
			r.ids.all(yield)
		}
	}
}
