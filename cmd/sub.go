package cmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"mqt/format"
	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/topic"
)

type subOptions struct {
	connect      connectOptions
	topics       []string
	qos          []mqtt.QoS
	unsubscribe  []string
	filterOut    []string
	allowPartial bool

	noLocal, retainAsPublished bool
	retainHandling             byte
	noRetained, retainedOnly   bool
	removeRetained             bool

	count     int
	timeout   time.Duration
	exitAfter bool // -E
	sample    int  // percent

	verbose, noEOL, json, pretty bool
	format                       string
	color                        colorMode

	flags []*option
}

func subCommand(s *Stdio) *cli.Command {
	o := &subOptions{sample: 100}
	o.flags = slices.Concat(o.topicFlags(), o.outputFlags(), o.endFlags(), o.propertyFlags())
	return &cli.Command{
		Name: "sub", Usage: "print messages as they come",
		UsageText: "mqt sub [-h HOST | -L URL] -t FILTER [-q QOS]... [-v | -F FORMAT | --json] [-C COUNT] [-W TIME]",
		Description: `A QoS 1 or 2 message is acknowledged when it is printed, not before.
-F: %t topic, %p payload, %x %X payload in hex, %l its length, %q QoS, %r retain, %m packet id, %j %J JSON,
%I %U time, %C content type, %R response topic, %D correlation data, %P user properties, %S subscription
identifier, %A topic alias, %E expiry, %F format indicator, %f %d payload as float or double, %% percent;
@H and so on as in strftime, @N nanoseconds; \n \t \0 and so on. As %[-][0][width][.precision][separator]X.

Examples:
  mqt sub -t 'home/#' -v
  value=$(mqt sub -t state -C 1 -W 2.5)
  mqt sub -t a -q 1 -t b -q 0 -F '@H:@M:@S.@N %t %x'
  mqt sub -c -i logger -q 1 -t 'log/#' --json >>log.ndjson
  mqt sub -t '#' --retained-only --remove-retained`,
		Flags:  flags(o.flags, o.connect.flags(s, "subscribe", "unsubscribe")),
		Action: func(c *cli.Context) error { return o.run(c.Context, s) },
	}
}

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
	return append(all, p.propertyFlags(properties, "unsubscribe-", mqtt.TypeUnsubscribe, &p.unsubscribe)...)
}

func (o *subOptions) outputFlags() []*option {
	const g = group("Output")
	return []*option{
		g.toggle("verbose v", "print the topic before the payload", &o.verbose),
		g.text("format F", "`FORMAT` of a message, in mosquitto's language: see above", &o.format),
		g.toggle("json", "print one JSON object a line", &o.json),
		g.toggle("pretty", "indent JSON", &o.pretty),
		g.toggle("no-eol N", "no line feed after a message", &o.noEOL),
		number(g, "random-filter", "print only `PERCENT` of the messages, by chance", &o.sample, 0, 100),
		o.color.flag(g),
	}
}

func (o *subOptions) endFlags() []*option {
	const g = group("End")
	return []*option{
		number(g, "count C", "end after `NUMBER` messages", &o.count, 1, 1<<31-1),
		g.duration("timeout W", "end after `TIME`, such as 3, 2.5 or 500ms, with exit code 27", &o.timeout),
		g.toggle("exit-after-subscribe E", "end when the server has granted the subscriptions", &o.exitAfter),
	}
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

// printer is the output's form.
func (o *subOptions) printer(s *Stdio) (format.Printer, error) {
	switch {
	case o.json && o.format != "":
		return nil, &usageError{text: "--json and -F each give a format", hint: "one of them is enough"}
	case o.json:
		return &format.JSON{Pretty: o.pretty, NoEOL: o.noEOL}, nil
	case o.flag("format").given():
		t, err := format.ParseTemplate(o.format, format.TemplateOptions{NoEOL: o.noEOL, Pretty: o.pretty})
		if err != nil {
			return nil, &usageError{text: o.flag("format").typed + " " + plain(err), hint: "see mqt sub --help"}
		}
		return t, nil
	case o.pretty:
		return nil, &usageError{text: "--pretty indents JSON", hint: "add --json, or -F with %j"}
	}
	text := &format.Text{Topic: o.verbose, NoEOL: o.noEOL, Style: o.color.style(s.Out)}
	if isTerminal(s.Out) {
		text.Encoding = format.Escaped
	}
	return text, nil
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
	var subs []mqtt.Subscription
	for i, filter := range o.topics {
		if err := validFilter("-t", filter); err != nil {
			return nil, err
		}
		sub := mqtt.Subscription{Filter: filter, NoLocal: o.noLocal, RetainAsPublished: o.retainAsPublished, RetainHandling: o.retainHandling}
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
	printer, err := o.printer(s)
	if err != nil {
		return err
	}
	c.ReceiveMaximum = o.receiveMaximum()
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.timeout, errTimeout)
		defer cancel()
	}
	conn, err := connect(ctx, c)
	if err != nil {
		return o.ended(err)
	}
	r := &subscriber{o: o, s: s, c: conn, printer: printer, out: bufio.NewWriterSize(s.Out, 64<<10), url: c.Endpoint.String()}
	err = r.run(ctx, subs)
	o.connect.disconnect(ctx, conn)
	return o.ended(err)
}

// receiveMaximum lets the server send no more than will be printed: the rest
// stays in the session.
func (o *subOptions) receiveMaximum() uint16 {
	if o.connect.props.connect.Has(mqtt.ReceiveMaximum) {
		return 0
	}
	n := o.connect.maxInflight
	if o.count > 0 && o.count < 65535 && (n == 0 || o.count < int(n)) {
		n = uint16(o.count) //nolint:gosec // below 65,535
	}
	return n
}

// The ends of a run that are no failures of the connection.
var (
	errTimeout    = errors.New("the time of -W is over")
	errSubscribed = errors.New("subscribed")
	errDone       = errors.New("done")
)

// ended gives the end of a run its meaning: a signal is a normal one.
func (o *subOptions) ended(err error) error {
	switch {
	case errors.Is(err, errTimeout):
		return &exitError{code: exitTimeout, err: fmt.Errorf("the time of -W %v ran out", o.timeout)}
	case err == nil, errors.Is(err, errDone), errors.Is(err, errSubscribed), errors.Is(err, context.Canceled):
		return nil
	}
	return err
}

// subscriber prints what comes.
type subscriber struct {
	o       *subOptions
	s       *Stdio
	c       *client.Client
	url     string
	printer format.Printer
	out     *bufio.Writer
	scratch []byte
	unacked []*client.Delivery // printed into out, which may not be flushed
	printed int
	clear   clearer
}

// run subscribes and receives at once: what a kept session holds may come
// before the answer, and must be read for the answer to be read.
func (r *subscriber) run(ctx context.Context, subs []mqtt.Subscription) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.clear.c = r.c
	go func() {
		err := r.subscribe(ctx, subs)
		if err == nil && r.o.exitAfter {
			err = errSubscribed
		}
		if err != nil {
			cancel(err)
		}
	}()
	err := r.receive(ctx)
	if e := r.flush(); e != nil && !errors.Is(err, errClosedOut) {
		err = e
	}
	if errors.Is(err, errClosedOut) {
		return nil
	}
	if e := r.clear.finish(ctx); e != nil && (err == nil || errors.Is(err, errDone)) {
		err = e
	}
	return err
}

func (r *subscriber) subscribe(ctx context.Context, subs []mqtt.Subscription) error {
	p := &r.o.connect.props
	if len(subs) > 0 {
		codes, err := r.c.Subscribe(ctx, subs, p.subscribe)
		granted := slices.ContainsFunc(codes, func(code mqtt.ReasonCode) bool { return !code.Failed() })
		if denied, ok := errors.AsType[*client.SubscribeError](err); ok && granted && r.o.allowPartial {
			fmt.Fprintln(r.s.Err, "mqt sub:", plain(denied))
		} else if err != nil {
			return r.failed(err)
		}
	}
	if len(r.o.unsubscribe) > 0 {
		if _, err := r.c.Unsubscribe(ctx, r.o.unsubscribe, p.unsubscribe); err != nil {
			return r.failed(err)
		}
	}
	return nil
}

func (r *subscriber) failed(err error) error { return &connectFailure{r.url, err} }

// receive prints until something ends it.
func (r *subscriber) receive(ctx context.Context) error {
	for {
		if !r.c.Waiting() {
			if err := r.flush(); err != nil {
				return err
			}
		}
		d, err := r.c.Receive(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return r.failed(err)
		}
		if r.o.exitAfter {
			continue // not acknowledged: it is for the next run
		}
		if err := r.handle(d); err != nil {
			return err
		}
	}
}

// handle prints one message, if it is wanted.
func (r *subscriber) handle(d *client.Delivery) error {
	if r.clear.echo(d) {
		d.Ack()
		if r.o.retainedOnly && r.clear.done() {
			return errDone
		}
		return nil
	}
	if r.o.retainedOnly && !d.Retain {
		return errDone // left in the session
	}
	if d.Retain && r.o.removeRetained && len(d.Payload) > 0 {
		r.clear.add(d.Topic)
	}
	r.unacked = append(r.unacked, d)
	if !r.wanted(d) {
		return nil
	}
	m := format.Received{Message: d.Message, PacketID: d.PacketID, Dup: d.Dup,
		SubscriptionIdentifiers: d.SubscriptionIdentifiers, TopicAlias: d.TopicAlias, At: d.Received}
	if t, ok := r.printer.(*format.Template); ok {
		if err := t.Check(&m); err != nil {
			fmt.Fprintln(r.s.Err, "mqt sub:", plain(err))
		}
	}
	r.scratch = r.printer.Append(r.scratch[:0], &m)
	if _, err := r.out.Write(r.scratch); err != nil {
		return outputError(err)
	}
	if cap(r.scratch) > 1<<20 {
		r.scratch = nil
	}
	if r.printed++; r.printed == r.o.count {
		return errDone
	}
	return nil
}

func (r *subscriber) wanted(d *client.Delivery) bool {
	if d.Retain && r.o.noRetained && !(r.o.retainAsPublished && r.c.Version() >= mqtt.V50) {
		return false
	}
	for _, f := range r.o.filterOut {
		if topic.Match(f, d.Topic) {
			return false
		}
	}
	return r.o.sample == 100 || rand.IntN(100) < r.o.sample //nolint:gosec // a sample
}

// flush writes what is buffered and acknowledges it.
func (r *subscriber) flush() error {
	if err := r.out.Flush(); err != nil {
		return outputError(err)
	}
	for _, d := range r.unacked {
		d.Ack()
	}
	clear(r.unacked)
	r.unacked = r.unacked[:0]
	return nil
}

// errClosedOut tells that nobody reads stdout any more.
var errClosedOut = errors.New("stdout is closed")

func outputError(err error) error {
	if pipeClosed(err) {
		return errClosedOut
	}
	return fmt.Errorf("stdout: %w", err)
}
