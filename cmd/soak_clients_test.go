//go:build soak

package cmd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

// soakForever is a Session Expiry Interval.
const soakForever = 0xFFFFFFFF

// soakConn can be cut, and read slowly.
type soakConn struct {
	net.Conn
	slow bool
}

func (c *soakConn) Read(p []byte) (int, error) {
	if c.slow && rand.IntN(300) == 0 {
		time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond)
	}
	return c.Conn.Read(p)
}

// soakLong is a client that lives as long as the run: its connections are cut, its Session is kept.
type soakLong struct {
	name, kind string
	version    mqtt.Version
	qos        mqtt.QoS
	keep       bool // the Session
	cuts       bool
	slow       bool
	filter     string      // of a subscriber
	reader     *soakReader // of a subscriber
	stream     *soakStream // of a publisher

	c    *client.Client
	conn atomic.Pointer[soakConn]
}

// connect begins it.
func (l *soakLong) connect(k *soak) error {
	e, err := transport.ParseURL(k.urls[l.kind])
	if err != nil {
		return err
	}
	first := true
	o := client.Options{
		Version: l.version, ClientID: l.name, KeepSession: l.keep, KeepAlive: 30, ConnectTimeout: time.Minute, InFlight: 50, ResendReceived: true,
		Reconnect: &client.Backoff{Min: 20 * time.Millisecond, Max: 2 * time.Second},
		Dial: func(ctx context.Context) (net.Conn, error) {
			c, err := transport.Dial(ctx, e, transport.DialOptions{TLS: k.tls})
			if err != nil {
				return nil, err
			}
			cut := &soakConn{Conn: c, slow: l.slow}
			l.conn.Store(cut)
			return cut, nil
		},
		Trace: func(d client.Direction, p mqtt.Packet) {
			if a, ok := p.(*mqtt.Connack); ok && a.ReasonCode == mqtt.Success {
				if !first && l.keep && !a.SessionPresent {
					k.fault("%s: the session is not there any more", l.name)
				}
				first = false
			}
		},
	}
	if l.keep && l.version == mqtt.V50 {
		o.SessionExpiryInterval = soakForever
	}
	if l.slow {
		o.ReceiveMaximum = 20
	}
	if l.reader != nil {
		o.OnMessage = func(_ *client.Client, p *mqtt.Publish, topic string) bool {
			k.arrived(l.reader, topic, p.Payload)
			return true
		}
	}
	if l.c, err = client.Connect(k.ctx, o); err != nil || l.reader == nil {
		return err
	}
	subs := []mqtt.Subscription{{Filter: l.filter, QoS: l.qos}}
	if l.reader == k.readers[0] { // one sees the wills
		subs = append(subs, mqtt.Subscription{Filter: "soak/will", QoS: mqtt.QoS2})
	}
	codes, err := l.c.Subscribe(k.ctx, subs, nil)
	if err == nil && codes[0].Failed() {
		err = fmt.Errorf("SUBACK %v", codes)
	}
	return err
}

// cutting ends its connections from time to time.
func (l *soakLong) cutting(k *soak) {
	for k.sleep(time.Duration(200+rand.IntN(3000)) * time.Millisecond) {
		if c := l.conn.Load(); c != nil {
			_ = c.Close()
		}
	}
}

// publish sends numbers until the run is over.
func (l *soakLong) publish(k *soak) {
	pause := time.Duration(0)
	for k.sleep(pause) {
		for range 1 + rand.IntN(8) {
			i := l.stream.next()
			m := &mqtt.Message{Topic: l.stream.topic, Payload: soakPayload(i), QoS: l.stream.qos}
			for {
				err := l.c.PublishAsync(m, func(_ mqtt.ReasonCode, err error) {
					if err != nil {
						k.fault("%s %d: %v", l.name, i, err)
					}
				})
				if err == nil {
					break
				}
				if !errors.Is(err, client.ErrWindowFull) && !errors.Is(err, client.ErrNotConnected) || l.c.WaitWindow(k.ctx) != nil {
					k.fault("%s %d: %v", l.name, i, err)
					return
				}
			}
		}
		pause = time.Duration(rand.IntN(300)) * time.Millisecond
	}
	if err := l.c.Flush(k.ctx); err != nil {
		k.fault("%s: flush: %v", l.name, err)
	}
}

// leave ends its Session too.
func (l *soakLong) leave(k *soak) {
	var d mqtt.Disconnect
	if l.keep && l.version == mqtt.V50 {
		d.Properties = mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 0)}
	}
	if err := l.c.Disconnect(k.ctx, d); err != nil {
		k.fault("%s: disconnect: %v", l.name, err)
	}
	if l.keep && l.version < mqtt.V50 {
		k.forget(l.name)
	}
}

// forget ends the Session of a 3.1.1 client as those do: by a clean one.
func (k *soak) forget(id string) {
	c, err := client.Connect(k.ctx, client.Options{URL: k.urls["mqtt"], ClientID: id, Version: mqtt.V311, ConnectTimeout: time.Minute})
	if err == nil {
		err = c.Disconnect(k.ctx, mqtt.Disconnect{})
	}
	if err != nil {
		k.fault("forget %s: %v", id, err)
	}
}

// soakPayload is the number, and now and then much behind it.
func soakPayload(i int) []byte {
	n := rand.IntN(200)
	if rand.IntN(200) == 0 {
		n = rand.IntN(50_000)
	}
	return append(strconv.AppendInt(nil, int64(i), 10), " "+strings.Repeat("x", n)...)
}

// arrived finds out what a message is.
func (k *soak) arrived(r *soakReader, topic string, payload []byte) {
	head, _, _ := bytes.Cut(payload, []byte(" "))
	i, err := strconv.Atoi(string(head))
	s := k.streamOf[topic]
	switch {
	case err != nil:
		k.fault("%s: %s: %.40q", r.name, topic, payload)
	case topic == "soak/will":
		k.wills.take(i)
	case s == nil:
		k.fault("%s: a topic that nobody publishes to: %s", r.name, topic)
	default:
		r.take(s, i)
	}
}

// soakVisitor comes, does something, and goes, over and over.
type soakVisitor struct {
	k      *soak
	n      int
	stream *soakStream
	counts map[string]int
	old    bool // it has left a 3.1.1 Session
}

// run makes visits of all kinds until the run is over.
func (v *soakVisitor) run() {
	kinds := []struct {
		name string
		do   func() error
	}{
		{"publish", v.publish}, {"publish", v.publish}, {"publish", v.publish}, {"subscribe", v.subscribe}, {"subscribe", v.subscribe},
		{"will", v.will}, {"will", v.will}, {"retained", v.retained}, {"take-over", v.takeOver},
		{"password", v.password}, {"bad packet", v.badPacket}, {"bad packet", v.badPacket}, {"deaf", v.deaf}, {"half-open", v.halfOpen},
	}
	for v.k.sleep(time.Duration(rand.IntN(300)) * time.Millisecond) {
		one := kinds[rand.IntN(len(kinds))]
		if err := one.do(); err != nil {
			v.k.fault("visitor %d, %s: %v", v.n, one.name, err)
		}
		v.counts[one.name]++
		if v.old && rand.IntN(3) == 0 { // or what waits there would be too much to see a leak beside it
			v.k.forget(v.id("old"))
			v.old = false
		}
	}
	if v.old {
		v.k.forget(v.id("old"))
	}
}

func (v *soakVisitor) id(what string) string { return fmt.Sprint("visitor-", v.n, "-", what) }

// options are of any kind.
func (v *soakVisitor) options() client.Options {
	kinds := []string{"mqtt", "mqtts", "ws", "wss", "unix"}
	o := client.Options{URL: v.k.urls[kinds[rand.IntN(len(kinds))]], DialOptions: transport.DialOptions{TLS: v.k.tls}, Version: mqtt.V311, ConnectTimeout: time.Minute}
	if rand.IntN(2) == 0 {
		o.Version = mqtt.V50
		o.SessionExpiryInterval = uint32(rand.IntN(4))
		o.ReceiveMaximum = uint16(rand.IntN(50))
		o.TopicAliasMaximum = uint16(rand.IntN(5))
	}
	if rand.IntN(4) == 0 {
		o.Username, o.Password = "user", []byte("right")
	}
	return o
}

func (v *soakVisitor) connect(o client.Options) (*client.Client, error) {
	return client.Connect(v.k.ctx, o)
}

// end goes in one of the ways.
func (v *soakVisitor) end(c *client.Client) error {
	if rand.IntN(2) == 0 {
		c.Close()
		return nil
	}
	return c.Disconnect(v.k.ctx, mqtt.Disconnect{})
}

func (v *soakVisitor) publish() error {
	c, err := v.connect(v.options())
	if err != nil {
		return err
	}
	for range rand.IntN(20) {
		i := v.stream.next()
		_, err := c.Publish(v.k.ctx, &mqtt.Message{Topic: v.stream.topic, Payload: soakPayload(i), QoS: v.stream.qos})
		if err != nil {
			return err
		}
	}
	if rand.IntN(2) == 0 { // and one that is in doubt
		i := v.stream.next()
		var end sync.Mutex
		end.Lock()
		err := c.PublishAsync(&mqtt.Message{Topic: v.stream.topic, Payload: soakPayload(i), QoS: v.stream.qos}, func(_ mqtt.ReasonCode, err error) {
			if err != nil {
				v.stream.failed(i)
			}
			end.Unlock()
		})
		if err != nil {
			return err
		}
		c.Close()
		end.Lock()
		return nil
	}
	return v.end(c)
}

// subscribe takes part in all that is published, for a moment, and may leave a Session behind that expires.
func (v *soakVisitor) subscribe() error {
	o := v.options()
	if o.Version == mqtt.V311 && rand.IntN(3) == 0 {
		o.ClientID, o.KeepSession, v.old = v.id("old"), true, true
		o.Username, o.Password = "", nil // a Session belongs to its user
	}
	o.OnMessage = func(*client.Client, *mqtt.Publish, string) bool { return true }
	c, err := v.connect(o)
	if err != nil {
		return err
	}
	filters := []string{"soak/s/#", "soak/+/" + strconv.Itoa(rand.IntN(10)), "$share/visitors/soak/s/+", "soak/will", "other/" + strconv.Itoa(rand.IntN(1000))}
	for range 1 + rand.IntN(4) {
		f := filters[rand.IntN(len(filters))]
		if _, err := c.Subscribe(v.k.ctx, []mqtt.Subscription{{Filter: f, QoS: mqtt.QoS(rand.IntN(3))}}, nil); err != nil {
			return err
		}
		if rand.IntN(3) == 0 {
			if _, err := c.Unsubscribe(v.k.ctx, []string{f}, nil); err != nil {
				return err
			}
		}
	}
	v.k.sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
	return v.end(c)
}

func (v *soakVisitor) will() error {
	o := v.options()
	i := v.k.wills.next()
	o.Will = &mqtt.Will{Topic: "soak/will", Payload: soakPayload(i), QoS: mqtt.QoS(1 + rand.IntN(2))}
	if o.Version == mqtt.V50 && rand.IntN(2) == 0 {
		o.Will.Properties = mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, 1)}
	}
	c, err := v.connect(o)
	if err != nil {
		return err
	}
	switch n := rand.IntN(3); {
	case n == 0:
		v.k.wills.owed(i, true)
		c.Close()
		return nil
	case n == 1 && o.Version == mqtt.V50:
		v.k.wills.owed(i, true)
		return c.Disconnect(v.k.ctx, mqtt.Disconnect{ReasonCode: mqtt.DisconnectWithWill})
	}
	if _, err := c.Publish(v.k.ctx, &mqtt.Message{Topic: "other/x", QoS: mqtt.QoS1}); err != nil {
		return err
	}
	// A DISCONNECT that the broker has not read when the connection ends is none.
	if err := c.Disconnect(v.k.ctx, mqtt.Disconnect{}); err == nil && c.WaitClosed(v.k.ctx) == nil {
		v.k.wills.owed(i, false)
	}
	return nil
}

// retained sets a message, has it come to a new subscriber, and clears it.
func (v *soakVisitor) retained() error {
	topic, want := fmt.Sprintf("soak/r/%d/%d", v.n, rand.IntN(10)), soakPayload(rand.Int())
	c, err := v.connect(v.options())
	if err != nil {
		return err
	}
	if _, err := c.Publish(v.k.ctx, &mqtt.Message{Topic: topic, Payload: want, QoS: mqtt.QoS1, Retain: true}); err != nil {
		return err
	}
	o := v.options()
	o.AutoAck = true
	r, err := v.connect(o)
	if err != nil {
		return err
	}
	if _, err := r.Subscribe(v.k.ctx, []mqtt.Subscription{{Filter: topic, QoS: mqtt.QoS1}}, nil); err != nil {
		return err
	}
	d, err := r.Receive(v.k.ctx)
	if err != nil {
		return err
	}
	if !bytes.Equal(d.Payload, want) || !d.Retain {
		return fmt.Errorf("%s: %d bytes, retain %v, want %d", topic, len(d.Payload), d.Retain, len(want))
	}
	if _, err := c.Publish(v.k.ctx, &mqtt.Message{Topic: topic, QoS: mqtt.QoS1, Retain: true}); err != nil {
		return err
	}
	return errors.Join(v.end(c), v.end(r))
}

// takeOver has a second connection take the Session, with what waits in it.
func (v *soakVisitor) takeOver() error {
	o := v.options()
	o.ClientID, o.KeepSession, o.AutoAck = v.id("taken"), true, true
	o.Username, o.Password = "", nil // a Session belongs to its user
	if o.Version == mqtt.V50 {
		o.SessionExpiryInterval = 60
	}
	topic := "soak/t/" + strconv.Itoa(v.n)
	a, err := v.connect(o)
	if err != nil {
		return err
	}
	if _, err := a.Subscribe(v.k.ctx, []mqtt.Subscription{{Filter: topic, QoS: mqtt.QoS1}}, nil); err != nil {
		return err
	}
	o.URL = v.k.urls["mqtt"]
	b, err := v.connect(o)
	if err != nil {
		return err
	}
	if !b.SessionPresent() {
		return errors.New("the session was not there")
	}
	select {
	case <-a.Done():
	case <-v.k.ctx.Done():
		return errors.New("the first connection lives on")
	}
	if e, ok := errors.AsType[*client.DisconnectError](a.Err()); o.Version == mqtt.V50 && ok && e.ReasonCode != mqtt.SessionTakenOver {
		return a.Err()
	}
	want := soakPayload(rand.Int())
	if _, err := b.Publish(v.k.ctx, &mqtt.Message{Topic: topic, Payload: want, QoS: mqtt.QoS1}); err != nil {
		return err
	}
	d, err := b.Receive(v.k.ctx)
	if err != nil || !bytes.Equal(d.Payload, want) {
		return fmt.Errorf("not what was published: %w", err)
	}
	if err := b.Ping(v.k.ctx); err != nil { // the PUBACK has gone
		return err
	}
	if o.Version == mqtt.V50 {
		return b.Disconnect(v.k.ctx, mqtt.Disconnect{Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 0)}})
	}
	b.Close()
	v.k.forget(o.ClientID)
	return nil
}

func (v *soakVisitor) password() error {
	o := v.options()
	o.Username, o.Password = "user", []byte("wrong")
	_, err := v.connect(o)
	if e, ok := errors.AsType[*client.ConnectError](err); ok && e.ReasonCode == mqtt.BadUserNameOrPassword {
		return nil
	}
	return fmt.Errorf("a wrong password: %w", err)
}

// raw is a connection for what no client does. With a version its CONNECT is accepted already.
func (v *soakVisitor) raw(version mqtt.Version, keepAlive uint16) (net.Conn, error) {
	e, err := transport.ParseURL(v.k.urls[[]string{"mqtt", "unix", "mqtts"}[rand.IntN(3)]])
	if err != nil {
		return nil, err
	}
	c, err := transport.Dial(v.k.ctx, e, transport.DialOptions{TLS: v.k.tls})
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	if version == 0 {
		return c, nil
	}
	b, err := (&mqtt.Connect{Version: version, CleanStart: true, KeepAlive: keepAlive, ClientID: v.id("raw")}).Append(nil, version)
	if err == nil {
		_, err = c.Write(b)
	}
	if err == nil {
		_, err = c.Read(make([]byte, 1024))
	}
	return c, err
}

// untilClosed reads to the end, which has to come.
func untilClosed(c net.Conn) error {
	defer c.Close()
	for buf := make([]byte, 4096); ; {
		if _, err := c.Read(buf); err != nil {
			if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
				return errors.New("the broker keeps the connection")
			}
			return nil
		}
	}
}

func (v *soakVisitor) badPacket() error {
	random := make([]byte, 64)
	for i := range random {
		random[i] = byte(rand.Int())
	}
	before := [][]byte{[]byte("GET / HTTP/1.1\r\n\r\n"), {0x10, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x30, 2, 0, 0}, {0, 0, 0}, {0x10, 6, 0, 4, 'M', 'Q', 'T', 'X', 5}}
	after := [][]byte{{0x36, 2, 0, 0}, {0x10, 2, 0, 0}, {0x82, 2, 0, 0}, {0xF0, 0xff, 0xff, 0xff, 0xff}, {0x20, 2, 0, 0}, {0x30, 3, 0, 1, '#'}, {0x32, 5, 0, 1, 'a', 0, 0}, {0, 0}}
	var version mqtt.Version
	packet := before[rand.IntN(len(before))]
	if rand.IntN(2) == 0 {
		version = []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V50}[rand.IntN(3)]
		packet = after[rand.IntN(len(after))]
	}
	c, err := v.raw(version, 0)
	if err != nil {
		return err
	}
	if rand.IntN(4) == 0 { // nobody knows what these are, nor what becomes of them
		_, _ = c.Write(random)
		return c.Close()
	}
	_, _ = c.Write(packet)
	return untilClosed(c)
}

// deaf subscribes to everything and reads nothing.
func (v *soakVisitor) deaf() error {
	c, err := v.raw(mqtt.V311, 0)
	if err != nil {
		return err
	}
	defer c.Close()
	b, err := (&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "soak/s/#", QoS: mqtt.QoS(rand.IntN(3))}}}).Append(nil, mqtt.V311)
	if err == nil {
		_, err = c.Write(b)
	}
	v.k.sleep(time.Duration(rand.IntN(3000)) * time.Millisecond)
	return err
}

// halfOpen says nothing any more: the keep alive ends it.
func (v *soakVisitor) halfOpen() error {
	c, err := v.raw(mqtt.V50, 1)
	if err != nil {
		return err
	}
	return untilClosed(c)
}
