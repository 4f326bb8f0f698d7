package cmd_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/store"
)

// crashes is how often the broker is killed.
const crashes = 50

// Nothing that a broker with a data directory has acknowledged is lost when it
// is killed, whenever that may be: no Session, no subscription, no message; at
// QoS 2 nothing comes twice, and what comes is in order.
func TestBrokerCrashes(t *testing.T) {
	mqt, err := exec.LookPath("mqt")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	k := &killed{t: t, mqt: mqt, dir: dir, addr: freeAddr(t)}
	k.start()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // for what hangs
	defer cancel()
	var subs []*crashSub
	for i, qos := range []mqtt.QoS{mqtt.QoS1, mqtt.QoS2, mqtt.QoS2} {
		s := &crashSub{qos: qos, seen: map[string]map[int]int{}, last: map[string]int{}}
		s.connect(ctx, t, k, fmt.Sprint("sub", i))
		subs = append(subs, s)
	}
	var pubs []*crashPub
	for i, qos := range []mqtt.QoS{mqtt.QoS1, mqtt.QoS1, mqtt.QoS2, mqtt.QoS2} {
		p := &crashPub{topic: fmt.Sprintf("crash/%d/%d", qos, i), qos: qos}
		p.c = k.client(ctx, fmt.Sprint("pub", i), nil)
		pubs = append(pubs, p)
	}
	var running sync.WaitGroup
	stop := make(chan struct{})
	for _, p := range pubs {
		running.Go(func() { p.run(ctx, t, stop) })
	}
	running.Go(func() { subs[2].cut(stop) })
	for range crashes {
		time.Sleep(time.Duration(20+rand.IntN(150)) * time.Millisecond)
		k.crash()
		k.start()
	}
	close(stop)
	running.Wait()
	for _, p := range pubs {
		if err := p.c.Flush(ctx); err != nil {
			t.Fatalf("%s: %v", p.topic, err)
		}
		p.c.Close()
	}
	for i, s := range subs {
		s.await(ctx, t, pubs)
		s.c.Close()
		t.Logf("subscriber %d: %d messages, %d of them again", i, s.n, s.again)
	}
	k.stop()
	if n := k.lost.Load(); n > 0 {
		t.Errorf("%d times a session was not there any more", n)
	}
	sum, err := store.Check(dir)
	if err != nil || len(sum.Problems) > 0 {
		t.Fatalf("the store: %v %+v", err, sum)
	}
	if sum.Sessions != len(subs)+len(pubs) || sum.Queued != 0 || sum.Received != 0 || sum.Released != 0 {
		t.Errorf("when all is done the store holds %+v", sum)
	}
}

// killed is a broker that is.
type killed struct {
	t              *testing.T
	mqt, dir, addr string
	cmd            *exec.Cmd
	lost           atomic.Int32
}

func (k *killed) start() {
	k.t.Helper()
	k.cmd = exec.Command(k.mqt, "broker", "--data-dir", k.dir, "--listen", "mqtt://"+k.addr, "--max-queue", "10000000", "--max-queue-bytes", "1GiB")
	k.cmd.Stderr = k.t.Output()
	if err := k.cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	for range 5000 {
		if c, err := net.Dial("tcp", k.addr); err == nil {
			c.Close()
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	k.t.Fatal("the broker does not listen")
}

func (k *killed) crash() {
	_ = k.cmd.Process.Kill()
	_ = k.cmd.Wait()
}

func (k *killed) stop() {
	k.t.Helper()
	_ = k.cmd.Process.Signal(syscall.SIGTERM)
	if err := k.cmd.Wait(); err != nil {
		k.t.Errorf("the broker ended with %v", err)
	}
}

// client has a Session for ever, and finds out if it is gone.
func (k *killed) client(ctx context.Context, id string, change func(*client.Options)) *client.Client {
	k.t.Helper()
	first := true
	o := client.Options{URL: "mqtt://" + k.addr, ClientID: id, KeepSession: true, SessionExpiryInterval: 0xFFFFFFFF, InFlight: 20,
		Version: mqtt.V50, Reconnect: &client.Backoff{Min: 5 * time.Millisecond, Max: 50 * time.Millisecond, First: true},
		Trace: func(d client.Direction, p mqtt.Packet) {
			if a, ok := p.(*mqtt.Connack); ok && a.ReasonCode == mqtt.Success {
				if !first && !a.SessionPresent {
					k.lost.Add(1)
				}
				first = false
			}
		}}
	if change != nil {
		change(&o)
	}
	c, err := client.Connect(ctx, o)
	if err != nil {
		k.t.Fatal(err)
	}
	return c
}

// crashPub publishes numbers, one after the other.
type crashPub struct {
	c     *client.Client
	topic string
	qos   mqtt.QoS
	mu    sync.Mutex
	acked []int
}

func (p *crashPub) run(ctx context.Context, t *testing.T, stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		m := &mqtt.Message{Topic: p.topic, Payload: []byte(strconv.Itoa(i)), QoS: p.qos}
		for {
			err := p.c.PublishAsync(m, func(_ mqtt.ReasonCode, err error) {
				if err != nil {
					t.Errorf("%s %d: %v", p.topic, i, err)
					return
				}
				p.mu.Lock()
				p.acked = append(p.acked, i)
				p.mu.Unlock()
			})
			if err == nil {
				break
			}
			if !errors.Is(err, client.ErrWindowFull) && !errors.Is(err, client.ErrNotConnected) || p.c.WaitWindow(ctx) != nil {
				t.Errorf("%s %d: %v", p.topic, i, err)
				return
			}
		}
		if i%20 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

// crashSub keeps a ledger.
type crashSub struct {
	c    *client.Client
	qos  mqtt.QoS
	conn atomic.Pointer[net.Conn]

	mu       sync.Mutex
	seen     map[string]map[int]int
	last     map[string]int
	faults   []string
	n, again int
}

func (s *crashSub) connect(ctx context.Context, t *testing.T, k *killed, id string) {
	t.Helper()
	s.c = k.client(ctx, id, func(o *client.Options) {
		o.Dial = func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			c, err := d.DialContext(ctx, "tcp", k.addr)
			if err == nil {
				s.conn.Store(&c)
			}
			return c, err
		}
		o.OnMessage = func(_ *client.Client, p *mqtt.Publish, topic string) bool {
			i, err := strconv.Atoi(string(p.Payload))
			s.take(topic, i, err)
			return true
		}
	})
	if codes, err := s.c.Subscribe(ctx, []mqtt.Subscription{{Filter: "crash/#", QoS: s.qos}}, nil); err != nil || codes[0].Failed() {
		t.Fatal(codes, err)
	}
}

// take writes down a message.
func (s *crashSub) take(topic string, i int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := func(format string, a ...any) {
		if len(s.faults) < 20 {
			s.faults = append(s.faults, fmt.Sprintf(format, a...))
		}
	}
	if err != nil {
		fault("%s: %v", topic, err)
		return
	}
	if s.seen[topic] == nil {
		s.seen[topic] = map[int]int{}
		s.last[topic] = -1
	}
	s.n++
	s.seen[topic][i]++
	if s.seen[topic][i] > 1 {
		s.again++
		if s.qos == mqtt.QoS2 && topic[len("crash/")] == '2' {
			fault("%s %d came twice", topic, i)
		}
		return
	}
	if i <= s.last[topic] {
		fault("%s %d came behind %d", topic, i, s.last[topic])
	}
	s.last[topic] = i
}

// cut ends its connection from time to time, so that it is often away.
func (s *crashSub) cut(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rand.IntN(60)) * time.Millisecond):
			if c := s.conn.Load(); c != nil {
				_ = (*c).Close()
			}
		}
	}
}

// missing counts what was acknowledged and has not come.
func (s *crashSub) missing(pubs []*crashPub) (n int, first string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pubs {
		p.mu.Lock()
		for _, i := range p.acked {
			if s.seen[p.topic][i] == 0 {
				if n++; first == "" {
					first = fmt.Sprint(p.topic, " ", i)
				}
			}
		}
		p.mu.Unlock()
	}
	return n, first
}

// await waits until all has come.
func (s *crashSub) await(ctx context.Context, t *testing.T, pubs []*crashPub) {
	t.Helper()
	last, since := -1, time.Now()
	for ctx.Err() == nil {
		n, first := s.missing(pubs)
		if n == 0 {
			break
		}
		if n != last {
			last, since = n, time.Now()
		} else if time.Since(since) > 60*time.Second {
			t.Errorf("%d acknowledged messages do not come any more, the first of them is %s", n, first)
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if ctx.Err() != nil {
		t.Fatal(ctx.Err())
	}
	// The last messages may be taken and not acknowledged yet. What was sent behind a PINGREQ would have come, and is
	// answered before the next: PUBREC, PUBREL, PUBCOMP.
	for range 3 {
		if err := s.c.Ping(ctx); err != nil {
			t.Error(err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		t.Error(f)
	}
}
