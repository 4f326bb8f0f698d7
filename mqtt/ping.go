package mqtt

// Pingreq is PINGREQ, section 3.12.
type Pingreq struct{}

// Pingresp is PINGRESP, section 3.13.
type Pingresp struct{}

// Type returns TypePingreq.
func (*Pingreq) Type() Type { return TypePingreq }

// Type returns TypePingresp.
func (*Pingresp) Type() Type { return TypePingresp }

// Size is the packet's length on the wire.
func (*Pingreq) Size(Version) int { return 2 }

// Size is the packet's length on the wire.
func (*Pingresp) Size(Version) int { return 2 }

// Append encodes the packet behind dst.
func (*Pingreq) Append(dst []byte, _ Version) ([]byte, error) {
	return appendHeader(dst, TypePingreq, 0, 0), nil
}

// Append encodes the packet behind dst.
func (*Pingresp) Append(dst []byte, _ Version) ([]byte, error) {
	return appendHeader(dst, TypePingresp, 0, 0), nil
}
