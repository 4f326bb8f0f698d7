package topic

// Covers reports whether every name that narrow matches is matched by wide as well. Both
// must be valid filters without $share. Chapters 4.7.1 and 4.7.2.
func Covers(wide, narrow string) bool {
	if wildFirst(wide) && dollar(narrow) {
		return false // [MQTT-4.7.2-1]
	}
	if narrow == "#" {
		narrow = "+/#" // the same names: each has a first level
	}
	for wide != "#" {
		level, wideRest, wideMore := cut(wide)
		narrowLevel, narrowRest, narrowMore := cut(narrow)
		if narrowLevel == "#" || level != "+" && level != narrowLevel {
			return false
		}
		if !narrowMore {
			return !wideMore || wideRest == "#" // a/# covers a
		}
		if !wideMore {
			return false
		}
		wide, narrow = wideRest, narrowRest
	}
	return true
}

// Overlaps reports whether there is a name that both filters match. Both must be valid
// filters without $share. Chapters 4.7.1 and 4.7.2.
func Overlaps(a, b string) bool {
	if wildFirst(a) && dollar(b) || wildFirst(b) && dollar(a) {
		return false // [MQTT-4.7.2-1]
	}
	for a != "#" && b != "#" {
		aLevel, aRest, aMore := cut(a)
		bLevel, bRest, bMore := cut(b)
		if aLevel != "+" && bLevel != "+" && aLevel != bLevel {
			return false
		}
		switch {
		case !aMore:
			return !bMore || bRest == "#"
		case !bMore:
			return aRest == "#"
		}
		a, b = aRest, bRest
	}
	return true
}

// wildFirst reports whether a filter begins with a wildcard.
func wildFirst(filter string) bool {
	return filter != "" && (filter[0] == '+' || filter[0] == '#')
}
