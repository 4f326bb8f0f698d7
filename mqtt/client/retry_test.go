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
func acceptAndClose(f *fake, pkts ...mqtt.Packet) {
	for nc := range f.conns {
		p := &peer{t: f.t, nc: nc}
		if _, err := p.packet(); err == nil {
			p.r.Version = mqtt.V50
			p.send(append([]mqtt.Packet{&mqtt.Connack{}}, pkts...)...)
		}
		nc.Close()
	}
}

func TestGivesUp(t *testing.T) {
	for name, down := range map[string]bool{"refused": true, "accepted and closed": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				c, p := connected(f, within())
				f.down.Store(down)
				go acceptAndClose(f)
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
