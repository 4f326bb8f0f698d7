package bench

import (
	"encoding/binary"
	"hash/crc32"
	"time"
)

// kind is the phase that a message was sent in.
type kind byte

const (
	probe kind = iota
	warmUp
	measured
)

// stamp is what a payload begins with: who sent it, its number and when it was
// due. Times are since the run's clock began, so that one clock is enough.
type stamp struct {
	kind      kind
	run       uint32
	publisher uint32
	seq       uint64 // from 0, of one publisher and kind
	intended  time.Duration
	wait      time.Duration // from intended until it was written
	narrow    bool          // compact form: run and seq are cut off, wait is not known
}

// A stamp is 34 bytes with a checksum of the whole payload, or 16 bytes without
// where the payload is shorter: mark and kind, (checksum,) run, publisher, seq,
// intended, (wait).
const (
	stampSize   = 34
	markFull    = 0xB4
	markCompact = 0xB8
	kindMask    = 3
	tick        = 16 * time.Nanosecond // of compact times: 48 bits last 52 days
)

// checksum is that of all of p but the checksum itself, in one pass: it begins
// with the two bytes before the checksum. It uses the polynomial that processors
// have an instruction for; the table is made once, by crc32.
func checksum(p []byte) uint32 {
	return crc32.Update(uint32(p[0])|uint32(p[1])<<8, crc32.MakeTable(crc32.Castagnoli), p[6:])
}

// put writes s to the beginning of p, which has MinSize bytes at least and does
// not change any more.
func (s *stamp) put(p []byte) {
	le := binary.LittleEndian
	if len(p) < stampSize {
		p[0] = markCompact | byte(s.kind)
		le.PutUint16(p[1:], uint16(s.run))
		le.PutUint32(p[3:], s.publisher) // 24 bits; the next line overwrites the rest
		le.PutUint32(p[6:], uint32(s.seq))
		t := uint64(s.intended / tick)
		le.PutUint32(p[10:], uint32(t))
		le.PutUint16(p[14:], uint16(t>>32))
		return
	}
	p[0] = markFull | byte(s.kind)
	p[1] = 0
	le.PutUint32(p[6:], s.run)
	le.PutUint32(p[10:], s.publisher)
	le.PutUint64(p[14:], s.seq)
	le.PutUint64(p[22:], uint64(s.intended))
	le.PutUint32(p[30:], uint32(min(s.wait/time.Microsecond, 1<<32-1)))
	le.PutUint32(p[2:], checksum(p))
}

// mark is what the beginning of a payload turned out to be.
type mark byte

const (
	ours    mark = iota
	foreign      // not one of this run's messages
	corrupt      // one of ours, but changed
)

// read is the reverse of put. run is the one expected.
func (s *stamp) read(p []byte, run uint32) mark {
	le := binary.LittleEndian
	if len(p) < MinSize {
		return foreign
	}
	s.kind = kind(p[0] & kindMask)
	// Of a message of ours that was changed one of the two is left.
	marked := p[0]&^kindMask == markFull && s.kind <= measured && p[1] == 0
	mine := le.Uint32(p[6:]) == run
	switch {
	case len(p) < stampSize && !(marked && mine):
		return s.readCompact(p, run)
	case !marked && !mine:
		return foreign
	case len(p) < stampSize || checksum(p) != le.Uint32(p[2:]):
		return corrupt
	case !marked || !mine:
		return foreign // of another run
	}
	s.publisher, s.seq = le.Uint32(p[10:]), le.Uint64(p[14:])
	s.intended = time.Duration(le.Uint64(p[22:]))
	s.wait = time.Duration(le.Uint32(p[30:])) * time.Microsecond
	return ours
}

func (s *stamp) readCompact(p []byte, run uint32) mark {
	le := binary.LittleEndian
	if p[0]&^kindMask != markCompact || s.kind > measured || le.Uint16(p[1:]) != uint16(run) {
		return foreign
	}
	s.publisher = uint32(p[3]) | uint32(p[4])<<8 | uint32(p[5])<<16
	s.seq = uint64(le.Uint32(p[6:]))
	s.intended = time.Duration(uint64(le.Uint32(p[10:]))|uint64(le.Uint16(p[14:]))<<32) * tick
	s.narrow = true
	return ours
}

// widen restores a number of which 32 bits came, next to one that is known.
func widen(low uint32, near uint64) uint64 {
	d := int64(int32(low - uint32(near)))
	if d < 0 && uint64(-d) > near {
		return uint64(low)
	}
	return near + uint64(d)
}
