package format

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ncruces/go-strftime"

	"mqt/mqtt"
)

// field is what stands between the percent sign and the letter.
type field struct {
	left, zero       bool
	width, precision int // precision -1: none
	separator        byte
}

// convert adds the step of a letter, or returns what is wrong with it.
func (p *templateParser) convert(letter byte, f field) string {
	if id := letterProperty(letter); id != 0 {
		p.addText(propertyStep(id, f))
		return ""
	}
	switch letter {
	case '%':
		p.literal = append(p.literal, '%')
	case 't':
		p.addText(func(dst []byte, m *Received) []byte { return appendText(dst, m.Topic, f) })
	case 'p':
		p.addText(func(dst []byte, m *Received) []byte { return f.appendPayload(dst, p.options.payload(m)) })
	case 'x':
		p.add(func(dst []byte, m *Received) []byte { return f.appendHex(dst, m.Payload, hexDigits) })
	case 'X':
		p.add(func(dst []byte, m *Received) []byte { return f.appendHex(dst, m.Payload, "0123456789ABCDEF") })
	case 'l':
		p.add(func(dst []byte, m *Received) []byte { return f.appendNumber(dst, uint64(len(m.Payload))) })
	case 'q':
		p.add(func(dst []byte, m *Received) []byte { return append(dst, '0'+byte(m.QoS)) })
	case 'r':
		p.add(appendRetain)
	case 'm':
		p.add(func(dst []byte, m *Received) []byte { return f.appendNumber(dst, uint64(m.PacketID)) })
	case 'A':
		p.add(func(dst []byte, m *Received) []byte {
			return f.appendOptional(dst, uint32(m.TopicAlias), m.TopicAlias != 0)
		})
	case 'S':
		p.add(f.appendSubscriptionIdentifier)
	case 'P':
		p.addText(appendUserProperties)
	case 'f', 'd':
		p.float(letter, f)
	case 'I':
		p.add(func(dst []byte, m *Received) []byte { return f.appendISO(dst, m.At) })
	case 'U':
		p.add(appendUnix)
	case 'j', 'J':
		j := &JSON{Pretty: p.options.Pretty, Value: letter == 'J', NoEOL: true}
		p.add(j.Append)
	default:
		return "unknown letter " + p.character(p.at-1)
	}
	return ""
}

// character quotes the whole character that begins at i.
func (p *templateParser) character(i int) string {
	_, n := utf8.DecodeRuneInString(p.format[i:])
	return strconv.Quote(p.format[i : i+n])
}

func letterProperty(letter byte) mqtt.PropertyID {
	switch letter {
	case 'C':
		return mqtt.ContentType
	case 'D':
		return mqtt.CorrelationData
	case 'E':
		return mqtt.MessageExpiryInterval
	case 'F':
		return mqtt.PayloadFormatIndicator
	case 'R':
		return mqtt.ResponseTopic
	}
	return 0
}

func propertyStep(id mqtt.PropertyID, f field) step {
	switch {
	case id.IsNumber():
		return func(dst []byte, m *Received) []byte {
			n, ok := m.Properties.Number(id)
			return f.appendOptional(dst, n, ok)
		}
	case id.IsBinary():
		return func(dst []byte, m *Received) []byte {
			b, _ := m.Properties.Bytes(id)
			return append(dst, b...)
		}
	}
	return func(dst []byte, m *Received) []byte {
		b, ok := m.Properties.Bytes(id)
		switch {
		case ok:
			return appendText(dst, b, f)
		case id == mqtt.ResponseTopic: // as in mosquitto: no padding for this one
			return dst
		}
		return pad(dst, f.width, f.padding())
	}
}

func appendRetain(dst []byte, m *Received) []byte {
	if m.Retain {
		return append(dst, '1')
	}
	return append(dst, '0')
}

func (f field) appendSubscriptionIdentifier(dst []byte, m *Received) []byte {
	if len(m.SubscriptionIdentifiers) == 0 {
		return f.appendOptional(dst, 0, false)
	}
	return f.appendOptional(dst, m.SubscriptionIdentifiers[0], true)
}

func appendUserProperties(dst []byte, m *Received) []byte {
	first := true
	for i := range m.Properties {
		p := &m.Properties[i]
		if p.ID != mqtt.UserProperty {
			continue
		}
		if !first {
			dst = append(dst, ' ')
		}
		first = false
		dst = append(append(append(dst, p.Key...), ':'), p.Value...)
	}
	return dst
}

func pad(dst []byte, n int, c byte) []byte {
	for range n {
		dst = append(dst, c)
	}
	return dst
}

func (f field) padding() byte {
	if f.zero {
		return '0'
	}
	return ' '
}

// appendText writes a string as C's %*.*s: bytes are counted and padding is
// always spaces.
func appendText[T string | []byte](dst []byte, text T, f field) []byte {
	if f.precision >= 0 && len(text) > f.precision {
		text = text[:f.precision]
	}
	if !f.left {
		dst = pad(dst, f.width-len(text), ' ')
	}
	dst = append(dst, text...)
	if f.left {
		dst = pad(dst, f.width-len(text), ' ')
	}
	return dst
}

func (f field) appendOptional(dst []byte, n uint32, there bool) []byte {
	if there {
		return f.appendNumber(dst, uint64(n))
	}
	return pad(dst, f.width, f.padding())
}

func (f field) appendNumber(dst []byte, n uint64) []byte {
	var b [20]byte
	digits := strconv.AppendUint(b[:0], n, 10)
	return f.appendDigits(dst, digits, f.zero)
}

// appendDigits aligns a number; its sign stands before padding zeros.
func (f field) appendDigits(dst, digits []byte, zero bool) []byte {
	n := f.width - len(digits)
	switch {
	case f.left:
		return pad(append(dst, digits...), n, ' ')
	case !zero:
		return append(pad(dst, n, ' '), digits...)
	case digits[0] == '-':
		dst, digits = append(dst, '-'), digits[1:]
	}
	return append(pad(dst, n, '0'), digits...)
}

func (f field) appendPayload(dst, payload []byte) []byte {
	if f.width > 0 && len(payload) > f.width {
		payload = payload[:f.width]
	}
	n := f.width - len(payload)
	if f.left {
		return pad(append(dst, payload...), n, ' ')
	}
	return append(pad(dst, n, f.padding()), payload...)
}

// appendHex counts groups from the left, padding included.
func (f field) appendHex(dst, payload []byte, digits string) []byte {
	if f.width > 0 && len(payload) > f.width {
		payload = payload[:f.width]
	}
	n, column := f.width-2*len(payload), 0
	put := func(c byte, last bool) {
		dst = append(dst, c)
		column++
		if !last && f.precision > 0 && column%f.precision == 0 {
			dst = append(dst, f.separator)
		}
	}
	if !f.left {
		for range n {
			put(f.padding(), false)
		}
	}
	for i, b := range payload {
		put(digits[b>>4], false)
		put(digits[b&15], i == len(payload)-1)
	}
	if f.left {
		dst = pad(dst, n, ' ')
	}
	return dst
}

// float adds %f or %d. mosquitto reads the number in the byte order of the
// host; so do we.
func (p *templateParser) float(letter byte, f field) {
	size := 4
	if letter == 'd' {
		size = 8
	}
	p.out.want = size
	if f.precision < 0 {
		f.precision = 6
	}
	p.add(func(dst []byte, m *Received) []byte {
		if len(m.Payload) != size {
			return dst
		}
		if size == 4 {
			return f.appendFloat(dst, float64(math.Float32frombits(binary.NativeEndian.Uint32(m.Payload))))
		}
		return f.appendFloat(dst, math.Float64frombits(binary.NativeEndian.Uint64(m.Payload)))
	})
}

func (f field) appendFloat(dst []byte, v float64) []byte {
	sign := ""
	if math.Signbit(v) {
		sign = "-"
	}
	switch {
	case math.IsInf(v, 0):
		return f.appendDigits(dst, []byte(sign+"inf"), false)
	case math.IsNaN(v):
		return f.appendDigits(dst, []byte(sign+"nan"), false)
	}
	var b [64]byte
	return f.appendDigits(dst, strconv.AppendFloat(b[:0], v, 'f', f.precision, 64), f.zero)
}

func (f field) appendISO(dst []byte, at time.Time) []byte {
	var b [40]byte
	return appendText(dst, at.AppendFormat(b[:0], "2006-01-02T15:04:05-0700"), f)
}

func appendUnix(dst []byte, m *Received) []byte {
	dst = strconv.AppendInt(dst, m.At.Unix(), 10)
	return appendNanoseconds(append(dst, '.'), m)
}

func appendNanoseconds(dst []byte, m *Received) []byte {
	n := m.At.Nanosecond()
	var b [9]byte
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = '0' + byte(n%10)
		n /= 10
	}
	return append(dst, b[:]...)
}

// clockLetters are the conversions of the C library's strftime that need no
// second letter, in the C locale.
const clockLetters = "%aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ"

// clock reads what follows an at sign.
func (p *templateParser) clock() string {
	if p.at == len(p.format) {
		return "an at sign at the end; @@ prints one"
	}
	c := p.peek()
	switch {
	case c == '@':
		p.literal = append(p.literal, '@')
	case c == 'N':
		p.add(appendNanoseconds)
	case strings.IndexByte(clockLetters, c) >= 0:
		p.add(clockStep("%" + string(c)))
	default:
		return fmt.Sprintf("unknown time letter %s", p.character(p.at))
	}
	p.at++
	return ""
}

// clockStep has the format translated once where Go's own layouts can say it.
func clockStep(spec string) step {
	if layout, err := strftime.Layout(spec); err == nil {
		return func(dst []byte, m *Received) []byte { return m.At.AppendFormat(dst, layout) }
	}
	return func(dst []byte, m *Received) []byte { return strftime.AppendFormat(dst, spec, m.At) }
}
