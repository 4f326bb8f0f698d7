package broker

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"mqt/mqtt"
	"mqt/mqtt/access"
)

// occupy takes every slot, so that no check begins until free is called.
func (w *world) occupy() (free func()) {
	n := cap(w.b.checks.slots)
	for range n {
		w.b.checks.slots <- struct{}{}
	}
	return func() {
		for range n {
			<-w.b.checks.slots
		}
	}
}

// guess sends a CONNECT with a password from an address.
func (w *world) guess(v mqtt.Version, ip string, i int) *peer {
	p := w.dialFrom(v, &net.TCPAddr{IP: net.ParseIP(ip), Port: 1000 + i})
	c := hello(v, fmt.Sprint(ip, " ", i))
	withPassword("alice", "secret")(c)
	p.send(c)
	return p
}

// One address cannot take up the queue of those whose password is checked: not
// an IPv4 address, not the /64 of an IPv6 address.
func TestChecksPerAddress(t *testing.T) {
	for _, tt := range []struct{ near, far func(i int) string }{
		{func(int) string { return "192.0.2.1" }, func(int) string { return "192.0.2.2" }},
		{func(i int) string { return fmt.Sprintf("2001:db8::%x", i+1) }, func(int) string { return "2001:db8:0:1::1" }},
	} {
		eachVersion(t, Options{Users: usersOf(t, "alice", "secret")}, func(w *world, v mqtt.Version) {
			free := w.occupy()
			var waiting []*peer
			for i := range maxChecksPerAddress {
				waiting = append(waiting, w.guess(v, tt.near(i), i))
			}
			want := mqtt.QuotaExceeded
			if v < mqtt.V50 {
				want = mqtt.ServerUnavailable
			}
			w.guess(v, tt.near(100), 100).refused(want)
			equal(w.t, "times exceeded", w.b.Stats().Exceeded[LimitChecks], 1)
			waiting = append(waiting, w.guess(v, tt.far(0), 1))
			for _, p := range waiting {
				p.quiet()
			}
			free()
			for _, p := range waiting {
				equal(w.t, "CONNACK", next[*mqtt.Connack](p).ReasonCode, mqtt.Success)
			}
			equal(w.t, "CONNACK", next[*mqtt.Connack](w.guess(v, tt.near(100), 101)).ReasonCode, mqtt.Success)
			equal(w.t, "addresses", len(w.b.checks.addrs), 0)
		})
	}
}

// Who has gone waits no longer, though nobody has begun with its password.
func TestAbandonedCheckLeavesTheQueue(t *testing.T) {
	inWorld(t, Options{Users: usersOf(t, "alice", "secret"), ConnectTimeout: 2 * time.Second}, func(w *world) {
		free := w.occupy()
		for i := range maxChecksPerAddress {
			w.guess(mqtt.V50, "192.0.2.1", i)
		}
		equal(t, "checks", w.b.checks.n.Load(), maxChecksPerAddress)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		equal(t, "checks", w.b.checks.n.Load(), 0)
		equal(t, "connections", w.b.Stats().Connections, 0)
		free()
	})
}

// The wait for a key set ends with the connection, which ends with the connect
// timeout.
func TestAbandonedTokenWaitsForNoKeys(t *testing.T) {
	inWorld(t, Options{ConnectTimeout: 2 * time.Second}, func(w *world) {
		source := &slowly{}
		set, err := access.FetchKeySet(w.t.Context(), access.KeySetOptions{URL: "http://keys.example/", Transport: source})
		if err != nil {
			t.Fatal(err)
		}
		k, err := access.NewTokens(access.TokenOptions{KeySet: set})
		if err != nil {
			t.Fatal(err)
		}
		w.b.SetTokens(k)
		source.delay = 8 * time.Second
		time.Sleep(time.Minute)
		tok := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Minute).Unix()})
		tok.Header["kid"] = "new"
		signed, err := tok.SignedString([]byte(strings.Repeat("x", 32)))
		if err != nil {
			t.Fatal(err)
		}
		c := hello(mqtt.V50, "token")
		withPassword("alice", signed)(c)
		p := w.dial(mqtt.V50)
		p.send(c)
		equal(t, "checks", w.b.checks.n.Load(), 1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		equal(t, "closed", p.closed.Load(), true)
		equal(t, "checks", w.b.checks.n.Load(), 0)
		time.Sleep(8 * time.Second) // the attempt under way is nobody's
	})
}
