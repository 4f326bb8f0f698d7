package cmd

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"mqt/mqtt"
)

func (o *subOptions) topicFlags() []*option {
	const g = group("Topics")
	return []*option{
		g.list("topic t", "Topic `FILTER` to subscribe to; may be repeated", &o.topics),
		g.value("qos q", "`QOS` 0, 1 or 2 (default: 0); given once it is for all topics, repeated for one after the other", o.readQoS).oneOf("0", "1", "2"),
		g.list("unsubscribe U", "`FILTER` that a kept session shall not have any more; may be repeated", &o.unsubscribe),
		g.list("filter-out T", "`FILTER` of topics not to print; may be repeated", &o.filterOut),
		g.toggle("no-retained R", "no messages that were retained before", &o.noRetained),
		g.toggle("retained-only", "only those; end at the first other one", &o.retainedOnly),
		g.toggle("remove-retained", "clear the retained messages that come; with --retained-only end when that is done", &o.removeRetained),
		g.toggle("retain-as-published", "leave the retain flag as the publisher set it (MQTT 5)", &o.retainAsPublished),
		g.value("retain-handling", "send retained messages `WHEN`: always, new or never (MQTT 5)", o.readRetainHandling).oneOf("always", "new", "never"),
		g.toggle("no-local", "not what this client itself publishes (MQTT 5)", &o.noLocal),
		g.toggle("allow-partial", "go on when only some topics are granted", &o.allowPartial),
	}
}

func (o *subOptions) propertyFlags() []*option {
	p := &o.connect.props
	const properties = group("Properties of the subscription (MQTT 5)")
	all := p.propertyFlags(properties, "", mqtt.TypeSubscribe, &p.subscribe)
	i := slices.IndexFunc(all, func(f *option) bool { return f.names[0] == mqtt.SubscriptionIdentifier.String() })
	identifier := o.identifierFlag(properties)
	p.flags[len(p.flags)-len(all)+i], all[i] = identifier, identifier // only 5.0 has it
	return append(all, p.propertyFlags(properties, "unsubscribe-", mqtt.TypeUnsubscribe, &p.unsubscribe)...)
}

func (o *subOptions) outputFlags() []*option {
	const g = group("Output")
	return append([]*option{
		g.toggle("verbose v", "print the topic before the payload", &o.verbose),
		g.text("format F", "`FORMAT` of a message, in mosquitto's language: see above", &o.format),
		g.toggle("json", "print one JSON object a line", &o.json),
		g.toggle("pretty", "indent JSON", &o.pretty),
		g.toggle("no-eol N", "no line feed after a message", &o.noEOL),
		g.value("random-filter", "print only `PERCENT` of the messages, by chance, such as 12.5", o.readSample),
		g.text("jq", "print what the jq `EXPRESSION` makes of the --json object, whose payload is parsed if it is JSON", &o.jq),
		g.toggle("rate-only message-rate", "print only a line a second: messages/s, bytes/s, messages so far", &o.rateOnly).fromFirst(),
		g.toggle("watch w", "print each topic's last message on a line of its own, for terminals", &o.watch),
		o.color.flag(g),
	}, o.formatFlags()...)
}

func (o *subOptions) endFlags() []*option {
	const g = group("End")
	return []*option{
		number(g, "count C", "end after `NUMBER` messages", &o.count, 1, 1<<31-1),
		g.value("timeout W", "end after `TIME`, such as 3, 2.5 or 500ms, with exit code 27", positive(&o.timeout)),
		g.value("idle", "end when no message came for `TIME`, with exit code 27", positive(&o.idle)),
		g.text("until", "end after the first message for which the jq `EXPRESSION` is true", &o.until),
		g.toggle("each-topic-once", "only the first message of each topic; with -C so many topics", &o.once),
		g.toggle("retained-end", "print what is retained, and end when that was all", &o.retainedEnd),
		g.toggle("exit-after-subscribe E", "end when the server has granted the subscriptions", &o.exitAfter),
	}
}

func (o *subOptions) actFlags() []*option {
	const g = group("Acting")
	return append([]*option{
		g.text("save", "write the payload of each message into a file of its own in `DIRECTORY`; with --json its object beside it", &o.save).notEmpty(),
	}, o.exec.flags(g)...)
}

func (o *subOptions) flag(name string) *option {
	return o.flags[slices.IndexFunc(o.flags, func(f *option) bool { return f.names[0] == name })]
}

func (o *subOptions) readQoS(s string) error {
	q, err := parseQoS(s)
	o.qos = append(o.qos, q)
	return err
}

func (o *subOptions) readRetainHandling(s string) error {
	i := slices.IndexFunc([][2]string{{"always", "0"}, {"new", "1"}, {"never", "2"}},
		func(names [2]string) bool { return names[0] == s || names[1] == s })
	if i < 0 {
		return errors.New("it is always, new or never")
	}
	o.retainHandling = byte(i)
	return nil
}

func (o *subOptions) readSample(s string) (err error) {
	o.sample, err = strconv.ParseFloat(s, 64)
	if err != nil || !(o.sample >= 0 && o.sample <= 100) {
		return errors.New("it is a number from 0 to 100")
	}
	return nil
}

// positive reads a time that is not 0.
func positive(dst *time.Duration) func(string) error {
	return func(s string) (err error) {
		if *dst, err = parseDuration(s); err == nil && *dst == 0 {
			err = errors.New("it is longer than 0")
		}
		return err
	}
}
