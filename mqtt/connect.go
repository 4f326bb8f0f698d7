package mqtt

import "bytes"

// Connect is CONNECT, section 3.1: a client asks for a Session.
type Connect struct {
	Version Version
	// CleanStart discards an existing Session; 3.1.1 calls it Clean Session
	// and ends the Session with the connection as well.
	CleanStart bool
	// KeepAlive is in seconds; 0 turns it off.
	KeepAlive uint16
	ClientID  string
	Will      *Will // nil: none
	// Username and Password are sent when the Has fields say so.
	Username    string
	HasUsername bool
	Password    []byte
	HasPassword bool
	Properties  Properties
}

// The bits of the Connect Flags, section 3.1.2.3.
const (
	flagReserved   = 0x01
	flagCleanStart = 0x02
	flagWill       = 0x04
	flagWillQoS    = 0x18
	flagWillRetain = 0x20
	flagPassword   = 0x40
	flagUsername   = 0x80
)

// Type returns TypeConnect.
func (*Connect) Type() Type { return TypeConnect }

// Size is the packet's length on the wire. The version is the packet's own.
func (c *Connect) Size(Version) int { return packetSize(c.bodySize()) }

func (c *Connect) bodySize() int {
	n := 2 + len(protocolName(c.Version)) + 1 + 1 + 2 + c.Properties.wireSize(c.Version) + 2 + len(c.ClientID)
	if w := c.Will; w != nil {
		n += w.Properties.wireSize(c.Version) + 2 + len(w.Topic) + 2 + len(w.Payload)
	}
	if c.HasUsername {
		n += 2 + len(c.Username)
	}
	if c.HasPassword {
		n += 2 + len(c.Password)
	}
	return n
}

func protocolName(v Version) string {
	if v == V31 {
		return "MQIsdp"
	}
	return "MQTT"
}

// Append encodes the packet behind dst, in the packet's own version.
func (c *Connect) Append(dst []byte, _ Version) ([]byte, error) {
	v, n := c.Version, c.bodySize()
	if err := c.encodable(n); err != nil {
		return dst, err
	}
	dst = appendHeader(dst, TypeConnect, 0, n)
	dst = appendString(dst, protocolName(v))
	dst = append(dst, byte(v), c.flags(), byte(c.KeepAlive>>8), byte(c.KeepAlive))
	dst = c.Properties.append(dst, v)
	dst = appendString(dst, c.ClientID)
	if w := c.Will; w != nil {
		dst = w.Properties.append(dst, v)
		dst = appendString(dst, w.Topic)
		dst = appendString(dst, w.Payload)
	}
	if c.HasUsername {
		dst = appendString(dst, c.Username)
	}
	if c.HasPassword {
		dst = appendString(dst, c.Password)
	}
	return dst, nil
}

func (c *Connect) encodable(n int) error {
	texts := []int{len(c.ClientID), len(c.Username), len(c.Password)}
	if !c.Version.Known() {
		return &EncodeError{TypeConnect, "unknown protocol " + c.Version.String()}
	}
	if c.HasPassword && !c.HasUsername && c.Version < V50 {
		// [MQTT-3.1.1: 3.1.2-22]
		return &EncodeError{TypeConnect, "a password needs a user name before 5.0"}
	}
	if w := c.Will; w != nil {
		if w.QoS > QoS2 {
			return &EncodeError{TypeConnect, "the will's QoS is above 2"}
		}
		texts = append(texts, len(w.Topic), len(w.Payload))
		if err := encodable(TypeConnect, n, w.Properties); err != nil {
			return err
		}
	}
	return encodable(TypeConnect, n, c.Properties, texts...)
}

func (c *Connect) flags() (f byte) {
	if c.CleanStart {
		f |= flagCleanStart
	}
	if w := c.Will; w != nil {
		f |= flagWill | byte(w.QoS)<<3
		if w.Retain {
			f |= flagWillRetain
		}
	}
	if c.HasPassword {
		f |= flagPassword
	}
	if c.HasUsername {
		f |= flagUsername
	}
	return f
}

// decodeConnect reads a CONNECT's body. On an unsupported version the packet
// is returned beside the error with the Version that was asked for, so that
// the answer can be given in it; Version is 0 when the protocol name was wrong.
// In 3.1 a user name or password whose flag is set may be missing.
func decodeConnect(body []byte) (*Connect, error) {
	cur := &cursor{p: body}
	c := &Connect{}
	name := string(cur.text())
	level := Version(cur.byte())
	if cur.err != nil {
		return c, cur.err
	}
	if err := checkProtocol(name, level); err != nil {
		if name == "MQTT" || name == "MQIsdp" {
			c.Version = answerVersion(level)
		}
		return c, err
	}
	c.Version = level
	flags := cur.byte()
	c.KeepAlive = cur.uint16()
	if cur.err == nil {
		if e := checkConnectFlags(flags, level); e != nil {
			return c, e
		}
	}
	c.CleanStart = flags&flagCleanStart != 0
	if level >= V50 {
		c.Properties = cur.properties(nil, TypeConnect, Client).Clone()
	}
	// In this order [MQTT-3.1.3-1], the Client Identifier first and always [MQTT-3.1.3-3]. What a flag promises is there
	// [MQTT-3.1.2-9], [MQTT-3.1.2-17], [MQTT-3.1.2-19], what none promises is left over in the end [MQTT-3.1.2-16],
	// [MQTT-3.1.2-18].
	c.ClientID = string(cur.text()) // [MQTT-3.1.3-4]
	if flags&flagWill != 0 {
		c.Will = decodeWill(cur, flags, level)
	}
	mayLack := func() bool { return level == V31 && cur.err == nil && len(cur.p) == 0 }
	if c.HasUsername = flags&flagUsername != 0 && !mayLack(); c.HasUsername {
		c.Username = string(cur.text()) // [MQTT-3.1.3-12]
	}
	if c.HasPassword = flags&flagPassword != 0 && !mayLack(); c.HasPassword {
		c.Password = bytes.Clone(cur.binary())
	}
	if err := cur.end(); err != nil {
		return c, err
	}
	if c.Properties.Has(AuthenticationData) && !c.Properties.Has(AuthenticationMethod) {
		return c, protocolError("3.1.2.11.10", "authentication data without a method")
	}
	return c, nil
}

func checkProtocol(name string, level Version) error {
	switch {
	case name == "MQTT" && (level == V311 || level == V50), name == "MQIsdp" && level == V31:
		return nil
	case name == "MQTT" || name == "MQIsdp":
		return &Error{UnsupportedProtocolVersion, "MQTT-3.1.2-2", "unsupported protocol " + level.String()}
	}
	return &Error{UnsupportedProtocolVersion, "MQTT-3.1.2-1", "the protocol name is not MQTT"}
}

// answerVersion is the version in which an unsupported level is refused. The
// high bit is how bridges mark themselves; they try again without it.
func answerVersion(level Version) Version {
	if v := level &^ 0x80; v.Known() {
		return v
	}
	return level
}

func checkConnectFlags(f byte, v Version) *Error {
	switch {
	case f&flagReserved != 0:
		return malformed("MQTT-3.1.2-3", "the reserved connect flag is set")
	case f&flagWillQoS == flagWillQoS:
		return malformed("MQTT-3.1.2-12", "the will's QoS is 3")
	case f&flagWill == 0 && f&flagWillQoS != 0:
		return malformed("MQTT-3.1.2-11", "a will QoS without a will")
	case f&flagWill == 0 && f&flagWillRetain != 0:
		return malformed("MQTT-3.1.2-13", "will retain without a will")
	case f&flagPassword != 0 && f&flagUsername == 0 && v < V50:
		return malformed("MQTT-3.1.1: 3.1.2-22", "a password without a user name")
	}
	return nil
}

func decodeWill(c *cursor, flags byte, v Version) *Will {
	w := &Will{QoS: QoS(flags >> 3 & 3), Retain: flags&flagWillRetain != 0}
	if v >= V50 {
		w.Properties = c.properties(nil, 0, Client).Clone()
	}
	w.Topic = string(c.text()) // [MQTT-3.1.3-11]
	w.Payload = bytes.Clone(c.binary())
	return w
}
