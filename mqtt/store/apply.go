package store

import (
	"bytes"
	"encoding/binary"
	"slices"

	"go.etcd.io/bbolt"
)

// txn is one transaction of the committer.
type txn struct {
	d       *Disk
	buckets // of the transaction
	arena   []byte
	key     []byte
	fresh   map[uint64]*Message // to be written, if it is still needed in the end
	refs    map[uint64]int      // how many references more or fewer
	ids     []uint64
}

// buckets are those of one transaction.
type buckets struct {
	sessions, subs, queue, received, sent, messages, counts, retained *bbolt.Bucket
}

// bucketNames lists what newBuckets finds, and meta.
func bucketNames() []string {
	return []string{"meta", "sessions", "subs", "queue", "received", "sent", "messages", "refs", "retained"}
}

func newBuckets(tx *bbolt.Tx) (b buckets, err error) {
	for _, x := range []struct {
		to   **bbolt.Bucket
		name string
	}{
		{&b.sessions, "sessions"}, {&b.subs, "subs"}, {&b.queue, "queue"}, {&b.received, "received"},
		{&b.sent, "sent"}, {&b.messages, "messages"}, {&b.counts, "refs"}, {&b.retained, "retained"},
	} {
		if *x.to = tx.Bucket([]byte(x.name)); *x.to == nil {
			return b, corrupt("there is no bucket %s", x.name)
		}
	}
	// Messages come with growing keys; queues grow at their ends.
	b.messages.FillPercent, b.queue.FillPercent = 0.95, 0.9
	return b, nil
}

// keepTxn is the largest arena that is kept for the next transaction.
const keepTxn = 8 << 20

// begin makes x ready for a transaction. Its arena may be used again: what was
// committed has been copied.
func (x *txn) begin(tx *bbolt.Tx) (err error) {
	if cap(x.arena) > keepTxn {
		x.arena = nil
	}
	x.arena = x.arena[:0]
	clear(x.fresh)
	clear(x.refs)
	x.buckets, err = newBuckets(tx)
	return err
}

// put seals and writes what was appended to the arena from from on.
func (x *txn) put(b *bbolt.Bucket, key []byte, from int) error {
	x.arena = seal(x.arena, from, key)
	return b.Put(key, x.arena[from:len(x.arena):len(x.arena)])
}

func (x *txn) apply(b *Batch) error {
	for i := range b.ops {
		if err := x.op(b, &b.ops[i]); err != nil {
			return err
		}
	}
	return nil
}

// op applies one operation. Errors are the database's or of damaged records.
func (x *txn) op(b *Batch, o *op) error {
	from := len(x.arena)
	switch o.kind {
	case opPutSession:
		x.key = appendID(x.key[:0], uint64(o.session))
		x.arena = append(x.arena, b.arena[o.from:o.to]...)
		return x.put(x.sessions, x.key, from)
	case opEndSession:
		x.key = appendID(x.key[:0], uint64(o.session))
		if x.sessions.Get(x.key) == nil {
			return nil
		}
		x.d.buried = append(x.d.buried, o.session)
		return x.sessions.Delete(x.key)
	case opSubscribe:
		key, hashed := appendText(appendID(x.key[:0], uint64(o.session)), o.sub.Filter)
		x.key, x.arena = key, appendSub(x.arena, &o.sub, hashed)
		return x.put(x.subs, key, from)
	case opUnsubscribe:
		x.key, _ = appendText(appendID(x.key[:0], uint64(o.session)), o.sub.Filter)
		return x.subs.Delete(x.key)
	case opSent:
		x.key = appendID(x.key[:0], uint64(o.session))
		x.arena = binary.AppendUvarint(x.arena, uint64(o.pos))
		return x.put(x.sent, x.key, from)
	case opReceive:
		x.key = receivedKey(x.key, o.session, o.packet)
		return x.put(x.received, x.key, from)
	case opRelease:
		x.key = receivedKey(x.key, o.session, o.packet)
		return x.received.Delete(x.key)
	case opEnqueue:
		return x.enqueue(o)
	case opPubrec, opDone:
		return x.leave(o)
	}
	return x.retain(o)
}

// refer takes one more reference to a message, and writes it if the store does
// not have it, or no longer.
func (x *txn) refer(m *Message) (id uint64, err error) {
	id = m.id.Load()
	if id == 0 || x.fresh[id] == nil && !x.has(id) {
		if id, err = x.messages.NextSequence(); err != nil {
			return 0, err
		}
		m.id.Store(id)
		x.fresh[id] = m
	}
	x.refs[id]++
	return id, nil
}

// forget takes back what messages were told of a transaction that failed.
func (x *txn) forget() {
	for _, m := range x.fresh {
		m.id.Store(0)
	}
}

func (x *txn) has(id uint64) bool {
	var key [8]byte
	return x.messages.Get(appendID(key[:0], id)) != nil
}

func (x *txn) enqueue(o *op) error {
	x.key = queueKey(x.key, o.session, o.pos)
	if old, err := x.entry(x.key); err != nil {
		return err
	} else if old != nil && !old.released() {
		x.refs[old.message]-- // given out twice against the rules; nothing leaks
	}
	d := &o.delivery
	id, err := x.refer(d.Message)
	if err != nil {
		return err
	}
	e := entry{message: id, size: d.Size(), qos: d.QoS, retain: d.Retain, identifiers: d.Identifiers, share: d.Share}
	from := len(x.arena)
	x.arena = appendEntry(x.arena, &e)
	return x.put(x.queue, x.key, from)
}

// entry reads a place in a queue, nil if there is none.
func (x *txn) entry(key []byte) (*entry, error) {
	value := x.queue.Get(key)
	if value == nil {
		return nil, nil
	}
	value, err := unseal(key, value)
	if err != nil {
		return nil, err
	}
	e, err := parseEntry(value)
	return &e, err
}

// leave takes the message out of its place; at PUBREC the place itself stays.
func (x *txn) leave(o *op) error {
	x.key = queueKey(x.key, o.session, o.pos)
	e, err := x.entry(x.key)
	if err != nil || e == nil {
		return err
	}
	if !e.released() {
		x.refs[e.message]--
	}
	switch {
	case o.kind == opDone:
		return x.queue.Delete(x.key)
	case e.released():
		return nil // a PUBREC that came again
	}
	order, err := x.queue.NextSequence()
	if err != nil {
		return err
	}
	from := len(x.arena)
	x.arena = appendEntry(x.arena, &entry{order: order})
	return x.put(x.queue, x.key, from)
}

// retain sets or clears a retained message.
func (x *txn) retain(o *op) error {
	topic := o.sub.Filter
	if o.kind == opRetain {
		topic = o.delivery.Topic
	}
	key, hashed := appendText(x.key[:0], topic)
	x.key = key
	if value := x.retained.Get(key); value != nil {
		value, err := unseal(key, value)
		if err != nil {
			return err
		}
		id, _, err := parseRetained(key, value)
		if err != nil {
			return err
		}
		x.refs[id]--
	}
	if o.kind == opClear {
		return x.retained.Delete(key)
	}
	id, err := x.refer(o.delivery.Message)
	if err != nil {
		return err
	}
	from := len(x.arena)
	x.arena = appendRetained(x.arena, id, topic, hashed)
	return x.put(x.retained, key, from)
}

// settle writes new messages, once, and drops those that nobody refers to any
// more. What came and went in one transaction is never written.
func (x *txn) settle() error {
	x.ids = x.ids[:0]
	for id := range x.refs {
		x.ids = append(x.ids, id)
	}
	slices.Sort(x.ids)
	for _, id := range x.ids {
		if err := x.count(id, x.refs[id]); err != nil {
			return err
		}
	}
	return nil
}

// count brings the references to one message up to date: a message without a
// count has one.
func (x *txn) count(id uint64, delta int) error {
	m := x.fresh[id]
	if delta == 0 && m == nil {
		return nil
	}
	x.key = appendID(x.key[:0], id)
	before := 0
	if m == nil {
		n, err := refCount(x.counts, x.key)
		if err != nil {
			return err
		}
		before = n
	}
	now := before + delta
	switch {
	case now < 0:
		return corrupt("message %d has fewer references than there are", id)
	case now == 0 && m != nil:
		return nil
	case now == 0:
		if err := x.messages.Delete(x.key); err != nil {
			return err
		}
	case m != nil:
		from := len(x.arena)
		var err error
		if x.arena, err = appendMessage(x.arena, m); err != nil {
			return err
		}
		if err := x.put(x.messages, x.key, from); err != nil {
			return err
		}
	}
	if now > 1 {
		from := len(x.arena)
		x.arena = binary.AppendUvarint(x.arena, uint64(now))
		return x.put(x.counts, x.key, from)
	}
	if before > 1 {
		return x.counts.Delete(x.key)
	}
	return nil
}

// refCount returns the number of references that is recorded for a message.
func refCount(b *bbolt.Bucket, key []byte) (int, error) {
	value := b.Get(key)
	if value == nil {
		return 1, nil
	}
	value, err := unseal(key, value)
	if err != nil {
		return 0, err
	}
	n, err := parseNumber(value)
	if err == nil && (n < 2 || n > 1<<40) {
		err = corrupt("references of message %x", key)
	}
	return int(n), err
}

// reclaim removes what is left of ended sessions, up to a number of records,
// and returns how many are gone altogether.
func (x *txn) reclaim(dead []SessionID, left int) (gone int, err error) {
	for _, s := range dead {
		for _, b := range []*bbolt.Bucket{x.queue, x.subs, x.received, x.sent} {
			n, err := x.strip(b, s, left)
			if err != nil {
				return gone, err
			}
			if left -= n; left <= 0 {
				return gone, nil
			}
		}
		gone++
	}
	return gone, nil
}

// strip removes up to limit records of a session from a bucket.
func (x *txn) strip(b *bbolt.Bucket, s SessionID, limit int) (int, error) {
	prefix := appendID(nil, uint64(s))
	var keys [][]byte
	c := b.Cursor()
	for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix) && len(keys) < limit; k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	for _, key := range keys {
		if b == x.queue {
			e, err := x.entry(key)
			if err != nil {
				return 0, err
			}
			if e != nil && !e.released() {
				x.refs[e.message]--
			}
		}
		if err := b.Delete(key); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}
