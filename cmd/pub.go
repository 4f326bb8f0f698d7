package cmd

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"mqt/format"
	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/topic"
)

type pubOptions struct {
	connect     connectOptions
	input       string // the flag that says where the payload comes from
	topic       string
	message     string
	file        string
	stdin       bool
	lines       bool
	nul         bool
	empty       bool
	json        bool
	from        topicFrom
	encoding    format.Encoding
	encode      string
	size        int64
	template    bool
	csv         string
	seed        uint64
	qos         mqtt.QoS
	retain      bool
	repeat      int64
	repeatDelay time.Duration
	pace        pace

	flags []*option
}

// forever is a repeat without end.
const forever = -1

func pubCommand(s *Stdio) *cli.Command {
	o := &pubOptions{repeat: 1}
	const g, in, many = group("Message"), group("Payload, one of"), group("Many messages")
	o.flags = []*option{
		g.text("topic t", "`TOPIC` to publish to", &o.topic),
		qosFlag(g, "qos q", &o.qos),
		g.toggle("retain r", "retain the message", &o.retain),
		in.text("message m", "`TEXT` is the payload", &o.message),
		in.text("file f", "`FILE` is the payload; - is stdin", &o.file).notEmpty(),
		in.toggle("stdin-file s", "all of stdin is the payload", &o.stdin),
		in.toggle("stdin-line l", "each line of stdin is a message", &o.lines),
		in.toggle("null-message n", "the payload is empty; with -r this clears the retained message", &o.empty),
		in.toggle("json", "each line of stdin is a message as sub --json prints it, topic and properties too; -t, -q and -r are for lines that do not say", &o.json),
		in.toggle("nul", "each record of stdin that ends with NUL is a message", &o.nul),
		in.value("size", "the payload is `SIZE` random bytes, such as 100, 1KB or 10MiB", o.readSize),
		g.value("encoding", "`ENCODING` that the payload is given in: raw, hex or base64 (default: raw)", o.readEncoding).oneOf("raw", "hex", "base64"),
		g.text("encode", "make the payload with `CODEC` of JSON, or pack it: see above", &o.encode).notEmpty(),
		many.value("topic-from", "each line begins with its topic, and `SEPARATOR` parts it from the payload: space (-v of sub), tab, or any characters; "+
			"json:.path takes the topic out of a line of JSON", o.readTopicFrom).oneOf("space", "tab", "json:."),
		many.value("repeat", "publish the message `NUMBER` times, or forever", o.readRepeat),
		many.duration("repeat-delay", "`TIME` between two of them", &o.repeatDelay),
		many.value("rate", "publish `NUMBER` messages a second, or as 30/m or 5/h", o.pace.readRate),
		many.toggle("template", "fill in ${i} ${uuid} ${rand:1-100} ${ts:rfc3339} ${env:NAME} ${csv:COLUMN} in topic and payload; $${ is ${ itself", &o.template),
		many.text("csv", "`FILE` with a line of names and a line for each message, for ${csv:COLUMN}; it is published once without --repeat and -l", &o.csv).notEmpty(),
		many.value("seed", "`NUMBER` that makes ${rand}, ${uuid} and the bytes of --size the same in each run", o.readSeed),
	}
	o.flags = append(o.flags, o.connect.props.propertyFlags("Message properties (MQTT 5)", "", mqtt.TypePublish, &o.connect.props.publish)...)
	return &cli.Command{
		Name: "pub", Usage: "publish messages",
		UsageText: `mqt pub [-h HOST | -L URL] -t TOPIC [-q QOS] [-r] (-m TEXT | -f FILE | -s | -l | -n)
mqt pub [-h HOST | -L URL] --topic-from space|tab|SEPARATOR|json:.path
mqt pub [-h HOST | -L URL] --json`,
		Description: `It ends when the server has everything: has read the messages of QoS 0, has acknowledged those of
QoS 1 and 2. What comes from stdin goes on over a restart of the server.

Examples:
  mqt pub -t home/lamp -m on
  mqt pub -h broker.example -u me --password-file pw -q 1 -r -t state -f state.json
  tail -f log | mqt pub -q 1 -t log -l
  mqt sub -t 'a/#' --json | jq -c 'select(.qos > 0)' | mqt pub -L mqtt://elsewhere --json
  mqt pub -t 'dev/${i}/temp' -m '${rand:18.0-24.0}' --template --repeat 100 --rate 10/s
  mqt pub -t cam/1 --encode 'gzip|cbor' -m '{"on":true}'

--encode: json (which only checks), cbor, msgpack, protobuf:FILE#MESSAGE (.proto, or a descriptor set)
and avro:SCHEMA.avsc are made of a payload that is JSON; gzip, zlib, zstd and base64 pack what the codec
behind | made, or the payload. The words are those of sub --decode: what --encode 'gzip|cbor' makes,
--decode '=gzip|cbor' reads. It works behind --encoding, which says how the payload is given, and behind
--template; with --json on the payload of each line. JSON has no bytes: text stays text. A payload that
is not what the codec needs ends the run, and the line is named.`,
		Flags:  flags(o.flags, o.connect.flags(s, "publish")),
		Action: func(c *cli.Context) error { return o.run(c.Context, s) },
	}
}

func (o *pubOptions) flag(name string) *option {
	return o.flags[slices.IndexFunc(o.flags, func(f *option) bool { return f.names[0] == name })]
}

func (o *pubOptions) readEncoding(s string) error {
	e, err := format.ParseEncoding(s)
	if err != nil || e == format.Escaped {
		return errors.New("it is raw, hex or base64")
	}
	o.encoding = e
	return nil
}

func (o *pubOptions) readTopicFrom(text string) (err error) {
	o.from, err = readTopicFrom(text)
	return err
}

func (o *pubOptions) readRepeat(s string) error {
	if s == "forever" {
		o.repeat = forever
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return errors.New("it is a number from 1, or forever")
	}
	o.repeat = n
	return nil
}

// streams tells that the messages are the records of stdin.
func (o *pubOptions) streams() bool {
	switch o.input {
	case "stdin-line", "json", "nul", "topic-from":
		return true
	}
	return false
}

// chooseInput finds the flag that says where the payload comes from: of those
// on the command line, else in the environment, else in a file.
func (o *pubOptions) chooseInput() error {
	var all []*option
	strongest := unset
	for name, on := range map[string]bool{"message": true, "file": true, "stdin-file": o.stdin, "stdin-line": o.lines,
		"null-message": o.empty, "size": true, "json": o.json, "nul": o.nul, "topic-from": o.from != nil} {
		if f := o.flag(name); on && f.given() {
			all = append(all, f)
			strongest = max(strongest, f.origin)
		}
	}
	all = slices.DeleteFunc(all, func(f *option) bool { return f.origin < strongest })
	// In the order of the flags; --nul and --topic-from say how -l is meant.
	slices.SortFunc(all, func(f, g *option) int { return slices.Index(o.flags, f) - slices.Index(o.flags, g) })
	if len(all) == 0 {
		return &usageError{text: "nothing to publish", hint: "give -m TEXT, -f FILE, -s, -l or -n"}
	}
	o.input = all[0].names[0]
	var others []string
	for _, f := range all {
		name := f.names[0]
		if !o.streams() || name != o.input && (o.input == "json" || name != "nul" && name != "topic-from") {
			others = append(others, f.typed)
		}
	}
	if o.streams() && len(others) > 0 {
		others = append([]string{all[0].typed}, others...)
	}
	if len(others) > 1 && strongest == fromArgs {
		return &usageError{text: strings.Join(others, " and ") + " each give the payload", hint: "one of them is enough"}
	}
	if !o.streams() || o.input == "json" {
		o.nul, o.from = false, nil
	}
	return nil
}

// recordName is what one of many is called.
func (o *pubOptions) recordName() string {
	switch {
	case o.nul:
		return "record"
	case o.streams():
		return "line"
	}
	return "message"
}

func (o *pubOptions) run(ctx context.Context, s *Stdio) error {
	if err := o.chooseInput(); err != nil {
		return err
	}
	o.connect.lasting = o.streams() || o.repeat != 1 || o.csv != ""
	c, err := o.connect.options(s)
	if err != nil {
		return err
	}
	if o.topic == "" && o.from == nil {
		o.topic = c.Endpoint.Topic
	}
	if err := o.validate(); err != nil {
		return err
	}
	src, err := o.source(s)
	if err != nil {
		return err
	}
	if src.fill != nil && src.fill.rows != nil && !o.flag("repeat").given() {
		o.repeat = int64(len(src.fill.rows))
	}
	p := newPublisher(o, s, src)
	if p.lasting = c.Reconnect != nil; p.lasting {
		p.watch(&c)
		o.outlive(&c)
	}
	if p.c, err = connect(ctx, c); err != nil {
		return err
	}
	p.url = c.Endpoint.String()
	src.old = p.c.Version() < mqtt.V50
	if src.old && o.connect.maxInflight == 0 {
		p.twos = oldInflight
	}
	err = p.run(ctx)
	o.connect.disconnect(ctx, p.c)
	return err
}

// outliveSeconds is how long a session without -x waits for the next
// connection.
const outliveSeconds = 300

// outlive keeps the session over a lost connection, so that QoS 2 delivers once
// there too. The session ends with the run.
func (o *pubOptions) outlive(c *client.Options) {
	c.ResendReceived = true
	if o.qos < mqtt.QoS2 && o.input != "json" || c.KeepSession || c.SessionExpiryInterval > 0 ||
		c.Version != 0 && c.Version < mqtt.V50 || c.Properties.Has(mqtt.SessionExpiryInterval) || o.connect.flag["session-expiry"].given() {
		return
	}
	c.SessionExpiryInterval = outliveSeconds
	if !o.connect.props.disconnect.Has(mqtt.SessionExpiryInterval) {
		o.connect.props.disconnect = append(o.connect.props.disconnect, mqtt.Num(mqtt.SessionExpiryInterval, 0))
	}
}

func (o *pubOptions) validate() error {
	if err := o.validateInput(); err != nil {
		return err
	}
	switch {
	case o.streams() && o.repeat != 1:
		return &usageError{text: o.flag("repeat").typed + " is for one message"}
	case o.pace.every > 0 && !o.connect.lasting:
		return &usageError{text: o.flag("rate").typed + " is for more than one message", hint: "add --repeat NUMBER or -l"}
	case !o.template && o.csv != "":
		return &usageError{text: o.flag("csv").typed + " is for --template"}
	case !o.template && o.input != "size" && o.flag("seed").given():
		return &usageError{text: o.flag("seed").typed + " is for --template and --size"}
	case o.input == "json":
		return nil
	case o.topic == "" && o.from == nil:
		return &usageError{text: "no topic", hint: "give -t TOPIC"}
	case o.topic == "" || o.template: // it comes later
		return nil
	}
	if err := topic.ValidateName(o.topic); err != nil {
		hint := ""
		if strings.ContainsAny(o.topic, "+#") {
			hint = "only sub takes + and #"
		}
		return &usageError{text: "-t " + shown(o.topic) + ": " + plain(err), hint: hint}
	}
	return nil
}

// validateInput finds flags that do not go with where the payload comes from.
func (o *pubOptions) validateInput() error {
	if o.input == "json" {
		for _, name := range []string{"encoding", "template"} {
			if f := o.flag(name); f.origin == fromArgs {
				return &usageError{text: f.typed + " and --json do not go together", hint: "each line says it"}
			}
		}
	}
	switch encode, encoding := o.flag("encode"), o.flag("encoding"); {
	case o.input == "null-message" && encode.origin == fromArgs:
		return &usageError{text: encode.typed + " and " + o.flag(o.input).typed + " do not go together", hint: "the payload of the second stays empty"}
	case o.input == "size" && encoding.origin == fromArgs:
		return &usageError{text: encoding.typed + " and " + o.flag(o.input).typed + " do not go together", hint: "the bytes of the second are raw"}
	}
	if o.from != nil && o.flag("topic").origin == fromArgs && !(o.template && strings.Contains(o.topic, "${topic}")) {
		return &usageError{text: "-t and --topic-from both give the topic",
			hint: "one of them is enough; with --template, ${topic} in -t is the one of the line"}
	}
	return nil
}
