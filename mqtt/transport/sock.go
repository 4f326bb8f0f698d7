package transport

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
)

// sock is how a Conn reaches its socket: a descriptor, any net.Conn, or the script of a test. Deadlines and closing go
// to the net.Conn itself.
type sock interface {
	// park calls turn whenever there may be something to read, beginning at once on a descriptor, until turn returns
	// true (nil), the read deadline passes (os.ErrDeadlineExceeded) or the socket fails. Only turn may call read.
	park(turn func() bool) error
	// read never blocks: errWouldBlock when the socket is empty, io.EOF at its end.
	read(p []byte) (int, error)
	// write sends from o what can be sent without blocking.
	write(o *outbuf) (int, error)
	// writeWait blocks until something was sent or the write deadline passed.
	writeWait(o *outbuf) (int, error)
	// unread reports whether read would return something else than errWouldBlock; false: it is not known. Anybody may
	// call it, with the Conn's mu held.
	unread() bool
}

// errWouldBlock is temporary in the sense of net.Error, so that crypto/tls can be called again after it.
var errWouldBlock error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "transport: would block" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

// netSmall is what a reader of a plain net.Conn holds while it waits.
const netSmall = 4 << 10

// maxWrite bounds one write, so that progress is seen and a processor is not held for long.
const maxWrite = 128 << 10

type chunk [readChunk]byte

// Shared by all connections; a pool holds no state.
var chunks = sync.Pool{New: func() any { return new(chunk) }}

// netSock is the sock over anything that is only a net.Conn. Its reader blocks in Read, its writes are made by a
// goroutine that lives while there is something to send.
type netSock struct {
	nc    net.Conn
	small []byte
	got   []byte // read and not yet taken
	err   error  // comes after got
}

func (s *netSock) park(turn func() bool) error {
	if s.small == nil {
		s.small = make([]byte, netSmall)
	}
	if turn() { // what is left from before, here or in TLS
		return nil
	}
	full := false
	for {
		var t *chunk
		if len(s.got) == 0 && s.err == nil {
			buf := s.small
			if full {
				t = chunks.Get().(*chunk)
				buf = t[:]
			}
			n, err := s.nc.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				if n == 0 {
					return err
				}
				err = nil // it comes again
			}
			full = n == len(buf)
			s.got, s.err = buf[:n], err
		}
		leave := turn()
		if t != nil {
			s.got = bytes.Clone(s.got)
			chunks.Put(t)
		}
		if leave {
			return nil
		}
	}
}

func (s *netSock) read(p []byte) (int, error) {
	if len(s.got) > 0 {
		n := copy(p, s.got)
		s.got = s.got[n:]
		return n, nil
	}
	if s.err != nil {
		return 0, s.err
	}
	return 0, errWouldBlock
}

func (s *netSock) unread() bool { return false }

func (s *netSock) write(*outbuf) (int, error) { return 0, errWouldBlock }

func (s *netSock) writeWait(o *outbuf) (int, error) {
	p := o.piece()
	return s.nc.Write(p[:min(len(p), maxWrite)])
}

// halfClose closes nc for writing where that can be done without blocking.
func halfClose(nc net.Conn) error {
	h, ok := nc.(interface{ CloseWrite() error })
	if _, isTLS := nc.(*tls.Conn); !ok || isTLS {
		return errors.ErrUnsupported
	}
	return h.CloseWrite()
}
