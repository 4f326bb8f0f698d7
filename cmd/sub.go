package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"mqt/format"
	"mqt/mqtt"
	"mqt/mqtt/topic"
)

type subOptions struct {
	connect      connectOptions
	topics       []string
	qos          []mqtt.QoS
	identifiers  mqtt.Properties // Subscription Identifiers
	unsubscribe  []string
	filterOut    []string
	allowPartial bool

	noLocal, retainAsPublished bool
	retainHandling             byte
	noRetained, retainedOnly   bool
	removeRetained             bool

	count       int
	timeout     time.Duration
	idle        time.Duration
	until       string
	once        bool // one message from each topic
	retainedEnd bool
	exitAfter   bool    // -E
	sample      float64 // percent

	verbose, noEOL, json, pretty bool
	format, jq                   string
	output                       string
	decode                       []string
	color                        colorMode
	rateOnly, watch              bool

	save string
	exec execOptions

	flags []*option
}

func subCommand(s *Stdio) *cli.Command {
	o := &subOptions{sample: 100}
	o.flags = slices.Concat(o.topicFlags(), o.outputFlags(), o.endFlags(), o.actFlags(), o.propertyFlags())
	return &cli.Command{
		Name: "sub", Usage: "print messages as they come",
		UsageText: "mqt sub [-h HOST | -L URL] -t FILTER [-q QOS]...\n        [-v | -F FORMAT | --json | --jq EXPR] [-C COUNT] [-W TIME]",
		Description: `A QoS 1 or 2 message is acknowledged when it is printed, saved, or its --exec command has ended with 0.

-F: %t topic, %p payload, %x %X payload in hex, %l its length, %q QoS, %r retain, %m packet id,
%j %J JSON, %I %U time, %C content type, %R response topic, %D correlation data, %P user properties,
%S subscription identifier, %A topic alias, %E expiry, %F format indicator, %f %d payload as float or
double, %% percent; @H and so on as in strftime, @N nanoseconds; \n \t \0 and so on.
As %[-][0][width][.precision][separator]X.

Examples:
  mqt sub -t 'home/#' -v
  value=$(mqt sub -t state -C 1 -W 2.5)
  mqt sub -t a -q 1 -t b -q 0 -F '@H:@M:@S.@N %t %x'
  mqt sub -c -i logger -q 1 -t 'log/#' --json >>log.ndjson
  mqt sub -t '#' --retained-only --remove-retained
  mqt sub -t 'home/#' --jq 'select(.payload.temp > 30) | .topic'
  mqt sub -t job/7 --until '.payload.state == "done"' -W 1m
  mqt sub -t 'state/#' --retained-end -v
  mqt sub -c -i worker -q 1 -t jobs --exec './work "$MQTT_TOPIC"' --exec-parallel 4
  mqt sub -t 'spBv1.0/#' --decode =sparkplug --output human
  mqt sub -t '#' -v --decode 'cam/+=gzip|json' --decode 'meter/#=protobuf:meter.proto#Reading'

--decode: json, cbor, msgpack, protobuf:FILE#MESSAGE (.proto, or a descriptor set), avro:SCHEMA.avsc
and sparkplug make JSON; gzip, zlib, zstd and base64 unpack, for a codec behind | to go on. No FILTER
is every topic. What cannot be decoded is printed as {"decode_error":...,"payload":...}, and counted.
In --json the payload stays, followed by "decoded". %p is the decoded payload, %x %X %l are of the one
that came.

--jq and --until see what --json prints, with .payload parsed where it is JSON; a payload that is not
text is .payload_base64, and --decode adds .decoded.

--exec: the payload is the command's stdin, and its environment has MQTT_TOPIC, MQTT_QOS, MQTT_RETAIN,
MQTT_DUP, MQTT_MESSAGE_ID, MQTT_CONTENT_TYPE, MQTT_RESPONSE_TOPIC, MQTT_CORRELATION_DATA (or, if that
is no text, MQTT_CORRELATION_DATA_BASE64), MQTT_MESSAGE_EXPIRY_INTERVAL, MQTT_PAYLOAD_FORMAT_INDICATOR,
MQTT_SUBSCRIPTION_IDENTIFIER, MQTT_USER_PROPERTY_NAME (in capitals, with _ for what is no letter or
digit; the first of a name) and MQTT_USER_PROPERTIES (all, as in JSON). What the message has not is not
set.

--save: files are named TIME-NUMBER-TOPIC, with + in the place of / and %XX of what no file's name may
hold.`,
		Flags:  flags(o.flags, o.connect.flags(s, "subscribe", "unsubscribe")),
		Action: func(c *cli.Context) error { return o.run(c.Context, s) },
	}
}

// printer is the output's form; nil: nothing is printed.
func (o *subOptions) printer(s *Stdio) (format.Printer, error) {
	var forms []string
	for _, name := range []string{"json", "format", "jq", "output"} {
		if o.flag(name).given() && !(name == "output" && o.outputCodec()) {
			forms = append(forms, o.flag(name).typed)
		}
	}
	if len(forms) > 1 {
		return nil, &usageError{text: forms[0] + " and " + forms[1] + " each give a format", hint: "one of them is enough"}
	}
	handed := o.save != "" || o.exec.command != "" // on to something else
	switch {
	case o.rateOnly:
		return nil, nil
	case o.flag("jq").given(): // a filter, if the message is handed on
		return newJQPrinter(o.flag("jq"), o.jq, o, s)
	case o.json && o.save != "":
		return nil, nil // it goes into the files
	case o.json:
		return &format.JSON{Pretty: o.pretty, NoEOL: o.noEOL}, nil
	case o.flag("format").given():
		t, err := format.ParseTemplate(o.format, format.TemplateOptions{NoEOL: o.noEOL, Pretty: o.pretty, Escape: isTerminal(s.Out)})
		if err != nil {
			return nil, &usageError{text: o.flag("format").typed + " " + plain(err), hint: "see mqt sub --help"}
		}
		return t, nil
	case handed && !o.verbose && o.output == "":
		return nil, nil
	}
	return o.textPrinter(s)
}

// subscriptions are what SUBSCRIBE asks for.
func (o *subOptions) subscriptions() ([]mqtt.Subscription, error) {
	if len(o.topics) == 0 && len(o.unsubscribe) == 0 {
		return nil, &usageError{text: "no topic", hint: "give -t FILTER"}
	}
	if len(o.qos) > max(1, len(o.topics)) {
		return nil, &usageError{text: fmt.Sprintf("-q is given %d times for %d topics", len(o.qos), len(o.topics)),
			hint: "give it once for all, or once for each"}
	}
	if err := o.validateIdentifiers(); err != nil {
		return nil, err
	}
	var subs []mqtt.Subscription
	for i, filter := range o.topics {
		if err := validFilter("-t", filter); err != nil {
			return nil, err
		}
		sub := mqtt.Subscription{Filter: filter, NoLocal: o.noLocal, RetainAsPublished: o.retainAsPublished, RetainHandling: o.retainHandling}
		if _, _, shared, _ := topic.SplitShare(filter); shared && o.noLocal { // [MQTT-3.8.3-4]
			return nil, &usageError{text: o.flag("no-local").typed + " and a shared subscription do not go together"}
		}
		if len(o.qos) > 0 {
			sub.QoS = o.qos[min(i, len(o.qos)-1)]
		}
		if o.noRetained && !o.flag("retain-handling").given() {
			sub.RetainHandling = 2 // before 5.0 they come, and are not printed
		}
		subs = append(subs, sub)
	}
	for _, f := range o.unsubscribe {
		if err := validFilter("-U", f); err != nil {
			return nil, err
		}
	}
	for _, f := range o.filterOut {
		if err := validFilter("-T", f); err != nil {
			return nil, err
		}
	}
	return subs, nil
}

func validFilter(flag, filter string) error {
	if err := topic.ValidateFilter(filter); err != nil {
		return &usageError{text: flag + " " + shown(filter) + ": " + plain(err), hint: "+ stands for one whole level, # for all that follow"}
	}
	return nil
}

func (o *subOptions) run(ctx context.Context, s *Stdio) error {
	for _, name := range []string{"no-local", "retain-as-published", "retain-handling"} {
		o.connect.props.flags = append(o.connect.props.flags, o.flag(name)) // only 5.0 has them
	}
	if o.exec.fail == failRefuse {
		o.connect.props.flags = append(o.connect.props.flags, o.flag("exec-fail"))
	}
	o.connect.lasting = true
	c, err := o.connect.options(s)
	if err != nil {
		return err
	}
	if c.Endpoint.Topic != "" && (len(o.topics) == 0 || o.connect.flag["url"].origin == fromArgs) {
		o.topics = append([]string{c.Endpoint.Topic}, o.topics...)
	}
	subs, err := o.subscriptions()
	if err != nil {
		return err
	}
	r, err := o.subscriber(s)
	if err != nil {
		return err
	}
	defer r.close()
	r.url = c.Endpoint.String()
	c.ReceiveMaximum = o.receiveMaximum()
	if o.connect.keepSession || slices.ContainsFunc(subs, func(s mqtt.Subscription) bool { return s.QoS > mqtt.QoS0 }) {
		c.Transport.Linger = goodbyeTimeout // there may be acknowledgements, see leave
	}
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.timeout, errTimeout)
		defer cancel()
	}
	if r.c, err = connect(ctx, c); err != nil {
		return o.ended(err)
	}
	err = r.run(ctx, subs)
	o.connect.disconnect(ctx, r.c)
	r.leave(ctx)
	return o.ended(err)
}

// contradictions are flags that make no sense together.
func (o *subOptions) contradictions() error {
	const neither = "then nothing would be printed"
	for _, pair := range []struct{ a, b, hint string }{
		{"no-retained", "retained-only", neither},
		{"no-retained", "retained-end", neither},
		{"retained-end", "retained-only", "the first ends by itself, the second at the first other message"},
		{"retained-end", "retain-as-published", "then a retained message cannot be told from another"},
		{"rate-only", "format", "one of them is enough"},
		{"rate-only", "jq", "one of them is enough"},
		{"rate-only", "output", "one of them is enough"},
		{"rate-only", "save", "one of them is enough"},
		{"rate-only", "exec", "one of them is enough"},
		{"rate-only", "watch", "one of them is enough"},
		{"watch", "no-eol", "each topic has a line"},
		{"watch", "pretty", "each topic has a line"},
	} {
		if a, b := o.flag(pair.a), o.flag(pair.b); a.given() && b.given() && a.values[0] != "false" && b.values[0] != "false" {
			return &usageError{text: a.typed + " and " + b.typed + " do not go together", hint: pair.hint}
		}
	}
	return o.exec.contradictions()
}

// receiveMaximum lets the server send no more than will be printed: the rest
// stays in the session.
func (o *subOptions) receiveMaximum() uint16 {
	if o.connect.props.connect.Has(mqtt.ReceiveMaximum) {
		return 0
	}
	n := o.connect.maxInflight
	if o.count > 0 && o.count < 65535 && o.exec.command == "" && (n == 0 || o.count < int(n)) {
		n = uint16(o.count)
	}
	return n
}

// The ends of a run that are no failures of the connection.
var (
	errTimeout    = errors.New("the time of -W is over")
	errIdle       = errors.New("the time of --idle is over")
	errSubscribed = errors.New("subscribed")
	errDone       = errors.New("done")
)

// ended gives the end of a run its meaning: a signal is a normal one.
func (o *subOptions) ended(err error) error {
	switch {
	case errors.Is(err, errTimeout):
		return &exitError{code: exitTimeout, err: fmt.Errorf("the time of -W %v ran out", o.timeout)}
	case errors.Is(err, errIdle):
		return &exitError{code: exitTimeout, err: fmt.Errorf("no message came for the time of --idle %v", o.idle)}
	case err == nil, errors.Is(err, errDone), errors.Is(err, errSubscribed), errors.Is(err, context.Canceled):
		return nil
	}
	return err
}
