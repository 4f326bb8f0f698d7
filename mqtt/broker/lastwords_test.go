package broker

import (
	"io"
	"maps"
	"runtime"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store/storetest"
)

// connection returns that of a session, and whether somebody waits for its Client Identifier.
func (b *Broker) connection(id string) (held *conn, waited bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, x := b.sessions.get(id), b.passages[id]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn, x != nil && x.next != nil
}

// nextIs checks that the next packet is a T.
func nextIs[T mqtt.Packet](p *livePeer) {
	p.t.Helper()
	p.await(func(pkt mqtt.Packet) bool {
		if _, ok := pkt.(T); !ok {
			p.t.Errorf("got %T %+v", pkt, pkt)
		}
		return true
	})
}

// [MQTT-3.14.4-3], [MQTT-4.3.2-3]: a client acknowledges, says DISCONNECT, closes and is back before we have read that.
// There is no will, and nothing is sent again.
func TestLastWordsBeforeTakeOver(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		for _, url := range []string{byTCP, byUnix} {
			b := liveBroker(t, Options{})
			b.listen(engine + url)
			defer b.stop()
			comes := func(clean bool) *livePeer {
				return b.client(t, mqtt.V50, "x", func(c *mqtt.Connect) {
					c.CleanStart = clean
					c.Properties = mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 100)}
					c.Will = &mqtt.Will{Topic: "will", QoS: mqtt.QoS1}
				})
			}
			other := b.client(t, mqtt.V50, "other", nil)
			other.write(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "will", QoS: mqtt.QoS1}}})
			nextIs[*mqtt.Suback](other)
			x := comes(true)
			x.write(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "m", QoS: mqtt.QoS1}}})
			nextIs[*mqtt.Suback](x)
			other.write(&mqtt.Publish{Topic: []byte("m"), QoS: mqtt.QoS1, PacketID: 1})
			nextIs[*mqtt.Puback](other)
			var id mqtt.PacketID
			x.await(func(pkt mqtt.Packet) bool { id = pkt.(*mqtt.Publish).PacketID; return true })

			held, _ := b.connection("x")
			held.tc.Pause()
			x.write(&mqtt.Puback{Ack: mqtt.Ack{PacketID: id}}, &mqtt.Disconnect{})
			_ = x.nc.Close()
			back := make(chan *livePeer)
			go func() { back <- comes(false) }()
			for {
				if has, waited := b.connection("x"); waited {
					break
				} else if has != held {
					t.Fatal("its last words were not waited for")
				}
				runtime.Gosched()
			}
			held.tc.Resume()
			x = <-back
			x.write(&mqtt.Pingreq{})
			nextIs[*mqtt.Pingresp](x) // and no PUBLISH
			other.write(&mqtt.Pingreq{})
			nextIs[*mqtt.Pingresp](other)
			x.write(&mqtt.Disconnect{})
			_, _ = x.nc.Close(), other.nc.Close()
		}
	})
}

// [MQTT-3.1.4-3]: nobody keeps a Session by never ending.
func TestTakeOverOfWhoNeverStops(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := liveBroker(t, Options{})
		b.listen(engine + byTCP)
		defer b.stop()
		first := b.client(t, mqtt.V50, "x", nil)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			many := make([]mqtt.Packet, 1000)
			for i := range many {
				many[i] = &mqtt.Publish{Topic: []byte("m")}
			}
			p := &livePeer{v: mqtt.V50, nc: first.nc}
			for first.nc.SetWriteDeadline(time.Now().Add(time.Minute)) == nil {
				p.write(many...)
				if _, err := first.nc.Write([]byte{0xC0, 0}); err != nil {
					return
				}
			}
		}()
		b.client(t, mqtt.V50, "x", nil).nc.Close()
		go first.await(func(mqtt.Packet) bool { return false })
		<-ended
		_ = first.nc.Close()
	})
}

// [MQTT-3.1.2-22]: whose PINGREQ has come is not silent, though we have not had the time to read it.
func TestKeepAliveOfWhoIsNotRead(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		b := liveBroker(t, Options{})
		b.listen(engine + byTCP)
		defer b.stop()
		x := b.client(t, mqtt.V50, "x", func(c *mqtt.Connect) { c.KeepAlive = 600 })
		held, _ := b.connection("x")
		held.tc.Pause()
		x.write(&mqtt.Pingreq{})
		eventually(t, func() string {
			if !held.tc.Unread() {
				return "the PINGREQ has not come"
			}
			return ""
		})
		if now := 1000 * time.Second; held.due(now) != now+900*time.Second {
			t.Error("it is not looked at again")
		}
		held.tc.Resume()
		nextIs[*mqtt.Pingresp](x)
		held.due(1000 * time.Second)
		nextIs[*mqtt.Disconnect](x)
		_ = x.nc.Close()
	})
}

// A client that only ends its half of the connection gets what it waits for, also where that takes a store.
func TestAnswersBehindTheLastWords(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		for _, url := range []string{byTCP, byUnix} {
			f := storetest.NewFaulty(storetest.NewMemory())
			b := liveBroker(t, Options{Store: f})
			b.listen(engine + url)
			p := b.client(t, mqtt.V50, "x", func(c *mqtt.Connect) {
				c.Properties = mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 100)}
			})
			p.write(&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "m", QoS: mqtt.QoS1}}})
			nextIs[*mqtt.Suback](p)
			held, _ := b.connection("x")
			f.Hold()
			p.write(&mqtt.Publish{Topic: []byte("m"), QoS: mqtt.QoS1, PacketID: 2}, &mqtt.Pingreq{})
			if err := p.nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			for f.Held() == 0 {
				runtime.Gosched()
			}
			for !held.flags.has(ending) { // it has read the end
				if has, _ := b.connection("x"); has != held {
					t.Fatal("it was closed before it was answered")
				}
				runtime.Gosched()
			}
			f.Release()
			got := map[mqtt.Type]int{}
			for range 3 {
				p.await(func(pkt mqtt.Packet) bool { got[pkt.Type()]++; return true })
			}
			want := map[mqtt.Type]int{mqtt.TypePublish: 1, mqtt.TypePuback: 1, mqtt.TypePingresp: 1}
			if !maps.Equal(got, want) {
				t.Errorf("got %v", got)
			}
			if n, err := p.nc.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // as it is
				t.Errorf("%d bytes and %v behind that", n, err)
			}
			_ = p.nc.Close()
			b.stop()
		}
	})
}
