package flow

import (
	"math/bits"

	"mqt/mqtt"
)

const (
	pageBits  = 1024
	pageWords = pageBits / 64
)

// idSet is a set of Packet Identifiers that the peer chooses. A few stand in
// the set itself; more are bits on pages of 1,024, so that no choice of theirs
// makes a look-up slow or the set larger than 10 KB. It holds no page when it
// is empty.
type idSet struct {
	pages *pages
	few   [7]mqtt.PacketID // the first n, while pages is nil
	n     uint16
}

type pages struct {
	page  [1 << 16 / pageBits]*page
	spare *page // kept, as identifiers that count up leave one page for the next
}

type page struct {
	n    uint16
	bits [pageWords]uint64
}

func (s *idSet) has(id mqtt.PacketID) bool {
	if s.pages != nil {
		return s.pages.has(id)
	}
	return s.indexFew(id) >= 0
}

func (s *idSet) indexFew(id mqtt.PacketID) int {
	for i := range int(s.n) {
		if s.few[i] == id {
			return i
		}
	}
	return -1
}

func (s *idSet) add(id mqtt.PacketID) {
	if s.has(id) {
		return
	}
	if s.pages == nil && int(s.n) < len(s.few) {
		s.few[s.n] = id
		s.n++
		return
	}
	if s.pages == nil {
		s.pages = new(pages)
		for _, few := range s.few {
			s.pages.add(few)
		}
	}
	s.pages.add(id)
	s.n++
}

func (s *idSet) remove(id mqtt.PacketID) bool {
	if s.pages == nil {
		i := s.indexFew(id)
		if i < 0 {
			return false
		}
		s.n--
		s.few[i] = s.few[s.n]
		return true
	}
	if !s.pages.has(id) {
		return false
	}
	s.pages.remove(id)
	if s.n--; s.n == 0 {
		s.pages = nil
	}
	return true
}

func (s *idSet) all(yield func(mqtt.PacketID) bool) {
	if s.pages != nil {
		s.pages.all(yield)
		return
	}
	for _, id := range s.few[:s.n] {
		if !yield(id) {
			return
		}
	}
}

func split(id mqtt.PacketID) (pg, word int, bit uint64) {
	return int(id) / pageBits, int(id) % pageBits / 64, 1 << (id % 64)
}

func (p *pages) has(id mqtt.PacketID) bool {
	i, word, bit := split(id)
	return p.page[i] != nil && p.page[i].bits[word]&bit != 0
}

func (p *pages) add(id mqtt.PacketID) {
	i, word, bit := split(id)
	if p.page[i] == nil {
		p.page[i], p.spare = p.spare, nil
		if p.page[i] == nil {
			p.page[i] = new(page)
		}
	}
	p.page[i].bits[word] |= bit
	p.page[i].n++
}

func (p *pages) remove(id mqtt.PacketID) {
	i, word, bit := split(id)
	p.page[i].bits[word] &^= bit
	if p.page[i].n--; p.page[i].n == 0 {
		p.page[i], p.spare = nil, p.page[i]
	}
}

func (p *pages) all(yield func(mqtt.PacketID) bool) {
	for i, pg := range p.page {
		if pg == nil {
			continue
		}
		for w, word := range pg.bits {
			for ; word != 0; word &= word - 1 {
				if !yield(mqtt.PacketID(i*pageBits + w*64 + bits.TrailingZeros64(word))) {
					return
				}
			}
		}
	}
}
