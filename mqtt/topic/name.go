package topic

import (
	"strings"
	"unicode/utf8"
)

// MaxLength is the most bytes that a Topic Name or Topic Filter may have [MQTT-4.7.3-3].
const MaxLength = 65535

// Reason Codes of the errors in this package (chapter 2.4).
const (
	CodeFilterInvalid = 0x8F // Topic Filter invalid
	CodeNameInvalid   = 0x90 // Topic Name invalid
)

// Error says why a Topic Name or Topic Filter is not valid.
type Error struct {
	Code      byte   // CodeFilterInvalid or CodeNameInvalid
	Statement string // the normative statement that is broken, such as "MQTT-4.7.1-1"
	Text      string // what is wrong, in words
}

func (e *Error) Error() string {
	return "topic: " + e.Text + " [" + e.Statement + "]"
}

// ValidateName reports whether name may be the Topic Name of a PUBLISH or a Will. The
// error is an *Error with CodeNameInvalid. Chapters 4.7 and 1.5.4.
func ValidateName(name string) error {
	if err := validateText(name, "Topic Name", CodeNameInvalid); err != nil {
		return err
	}
	if hasWildcard(name) {
		// [MQTT-4.7.0-1], and [MQTT-3.3.2-2] for PUBLISH.
		return &Error{CodeNameInvalid, "MQTT-4.7.0-1", "Topic Name contains a wildcard character"}
	}
	return nil
}

// Levels counts the levels of a Topic Name or Topic Filter. An empty level counts, so
// "/" has two.
func Levels(s string) int {
	return strings.Count(s, "/") + 1
}

// validateText holds what names and filters have in common.
func validateText(s, what string, code byte) error {
	switch {
	case s == "": // [MQTT-4.7.3-1]
		return &Error{code, "MQTT-4.7.3-1", what + " is empty"}
	case len(s) > MaxLength: // [MQTT-4.7.3-3]
		return &Error{code, "MQTT-4.7.3-3", what + " is longer than 65,535 bytes"}
	case strings.IndexByte(s, 0) >= 0: // [MQTT-4.7.3-2], [MQTT-1.5.4-2]
		return &Error{code, "MQTT-4.7.3-2", what + " contains the null character U+0000"}
	case !utf8.ValidString(s): // [MQTT-1.5.4-1]; surrogates and what is above U+10FFFF too
		return &Error{code, "MQTT-1.5.4-1", what + " is not well-formed UTF-8"}
	}
	return nil
}

// hasWildcard reports whether s contains a wildcard character, in its place or not.
func hasWildcard(s string) bool {
	return strings.IndexByte(s, '+') >= 0 || strings.IndexByte(s, '#') >= 0
}

// dollar reports whether a leading wildcard must not match name [MQTT-4.7.2-1].
func dollar(name string) bool {
	return name != "" && name[0] == '$'
}

// cut splits off the first level. more tells "a/" (an empty level follows) from "a".
func cut(s string) (level, rest string, more bool) {
	if i := strings.IndexByte(s, '/'); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}
