package store

import (
	"encoding/binary"
	"fmt"
	"math"

	"mqt/mqtt"
)

// opWriter encodes operations for the journal. A message stands there once, where it is first needed.
type opWriter struct {
	p    []byte
	last *Message // the last that was written
	err  error
}

func (w *opWriter) number(n uint64) { w.p = binary.AppendUvarint(w.p, n) }

func (w *opWriter) text(s string) {
	w.number(uint64(len(s)))
	w.p = append(w.p, s...)
}

// sized encodes what f appends, with its length before it.
func (w *opWriter) sized(f func([]byte) []byte) {
	from := len(w.p)
	w.p = f(append(w.p, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(w.p[from:], uint32(len(w.p)-from-4))
}

// message encodes a message, nothing if it is the last one again.
func (w *opWriter) message(m *Message) {
	again := m == w.last
	w.last = m
	w.sized(func(p []byte) []byte {
		if again {
			return p
		}
		p, err := appendMessage(p, m)
		if err != nil {
			w.err = err
		}
		return p
	})
}

func (w *opWriter) batch(b *Batch) {
	for i := range b.ops {
		w.op(b, &b.ops[i])
	}
}

func (w *opWriter) op(b *Batch, o *op) {
	w.p = append(w.p, byte(o.kind))
	if o.kind != opRetain && o.kind != opClear {
		w.number(uint64(o.session))
	}
	switch o.kind {
	case opPutSession:
		w.sized(func(p []byte) []byte { return append(p, b.arena[o.from:o.to]...) })
	case opEndSession:
	case opSubscribe:
		w.text(o.sub.Filter)
		_, hashed := appendText(nil, o.sub.Filter)
		w.sized(func(p []byte) []byte { return appendSub(p, &o.sub, hashed) })
	case opUnsubscribe, opClear:
		w.text(o.sub.Filter)
	case opSent, opPubrec, opDone:
		w.number(uint64(o.pos))
	case opReceive, opRelease:
		w.number(uint64(o.packet))
	case opEnqueue:
		d := &o.delivery
		w.number(uint64(o.pos))
		e := entry{message: 1, qos: d.QoS, retain: d.Retain, identifiers: d.Identifiers, share: d.Share}
		w.sized(func(p []byte) []byte { return appendEntry(p, &e) })
		w.message(d.Message)
	case opRetain:
		w.message(o.delivery.Message)
	}
}

// opReader decodes them.
type opReader struct {
	parser
	last *Message
	err  error // of what is within an operation
}

// sized returns what has its length before it.
func (r *opReader) sized() []byte {
	if len(r.p) < 4 {
		r.fail()
		return nil
	}
	n := uint64(binary.BigEndian.Uint32(r.p))
	if r.p = r.p[4:]; n > uint64(len(r.p)) {
		r.fail()
		return nil
	}
	p := r.p[:n:n]
	r.p = r.p[n:]
	return p
}

func (r *opReader) fault(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *opReader) message() *Message {
	if p := r.sized(); len(p) > 0 {
		m, err := parseMessage(p)
		r.fault(err)
		r.last = m
	} else if r.last == nil {
		r.fail()
	}
	return r.last
}

// readOps appends the operations of a frame to a batch.
func readOps(b *Batch, p []byte) error {
	r := opReader{parser: parser{p: p}}
	for len(r.p) > 0 {
		r.op(b)
		if r.err != nil {
			return fmt.Errorf("journal: operation %d: %w", b.Len(), r.err)
		}
		if r.bad {
			return corrupt("journal: operation %d", b.Len())
		}
	}
	return nil
}

func (r *opReader) op(b *Batch) {
	o := op{kind: opKind(r.byte())}
	if o.kind != opRetain && o.kind != opClear {
		o.session = SessionID(r.uvarint(math.MaxUint64))
	}
	switch o.kind {
	case opPutSession:
		p := r.sized()
		_, err := parseSession(p)
		r.fault(err)
		o.from = len(b.arena)
		b.arena = append(b.arena, p...)
		o.to = len(b.arena)
	case opEndSession:
	case opSubscribe:
		filter := r.text()
		key, _ := appendText(nil, filter)
		sub, err := parseSub(key, r.sized())
		r.fault(err)
		o.sub = sub
	case opUnsubscribe, opClear:
		o.sub.Filter = r.text()
	case opSent, opPubrec, opDone:
		o.pos = Position(r.uvarint(math.MaxUint64))
	case opReceive, opRelease:
		o.packet = mqtt.PacketID(r.uvarint(math.MaxUint16))
	case opEnqueue:
		o.pos = Position(r.uvarint(math.MaxUint64))
		e, err := parseEntry(r.sized())
		if err == nil && e.released() {
			r.fail()
		}
		r.fault(err)
		o.delivery = Delivery{QoS: e.qos, Retain: e.retain, Identifiers: e.identifiers, Share: e.share, Message: r.message()}
	case opRetain:
		o.delivery.Message = r.message()
	default:
		r.fail()
	}
	if !r.bad && r.err == nil {
		b.add(o, 0, true)
	}
}
