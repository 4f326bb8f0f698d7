package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"iter"
	"slices"

	"go.etcd.io/bbolt"

	"mqt/mqtt"
)

// errStop ends a walk because its caller has enough.
var errStop = errors.New("store: stop")

// Sessions implements [Store].
func (d *Disk) Sessions() iter.Seq2[*Saved, error] {
	return func(yield func(*Saved, error) bool) {
		d.walk(func(b buckets) error {
			return eachSession(b, func(s *Saved) error {
				s.Next = max(s.Next, d.First())
				return stopUnless(yield(s, nil))
			})
		}, func(err error) { yield(nil, err) })
	}
}

// Retained implements [Store].
func (d *Disk) Retained() iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		d.walk(func(b buckets) error {
			return eachRetained(b, func(_ uint64, m *Message) error { return stopUnless(yield(m, nil)) })
		}, func(err error) { yield(nil, err) })
	}
}

func stopUnless(more bool) error {
	if more {
		return nil
	}
	return errStop
}

// walk runs f in a read transaction and reports its error, unless it was
// stopped.
func (d *Disk) walk(f func(buckets) error, fault func(error)) {
	if err := d.Err(); err != nil {
		fault(err)
		return
	}
	err := d.look(func(tx *bbolt.Tx) error {
		defer unmap(tx)
		b, err := newBuckets(tx)
		if err != nil {
			return err
		}
		return f(b)
	})
	if err != nil && !errors.Is(err, errStop) {
		fault(err)
	}
}

// eachSession reads the sessions with all but their queues' contents.
func eachSession(b buckets, f func(*Saved) error) error {
	cursors := sessionCursors{b.subs.Cursor(), b.received.Cursor(), b.queue.Cursor()}
	c := b.sessions.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		v, err := unseal(k, v)
		if err != nil {
			return err
		}
		s := &Saved{ID: SessionID(binary.BigEndian.Uint64(k))}
		if s.Session, err = parseSession(v); err != nil {
			return err
		}
		if value := b.sent.Get(k); value != nil {
			if value, err = unseal(k, value); err != nil {
				return err
			}
			n, err := parseNumber(value)
			if err != nil {
				return err
			}
			s.Sent = Position(n)
		}
		if err := cursors.fill(s, k); err != nil {
			return err
		}
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

type sessionCursors struct{ subs, received, queue *bbolt.Cursor }

// fill reads what is kept of one session in the other buckets.
func (c *sessionCursors) fill(s *Saved, prefix []byte) error {
	err := each(c.subs, prefix, func(k, v []byte) error {
		sub, err := parseSub(k[8:], v)
		s.Subscriptions = append(s.Subscriptions, sub)
		return err
	})
	if err != nil {
		return err
	}
	err = each(c.received, prefix, func(k, v []byte) error {
		if len(k) != 10 || len(v) != 0 {
			return corrupt("packet identifier record")
		}
		s.Received = append(s.Received, mqtt.PacketID(binary.BigEndian.Uint16(k[8:])))
		return nil
	})
	if err != nil {
		return err
	}
	return c.fillQueue(s, prefix)
}

func (c *sessionCursors) fillQueue(s *Saved, prefix []byte) error {
	type released struct {
		at    Position
		order uint64
	}
	var rel []released
	last := s.Sent
	err := each(c.queue, prefix, func(k, v []byte) error {
		at, e, err := parseQueue(k, v)
		if err != nil {
			return err
		}
		if last = max(last, at); e.released() {
			rel = append(rel, released{at, e.order})
			return nil
		}
		if s.Count == 0 {
			s.First = at
		}
		s.Last = at
		s.Shared = s.Shared || e.share != ""
		s.Count++
		s.Bytes += int64(e.size)
		return nil
	})
	slices.SortFunc(rel, func(a, b released) int { return cmp.Compare(a.order, b.order) })
	for _, r := range rel {
		s.Released = append(s.Released, r.at)
	}
	s.Next = last + 1
	return err
}

// parseQueue decodes a record of the queue bucket, unsealed.
func parseQueue(k, v []byte) (Position, entry, error) {
	if len(k) != 16 {
		return 0, entry{}, corrupt("key of a queue record")
	}
	e, err := parseEntry(v)
	return Position(binary.BigEndian.Uint64(k[8:])), e, err
}

// each reads the records of a prefix, their checksums checked.
func each(c *bbolt.Cursor, prefix []byte, f func(k, v []byte) error) error {
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		v, err := unseal(k, v)
		if err != nil {
			return err
		}
		if err := f(k, v); err != nil {
			return err
		}
	}
	return nil
}

// eachRetained reads the retained messages.
func eachRetained(b buckets, f func(id uint64, m *Message) error) error {
	return each(b.retained.Cursor(), nil, func(k, v []byte) error {
		id, topic, err := parseRetained(k, v)
		if err != nil {
			return err
		}
		m, err := readMessage(b, id)
		if err != nil {
			return err
		}
		if m.Topic != topic {
			return corrupt("retained message %d of another topic", id)
		}
		return f(id, m)
	})
}

// readMessage reads one message into memory of its own.
func readMessage(b buckets, id uint64) (*Message, error) {
	key := appendID(nil, id)
	v := b.messages.Get(key)
	if v == nil {
		return nil, corrupt("message %d is missing", id)
	}
	v, err := unseal(key, v)
	if err != nil {
		return nil, err
	}
	m, err := parseMessage(v)
	if err != nil {
		return nil, err
	}
	if !b.messages.Writable() { // or it is only what it would be like: see Disk.serve
		m.id.Store(id)
	}
	return m, nil
}

// unmapReads is after how many reads of queues the pages they read are given
// back: a long queue is most of the file.
const unmapReads = 64

// ReadQueue implements [Store].
func (d *Disk) ReadQueue(s SessionID, from Position, limit int, maxBytes int64) (out []Queued, err error) {
	if err := d.Err(); err != nil {
		return nil, err
	}
	err = d.look(func(tx *bbolt.Tx) error {
		if d.reads.Add(1)%unmapReads == 0 {
			defer unmap(tx)
		}
		b, err := newBuckets(tx)
		if err != nil {
			return err
		}
		prefix := appendID(nil, uint64(s))
		c := b.queue.Cursor()
		for k, v := c.Seek(queueKey(nil, s, from)); k != nil && bytes.HasPrefix(k, prefix) && len(out) < limit; k, v = c.Next() {
			v, err := unseal(k, v)
			if err != nil {
				return err
			}
			at, e, err := parseQueue(k, v)
			if err != nil {
				return err
			}
			if e.released() {
				continue
			}
			if maxBytes -= int64(e.size); maxBytes < 0 && len(out) > 0 {
				return nil
			}
			m, err := readMessage(b, e.message)
			if err != nil {
				return err
			}
			out = append(out, Queued{at, Delivery{Message: m, QoS: e.qos, Retain: e.retain, Identifiers: e.identifiers, Share: e.share}})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
