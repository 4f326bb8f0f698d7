package cmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"time"

	"mqt/format"
	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/topic"
)

// subscriber prints what comes, or hands it on.
type subscriber struct {
	o       *subOptions
	s       *Stdio
	c       *client.Client
	url     string
	printer format.Printer // nil: nothing is printed
	until   *jqProgram     // nil: none
	decoder *decoder       // nil: no --decode
	rate    *rateMeter     // nil: no --rate-only
	save    *saver         // nil: no --save
	exec    *executor      // nil: no --exec
	topics  *topicSet      // nil: no --each-topic-once
	screen  *screen        // nil: no --watch

	out      *bufio.Writer
	scratch  []byte
	received format.Received
	unacked  []*client.Delivery // printed into out, which may not be flushed
	printed  int
	clear    clearer
	silence  silence
}

// subscriber opens what messages are handed to.
func (o *subOptions) subscriber(s *Stdio) (*subscriber, error) {
	if err := o.contradictions(); err != nil {
		return nil, err
	}
	fewerCollections()
	r := &subscriber{o: o, s: s, out: bufio.NewWriterSize(s.Out, 64<<10)}
	var err error
	if r.printer, err = o.printer(s); err != nil {
		return nil, err
	}
	if r.decoder, err = o.decoder(s); err != nil {
		return nil, err
	}
	if o.flag("until").given() {
		if r.until, err = newJQ(o.flag("until"), o.until, s); err != nil {
			return nil, err
		}
	}
	if o.once {
		r.topics = newTopicSet()
	}
	if o.watch {
		r.screen = newScreen(s.Out)
	}
	if o.exec.command != "" {
		r.exec = newExecutor(&o.exec, s)
	}
	if o.save != "" {
		r.save, err = newSaver(o.save, o.json)
	}
	return r, err
}

// leave waits until the server has read the last acknowledgements and closes: it may be sending more while we go, and what
// it has not read when a reset comes is lost.
func (r *subscriber) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeTimeout)
	defer cancel()
	_ = r.c.WaitClosed(ctx) // there is nothing else to do then
}

// fewerCollections lets garbage grow to some 16 MB, instead of 4, in a program
// that holds next to nothing and makes garbage at the rate of a network.
func fewerCollections() {
	const percent = 400
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

func (r *subscriber) close() {
	if r.save != nil {
		r.save.close()
	}
}

// run subscribes and receives at once: what a kept session holds may come
// before the answer, and must be read for the answer to be read.
func (r *subscriber) run(outer context.Context, subs []mqtt.Subscription) error {
	ctx, cancel := context.WithCancelCause(outer)
	defer cancel(nil)
	r.clear.c = r.c
	r.silence.start = time.Now()
	if r.exec != nil {
		r.exec.begin(outer, cancel)
	}
	if r.o.rateOnly {
		r.rate = startRate(r.s.Out, r.o.json, cancel)
	}
	go func() {
		if err := r.subscribed(ctx, r.subscribe(ctx, subs)); err != nil {
			cancel(err)
		}
	}()
	err := r.receive(ctx)
	if e := r.finish(); e != nil && !errors.Is(err, errClosedOut) {
		err = e
	}
	if errors.Is(err, errClosedOut) {
		return nil
	}
	if e := r.clear.finish(outer); e != nil && (err == nil || errors.Is(err, errDone)) {
		err = e
	}
	return err
}

// finish waits for commands, prints the rest and sums up.
func (r *subscriber) finish() error {
	if r.rate != nil {
		if err := r.rate.stop(); err != nil {
			return outputError(err)
		}
	}
	err := r.flush()
	for _, p := range r.programs() {
		p.sum()
	}
	r.decoder.sum()
	if r.exec != nil {
		if e := r.exec.finish(); err == nil {
			err = e
		}
	}
	return err
}

// programs are those of jq.
func (r *subscriber) programs() (all []*jqProgram) {
	if p, ok := r.printer.(*jqPrinter); ok {
		all = append(all, p.program)
	}
	if r.until != nil {
		all = append(all, r.until)
	}
	return all
}

func (r *subscriber) subscribe(ctx context.Context, subs []mqtt.Subscription) error {
	p := &r.o.connect.props
	if len(subs) > 0 {
		if err := r.grant(ctx, subs); err != nil {
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

// subscribed is what begins with the SUBACK, or what ends with it.
func (r *subscriber) subscribed(ctx context.Context, err error) error {
	switch {
	case err != nil:
		return err
	case r.o.exitAfter:
		return errSubscribed
	}
	ends := make(chan error, 2)
	if r.o.idle > 0 {
		go func() { ends <- r.silence.wait(ctx, r.o.idle) }()
	}
	if r.o.retainedEnd {
		go func() { ends <- r.retainedEnd(ctx) }()
	}
	if r.o.idle == 0 && !r.o.retainedEnd {
		return nil
	}
	return <-ends
}

// maxUnacked is how many messages wait for the output to be flushed, at most.
const maxUnacked = 512

// receive handles messages until something ends it.
func (r *subscriber) receive(ctx context.Context) error {
	for {
		waiting := r.c.Waiting()
		if !waiting || len(r.unacked) >= maxUnacked {
			if err := r.flush(); err != nil {
				return err
			}
		}
		if !waiting {
			r.silence.begin()
		}
		d, err := r.c.Receive(ctx)
		r.silence.end()
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return r.failed(err)
		}
		if r.o.exitAfter {
			continue // not acknowledged: it is for the next run
		}
		if err := r.handle(ctx, d); err != nil {
			return err
		}
	}
}

// handle does with one message what is wanted.
func (r *subscriber) handle(ctx context.Context, d *client.Delivery) error {
	if r.clear.echo(d) {
		r.owe(d)
		if r.o.retainedOnly && r.clear.done() {
			return errDone
		}
		return nil
	}
	switch {
	case d.Retain:
		r.silence.retained.Add(1)
	case r.o.retainedOnly:
		return errDone // left in the session
	case r.o.retainedEnd:
		r.pass(d)
		return nil
	}
	if !r.wanted(d) {
		r.owe(d)
		return nil
	}
	if d.Retain && r.o.removeRetained && len(d.Payload) > 0 {
		r.clear.add(d.Topic)
	}
	if r.o.sample < 100 && rand.Float64()*100 >= r.o.sample { //nolint:gosec // a sample
		r.owe(d)
		return nil
	}
	return r.deliver(ctx, d)
}

// owe notes that a message is to be acknowledged when the output is flushed.
func (r *subscriber) owe(d *client.Delivery) {
	if d.QoS > mqtt.QoS0 {
		r.unacked = append(r.unacked, d)
	}
}

// pass takes no notice of a message: it stays in a session that is kept.
func (r *subscriber) pass(d *client.Delivery) {
	if r.o.connect.keepSession {
		d.Leave()
	} else {
		r.owe(d)
	}
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
	return true
}

// deliver prints a message or hands it on, and counts it.
func (r *subscriber) deliver(ctx context.Context, d *client.Delivery) error {
	if r.topics != nil {
		first, err := r.topics.add(d.Topic)
		if err != nil {
			return err
		}
		if !first {
			r.owe(d)
			return nil
		}
	}
	if r.rate != nil {
		r.rate.add(len(d.Payload))
		r.owe(d)
		return r.count(nil, nil)
	}
	m := &r.received // made once; --exec makes a copy
	*m = format.Received{Message: d.Message, PacketID: d.PacketID, Dup: d.Dup,
		SubscriptionIdentifiers: d.SubscriptionIdentifiers, TopicAlias: d.TopicAlias, At: d.Received}
	r.decoder.decode(m)
	if r.exec != nil {
		if err := r.exec.reserve(ctx); err != nil {
			return err
		}
	}
	shown, err := r.print(m)
	if r.exec != nil && (err != nil || !shown) {
		r.exec.release()
	}
	if err != nil {
		return err
	}
	var end error
	if r.until != nil && r.until.matches(ctx, m) {
		end = errDone
	}
	if !shown {
		r.owe(d)
		return end
	}
	return r.count(end, r.hand(d, m))
}

// hand gives the message to what is beside the output, which acknowledges it.
func (r *subscriber) hand(d *client.Delivery, m *format.Received) error {
	var err error
	if r.save != nil {
		err = r.save.save(m)
	}
	if r.exec == nil {
		if err == nil {
			r.owe(d)
		}
		return err
	}
	if err == nil {
		err = r.flush() // before the command prints something
	}
	if err != nil {
		r.exec.release()
		return err
	}
	r.exec.start(d, m)
	return nil
}

// count ends the run with err, when enough messages are printed, or with end.
func (r *subscriber) count(end, err error) error {
	if err != nil {
		return err
	}
	if r.printed++; r.printed == r.o.count {
		return errDone
	}
	return end
}

// print puts the message into the output. It returns false for one that --jq
// passes over.
func (r *subscriber) print(m *format.Received) (bool, error) {
	switch p := r.printer.(type) {
	case nil:
		return true, nil
	case *format.Template:
		if err := p.Check(m); err != nil {
			fmt.Fprintln(r.s.Err, "mqt sub:", plain(err))
		}
	}
	r.scratch = r.printer.Append(r.scratch[:0], m)
	if p, ok := r.printer.(*jqPrinter); ok {
		if len(r.scratch) == 0 && !p.any {
			return false, nil
		}
		if r.save != nil || r.exec != nil {
			return true, nil
		}
	}
	if r.screen != nil {
		r.scratch = r.screen.place(m.Topic, r.scratch)
	}
	if _, err := r.out.Write(r.scratch); err != nil {
		return false, outputError(err)
	}
	if cap(r.scratch) > 1<<20 {
		r.scratch = nil
	}
	return true, nil
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
