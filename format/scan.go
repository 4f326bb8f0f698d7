package format

import (
	"errors"
	"iter"
)

// scanner walks through JSON that is known to be valid, where finding the end
// of a value takes no more than counting brackets outside strings. It keeps
// the order and the repetition of members, which a map would lose.
type scanner struct {
	p  []byte
	at int
}

// next skips white space and whatever punctuation is named, and returns the
// byte that follows, 0 at the end.
func (s *scanner) next(skip byte) byte {
	for ; s.at < len(s.p); s.at++ {
		switch c := s.p[s.at]; c {
		case ' ', '\t', '\n', '\r', skip:
		default:
			return c
		}
	}
	return 0
}

// value returns the value at the cursor, without white space around it.
func (s *scanner) value() []byte {
	start, depth := s.at, 0
	for ; s.at < len(s.p); s.at++ {
		switch s.p[s.at] {
		case '"':
			s.skipString()
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return s.p[start:s.at] // the end of what holds a number or word
			}
			depth--
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return s.p[start:s.at]
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			s.at++
			break
		}
	}
	return s.p[start:s.at]
}

// skipString goes to the closing quote.
func (s *scanner) skipString() {
	for s.at++; s.at < len(s.p) && s.p[s.at] != '"'; s.at++ {
		if s.p[s.at] == '\\' {
			s.at++
		}
	}
}

// members calls yield with each member of a valid object, in order.
func members(object []byte, yield func(key string, value []byte) error) error {
	s := scanner{p: object}
	if s.next(0) != '{' {
		return errors.New("is not a JSON object")
	}
	s.at++
	for c := s.next(','); c != '}' && c != 0; c = s.next(',') {
		key, err := decodeString(s.value())
		if err != nil {
			return err
		}
		s.next(':')
		if err := yield(key, s.value()); err != nil {
			return err
		}
	}
	return nil
}

// elements are those of a valid array, or the value itself if it is none.
func elements(value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s := scanner{p: value}
		if s.next(0) != '[' {
			yield(value)
			return
		}
		s.at++
		for c := s.next(','); c != ']' && c != 0; c = s.next(',') {
			if !yield(s.value()) {
				return
			}
		}
	}
}
