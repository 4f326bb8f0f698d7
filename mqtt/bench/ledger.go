package bench

import "math/bits"

// chunkBits is how many messages one chunk accounts for.
const chunkBits = 1024

// chunk is a piece of a bitmap.
type chunk struct {
	n   int // bits set
	set [chunkBits / 64]uint64
}

// add sets a bit and reports whether it was clear.
func (c *chunk) add(i uint64) bool {
	w, b := &c.set[i/64%uint64(len(c.set))], uint64(1)<<(i%64)
	if *w&b != 0 {
		return false
	}
	*w |= b
	c.n++
	return true
}

func (c *chunk) has(i uint64) bool {
	return c != nil && c.set[i/64%uint64(len(c.set))]&(1<<(i%64)) != 0
}

// marks is a set of message numbers, for the few that are unlike the others.
type marks struct {
	chunks []*chunk
	n      int64
}

func (m *marks) add(seq uint64) {
	for uint64(len(m.chunks)) <= seq/chunkBits {
		m.chunks = append(m.chunks, nil)
	}
	c := &m.chunks[seq/chunkBits]
	if *c == nil {
		*c = new(chunk)
	}
	if (*c).add(seq % chunkBits) {
		m.n++
	}
}

func (m *marks) has(seq uint64) bool {
	i := seq / chunkBits
	return i < uint64(len(m.chunks)) && m.chunks[i].has(seq%chunkBits)
}

// keepQoS0 is how many chunks with gaps a stream of QoS 0 keeps: what is older
// can only be counted.
const keepQoS0 = 64

// seen is what became of one message that arrived.
type seen byte

const (
	first     seen = iota
	late           // a first delivery behind a later message
	duplicate      // not the first delivery
	excused        // not the first, and nobody promised that there is one only
)

// stream is the account of what one subscriber got from one publisher. Its only
// writer is the goroutine that reads for the subscriber. A stream without gaps
// holds one chunk; gaps cost a bit for each message since.
type stream struct {
	base   uint64 // number of the first bit; all below were seen
	top    uint64 // one more than the highest seen
	chunks []*chunk
	forget bool // QoS 0: some below base were not seen

	probed bool
	gaps   uint32 // of the subscriber, that were taken into account
	// excuses are ranges of messages that need not have come, in ascending order:
	// the Session was gone.
	excuses    []span
	got        int64 // first deliveries
	duplicates int64
	dup        int64 // duplicates with the DUP flag
	disorder   int64
}

// maxExcuses bounds what one stream remembers of lost Sessions; then the last
// one widens.
const maxExcuses = 64

// span is messages from to below to.
type span struct{ from, to uint64 }

// excuse forgives what is missing since the last message, as far as to.
func (s *stream) excuse(to uint64) {
	if n := len(s.excuses); n >= maxExcuses {
		s.excuses[n-1].to = max(to, s.excuses[n-1].to)
		return
	}
	if to > s.top {
		s.excuses = append(s.excuses, span{s.top, to})
	}
}

// forgiven reports whether seq need not have come.
func (s *stream) forgiven(seq uint64) bool {
	for _, e := range s.excuses {
		if seq >= e.from && seq < e.to {
			return true
		}
	}
	return false
}

// see notes message seq. atMostOnce is QoS 0.
func (s *stream) see(seq uint64, dup, atMostOnce bool) seen {
	if seq < s.base && !s.forget {
		return s.again(dup)
	}
	if seq >= s.base && !s.add(seq) {
		return s.again(dup)
	}
	s.got++
	if atMostOnce && len(s.chunks) > keepQoS0 {
		s.forget = true
		s.advance()
	}
	if seq < s.top {
		s.disorder++
		return late
	}
	s.top = seq + 1
	return first
}

func (s *stream) again(dup bool) seen {
	s.duplicates++
	if dup {
		s.dup++
	}
	return duplicate
}

func (s *stream) add(seq uint64) bool {
	i := (seq - s.base) / chunkBits
	for uint64(len(s.chunks)) <= i {
		s.chunks = append(s.chunks, nil)
	}
	c := s.chunks[i]
	if c == nil {
		c = new(chunk)
		s.chunks[i] = c
	}
	if !c.add(seq % chunkBits) {
		return false
	}
	for len(s.chunks) > 0 && s.chunks[0] != nil && s.chunks[0].n == chunkBits {
		s.advance()
	}
	return true
}

// advance drops the first chunk.
func (s *stream) advance() {
	free := s.chunks[0]
	copy(s.chunks, s.chunks[1:])
	s.chunks[len(s.chunks)-1] = nil
	s.chunks = s.chunks[:len(s.chunks)-1]
	s.base += chunkBits
	if len(s.chunks) == 0 && free != nil { // the usual case: use it again
		*free = chunk{}
		s.chunks = append(s.chunks, free)
	}
}

// missing calls yield for each message below sent that was not seen, until it
// returns false.
func (s *stream) missing(sent uint64, yield func(seq uint64) bool) {
	for at := s.base; at < sent; at += 64 {
		var have uint64
		if i := (at - s.base) / chunkBits; i < uint64(len(s.chunks)) && s.chunks[i] != nil {
			have = s.chunks[i].set[at/64%(chunkBits/64)]
		}
		for gaps := ^have; gaps != 0; gaps &= gaps - 1 {
			seq := at + uint64(bits.TrailingZeros64(gaps))
			if seq >= sent || !yield(seq) {
				return
			}
		}
	}
}
