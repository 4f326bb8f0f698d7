package topic

import "strings"

const sharePrefix = "$share/"

// ValidateFilter reports whether filter may be the Topic Filter of a SUBSCRIBE or
// UNSUBSCRIBE. One that starts with $share/ is held to the rules of Shared
// Subscriptions, its inner filter to those of any other. The error is an *Error with
// CodeFilterInvalid. Chapters 4.7, 4.8.2 and 1.5.4.
func ValidateFilter(filter string) error {
	if err := validateText(filter, "Topic Filter", CodeFilterInvalid); err != nil {
		return err
	}
	_, inner, _, err := SplitShare(filter)
	if err != nil {
		return err
	}
	return validateWildcards(inner)
}

// SplitShare takes apart the filter of a Shared Subscription, $share/group/inner. Any
// other filter comes back whole as inner, with shared false. The error, an *Error with
// CodeFilterInvalid, is only about the $share form: ValidateFilter judges the rest.
// Chapter 4.8.2.
func SplitShare(filter string) (group, inner string, shared bool, err error) {
	tail, shared := strings.CutPrefix(filter, sharePrefix)
	if !shared {
		return "", filter, false, nil
	}
	group, inner, more := cut(tail)
	switch {
	case group == "": // [MQTT-4.8.2-1]
		err = &Error{CodeFilterInvalid, "MQTT-4.8.2-1", "ShareName is empty"}
	case hasWildcard(group): // [MQTT-4.8.2-2]
		err = &Error{CodeFilterInvalid, "MQTT-4.8.2-2", "ShareName contains a wildcard character"}
	case !more || inner == "": // [MQTT-4.8.2-2]
		err = &Error{CodeFilterInvalid, "MQTT-4.8.2-2", "no Topic Filter follows the ShareName"}
	}
	if err != nil {
		return "", "", true, err
	}
	return group, inner, true, nil
}

// validateWildcards checks that each wildcard character is alone in its level, and "#"
// in the last one.
func validateWildcards(filter string) error {
	if !hasWildcard(filter) {
		return nil
	}
	for more := true; more; {
		var level string
		level, filter, more = cut(filter)
		switch {
		case strings.IndexByte(level, '#') >= 0 && (more || level != "#"): // [MQTT-4.7.1-1]
			return &Error{CodeFilterInvalid, "MQTT-4.7.1-1", "# must stand alone in the last level of a Topic Filter"}
		case strings.IndexByte(level, '+') >= 0 && level != "+": // [MQTT-4.7.1-2]
			return &Error{CodeFilterInvalid, "MQTT-4.7.1-2", "+ must stand alone in its level of a Topic Filter"}
		}
	}
	return nil
}
