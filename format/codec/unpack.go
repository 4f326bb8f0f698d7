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

type zlibCodec struct{}

func (zlibCodec) Decode(_ string, payload []byte) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	return readBounded(r)
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

type zstdCodec struct{ decoder *zstd.Decoder }

func newZstd(string, ReadFile) (Codec, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(MaxOutput), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	return zstdCodec{d}, err
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
