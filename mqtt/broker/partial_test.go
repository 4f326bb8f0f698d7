package broker

import (
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"mqt/mqtt"
)

// begin is a packet of n bytes in all that its payload never ends.
func begin(n, sent int) []byte {
	p := binary.AppendUvarint([]byte{0x30}, uint64(n))
	return append(append(p, 0, 1, 't'), make([]byte, sent)...)
}

// write sends bytes as they are; they may be taken in part.
func (p *peer) write(b []byte) {
	go func() { _, _ = p.nc.Write(b) }()
	synctest.Wait()
}

// Who sends large packets and does not end them is told to go when others need the memory; those lose nothing.
func TestHalfSentPackets(t *testing.T) {
	eachVersion(t, Options{MaxMemory: 8 << 20, Anonymous: AnonymousAll}, func(w *world, v mqtt.Version) {
		from := func(ip, id string) *peer {
			p := w.dialFrom(v, &net.TCPAddr{IP: net.ParseIP(ip), Port: 1})
			p.send(hello(v, id))
			equal(w.t, "CONNACK", next[*mqtt.Connack](p).ReasonCode, mqtt.Success)
			return p
		}
		var bad []*peer
		for i := range 11 { // 256 KiB each, of 3 MiB
			p := from("192.0.2.1", "bad"+string(rune('a'+i)))
			p.write(begin(1<<20, 200<<10))
			p.quiet()
			bad = append(bad, p)
		}
		good, sub := from("192.0.2.2", "good"), from("192.0.2.3", "sub")
		sub.subscribe(mqtt.QoS1, "t")
		body := strings.Repeat("x", 900<<10)
		equal(w.t, "PUBACK", good.put(publish(mqtt.QoS1, 1, "t", body)), mqtt.Success)
		sub.message("t", body)
		lost := 0
		for _, p := range bad {
			if p.closed.Load() {
				p.gone(mqtt.QuotaExceeded)
				lost++
			} else {
				p.quiet()
			}
		}
		if n := w.b.Stats().Exceeded[LimitMemory]; lost == 0 || lost == len(bad) || n != int64(lost) {
			w.t.Errorf("%d have gone, counted %d", lost, n)
		}
		for _, p := range append(bad, good, sub) {
			p.drop()
		}
		synctest.Wait()
	})
}

// The largest CONNECT in practice is heard, before it a peer may send little more.
func TestLargeConnect(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		p := w.dial(v)
		c := hello(v, strings.Repeat("c", 23))
		c.Will = &mqtt.Will{Topic: strings.Repeat("w", 1000), Payload: make([]byte, 65_535)}
		if v >= mqtt.V50 {
			c.Properties = mqtt.Properties{mqtt.User("k", strings.Repeat("v", 60_000))}
		}
		p.send(c)
		equal(w.t, "CONNACK", next[*mqtt.Connack](p).ReasonCode, mqtt.Success)
		p = w.dial(v)
		p.write(binary.AppendUvarint([]byte{0x10}, 150<<10))
		if !p.closed.Load() {
			w.t.Error("a CONNECT of 150 KiB is waited for")
		}
	})
}
