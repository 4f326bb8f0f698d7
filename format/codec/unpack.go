package codec

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

type gzipCodec struct{}

func (gzipCodec) Decode(_ string, payload []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	return readBounded(r)
}

// Encode packs without a time and a name, so that equal payloads stay equal.
func (gzipCodec) Encode(payload []byte) ([]byte, error) {
	var out bytes.Buffer
	return pack(&out, gzip.NewWriter(&out), payload)
}

func pack(out *bytes.Buffer, w io.WriteCloser, payload []byte) ([]byte, error) {
	_, err := w.Write(payload)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}

type zlibCodec struct{}

func (zlibCodec) Decode(_ string, payload []byte) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	return readBounded(r)
}

func (zlibCodec) Encode(payload []byte) ([]byte, error) {
	var out bytes.Buffer
	return pack(&out, zlib.NewWriter(&out), payload)
}

// readBounded keeps a small payload from becoming all of the memory.
func readBounded(r io.Reader) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(r, MaxOutput+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("cut short")
	case err == nil && len(out) > MaxOutput:
		return nil, ErrTooLarge
	}
	return out, err
}

type zstdCodec struct {
	decoder *zstd.Decoder
	encoder *zstd.Encoder // which takes its memory when it is used
}

func newZstd(string, ReadFile) (Codec, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(MaxOutput), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	// A frame also for an empty payload, which Decode takes for none.
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true))
	return zstdCodec{d, e}, err
}

func (c zstdCodec) Decode(_ string, payload []byte) ([]byte, error) {
	if len(payload) == 0 {
		return nil, io.EOF // the library takes it for a frame
	}
	out, err := c.decoder.DecodeAll(payload, nil)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return nil, ErrTooLarge
	}
	return out, err
}

func (c zstdCodec) Encode(payload []byte) ([]byte, error) {
	return c.encoder.EncodeAll(payload, nil), nil
}

type base64Codec struct{}

func (base64Codec) Decode(_ string, payload []byte) ([]byte, error) {
	text := bytes.TrimSpace(payload)
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if out, err := e.AppendDecode(nil, text); err == nil {
			return out, nil
		}
	}
	return nil, errors.New("other characters than those of base64")
}

func (base64Codec) Encode(payload []byte) ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, payload), nil
}
