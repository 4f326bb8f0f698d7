package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mqt/mqtt"
	"mqt/mqtt/topic"
)

// propertySets are the properties of 5.0 for each packet that a client sends.
type propertySets struct {
	connect, will, publish, subscribe, unsubscribe, disconnect mqtt.Properties

	flags []*option // all that set one
}

// given names a flag that set a property, "" if none did.
func (p *propertySets) given() string {
	for _, f := range p.flags {
		if f.given() {
			return f.typed
		}
	}
	return ""
}

// set returns the properties of a packet by -D's name for it, and its type.
func (p *propertySets) set(command string) (*mqtt.Properties, mqtt.Type) {
	switch command {
	case "connect":
		return &p.connect, mqtt.TypeConnect
	case "will":
		return &p.will, 0
	case "publish":
		return &p.publish, mqtt.TypePublish
	case "subscribe":
		return &p.subscribe, mqtt.TypeSubscribe
	case "unsubscribe":
		return &p.unsubscribe, mqtt.TypeUnsubscribe
	case "disconnect":
		return &p.disconnect, mqtt.TypeDisconnect
	}
	return nil, 0
}

// dashD is -D CMD NAME [KEY] VALUE, for the commands given.
func (p *propertySets) dashD(g group, commands []string) *option {
	usage := "property `COMMAND NAME [KEY] VALUE` as mosquitto has it; COMMAND is " + strings.Join(commands, ", ")
	o := g.value("property D", usage, func(s string) error { return p.readDashD(commands, strings.Split(s, "\x00")) })
	o.words = func(rest []string) int {
		if len(rest) > 1 && rest[1] == mqtt.UserProperty.String() {
			return 4
		}
		return 3
	}
	o.choices, o.repeats = commands, true
	p.flags = append(p.flags, o)
	return o
}

func (p *propertySets) readDashD(commands, w []string) error {
	if len(w) < 3 {
		return errors.New("it is COMMAND NAME VALUE, or COMMAND user-property KEY VALUE")
	}
	if !slices.Contains(commands, w[0]) {
		return fmt.Errorf("the command is one of %s", strings.Join(commands, ", "))
	}
	set, packet := p.set(w[0])
	id, ok := mqtt.ParsePropertyID(w[1])
	if !ok || !settable(id, packet) {
		return fmt.Errorf("%s has no such property: it has %s", w[0], strings.Join(propertyNames(packet), ", "))
	}
	if id == mqtt.UserProperty {
		if len(w) != 4 {
			return errors.New("a user property has a KEY and a VALUE")
		}
		return addUser(set, w[2], w[3])
	}
	return addProperty(set, id, w[2])
}

// propertyFlags are the long flags of packet t's properties. names avoid those
// that are flags already.
func (p *propertySets) propertyFlags(g group, prefix string, t mqtt.Type, set *mqtt.Properties) []*option {
	var all []*option
	for _, id := range properties(t) {
		name := prefix + strings.TrimPrefix(id.String(), prefix) // will-delay-interval
		switch {
		case t == mqtt.TypeConnect && id == mqtt.SessionExpiryInterval:
			continue // -x
		case t == mqtt.TypeConnect && id == mqtt.UserProperty:
			name = "connect-user-property"
		}
		all = append(all, g.value(name, propertyUsage(id, t), func(s string) error {
			if id == mqtt.UserProperty {
				key, value, ok := strings.Cut(s, "=")
				if !ok {
					return errors.New("it is KEY=VALUE")
				}
				return addUser(set, key, value)
			}
			return addProperty(set, id, s)
		}))
		all[len(all)-1].terse, all[len(all)-1].repeats = true, id == mqtt.UserProperty
	}
	p.flags = append(p.flags, all...)
	return all
}

// propertyUsage is a property's line in the help.
func propertyUsage(id mqtt.PropertyID, t mqtt.Type) string {
	what := strings.ReplaceAll(id.String(), "-", " ")
	packet := map[mqtt.Type]string{0: "the will", mqtt.TypeConnect: "CONNECT", mqtt.TypePublish: "the message",
		mqtt.TypeSubscribe: "SUBSCRIBE", mqtt.TypeUnsubscribe: "UNSUBSCRIBE", mqtt.TypeDisconnect: "DISCONNECT"}[t]
	switch {
	case id == mqtt.UserProperty:
		return "user property `KEY=VALUE` of " + packet + "; may be repeated"
	case id.IsNumber() && id.MaxNumber() == 1:
		return fmt.Sprintf("%s of %s, `0|1`", what, packet)
	case id.IsNumber():
		return fmt.Sprintf("%s of %s, a `NUMBER`", what, packet)
	case id.IsBinary():
		return fmt.Sprintf("%s of %s, any `DATA`", what, packet)
	}
	return fmt.Sprintf("%s of %s, a `TEXT`", what, packet)
}

// settable tells that a client may set the property in packet t.
func settable(id mqtt.PropertyID, t mqtt.Type) bool {
	switch {
	case t == mqtt.TypePublish && id == mqtt.SubscriptionIdentifier, // [MQTT-3.3.4-6]
		t == mqtt.TypeDisconnect && id == mqtt.ServerReference: // section 3.14.2.2.5
		return false
	}
	return id.AllowedIn(t)
}

func properties(t mqtt.Type) []mqtt.PropertyID {
	var ids []mqtt.PropertyID
	for id := mqtt.PropertyID(1); id < 0x7f; id++ {
		if settable(id, t) {
			ids = append(ids, id)
		}
	}
	return ids
}

func propertyNames(t mqtt.Type) []string {
	var names []string
	for _, id := range properties(t) {
		names = append(names, id.String())
	}
	return names
}

// maxText is what a string or binary data of a packet can hold.
const maxText = 65535

var errTooLong = fmt.Errorf("it is longer than %d bytes", maxText)

func addUser(set *mqtt.Properties, key, value string) error {
	if err := errors.Join(validText(key), validText(value)); err != nil {
		return errors.New("key and value must be UTF-8 without NUL")
	}
	if max(len(key), len(value)) > maxText {
		return errTooLong
	}
	*set = append(*set, mqtt.User(key, value))
	return nil
}

func addProperty(set *mqtt.Properties, id mqtt.PropertyID, value string) error {
	if set.Has(id) {
		return fmt.Errorf("%s is given twice", id)
	}
	p := mqtt.Str(id, value)
	switch {
	case len(value) > maxText:
		return errTooLong
	case id == mqtt.ResponseTopic: // [MQTT-3.3.2-14]
		if err := topic.ValidateName(value); err != nil {
			return errors.New(plain(err))
		}
	case id.IsNumber():
		low := uint64(0)
		switch id {
		case mqtt.ReceiveMaximum, mqtt.MaximumPacketSize, mqtt.TopicAlias, mqtt.SubscriptionIdentifier:
			low = 1 // 0 is a Protocol Error
		}
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || n < low || n > uint64(id.MaxNumber()) {
			return fmt.Errorf("%s is a number from %d to %d", id, low, id.MaxNumber())
		}
		p = mqtt.Num(id, uint32(n))
	case id.IsBinary():
		p = mqtt.Bin(id, []byte(value))
	default:
		if err := validText(value); err != nil {
			return err
		}
	}
	*set = append(*set, p)
	return nil
}
