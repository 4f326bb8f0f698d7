package client_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// within is a client that gives up after 5 s.
func within() client.Options {
	return client.Options{ClientID: "x", AutoAck: true, Reconnect: &client.Backoff{Min: 100 * time.Millisecond, Within: 5 * time.Second}}
}

// acceptAndClose is a server that accepts and closes at once, first sending pkts.
func acceptAndClose(f *fake, pkts ...mqtt.Packet) { acceptFor(f, 0, pkts...) }

// acceptFor closes after a while.
func acceptFor(f *fake, d time.Duration, pkts ...mqtt.Packet) {
	for nc := range f.conns {
		p := &peer{t: f.t, nc: nc}
		if _, err := p.packet(); err == nil {
			p.r.Version = mqtt.V50
			p.send(append([]mqtt.Packet{&mqtt.Connack{}}, pkts...)...)
			time.Sleep(d)
		}
		nc.Close()
	}
}

func TestGivesUp(t *testing.T) {
	const down = -1
	for name, up := range map[string]time.Duration{"refused": down, "accepted and closed": 0, "closed soon": 10 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				c, p := connected(f, within())
				f.down.Store(up == down)
				go acceptFor(f, up)
				began := time.Now()
				p.send(&mqtt.Disconnect{ReasonCode: mqtt.ServerShuttingDown})
				<-c.Done()
				if d := time.Since(began); d < 4*time.Second || d > 6*time.Second {
					t.Errorf("gave up after %v", d)
				}
				r, ok := errors.AsType[*client.RetryError](c.Err())
				d, is := errors.AsType[*client.DisconnectError](c.Err())
				if !ok || r.Last == nil || !is || d.ReasonCode != mqtt.ServerShuttingDown || !errors.Is(c.Err(), client.ErrConnectionLost) {
					t.Errorf("ended by %v", c.Err())
				}
				if n := f.dials.Load(); n < 3 || n > 100 {
					t.Errorf("%d dials", n)
				}
				close(f.conns)
			})
		})
	}
}

// The time of a connection that brings nothing is no trouble.
func TestIdleIsNoTrouble(t *testing.T) {
	for name, c := range map[string]struct{ down, idle, again time.Duration }{
		"idle for almost the bound":       {0, 4900 * time.Millisecond, 2 * time.Second},
		"idle for longer than it was off": {2 * time.Second, 3 * time.Second, 2800 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				o := within()
				o.Reconnect.Max = o.Reconnect.Min
				cl, p := connected(f, o)
				lose := func(d time.Duration) {
					f.down.Store(d > 0)
					p.nc.Close()
					time.Sleep(d)
					f.down.Store(false)
					select {
					case <-cl.Done():
						t.Fatalf("ended by %v", cl.Err())
					case nc := <-f.conns:
						f.conns <- nc
					}
					p = f.welcome(false)
				}
				lose(c.down)
				time.Sleep(c.idle)
				lose(c.again)
				end(cl)
			})
		})
	}
}

// A connection that brings a message is of use, however short.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, within())
		go acceptAndClose(f, message(0, 0, "x"))
		p.nc.Close()
		began := time.Now()
		for time.Since(began) < time.Minute {
			receive(t, c)
		}
		end(c)
		close(f.conns)
	})
	synctest.Test(t, func(t *testing.T) { // and so is one that lasts
		f := newFake(t)
		c, p := connected(f, within())
		for range 20 {
			time.Sleep(5 * time.Second)
			p.nc.Close()
			p = f.welcome(false)
		}
		end(c)
	})
}

// An attempt that hangs ends with the time that there is.
func TestGivesUpHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c, p := connected(f, within())
		go func() {
			var open []net.Conn
			for nc := range f.conns {
				open = append(open, nc)
				_, _ = nc.Read(make([]byte, 1024))
			}
			for _, nc := range open {
				nc.Close()
			}
		}()
		began := time.Now()
		p.nc.Close()
		<-c.Done()
		if d := time.Since(began); d > 6*time.Second {
			t.Errorf("gave up after %v", d)
		}
		close(f.conns)
	})
}

func TestTakenOverForGood(t *testing.T) {
	for _, code := range []mqtt.ReasonCode{mqtt.SessionTakenOver, mqtt.NotAuthorized, mqtt.AdministrativeAction} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			c, p := connected(f, within())
			p.send(&mqtt.Disconnect{ReasonCode: code})
			<-c.Done()
			if d, ok := errors.AsType[*client.DisconnectError](c.Err()); !ok || d.ReasonCode != code || f.dials.Load() != 1 {
				t.Errorf("%d dials, ended by %v", f.dials.Load(), c.Err())
			}
		})
	}
}

// With First the bound is for the first connection too.
func TestFirstGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.down.Store(true)
		o := within()
		o.Dial, o.Reconnect.First = f.dial, true
		began := time.Now()
		_, err := client.Connect(context.Background(), o)
		if d := time.Since(began); err == nil || d < 4*time.Second || d > 6*time.Second || f.dials.Load() < 3 {
			t.Errorf("after %v, %d dials: %v", d, f.dials.Load(), err)
		}
	})
}
