package broker

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"mqt/mqtt"
	"mqt/mqtt/access"
)

// occupy takes every processor, so that no check begins until free is called.
func (w *world) occupy() (free func()) {
	ks := w.b.checks
	ks.mu.Lock()
	defer ks.mu.Unlock()
	n := ks.free
	ks.free = 0
	return func() {
		for range n {
			go w.b.workOff()
		}
	}
}

// occupyButOne is occupy whose free gives back one processor: one check comes after the other.
func (w *world) occupyButOne() (free func()) {
	w.occupy()
	return func() { go w.b.workOff() }
}

// guess sends a CONNECT with the password of alice from an address.
func (w *world) guess(v mqtt.Version, ip string, i int) *peer { return w.guessAs(v, ip, i, "secret") }

func (w *world) guessAs(v mqtt.Version, ip string, i int, password string) *peer {
	p := w.dialFrom(v, &net.TCPAddr{IP: net.ParseIP(ip), Port: 1000 + i})
	c := hello(v, fmt.Sprint(ip, " ", i))
	withPassword("alice", password)(c)
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
			equal(w.t, "addresses", len(w.b.checks.places), 0)
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
		equal(t, "checks", w.b.checks.total(), maxChecksPerAddress)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		equal(t, "checks", w.b.checks.total(), 0)
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
		equal(t, "checks", w.b.checks.total(), 1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		equal(t, "closed", p.closed.Load(), true)
		equal(t, "checks", w.b.checks.total(), 0)
		time.Sleep(8 * time.Second) // the attempt under way is nobody's
	})
}

// Who times out while the password is checked is told that the Server is busy,
// whether it waits or is at work.
func TestCheckThatTakesTooLong(t *testing.T) {
	eachVersion(t, Options{Users: usersOf(t, "alice", "secret"), ConnectTimeout: 2 * time.Second}, func(w *world, v mqtt.Version) {
		want := mqtt.ServerBusy
		if v < mqtt.V50 {
			want = mqtt.ServerUnavailable
		}
		free := w.occupy()
		p := w.guess(v, "192.0.2.1", 0)
		time.Sleep(2*time.Second - 1)
		p.quiet()
		time.Sleep(time.Millisecond)
		p.refused(want)
		equal(w.t, "checks", w.b.checks.total(), 0)
		equal(w.t, "times exceeded", w.b.Stats().Exceeded[LimitChecks], 1)
		free()
		synctest.Wait()

		free = w.occupyButOne()
		p = w.guess(v, "192.0.2.1", 0)
		end := make(chan struct{})
		w.waiting()[0].work = func() (string, error) { <-end; return "alice", nil }
		free()
		time.Sleep(2*time.Second + time.Millisecond)
		p.refused(want)
		equal(w.t, "checks, one of them at work for nobody", w.b.checks.total(), 1)
		close(end)
		synctest.Wait()
		equal(w.t, "checks", w.b.checks.total(), 0)
	})
}

// waiting are the checks that wait, of one address after the other.
func (w *world) waiting() (all []*check) {
	w.b.checks.mu.Lock()
	defer w.b.checks.mu.Unlock()
	for _, p := range w.b.checks.ring {
		all = append(all, p.waiting...)
	}
	return all
}

// A crowd that guesses passwords does not hold up who comes after it: on this
// machine, where it cannot be told apart, and from another address.
func TestCrowdOfGuesses(t *testing.T) {
	for _, there := range []string{"127.0.0.1", "192.0.2.200"} {
		inWorld(t, Options{Users: usersOf(t, "alice", "secret")}, func(w *world) {
			free := w.occupyButOne()
			var crowd []*peer
			for i := range 200 {
				crowd = append(crowd, w.guessAs(mqtt.V50, "127.0.0.1", i, "wrong"))
			}
			alice := w.guess(mqtt.V50, there, 999)
			served, n := 0, 0 // by the one processor
			for _, k := range w.waiting() {
				work := k.work
				k.work = func() (string, error) {
					n++
					if k.c.tc.RemoteAddr().(*net.TCPAddr).Port < 1999 {
						return "", refuse(mqtt.BadUserNameOrPassword, "5.4.1", "not alice")
					}
					served = n
					return work()
				}
			}
			free()
			equal(t, "CONNACK", next[*mqtt.Connack](alice).ReasonCode, mqtt.Success)
			for _, p := range crowd {
				p.refused(mqtt.BadUserNameOrPassword)
			}
			if served > 2 {
				t.Errorf("from %s: %d checks came before", there, served-1)
			}
		})
	}
}

// A crowd of addresses that fill the queue makes room for another one, and those
// that have failed come behind it, but for a turn in four.
func TestCrowdOfAddresses(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.occupy()
		ks := w.b.checks
		ip := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }
		put := func(i int) (k, evicted *check, err error) {
			k = &check{gone: make(chan struct{})}
			if evicted, err = ks.enter(k, ip(i)); err == nil {
				w.b.queueCheck(k)
			}
			return k, evicted, err
		}
		const crowd = maxChecks / maxChecksPerAddress
		for i := range maxChecks {
			if _, evicted, err := put(i % crowd); evicted != nil || err != nil {
				t.Fatal(i, evicted, err)
			}
		}
		oldest := ks.places[ip(0)].waiting[0]
		late, evicted, err := put(200)
		equal(t, "err", err, nil)
		equal(t, "evicted", evicted, oldest)
		equal(t, "verdict", evicted.err.Error(), errBusy().Error())
		equal(t, "checks", ks.total(), maxChecks)
		for i := range crowd {
			for range slowAfter {
				ks.mu.Lock()
				ks.fail(ip(i), time.Now())
				ks.mu.Unlock()
			}
		}
		equal(t, "next", ks.next(), late)
		ks.finish(late, "", errDisconnected)
		for range fairShare - 1 { // those that failed have turns, and one after the other
			p := ks.ring[0]
			k := ks.next()
			equal(t, "next", k.place, p)
			ks.finish(k, "", nil)
		}
		time.Sleep(slowFor + 1)
		ks.mu.Lock()
		equal(t, "slow", ks.slow(ip(0), time.Now()), false)
		for i := range 2 * maxFailing {
			ks.fail(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), time.Now())
		}
		equal(t, "remembered", len(ks.failing), maxFailing)
		ks.mu.Unlock()
	})
}

// This machine has a share of the queue, in which the newest takes the place of the oldest.
func TestChecksHere(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.occupy()
		var first *check
		for i := range maxChecksHere + 1 {
			k := &check{gone: make(chan struct{})}
			evicted, err := w.b.checks.enter(k, netip.Addr{})
			if first == nil {
				first = k
			}
			if err != nil || i < maxChecksHere && evicted != nil || i == maxChecksHere && evicted != first {
				t.Fatal(i, evicted, err)
			}
			w.b.queueCheck(k)
		}
		equal(t, "checks", w.b.checks.total(), maxChecksHere)
	})
}

// total is how many checks there are.
func (ks *checks) total() int {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	return ks.n
}
