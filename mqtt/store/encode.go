package store

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"

	"mqt/mqtt"
)

// The records. Every value ends in a checksum over key and value, for the
// database has none. Messages and sessions are put down as the Control Packets
// that carry them, so that the codec's limits and checks hold for them as well.
//
//	messages   id                 -> born, PUBLISH 5.0
//	refs       id                 -> how many refer to it, where that is not one
//	sessions   session            -> left, CONNECT 5.0
//	subs       session, filter    -> options, identifier, filter if it is not in the key
//	queue      session, position  -> entry
//	received   session, packet id -> nothing
//	sent       session            -> position
//	retained   topic              -> id, topic if it is not in the key

// formatVersion is that of the records and their keys. While a store is in use, and if it was not closed, it is versionOpen: a
// program that does not know the journal may not pass it over.
const (
	formatVersion = 1
	versionOpen   = 2
)

// maxKeyText is the longest filter or topic that is a key as it is; the
// database has a limit for keys, MQTT's is higher.
const maxKeyText = 512

const sumSize = 4

// sum is CRC-32C over both. The table is the standard library's, made once.
func sum(key, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(key, table), table, value)
}

// seal appends the checksum of value, which begins at from in dst.
func seal(dst []byte, from int, key []byte) []byte {
	return binary.BigEndian.AppendUint32(dst, sum(key, dst[from:]))
}

// unseal checks and removes the checksum.
func unseal(key, value []byte) ([]byte, error) {
	n := len(value) - sumSize
	if n < 0 || binary.BigEndian.Uint32(value[n:]) != sum(key, value[:n]) {
		return nil, corrupt("checksum of record %x", clip(key))
	}
	return value[:n:n], nil
}

func clip(key []byte) []byte { return key[:min(len(key), 24)] }

func appendID(dst []byte, id uint64) []byte { return binary.BigEndian.AppendUint64(dst, id) }

func messageID(key []byte) uint64 { return binary.BigEndian.Uint64(key) }

func queueKey(dst []byte, s SessionID, p Position) []byte {
	return appendID(appendID(dst[:0], uint64(s)), uint64(p))
}

func receivedKey(dst []byte, s SessionID, p mqtt.PacketID) []byte {
	return binary.BigEndian.AppendUint16(appendID(dst[:0], uint64(s)), uint16(p))
}

// appendText appends a filter or topic to a key; a long one by its hash, and
// then it must stand in the value.
func appendText(dst []byte, text string) (key []byte, hashed bool) {
	if len(text) <= maxKeyText {
		return append(append(dst, 0), text...), false
	}
	h := sha256.Sum256([]byte(text))
	return append(append(dst, 1), h[:]...), true
}

// keyText returns the filter or topic of a key, or the value's where that has
// it.
func keyText(key, value []byte) (string, error) {
	if len(key) > 0 && key[0] == 0 && len(value) == 0 {
		return string(key[1:]), nil
	}
	if want, hashed := appendText(nil, string(value)); !hashed || string(want) != string(key) {
		return "", corrupt("text of record %x", clip(key))
	}
	return string(value), nil
}

// parser reads a record and keeps the first fault.
type parser struct {
	p   []byte
	bad bool
}

func (r *parser) fail() { r.p, r.bad = nil, true }

func (r *parser) byte() byte {
	if len(r.p) == 0 {
		r.fail()
		return 0
	}
	b := r.p[0]
	r.p = r.p[1:]
	return b
}

// uvarint reads a number in its shortest form.
func (r *parser) uvarint(limit uint64) uint64 {
	n, size := binary.Uvarint(r.p)
	if size <= 0 || size > 1 && r.p[size-1] == 0 || n > limit {
		r.fail()
		return 0
	}
	r.p = r.p[size:]
	return n
}

func (r *parser) text() string {
	n := r.uvarint(uint64(len(r.p)))
	if n > uint64(len(r.p)) {
		r.fail()
		return ""
	}
	s := string(r.p[:n])
	r.p = r.p[n:]
	return s
}

// end reports whether all was read, and nothing is left.
func (r *parser) end() bool { return !r.bad && len(r.p) == 0 }

// millis is a time in a record; 0 is the zero time, so that the first
// millisecond of 1970 is not one.
func millis(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(max(1, t.UnixMilli()))
}

func (r *parser) time() time.Time {
	n := r.uvarint(math.MaxInt64)
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(n))
}

// appendMessage encodes a message, without checksum.
func appendMessage(dst []byte, m *Message) ([]byte, error) {
	dst, err := appendHead(dst, m)
	return append(dst, m.Payload...), err
}

// appendHead encodes all but the payload, and knows whether it can be.
func appendHead(dst []byte, m *Message) ([]byte, error) {
	if !mqtt.ValidString(m.Topic) || m.Topic == "" {
		return dst, &mqtt.EncodeError{Packet: mqtt.TypePublish, Text: "the topic is no string of MQTT"}
	}
	p := mqtt.Publish{QoS: m.QoS, Topic: []byte(m.Topic), Payload: m.Payload, Properties: m.Properties}
	if m.QoS > 0 {
		p.PacketID = 1
	}
	if m.Expires {
		p.Properties = append(p.Properties[:len(p.Properties):len(p.Properties)], mqtt.Num(mqtt.MessageExpiryInterval, m.Expiry))
	}
	return p.AppendHead(binary.AppendUvarint(dst, millis(m.Born)), mqtt.V50)
}

// parseMessage decodes a message into memory of its own.
func parseMessage(value []byte) (*Message, error) {
	r := parser{p: value}
	m := &Message{Born: r.time()}
	reader := mqtt.Reader{Version: mqtt.V50}
	pkt, n, err := reader.Read(r.p)
	if err != nil {
		return nil, corrupt("message: %w", err)
	}
	p, ok := pkt.(*mqtt.Publish)
	if r.bad || !ok || n != len(r.p) || p.Dup || p.Retain || p.PacketID > 1 || len(p.Topic) == 0 {
		return nil, corrupt("message record")
	}
	m.Topic, m.QoS = string(p.Topic), p.QoS
	if len(p.Payload) > 0 {
		m.Payload = append([]byte(nil), p.Payload...)
	}
	m.Expiry, m.Expires = p.Properties.Number(mqtt.MessageExpiryInterval)
	if props := p.Properties.Without(mqtt.MessageExpiryInterval); len(props) > 0 {
		m.Properties = props.Clone()
	}
	return m, nil
}

// appendSession encodes a Session, without checksum.
func appendSession(dst []byte, s *Session) ([]byte, error) {
	if !mqtt.ValidString(s.ClientID) || !mqtt.ValidString(s.Username) {
		return dst, &mqtt.EncodeError{Packet: mqtt.TypeConnect, Text: "the client identifier or user name is no string of MQTT"}
	}
	c := mqtt.Connect{Version: mqtt.V50, ClientID: s.ClientID, Will: s.Will, Username: s.Username, HasUsername: s.Username != "",
		Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, s.Expiry)}}
	if s.Unsure > 0 { // under a name that holds such a number, and that older versions pass over
		c.Properties = append(c.Properties, mqtt.Num(mqtt.MaximumPacketSize, s.Unsure))
	}
	from := len(dst)
	dst, err := c.Append(binary.AppendUvarint(dst, millis(s.Left)), mqtt.V50)
	if err != nil {
		return dst[:from], err
	}
	return dst, nil
}

func parseSession(value []byte) (s Session, err error) {
	r := parser{p: value}
	s.Left = r.time()
	var reader mqtt.Reader
	pkt, n, err := reader.Read(r.p)
	if err != nil {
		return s, corrupt("session: %w", err)
	}
	c, ok := pkt.(*mqtt.Connect)
	if r.bad || !ok || n != len(r.p) || c.Version != mqtt.V50 {
		return s, corrupt("session record")
	}
	s.ClientID, s.Username, s.Will = c.ClientID, c.Username, c.Will
	s.Expiry = c.Properties.NumberOr(mqtt.SessionExpiryInterval, 0)
	s.Unsure = c.Properties.NumberOr(mqtt.MaximumPacketSize, 0)
	return s, nil
}

// Bits of a subscription's options, as in SUBSCRIBE.
const (
	subNoLocal = 0x04
	subRAP     = 0x08
)

// appendSub encodes a subscription, without checksum.
func appendSub(dst []byte, s *Subscription, hashed bool) []byte {
	o := byte(s.QoS&3) | s.RetainHandling&3<<4
	if s.NoLocal {
		o |= subNoLocal
	}
	if s.RetainAsPublished {
		o |= subRAP
	}
	dst = binary.AppendUvarint(append(dst, o), uint64(s.Identifier))
	if hashed {
		dst = append(dst, s.Filter...)
	}
	return dst
}

// parseSub decodes a subscription; key is that without the session.
func parseSub(key, value []byte) (s Subscription, err error) {
	r := parser{p: value}
	o := r.byte()
	s.Identifier = uint32(r.uvarint(maxIdentifier))
	if r.bad || o&0xC0 != 0 || o&3 == 3 || o>>4 == 3 {
		return s, corrupt("subscription record")
	}
	s.QoS, s.RetainHandling = mqtt.QoS(o&3), o>>4&3
	s.NoLocal, s.RetainAsPublished = o&subNoLocal != 0, o&subRAP != 0
	s.Filter, err = keyText(key, r.p)
	return s, err
}

// maxIdentifier is the greatest Subscription Identifier, section 3.3.2.3.8.
const maxIdentifier = 268_435_455

// entry is a place in a queue.
type entry struct {
	message     uint64 // its id, 0 once released
	size        int
	qos         mqtt.QoS
	retain      bool
	identifiers []uint32
	share       string
	order       uint64 // of its PUBREC, when released
}

func (e *entry) released() bool { return e.message == 0 }

// Bits of an entry's flags, above the QoS.
const (
	entryRetain = 1 << (iota + 2)
	entryIDs
	entryShare
	entryReleased
	entryKnown = entryRetain | entryIDs | entryShare | entryReleased | 3
)

// appendEntry encodes an entry, without checksum.
func appendEntry(dst []byte, e *entry) []byte {
	if e.released() {
		return binary.AppendUvarint(append(dst, entryReleased), e.order)
	}
	flags := byte(e.qos)
	if e.retain {
		flags |= entryRetain
	}
	if len(e.identifiers) > 0 {
		flags |= entryIDs
	}
	if e.share != "" {
		flags |= entryShare
	}
	dst = binary.AppendUvarint(append(dst, flags), e.message)
	dst = binary.AppendUvarint(dst, uint64(e.size))
	if len(e.identifiers) > 0 {
		dst = binary.AppendUvarint(dst, uint64(len(e.identifiers)))
		for _, id := range e.identifiers {
			dst = binary.AppendUvarint(dst, uint64(id))
		}
	}
	if e.share != "" {
		dst = append(binary.AppendUvarint(dst, uint64(len(e.share))), e.share...)
	}
	return dst
}

func parseEntry(value []byte) (e entry, err error) {
	r := parser{p: value}
	flags := r.byte()
	if flags == entryReleased {
		e.order = r.uvarint(math.MaxUint64)
	} else {
		e.qos, e.retain = mqtt.QoS(flags&3), flags&entryRetain != 0
		e.message, e.size = r.uvarint(math.MaxUint64), int(r.uvarint(math.MaxInt32))
		if flags&entryIDs != 0 {
			e.identifiers = r.identifiers()
		}
		if flags&entryShare != 0 {
			if e.share = r.text(); e.share == "" {
				r.fail()
			}
		}
		if e.message == 0 || flags&^entryKnown != 0 || flags&entryReleased != 0 || e.qos == 0 || e.qos > mqtt.QoS2 {
			r.fail()
		}
	}
	if !r.end() {
		return entry{}, corrupt("queue record")
	}
	return e, nil
}

func (r *parser) identifiers() []uint32 {
	n := r.uvarint(uint64(len(r.p))) // each takes a byte or more
	if n == 0 {
		r.fail()
		return nil
	}
	ids := make([]uint32, 0, n)
	for range n {
		id := r.uvarint(maxIdentifier)
		if id == 0 {
			r.fail()
		}
		ids = append(ids, uint32(id))
		if r.bad {
			return nil
		}
	}
	return ids
}

// appendRetained encodes where a retained message is, without checksum.
func appendRetained(dst []byte, id uint64, topic string, hashed bool) []byte {
	dst = binary.AppendUvarint(dst, id)
	if hashed {
		dst = append(dst, topic...)
	}
	return dst
}

func parseRetained(key, value []byte) (id uint64, topic string, err error) {
	r := parser{p: value}
	if id = r.uvarint(math.MaxUint64); r.bad || id == 0 {
		return 0, "", corrupt("retained record")
	}
	topic, err = keyText(key, r.p)
	return id, topic, err
}

// parseNumber decodes a value that is one number.
func parseNumber(value []byte) (uint64, error) {
	r := parser{p: value}
	n := r.uvarint(math.MaxUint64)
	if !r.end() {
		return 0, corrupt("number record")
	}
	return n, nil
}
