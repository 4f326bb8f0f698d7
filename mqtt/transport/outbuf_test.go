package transport

import (
	"bytes"
	"testing"
)

// A message to very many connections costs each a small buffer, not the one
// that a burst needs, and what is appended to it stays whole when it has to
// grow.
func TestOutBuffersBeginSmall(t *testing.T) {
	o := newOutbuf(wsReserve)
	defer o.release()
	o.append(make([]byte, 60))
	if cap(o.b) > outFirst {
		t.Errorf("60 bytes take a buffer of %d", cap(o.b))
	}
	want := bytes.Clone(o.piece())
	for i := range 3 * outMore / 100 {
		p := bytes.Repeat([]byte{byte(i)}, 100)
		if i == 10 {
			o.share(p)
		} else {
			o.append(p)
		}
		want = append(want, p...)
	}
	if o.left != len(want) {
		t.Errorf("%d bytes are left of %d", o.left, len(want))
	}
	var got []byte
	for o.left > 0 {
		p := o.piece()
		p = p[:min(len(p), 333)]
		got = append(got, p...)
		o.advance(len(p))
	}
	if !bytes.Equal(got, want) {
		t.Error("something else comes out than was appended")
	}
}
