package mqtt

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// PropertyID is a Property Identifier, section 2.2.2.2.
type PropertyID byte

// The 27 properties of table 2-4.
const (
	PayloadFormatIndicator          PropertyID = 0x01
	MessageExpiryInterval           PropertyID = 0x02 // seconds
	ContentType                     PropertyID = 0x03
	ResponseTopic                   PropertyID = 0x08
	CorrelationData                 PropertyID = 0x09
	SubscriptionIdentifier          PropertyID = 0x0B
	SessionExpiryInterval           PropertyID = 0x11 // seconds; 0xFFFFFFFF is never
	AssignedClientIdentifier        PropertyID = 0x12
	ServerKeepAlive                 PropertyID = 0x13 // seconds
	AuthenticationMethod            PropertyID = 0x15
	AuthenticationData              PropertyID = 0x16
	RequestProblemInformation       PropertyID = 0x17
	WillDelayInterval               PropertyID = 0x18 // seconds
	RequestResponseInformation      PropertyID = 0x19
	ResponseInformation             PropertyID = 0x1A
	ServerReference                 PropertyID = 0x1C
	ReasonString                    PropertyID = 0x1F
	ReceiveMaximum                  PropertyID = 0x21
	TopicAliasMaximum               PropertyID = 0x22
	TopicAlias                      PropertyID = 0x23
	MaximumQoS                      PropertyID = 0x24
	RetainAvailable                 PropertyID = 0x25
	UserProperty                    PropertyID = 0x26
	MaximumPacketSize               PropertyID = 0x27
	WildcardSubscriptionAvailable   PropertyID = 0x28
	SubscriptionIdentifierAvailable PropertyID = 0x29
	SharedSubscriptionAvailable     PropertyID = 0x2A
)

type kind byte

const (
	kindNone kind = iota
	kindByte
	kindUint16
	kindUint32
	kindVarint
	kindText // [MQTT-3.3.2-13], [MQTT-3.3.2-19]
	kindBinary
	kindPair // [MQTT-1.5.7-1]
)

// inWill marks the properties of a Will in propertyRule.in, where bit n stands
// for packet type n.
const inWill = 1 << 0

const inAcks = 1<<TypePuback | 1<<TypePubrec | 1<<TypePubrel | 1<<TypePubcomp | 1<<TypeSuback | 1<<TypeUnsuback

// propertyRule is a row of table 2-4.
type propertyRule struct {
	name string
	kind kind
	in   uint16 // packets that may carry it
	// oneOrMore, bit: the value 0 is a Protocol Error, or anything above 1.
	oneOrMore, bit bool
}

var propertyRules = [...]propertyRule{
	PayloadFormatIndicator:     {name: "payload-format-indicator", kind: kindByte, in: inWill | 1<<TypePublish, bit: true},
	MessageExpiryInterval:      {name: "message-expiry-interval", kind: kindUint32, in: inWill | 1<<TypePublish},
	ContentType:                {name: "content-type", kind: kindText, in: inWill | 1<<TypePublish},
	ResponseTopic:              {name: "response-topic", kind: kindText, in: inWill | 1<<TypePublish},
	CorrelationData:            {name: "correlation-data", kind: kindBinary, in: inWill | 1<<TypePublish},
	SubscriptionIdentifier:     {name: "subscription-identifier", kind: kindVarint, in: 1<<TypePublish | 1<<TypeSubscribe, oneOrMore: true},
	SessionExpiryInterval:      {name: "session-expiry-interval", kind: kindUint32, in: 1<<TypeConnect | 1<<TypeConnack | 1<<TypeDisconnect},
	AssignedClientIdentifier:   {name: "assigned-client-identifier", kind: kindText, in: 1 << TypeConnack},
	ServerKeepAlive:            {name: "server-keep-alive", kind: kindUint16, in: 1 << TypeConnack},
	AuthenticationMethod:       {name: "authentication-method", kind: kindText, in: 1<<TypeConnect | 1<<TypeConnack | 1<<TypeAuth},
	AuthenticationData:         {name: "authentication-data", kind: kindBinary, in: 1<<TypeConnect | 1<<TypeConnack | 1<<TypeAuth},
	RequestProblemInformation:  {name: "request-problem-information", kind: kindByte, in: 1 << TypeConnect, bit: true},
	WillDelayInterval:          {name: "will-delay-interval", kind: kindUint32, in: inWill},
	RequestResponseInformation: {name: "request-response-information", kind: kindByte, in: 1 << TypeConnect, bit: true},
	ResponseInformation:        {name: "response-information", kind: kindText, in: 1 << TypeConnack},
	ServerReference:            {name: "server-reference", kind: kindText, in: 1<<TypeConnack | 1<<TypeDisconnect},
	ReasonString:               {name: "reason-string", kind: kindText, in: inAcks | 1<<TypeConnack | 1<<TypeDisconnect | 1<<TypeAuth},
	ReceiveMaximum:             {name: "receive-maximum", kind: kindUint16, in: 1<<TypeConnect | 1<<TypeConnack, oneOrMore: true},
	TopicAliasMaximum:          {name: "topic-alias-maximum", kind: kindUint16, in: 1<<TypeConnect | 1<<TypeConnack},
	TopicAlias:                 {name: "topic-alias", kind: kindUint16, in: 1 << TypePublish},
	MaximumQoS:                 {name: "maximum-qos", kind: kindByte, in: 1 << TypeConnack, bit: true},
	RetainAvailable:            {name: "retain-available", kind: kindByte, in: 1 << TypeConnack, bit: true},
	UserProperty: {name: "user-property", kind: kindPair, in: inWill | inAcks | 1<<TypeConnect | 1<<TypeConnack |
		1<<TypePublish | 1<<TypeSubscribe | 1<<TypeUnsubscribe | 1<<TypeDisconnect | 1<<TypeAuth},
	MaximumPacketSize:               {name: "maximum-packet-size", kind: kindUint32, in: 1<<TypeConnect | 1<<TypeConnack, oneOrMore: true},
	WildcardSubscriptionAvailable:   {name: "wildcard-subscription-available", kind: kindByte, in: 1 << TypeConnack, bit: true},
	SubscriptionIdentifierAvailable: {name: "subscription-identifier-available", kind: kindByte, in: 1 << TypeConnack, bit: true},
	SharedSubscriptionAvailable:     {name: "shared-subscription-available", kind: kindByte, in: 1 << TypeConnack, bit: true},
}

// propertySections names for each packet (0: the Will) the section of its
// properties, and the properties in the order in which that section has them,
// from its second subsection on: the first is Property Length.
var propertySections = [16]struct {
	section string
	ids     []PropertyID
}{
	0: {"3.1.3.2", []PropertyID{WillDelayInterval, PayloadFormatIndicator, MessageExpiryInterval, ContentType,
		ResponseTopic, CorrelationData, UserProperty}},
	TypeConnect: {"3.1.2.11", []PropertyID{SessionExpiryInterval, ReceiveMaximum, MaximumPacketSize, TopicAliasMaximum,
		RequestResponseInformation, RequestProblemInformation, UserProperty, AuthenticationMethod, AuthenticationData}},
	TypeConnack: {"3.2.2.3", []PropertyID{SessionExpiryInterval, ReceiveMaximum, MaximumQoS, RetainAvailable,
		MaximumPacketSize, AssignedClientIdentifier, TopicAliasMaximum, ReasonString, UserProperty,
		WildcardSubscriptionAvailable, SubscriptionIdentifierAvailable, SharedSubscriptionAvailable, ServerKeepAlive,
		ResponseInformation, ServerReference, AuthenticationMethod, AuthenticationData}},
	TypePublish: {"3.3.2.3", []PropertyID{PayloadFormatIndicator, MessageExpiryInterval, TopicAlias, ResponseTopic,
		CorrelationData, UserProperty, SubscriptionIdentifier, ContentType}},
	TypePuback:      {"3.4.2.2", []PropertyID{ReasonString, UserProperty}},
	TypePubrec:      {"3.5.2.2", []PropertyID{ReasonString, UserProperty}},
	TypePubrel:      {"3.6.2.2", []PropertyID{ReasonString, UserProperty}},
	TypePubcomp:     {"3.7.2.2", []PropertyID{ReasonString, UserProperty}},
	TypeSubscribe:   {"3.8.2.1", []PropertyID{SubscriptionIdentifier, UserProperty}},
	TypeSuback:      {"3.9.2.1", []PropertyID{ReasonString, UserProperty}},
	TypeUnsubscribe: {"3.10.2.1", []PropertyID{UserProperty}},
	TypeUnsuback:    {"3.11.2.1", []PropertyID{ReasonString, UserProperty}},
	TypeDisconnect:  {"3.14.2.2", []PropertyID{SessionExpiryInterval, ReasonString, UserProperty, ServerReference}},
	TypeAuth:        {"3.15.2.2", []PropertyID{AuthenticationMethod, AuthenticationData, ReasonString, UserProperty}},
}

// propertySection is the section that describes the property in packet t.
func propertySection(id PropertyID, t Type) string {
	s := &propertySections[t]
	return fmt.Sprintf("%s.%d", s.section, slices.Index(s.ids, id)+2)
}

func (id PropertyID) rule() *propertyRule {
	if int(id) < len(propertyRules) {
		return &propertyRules[id]
	}
	return &propertyRules[0]
}

func (id PropertyID) kind() kind { return id.rule().kind }

// String returns the name in lower case with hyphens, "content-type", as
// command lines write it.
func (id PropertyID) String() string {
	if r := id.rule(); r.kind != kindNone {
		return r.name
	}
	return fmt.Sprintf("property 0x%02X", byte(id))
}

// ParsePropertyID returns the property of that name, as String writes it.
func ParsePropertyID(name string) (PropertyID, bool) {
	for id := range propertyRules {
		if r := &propertyRules[id]; r.kind != kindNone && r.name == name {
			return PropertyID(id), true
		}
	}
	return 0, false
}

// AllowedIn reports whether packet t may carry the property. A Will's
// properties are asked for with type 0.
func (id PropertyID) AllowedIn(t Type) bool { return id.rule().in&(1<<t) != 0 }

// IsNumber reports whether the property's value is in Property.Number.
func (id PropertyID) IsNumber() bool { k := id.kind(); return k >= kindByte && k <= kindVarint }

// IsBinary reports whether the value is Binary Data rather than text.
func (id PropertyID) IsBinary() bool { return id.kind() == kindBinary }

// MaxNumber returns the largest value a numeric property's encoding holds.
func (id PropertyID) MaxNumber() uint32 {
	switch r := id.rule(); {
	case r.bit:
		return 1
	case r.kind == kindUint16:
		return 0xffff
	case r.kind == kindVarint:
		return maxRemainingLength
	}
	return 0xffffffff
}

// Property is one property. Number holds integers of every size; Value holds
// text and Binary Data, and with Key a User Property.
type Property struct {
	ID         PropertyID
	Number     uint32
	Key, Value []byte
}

// Num returns a numeric property.
func Num(id PropertyID, n uint32) Property { return Property{ID: id, Number: n} }

// Str returns a text property.
func Str(id PropertyID, s string) Property { return Property{ID: id, Value: []byte(s)} }

// Bin returns a Binary Data property; b is not copied.
func Bin(id PropertyID, b []byte) Property { return Property{ID: id, Value: b} }

// User returns a User Property.
func User(key, value string) Property {
	return Property{ID: UserProperty, Key: []byte(key), Value: []byte(value)}
}

// Properties are a packet's properties in the order of the wire, which the
// order of User Properties must survive [MQTT-3.3.2-18].
type Properties []Property

// Get returns the first property with that identifier.
func (ps Properties) Get(id PropertyID) (Property, bool) {
	for i := range ps {
		if ps[i].ID == id {
			return ps[i], true
		}
	}
	return Property{}, false
}

// Has reports whether the property is there.
func (ps Properties) Has(id PropertyID) bool { _, ok := ps.Get(id); return ok }

// Number returns a numeric property.
func (ps Properties) Number(id PropertyID) (uint32, bool) {
	p, ok := ps.Get(id)
	return p.Number, ok
}

// NumberOr returns a numeric property, or the standard's default.
func (ps Properties) NumberOr(id PropertyID, absent uint32) uint32 {
	if p, ok := ps.Get(id); ok {
		return p.Number
	}
	return absent
}

// Bytes returns the value of a text or binary property without copying it.
func (ps Properties) Bytes(id PropertyID) ([]byte, bool) {
	p, ok := ps.Get(id)
	return p.Value, ok
}

// Text returns the value of a text property.
func (ps Properties) Text(id PropertyID) (string, bool) {
	p, ok := ps.Get(id)
	return string(p.Value), ok
}

// propertyCost is what a Property takes in memory beside its texts.
const propertyCost = 56

// Memory returns how many bytes the properties take in memory: for short ones
// many times their size on the wire.
func (ps Properties) Memory() int {
	n := propertyCost * len(ps)
	for i := range ps {
		n += len(ps[i].Key) + len(ps[i].Value)
	}
	return n
}

// Clone returns a copy that shares no memory.
func (ps Properties) Clone() Properties {
	if len(ps) == 0 {
		return nil
	}
	n := 0
	for i := range ps {
		n += len(ps[i].Key) + len(ps[i].Value)
	}
	out, buf := slices.Clone(ps), make([]byte, 0, n)
	own := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		at := len(buf)
		buf = append(buf, b...)
		return buf[at:len(buf):len(buf)]
	}
	for i := range out {
		out[i].Key, out[i].Value = own(out[i].Key), own(out[i].Value)
	}
	return out
}

// keptProperties is how many properties a Reader keeps room for between
// packets: about 1 KiB.
const keptProperties = 20

// forget empties ps, holds on to none of its bytes and keeps its room where
// that is small.
func (ps *Properties) forget() {
	if cap(*ps) > keptProperties {
		*ps = nil
		return
	}
	clear(*ps)
	*ps = (*ps)[:0]
}

// Without returns the properties less those with one of the identifiers; ps
// itself when there are none.
func (ps Properties) Without(ids ...PropertyID) Properties {
	drop := func(p Property) bool { return slices.Contains(ids, p.ID) }
	if !slices.ContainsFunc(ps, drop) {
		return ps
	}
	return slices.DeleteFunc(slices.Clone(ps), drop)
}

// size is the length of the properties without the Property Length.
func (ps Properties) size() int {
	n := 0
	for i := range ps {
		switch ps[i].ID.kind() {
		case kindByte:
			n += 2
		case kindUint16:
			n += 3
		case kindUint32:
			n += 5
		case kindVarint:
			n += 1 + uvarintSize(int(ps[i].Number))
		case kindText, kindBinary:
			n += 3 + len(ps[i].Value)
		case kindPair:
			n += 5 + len(ps[i].Key) + len(ps[i].Value)
		}
	}
	return n
}

// wireSize is size with the Property Length in front; 0 before 5.0.
func (ps Properties) wireSize(v Version) int {
	if v < V50 {
		return 0
	}
	n := ps.size()
	return uvarintSize(n) + n
}

// append writes Property Length and properties; nothing before 5.0
// [MQTT-2.2.2-1].
func (ps Properties) append(dst []byte, v Version) []byte {
	if v < V50 {
		return dst
	}
	dst = appendUvarint(dst, uint32(ps.size()))
	for i := range ps {
		p := &ps[i]
		dst = append(dst, byte(p.ID))
		switch p.ID.kind() {
		case kindByte:
			dst = append(dst, byte(p.Number))
		case kindUint16:
			dst = binary.BigEndian.AppendUint16(dst, uint16(p.Number))
		case kindUint32:
			dst = binary.BigEndian.AppendUint32(dst, p.Number)
		case kindVarint:
			dst = appendUvarint(dst, p.Number)
		case kindText, kindBinary:
			dst = appendString(dst, p.Value)
		case kindPair:
			dst = appendString(appendString(dst, p.Key), p.Value)
		}
	}
	return dst
}

// properties reads Property Length and properties into dst[:0], aliasing the
// body. in is the packet's type, 0 for a Will.
func (c *cursor) properties(dst Properties, in Type, from Side) Properties {
	dst = dst[:0]
	n := int(c.varint())
	if c.err != nil {
		return dst
	}
	if n > len(c.p) {
		c.fail(malformed("2.2.2.1", "property length goes past the end of the packet"))
		return dst
	}
	rest := c.p[n:]
	c.p = c.p[:n]
	limit := maxProperties
	if from == Server {
		limit *= 2 // to what a client sent it adds Subscription Identifiers
	}
	var seen uint64
	for len(c.p) > 0 {
		if len(dst) == limit {
			c.fail(tooMany("2.2.2.2", "properties"))
			return dst
		}
		dst = append(dst, Property{})
		p := &dst[len(dst)-1]
		c.property(p, in, from)
		if c.err != nil {
			return dst
		}
		// A Server's PUBLISH carries one Subscription Identifier for each
		// matching subscription; nothing else but User Property may repeat.
		repeats := p.ID == UserProperty || p.ID == SubscriptionIdentifier && in == TypePublish
		if seen&(1<<p.ID) != 0 && !repeats {
			c.fail(protocolError(propertySection(p.ID, in), p.ID.String()+" appears twice"))
			return dst
		}
		seen |= 1 << p.ID
	}
	c.p = rest
	return dst
}

// property reads one property into p, which is zero.
func (c *cursor) property(p *Property, in Type, from Side) {
	id := c.varint()
	if c.err != nil {
		return
	}
	if id >= uint32(len(propertyRules)) {
		c.fail(malformed("2.2.2.2", fmt.Sprintf("property 0x%02X does not exist", id)))
		return
	}
	p.ID = PropertyID(id)
	r := p.ID.rule()
	if r.in&(1<<in) == 0 {
		c.fail(malformed("2.2.2.2", p.ID.String()+" is not valid here"))
		return
	}
	switch r.kind {
	case kindByte:
		p.Number = uint32(c.byte())
	case kindUint16:
		p.Number = uint32(c.uint16())
	case kindUint32:
		p.Number = c.uint32()
	case kindVarint:
		p.Number = c.varint()
	case kindText:
		p.Value = c.text()
	case kindBinary:
		p.Value = c.binary()
	case kindPair:
		p.Key, p.Value = c.text(), c.text()
	}
	if c.err == nil {
		if e := checkProperty(p, r, in, from); e != nil {
			c.fail(e)
		}
	}
}

func checkProperty(p *Property, r *propertyRule, in Type, from Side) *Error {
	switch {
	case r.bit && p.Number > 1:
		return protocolError(propertySection(p.ID, in), p.ID.String()+" is neither 0 nor 1")
	case r.oneOrMore && p.Number == 0:
		return protocolError(propertySection(p.ID, in), p.ID.String()+" is 0")
	case p.ID == TopicAlias && p.Number == 0:
		return &Error{Code: TopicAliasInvalid, Statement: "MQTT-3.3.2-8", Text: "topic alias is 0"}
	case p.ID == SubscriptionIdentifier && in == TypePublish && from == Client:
		return protocolError("MQTT-3.3.4-6", "PUBLISH from a client has a subscription identifier")
	case p.ID == SessionExpiryInterval && in == TypeDisconnect && from == Server:
		return protocolError("MQTT-3.14.2-2", "DISCONNECT from a server has a session expiry interval")
	case p.ID == ServerReference && in == TypeDisconnect && from == Client:
		return protocolError("3.14.2.2.5", "DISCONNECT from a client has a server reference")
	}
	return nil
}
