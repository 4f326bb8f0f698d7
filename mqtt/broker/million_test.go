//go:build unix

package broker

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/transport"
)

// collection is what one cycle of the garbage collector takes.
type collection struct{ wall, cpu, pause time.Duration }

// collect runs one, with what was before it out of the way: what pools hold
// takes two.
func collect() collection {
	runtime.GC()
	runtime.GC()
	start, used := time.Now(), cpuUsed()
	runtime.GC()
	c := collection{wall: time.Since(start), cpu: cpuUsed() - used}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	c.pause = time.Duration(m.PauseNs[(m.NumGC+255)%256])
	return c
}

// cpuUsed is the CPU time of this process.
func cpuUsed() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heapObjects() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapObjects)
}

// crowdFilter is the filter of client i of n, and a topic that it alone
// matches. Of mixed ones one in ten has a wildcard.
func crowdFilter(i int, mixed bool) (filter, topic string) {
	topic = fmt.Sprintf("site%d/device%d/sensor/temperature", i/1000, i%1000)
	switch {
	case mixed && i%20 == 0:
		return fmt.Sprintf("site%d/device%d/#", i/1000, i%1000), topic
	case mixed && i%20 == 10:
		return fmt.Sprintf("site%d/+/device%d/temperature", i/1000, i%1000), fmt.Sprintf("site%d/x/device%d/temperature", i/1000, i%1000)
	}
	return topic, topic
}

// A million clients with a 5.0 Session and a subscription each, without
// sockets: what they take, how long a cycle of the garbage collector does, and
// a message to one of them. There are 10,000 unless MQT_SCALE_SESSIONS says how
// many:
//
//	MQT_SCALE_SESSIONS=1000000 go test ./mqtt/broker -run Million -v
func TestMillionSessions(t *testing.T) {
	n := visits
	if s := os.Getenv("MQT_SCALE_SESSIONS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, mixed := range []bool{false, true} {
		t.Run(map[bool]string{false: "exact", true: "mixed"}[mixed], func(t *testing.T) { testMillionSessions(t, n, mixed) })
	}
}

func testMillionSessions(t *testing.T, n int, mixed bool) {
	cr := newCrowd(t, Options{MaxConnections: n + 1, MaxSessions: n + 1})
	defer cr.disperse()
	empty := collect()
	before, objects := inUse(), heapObjects()
	start, used := time.Now(), cpuUsed()
	cr.conns = make([]transport.Handler, 0, n+1)
	for i := range n {
		filter, _ := crowdFilter(i, mixed)
		cr.come(fmt.Sprint("device-", i), filter, mqtt.QoS1)
	}
	took, spent := time.Since(start), cpuUsed()-used
	pub := cr.come("publisher", "", 0)
	each := float64(inUse()-before) / float64(n)
	objects = heapObjects() - objects
	full := collect()
	if s := cr.Stats(); s.Clients != int64(n+1) || s.Subscriptions != int64(n) {
		t.Fatalf("%d clients with %d subscriptions", s.Clients, s.Subscriptions)
	}
	t.Logf("%d clients in %v, %v of CPU: %.0f bytes each in %.1f objects", n, took.Round(time.Millisecond),
		spent.Round(time.Millisecond), each, float64(objects)/float64(n))
	t.Logf("a collection: %v wall, %v CPU, paused for %v (without clients: %v, %v, %v)",
		full.wall.Round(time.Microsecond), full.cpu.Round(time.Microsecond), full.pause, empty.wall.Round(time.Microsecond), empty.cpu, empty.pause)
	const most = 3 << 10
	if each > most && !raceEnabled {
		t.Errorf("a client takes %.0f bytes, more than %d", each, most)
	}

	// A message finds the one that it is for, and takes as long as among few.
	const messages = 20_000
	random := rand.New(rand.NewPCG(1, uint64(n)))
	var topics []string
	var packets [][]byte
	for range messages {
		_, topic := crowdFilter(random.IntN(n), mixed)
		topics = append(topics, topic)
		p, err := publish(mqtt.QoS0, 0, topic, "21.5").Append(nil, mqtt.V50)
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, p)
	}
	var match []*subscription
	used = cpuUsed()
	for _, topic := range topics {
		if match = cr.subs.AppendMatches(match[:0], topic); len(match) != 1 {
			t.Fatalf("%d filters match %q", len(match), topic)
		}
	}
	matched := cpuUsed() - used
	count := cr.Stats().Sent
	used = cpuUsed()
	for _, p := range packets {
		cr.feed(pub, p)
	}
	t.Logf("a match takes %v of CPU, a message to one of them %v", matched/messages, (cpuUsed()-used)/messages)
	if got := cr.Stats().Sent - count; got != messages {
		t.Errorf("%d of %d messages were sent", got, messages)
	}
}
