package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/broker"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

// servers runs a test against the broker of this module and, where
// MQTT_TEST_BROKER names one, against another, with each engine of the client.
func servers(t *testing.T, test func(t *testing.T, url string, loops *transport.Loops)) {
	engines := func(t *testing.T, url string) {
		t.Run("goroutines", func(t *testing.T) { test(t, url, nil) })
		t.Run("loops", func(t *testing.T) { test(t, url, &transport.Loops{}) })
		t.Run("parked loops", func(t *testing.T) { test(t, url, &transport.Loops{Parked: true}) })
	}
	t.Run("in-tree", func(t *testing.T) { engines(t, serve(t)) })
	if url := os.Getenv("MQTT_TEST_BROKER"); url != "" {
		t.Run("other", func(t *testing.T) { engines(t, url) })
	}
}

// serve starts a broker for the time of the test and returns its URL.
func serve(t *testing.T) string {
	t.Helper()
	b, err := broker.New(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := transport.ParseURL("mqtt://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := transport.Listen(context.Background(), e, transport.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { served <- b.Serve(ctx, l) }()
	t.Cleanup(func() {
		if err := b.Shutdown(deadline(t, 60*time.Second)); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		cancel()
		l.Close()
		<-served
	})
	return l.URL()
}

func deadline(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func dial(t *testing.T, ctx context.Context, o client.Options) *client.Client {
	t.Helper()
	c, err := client.Connect(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRoundTrip(t *testing.T) {
	servers(t, func(t *testing.T, url string, loops *transport.Loops) {
		for _, v := range []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V50} {
			for qos := range mqtt.QoS(3) {
				t.Run(fmt.Sprintf("%v q%d", v, qos), func(t *testing.T) { roundTrip(t, url, loops, v, qos) })
			}
		}
	})
}

func roundTrip(t *testing.T, url string, loops *transport.Loops, v mqtt.Version, qos mqtt.QoS) {
	ctx := deadline(t, 60*time.Second)
	c := dial(t, ctx, client.Options{URL: url, Version: v, ClientID: "round-trip", TopicAliasMaximum: 10, Transport: transport.Options{Loops: loops}})
	if _, err := c.Subscribe(ctx, []mqtt.Subscription{{Filter: "round/#", QoS: qos}}, nil); err != nil {
		t.Fatal(err)
	}
	payload := func(i int) []byte { // 4.5 MB in all: QoS 0 may be dropped beyond what a Server buffers
		p := make([]byte, i*i/2)
		for k := range p {
			p[k] = byte(i + k)
		}
		return p
	}
	const n = 300
	published := make(chan error, 1)
	go func() {
		for i := range n {
			if _, err := c.Publish(ctx, &mqtt.Message{Topic: "round/trip", QoS: qos, Payload: payload(i)}); err != nil {
				published <- err
				return
			}
		}
		published <- nil
	}()
	for i := range n {
		d, err := c.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if string(d.Payload) != string(payload(i)) || d.Topic != "round/trip" || d.QoS != qos {
			t.Fatalf("message %d is %d bytes to %s, QoS %d", i, len(d.Payload), d.Topic, d.QoS)
		}
		d.Ack()
	}
	if err := <-published; err != nil {
		t.Error(err)
	}
	if err := c.Flush(ctx); err != nil {
		t.Error(err)
	}
	if codes, err := c.Unsubscribe(ctx, []string{"round/#"}, nil); err != nil || len(codes) != 1 {
		t.Error(codes, err)
	}
	if err := c.Disconnect(ctx, mqtt.Disconnect{}); err != nil {
		t.Error(err)
	}
}

// breaker dials and later breaks what it has dialled.
type breaker struct {
	address string
	relays  bool // a loop keeps the socket to itself, so what is broken is a relay behind it
	mu      sync.Mutex
	conns   []net.Conn
	n       atomic.Int32
}

func (b *breaker) dial(ctx context.Context) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", b.address)
	if err != nil {
		return nil, err
	}
	ours := nc
	if b.relays {
		if ours, err = relay(nc); err != nil {
			nc.Close()
			return nil, err
		}
	}
	b.mu.Lock()
	b.conns = append(b.conns, nc)
	b.n.Add(1)
	b.mu.Unlock()
	return ours, nil
}

// relay returns a connection that is copied to and from nc until one of them
// ends.
func relay(nc net.Conn) (net.Conn, error) {
	ours, theirs, err := sockets()
	if err != nil {
		return nil, err
	}
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		to.Close()
		from.Close()
	}
	go pass(nc, theirs)
	go pass(theirs, nc)
	return ours, nil
}

// run breaks all connections after each token, and now and then once more, while
// they are being made anew.
func (b *breaker) run(tokens <-chan struct{}) {
	for range tokens {
		for again := true; again; again = rand.IntN(3) == 0 {
			time.Sleep(rand.N(5 * time.Millisecond))
			b.mu.Lock()
			for _, nc := range b.conns {
				nc.Close()
			}
			b.conns = nil
			b.mu.Unlock()
		}
	}
}

// once is section 4.3.3 as a receiver should keep it: which QoS 2 PUBLISH
// packets are new messages.
type once struct {
	mu   sync.Mutex
	open map[mqtt.PacketID]bool
	new  map[string]int // by payload
}

func (o *once) trace(d client.Direction, pkt mqtt.Packet) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch p := pkt.(type) {
	case *mqtt.Publish:
		if !o.open[p.PacketID] {
			o.open[p.PacketID] = true
			o.new[string(p.Payload)]++
		}
	case *mqtt.Pubrel:
		if d == client.Received {
			delete(o.open, p.PacketID)
		}
	}
}

// deliver reports whether the message may be delivered once more.
func (o *once) deliver(payload []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.new[string(payload)]--
	return o.new[string(payload)] >= 0
}

// TestBreakingConnection is the contract of chapter 4.3 and 4.6 over
// connections that break all the time: QoS 1 at least once, QoS 2 exactly once,
// both in order, and every Publish returns. A Server that sends a PUBLISH anew
// after its PUBREL, as mosquitto 2.0 does when a connection breaks twice, is
// not held against the client.
func TestBreakingConnection(t *testing.T) {
	servers(t, func(t *testing.T, url string, loops *transport.Loops) {
		for _, v := range []mqtt.Version{mqtt.V311, mqtt.V50} {
			for _, qos := range []mqtt.QoS{1, 2} {
				t.Run(fmt.Sprintf("%v q%d", v, qos), func(t *testing.T) { breaking(t, url, loops, v, qos) })
			}
		}
	})
}

func breaking(t *testing.T, url string, loops *transport.Loops, v mqtt.Version, qos mqtt.QoS) {
	inTree := url != os.Getenv("MQTT_TEST_BROKER")
	e, err := transport.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	b := &breaker{address: net.JoinHostPort(e.Host, e.Port), relays: loops != nil}
	name := fmt.Sprintf("breaking-%d-%d-%d", v, qos, rand.Uint32())
	options := func(id string) client.Options {
		o := client.Options{Dial: b.dial, Version: v, ClientID: id + name, KeepSession: true, InFlight: 50, Transport: transport.Options{Loops: loops},
			Reconnect: &client.Backoff{Min: 2 * time.Millisecond, Max: 10 * time.Millisecond, First: true}}
		if v == mqtt.V50 {
			o.SessionExpiryInterval = 60
		}
		return o
	}
	seen := &once{open: map[mqtt.PacketID]bool{}, new: map[string]int{}}
	o := options("sub-")
	o.Trace = seen.trace
	sub, pub := dial(t, ctx, o), dial(t, ctx, options("pub-"))
	if _, err := sub.Subscribe(ctx, []mqtt.Subscription{{Filter: name, QoS: qos}}, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client.Client{sub, pub} {
		go func() { // if it gives up, the other waits in vain
			<-c.Done()
			if !errors.Is(c.Err(), client.ErrClosed) {
				cancel()
			}
		}()
		defer c.Close()
	}
	tokens, stopped := make(chan struct{}, 1), make(chan struct{})
	go func() {
		b.run(tokens)
		close(stopped)
	}()
	const n = 3000
	var ended sync.WaitGroup
	ended.Add(n)
	fed, failed := make(chan struct{}), make(chan error, n+1)
	go func() {
		defer close(fed)
		for i := range n {
			m := &mqtt.Message{Topic: name, QoS: qos, Payload: fmt.Append(nil, i)}
			for pub.PublishAsync(m, func(_ mqtt.ReasonCode, err error) {
				if err != nil {
					failed <- fmt.Errorf("message %d: %w", i, err)
				}
				ended.Done()
			}) != nil {
				if err := pub.WaitWindow(ctx); err != nil {
					failed <- fmt.Errorf("message %d: %w", i, err)
					return
				}
			}
			if i%50 == 0 {
				time.Sleep(5 * time.Millisecond)
			}
		}
	}()
	for want := 0; want < n; {
		d, err := sub.Receive(ctx)
		if err != nil {
			t.Fatalf("after %d: %v; the clients: %v, %v", want, err, sub.Err(), pub.Err())
		}
		d.Ack()
		if rand.IntN(60) == 0 { // breaks follow progress, however slow the machine is
			select {
			case tokens <- struct{}{}:
			default:
			}
		}
		var got int
		if _, err := fmt.Sscan(string(d.Payload), &got); err != nil {
			t.Fatal(err)
		}
		if qos == mqtt.QoS2 && !seen.deliver(d.Payload) {
			t.Fatalf("message %d is delivered twice (DUP %v)", got, d.Dup)
		}
		switch {
		case got == want:
			want++
		case got < want && (qos == mqtt.QoS1 || !inTree && d.Dup): // again
		default:
			t.Fatalf("message %d came where %d should (DUP %v)", got, want, d.Dup)
		}
	}
	<-fed
	if len(failed) == 0 {
		ended.Wait()
	}
	if len(failed) > 0 {
		t.Fatal(<-failed)
	}
	close(tokens)
	<-stopped
	if n := b.n.Load(); n < 4 {
		t.Errorf("only %d connections", n)
	}
	go func() { // copies that still come would fill the buffer and hold the PINGRESP back
		for {
			d, err := sub.Receive(ctx)
			if err != nil {
				return
			}
			d.Ack()
		}
	}()
	for _, c := range []*client.Client{sub, pub} {
		if err := c.Flush(ctx); err != nil {
			t.Error(err)
		}
		if err := c.Disconnect(ctx, mqtt.Disconnect{}); err != nil {
			t.Error(err)
		}
	}
}

// A Session that is kept brings what came while its client was away.
func TestAway(t *testing.T) {
	servers(t, func(t *testing.T, url string, loops *transport.Loops) {
		ctx := deadline(t, 60*time.Second)
		id := fmt.Sprint("away-", rand.Uint32())
		o := client.Options{URL: url, ClientID: id, KeepSession: true, SessionExpiryInterval: 60, Transport: transport.Options{Loops: loops}}
		c := dial(t, ctx, o)
		if c.SessionPresent() {
			t.Error("a Session before the first connection")
		}
		if _, err := c.Subscribe(ctx, []mqtt.Subscription{{Filter: id, QoS: 2}}, mqtt.Properties{mqtt.Num(mqtt.SubscriptionIdentifier, 5)}); err != nil {
			t.Fatal(err)
		}
		if err := c.Disconnect(ctx, mqtt.Disconnect{}); err != nil {
			t.Fatal(err)
		}
		other := dial(t, ctx, client.Options{URL: url})
		for qos := range mqtt.QoS(3) {
			m := &mqtt.Message{Topic: id, QoS: qos, Properties: mqtt.Properties{mqtt.User("q", fmt.Sprint(qos))}}
			if _, err := other.Publish(ctx, m); err != nil {
				t.Fatal(err)
			}
		}
		if err := other.Disconnect(ctx, mqtt.Disconnect{}); err != nil {
			t.Fatal(err)
		}
		c = dial(t, ctx, o)
		if !c.SessionPresent() {
			t.Error("no Session")
		}
		for seen := mqtt.QoS0; seen < mqtt.QoS2; {
			d, err := c.Receive(ctx)
			if err != nil {
				t.Fatal(err)
			}
			d.Ack()
			if d.QoS == mqtt.QoS0 {
				continue // may be kept or not
			}
			if seen++; d.QoS != seen || len(d.Properties) != 1 || string(d.Properties[0].Value) != fmt.Sprint(seen) ||
				fmt.Sprint(d.SubscriptionIdentifiers) != "[5]" {
				t.Errorf("got %+v %+v", d, d.Message)
			}
		}
		if err := c.Flush(ctx); err != nil {
			t.Error(err)
		}
		if err := c.Disconnect(ctx, mqtt.Disconnect{Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 0)}}); err != nil {
			t.Error(err)
		}
	})
}
