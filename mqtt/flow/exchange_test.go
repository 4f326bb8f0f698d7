package flow

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"mqt/mqtt"
)

// exchange joins a Sender and a Receiver by a Network Connection that breaks
// at any time and loses what is under way. The receiving owner acknowledges
// late and, for a while, out of step with what it received.
type exchange struct {
	t    *testing.T
	r    *rand.Rand
	s    Sender[int]
	recv Receiver

	toReceiver, toSender []wirePacket
	owed                 []wirePacket // acknowledgements that wait for the store

	sent     [3][]int // by QoS: messages in the order of their first PUBLISH
	received [3][]int
}

type wirePacket struct {
	typ   mqtt.Type
	id    mqtt.PacketID
	qos   mqtt.QoS
	code  mqtt.ReasonCode
	value int
}

func (x *exchange) connect() {
	x.toReceiver, x.toSender, x.owed = nil, nil, nil
	maximum := uint16(x.r.IntN(12)) // 0: 65,535
	x.s.Reset(maximum)
	x.recv.Reset(maximum)
	x.resend()
}

func (x *exchange) resend() {
	for {
		id, e, ok := x.s.Resend()
		switch {
		case !ok:
			return
		case e.State == PubrelSent:
			x.toReceiver = append(x.toReceiver, wirePacket{typ: mqtt.TypePubrel, id: id})
		default:
			x.toReceiver = append(x.toReceiver,
				wirePacket{typ: mqtt.TypePublish, id: id, qos: mqtt.QoS(e.State), value: e.Value})
		}
	}
}

func (x *exchange) publish(value int) bool {
	qos := mqtt.QoS(1 + x.r.IntN(2))
	id, ok := x.s.Publish(qos, value)
	if ok {
		x.sent[qos] = append(x.sent[qos], value)
		x.toReceiver = append(x.toReceiver, wirePacket{typ: mqtt.TypePublish, id: id, qos: qos, value: value})
	}
	return ok
}

func (x *exchange) atReceiver(p wirePacket) {
	if p.typ == mqtt.TypePubrel {
		code := mqtt.Success
		if !x.recv.Pubrel(p.id) {
			code = mqtt.PacketIdentifierNotFound
		}
		x.owed = append(x.owed, wirePacket{typ: mqtt.TypePubcomp, id: p.id, code: code})
		return
	}
	duplicate, err := x.recv.Publish(p.id, p.qos)
	if err != nil {
		x.t.Fatalf("the Sender went over the Receive Maximum: %v", err)
	}
	answer := wirePacket{typ: mqtt.TypePuback, id: p.id}
	if p.qos == mqtt.QoS2 {
		answer.typ = mqtt.TypePubrec
	}
	if !duplicate {
		x.received[p.qos] = append(x.received[p.qos], p.value)
	}
	x.owed = append(x.owed, answer)
}

func (x *exchange) acknowledge(p wirePacket) {
	switch p.typ {
	case mqtt.TypePuback:
		x.recv.Puback()
	case mqtt.TypePubrec:
		x.recv.Pubrec(p.id, p.code)
	case mqtt.TypePubcomp:
		x.recv.Pubcomp()
	}
	x.toSender = append(x.toSender, p)
}

func (x *exchange) atSender(p wirePacket) {
	ok := false
	switch p.typ {
	case mqtt.TypePuback:
		_, ok = x.s.Puback(p.id)
	case mqtt.TypePubcomp:
		_, ok = x.s.Pubcomp(p.id)
	case mqtt.TypePubrec:
		var release bool
		if _, release, ok = x.s.Pubrec(p.id, p.code); release {
			x.toReceiver = append(x.toReceiver, wirePacket{typ: mqtt.TypePubrel, id: p.id})
		}
	}
	if !ok {
		x.t.Fatalf("the Sender does not know %v", p)
	}
	x.resend()
}

// move takes the first packet of a queue where it goes. False: none is there.
func move(queue *[]wirePacket, to func(wirePacket)) bool {
	if len(*queue) == 0 {
		return false
	}
	p := (*queue)[0]
	*queue = (*queue)[1:]
	to(p)
	return true
}

func (x *exchange) run(messages int) {
	x.connect()
	for value := 0; value < messages; {
		switch c := x.r.IntN(100); {
		case c < 2:
			x.connect()
		case c < 35:
			if x.publish(value) {
				value++
			}
		case c < 60:
			move(&x.toReceiver, x.atReceiver)
		case c < 80:
			move(&x.owed, x.acknowledge)
		default:
			move(&x.toSender, x.atSender)
		}
	}
	for move(&x.toReceiver, x.atReceiver) || move(&x.owed, x.acknowledge) || move(&x.toSender, x.atSender) {
	}
}

// Whatever the Network Connection loses: QoS 2 messages arrive once and in
// order, QoS 1 messages at least once and in order of their first arrival, no
// Receive Maximum is exceeded and nothing is left over.
func TestExchange(t *testing.T) {
	for seed := range uint64(200) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			x := exchange{t: t, r: rand.New(rand.NewPCG(seed, 1))}
			x.run(500)
			if !slices.Equal(x.received[2], x.sent[2]) {
				t.Errorf("QoS 2: received %v\nsent %v", x.received[2], x.sent[2])
			}
			seen := map[int]bool{}
			var first []int
			for _, v := range x.received[1] {
				if !seen[v] {
					first = append(first, v)
				}
				seen[v] = true
			}
			if !slices.Equal(first, x.sent[1]) {
				t.Errorf("QoS 1: received %v\nsent %v", first, x.sent[1])
			}
			if x.s.Len() != 0 || x.recv.Len() != 0 || x.s.Pending() {
				t.Errorf("left: %d at the Sender, %d at the Receiver", x.s.Len(), x.recv.Len())
			}
		})
	}
}

// A sender that takes section 4.9 to the letter starts with the whole quota
// after a reconnect, and takes a place back for the PUBCOMP of each PUBREL that
// it sends again: also for those the Receiver no longer knows. That is no
// reason to end its connection.
func TestReceiverBearsSection49(t *testing.T) {
	for _, lost := range []string{"PUBREL", "PUBCOMP"} {
		t.Run(lost, func(t *testing.T) {
			const maximum = 10
			var r Receiver
			r.Reset(maximum)
			for id := mqtt.PacketID(1); id <= maximum; id++ {
				if _, err := r.Publish(id, mqtt.QoS2); err != nil {
					t.Fatal(err)
				}
				if lost == "PUBCOMP" {
					r.Pubrel(id)
					r.Pubcomp()
				}
			}
			r.Reset(maximum)
			quota := maximum
			for id := mqtt.PacketID(1); id <= 2*maximum; id++ {
				if quota == 0 {
					if known := r.Pubrel(id - maximum); known != (lost == "PUBREL") {
						t.Fatalf("PUBREL of %d known: %v", id-maximum, known)
					}
					r.Pubcomp()
					quota++
				}
				if _, err := r.Publish(100+id, mqtt.QoS2); err != nil {
					t.Fatalf("message %d: %v", id, err)
				}
				quota--
			}
			if _, err := r.Publish(200, mqtt.QoS2); err == nil {
				t.Fatal("one more was accepted")
			}
		})
	}
}
