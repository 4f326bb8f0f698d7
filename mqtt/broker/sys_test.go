package broker

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"mqt/mqtt"
)

// told collects the $SYS messages that came, by topic less $SYS/broker/.
func (p *peer) told() map[string]string {
	p.t.Helper()
	all := make(map[string]string)
	for _, pkt := range p.take() {
		m, ok := pkt.(*mqtt.Publish)
		if !ok {
			p.t.Fatalf("got %T", pkt)
		}
		name, ok := strings.CutPrefix(string(m.Topic), "$SYS/broker/")
		if _, twice := all[name]; !ok || twice {
			p.t.Errorf("topic %s", m.Topic)
		}
		all[name] = string(m.Payload)
	}
	return all
}

func TestSys(t *testing.T) {
	eachVersion(t, Options{SysInterval: 10 * time.Second, Version: "mqt 1.2", MaxQueue: 2}, func(w *world, v mqtt.Version) {
		everything := w.client(v, "everything")
		everything.subscribe(mqtt.QoS0, "#", "+/broker/uptime") // a leading wildcard leaves $SYS out
		s := w.client(v, "s")
		s.subscribe(mqtt.QoS1, "$SYS/#")
		at := s.told()
		for name, want := range map[string]string{"version": "mqt 1.2", "uptime": "0 seconds", "clients/connected": "0"} {
			equal(w.t, name, at[name], want)
		}
		if len(at) < 60 {
			w.t.Errorf("%d topics at once", len(at))
		}

		away, _ := w.connect(v, "away", persistent)
		away.subscribe(mqtt.QoS1, "t")
		away.drop()
		pub := w.client(v, "pub")
		for range 5 {
			pub.put(publish(mqtt.QoS1, 1, "t", "12345"))
		}
		everything.take()
		time.Sleep(10 * time.Second)
		news := s.told()
		for name, want := range map[string]string{
			"uptime": "10 seconds", "clients/connected": "3", "clients/disconnected": "1", "clients/total": "4", "clients/maximum": "3",
			"publish/messages/received": "5", "publish/bytes/received": "25", "publish/messages/dropped": "3",
			"publish/messages/dropped/queue": "3", "limits/queue": "3", "subscriptions/count": "4",
			"messages/received": "12", "publish/messages/sent": strconv.Itoa(len(at) + 5),
			// A minute's worth at this rate, weighed with 1-exp(-1/6).
			"load/publish/received/1min": "4.61", "load/connections/15min": "0.27", "load/publish/dropped/1min": "2.76",
		} {
			equal(w.t, name, news[name], want)
		}
		if _, again := news["version"]; again {
			w.t.Error("the version is no news")
		}
		if n, _ := strconv.Atoi(news["heap/current"]); n < 10_000 {
			w.t.Errorf("heap/current %s", news["heap/current"])
		}
		everything.quiet()

		// Nobody else may say so.
		pub.send(publish(mqtt.QoS0, 0, "$SYS/broker/version", "mine"))
		s.quiet()
		time.Sleep(10 * time.Second)
		news = s.told()
		equal(w.t, "uptime", news["uptime"], "20 seconds")
		equal(w.t, "load", news["load/publish/received/1min"], "4.82") // 4.61 * exp(-1/6) + 6 * (1-exp(-1/6))
	})
}

func TestSysOff(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		s := w.client(mqtt.V50, "s")
		s.subscribe(mqtt.QoS0, "$SYS/#")
		time.Sleep(time.Hour)
		s.quiet()
	})
}
