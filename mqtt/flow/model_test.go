package flow

import (
	"encoding/binary"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"mqt/mqtt"
)

// The models keep plain lists and count what the real ones remember.

type modelEntry struct {
	id            mqtt.PacketID
	state         State
	value         uint32
	sent, counted bool
}

type senderModel struct {
	entries []modelEntry // in order of sending
	max     int
}

func (m *senderModel) find(id mqtt.PacketID) int {
	return slices.IndexFunc(m.entries, func(e modelEntry) bool { return e.id == id })
}

func (m *senderModel) counted() (n int) {
	for _, e := range m.entries {
		if e.counted {
			n++
		}
	}
	return n
}

func (m *senderModel) pending() bool {
	return slices.ContainsFunc(m.entries, func(e modelEntry) bool { return !e.sent && !e.state.reserved() })
}

func (m *senderModel) quota() int {
	if m.pending() {
		return 0
	}
	return min(max(0, m.max-m.counted()), maxIDs-len(m.entries))
}

func (m *senderModel) reset(max uint16) {
	if m.max = int(max); max == 0 {
		m.max = maxIDs
	}
	for i := range m.entries {
		e := &m.entries[i]
		e.sent, e.counted = false, e.state == PubrelSent
	}
}

func (m *senderModel) resend() (modelEntry, bool) {
	next := slices.IndexFunc(m.entries, func(e modelEntry) bool { return !e.sent && e.state == PubrelSent })
	if next < 0 {
		next = slices.IndexFunc(m.entries, func(e modelEntry) bool { return !e.sent && e.state.publish() })
		if next < 0 || m.counted() >= m.max {
			return modelEntry{}, false
		}
		m.entries[next].counted = true
	}
	m.entries[next].sent = true
	return m.entries[next], true
}

func (m *senderModel) end(state State, id mqtt.PacketID) (uint32, bool) {
	i := m.find(id)
	if i < 0 || m.entries[i].state != state {
		return 0, false
	}
	v := m.entries[i].value
	m.entries = slices.Delete(m.entries, i, i+1)
	return v, true
}

func (m *senderModel) pubrec(id mqtt.PacketID, code mqtt.ReasonCode) (v uint32, release, ok bool) {
	i := m.find(id)
	if i < 0 || m.entries[i].state != PublishQoS2 && m.entries[i].state != PubrelSent {
		return 0, false, false
	}
	e := m.entries[i]
	if code >= 0x80 {
		m.entries = slices.Delete(m.entries, i, i+1)
		return e.value, false, true
	}
	m.entries[i].sent = true
	if e.state == PublishQoS2 {
		e.state, e.sent = PubrelSent, true
		m.entries = append(slices.Delete(m.entries, i, i+1), e)
	}
	return e.value, true, true
}

// tape turns fuzz bytes into choices; beyond its end they are 0 and done.
type tape struct{ data []byte }

func (t *tape) next() byte {
	if len(t.data) == 0 {
		return 0
	}
	b := t.data[0]
	t.data = t.data[1:]
	return b
}

func (t *tape) steps() iter.Seq[byte] {
	return func(yield func(byte) bool) {
		for len(t.data) > 0 && yield(t.next()) {
		}
	}
}

func (t *tape) uint16() uint16 { return uint16(t.next())<<8 | uint16(t.next()) }

func randomTape(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b
}

// pick chooses an identifier: mostly one in use, at times any other.
func (m *senderModel) pick(t *tape) mqtt.PacketID {
	c := t.next()
	if c >= 240 || len(m.entries) == 0 {
		return mqtt.PacketID(t.uint16())
	}
	return m.entries[int(c)%len(m.entries)].id
}

type senderPair struct {
	t     *testing.T
	s     Sender[uint32]
	m     senderModel
	value uint32
}

func (p *senderPair) step(op byte, tp *tape) {
	p.t.Helper()
	switch op % 16 {
	case 0, 1, 2, 3:
		p.publish(mqtt.QoS1)
	case 4, 5, 6:
		p.publish(mqtt.QoS2)
	case 7:
		p.reserve(SubscribeSent + State(tp.next()%2))
	case 8, 9:
		p.end("Puback", PublishQoS1, p.m.pick(tp))
	case 10:
		p.pubrec(p.m.pick(tp), mqtt.ReasonCode(tp.next()))
	case 11:
		p.pubrec(p.m.pick(tp), 0)
	case 12:
		p.end("Pubcomp", PubrelSent, p.m.pick(tp))
	case 13:
		p.end("Release", SubscribeSent+State(tp.next()%2), p.m.pick(tp))
	case 14:
		p.resend()
	case 15:
		p.rare(tp)
	}
	p.check()
}

func (p *senderPair) rare(tp *tape) {
	switch c := tp.next(); {
	case c < 60:
		maximum := uint16(tp.next() % 40)
		p.s.Reset(maximum)
		p.m.reset(maximum)
	case c < 80:
		p.s.DropReserved()
		p.m.entries = slices.DeleteFunc(p.m.entries, func(e modelEntry) bool { return e.state.reserved() })
	case c < 90: // a restored entry is sent only after the next Reset
		id := p.m.pick(tp)
		p.value++
		want := id != 0 && p.m.find(id) < 0
		if got := p.s.Restore(id, PublishQoS2, p.value); got != want {
			p.t.Fatalf("Restore(%d): %v", id, got)
		}
		if want {
			p.m.entries = append(p.m.entries, modelEntry{id: id, state: PublishQoS2, value: p.value})
		}
		p.s.Reset(20)
		p.m.reset(20)
	case c < 95: // the order's numbers run out
		p.s.seq = max(p.s.seq, 1<<32-3)
	default:
		for range 200 {
			p.resend()
		}
	}
}

func (p *senderPair) started(state State, id mqtt.PacketID, ok, want, counted bool) {
	p.t.Helper()
	if ok != want {
		p.t.Fatalf("%v given an identifier: %v, want %v", state, ok, want)
	}
	if !ok {
		return
	}
	if id == 0 || p.m.find(id) >= 0 {
		p.t.Fatalf("identifier %d given out while in use", id)
	}
	p.m.entries = append(p.m.entries, modelEntry{id: id, state: state, value: p.value, sent: true, counted: counted})
}

func (p *senderPair) publish(qos mqtt.QoS) {
	p.t.Helper()
	p.value++
	want := p.m.quota() > 0
	id, ok := p.s.Publish(qos, p.value)
	p.started(State(qos), id, ok, want, true)
}

func (p *senderPair) reserve(state State) {
	p.t.Helper()
	p.value++
	want := len(p.m.entries) < maxIDs
	id, ok := p.s.Reserve(state, p.value)
	p.started(state, id, ok, want, false)
}

func (p *senderPair) end(call string, state State, id mqtt.PacketID) {
	p.t.Helper()
	want, wantOK := p.m.end(state, id)
	var got uint32
	var ok bool
	switch call {
	case "Puback":
		got, ok = p.s.Puback(id)
	case "Pubcomp":
		got, ok = p.s.Pubcomp(id)
	default:
		got, ok = p.s.Release(state, id)
	}
	if got != want || ok != wantOK {
		p.t.Fatalf("%s(%d): %d %v, want %d %v", call, id, got, ok, want, wantOK)
	}
}

func (p *senderPair) pubrec(id mqtt.PacketID, code mqtt.ReasonCode) {
	p.t.Helper()
	want, wantRelease, wantOK := p.m.pubrec(id, code)
	if got, release, ok := p.s.Pubrec(id, code); got != want || release != wantRelease || ok != wantOK {
		p.t.Fatalf("Pubrec(%d, %#x): %d %v %v, want %d %v %v", id, code, got, release, ok, want, wantRelease, wantOK)
	}
}

func (p *senderPair) resend() {
	p.t.Helper()
	want, wantOK := p.m.resend()
	if id, e, ok := p.s.Resend(); id != want.id || e.Value != want.value || e.State != want.state || ok != wantOK {
		p.t.Fatalf("Resend: %d %v %v, want %v %v", id, e, ok, want, wantOK)
	}
}

func (p *senderPair) check() {
	p.t.Helper()
	if got := p.s.Pending(); got != p.m.pending() {
		p.t.Fatalf("Pending: %v", got)
	}
	quota := p.s.Quota()
	if quota != p.m.quota() {
		p.t.Fatalf("Quota %d, want %d", quota, p.m.quota())
	}
	if quota < 0 || quota > p.m.max {
		p.t.Fatalf("Quota %d of %d", quota, p.m.max)
	}
	if p.s.Len() != len(p.m.entries) {
		p.t.Fatalf("Len %d, want %d", p.s.Len(), len(p.m.entries))
	}
	if p.s.Len() == 0 && p.s.ids.table != nil {
		p.t.Fatal("memory held while nothing is in flight")
	}
	i := 0
	for id, e := range p.s.All() {
		if want := p.m.entries[i]; id != want.id || e.State != want.state || e.Value != want.value {
			p.t.Fatalf("All at %d: %d %v, want %v", i, id, e, want)
		}
		i++
	}
	if i != len(p.m.entries) {
		p.t.Fatalf("All yielded %d of %d", i, len(p.m.entries))
	}
}

// runSender runs two Senders after each other on one pool: the second has the
// memory of the first.
func runSender(t *testing.T, data []byte) {
	var pool Pool[uint32]
	half := len(data) / 2
	runSenderOn(t, &pool, data[:half])
	runSenderOn(t, &pool, data[half:])
}

func runSenderOn(t *testing.T, pool *Pool[uint32], data []byte) {
	p := senderPair{t: t, m: senderModel{max: maxIDs}}
	if len(data)%2 == 0 {
		p.s.UsePool(pool)
	}
	tp := &tape{data}
	for op := range tp.steps() {
		p.step(op, tp)
	}
	for len(p.m.entries) > 0 {
		e := p.m.entries[len(p.m.entries)/2]
		if e.state == PublishQoS2 {
			p.pubrec(e.id, 0)
			e.state = PubrelSent
		}
		switch e.state {
		case PublishQoS1:
			p.end("Puback", e.state, e.id)
		case PubrelSent:
			p.end("Pubcomp", e.state, e.id)
		default:
			p.end("Release", e.state, e.id)
		}
		p.check()
	}
}

func FuzzSender(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(randomTape(seed, 200))
	}
	f.Fuzz(func(t *testing.T, data []byte) { runSender(t, data[:min(len(data), 1000)]) })
}

func TestSenderAgainstModel(t *testing.T) {
	for seed := range uint64(50) {
		runSender(t, randomTape(seed+1000, 3000))
	}
}

type receiverModel struct {
	known                      map[mqtt.PacketID]bool // counted in this connection
	max, used, released, spare int
}

func (m *receiverModel) give() bool {
	if m.used > 0 {
		m.used--
		return true
	}
	return false
}

func (m *receiverModel) publish(id mqtt.PacketID, qos mqtt.QoS) (duplicate, ok bool) {
	counted, known := m.known[id]
	if qos == mqtt.QoS0 || qos == mqtt.QoS2 && counted {
		return qos == mqtt.QoS2, true
	}
	if m.used == m.max {
		return false, false
	}
	m.used++
	if qos == mqtt.QoS2 {
		m.known[id] = true
		return known, true
	}
	return false, true
}

func runReceiver(t *testing.T, data []byte) {
	var r Receiver
	m := receiverModel{known: map[mqtt.PacketID]bool{}, max: maxIDs}
	tp := &tape{data}
	pick := func() mqtt.PacketID { // few, near each other, or anywhere
		switch c := tp.next(); {
		case c < 100:
			return mqtt.PacketID(c%12 + 1)
		case c < 220:
			return mqtt.PacketID(c) + 950 // on both sides of a page's end
		default:
			return max(1, mqtt.PacketID(tp.uint16()))
		}
	}
	for op := range tp.steps() {
		switch op % 16 {
		default:
			id, qos := pick(), mqtt.QoS(min(op%16, 2))
			duplicate, err := r.Publish(id, qos)
			wantDuplicate, ok := m.publish(id, qos)
			if duplicate != wantDuplicate || (err == nil) != ok {
				t.Fatalf("Publish(%d, %d): %v %v, want %v %v", id, qos, duplicate, err, wantDuplicate, ok)
			}
		case 9:
			r.Puback()
			m.give()
		case 10:
			id := pick()
			r.Pubrec(id, mqtt.ReasonCode(tp.next()|0x80))
			if m.known[id] {
				m.give()
			}
			delete(m.known, id)
		case 11:
			r.Pubrec(pick(), mqtt.ReasonCode(tp.next()&0x7f))
		case 12, 13:
			id := pick()
			counted, known := m.known[id]
			if got := r.Pubrel(id); got != known {
				t.Fatalf("Pubrel(%d): %v", id, got)
			}
			if delete(m.known, id); counted {
				m.released++
			}
		case 14:
			r.Pubcomp()
			if m.released > 0 {
				m.released--
				m.give()
			} else if m.spare > 0 && m.give() {
				m.spare--
			}
		case 15:
			if tp.next() < 128 {
				continue
			}
			maximum := uint16(tp.next())
			r.Reset(maximum)
			if m.max = int(maximum); maximum == 0 {
				m.max = maxIDs
			}
			m.used, m.released, m.spare = 0, 0, m.max
			for id := range m.known {
				m.known[id] = false
			}
		}
		checkReceiver(t, &r, &m)
	}
	for id := range m.known {
		if !r.Pubrel(id) {
			t.Fatalf("Pubrel(%d): unknown", id)
		}
		delete(m.known, id)
		checkReceiver(t, &r, &m)
	}
}

func checkReceiver(t *testing.T, r *Receiver, m *receiverModel) {
	t.Helper()
	if q := r.Quota(); q != m.max-m.used || q < 0 {
		t.Fatalf("Quota %d, want %d", q, m.max-m.used)
	}
	if r.Len() != len(m.known) {
		t.Fatalf("Len %d, want %d", r.Len(), len(m.known))
	}
	n := 0
	for id := range r.IDs() {
		if _, ok := m.known[id]; !ok {
			t.Fatalf("IDs yields %d", id)
		}
		n++
	}
	if n != len(m.known) {
		t.Fatalf("IDs yields %d of %d", n, len(m.known))
	}
	if r.Len() == 0 && (r.ids.pages != nil || r.earlier != nil) {
		t.Fatal("memory held while no message waits")
	}
}

func FuzzReceiver(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(randomTape(seed, 200))
	}
	f.Fuzz(func(t *testing.T, data []byte) { runReceiver(t, data[:min(len(data), 1000)]) })
}

func TestReceiverAgainstModel(t *testing.T) {
	for seed := range uint64(50) {
		runReceiver(t, randomTape(seed+2000, 6000))
	}
}
