package transport

import "sync"

const (
	outFirst  = 512       // capacity of an out-buffer that holds a message or two
	outMore   = 4 << 10   // and of one that has to take more
	outKeep   = 256 << 10 // larger buffers are left to the garbage collector
	shareFrom = 4 << 10   // bodies from this size are referenced, smaller ones copied
)

// segment is a shared body that follows the first at own bytes of its outbuf.
type segment struct {
	at   int
	body []byte
}

// outbuf holds bytes to be sent: own bytes in b, with shared bodies between them. It is pooled and is only attached to
// a connection while there is something to send.
type outbuf struct {
	b    []byte
	segs []segment
	left int // bytes not yet sent, own and shared
	pos  int // own bytes sent
	seg  int // segments sent
	spos int // bytes sent of segs[seg]
}

// Shared by all connections; a pool holds no state. A message to very many connections has each of them hold a buffer at
// the same time, so it is a small one until more comes.
var (
	smallOutbufs = sync.Pool{New: func() any { return &outbuf{b: make([]byte, 0, outFirst)} }}
	outbufs      = sync.Pool{New: func() any { return &outbuf{b: make([]byte, 0, outMore)} }}
)

// newOutbuf returns an empty buffer whose first reserve bytes are left for a WebSocket frame header.
func newOutbuf(reserve int) *outbuf {
	o := smallOutbufs.Get().(*outbuf)
	o.reserve(reserve)
	return o
}

// reserve leaves the first n bytes of an empty buffer for a WebSocket frame header.
func (o *outbuf) reserve(n int) {
	o.b = o.b[:n]
	o.pos = n
}

// reset empties o.
func (o *outbuf) reset() {
	clear(o.segs)
	o.segs = o.segs[:0]
	o.left, o.pos, o.seg, o.spos = 0, 0, 0, 0
	o.b = o.b[:0]
}

func (o *outbuf) release() {
	o.reset()
	switch size := cap(o.b); {
	case size > outKeep:
	case size > outFirst:
		outbufs.Put(o)
	default:
		smallOutbufs.Put(o)
	}
}

func (o *outbuf) append(p []byte) {
	if len(o.b)+len(p) > cap(o.b) && cap(o.b) <= outFirst {
		o.enlarge()
	}
	o.b = append(o.b, p...)
	o.left += len(p)
}

// enlarge exchanges the small buffer for one that others have used before.
func (o *outbuf) enlarge() {
	other := outbufs.Get().(*outbuf)
	small := o.b
	o.b, other.b = append(other.b, small...), small[:0]
	smallOutbufs.Put(other)
}

func (o *outbuf) share(body []byte) {
	o.segs = append(o.segs, segment{at: len(o.b), body: body})
	o.left += len(body)
}

// piece returns the next contiguous bytes to send; empty when all are sent.
func (o *outbuf) piece() []byte {
	if o.seg == len(o.segs) {
		return o.b[o.pos:]
	}
	s := o.segs[o.seg]
	if o.pos < s.at {
		return o.b[o.pos:s.at]
	}
	return s.body[o.spos:]
}

// pieces appends up to limit of the pieces still to be sent to dst.
func (o *outbuf) pieces(dst [][]byte, limit int) [][]byte {
	pos, spos := o.pos, o.spos
	for i := o.seg; i < len(o.segs) && len(dst) < limit; i++ {
		s := o.segs[i]
		if pos < s.at {
			dst = append(dst, o.b[pos:s.at])
			pos = s.at
		}
		if len(dst) < limit {
			dst = append(dst, s.body[spos:])
			spos = 0
		}
	}
	if pos < len(o.b) && len(dst) < limit {
		dst = append(dst, o.b[pos:])
	}
	return dst
}

// advance notes that n bytes were sent.
func (o *outbuf) advance(n int) {
	o.left -= n
	for n > 0 {
		if o.seg == len(o.segs) {
			o.pos += n
			return
		}
		s := o.segs[o.seg]
		own := min(n, s.at-o.pos)
		o.pos += own
		n -= own
		body := min(n, len(s.body)-o.spos)
		o.spos += body
		n -= body
		if o.pos == s.at && o.spos == len(s.body) {
			o.segs[o.seg].body = nil
			o.seg++
			o.spos = 0
		}
	}
}
