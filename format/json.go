package format

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mqt/mqtt"
)

// JSON prints one JSON object a message, in the shape of mosquitto_sub 2.1:
//
//	{"tst":"2026-11-25T15:04:05.123456+0100","topic":"a/b","qos":1,"retain":false,
//	 "payloadlen":5,"mid":7,"properties":{"content-type":"text/plain",
//	 "user-properties":[{"k":"v"},{"k":"w"}]},"payload":"hello"}
//
// on one line. mid is there above QoS 0, properties when there are any, the
// payload of no bytes is null. What mosquitto cannot say is said beside it:
//
//   - a payload that is not UTF-8 is "payload_base64" instead of "payload", and
//     such Correlation Data is "correlation-data_base64";
//   - "dup":true is there when DUP was set;
//   - several Subscription Identifiers are an array, one is a number;
//   - what a codec made of the payload follows it as "decoded", a JSON value or
//     a string, or "decoded_base64" where it is bytes, and what stopped the
//     codec as "decode_error".
//
// The output is always valid JSON and holds no control character nor anything
// else that a terminal obeys, as AppendEscaped knows it. DecodeJSON
// reads it back with nothing lost but the time below a microsecond.
type JSON struct {
	// Pretty indents the object over several lines.
	Pretty bool
	// Value puts a payload that is itself JSON in as that value (%J), so that
	// its white space and the quotes of a lone string are not kept. Any other
	// payload is printed as without Value.
	Value bool
	// NoEOL leaves out the line feed behind each message.
	NoEOL bool
}

// Append writes the message.
func (j *JSON) Append(dst []byte, m *Received) []byte {
	if j.Pretty {
		dst = appendPretty(dst, j.appendObject(nil, m))
	} else {
		dst = j.appendObject(dst, m)
	}
	if j.NoEOL {
		return dst
	}
	return append(dst, '\n')
}

func (j *JSON) appendObject(dst []byte, m *Received) []byte {
	dst = append(dst, `{"tst":"`...)
	dst = appendTime(dst, m.At)
	dst = append(dst, `","topic":`...)
	dst = AppendQuoted(dst, m.Topic)
	dst = append(dst, `,"qos":`...)
	dst = append(dst, '0'+byte(m.QoS))
	dst = append(dst, `,"retain":`...)
	dst = strconv.AppendBool(dst, m.Retain)
	dst = append(dst, `,"payloadlen":`...)
	dst = strconv.AppendInt(dst, int64(len(m.Payload)), 10)
	if m.QoS > mqtt.QoS0 {
		dst = append(dst, `,"mid":`...)
		dst = strconv.AppendUint(dst, uint64(m.PacketID), 10)
	}
	if m.Dup {
		dst = append(dst, `,"dup":true`...)
	}
	dst = appendProperties(dst, m)
	dst = append(dst, ',')
	dst = j.appendPayload(dst, m.Payload)
	if m.Decoded != nil {
		dst = m.Decoded.appendMember(append(dst, ','))
	}
	return append(dst, '}')
}

const (
	decodedKey     = "decoded"
	decodeErrorKey = "decode_error"
)

func (d *Decoded) appendMember(dst []byte) []byte {
	switch {
	case d.Err != nil:
		return d.appendError(dst)
	case d.JSON:
		return AppendCompact(append(dst, `"`+decodedKey+`":`...), d.Text)
	}
	return appendBinary(dst, decodedKey, d.Text)
}

func (d *Decoded) appendError(dst []byte) []byte {
	dst = append(dst, `"`+decodeErrorKey+`":`...)
	return AppendQuoted(dst, trimCodec(d.Err))
}

// trimCodec is the text of an error without its package, as people read it.
func trimCodec(err error) string { return strings.TrimPrefix(err.Error(), "codec: ") }

// appendTime writes 2006-01-02T15:04:05.000000-0700, which is mosquitto's. By
// hand, because time's own formatting takes as long as all the rest.
func appendTime(dst []byte, at time.Time) []byte {
	year, month, day := at.Date()
	hour, minute, second := at.Clock()
	_, zone := at.Zone()
	sign := byte('+')
	if zone < 0 {
		sign, zone = '-', -zone
	}
	if year < 0 || year > 9999 {
		return at.AppendFormat(dst, "2006-01-02T15:04:05.000000-0700")
	}
	micro := at.Nanosecond() / 1000
	two := func(n int, before byte) { dst = append(dst, before, '0'+byte(n/10), '0'+byte(n%10)) }
	dst = append(dst, '0'+byte(year/1000), '0'+byte(year/100%10), '0'+byte(year/10%10), '0'+byte(year%10))
	two(int(month), '-')
	two(day, '-')
	two(hour, 'T')
	two(minute, ':')
	two(second, ':')
	two(micro/10000, '.')
	dst = append(dst, '0'+byte(micro/1000%10), '0'+byte(micro/100%10), '0'+byte(micro/10%10), '0'+byte(micro%10))
	two(zone/3600, sign)
	return append(dst, '0'+byte(zone/600%6), '0'+byte(zone/60%10))
}

func (j *JSON) appendPayload(dst, payload []byte) []byte {
	switch {
	case len(payload) == 0:
		return append(dst, `"payload":null`...)
	case !j.Value:
	case validJSON(payload):
		return AppendCompact(append(dst, `"payload":`...), payload)
	}
	return appendBinary(dst, "payload", payload)
}

// validJSON asks for UTF-8 too, which the library does not.
func validJSON(p []byte) bool { return utf8.Valid(p) && json.Valid(p) }

// appendProperties writes the member "properties", or nothing.
func appendProperties(dst []byte, m *Received) []byte {
	const open = `,"properties":{`
	start := len(dst)
	dst = append(dst, open...)
	users := false
	for i := range m.Properties {
		p := &m.Properties[i]
		switch {
		case p.ID == mqtt.TopicAlias || p.ID == mqtt.SubscriptionIdentifier:
			// Of the delivery, below.
		case p.ID == mqtt.UserProperty:
			if !users {
				dst = appendUsers(dst, m.Properties[i:])
			}
			users = true
		case p.ID.IsNumber():
			dst = appendNumber(dst, p.ID, p.Number)
		case p.ID.IsBinary():
			dst = append(appendBinary(dst, p.ID.String(), p.Value), ',')
		default:
			dst = append(AppendQuoted(appendKey(dst, p.ID), p.Value), ',')
		}
	}
	if m.TopicAlias != 0 {
		dst = appendNumber(dst, mqtt.TopicAlias, uint32(m.TopicAlias))
	}
	dst = appendIdentifiers(dst, m.SubscriptionIdentifiers)
	if len(dst) == start+len(open) {
		return dst[:start]
	}
	dst[len(dst)-1] = '}' // the last member's comma
	return dst
}

// appendUsers writes an array of objects with one key each, so that order and
// repeated names survive [MQTT-3.3.2-18].
func appendUsers(dst []byte, ps mqtt.Properties) []byte {
	dst = append(dst, `"user-properties":[`...)
	for i := range ps {
		if p := &ps[i]; p.ID == mqtt.UserProperty {
			dst = AppendQuoted(append(dst, '{'), p.Key)
			dst = AppendQuoted(append(dst, ':'), p.Value)
			dst = append(dst, '}', ',')
		}
	}
	dst[len(dst)-1] = ']'
	return append(dst, ',')
}

func appendIdentifiers(dst []byte, ids []uint32) []byte {
	switch len(ids) {
	case 0:
		return dst
	case 1:
		return appendNumber(dst, mqtt.SubscriptionIdentifier, ids[0])
	}
	dst = append(appendKey(dst, mqtt.SubscriptionIdentifier), '[')
	for _, id := range ids {
		dst = append(strconv.AppendUint(dst, uint64(id), 10), ',')
	}
	dst[len(dst)-1] = ']'
	return append(dst, ',')
}

func appendKey(dst []byte, id mqtt.PropertyID) []byte {
	return append(append(append(dst, '"'), id.String()...), '"', ':')
}

func appendNumber(dst []byte, id mqtt.PropertyID, n uint32) []byte {
	return append(strconv.AppendUint(appendKey(dst, id), uint64(n), 10), ',')
}

// base64Suffix marks a member whose bytes are no text.
const base64Suffix = "_base64"

// appendBinary writes a member as text where that keeps its bytes.
func appendBinary(dst []byte, key string, value []byte) []byte {
	dst = append(append(dst, '"'), key...)
	if utf8.Valid(value) {
		return appendQuoted(append(dst, '"', ':'), value)
	}
	dst = append(append(dst, base64Suffix...), `":"`...)
	return append(base64.StdEncoding.AppendEncode(dst, value), '"')
}

// AppendQuoted writes text as a JSON string that holds nothing a terminal
// obeys. Bytes that are not UTF-8 become U+FFFD: the output is valid in any
// case.
func AppendQuoted[T string | []byte](dst []byte, text T) []byte {
	switch text := any(text).(type) {
	case string:
		return appendQuoted(dst, strings.ToValidUTF8(text, "\uFFFD"))
	case []byte:
		if !utf8.Valid(text) {
			text = bytes.ToValidUTF8(text, []byte("\uFFFD"))
		}
		return appendQuoted(dst, text)
	}
	return dst
}

// appendQuoted writes valid UTF-8 as a JSON string. Characters that a terminal
// obeys are escaped, those that JSON would allow too.
func appendQuoted[T string | []byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < 0x7f || c > 0x7f && !mayBeObeyed(c) {
			continue
		}
		r, n := rune(c), 1
		if c > 0x7f {
			if r, n = decodeRune(text[i:]); !obeyed(r) {
				i += n - 1
				continue
			}
		}
		dst = appendJSONEscape(append(dst, text[start:i]...), r)
		i += n - 1
		start = i + 1
	}
	return append(append(dst, text[start:]...), '"')
}

func appendJSONEscape(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return appendRuneEscape(dst, r)
}

// AppendCompact writes valid JSON on one line. The characters that a terminal
// obeys stand only in its strings, and are escaped there.
func AppendCompact(dst, value []byte) []byte {
	start := len(dst)
	b := bytes.NewBuffer(dst)
	if json.Compact(b, value) != nil {
		return append(dst, "null"...) // cannot be: it is valid
	}
	dst = b.Bytes()
	acts := func(r rune) bool { return unicode.IsControl(r) || obeyed(r) }
	if at := bytes.IndexFunc(dst[start:], acts); at >= 0 {
		tail := bytes.Clone(dst[start+at:])
		dst = dst[:start+at]
		for _, r := range string(tail) {
			if acts(r) {
				dst = appendJSONEscape(dst, r)
			} else {
				dst = utf8.AppendRune(dst, r)
			}
		}
	}
	return dst
}

func appendPretty(dst, object []byte) []byte { return appendIndented(dst, object, "") }

// appendIndented begins the lines behind the first with the prefix.
func appendIndented(dst, object []byte, prefix string) []byte {
	b := bytes.NewBuffer(dst)
	if json.Indent(b, object, prefix, "  ") != nil {
		return append(dst, object...) // cannot be: it is valid
	}
	return b.Bytes()
}
