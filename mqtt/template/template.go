// Package template fills ${name} in topics, Client Identifiers, user names and
// payloads, so that one text makes many messages.
//
//	${i}            the number of the message, from 0; ${i:100} from 100
//	${uuid}         a random UUID, version 4
//	${rand:1-100}   a random number from 1 to 100; ${rand:-1.50-1.50} has two decimals
//	${ts:rfc3339}   the time: rfc3339, rfc3339ms, rfc3339ns (all UTC), unix, unixms, unixus, unixns
//	${env:HOME}     a variable of the environment
//	${csv:col}      the column col of the current row of a CSV file; ${csv:2} is the second one
//
// "$${" stands for "${"; any other $ is an ordinary character. What cannot be
// filled in is an error of [Parser.Parse], never of a message.
package template

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Error is a ${name} that has no meaning.
type Error struct {
	// Name is what stands in the braces.
	Name string
	Text string
}

func (e *Error) Error() string { return fmt.Sprintf("template: ${%s}: %s", e.Name, e.Text) }

// Parser knows what can be filled in. The zero value knows i, uuid, rand and
// ts.
type Parser struct {
	// Env looks up ${env:NAME}; nil: there is no env.
	Env func(name string) (value string, ok bool)
	// Columns are the names of ${csv:col}; nil: there is no csv.
	Columns []string
	// Names are more names, whose values are at the same place of Values.More.
	Names []string
}

// Values are what is filled in for one message. The zero value is ready.
type Values struct {
	I    uint64    // ${i}
	Time time.Time // ${ts}; zero: the time of the first use, which then stands here
	Row  []string  // ${csv:col}, as long as Columns
	More []string  // of Parser.Names, as long as those
	// Rand is the source of ${rand} and ${uuid}. Nil: one that nobody can
	// repeat.
	Rand *rand.Rand
}

// Template is a parsed text. It can be used by many goroutines, each with its
// own Values.
type Template struct {
	parts []part
	size  int // of the text in it
}

// part is a text, and what stands behind it.
type part struct {
	text string
	fill func(dst []byte, v *Values) []byte // nil at the end
}

// Parse reads a text. The error is an *Error.
func (p *Parser) Parse(text string) (*Template, error) {
	t := &Template{}
	var before strings.Builder
	for text != "" {
		i := strings.Index(text, "${")
		if i < 0 {
			break
		}
		if i > 0 && text[i-1] == '$' { // an escape
			before.WriteString(text[:i-1] + "${")
			text = text[i+2:]
			continue
		}
		before.WriteString(text[:i])
		name, rest, closed := strings.Cut(text[i+2:], "}")
		if !closed {
			return nil, &Error{Name: short(name), Text: "has no }; write $${ for the two characters themselves"}
		}
		fill, err := p.fill(name)
		if err != nil {
			return nil, &Error{Name: short(name), Text: err.Error()}
		}
		t.add(part{before.String(), fill})
		before.Reset()
		text = rest
	}
	before.WriteString(text)
	t.add(part{text: before.String()})
	return t, nil
}

func (t *Template) add(p part) {
	t.parts = append(t.parts, p)
	t.size += len(p.text)
}

// short keeps an error readable.
func short(name string) string {
	if len(name) > 40 {
		return strings.ToValidUTF8(name[:40], "") + "…"
	}
	return name
}

// Constant reports whether the text is the same for all messages.
func (t *Template) Constant() bool { return len(t.parts) == 1 }

// Append appends the text for one message to dst.
func (t *Template) Append(dst []byte, v *Values) []byte {
	dst = slices.Grow(dst, t.size+16*(len(t.parts)-1))
	for i := range t.parts {
		p := &t.parts[i]
		dst = append(dst, p.text...)
		if p.fill != nil {
			dst = p.fill(dst, v)
		}
	}
	return dst
}

// String returns the text for one message.
func (t *Template) String(v *Values) string {
	if t.Constant() {
		return t.parts[0].text
	}
	return string(t.Append(nil, v))
}

// fill finds what stands for name, "kind" or "kind:argument".
func (p *Parser) fill(name string) (func([]byte, *Values) []byte, error) {
	kind, arg, has := strings.Cut(name, ":")
	switch {
	case kind == "i":
		return count(arg)
	case kind == "uuid" && !has:
		return appendUUID, nil
	case kind == "rand":
		return random(arg)
	case kind == "ts":
		return timestamp(arg)
	case kind == "env" && p.Env != nil:
		value, ok := p.Env(arg)
		if !ok {
			return nil, errors.New("there is no such variable")
		}
		return func(dst []byte, _ *Values) []byte { return append(dst, value...) }, nil
	case kind == "csv" && p.Columns != nil:
		return p.column(arg)
	case kind == "csv":
		return nil, errors.New("there is no CSV file")
	}
	if i := slices.Index(p.Names, name); i >= 0 {
		return func(dst []byte, v *Values) []byte { return append(dst, v.More[i]...) }, nil
	}
	return nil, errors.New("is not known; there are " + p.known())
}

// known lists what can stand in the braces.
func (p *Parser) known() string {
	all := []string{"${i}", "${uuid}", "${rand:1-100}", "${ts:rfc3339}"}
	if p.Env != nil {
		all = append(all, "${env:NAME}")
	}
	all = append(all, "${csv:COLUMN}")
	for _, name := range p.Names {
		all = append(all, "${"+name+"}")
	}
	return strings.Join(all, " ")
}

func count(arg string) (func([]byte, *Values) []byte, error) {
	var from uint64
	if arg != "" {
		var err error
		if from, err = strconv.ParseUint(arg, 10, 63); err != nil {
			return nil, errors.New("write ${i}, or ${i:100} to begin with 100")
		}
	}
	return func(dst []byte, v *Values) []byte { return strconv.AppendUint(dst, from+v.I, 10) }, nil
}

func (p *Parser) column(arg string) (func([]byte, *Values) []byte, error) {
	i := slices.Index(p.Columns, arg)
	if i < 0 {
		n, err := strconv.Atoi(arg)
		if err != nil || n < 1 || n > len(p.Columns) {
			return nil, fmt.Errorf("there is no such column; there are %s", strings.Join(p.Columns, " "))
		}
		i = n - 1
	}
	return func(dst []byte, v *Values) []byte { return append(dst, v.Row[i]...) }, nil
}

// now is the time of the message.
func (v *Values) now() time.Time {
	if v.Time.IsZero() {
		v.Time = time.Now()
	}
	return v.Time
}

func timestamp(arg string) (func([]byte, *Values) []byte, error) {
	layout := func(l string) (func([]byte, *Values) []byte, error) {
		return func(dst []byte, v *Values) []byte { return v.now().UTC().AppendFormat(dst, l) }, nil
	}
	number := func(of func(time.Time) int64) (func([]byte, *Values) []byte, error) {
		return func(dst []byte, v *Values) []byte { return strconv.AppendInt(dst, of(v.now()), 10) }, nil
	}
	switch arg {
	case "", "rfc3339":
		return layout(time.RFC3339)
	case "rfc3339ms":
		return layout("2006-01-02T15:04:05.000Z07:00")
	case "rfc3339ns":
		return layout("2006-01-02T15:04:05.000000000Z07:00")
	case "unix":
		return number(time.Time.Unix)
	case "unixms":
		return number(time.Time.UnixMilli)
	case "unixus":
		return number(time.Time.UnixMicro)
	case "unixns":
		return number(time.Time.UnixNano)
	}
	return nil, errors.New("the time is one of rfc3339, rfc3339ms, rfc3339ns, unix, unixms, unixus, unixns")
}

func (v *Values) uint64() uint64 {
	if v.Rand == nil {
		return rand.Uint64() //nolint:gosec // no secret
	}
	return v.Rand.Uint64()
}

// below returns a number from 0 to n-1. It takes as many from the source
// whatever n is, so that a change of one range leaves the other values alone.
func (v *Values) below(n uint64) uint64 {
	if n == 0 {
		return v.uint64()
	}
	return uint64(float64(v.uint64()>>11) / (1 << 53) * float64(n))
}

// appendUUID appends a UUID of version 4, RFC 9562 section 5.4.
func appendUUID(dst []byte, v *Values) []byte {
	a := v.uint64()&^0xf000 | 0x4000
	b := v.uint64()&^(3<<62) | 1<<63
	return fmt.Appendf(dst, "%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&(1<<48-1))
}

// random reads LOW-HIGH, each with a sign and decimals if need be.
func random(arg string) (func([]byte, *Values) []byte, error) {
	usage := errors.New("write LOW-HIGH, as in ${rand:1-100} or ${rand:-0.5-0.5}")
	if len(arg) < 3 {
		return nil, usage
	}
	cut := strings.IndexByte(arg[1:], '-') + 1 // the first one may be a sign
	if cut == 0 {
		return nil, usage
	}
	low, high := arg[:cut], arg[cut+1:]
	digits := max(decimals(low), decimals(high))
	a, okA := scaled(low, digits)
	b, okB := scaled(high, digits)
	if !okA || !okB {
		return nil, usage
	}
	if a > b {
		return nil, errors.New("the first number is the larger one")
	}
	span := uint64(b-a) + 1
	return func(dst []byte, v *Values) []byte { return appendScaled(dst, a+int64(v.below(span)), digits) }, nil
}

// decimals is how many digits stand behind the point.
func decimals(s string) int {
	_, frac, _ := strings.Cut(s, ".")
	return len(frac)
}

// scaled reads a decimal number as a multiple of 10^-digits. All that it takes
// are exact in a float64.
func scaled(s string, digits int) (int64, bool) {
	whole, frac, point := strings.Cut(s, ".")
	if point && frac == "" || digits > 15 || strings.HasPrefix(s, "+") {
		return 0, false
	}
	n, err := strconv.ParseInt(whole+frac+strings.Repeat("0", digits-len(frac)), 10, 64)
	return n, err == nil && n <= 1<<52 && n >= -1<<52
}

func appendScaled(dst []byte, n int64, digits int) []byte {
	if digits == 0 {
		return strconv.AppendInt(dst, n, 10)
	}
	if n < 0 {
		dst = append(dst, '-')
		n = -n
	}
	text := strconv.FormatInt(n, 10)
	if missing := digits + 1 - len(text); missing > 0 {
		text = strings.Repeat("0", missing) + text
	}
	dst = append(append(dst, text[:len(text)-digits]...), '.')
	return append(dst, text[len(text)-digits:]...)
}
