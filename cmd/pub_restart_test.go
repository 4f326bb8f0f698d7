package cmd_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mqt/mqtt"
)

// No line is lost when the broker is killed in the middle of them: what it had not acknowledged comes again.
func TestPubOutlivesTheBroker(t *testing.T) {
	path, err := exec.LookPath("mqt")
	if err != nil {
		t.Fatal(err)
	}
	killBrokers(t, func(port string) *exec.Cmd { return exec.Command(path, "broker", "-p", port) })
}

func killBrokers(t *testing.T, broker func(port string) *exec.Cmd) {
	const lines = 20_000
	var input strings.Builder
	for i := range lines {
		fmt.Fprintln(&input, i)
	}
	for _, version := range []string{"5", "311"} {
		for qos := range 3 {
			t.Run(fmt.Sprintf("%s QoS %d", version, qos), func(t *testing.T) {
				l := newLedger(t, broker, lines/4, lines/2)
				pub := exec.Command("mqt", "pub", "-L", "mqtt://"+l.addr, "-V", version, "-t", "t", "-l", "-q", fmt.Sprint(qos), "--retry-for", "60")
				kills := 2
				if qos == 0 { // slow enough for the kill to be in the middle, whatever the buffers hold
					pub.Args = append(pub.Args, "--rate", "40000")
					kills = 1
				}
				pub.Stdin = strings.NewReader(input.String())
				var stderr bytes.Buffer
				pub.Stderr = &stderr
				err := pub.Run()
				l.mu.Lock()
				defer l.mu.Unlock()
				if l.kills < kills {
					t.Fatalf("the broker was killed %d times: %v\n%s", l.kills, err, &stderr)
				}
				missing := 0
				for i := range lines {
					if l.taken[strconv.Itoa(i)] == 0 {
						missing++
					}
				}
				t.Logf("%d of %d lines are missing, stderr:\n%s", missing, lines, &stderr)
				if qos > 0 {
					if err != nil || missing > 0 {
						t.Errorf("mqt pub: %v; %d of %d lines were never acknowledged", err, missing, lines)
					}
					return
				}
				// QoS 0 cannot help to lose, but it says how much at most.
				told := regexp.MustCompile(`made anew; up to (\d+) of 20000 messages may be lost`).FindStringSubmatch(stderr.String())
				if pub.ProcessState.ExitCode() != 7 || told == nil {
					t.Fatal("it does not tell what may be lost")
				}
				if most, _ := strconv.Atoi(told[1]); missing > most {
					t.Errorf("%d are missing, and it says up to %d", missing, most)
				}
			})
		}
	}
}

// At QoS 2 no line comes twice either, when a connection is cut: the session goes on with the next one.
func TestPubDeliversOnce(t *testing.T) {
	const lines = 20_000
	var input strings.Builder
	for i := range lines {
		fmt.Fprintln(&input, i)
	}
	l := newLedger(t, func(port string) *exec.Cmd { return exec.Command("mqt", "broker", "-p", port) }, lines/4, lines/2)
	l.cut = true
	prime := []string{"sub", "-p", l.port, "-c", "-i", "counter", "-q", "2", "-t", "t"}
	if out, err := exec.Command("mqt", append(prime, "-E")...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got, stderr bytes.Buffer
	sub := exec.Command("mqt", append(prime, "-C", fmt.Sprint(lines), "-W", "120")...)
	sub.Stdout, sub.Stderr = &got, &stderr
	if err := sub.Start(); err != nil {
		t.Fatal(err)
	}
	pub := exec.Command("mqt", "pub", "-L", "mqtt://"+l.addr, "-t", "t", "-l", "-q", "2", "--retry-for", "60")
	pub.Stdin = strings.NewReader(input.String())
	if out, err := pub.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if err := sub.Wait(); err != nil {
		t.Errorf("%v: %s", err, &stderr)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kills != 2 {
		t.Errorf("the connection was cut %d times", l.kills)
	}
	if got.String() != input.String() {
		t.Errorf("%d bytes arrived, want the same %d", got.Len(), input.Len())
	}
}

// ledger stands between a publisher and a broker, which it kills, and notes what the broker has taken: what it
// acknowledged to the end, or at QoS 0 what was sent to it.
type ledger struct {
	t      *testing.T
	addr   string
	broker func(port string) *exec.Cmd
	port   string

	mu     sync.Mutex
	server *exec.Cmd
	conns  []net.Conn // where the connections are cut, and the broker lives on
	cut    bool
	killAt []int
	kills  int
	taken  map[string]int
}

func newLedger(t *testing.T, broker func(port string) *exec.Cmd, killAt ...int) *ledger {
	l := &ledger{t: t, broker: broker, killAt: killAt, taken: make(map[string]int)}
	_, l.port, _ = net.SplitHostPort(freeAddr(t))
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = front.Addr().String()
	l.start()
	t.Cleanup(func() {
		front.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.server.Process.Kill()
		l.server.Wait()
	})
	for deadline := time.Now().Add(scriptTimeout); ; time.Sleep(10 * time.Millisecond) {
		if c, err := l.dial(); err == nil {
			c.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	go func() {
		for {
			c, err := front.Accept()
			if err != nil {
				return
			}
			go l.serve(c)
		}
	}()
	return l
}

func (l *ledger) dial() (net.Conn, error) { return net.Dial("tcp", "127.0.0.1:"+l.port) }

func (l *ledger) start() {
	l.server = l.broker(l.port)
	if err := l.server.Start(); err != nil {
		l.t.Error(err)
	}
}

// take notes a payload, and kills the broker when it is time. mu is held.
func (l *ledger) take(payload string) {
	l.taken[payload]++
	if len(l.killAt) == 0 || len(l.taken) < l.killAt[0] {
		return
	}
	l.killAt = l.killAt[1:]
	l.kills++
	if l.cut {
		for _, c := range l.conns {
			c.Close()
		}
		l.conns = nil
		return
	}
	l.server.Process.Kill()
	l.server.Wait()
	l.start()
}

// serve joins a connection to one with the broker.
func (l *ledger) serve(c net.Conn) {
	defer c.Close()
	s, err := l.dial()
	if err != nil {
		return
	}
	defer s.Close()
	l.mu.Lock()
	l.conns = append(l.conns, c, s)
	l.mu.Unlock()
	under := make(map[mqtt.PacketID]string)
	var version mqtt.Version
	go func() {
		defer c.Close()
		defer s.Close()
		l.pass(c, s, mqtt.Server, &version, func(p mqtt.Packet) {
			switch p := p.(type) {
			case *mqtt.Puback:
				l.take(under[p.PacketID])
			case *mqtt.Pubcomp:
				l.take(under[p.PacketID])
			}
		})
	}()
	l.pass(s, c, mqtt.Client, &version, func(p mqtt.Packet) {
		switch p := p.(type) {
		case *mqtt.Connect:
			version = p.Version
		case *mqtt.Publish:
			if p.QoS == mqtt.QoS0 {
				l.take(string(p.Payload))
			} else {
				under[p.PacketID] = string(p.Payload)
			}
		}
	})
}

// pass copies until one side ends, and shows the packets first.
func (l *ledger) pass(to io.Writer, from io.Reader, side mqtt.Side, version *mqtt.Version, see func(mqtt.Packet)) {
	r := mqtt.Reader{From: side}
	var buf []byte
	for part := make([]byte, 32<<10); ; {
		n, err := from.Read(part)
		if err != nil {
			return
		}
		buf = append(buf, part[:n]...)
		l.mu.Lock()
		for {
			r.Version = *version
			p, n, err := r.Read(buf)
			if err != nil {
				l.t.Error(err)
			}
			if n == 0 || err != nil {
				break
			}
			see(p)
			buf = buf[n:]
		}
		l.mu.Unlock()
		if _, err := to.Write(part[:n]); err != nil {
			return
		}
	}
}
