package broker

import "hash/maphash"

// sessionTable is the sessions by Client Identifier, in hash tables that are
// probed linearly and hold nothing but pointers: a map takes almost three times as
// much for each, and gives the garbage collector twice as much to follow. There
// are many small ones, so that none takes long to grow. Guarded by Broker.mu.
type sessionTable struct {
	seed  maphash.Seed // unpredictable for clients, who choose the identifiers
	parts [sessionParts]sessionPart
	n     int
}

// sessionParts is how many tables there are. A million sessions are some 4,000 in
// each.
const sessionParts = 256

type sessionPart struct {
	slots []*session // a power of two of them, a quarter of which is free; or none
	n     int
}

func newSessionTable() sessionTable { return sessionTable{seed: maphash.MakeSeed()} }

func (st *sessionTable) len() int { return st.n }

// home is the table of a Client Identifier, and where to look first in it.
func (st *sessionTable) home(clientID string) (*sessionPart, uint64) {
	h := maphash.String(st.seed, clientID)
	return &st.parts[h%sessionParts], h / sessionParts
}

// get returns the session of a Client Identifier, nil if there is none.
func (st *sessionTable) get(clientID string) *session {
	p, h := st.home(clientID)
	if p.n == 0 {
		return nil
	}
	return p.slots[p.find(h, clientID)]
}

// put adds s, or puts it in the place of the one with its Client Identifier.
func (st *sessionTable) put(s *session) {
	p, h := st.home(s.clientID)
	if 4*(p.n+1) > 3*len(p.slots) {
		st.resize(p, max(4, 2*len(p.slots)))
	}
	i := p.find(h, s.clientID)
	if p.slots[i] == nil {
		p.n++
		st.n++
	}
	p.slots[i] = s
}

// delete takes out s, which is there.
func (st *sessionTable) delete(s *session) {
	p, h := st.home(s.clientID)
	i := p.find(h, s.clientID)
	p.n--
	st.n--
	switch {
	case p.n == 0:
		p.slots = nil
		return
	case 8*p.n < len(p.slots):
		p.slots[i] = nil
		st.resize(p, len(p.slots)/4)
		return
	}
	// Who could not have a place before this one moves up, or would not be found.
	mask := uint64(len(p.slots) - 1)
	for j := i; ; {
		p.slots[i] = nil
		for {
			j = (j + 1) & mask
			x := p.slots[j]
			if x == nil {
				return
			}
			if _, h := st.home(x.clientID); (j-h)&mask >= (j-i)&mask {
				p.slots[i] = x
				i = j
				break
			}
		}
	}
}

// find returns the slot of a Client Identifier, or the free one where it belongs.
func (p *sessionPart) find(h uint64, clientID string) uint64 {
	mask := uint64(len(p.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		if s := p.slots[i]; s == nil || s.clientID == clientID {
			return i
		}
	}
}

func (st *sessionTable) resize(p *sessionPart, size int) {
	old := *p
	p.slots = make([]*session, size)
	for s := range old.all {
		_, h := st.home(s.clientID)
		p.slots[p.find(h, s.clientID)] = s
	}
}

// all yields the sessions in no order. The table may not be changed meanwhile.
func (st *sessionTable) all(yield func(*session) bool) {
	for i := range st.parts {
		for s := range st.parts[i].all {
			if !yield(s) {
				return
			}
		}
	}
}

func (p *sessionPart) all(yield func(*session) bool) {
	for _, s := range p.slots {
		if s != nil && !yield(s) {
			return
		}
	}
}
