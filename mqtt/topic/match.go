package topic

// Match reports whether filter matches name [MQTT-3.3.2-3]. Both should be valid, and a filter of a
// Shared Subscription be split first; Match itself checks nothing. Chapters 4.7.1 and
// 4.7.2.
func Match(filter, name string) bool {
	// A leading wildcard never matches a name that starts with $ [MQTT-4.7.2-1].
	if dollar(name) && filter != "" && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	for filter != "#" {
		level, filterRest, filterMore := cut(filter)
		nameLevel, nameRest, nameMore := cut(name)
		if level != "+" && level != nameLevel {
			return false
		}
		if !nameMore {
			return !filterMore || filterRest == "#" // a/# matches a
		}
		if !filterMore {
			return false
		}
		filter, name = filterRest, nameRest
	}
	return true
}
