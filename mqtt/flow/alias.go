package flow

import "mqt/mqtt"

// AliasIn resolves the Topic Aliases of the PUBLISH packets that one Network
// Connection receives, section 3.3.2.3.4. The zero value accepts none.
type AliasIn struct {
	topics  map[uint16]string // nil while none is set
	maximum uint16
}

// Reset begins a new Network Connection, for which we gave the Topic Alias
// Maximum; 0 accepts none. No mapping is carried forward [MQTT-3.3.2-7].
//
// The maximum is the bound on what the peer can make the connection remember:
// that many Topic Names.
func (a *AliasIn) Reset(maximum uint16) { *a = AliasIn{maximum: maximum} }

// Resolve returns the Topic Name of a PUBLISH that has a Topic Alias. A topic
// that is not empty becomes the alias's new meaning; it is copied, and not at
// all if it means that already. All aliases from 1 to the maximum are accepted
// [MQTT-3.3.2-10], [MQTT-3.3.2-12].
//
// Errors are *mqtt.Error: 0x94 for 0 [MQTT-3.3.2-8] or more than the maximum (with
// the Statement for a Client, [MQTT-3.3.2-9]; the Server's is
// [MQTT-3.3.2-11]); 0x82 for an empty topic whose alias has no meaning yet.
func (a *AliasIn) Resolve(alias uint16, topic []byte) (string, error) {
	switch {
	case alias == 0:
		return "", &mqtt.Error{Code: mqtt.TopicAliasInvalid, Statement: "MQTT-3.3.2-8", Text: "topic alias is 0"}
	case alias > a.maximum:
		return "", &mqtt.Error{Code: mqtt.TopicAliasInvalid, Statement: "MQTT-3.3.2-9",
			Text: "topic alias is above the Topic Alias Maximum"}
	}
	known, ok := a.topics[alias]
	if len(topic) == 0 {
		if !ok {
			return "", &mqtt.Error{Code: mqtt.ProtocolError, Statement: "3.3.2.3.4",
				Text: "topic alias without a topic, and none was given before"}
		}
		return known, nil
	}
	if !ok || known != string(topic) {
		if a.topics == nil {
			a.topics = make(map[uint16]string)
		}
		known = string(topic)
		a.topics[alias] = known
	}
	return known, nil
}

// AliasOut chooses the Topic Aliases of the PUBLISH packets that one Network
// Connection sends. Topics get aliases as they come; when all are given, a
// topic that has not been used for a while loses its alias to a new one. The
// zero value chooses none.
type AliasOut struct {
	given   *given // nil while none is given
	maximum uint16
}

type given struct {
	byTopic map[string]uint16
	topics  []givenTopic // of alias i+1
	hand    int          // of the second-chance clock
}

type givenTopic struct {
	name   string
	recent bool // used since the hand was here last
}

// Reset begins a new Network Connection with the peer's Topic Alias Maximum,
// or a lower one that bounds the memory; 0 chooses none. Nothing is carried
// forward [MQTT-3.3.2-7]. No alias above the maximum is chosen
// [MQTT-3.3.2-9], [MQTT-3.3.2-11], nor 0 [MQTT-3.3.2-8].
func (a *AliasOut) Reset(maximum uint16) { *a = AliasOut{maximum: maximum} }

// Assign returns the Topic Alias for a PUBLISH to a topic. 0: send the topic
// without one. Known: the peer has it, send the alias and an empty topic.
// Otherwise send both; the PUBLISH must then really be sent on this Network
// Connection before another one to the topic, or be taken back by Forget.
func (a *AliasOut) Assign(topic string) (alias uint16, known bool) {
	if a.maximum == 0 || topic == "" {
		return 0, false
	}
	if a.given == nil {
		a.given = &given{byTopic: make(map[string]uint16)}
	}
	g := a.given
	if alias, known = g.byTopic[topic]; known {
		g.topics[alias-1].recent = true
		return alias, true
	}
	i := len(g.topics)
	if i < int(a.maximum) {
		g.topics = append(g.topics, givenTopic{})
	} else if i = g.victim(); i < 0 {
		return 0, false
	}
	g.topics[i] = givenTopic{name: topic}
	alias = uint16(i + 1)
	g.byTopic[topic] = alias
	return alias, false
}

// victim moves the hand by one and takes the alias there from its topic, unless
// that was used since. So each miss costs the same, and a run over more topics
// than aliases does not drive out those that are used often.
func (g *given) victim() int {
	i := g.hand
	g.hand = (g.hand + 1) % len(g.topics)
	if g.topics[i].recent {
		g.topics[i].recent = false
		return -1
	}
	delete(g.byTopic, g.topics[i].name)
	return i
}

// Forget takes back an alias that Assign gave as not known, because its PUBLISH
// is not sent after all. The alias is given to another topic in its turn.
func (a *AliasOut) Forget(alias uint16) {
	if a.given == nil || alias == 0 || int(alias) > len(a.given.topics) {
		return
	}
	t := &a.given.topics[alias-1]
	if t.name != "" {
		delete(a.given.byTopic, t.name)
	}
	*t = givenTopic{}
}
