package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"mqt/format"
	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/topic"
)

type pubOptions struct {
	connect     connectOptions
	topic       string
	message     string
	file        string
	stdin       bool
	lines       bool
	nul         bool
	empty       bool
	json        bool
	encoding    format.Encoding
	qos         mqtt.QoS
	retain      bool
	repeat      int
	repeatDelay time.Duration

	flags []*option
}

func pubCommand(s *Stdio) *cli.Command {
	o := &pubOptions{repeat: 1}
	const g, in = group("Message"), group("Payload, one of")
	o.flags = []*option{
		g.text("topic t", "`TOPIC` to publish to", &o.topic),
		qosFlag(g, "qos q", &o.qos),
		g.toggle("retain r", "retain the message", &o.retain),
		in.text("message m", "`TEXT` is the payload", &o.message),
		in.text("file f", "`FILE` is the payload; - is stdin", &o.file),
		in.toggle("stdin-file s", "all of stdin is the payload", &o.stdin),
		in.toggle("stdin-line l", "each line of stdin is a message", &o.lines),
		in.toggle("null-message n", "the payload is empty; with -r this clears the retained message", &o.empty),
		in.toggle("json", "each line of stdin is a message as sub --json prints it, topic and properties too", &o.json),
		g.toggle("nul", "with -l, messages end with NUL instead of a line feed", &o.nul),
		g.value("encoding", "`ENCODING` that the payload is given in: raw, hex or base64 (default: raw)", o.readEncoding).oneOf("raw", "hex", "base64"),
		number(g, "repeat", "publish the message `NUMBER` times", &o.repeat, 1, 1<<31-1),
		g.duration("repeat-delay", "`TIME` between two of them", &o.repeatDelay),
	}
	o.flags = append(o.flags, o.connect.props.propertyFlags("Message properties (MQTT 5)", "", mqtt.TypePublish, &o.connect.props.publish)...)
	return &cli.Command{
		Name: "pub", Usage: "publish messages",
		UsageText: "mqt pub [-h HOST | -L URL] -t TOPIC [-q QOS] [-r] (-m TEXT | -f FILE | -s | -l | -n)\nmqt pub [-h HOST | -L URL] --json",
		Description: `It ends when the server has everything: has read the messages of QoS 0, has acknowledged those of
QoS 1 and 2.

Examples:
  mqt pub -t home/lamp -m on
  mqt pub -h broker.example -u me --password-file pw -q 1 -r -t state -f state.json
  tail -f log | mqt pub -q 1 -t log -l
  mqt pub -L mqtts://broker.example -t a -m b --content-type text/plain --user-property k=v
  mqt sub -t 'a/#' --json | jq -c 'select(.qos > 0)' | mqt pub -L mqtt://elsewhere --json`,
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

func (o *pubOptions) run(ctx context.Context, s *Stdio) error {
	o.connect.lasting = o.lines || o.json
	c, err := o.connect.options(s)
	if err != nil {
		return err
	}
	if o.topic == "" {
		o.topic = c.Endpoint.Topic
	}
	if err := o.validate(); err != nil {
		return err
	}
	src, err := o.source(s)
	if err != nil {
		return err
	}
	conn, err := connect(ctx, c)
	if err != nil {
		return err
	}
	p := &publisher{o: o, src: src, c: conn, url: c.Endpoint.String()}
	src.old = conn.Version() < mqtt.V50
	if src.old && o.connect.maxInflight == 0 {
		p.slots = make(chan struct{}, oldInflight)
	}
	err = p.run(ctx)
	o.connect.disconnect(ctx, conn)
	return err
}

func (o *pubOptions) validate() error {
	var inputs []string
	for _, name := range []string{"message", "file", "stdin-file", "stdin-line", "null-message", "json"} {
		if f := o.flag(name); f.origin == fromArgs {
			inputs = append(inputs, f.typed)
		}
	}
	switch {
	case len(inputs) > 1:
		return &usageError{text: strings.Join(inputs, " and ") + " each give the payload", hint: "one of them is enough"}
	case len(inputs) == 0 && !o.anyInput():
		return &usageError{text: "nothing to publish", hint: "give -m TEXT, -f FILE, -s, -l or -n"}
	case o.json:
		for _, name := range []string{"topic", "qos", "retain", "encoding", "nul"} {
			if f := o.flag(name); f.origin == fromArgs {
				return &usageError{text: f.typed + " and --json do not go together", hint: "each line says it"}
			}
		}
		return nil
	case o.nul && !o.lines:
		return &usageError{text: "--nul is for -l"}
	case o.topic == "":
		return &usageError{text: "no topic", hint: "give -t TOPIC"}
	}
	if err := topic.ValidateName(o.topic); err != nil {
		hint := ""
		if strings.ContainsAny(o.topic, "+#") {
			hint = "only sub takes + and #"
		}
		return &usageError{text: "-t " + shown(o.topic) + ": " + plain(err), hint: hint}
	}
	if (o.lines || o.json) && o.repeat > 1 {
		return &usageError{text: "--repeat is for one message"}
	}
	return nil
}

// anyInput tells that the environment gives a payload.
func (o *pubOptions) anyInput() bool {
	return o.flag("message").given() || o.file != "" || o.stdin || o.lines || o.empty || o.json
}

// oldInflight is what mosquitto_pub has under way. Before 5.0 there is no
// Receive Maximum, and servers close the connection on more QoS 2 than they like.
const oldInflight = 20

// publisher sends the messages of a source and counts what becomes of them.
type publisher struct {
	o     *pubOptions
	src   *source
	c     *client.Client
	url   string
	batch client.Batch
	zero  int // sent at QoS 0, which the server does not acknowledge
	// slots bound the QoS 2 messages under way to a server that cannot say how many it takes; nil: no bound.
	slots chan struct{}

	under sync.WaitGroup // messages without an end
	mu    sync.Mutex
	sent  int
	lost  int // of those, not acknowledged
	bad   int // of those, denied
	first error
	cause error // of what is lost
}

func (p *publisher) run(ctx context.Context) error {
	err := p.all(ctx)
	p.batch.Flush()
	interrupted := ctx.Err() != nil
	if interrupted { // what was read is given a moment
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), goodbyeTimeout)
		defer cancel()
	}
	if e := p.drain(ctx); e != nil && (err == nil || interrupted) {
		err = e
	}
	return p.result(err)
}

func (p *publisher) all(ctx context.Context) error {
	if p.src.in != nil {
		return p.stream(ctx)
	}
	m := p.src.message
	m.Payload = p.src.payload
	for n := range p.o.repeat {
		if n > 0 && p.o.repeatDelay > 0 {
			p.batch.Flush()
			select {
			case <-time.After(p.o.repeatDelay):
			case <-p.c.Done():
				return p.c.Err()
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted after %d of %d messages", n, p.o.repeat)
		}
		if err := p.publish(ctx, &m); err != nil {
			return err
		}
	}
	return nil
}

// stream publishes the records of stdin as they come. An interrupt ends it as
// the end of the input does.
func (p *publisher) stream(ctx context.Context) error {
	in, stop := make(chan records), make(chan struct{})
	defer close(stop)
	go p.src.read(in, stop)
	for line := 1; ; {
		var r records
		select {
		case r = <-in:
		case <-p.c.Done():
			return p.c.Err()
		case <-ctx.Done():
			return nil
		}
		for _, record := range r.list {
			m, err := p.src.make(record)
			if err != nil {
				return &exitError{code: exitFailed, err: fmt.Errorf("stdin, line %d: %s", line, plain(err))}
			}
			line++
			if m == nil {
				continue
			}
			if err := p.publish(ctx, m); err != nil {
				return err
			}
		}
		p.batch.Flush()
		switch {
		case errors.Is(r.err, io.EOF):
			return nil
		case r.err != nil:
			return fmt.Errorf("stdin: %w", r.err)
		}
	}
}

// publish starts one message, when there is room for it. What the server denies
// is counted.
func (p *publisher) publish(ctx context.Context, m *mqtt.Message) error {
	p.mu.Lock()
	p.sent++
	p.mu.Unlock()
	slot, err := p.slot(ctx, m)
	for err == nil {
		p.under.Add(1)
		err = p.batch.Publish(p.c, m, slot, p.done)
		if err == nil {
			if m.QoS == mqtt.QoS0 {
				p.zero++
			}
			return nil
		}
		p.under.Done()
		if errors.Is(err, client.ErrWindowFull) || errors.Is(err, client.ErrNotConnected) {
			p.batch.Flush()
			err = p.c.WaitWindow(ctx)
		}
	}
	p.free(slot)
	if denied, ok := errors.AsType[*client.PublishError](err); ok {
		p.deny(denied)
		return nil
	}
	p.mu.Lock()
	p.lost++
	p.mu.Unlock()
	return err
}

// slot waits for one of slots, if the message needs one; 1 stands for that.
func (p *publisher) slot(ctx context.Context, m *mqtt.Message) (uint64, error) {
	if p.slots == nil || m.QoS < mqtt.QoS2 {
		return 0, nil
	}
	select {
	case p.slots <- struct{}{}:
		return 1, nil
	default:
	}
	p.batch.Flush()
	select {
	case p.slots <- struct{}{}:
		return 1, nil
	case <-p.c.Done():
		return 0, p.c.Err()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (p *publisher) free(slot uint64) {
	if slot == 1 {
		<-p.slots
	}
}

// done is told the end of a message, on the goroutine that reads.
func (p *publisher) done(slot uint64, _ mqtt.ReasonCode, err error) {
	defer p.under.Done()
	p.free(slot)
	if err == nil {
		return
	}
	if denied, ok := errors.AsType[*client.PublishError](err); ok {
		p.deny(denied)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost++
	p.cause = err
}

func (p *publisher) deny(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bad++
	if p.first == nil {
		p.first = err
	}
}

// drain waits until the server has everything.
func (p *publisher) drain(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		p.under.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lost = max(p.lost, 1)
		return errors.New("interrupted")
	}
	if p.zero == 0 {
		return nil
	}
	// The answer to a PINGREQ behind the messages tells that they were read.
	return p.c.Flush(ctx)
}

// result is the error of the run as a whole.
func (p *publisher) result(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		err = p.cause
	}
	switch {
	case err == nil && p.bad == 0:
		return nil
	case err == nil && p.sent == 1:
		return p.first
	case err == nil:
		return fmt.Errorf("%d of %d messages were denied, the first: %w", p.bad, p.sent, p.first)
	}
	if p.c.Err() == nil && p.lost == 0 { // not the connection's fault
		return err
	}
	if p.lost += p.zero; p.lost > 0 {
		err = fmt.Errorf("%w; %d of %d messages are not acknowledged", err, p.lost, p.sent)
		if !errors.Is(err, client.ErrConnectionLost) {
			return &exitError{code: exitLost, err: err}
		}
	}
	return &connectFailure{p.url, err}
}
