package format

import (
	"fmt"
	"strings"
)

// Template is a compiled -F format: the language of mosquitto_sub 2.1.
//
// A conversion is %[-][0][width][.precision][separator]letter:
//
//	%%  a percent sign            %t  topic
//	%p  payload, its bytes        %l  payload length
//	%x  payload in hex            %X  payload in upper case hex
//	%f  payload as 4-byte float   %d  payload as 8-byte double
//	%q  QoS                       %r  retain, 0 or 1
//	%m  Packet Identifier, 0 at QoS 0
//	%A  Topic Alias               %C  Content Type
//	%D  Correlation Data, raw     %E  Message Expiry Interval
//	%F  Payload Format Indicator  %R  Response Topic
//	%P  User Properties "k:v k:v" %S  Subscription Identifier, the first
//	%I  local time, ISO 8601      %U  Unix time with nanoseconds
//	%j  JSON, payload as string   %J  JSON, payload as a JSON value
//
// "-" aligns left, "0" pads A E F S d f l m p x X with zeros. width is the
// minimum, in bytes; %p, %x and %X print at most so many bytes of payload.
// precision is the maximum of %C %I %R %t, the decimals of %f and %d, and the
// digits in a group of %x and %X, which the separator (punctuation or a space,
// which is the default) parts. Other letters ignore them. A property that is
// absent prints its width in padding.
//
// @X is strftime's %X, one letter; @N are nanoseconds in nine digits, @@ is an
// at sign. \\ \0 \a \e \n \r \t \v are escapes.
//
// %p is what a codec made of the payload where one did; %x %X %l %f and %d are
// of the payload as it came.
//
// Where mosquitto is wrong this is not: %E and %S are unsigned, %-p without a
// width adds nothing, %t and %p may hold any bytes, %J of a payload that is
// not JSON is what %j prints, and an unknown @ letter is an error.
type Template struct {
	steps []step
	noEOL bool
	// want is the payload length that %f or %d asks for, 0 for none.
	want int
}

// step appends one part of the format.
type step func(dst []byte, m *Received) []byte

// TemplateOptions are the flags beside -F.
type TemplateOptions struct {
	// NoEOL leaves out the line feed behind each message (-N).
	NoEOL bool
	// Pretty indents %j and %J, and %p where a codec made JSON of it.
	Pretty bool
	// Escape writes what publishers chose as AppendEscaped does: for terminals.
	Escape bool
}

// payload is what %p prints: where a codec has read it, what it made of it.
func (o *TemplateOptions) payload(m *Received) []byte {
	d := m.Decoded
	switch {
	case d == nil || d.Err != nil:
		return m.Payload
	case !d.JSON:
		return d.Text
	case o.Pretty:
		return appendPretty(nil, AppendCompact(nil, d.Text))
	}
	return AppendCompact(nil, d.Text)
}

// TemplateError is a format that does not compile.
type TemplateError struct {
	Format string
	// Offset is the byte of Format where the faulty part begins.
	Offset int
	Text   string
}

func (e *TemplateError) Error() string {
	return fmt.Sprintf("format: %q, character %d: %s", e.Format, e.Offset+1, e.Text)
}

// FloatError is a message whose payload %f or %d cannot show.
type FloatError struct {
	Topic     string
	Len, Want int
}

func (e *FloatError) Error() string {
	return fmt.Sprintf("format: payload of %d bytes on topic %s is no %d-byte floating point number", e.Len, AppendEscaped(nil, e.Topic), e.Want)
}

// MaxField is the largest width and precision.
const MaxField = 65535

// ParseTemplate compiles a format. The error is a *TemplateError.
func ParseTemplate(format string, o TemplateOptions) (*Template, error) {
	p := &templateParser{format: format, options: o, out: &Template{noEOL: o.NoEOL}}
	for p.at < len(format) {
		start := p.at
		c := format[p.at]
		p.at++
		var fault string
		switch c {
		case '%':
			fault = p.conversion()
		case '@':
			fault = p.clock()
		case '\\':
			fault = p.escape()
		default:
			p.literal = append(p.literal, c)
		}
		if fault != "" {
			return nil, &TemplateError{Format: format, Offset: start, Text: fault}
		}
	}
	p.flush()
	return p.out, nil
}

// Append writes the message.
func (t *Template) Append(dst []byte, m *Received) []byte {
	for _, s := range t.steps {
		dst = s(dst, m)
	}
	if t.noEOL {
		return dst
	}
	return append(dst, '\n')
}

// Check returns a *FloatError when the format holds %f or %d and the payload
// has another length: those print nothing then.
func (t *Template) Check(m *Received) error {
	if t.want == 0 || len(m.Payload) == t.want {
		return nil
	}
	return &FloatError{Topic: m.Topic, Len: len(m.Payload), Want: t.want}
}

type templateParser struct {
	format  string
	at      int // the next byte
	options TemplateOptions
	literal []byte // text not yet in a step
	out     *Template
}

// add ends the literal text before s.
func (p *templateParser) add(s step) {
	p.flush()
	p.out.steps = append(p.out.steps, s)
}

// addText is add for what was chosen by who published.
func (p *templateParser) addText(s step) {
	if !p.options.Escape {
		p.add(s)
		return
	}
	p.add(func(dst []byte, m *Received) []byte {
		start := len(dst)
		dst = s(dst, m)
		if printable(dst[start:]) == len(dst)-start {
			return dst
		}
		return AppendEscaped(dst[:start], string(dst[start:]))
	})
}

func (p *templateParser) flush() {
	if len(p.literal) == 0 {
		return
	}
	text := string(p.literal)
	p.literal = p.literal[:0]
	p.out.steps = append(p.out.steps, func(dst []byte, _ *Received) []byte { return append(dst, text...) })
}

// peek returns the next byte, 0 at the end.
func (p *templateParser) peek() byte {
	if p.at < len(p.format) {
		return p.format[p.at]
	}
	return 0
}

func (p *templateParser) accept(c byte) bool {
	if p.at < len(p.format) && p.format[p.at] == c {
		p.at++
		return true
	}
	return false
}

// separators are the characters that may part groups of hex digits: the
// printing ASCII that is neither letter, digit nor percent sign.
const separators = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~ "

// conversion reads what follows a percent sign. It returns what is wrong.
func (p *templateParser) conversion() string {
	f := field{precision: -1, separator: ' '}
	f.left = p.accept('-')
	f.zero = p.accept('0')
	var fault string
	if f.width, fault = p.number("width"); fault != "" {
		return fault
	}
	if p.accept('.') {
		if f.precision, fault = p.number("precision"); fault != "" {
			return fault
		}
	}
	separated := p.at < len(p.format) && strings.IndexByte(separators, p.peek()) >= 0
	if separated {
		f.separator = p.peek()
		p.at++
	}
	if p.at == len(p.format) {
		return "the conversion has no letter"
	}
	letter := p.peek()
	p.at++
	if separated && letter != 'x' && letter != 'X' {
		return fmt.Sprintf("separator %q stands only before x or X", f.separator)
	}
	return p.convert(letter, f)
}

// number reads digits; none are 0.
func (p *templateParser) number(what string) (n int, fault string) {
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		if n = n*10 + int(c-'0'); n > MaxField {
			return 0, fmt.Sprintf("%s is above %d", what, MaxField)
		}
		p.at++
	}
	return n, ""
}

func (p *templateParser) escape() string {
	c := p.peek()
	const from, to = `\0aenrtv`, "\\\x00\a\x1b\n\r\t\v"
	if p.at == len(p.format) {
		return `a backslash at the end; \\ prints one`
	}
	i := strings.IndexByte(from, c)
	if i < 0 {
		return `unknown escape, there are \\ \0 \a \e \n \r \t \v`
	}
	p.at++
	p.literal = append(p.literal, to[i])
	return ""
}
