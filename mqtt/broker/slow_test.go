package broker

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mqt/mqtt"
)

// throttled is the end of a link with a rate, in bytes a second.
type throttled struct {
	net.Conn
	rate int
}

func (c throttled) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), 16<<10)])
	time.Sleep(time.Duration(n) * time.Second / time.Duration(c.rate))
	return n, err
}

// hosed is who takes what is too much for a slow link.
type hosed int

const (
	hosedNobody hosed = iota
	hosedFast
	hosedSlow
)

// A subscriber behind a link of 1 MB a second, which is sent four times that,
// takes nothing away from the many beside it who get the same news, and has the
// broker keep no more than its limits; nor does a publisher who sends as fast
// as it can. MQT_SCALE_SLOW makes the few many, and shows what it costs them:
//
//	MQT_SCALE_SLOW=1 go test ./mqtt/broker -run ASlowLink -v
func TestASlowLinkBesideTheFast(t *testing.T) {
	run := slowRun{fast: 20, news: 50, every: 2 * time.Millisecond, hose: 12 << 20}
	large := os.Getenv("MQT_SCALE_SLOW") != ""
	if large {
		run = slowRun{fast: 1000, news: 40, every: 200 * time.Millisecond, hose: 32 << 20, hoseRate: 4 << 20}
	}
	for _, who := range []struct {
		name  string
		hosed hosed
		flood bool
	}{{"alone", hosedNobody, false}, {"fast", hosedFast, false}, {"slow", hosedSlow, false}, {"slow and flood", hosedSlow, true}} {
		if who.hosed != hosedSlow && !large {
			continue // to compare with
		}
		for qos := range mqtt.QoS1 + 1 {
			run.qos, run.hosed, run.flood = qos, who.hosed, who.flood
			t.Run(fmt.Sprintf("%s/QoS %d", who.name, qos), run.test)
		}
	}
}

// slowRun is news to all at a steady rate, and a hose of 4 KiB messages.
type slowRun struct {
	qos      mqtt.QoS
	fast     int
	news     int
	every    time.Duration
	hose     int // bytes
	hoseRate int // bytes a second, 0: as fast as can be
	hosed    hosed
	flood    bool
}

func (r slowRun) test(t *testing.T) {
	limits := Options{OutLimit: 1 << 20, MaxQueueBytes: 2 << 20}
	b := liveBroker(t, limits)
	b.listen(byTCP)
	var all []*livePeer
	join := func(id, filter string) *livePeer {
		p := b.client(t, mqtt.V50, id, nil)
		all = append(all, p)
		if filter != "" {
			sub := subscribeTo(filter)
			sub.Subscriptions[0].QoS = r.qos
			p.write(sub)
			p.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypeSuback })
		}
		return p
	}
	start := time.Now()
	var readers sync.WaitGroup
	late := make([][]time.Duration, r.fast)
	for i := range r.fast {
		p := join(fmt.Sprint("fast", i), "all/news")
		readers.Go(func() {
			p.takeNews(r.news, func(sent time.Duration) { late[i] = append(late[i], time.Since(start)-sent) })
		})
	}
	var taken atomic.Int64
	var slow sync.WaitGroup
	if r.hosed != hosedNobody {
		p := join("slow", "all/#")
		if r.hosed == hosedSlow {
			_ = p.nc.(*net.TCPConn).SetReadBuffer(32 << 10) //nolint:forcetypeassert // it is one
			p.nc = throttled{p.nc, 1 << 20}
		}
		slow.Go(func() { p.receiveAll(&taken) })
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	var most atomic.Int64
	others.Go(func() { b.watchMemory(&most, stop) })
	hose := join("hose", "")
	hosing := make(chan struct{})
	others.Go(func() { hose.hose(r, "all/hose", hosing, stop) })
	if r.flood {
		p := join("flood", "")
		others.Go(func() { p.flood(stop) })
	}
	r.publishNews(t, join("news", ""), start)
	readers.Wait()
	<-hosing
	close(stop)
	others.Wait()
	s := b.Stats()
	var sorted []time.Duration
	for i, l := range late {
		if len(l) != r.news {
			t.Fatalf("fast %d has %d of %d news", i, len(l), r.news)
		}
		sorted = append(sorted, l...)
	}
	slices.Sort(sorted)
	t.Logf("news: p50 %v p99 %v of %d; the broker keeps at most %d KiB; %d dropped, %d taken by who is hosed",
		sorted[len(sorted)/2].Round(time.Microsecond), sorted[len(sorted)*99/100].Round(time.Microsecond), len(sorted), most.Load()>>10,
		s.DroppedSlow+s.DroppedQueue, taken.Load())
	// What is in flight is as bounded as the queue; the others have some as well.
	if bound := int64(limits.OutLimit + 2*limits.MaxQueueBytes + 2<<20 + r.fast*2000); most.Load() > bound {
		t.Errorf("the broker keeps %d bytes, more than %d", most.Load(), bound)
	}
	if r.hosed == hosedSlow && (s.DroppedSlow+s.DroppedQueue == 0 || taken.Load() == 0) {
		t.Errorf("the slow one got %d messages, and %d were dropped", taken.Load(), s.DroppedSlow+s.DroppedQueue)
	}
	for _, p := range all {
		p.nc.Close()
	}
	slow.Wait()
	b.stop()
}

// publishNews publishes news, each with when it is due.
func (r slowRun) publishNews(t *testing.T, p *livePeer, start time.Time) {
	begin := time.Since(start)
	for i := range r.news {
		due := begin + time.Duration(i)*r.every
		time.Sleep(due - time.Since(start))
		p.write(publish(r.qos, mqtt.PacketID(r.qos), "all/news", string(binary.BigEndian.AppendUint64(nil, uint64(due)))))
		if r.qos > mqtt.QoS0 && !p.await(func(pkt mqtt.Packet) bool { return pkt.Type() == mqtt.TypePuback }) {
			t.Error("the publisher was closed")
			return
		}
	}
}

// takeNews reads n of them.
func (p *livePeer) takeNews(n int, took func(sent time.Duration)) {
	p.await(func(pkt mqtt.Packet) bool {
		m, ok := pkt.(*mqtt.Publish)
		if !ok {
			return false
		}
		took(time.Duration(binary.BigEndian.Uint64(m.Payload)))
		if m.QoS > mqtt.QoS0 {
			p.ack(mqtt.TypePuback, m.PacketID)
		}
		n--
		return n == 0
	})
}

// hose publishes r.hose bytes at the rate that is wanted, and closes done.
func (p *livePeer) hose(r slowRun, topic string, done, stop chan struct{}) {
	defer close(done)
	const size, several = 4 << 10, 8
	var block []mqtt.Packet
	for i := range several {
		block = append(block, publish(r.qos, mqtt.PacketID(int(r.qos)*(i+1)), topic, string(make([]byte, size))))
	}
	start := time.Now()
	for n := 0; n < r.hose; n += several * size {
		if r.hoseRate > 0 {
			select {
			case <-stop:
				return
			case <-time.After(time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(r.hoseRate)))):
			}
		}
		p.write(block...)
		acked := int(r.qos) * several
		if acked > 0 && !p.await(func(pkt mqtt.Packet) bool { acked--; return acked == 0 }) {
			return
		}
	}
}

// flood publishes at QoS 0 to nobody, as fast as the broker reads.
func (p *livePeer) flood(stop chan struct{}) {
	m := publish(mqtt.QoS0, 0, "flood", string(make([]byte, 500)))
	for {
		select {
		case <-stop:
			return
		default:
			p.write(m, m, m, m, m, m, m, m)
		}
	}
}

// watchMemory notes the most that clients have the broker keep.
func (b *live) watchMemory(most *atomic.Int64, stop chan struct{}) {
	for {
		most.Store(max(most.Load(), b.Stats().Memory))
		select {
		case <-stop:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}
