// Package topic is the one place where Topic Names and Topic Filters meet: what is
// valid, what matches, and the two trees that answer at scale (chapters 4.7 and 4.8.2).
//
// A FilterTree holds filters and is asked with a name: subscriptions, access rules.
// A NameTree holds names and is asked with a filter: retained messages.
//
//	var subscriptions topic.FilterTree[string, *session]
//	if err := topic.ValidateFilter("sensors/+/temperature"); err != nil {
//		return err
//	}
//	subscriptions.Set("sensors/+/temperature", "client-1", s)
//	for _, s := range subscriptions.AppendMatches(nil, "sensors/7/temperature") {
//		s.deliver(message)
//	}
//
// Match and both trees read a filter alike, valid or not: a level "+" stands for any
// one level, a last level "#" for its parent and everything below, and any other level
// for itself, byte by byte. There is no Unicode normalisation [MQTT-4.7.3-4].
package topic
