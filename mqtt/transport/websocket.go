package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gobwas/ws"
)

const (
	wsReserve  = ws.MaxHeaderSize // left free in front of an out-buffer
	wsReplies  = 4 << 10          // pongs that wait at most; a peer need only answer the last ping (RFC 6455, 5.5.3)
	wsUseless  = 1000             // frames a second that bring no bytes of MQTT: control frames and empty ones
	wsProtocol = "mqtt"           // the Subprotocol [MQTT-6.0.0-3]
	wsOld      = "mqttv3.1"       // its name in the days of MQTT 3.1
)

// ErrWebSocket is wrapped by what Closed reports after a violation of RFC 6455 or of chapter 6.
var ErrWebSocket = errors.New("transport: websocket")

// webSocket turns frames into bytes and back, however both are cut [MQTT-6.0.0-2].
type webSocket struct {
	client bool // we mask what we send

	// Reading.
	state   ws.State
	src     bytes.Reader
	hdr     [ws.MaxHeaderSize]byte
	scratch [ws.MaxHeaderSize]byte
	have    int       // bytes of a header in hdr
	h       ws.Header // the frame that is being read
	left    int64     // of its payload
	pos     int       // in its payload, for the mask
	ctl     []byte    // payload of a control frame
	useless int32     // frames without bytes of MQTT, in the second that began at
	second  uint32    // this Unix time
	say     []byte    // replies that decode made
	saying  header

	// Writing; guarded by the Conn's mu, or by the link's.
	writing   header
	reply     []byte
	closeSent bool
}

func newWebSocket(side ws.State) *webSocket {
	return &webSocket{state: side, client: side.ClientSide()}
}

// decode replaces the frames in p by their payload and returns its length. io.EOF means that the peer sent Close.
func (w *webSocket) decode(p []byte) (n int, err error) {
	for r := 0; r < len(p); {
		if w.left == 0 {
			used, whole, err := w.header(p[r:])
			if r += used; err != nil || !whole {
				return n, err
			}
			if w.left > 0 {
				continue
			}
		} else {
			body := p[r : r+int(min(w.left, int64(len(p)-r)))]
			r += len(body)
			if w.h.Masked {
				ws.Cipher(body, w.h.Mask, w.pos)
			}
			w.pos = (w.pos + len(body)) & 3
			w.left -= int64(len(body))
			if w.h.OpCode.IsControl() {
				w.ctl = append(w.ctl, body...)
			} else {
				n += copy(p[n:], body)
			}
			if w.left > 0 {
				continue
			}
		}
		if err := w.frameDone(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// header collects a frame header from p.
func (w *webSocket) header(p []byte) (used int, whole bool, err error) {
	need := ws.MinHeaderSize
	if w.have >= need {
		need = wsHeaderSize(w.hdr[1])
	}
	for w.have < need {
		n := copy(w.hdr[w.have:need], p[used:])
		used += n
		if w.have += n; w.have < need {
			return used, false, nil
		}
		need = wsHeaderSize(w.hdr[1])
	}
	w.src.Reset(w.hdr[:w.have])
	w.have = 0
	h, err := ws.ReadHeaderBuffer(&w.src, w.scratch[:])
	if err == nil {
		err = ws.CheckHeader(h, w.state)
	}
	if err != nil {
		return used, false, w.refuse(ws.StatusProtocolError, err.Error())
	}
	if h.OpCode == ws.OpText {
		return used, false, w.refuse(ws.StatusUnsupportedData, "a data frame that is not binary [MQTT-6.0.0-1]")
	}
	w.h, w.left, w.pos = h, h.Length, 0
	return used, true, nil
}

// wsHeaderSize is the size of a header whose second byte is b.
func wsHeaderSize(b byte) int {
	n := ws.MinHeaderSize
	switch b & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if b&0x80 != 0 {
		n += 4
	}
	return n
}

// bounded counts a frame that brings no bytes of MQTT: no other limit sees those, and each costs its sender next to
// nothing.
func (w *webSocket) bounded() error {
	if now := uint32(time.Now().Unix()); now != w.second {
		w.second, w.useless = now, 0
	}
	if w.useless++; w.useless > wsUseless {
		return w.refuse(ws.StatusPolicyViolation, "too many control frames and empty frames")
	}
	return nil
}

// frameDone acts on the frame that is complete.
func (w *webSocket) frameDone() error {
	if w.h.OpCode.IsControl() || w.h.Length == 0 {
		if err := w.bounded(); err != nil {
			return err
		}
	}
	switch w.h.OpCode {
	case ws.OpPing:
		if len(w.say) < wsReplies {
			w.say = w.appendFrame(&w.saying, w.say, ws.OpPong, w.ctl)
		}
	case ws.OpClose:
		return w.peerClosed()
	case ws.OpPong:
	default:
		if w.h.Fin {
			w.state = w.state.Clear(ws.StateFragmented)
		} else {
			w.state = w.state.Set(ws.StateFragmented)
		}
	}
	if w.h.OpCode.IsControl() {
		w.ctl = nil
	}
	return nil
}

// peerClosed answers a Close frame with its own status code.
func (w *webSocket) peerClosed() error {
	if len(w.ctl) == 0 {
		w.say = w.appendFrame(&w.saying, w.say, ws.OpClose, nil)
		return io.EOF
	}
	code, reason := ws.ParseCloseFrameData(w.ctl)
	if err := ws.CheckCloseFrameData(code, reason); len(w.ctl) < 2 || (err != nil && !code.In(ws.StatusRangeApplication) && !code.In(ws.StatusRangePrivate)) {
		return w.refuse(ws.StatusProtocolError, "a Close frame with an invalid payload")
	}
	w.say = w.appendFrame(&w.saying, w.say, ws.OpClose, w.ctl[:2])
	return io.EOF
}

// refuse queues a Close frame and returns the error that ends the connection.
func (w *webSocket) refuse(code ws.StatusCode, text string) error {
	w.say = w.appendFrame(&w.saying, w.say, ws.OpClose, ws.NewCloseFrameBody(code, ""))
	return fmt.Errorf("%w: %s", ErrWebSocket, text)
}

// appendFrame appends a whole frame with a copy of payload.
func (w *webSocket) appendFrame(hd *header, dst []byte, op ws.OpCode, payload []byte) []byte {
	var room [ws.MaxHeaderSize]byte
	n, mask := w.putHeader(hd, room[:], op, len(payload))
	dst = append(dst, room[ws.MaxHeaderSize-n:]...)
	start := len(dst)
	dst = append(dst, payload...)
	if w.client {
		ws.Cipher(dst[start:], mask, 0)
	}
	return dst
}

// seal makes what o holds one binary frame. The header goes into the room in front of it; what a client sends is masked.
func (w *webSocket) seal(o *outbuf) {
	size := o.left
	n, mask := w.putHeader(&w.writing, o.b[:wsReserve], ws.OpBinary, size)
	if w.client {
		ws.Cipher(o.b[wsReserve:], mask, 0)
	}
	o.pos -= n
	o.left += n
}

// putHeader writes the header of a final frame so that it ends where room ends.
func (w *webSocket) putHeader(hd *header, room []byte, op ws.OpCode, size int) (n int, mask [4]byte) {
	h := ws.Header{Fin: true, OpCode: op, Length: int64(size)}
	if w.client {
		mask = ws.NewMask()
		h.Masked, h.Mask = true, mask
	}
	n = ws.HeaderSize(h)
	hd.dst = room[len(room)-n:]
	// Neither the header nor the writer can fail: the size is not negative, the room is the library's maximum.
	_ = ws.WriteHeaderBuffer(hd, h, hd.scratch[:])
	return n, mask
}

// header is the scratch space of putHeader: an io.Writer into given room, and what the library needs.
type header struct {
	dst     []byte
	scratch [ws.MaxHeaderSize]byte
}

func (h *header) Write(p []byte) (int, error) {
	n := copy(h.dst, p)
	h.dst = h.dst[n:]
	return n, nil
}
