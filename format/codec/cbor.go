package codec

import (
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

type cborCodec struct{ mode cbor.DecMode }

func newCBOR(string, ReadFile) (Codec, error) {
	mode, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:  MaxDepth,
		MaxArrayElements: MaxTree,
		MaxMapPairs:      MaxTree,
		TimeTagToAny:     cbor.TimeTagToRFC3339Nano,
		// As a string, so that it can be the key of a map.
		DefaultByteStringType: reflect.TypeFor[cbor.ByteString](),
	}.DecMode()
	return cborCodec{mode}, err
}

// Decode prints maps by their keys in order.
func (c cborCodec) Decode(_ string, payload []byte) ([]byte, error) {
	if len(payload) > MaxTree {
		return nil, ErrTooLarge
	}
	var v any
	if err := c.mode.Unmarshal(payload, &v); err != nil {
		return nil, err
	}
	return appendValue(nil, v)
}
