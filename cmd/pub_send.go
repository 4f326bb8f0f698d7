package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// publisher sends the messages of a source and counts what becomes of them.
type publisher struct {
	o   *pubOptions
	src *source
	c   *client.Client
	url string
	// lasting tells that a lost connection is made anew.
	lasting bool
	stderr  io.Writer
	batch   client.Batch
	done    client.Done
	// twos bounds the QoS 2 messages under way to a server that cannot say how many it takes; 0: no bound.
	twos int

	mu    sync.Mutex
	sent  int64
	bad   int64 // of those, denied
	lost  int64 // of those, not acknowledged
	first error // of what is denied
	cause error // of what is lost

	// Messages of QoS 1 and 2 under way; their token is a place in tickets.
	tickets []ticket
	free    []uint64
	bytes   int           // of their payloads
	two     int           // of QoS 2
	changed chan struct{} // closed when one has ended; nil when nobody waits

	zero  zeroes
	nudge chan struct{} // for confirm: one is open
}

// ticket is what is known of a message under way.
type ticket struct {
	line int64
	size int
	qos  mqtt.QoS
}

// oldInflight is what mosquitto_pub has under way. Before 5.0 there is no
// Receive Maximum, and servers close the connection on more QoS 2 than they like.
const oldInflight = 20

// maxUnder bounds the memory of messages under way, in bytes.
const maxUnder = 64 << 20

func newPublisher(o *pubOptions, s *Stdio, src *source) *publisher {
	p := &publisher{o: o, src: src, stderr: s.Err, nudge: make(chan struct{}, 1)}
	p.done = p.ended
	return p
}

// run sends everything. When ctx ends, what was read is given a moment.
func (p *publisher) run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(goodbyeTimeout, cancel) })
	defer stop()
	if p.lasting {
		go p.confirm(work)
	}

	err := p.all(ctx, work)
	p.batch.Flush()
	if e := p.drain(work); err == nil {
		err = e
	}
	return p.result(err)
}

func (p *publisher) all(ctx, work context.Context) error {
	if p.src.in != nil {
		return p.stream(ctx, work)
	}
	for n := int64(0); p.o.repeat == forever || n < p.o.repeat; n++ {
		err := p.o.pace.wait(ctx, p.batch.Flush)
		if err == nil && n > 0 && p.o.repeatDelay > 0 {
			p.batch.Flush()
			err = p.rest(ctx, p.o.repeatDelay)
		}
		switch {
		case p.c.Err() != nil:
			return p.c.Err()
		case err != nil || ctx.Err() != nil:
			if p.o.repeat == forever {
				return nil
			}
			return fmt.Errorf("interrupted after %d of %d messages", n, p.o.repeat)
		}
		m, err := p.src.one()
		if err != nil {
			return p.unmade("message", n+1, err)
		}
		if err := p.publish(work, m, n+1); err != nil {
			return err
		}
	}
	return nil
}

// rest sleeps, unless the connection ends.
func (p *publisher) rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.c.Done():
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// unmade is a record that is no message.
func (p *publisher) unmade(what string, n int64, err error) error {
	return &exitError{code: exitFailed, err: fmt.Errorf("%s %d: %s", what, n, plain(err))}
}

// stream publishes the records of stdin as they come. An interrupt ends it as
// the end of the input does.
func (p *publisher) stream(ctx, work context.Context) error {
	in, stop := make(chan records), make(chan struct{})
	defer close(stop)
	go p.src.read(in, stop)
	for line := int64(1); ; {
		r, ok := p.receive(ctx, in)
		if !ok {
			return p.c.Err()
		}
		for i, record := range r.list {
			if p.o.pace.wait(ctx, p.batch.Flush) != nil {
				return fmt.Errorf("interrupted: %d records or more were read and not sent", len(r.list)-i)
			}
			m, err := p.src.make(record)
			if err != nil {
				return p.unmade("stdin, "+p.o.recordName(), line, err)
			}
			if m != nil {
				err = p.publish(work, m, line)
			}
			if err != nil {
				return err
			}
			line++
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

// receive returns the next records. False: there are none, since the connection
// or ctx has ended; what had been read by then comes first.
func (p *publisher) receive(ctx context.Context, in <-chan records) (records, bool) {
	if ctx.Err() == nil {
		select {
		case r := <-in:
			return r, true
		default:
		}
		select {
		case r := <-in:
			p.o.pace.idle()
			return r, true
		case <-p.c.Done():
			return records{}, false
		case <-ctx.Done():
		}
	}
	p.src.ending.Store(true)
	select {
	case r := <-in:
		return r, true
	default:
		return records{}, false
	}
}

// publish starts one message, when there is room for it. What the server denies
// is counted.
func (p *publisher) publish(ctx context.Context, m *mqtt.Message, line int64) error {
	token, err := p.begin(ctx, m, line)
	if err != nil {
		return err
	}
	for err == nil {
		if m.QoS == mqtt.QoS0 {
			err = p.publishZero(m)
		} else {
			err = p.batch.Publish(p.c, m, token, p.done)
		}
		if err == nil {
			return nil
		}
		if errors.Is(err, client.ErrWindowFull) || errors.Is(err, client.ErrNotConnected) {
			p.batch.Flush()
			err = p.c.WaitWindow(ctx)
		}
	}
	if m.QoS == mqtt.QoS0 {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.end(line, err)
	}
	p.ended(token, 0, err)
	if _, ok := errors.AsType[*client.PublishError](err); ok {
		return nil
	}
	return err
}

// publishZero sends a message of QoS 0, whose fate only zeroes can tell.
func (p *publisher) publishZero(m *mqtt.Message) error {
	p.mu.Lock()
	if p.zero.open() == 0 {
		select {
		case p.nudge <- struct{}{}:
		default:
		}
	}
	at := p.zero.begin()
	p.mu.Unlock()
	err := p.batch.Publish(p.c, m, 0, nil)
	p.mu.Lock()
	p.zero.handed(at, err == nil)
	p.mu.Unlock()
	return err
}

// begin counts a message, and gives one of QoS 1 and 2 a ticket as soon as
// there is memory for it.
func (p *publisher) begin(ctx context.Context, m *mqtt.Message, line int64) (uint64, error) {
	p.mu.Lock()
	p.sent++
	if m.QoS == mqtt.QoS0 {
		p.mu.Unlock()
		return 0, nil
	}
	defer p.mu.Unlock()
	room := func() bool {
		return (p.bytes == 0 || p.bytes+len(m.Payload) <= maxUnder) && (p.twos == 0 || m.QoS < mqtt.QoS2 || p.two < p.twos)
	}
	for !room() {
		p.mu.Unlock()
		p.batch.Flush()
		p.mu.Lock()
		if err := p.wait(ctx, room); err != nil {
			p.lost++
			return 0, err
		}
	}
	t := ticket{line, len(m.Payload), m.QoS}
	p.bytes += t.size
	if t.qos == mqtt.QoS2 {
		p.two++
	}
	if n := len(p.free); n > 0 {
		token := p.free[n-1]
		p.free = p.free[:n-1]
		p.tickets[token] = t
		return token, nil
	}
	p.tickets = append(p.tickets, t)
	return uint64(len(p.tickets) - 1), nil
}

// wait returns when ready says so. mu is held, and released meanwhile. The
// client ends all messages when it ends itself.
func (p *publisher) wait(ctx context.Context, ready func() bool) error {
	for !ready() {
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		p.mu.Lock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// ended is told the end of a message, mostly on the goroutine that reads.
func (p *publisher) ended(token uint64, _ mqtt.ReasonCode, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tickets[token]
	p.free = append(p.free, token)
	p.bytes -= t.size
	if t.qos == mqtt.QoS2 {
		p.two--
	}
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
	if err != nil {
		_ = p.end(t.line, err) // it is kept
	}
}

// end counts a message that was not delivered. What it returns is nil if the
// others can go on. mu is held.
func (p *publisher) end(line int64, err error) error {
	if _, ok := errors.AsType[*client.PublishError](err); !ok {
		p.lost++
		p.cause = err
		return err
	}
	p.bad++
	if p.first == nil {
		p.first = err
		if p.src.in != nil || p.o.repeat != 1 {
			p.first = fmt.Errorf("%s %d: %w", p.o.recordName(), line, err)
		}
	}
	return nil
}

// drain waits until the server has everything.
func (p *publisher) drain(ctx context.Context) error {
	p.mu.Lock()
	err := p.wait(ctx, func() bool { return len(p.free) == len(p.tickets) })
	if err != nil {
		p.lost += int64(len(p.tickets) - len(p.free))
		err = errors.New("interrupted")
	}
	open := p.zero.open()
	p.mu.Unlock()
	if err != nil || open == 0 {
		return err
	}
	// The answer to a PINGREQ behind the messages tells that they were read.
	if err := p.c.Flush(ctx); err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		return err
	}
	p.mu.Lock()
	p.zero.confirm(p.zero.mark())
	p.mu.Unlock()
	return nil
}

// result is the error of the run as a whole.
func (p *publisher) result(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		err = p.cause
	}
	missing := p.lost + p.zero.open() + p.zero.risk
	switch {
	case err == nil && p.zero.risk > 0:
		return &connectFailure{p.url, &exitError{code: exitLost, err: fmt.Errorf(
			"connection lost and made anew; up to %d of %d messages may be lost, which QoS 0 allows", p.zero.risk, p.sent)}}
	case err == nil && p.bad == 0:
		return nil
	case err == nil && p.sent == 1:
		return p.first
	case err == nil:
		return fmt.Errorf("%d of %d messages were denied, the first, %w", p.bad, p.sent, p.first)
	}
	if p.c.Err() == nil && missing == 0 { // not the connection's fault
		return err
	}
	if missing > 0 {
		err = fmt.Errorf("%w; %d of %d messages are not acknowledged", err, missing, p.sent)
		if !errors.Is(err, client.ErrConnectionLost) {
			return &exitError{code: exitLost, err: err}
		}
	}
	return &connectFailure{p.url, err}
}
