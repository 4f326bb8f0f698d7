package broker

import (
	"fmt"
	"testing"
	"time"

	"mqt/mqtt"
)

// willing asks for a will and for a Session of so many seconds.
func willing(expiry, delay uint32) func(*mqtt.Connect) {
	return func(c *mqtt.Connect) {
		c.CleanStart = false
		c.Will = &mqtt.Will{Topic: "will", Payload: []byte("x"), QoS: mqtt.QoS1}
		if c.Version >= mqtt.V50 {
			c.Properties = mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, expiry)}
			if delay > 0 {
				c.Will.Properties = mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, delay)}
			}
		}
	}
}

// [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.14.4-3]: every end of a connection
// but DISCONNECT with 0 publishes the will, once; in 3.1.1 but any DISCONNECT
// [MQTT-3.1.1: 3.1.2-8], [MQTT-3.1.1: 3.1.2-10], [MQTT-3.1.1: 3.14.4-3].
func TestWhenTheWillIsPublished(t *testing.T) {
	for _, c := range []struct {
		name string
		v    mqtt.Version // the first that has it
		end  func(w *world, p *peer)
		want bool
	}{
		{"drop", mqtt.V31, func(_ *world, p *peer) { p.drop() }, true},
		{"keep alive", mqtt.V31, func(*world, *peer) { time.Sleep(100 * time.Second) }, true},
		{"protocol error", mqtt.V31, func(_ *world, p *peer) { p.send(&mqtt.Pingresp{}) }, true},
		{"malformed packet", mqtt.V31, func(_ *world, p *peer) { p.sendRaw([]byte{0xc1, 0}) }, true},
		{"second CONNECT", mqtt.V31, func(_ *world, p *peer) { p.send(&mqtt.Connect{Version: p.v, ClientID: "x"}) }, true},
		{"take-over", mqtt.V31, func(w *world, p *peer) { w.connect(p.v, "dead", persistent) }, true},
		{"clean take-over", mqtt.V31, func(w *world, p *peer) { w.connect(p.v, "dead", nil) }, true},
		{"DISCONNECT", mqtt.V31, func(_ *world, p *peer) { p.send(&mqtt.Disconnect{}) }, false},
		{"DISCONNECT and drop", mqtt.V31, func(_ *world, p *peer) { p.send(&mqtt.Disconnect{}); p.drop() }, false},
		{"DISCONNECT with bytes left over", mqtt.V31, func(_ *world, p *peer) { p.sendRaw([]byte{0xe0, 5, 0, 0, 0, 0, 0}) }, true},
		{"DISCONNECT with flags", mqtt.V31, func(_ *world, p *peer) { p.sendRaw([]byte{0xe1, 0}) }, true},
		{"DISCONNECT 0x04", mqtt.V50, func(_ *world, p *peer) { p.send(&mqtt.Disconnect{ReasonCode: mqtt.DisconnectWithWill}) }, true},
		{"DISCONNECT 0x80", mqtt.V50, func(_ *world, p *peer) { p.send(&mqtt.Disconnect{ReasonCode: mqtt.UnspecifiedError}) }, true},
		{"DISCONNECT 0, no Session", mqtt.V50, func(_ *world, p *peer) {
			p.send(&mqtt.Disconnect{Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 0)}})
		}, false},
	} {
		for _, v := range versions {
			if v < c.v {
				continue
			}
			t.Run(v.String()+"/"+c.name, func(t *testing.T) {
				inWorld(t, Options{}, func(w *world) {
					sub := w.client(v, "sub")
					sub.subscribe(mqtt.QoS2, "will")
					dead, _ := w.connect(v, "dead", func(c *mqtt.Connect) {
						willing(1000, 0)(c)
						c.KeepAlive = 60
					})
					time.Sleep(time.Minute)
					sub.quiet()
					c.end(w, dead)
					if c.want {
						m := sub.message("will", "x")
						equal(t, "QoS, RETAIN, DUP", []any{m.QoS, m.Retain, m.Dup}, []any{mqtt.QoS1, false, false})
						sub.complete(m)
					}
					time.Sleep(2 * time.Hour) // nor at the end of the Session
					sub.quiet()
				})
			})
		}
	}
}

// [MQTT-3.1.2-14], [MQTT-3.1.2-15], [MQTT-3.1.3-10]: the will is a message like
// any other, at each QoS, retained or not, empty or not, with its properties.
func TestWillMessage(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		ps := mqtt.Properties{mqtt.User("b", "1"), mqtt.Num(mqtt.PayloadFormatIndicator, 1), mqtt.Str(mqtt.ContentType, "c"),
			mqtt.Str(mqtt.ResponseTopic, "r"), mqtt.Bin(mqtt.CorrelationData, []byte{0}), mqtt.User("a", "2")}
		sub := w.client(v, "sub")
		sub.subscribe(mqtt.QoS2, "will/#")
		for qos := range mqtt.QoS2 + 1 {
			for _, payload := range []string{"", "\x00\xff"} {
				for _, retain := range []bool{false, true} {
					name := fmt.Sprintf("will/%d/%d/%v", qos, len(payload), retain)
					dead, _ := w.connect(v, "dead", func(c *mqtt.Connect) {
						c.Will = &mqtt.Will{Topic: name, Payload: []byte(payload), QoS: qos, Retain: retain, Properties: ps}
					})
					dead.drop()
					m := sub.message(name, payload)
					equal(w.t, "QoS, RETAIN", []any{m.QoS, m.Retain}, []any{qos, false})
					if v == mqtt.V50 {
						equal(w.t, "properties", fmt.Sprint(m.Properties), fmt.Sprint(ps))
					}
					sub.complete(m)
					late := w.client(v, "late")
					late.subscribe(mqtt.QoS2, name)
					if retain && payload != "" {
						equal(w.t, "RETAIN", late.message(name, payload).Retain, true)
					}
					late.quiet()
				}
			}
		}
	})
}

// A retained empty will clears.
func TestWillThatClears(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		w.client(v, "pub").put(retained(mqtt.QoS1, 1, "state", "online"))
		dead, _ := w.connect(v, "dead", func(c *mqtt.Connect) { c.Will = &mqtt.Will{Topic: "state", Retain: true} })
		dead.drop()
		equal(w.t, "retained", w.b.Stats().Retained, 0)
	})
}

// [MQTT-3.1.2-7], [MQTT-3.1.3-9] and section 3.1.3.2.2: the delay, or the end of the Session if
// that is sooner, whatever the connection ended by; a new connection in time
// takes it back, a clean start makes it due.
func TestWillDelay(t *testing.T) {
	drop := func(_ *world, p *peer) { p.drop() }
	for _, c := range []struct {
		name          string
		expiry, delay uint32
		end           func(w *world, p *peer)
		after         time.Duration // when it comes; -1: never
	}{
		{"delay", 100, 3, drop, 3 * time.Second},
		{"Session is shorter", 3, 100, drop, 3 * time.Second},
		{"as long", 3, 3, drop, 3 * time.Second},
		{"no Session", 0, 3, drop, 0},
		{"Session without end", Never, 7, drop, 7 * time.Second},
		{"endless both", Never, Never, drop, time.Duration(Never) * time.Second},
		{"0x04", 100, 3, func(_ *world, p *peer) { p.send(&mqtt.Disconnect{ReasonCode: mqtt.DisconnectWithWill}) }, 3 * time.Second},
		{"0x04 that ends the Session", 100, 3, func(_ *world, p *peer) {
			p.send(&mqtt.Disconnect{ReasonCode: mqtt.DisconnectWithWill,
				Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 0)}})
		}, 0},
		{"error", 100, 3, func(_ *world, p *peer) { p.send(&mqtt.Pingresp{}) }, 3 * time.Second},
		{"take-over", 100, 3, func(w *world, p *peer) { w.connect(mqtt.V50, "dead", persistent) }, -1},
		{"take-over that ends the Session", 0, 3, func(w *world, p *peer) { w.connect(mqtt.V50, "dead", persistent) }, 0},
		{"clean take-over", 100, 3, func(w *world, p *peer) { w.connect(mqtt.V50, "dead", nil) }, 0},
		{"back in time", 100, 3, func(w *world, p *peer) {
			p.drop()
			time.Sleep(2900 * time.Millisecond)
			w.connect(mqtt.V50, "dead", persistent)
		}, -1},
		{"back in time, clean", 100, 3, func(w *world, p *peer) {
			p.drop()
			time.Sleep(2900 * time.Millisecond)
			w.connect(mqtt.V50, "dead", nil)
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				sub := w.client(mqtt.V50, "sub")
				sub.subscribe(mqtt.QoS0, "will")
				dead, _ := w.connect(mqtt.V50, "dead", willing(c.expiry, c.delay))
				c.end(w, dead)
				if c.after < 0 {
					time.Sleep(24 * time.Hour)
					sub.quiet()
					return
				}
				if c.after > 0 {
					time.Sleep(c.after - 10*time.Millisecond)
					sub.quiet()
					time.Sleep(20 * time.Millisecond)
				}
				sub.message("will", "x")
				time.Sleep(24 * time.Hour)
				sub.quiet()
			})
		})
	}
}

// Each connection has its own will: the old one is gone with a resumed Session.
func TestWillOfTheLastConnection(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub := w.client(mqtt.V50, "sub")
		sub.subscribe(mqtt.QoS0, "#")
		dead, _ := w.connect(mqtt.V50, "dead", willing(100, 50))
		dead.drop()
		dead, _ = w.connect(mqtt.V50, "dead", func(c *mqtt.Connect) {
			persistent(c)
			c.Will = &mqtt.Will{Topic: "other", Payload: []byte("y")}
		})
		dead.drop()
		sub.message("other", "y")
		time.Sleep(time.Hour)
		sub.quiet()
	})
}

// The will's expiry counts from its publication, section 3.1.3.2.4.
func TestWillExpiry(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		sub, _ := w.connect(mqtt.V50, "sub", persistent)
		sub.subscribe(mqtt.QoS1, "will")
		sub.drop()
		dead, _ := w.connect(mqtt.V50, "dead", func(c *mqtt.Connect) {
			willing(1000, 100)(c)
			c.Will.Properties = append(c.Will.Properties, mqtt.Num(mqtt.MessageExpiryInterval, 10))
		})
		dead.drop()
		time.Sleep(105 * time.Second)
		sub, _ = w.connect(mqtt.V50, "sub", persistent)
		left, _ := sub.message("will", "x").Properties.Number(mqtt.MessageExpiryInterval)
		equal(t, "left", left, 5)
		sub.drop()
		dead, _ = w.connect(mqtt.V50, "dead", func(c *mqtt.Connect) {
			willing(1000, 0)(c)
			c.Will.Properties = mqtt.Properties{mqtt.Num(mqtt.MessageExpiryInterval, 10)}
		})
		dead.drop()
		time.Sleep(11 * time.Second)
		sub, _ = w.connect(mqtt.V50, "sub", persistent)
		sub.message("will", "x") // the first one, under way since
		sub.quiet()
	})
}

// A client may subscribe to its own will: it finds it when it comes back.
func TestOwnWillIsQueued(t *testing.T) {
	eachVersion(t, Options{}, func(w *world, v mqtt.Version) {
		p, _ := w.connect(v, "dead", willing(100, 0))
		p.subscribe(mqtt.QoS1, "will")
		p.send(&mqtt.Pingresp{})
		p.gone(mqtt.ProtocolError) // and nothing else: not the will
		p, _ = w.connect(v, "dead", persistent)
		p.message("will", "x")
	})
}

// A refused CONNECT leaves no will.
func TestNoWillOfARefusedConnect(t *testing.T) {
	inWorld(t, Options{MaxConnections: 1}, func(w *world) {
		sub := w.client(mqtt.V50, "sub")
		sub.subscribe(mqtt.QoS0, "#")
		p := w.dial(mqtt.V50)
		c := &mqtt.Connect{Version: mqtt.V50, ClientID: "x"}
		willing(0, 0)(c)
		p.send(c)
		p.refused(mqtt.QuotaExceeded)
		sub.quiet()
	})
}
