package broker

import (
	"fmt"
	"math"
	"runtime/metrics"
	"strconv"
	"time"

	"mqt/mqtt"
)

// sys publishes what the broker knows of itself below $SYS/broker, with
// mosquitto's names, as retained messages at QoS 0. Its fields belong to the
// timers' goroutine.
type sys struct {
	b *Broker
	timer
	last     map[string]string // what was published, so that only news is
	before   Stats             // at the last time
	at       time.Duration
	loads    [numLoads][3]float64 // a minute's worth, averaged over 1, 5 and 15 minutes
	heapMost uint64
}

// The rates that $SYS/broker/load tells.
const (
	loadMessagesReceived = iota
	loadMessagesSent
	loadPublishReceived
	loadPublishSent
	loadPublishDropped
	loadBytesReceived
	loadBytesSent
	loadSockets
	loadConnections
	numLoads
)

// start publishes for the first time, before anybody can subscribe.
func (y *sys) start(b *Broker) {
	y.b, y.last = b, make(map[string]string)
	b.timers.set(y, y.due(b.timers.now()))
}

// due publishes what has changed.
func (y *sys) due(now time.Duration) time.Duration {
	t := y.b.beginTurn(nil)
	defer t.end()
	s := y.b.Stats()
	y.average(&s, now)
	for _, v := range y.values(&s, now) {
		name := "$SYS/broker/" + v.name
		if y.last[name] == v.text {
			continue
		}
		y.last[name] = v.text
		t.pub.begin(name, []byte(v.text), nil, mqtt.QoS0, true, nil)
		y.b.publish(t, nil)
	}
	return now + y.b.opt.SysInterval
}

// value is one topic below $SYS/broker.
type value struct{ name, text string }

func (y *sys) values(s *Stats, now time.Duration) []value {
	dropped := s.dropped()
	heap := heapBytes()
	y.heapMost = max(y.heapMost, heap)
	away := max(0, s.Sessions-s.Clients)
	vs := []value{
		{"version", y.b.opt.Version},
		{"uptime", strconv.FormatInt(int64(now/time.Second), 10) + " seconds"},
	}
	for _, n := range []struct {
		name string
		n    int64
	}{
		{"clients/connected", s.Clients}, {"clients/disconnected", away},
		{"clients/total", s.Clients + away}, {"clients/maximum", s.MaxClients},
		{"messages/received", s.Packets}, {"messages/sent", s.PacketsSent},
		{"bytes/received", s.BytesReceived}, {"bytes/sent", s.BytesSent},
		{"publish/messages/received", s.Received}, {"publish/messages/sent", s.Sent},
		{"publish/messages/dropped", dropped},
		{"publish/bytes/received", s.PayloadBytesReceived}, {"publish/bytes/sent", s.PayloadBytesSent},
		{"subscriptions/count", s.Subscriptions}, {"shared_subscriptions/count", s.Shared},
		{"retained messages/count", s.Retained},
		{"store/messages/count", s.Retained + s.Waiting}, {"store/messages/bytes", s.RetainedBytes + s.Memory},
		{"heap/current", int64(heap)}, {"heap/maximum", int64(y.heapMost)},
		{"connections/refused", s.Refused}, {"connections/errors", s.ProtocolErrors},
		{"connections/handshakes/failed", s.Handshakes},
	} {
		vs = append(vs, value{n.name, strconv.FormatInt(n.n, 10)})
	}
	for _, d := range s.Drops() {
		vs = append(vs, value{"publish/messages/dropped/" + d.Reason, strconv.FormatInt(d.Count, 10)})
	}
	vs = append(vs, storeValues(s)...)
	for i, n := range s.Exceeded {
		vs = append(vs, value{"limits/" + Limit(i).String(), strconv.FormatInt(n, 10)})
	}
	for i, name := range [numLoads]string{"messages/received", "messages/sent", "publish/received", "publish/sent",
		"publish/dropped", "bytes/received", "bytes/sent", "sockets", "connections"} {
		for j, minutes := range loadMinutes() {
			vs = append(vs, value{fmt.Sprintf("load/%s/%dmin", name, minutes), strconv.FormatFloat(y.loads[i][j], 'f', 2, 64)})
		}
	}
	return vs
}

// storeValues is what there is to say of the store, where there is one.
func storeValues(s *Stats) []value {
	x := s.Store
	if x == nil {
		return nil
	}
	var failed int64
	if s.StoreFailed {
		failed = 1
	}
	var vs []value
	for _, n := range []struct {
		name string
		n    int64
	}{
		{"commits", int64(x.Commits)}, {"batches", int64(x.Batches)}, {"operations", int64(x.Ops)},
		{"full", int64(x.Full)}, {"pending", x.Pending}, {"failed", failed},
		{"last commit/microseconds", x.LastCommit.Microseconds()},
		{"file/bytes", x.FileBytes}, {"file/free", x.FreeBytes},
	} {
		vs = append(vs, value{"data/" + n.name, strconv.FormatInt(n.n, 10)})
	}
	return vs
}

func loadMinutes() [3]int { return [3]int{1, 5, 15} }

// average moves the averages on, each by what the time since the last weighs
// in it.
func (y *sys) average(s *Stats, now time.Duration) {
	last := &y.before
	passed := (now - y.at).Minutes()
	if passed <= 0 {
		return
	}
	for i, n := range [numLoads]int64{
		s.Packets - last.Packets, s.PacketsSent - last.PacketsSent, s.Received - last.Received, s.Sent - last.Sent,
		s.dropped() - last.dropped(), s.BytesReceived - last.BytesReceived, s.BytesSent - last.BytesSent,
		s.Accepted - last.Accepted, s.Admitted - last.Admitted,
	} {
		rate := float64(n) / passed
		for j, minutes := range loadMinutes() {
			keep := math.Exp(-passed / float64(minutes))
			y.loads[i][j] = rate + keep*(y.loads[i][j]-rate)
		}
	}
	y.before, y.at = *s, now
}

// dropped is the sum of all reasons.
func (s *Stats) dropped() (sum int64) {
	for _, d := range s.Drops() {
		sum += d.Count
	}
	return sum
}

// heapBytes is what lives on the heap, or will be swept from it.
func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
