package cmd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mqt/mqtt"
)

// fleetWorkers is how many clients of a fleet are at work at the same time.
const fleetWorkers = 128

// fleet is a broker in a process of its own, and many clients with a 5.0
// Session, that do something only when they are told.
type fleet struct {
	tb            testing.TB
	addr, metrics string
	args          []string
	cmd           *exec.Cmd
	clients       []*fleetClient
}

// fleetSize is MQT_SCALE_CONNECTIONS, or few.
func fleetSize(tb testing.TB, few int) int {
	tb.Helper()
	text := os.Getenv("MQT_SCALE_CONNECTIONS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func newFleet(tb testing.TB, args ...string) *fleet {
	tb.Helper()
	return &fleet{tb: tb, args: args, addr: freeAddr(tb), metrics: freeAddr(tb)}
}

func (f *fleet) start() {
	f.tb.Helper()
	mqt, err := exec.LookPath("mqt")
	if err != nil {
		f.tb.Fatal(err)
	}
	args := append([]string{"broker", "--listen", "mqtt://" + f.addr, "--metrics", f.metrics}, f.args...)
	f.cmd = exec.Command(mqt, args...)
	f.cmd.Stderr = f.tb.Output()
	if err := f.cmd.Start(); err != nil {
		f.tb.Fatal(err)
	}
	for range 6000 {
		if c, err := net.Dial("tcp", f.addr); err == nil {
			c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	f.kill()
	f.tb.Fatal("the broker does not listen")
}

func (f *fleet) kill() {
	_ = f.cmd.Process.Kill()
	_ = f.cmd.Wait()
}

// each has all clients do something, a few of them at a time.
func (f *fleet) each(what string, do func(c *fleetClient) error) {
	f.tb.Helper()
	var next atomic.Int64
	var workers sync.WaitGroup
	var failed atomic.Pointer[error]
	for range fleetWorkers {
		workers.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(f.clients) && failed.Load() == nil; i = next.Add(1) - 1 {
				if err := do(f.clients[i]); err != nil {
					err = fmt.Errorf("%s of client %d: %w", what, i, err)
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	workers.Wait()
	if err := failed.Load(); err != nil {
		f.tb.Fatal(*err)
	}
}

// stage says what the broker takes, after what was done since from.
func (f *fleet) stage(what string, from time.Time, before time.Duration) {
	f.tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.cmd.Process.Pid))
	if err != nil {
		f.tb.Fatal(err)
	}
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rss)[0])
	if err != nil {
		f.tb.Fatal(err)
	}
	took, used := time.Since(from), f.cpu()-before
	f.tb.Logf("%-22s %6.1f s, broker: %5.2f s of CPU, RSS %3d MB, heap %3.0f MB, %s messages wait", what, took.Seconds(), used.Seconds(),
		kb>>10, f.metric("go_memstats_heap_alloc_bytes")/1e6, strconv.FormatFloat(f.metric("mqt_queued_messages"), 'f', 0, 64))
}

// metric reads one that the broker offers.
func (f *fleet) metric(name string) float64 {
	f.tb.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+f.metrics+"/metrics", nil)
	if err != nil {
		f.tb.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.tb.Fatal(err)
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		f.tb.Fatal(err)
	}
	_, rest, found := strings.Cut(text.String(), "\n"+name+" ")
	value, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(value, 64)
	if !found || err != nil {
		f.tb.Fatalf("there is no metric %s: %v", name, err)
	}
	return n
}

// cpu is what the broker's threads have used, in nanoseconds of the scheduler
// rather than in ticks.
func (f *fleet) cpu() time.Duration {
	f.tb.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", f.cmd.Process.Pid))
	if err != nil || len(threads) == 0 {
		f.tb.Fatal("the broker has no threads: ", err)
	}
	var sum time.Duration
	for _, name := range threads {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		used, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(used, 10, 64)
		if err != nil {
			f.tb.Fatal(err)
		}
		sum += time.Duration(n)
	}
	return sum
}

// userTicks is what of that was not the kernel's, in hundredths of a second.
func (f *fleet) userTicks() int {
	f.tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.cmd.Process.Pid))
	if err != nil {
		f.tb.Fatal(err)
	}
	n, err := strconv.Atoi(strings.Fields(string(text[bytes.LastIndexByte(text, ')'):]))[12])
	if err != nil {
		f.tb.Fatal(err)
	}
	return n
}

// fleetClient is one of them. It subscribes to a topic of its own.
type fleetClient struct {
	id    int
	topic string
	nc    net.Conn
	r     mqtt.Reader
	buf   []byte
	at    int // of what in buf is not decoded yet
}

func newFleetClient(i int) *fleetClient {
	return &fleetClient{id: i, topic: fmt.Sprint("scale/", i)}
}

// connect checks Session Present, and subscribes unless it is there.
func (c *fleetClient) connect(addr string, keepAlive uint16, present bool) error {
	// One address has 28,000 ports, of which others may have many.
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+c.id%8))}, Timeout: time.Minute}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		return err
	}
	c.nc, c.r = nc, mqtt.Reader{From: mqtt.Server, Version: mqtt.V50}
	c.buf, c.at = c.buf[:0], 0
	err = c.write(&mqtt.Connect{Version: mqtt.V50, ClientID: fmt.Sprint("device-", c.id), KeepAlive: keepAlive,
		Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 3600)}})
	if err != nil {
		return err
	}
	connack, err := fleetNext[*mqtt.Connack](c)
	switch {
	case err != nil:
		return err
	case connack.ReasonCode != mqtt.Success || connack.SessionPresent != present:
		return fmt.Errorf("CONNACK %v, session present: %v", connack.ReasonCode, connack.SessionPresent)
	case present:
		return nil
	}
	if err := c.write(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: c.topic, QoS: mqtt.QoS1}}}); err != nil {
		return err
	}
	suback, err := fleetNext[*mqtt.Suback](c)
	if err == nil && suback.ReasonCodes[0] != 1 {
		err = fmt.Errorf("SUBACK %v", suback.ReasonCodes[0])
	}
	return err
}

func (c *fleetClient) write(pkts ...mqtt.Packet) error {
	var b []byte
	for _, p := range pkts {
		var err error
		if b, err = p.Append(b, mqtt.V50); err != nil {
			return err
		}
	}
	_ = c.nc.SetDeadline(time.Now().Add(time.Minute))
	_, err := c.nc.Write(b)
	return err
}

// ping finds out that all that was sent has been served, and that nothing else
// has come.
func (c *fleetClient) ping() error {
	if err := c.write(&mqtt.Pingreq{}); err != nil {
		return err
	}
	_, err := fleetNext[*mqtt.Pingresp](c)
	return err
}

// message takes one that is sent for the first time, and acknowledges it.
func (c *fleetClient) message(payload string) error {
	m, err := fleetNext[*mqtt.Publish](c)
	switch {
	case err != nil:
		return err
	case m.QoS != mqtt.QoS1 || m.Dup || string(m.Topic) != c.topic || string(m.Payload) != payload:
		return fmt.Errorf("%q to %q at QoS %d, DUP %v", m.Payload, m.Topic, m.QoS, m.Dup)
	}
	return c.write(&mqtt.Puback{Ack: mqtt.Ack{PacketID: m.PacketID}})
}

// cut ends the connection without a word, and leaves no port in use.
func (c *fleetClient) cut() error {
	tcp, ok := c.nc.(*net.TCPConn)
	if !ok {
		return errors.New("no TCP connection")
	}
	_ = tcp.SetLinger(0)
	return tcp.Close()
}

// fleetNext reads the next packet, which must be a T, and nothing behind it if
// that is a PINGRESP.
func fleetNext[T mqtt.Packet](c *fleetClient) (T, error) {
	var none T
	for {
		p, n, err := c.r.Read(c.buf[c.at:])
		if err != nil {
			return none, err
		}
		if n > 0 {
			c.at += n
			want, ok := p.(T)
			if !ok {
				return none, fmt.Errorf("got %T %+v, want %T", p, p, none)
			}
			return want, nil
		}
		c.buf = append(c.buf[:0], c.buf[c.at:]...)
		c.at = 0
		if cap(c.buf)-len(c.buf) < 128 {
			c.buf = append(make([]byte, 0, 2*cap(c.buf)+256), c.buf...)
		}
		m, err := c.nc.Read(c.buf[len(c.buf):cap(c.buf)])
		c.buf = c.buf[:len(c.buf)+m]
		if m == 0 {
			return none, fmt.Errorf("the connection ended: %w", err)
		}
	}
}

// tell publishes a message to each client, at QoS 1 and many at a time.
func (f *fleet) tell(payload string) error {
	c := newFleetClient(-1)
	nc, err := net.Dial("tcp", f.addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	c.nc, c.r = nc, mqtt.Reader{From: mqtt.Server, Version: mqtt.V50}
	if err := c.write(&mqtt.Connect{Version: mqtt.V50, ClientID: "teller", CleanStart: true}); err != nil {
		return err
	}
	if _, err := fleetNext[*mqtt.Connack](c); err != nil {
		return err
	}
	const window = 500
	for from := 0; from < len(f.clients); from += window {
		to := min(from+window, len(f.clients))
		var pkts []mqtt.Packet
		for i, to := range f.clients[from:to] {
			pkts = append(pkts, &mqtt.Publish{QoS: mqtt.QoS1, PacketID: mqtt.PacketID(i + 1), Topic: []byte(to.topic), Payload: []byte(payload)})
		}
		if err := c.write(pkts...); err != nil {
			return err
		}
		for range pkts {
			ack, err := fleetNext[*mqtt.Puback](c)
			if err == nil && ack.ReasonCode != mqtt.Success {
				err = fmt.Errorf("PUBACK %v", ack.ReasonCode)
			}
			if err != nil {
				return err
			}
		}
	}
	return c.write(&mqtt.Disconnect{})
}

// A process holds thousands of idle connections, each with a 5.0 Session and a
// subscription: all are served by keep alive, get a message, are cut off, and
// come back to their Session and to what has waited for it; with a data
// directory also to another process. MQT_SCALE_CONNECTIONS says how many, 19,000
// being what 20,000 descriptors are good for, and MQT_SCALE_HOLD for how long
// they are held:
//
//	MQT_SCALE_CONNECTIONS=19000 MQT_SCALE_HOLD=30s go test ./cmd -run ScaleConnections -v
func TestScaleConnections(t *testing.T) {
	t.Run("memory", func(t *testing.T) { testScaleConnections(t, newFleet(t), false) })
	t.Run("disk", func(t *testing.T) { testScaleConnections(t, newFleet(t, "--data-dir", t.TempDir()), true) })
}

func testScaleConnections(t *testing.T, f *fleet, durable bool) {
	hold := time.Duration(0)
	if text := os.Getenv("MQT_SCALE_HOLD"); text != "" {
		var err error
		if hold, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	for i := range fleetSize(t, 300) {
		f.clients = append(f.clients, newFleetClient(i))
	}
	f.start()
	defer func() { f.kill() }()
	defer func() {
		for _, c := range f.clients {
			if c.nc != nil {
				_ = c.cut()
			}
		}
	}()
	step := func(what string, do func()) {
		start, used := time.Now(), f.cpu()
		do()
		f.stage(what, start, used)
	}
	count := func(what string, name string, want int) {
		t.Helper()
		if n := f.metric(name); n != float64(want) {
			t.Errorf("%s: %s is %v, not %d", what, name, n, want)
		}
	}
	const keepAlive = 15 // seconds; a client is silent for two fifths of it
	step("start", func() {})
	step("connect, subscribe", func() {
		f.each("connect", func(c *fleetClient) error { return c.connect(f.addr, keepAlive, false) })
	})
	step("hold", func() {
		for start := time.Now(); ; {
			from := time.Now()
			f.each("ping", (*fleetClient).ping)
			if time.Since(start) >= hold {
				return
			}
			time.Sleep(time.Until(from.Add(keepAlive * time.Second * 2 / 5)))
		}
	})
	count("held", "mqt_clients", len(f.clients))
	step("a message to each", func() {
		told := make(chan error, 1)
		go func() { told <- f.tell("one") }()
		f.each("message", func(c *fleetClient) error { return c.message("one") })
		if err := <-told; err != nil {
			t.Fatal(err)
		}
		f.each("ping", (*fleetClient).ping)
	})
	count("told", "mqt_queued_messages", 0)
	step("cut off", func() {
		f.each("cut", (*fleetClient).cut)
		for start := time.Now(); f.metric("mqt_connections") > 0 && time.Since(start) < time.Minute; {
			time.Sleep(10 * time.Millisecond)
		}
	})
	count("cut off", "mqt_connections", 0)
	count("cut off", "mqt_sessions", len(f.clients))
	step("a message for each", func() {
		if err := f.tell("two"); err != nil {
			t.Fatal(err)
		}
	})
	count("away", "mqt_queued_messages", len(f.clients))
	if durable {
		f.kill()
		start := time.Now()
		f.start()
		f.stage("killed, started again", start, 0)
		count("again", "mqt_queued_messages", len(f.clients))
	}
	step("back", func() {
		f.each("return", func(c *fleetClient) error {
			err := c.connect(f.addr, keepAlive, true)
			if err == nil {
				err = c.message("two")
			}
			if err == nil {
				err = c.ping()
			}
			return err
		})
	})
	count("back", "mqt_clients", len(f.clients))
	count("back", "mqt_queued_messages", 0)
}

// BenchmarkScaleConnections is what a message costs the broker among more and
// more connections: 50 pairs that talk while the others are silent, and all of
// them by turns. MQT_SCALE_CONNECTIONS is how many there are at most.
//
//	MQT_SCALE_CONNECTIONS=19000 go test ./cmd -run xxx -bench ScaleConnections -benchtime 200000x
func BenchmarkScaleConnections(b *testing.B) {
	most := fleetSize(b, 1000)
	for _, n := range []int{100, 1000, 10_000, 19_000} {
		if n > most {
			break
		}
		f := newFleet(b, "--max-out-bytes", "64MiB")
		for i := range n {
			f.clients = append(f.clients, newFleetClient(i))
		}
		f.start()
		f.each("connect", func(c *fleetClient) error { return c.connect(f.addr, 0, false) })
		for qos := range mqtt.QoS1 + 1 {
			b.Run(fmt.Sprintf("%d/pairs/QoS %d", n, qos), func(b *testing.B) { f.talk(b, f.clients[:100], qos, 20) })
			b.Run(fmt.Sprintf("%d/all/QoS %d", n, qos), func(b *testing.B) { f.talk(b, f.clients, qos, 1) })
		}
		f.each("cut", (*fleetClient).cut)
		f.kill()
	}
}

// talk has the first half of the clients send b.N messages to the others,
// several at a time, 50 pairs at a time.
func (f *fleet) talk(b *testing.B, clients []*fleetClient, qos mqtt.QoS, several int) {
	half := len(clients) / 2
	rounds := max(1, b.N/(half*several))
	before, user := f.cpu(), f.userTicks()
	b.ResetTimer()
	var workers sync.WaitGroup
	for w := range 50 {
		workers.Go(func() {
			for range rounds {
				for i := w; i < half; i += 50 {
					if err := say(clients[i], clients[half+i], qos, several); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	workers.Wait()
	b.StopTimer()
	messages := rounds * half * several
	b.ReportMetric(float64((f.cpu()-before).Nanoseconds())/float64(messages)/1e3, "CPU-µs/message")
	b.ReportMetric(float64(f.userTicks()-user)*1e4/float64(messages), "user-µs/message")
	b.ReportMetric(float64(messages)/b.Elapsed().Seconds(), "messages/s")
}

// say sends some messages and waits until they are there, and acknowledged.
func say(from, to *fleetClient, qos mqtt.QoS, several int) error {
	var pkts, acks []mqtt.Packet
	for i := range several {
		pkts = append(pkts, &mqtt.Publish{QoS: qos, PacketID: mqtt.PacketID(int(qos) * (i + 1)), Topic: []byte(to.topic), Payload: make([]byte, 16)})
	}
	if err := from.write(pkts...); err != nil {
		return err
	}
	for range several {
		m, err := fleetNext[*mqtt.Publish](to)
		if err != nil {
			return err
		}
		if qos > mqtt.QoS0 {
			acks = append(acks, &mqtt.Puback{Ack: mqtt.Ack{PacketID: m.PacketID}})
		}
	}
	if qos == mqtt.QoS0 {
		return nil
	}
	if err := to.write(acks...); err != nil {
		return err
	}
	for range several {
		if _, err := fleetNext[*mqtt.Puback](from); err != nil {
			return err
		}
	}
	return nil
}
