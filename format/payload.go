package format

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Encoding is how a payload is shown, or was given.
type Encoding byte

// The encodings. Escaped and Hexdump are for people and cannot be decoded.
const (
	Raw     Encoding = iota // the bytes themselves
	Hex                     // lower case, two digits a byte
	Base64                  // RFC 4648 section 4, padded
	Escaped                 // see AppendEscaped
	Hexdump                 // see AppendHexdump; ParseEncoding does not know it
)

// EncodingError is a payload that is not what its encoding promises, or an
// encoding that does not exist.
type EncodingError struct {
	Encoding string
	Err      error // nil: there is no such encoding
}

func (e *EncodingError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("format: no encoding %q: raw, hex, base64 or escaped", e.Encoding)
	}
	return fmt.Sprintf("format: payload is not %s: %v", e.Encoding, e.Err)
}

func (e *EncodingError) Unwrap() error { return e.Err }

// ParseEncoding returns the encoding of that name.
func ParseEncoding(name string) (Encoding, error) {
	for e := Raw; e <= Escaped; e++ {
		if e.String() == name {
			return e, nil
		}
	}
	return Raw, &EncodingError{Encoding: name}
}

// String returns the name, "raw", "hex", "base64", "escaped" or "hexdump".
func (e Encoding) String() string {
	switch e {
	case Hex:
		return "hex"
	case Base64:
		return "base64"
	case Escaped:
		return "escaped"
	case Hexdump:
		return "hexdump"
	}
	return "raw"
}

// Append writes the payload behind dst.
func (e Encoding) Append(dst, payload []byte) []byte {
	switch e {
	case Hex:
		return hex.AppendEncode(dst, payload)
	case Base64:
		return base64.StdEncoding.AppendEncode(dst, payload)
	case Escaped:
		return AppendEscaped(dst, payload)
	case Hexdump:
		return AppendHexdump(dst, payload, "")
	}
	return append(dst, payload...)
}

// Decode returns the payload that text stands for; white space in it, also
// between digits, is no part of hex or base64. The others are returned as
// they are. The error is an *EncodingError.
func (e Encoding) Decode(text []byte) ([]byte, error) {
	if e != Hex && e != Base64 {
		return text, nil
	}
	text = slices.DeleteFunc(slices.Clone(text), func(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' })
	var out []byte
	var err error
	if e == Hex {
		out, err = hex.AppendDecode(nil, text)
	} else {
		out, err = base64.StdEncoding.AppendDecode(nil, text)
	}
	if err != nil {
		return nil, &EncodingError{Encoding: e.String(), Err: err}
	}
	return out, nil
}

// AppendEscaped writes text so that a terminal shows it and obeys nothing in
// it: control characters as \n, \x1b or \u009b, characters that turn the
// direction of writing as \u202e, and bytes that are not UTF-8 as \xff. Tabs
// and a backslash stay.
func AppendEscaped[T string | []byte](dst []byte, text T) []byte {
	for len(text) > 0 {
		if n := printable(text); n > 0 {
			dst = append(dst, text[:n]...)
			text = text[n:]
			continue
		}
		r, n := decodeRune(text)
		switch {
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r < 0x80 || r == utf8.RuneError && n == 1:
			dst = append(dst, '\\', 'x', hexDigits[text[0]>>4], hexDigits[text[0]&15])
		case obeyed(r):
			dst = appendRuneEscape(dst, r)
		default:
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
	return dst
}

// appendRuneEscape writes \u and four digits; what terminals obey needs no more.
func appendRuneEscape(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

const hexDigits = "0123456789abcdef"

// printable returns how many bytes at the start are printing ASCII or tabs.
func printable[T string | []byte](text T) int {
	for i := range len(text) {
		if c := text[i]; (c < 0x20 && c != '\t') || c >= 0x7f {
			return i
		}
	}
	return len(text)
}

func decodeRune[T string | []byte](text T) (rune, int) {
	var b [utf8.UTFMax]byte
	return utf8.DecodeRune(b[:copy(b[:], text)])
}

// obeyed tells the characters beyond ASCII that a terminal acts on: C1
// controls, line separators, and what turns the direction of writing.
func obeyed(r rune) bool {
	return r >= 0x80 && r < 0xa0 || r == 0x61c || r == 0x200e || r == 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// mayBeObeyed tells the first bytes of those, in UTF-8.
func mayBeObeyed(c byte) bool { return c == 0xc2 || c == 0xd8 || c == 0xe2 }

// AppendHexdump writes the bytes as hexdump -Cv does, 16 a line: where they are,
// each in hex, and those that print. A last line tells the length; it has no
// line feed. The lines behind the first begin with the prefix.
func AppendHexdump(dst, p []byte, prefix string) []byte {
	const width = 16
	for at := 0; at < len(p); at += width {
		line := p[at:min(at+width, len(p))]
		dst = append(appendOffset(dst, at), ' ', ' ')
		for i := range width {
			if i == width/2 {
				dst = append(dst, ' ')
			}
			if i < len(line) {
				dst = append(dst, hexDigits[line[i]>>4], hexDigits[line[i]&15], ' ')
			} else {
				dst = append(dst, "   "...)
			}
		}
		dst = append(dst, ' ', '|')
		for _, c := range line {
			if c < ' ' || c > '~' {
				c = '.'
			}
			dst = append(dst, c)
		}
		dst = append(append(dst, '|', '\n'), prefix...)
	}
	return appendOffset(dst, len(p))
}

func appendOffset(dst []byte, n int) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[n>>shift&15])
	}
	return dst
}
