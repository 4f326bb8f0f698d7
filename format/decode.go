package format

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"mqt/mqtt"
)

// DecodeError is a line that is no message in the shape that JSON prints.
type DecodeError struct {
	// Key is the member at fault, "" for the line as a whole.
	Key  string
	Text string
	Err  error // what lies below, or nil
}

func (e *DecodeError) Error() string {
	var b strings.Builder
	b.WriteString("format: JSON message")
	if e.Key != "" {
		b.WriteString(", " + strconv.QuoteToGraphic(e.Key))
	}
	b.WriteString(": " + e.Text)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

func (e *DecodeError) Unwrap() error { return e.Err }

// DecodeJSON reads a line that JSON printed, or mosquitto_sub of any version,
// or a person wrote: only "topic" must be there. A payload that is neither a
// string nor null is published as the JSON text it is. payloadlen and what a
// codec made of the payload are not believed, so that a line may be edited. What is not understood is an error
// rather than lost: an unknown or repeated member, a value out of its range,
// bytes that are not UTF-8. The error is a *DecodeError.
func DecodeJSON(line []byte) (*Received, error) {
	if !utf8.Valid(line) {
		return nil, &DecodeError{Text: "not UTF-8"}
	}
	if !json.Valid(line) {
		var v json.RawMessage
		return nil, &DecodeError{Text: "not JSON", Err: json.Unmarshal(line, &v)}
	}
	d := &decoder{m: &Received{Message: &mqtt.Message{}}}
	if err := members(line, d.member); err != nil {
		return nil, wrong("", err)
	}
	if d.m.Topic == "" {
		return nil, &DecodeError{Key: "topic", Text: "is missing"}
	}
	return d.m, nil
}

type decoder struct {
	m *Received
	// seen are the places in memberNames, properties the PropertyIDs, that
	// have been there.
	seen, properties uint64
}

// memberNames are the members of the object. Both forms of the payload are one.
// The last two are those of a codec: nobody is told to write them.
var memberNames = [...]string{"tst", "topic", "qos", "retain", "payloadlen", "mid", "dup", "properties", "payload",
	decodedKey, decodeErrorKey}

func (d *decoder) member(key string, value []byte) error {
	name, encoded := strings.CutSuffix(key, base64Suffix)
	i := slices.Index(memberNames[:], name)
	switch {
	case i < 0 || encoded && name != "payload" && name != decodedKey:
		return &DecodeError{Key: key, Text: "is not known; there are " + strings.Join(memberNames[:len(memberNames)-2], " ") + " payload" + base64Suffix}
	case d.seen&(1<<i) != 0:
		return &DecodeError{Key: key, Text: "is there twice"}
	}
	d.seen |= 1 << i
	var err error
	m := d.m
	switch name {
	case "tst":
		m.At, err = decodeTime(value)
	case "topic":
		if m.Topic, err = decodeString(value); err == nil && m.Topic == "" {
			err = errors.New("is empty")
		}
	case "qos":
		var n uint32
		n, err = decodeNumber(value, uint32(mqtt.QoS2))
		m.QoS = mqtt.QoS(n)
	case "retain":
		m.Retain, err = decodeBool(value)
	case "dup":
		m.Dup, err = decodeBool(value)
	case "mid":
		var n uint32
		n, err = decodeNumber(value, 0xffff)
		m.PacketID = mqtt.PacketID(n)
	case "properties":
		err = members(value, d.property)
	case "payload":
		if encoded {
			m.Payload, err = decodeBase64(value)
		} else {
			m.Payload, err = decodePayload(value)
		}
	}
	return wrong(key, err)
}

func wrong(key string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*DecodeError](err); ok {
		return e
	}
	return &DecodeError{Key: key, Text: err.Error(), Err: errors.Unwrap(err)}
}

func decodeString(value []byte) (string, error) {
	if value[0] != '"' {
		return "", errors.New("is not a string")
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), nil
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return "", err
	}
	// The library puts U+FFFD for half a surrogate pair: that would be a loss.
	if strings.Contains(s, "\uFFFD") && !bytes.Contains(value, []byte("\uFFFD")) &&
		!bytes.Contains(bytes.ToLower(value), []byte(`\ufffd`)) {
		return "", errors.New("holds half a surrogate pair")
	}
	return s, nil
}

func decodeNumber(value []byte, limit uint32) (uint32, error) {
	n, err := strconv.ParseUint(string(value), 10, 32)
	if err != nil || uint32(n) > limit {
		return 0, fmt.Errorf("is not a whole number from 0 to %d", limit)
	}
	return uint32(n), nil
}

// decodeBool takes 0 and 1 too: mosquitto wrote them before 2.1.
func decodeBool(value []byte) (bool, error) {
	switch string(value) {
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, errors.New("is neither true nor false")
}

func decodeBase64(value []byte) ([]byte, error) {
	s, err := decodeString(value)
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("is not base64")
	}
	return b, nil
}

func decodePayload(value []byte) ([]byte, error) {
	switch {
	case string(value) == "null":
		return nil, nil
	case value[0] == '"':
		s, err := decodeString(value)
		return []byte(s), err
	}
	return bytes.Clone(value), nil
}

// decodeTime reads the time of 2.1, of RFC 3339, and of mosquitto 2.0, which
// put a Z before the zone.
func decodeTime(value []byte) (time.Time, error) {
	s, err := decodeString(value)
	if err != nil {
		return time.Time{}, err
	}
	if i := strings.IndexByte(s, 'Z'); i >= 0 && i < len(s)-1 {
		s = s[:i] + s[i+1:]
	}
	for _, layout := range []string{"2006-01-02T15:04:05-0700", time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("is not a time such as 2026-11-25T15:04:05.123456+0100")
}

const userProperties = "user-properties"

func (d *decoder) property(key string, value []byte) error {
	name, encoded := strings.CutSuffix(key, base64Suffix)
	id, known := mqtt.ParsePropertyID(name)
	if key == userProperties {
		id = mqtt.UserProperty
	}
	// Several identifiers were repeated members in mosquitto.
	if d.properties&(1<<id) != 0 && id != mqtt.SubscriptionIdentifier {
		return &DecodeError{Key: key, Text: "is there twice"}
	}
	var err error
	switch {
	case key == userProperties:
		err = d.users(value)
	case !known || !id.AllowedIn(mqtt.TypePublish) || id == mqtt.UserProperty || encoded && !id.IsBinary():
		return &DecodeError{Key: key, Text: "is no property of a message"}
	case id == mqtt.SubscriptionIdentifier:
		err = d.identifiers(value)
	case id.IsNumber():
		err = d.number(id, value)
	case encoded:
		var b []byte
		b, err = decodeBase64(value)
		d.add(mqtt.Bin(id, b))
	default:
		var s string
		s, err = decodeString(value)
		d.add(mqtt.Str(id, s))
	}
	d.properties |= 1 << id
	return wrong(key, err)
}

func (d *decoder) add(p mqtt.Property) { d.m.Properties = append(d.m.Properties, p) }

func (d *decoder) number(id mqtt.PropertyID, value []byte) error {
	n, err := decodeNumber(value, id.MaxNumber())
	switch {
	case err != nil:
		return err
	case id != mqtt.TopicAlias:
		d.add(mqtt.Num(id, n))
	case n == 0: // [MQTT-3.3.2-8]
		return errors.New("is 0")
	default:
		d.m.TopicAlias = uint16(n)
	}
	return nil
}

func (d *decoder) identifiers(value []byte) error {
	for one := range elements(value) {
		n, err := decodeNumber(one, mqtt.SubscriptionIdentifier.MaxNumber())
		if err == nil && n == 0 {
			err = errors.New("is 0") // 3.3.2.3.8
		}
		if err != nil {
			return err
		}
		d.m.SubscriptionIdentifiers = append(d.m.SubscriptionIdentifiers, n)
	}
	return nil
}

// users takes an array of objects, and the one object of mosquitto 2.0, whose
// members may repeat.
func (d *decoder) users(value []byte) error {
	for one := range elements(value) {
		err := members(one, func(key string, value []byte) error {
			s, err := decodeString(value)
			d.add(mqtt.User(key, s))
			return wrong(key, err)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
