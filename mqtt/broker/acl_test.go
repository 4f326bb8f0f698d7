package broker

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/access"
)

// known connects as a user whose password is "secret".
func (w *world) known(v mqtt.Version, user, id string, change ...func(*mqtt.Connect)) *peer {
	w.t.Helper()
	p, ack := w.connect(v, id, func(c *mqtt.Connect) {
		withPassword(user, "secret")(c)
		for _, f := range change {
			f(c)
		}
	})
	if ack.ReasonCode != mqtt.Success {
		w.t.Fatalf("CONNACK %v", ack.ReasonCode)
	}
	return p
}

const houseACL = `user admin
  allow all #
user guest
  deny all secret/#
  allow subscribe #
  allow publish guest/#
everyone
  allow all open/%c
`

func withACL(t *testing.T, acl string) Options {
	return Options{Users: usersOf(t, "admin", "secret", "guest", "secret"), ACL: aclOf(t, acl), Anonymous: AnonymousAll}
}

func TestDeniedPublish(t *testing.T) {
	eachVersion(t, withACL(t, houseACL), func(w *world, v mqtt.Version) {
		sub := w.known(v, "admin", "sub")
		sub.subscribe(mqtt.QoS2, "#")
		pub := w.known(v, "guest", "pub")
		want := mqtt.NotAuthorized
		if v < mqtt.V50 {
			want = mqtt.Success // 3.1.1 has no other answer [MQTT-3.1.1: 3.3.5-2]
		}
		pub.send(publish(mqtt.QoS0, 0, "secret/a", "0"), publish(mqtt.QoS1, 1, "secret/a", "1"), publish(mqtt.QoS2, 2, "secret/a", "2"))
		equal(w.t, "PUBACK", next[*mqtt.Puback](pub).ReasonCode, want)
		equal(w.t, "PUBREC", next[*mqtt.Pubrec](pub).ReasonCode, want)
		pub.quiet()
		sub.quiet()
		retained := publish(mqtt.QoS0, 0, "secret/kept", "r")
		retained.Retain = true
		pub.send(retained, publish(mqtt.QoS0, 0, "guest/a", "ok"))
		sub.message("guest/a", "ok")
		sub.quiet()
		equal(w.t, "retained", w.b.Stats().Retained, 0)
		equal(w.t, "denied", w.b.Stats().DeniedPublish, 4)
	})
}

// A denial does not leak through a wildcard, a retained message, a shared
// subscription or a will.
func TestDeniedDelivery(t *testing.T) {
	eachVersion(t, withACL(t, houseACL), func(w *world, v mqtt.Version) {
		admin := w.known(v, "admin", "admin")
		kept := publish(mqtt.QoS0, 0, "secret/kept", "r")
		kept.Retain = true
		admin.send(kept)
		guest := w.known(v, "guest", "guest")
		guest.send(&mqtt.Subscribe{PacketID: 5, Subscriptions: []mqtt.Subscription{
			{Filter: "#", QoS: mqtt.QoS1}, {Filter: "+/+", QoS: mqtt.QoS1}, {Filter: "secret/+"}, {Filter: "secret"}}})
		failed := mqtt.NotAuthorized
		if v < mqtt.V50 {
			failed = mqtt.UnspecifiedError
		}
		equal(w.t, "SUBACK", next[*mqtt.Suback](guest).ReasonCodes,
			[]mqtt.ReasonCode{mqtt.GrantedQoS1, mqtt.GrantedQoS1, failed, failed})
		guest.quiet()
		for range 2 { // routed, then from the publisher's memory
			admin.send(publish(mqtt.QoS1, 7, "secret/live", "x"), publish(mqtt.QoS0, 0, "guest/live", "y"))
			next[*mqtt.Puback](admin)
			guest.message("guest/live", "y")
			guest.quiet()
		}
		_ = w.known(v, "admin", "dying", func(c *mqtt.Connect) { c.Will = &mqtt.Will{Topic: "secret/will", Payload: []byte("w")} })
		dying := w.known(v, "admin", "dying", func(c *mqtt.Connect) { c.Will = &mqtt.Will{Topic: "secret/will", Payload: []byte("w")} })
		dying.drop()
		guest.quiet()
	})
}

func TestDeniedSharedMember(t *testing.T) {
	inWorld(t, withACL(t, houseACL), func(w *world) {
		admin := w.known(mqtt.V50, "admin", "admin")
		guest, other := w.known(mqtt.V50, "guest", "guest"), w.known(mqtt.V50, "admin", "other")
		guest.subscribe(mqtt.QoS1, "$share/g/#")
		admin.send(publish(mqtt.QoS1, 1, "secret/a", "nobody may"))
		next[*mqtt.Puback](admin)
		other.subscribe(mqtt.QoS1, "$share/g/#")
		for i := range 6 {
			admin.send(publish(mqtt.QoS1, mqtt.PacketID(10+i), "secret/a", "x"))
			next[*mqtt.Puback](admin)
			other.message("secret/a", "x")
		}
		guest.quiet()
		// What a member leaves behind is not handed to one that may not have it.
		other.drop()
		guest.quiet()
		// A group of the filter alone is refused.
		guest.send(&mqtt.Subscribe{PacketID: 5, Subscriptions: []mqtt.Subscription{{Filter: "$share/g/secret/#"}}})
		equal(t, "SUBACK", next[*mqtt.Suback](guest).ReasonCodes, []mqtt.ReasonCode{mqtt.NotAuthorized})
	})
}

func TestDeniedWill(t *testing.T) {
	eachVersion(t, withACL(t, houseACL), func(w *world, v mqtt.Version) {
		sub := w.known(v, "admin", "sub")
		sub.subscribe(mqtt.QoS0, "#")
		will := func(topic string) func(*mqtt.Connect) {
			return func(c *mqtt.Connect) {
				withPassword("guest", "secret")(c)
				c.Will = &mqtt.Will{Topic: topic, Payload: []byte("w")}
			}
		}
		p, ack := w.connect(v, "x", will("secret/will"))
		equal(w.t, "CONNACK", ack.ReasonCode, mqtt.NotAuthorized)
		synctest.Wait()
		equal(w.t, "closed", p.closed.Load(), true)
		sub.quiet()
		// One that may be left and then may not any more.
		p, ack = w.connect(v, "x", will("guest/will"))
		equal(w.t, "CONNACK", ack.ReasonCode, mqtt.Success)
		w.b.SetACL(aclOf(w.t, "user admin\nallow all #"))
		p.drop()
		sub.quiet()
	})
}

// Reload: who is connected stays, its subscriptions deliver what the new list
// allows, and what had waited is judged anew.
func TestSetACL(t *testing.T) {
	o := withACL(t, houseACL)
	o.MaxInflight = 1
	inWorld(t, o, func(w *world) {
		admin, guest := w.known(mqtt.V50, "admin", "admin"), w.known(mqtt.V50, "guest", "guest", persistent)
		guest.subscribe(mqtt.QoS1, "guest/#")
		send := func(payload string) {
			admin.send(publish(mqtt.QoS1, 1, "guest/a", payload))
			next[*mqtt.Puback](admin)
		}
		send("first")
		send("waits")
		first := guest.message("guest/a", "first")
		w.b.SetACL(aclOf(t, "user admin\nallow all #"))
		guest.send(puback(first.PacketID)) // makes room for what waits
		send("denied")
		guest.send(publish(mqtt.QoS1, 1, "guest/b", "denied"))
		equal(t, "PUBACK", next[*mqtt.Puback](guest).ReasonCode, mqtt.NotAuthorized)
		guest.quiet()
		equal(t, "denied while waiting", w.b.Stats().DeniedWaiting, 1)

		w.b.SetACL(nil)
		send("again")
		m := guest.message("guest/a", "again")
		// In flight when it is denied: not sent once more.
		w.b.SetACL(aclOf(t, "user admin\nallow all #"))
		guest.drop()
		guest = w.known(mqtt.V50, "guest", "guest", persistent)
		guest.quiet()
		w.b.SetACL(nil)
		guest.drop()
		guest = w.known(mqtt.V50, "guest", "guest", persistent)
		guest.quiet()
		send("at last")
		if again := guest.message("guest/a", "at last"); again.PacketID == 0 || m.PacketID == 0 {
			t.Error("no identifier")
		}
	})
}

// A Session belongs to its user: no other may take it over, whatever it calls
// itself, but it is no use to squat on a name without being anyone.
func TestSessionBelongsToUser(t *testing.T) {
	eachVersion(t, withACL(t, "everyone\nallow all #"), func(w *world, v mqtt.Version) {
		mine := w.known(v, "admin", "x", persistent)
		for _, clean := range []bool{false, true} {
			_, ack := w.connect(v, "x", func(c *mqtt.Connect) { withPassword("guest", "secret")(c); c.CleanStart = clean })
			equal(w.t, "CONNACK of another user", ack.ReasonCode, mqtt.NotAuthorized)
			_, ack = w.connect(v, "x", func(c *mqtt.Connect) { c.CleanStart = clean })
			equal(w.t, "CONNACK of nobody", ack.ReasonCode, mqtt.NotAuthorized)
		}
		mine.quiet()
		mine.drop()
		_, ack := w.connect(v, "x", withPassword("guest", "secret"))
		equal(w.t, "CONNACK while away", ack.ReasonCode, mqtt.NotAuthorized)
		squatter, _ := w.connect(v, "y", persistent)
		p := w.known(v, "admin", "y", persistent)
		equal(w.t, "squatter closed", squatter.closed.Load(), true)
		p.quiet()
	})
}

func TestAnonymous(t *testing.T) {
	far := &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 1}
	near := &net.TCPAddr{IP: net.IPv6loopback, Port: 1}
	users := usersOf(t, "alice", "secret")
	for _, tt := range []struct {
		policy Anonymous
		from   net.Addr
		want   mqtt.ReasonCode
		users  *access.Users
	}{
		{AnonymousLocal, near, mqtt.Success, nil},
		{AnonymousLocal, far, mqtt.NotAuthorized, nil},
		{AnonymousAll, far, mqtt.Success, nil},
		{AnonymousNone, near, mqtt.NotAuthorized, nil},
		{AnonymousLocal, &net.UnixAddr{Name: "@", Net: "unix"}, mqtt.Success, nil},
		// A proxy on this machine may have anybody behind it.
		{AnonymousLocal, near, mqtt.NotAuthorized, users},
		{AnonymousAll, near, mqtt.Success, users},
	} {
		eachVersion(t, Options{Anonymous: tt.policy, Users: tt.users}, func(w *world, v mqtt.Version) {
			p := w.dialFrom(v, tt.from)
			p.send(hello(v, "x"))
			equal(w.t, tt.from.String(), next[*mqtt.Connack](p).ReasonCode, tt.want)
		})
	}
}

// A client that goes away while its password is being checked, and a crowd of
// them, leave nothing behind.
func TestPasswordAbandoned(t *testing.T) {
	inWorld(t, Options{Users: usersOf(t, "alice", "secret"), ConnectTimeout: time.Second}, func(w *world) {
		for range 20 {
			p := w.dial(mqtt.V50)
			c := hello(mqtt.V50, "x")
			withPassword("alice", "wrong")(c)
			b, err := c.Append(nil, mqtt.V50)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.nc.Write(b); err != nil {
				t.Fatal(err)
			}
			p.nc.Close()
		}
		synctest.Wait()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		s := w.b.Stats()
		equal(t, "connections", s.Connections, 0)
		equal(t, "sessions", s.Sessions, 0)
		equal(t, "checks", w.b.checks.total(), 0)
		w.known(mqtt.V50, "alice", "x")
	})
}

// What was in flight and may not be sent again is no longer counted as in
// flight: neither the session nor the broker runs out of room by it.
func TestDeniedRedeliveryIsNotInFlight(t *testing.T) {
	inWorld(t, Options{MaxQueueBytes: 1 << 20}, func(w *world) {
		a, _ := w.connect(mqtt.V50, "a", persistent)
		a.subscribe(mqtt.QoS1, "t")
		payload := strings.Repeat("x", 100_000)
		for i := range 9 {
			a.send(publish(mqtt.QoS1, mqtt.PacketID(i+1), "t", payload))
		}
		a.drop()
		w.b.SetACL(aclOf(t, "everyone\ndeny all t"))
		a, _ = w.connect(mqtt.V50, "a", persistent)
		a.quiet()
		equal(t, "memory", w.underWay(), 0)
		w.b.SetACL(nil)
		a.send(publish(mqtt.QoS1, 1, "t", payload))
		a.message("t", payload)
		next[*mqtt.Puback](a)
	})
}
