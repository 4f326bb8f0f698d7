package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

// cutStore is a store whose power fails behind so many commits: what is committed
// later is nowhere, and nobody hears of it.
type cutStore struct {
	*storetest.Memory
	mu      sync.Mutex
	left    int
	commits int // until then
}

func (c *cutStore) Commit(b *store.Batch, done func(error)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left == 0 {
		return false
	}
	c.left--
	c.commits++
	return c.Memory.Commit(b, done)
}

// cutAfter has the power fail behind n more commits, and counts from 0.
func (c *cutStore) cutAfter(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.commits = n, 0
}

const noCut = 1 << 30

// cutRun is a broker whose power fails once, with two subscribers: one that is there
// all the time, at QoS 2, and one that is away until the end, at QoS 1. Both have to
// get each message once, for no publisher here sends one again.
type cutRun struct {
	*world
	disk  *cutStore
	full  *storetest.Faulty // before it
	here  *peer
	known map[mqtt.PacketID]bool // of here, no PUBREL yet
	got   map[string]int         // "topic payload"

	must  map[string]bool // promised: it comes
	never map[string]bool // it may not come any more
	says  []string        // what may be retained in will/one
}

// The wills, messages and ends of Sessions that one connection leaves behind: how, and
// what has been promised by then.
var cuts = []struct {
	name          string
	expiry, delay uint32
	do            func(r *cutRun, c *peer)
	shared        bool // it is away, and leaves shared messages that nobody else could take
}{
	{"connection lost", 1000, 0, func(_ *cutRun, c *peer) { c.drop() }, false},
	{"lost and not kept", 0, 0, func(_ *cutRun, c *peer) { c.drop() }, false},
	{"lost and not kept, with a delay", 0, 50, func(_ *cutRun, c *peer) { c.drop() }, false},
	{"will delay", 1000, 50, func(_ *cutRun, c *peer) { c.drop(); time.Sleep(51 * time.Second) }, false},
	{"expiry before the delay", 50, 1000, func(_ *cutRun, c *peer) { c.drop(); time.Sleep(51 * time.Second) }, false},
	{"DISCONNECT with will", 1000, 0, func(r *cutRun, c *peer) { r.leave(c, &mqtt.Disconnect{ReasonCode: 0x04}) }, false},
	{"DISCONNECT with will that ends the Session", 1000, 100, func(r *cutRun, c *peer) {
		r.leave(c, &mqtt.Disconnect{ReasonCode: 0x04, Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 0)}})
	}, false},
	{"DISCONNECT with will that prolongs the Session", 1000, 100, func(r *cutRun, c *peer) {
		r.leave(c, &mqtt.Disconnect{ReasonCode: 0x04, Properties: mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, 2000)}})
	}, false},
	{"DISCONNECT", 1000, 0, func(r *cutRun, c *peer) {
		r.mayGo()
		r.leave(c, &mqtt.Disconnect{})
	}, false},
	{"DISCONNECT, not kept", 0, 0, func(r *cutRun, c *peer) {
		r.mayGo()
		r.leave(c, &mqtt.Disconnect{})
	}, false},
	{"keep alive", 1000, 0, func(_ *cutRun, _ *peer) { time.Sleep(200 * time.Second) }, false},
	{"taken over", 1000, 0, func(r *cutRun, _ *peer) { r.back(expiring(1000)) }, false},
	{"taken over before the delay", 1000, 50, func(r *cutRun, _ *peer) { r.resumed(r.back(expiring(1000))) }, false},
	{"taken over by one that is not kept", 1000, 0, func(r *cutRun, _ *peer) { r.back(expiring(0)) }, false},
	{"taken over, was not kept", 0, 50, func(r *cutRun, _ *peer) { r.back(expiring(1000)) }, false},
	{"taken over by a clean start", 1000, 50, func(r *cutRun, _ *peer) { r.back(nil) }, false},
	{"taken over, both not kept", 0, 0, func(r *cutRun, _ *peer) { r.back(nil) }, false},
	{"back before the delay", 1000, 50, func(r *cutRun, c *peer) { c.drop(); r.resumed(r.back(expiring(1000))) }, false},
	{"back when the delay is over", 1000, 50, func(r *cutRun, c *peer) {
		c.drop()
		time.Sleep(50*time.Second + time.Millisecond)
		r.back(expiring(1000))
	}, false},
	{"back by a clean start", 1000, 50, func(r *cutRun, c *peer) { c.drop(); r.back(nil) }, false},
	{"taken over twice", 1000, 0, func(r *cutRun, _ *peer) { r.back(expiring(1000)); r.back(expiring(1000)) }, false},
	{"taken over, and away again", 1000, 0, func(r *cutRun, _ *peer) { r.back(expiring(1000)).drop() }, false},
	{"lost on a full disk, and back", 1000, 0, func(r *cutRun, c *peer) {
		r.full.Fail(store.ErrFull)
		c.drop()
		r.back(expiring(1000))
		delete(r.must, "will/two gone") // it is let in, but there is no room for it
		r.says = append(r.says, "")     // nor for what takes the place of the first
		r.full.Fail(nil)
		time.Sleep(3 * retryEvery)
	}, false},
	{"shared messages, expired", 50, 0, func(*cutRun, *peer) { time.Sleep(51 * time.Second) }, true},
	{"shared messages, expired before the will", 50, 1000, func(*cutRun, *peer) { time.Sleep(51 * time.Second) }, true},
	{"shared messages, clean start", 1000, 50, func(r *cutRun, _ *peer) { r.back(nil) }, true},
	{"shared messages, back and not kept any more", 1000, 50, func(r *cutRun, _ *peer) {
		for i := 1; i < 6; i += 2 { // at QoS 2 it is under way to c, or was, and nobody else may have it [MQTT-4.8.2-5]
			delete(r.must, fmt.Sprintf("shared/%d m", i))
		}
		p := r.back(expiring(0))
		r.resumed(p)
		p.drop()
	}, true},
}

// Wherever the power fails between two commits, each will comes once, or not at all
// where it may not any more; nothing that was acknowledged is lost, and nothing comes
// twice.
func TestPowerFailsBehindEachCommit(t *testing.T) {
	for _, x := range cuts {
		t.Run(x.name, func(t *testing.T) {
			run := func(n int) (commits int) {
				synctest.Test(t, func(t *testing.T) {
					r := &cutRun{world: &world{t: t}, disk: &cutStore{Memory: storetest.NewMemory(), left: noCut}, known: map[mqtt.PacketID]bool{},
						got: map[string]int{}, must: map[string]bool{}, never: map[string]bool{}}
					r.begin()
					c := r.prepare(x.expiry, x.delay)
					if x.shared {
						r.share(c)
					}
					r.disk.cutAfter(n)
					x.do(r, c)
					r.answer()
					commits = r.disk.commits
					r.cut()
					r.check(n)
					r.end(r.b)
				})
				return commits
			}
			all := run(noCut)
			for n := range all {
				run(n)
			}
			if all < 1 || t.Failed() {
				t.Errorf("%d commits", all)
			}
		})
	}
}

func (r *cutRun) begin() {
	r.full = storetest.NewFaulty(r.disk)
	b, err := New(Options{Store: r.full})
	if err != nil {
		r.t.Fatal(err)
	}
	r.b = b
}

func (r *cutRun) end(b *Broker) {
	if err := b.Shutdown(context.WithoutCancel(r.t.Context())); err != nil {
		r.t.Error(err)
	}
	synctest.Wait()
	equal(r.t, "under way", len(b.passages), 0)
}

// prepare makes the subscribers, and the client that is to go, with its will.
func (r *cutRun) prepare(expiry, delay uint32) *peer {
	for _, id := range []string{"away", "here"} {
		p, _ := r.connect(mqtt.V50, id, expiring(Never))
		qos := mqtt.QoS2
		if id == "away" {
			qos = mqtt.QoS1
		}
		p.subscribe(qos, "will/+", "data/+")
		if r.here = p; id == "away" {
			p.drop()
		}
	}
	r.says = []string{"gone"}
	return r.client("one", expiry, delay, nil)
}

// client connects "c" with a will and subscriptions, and sends something.
func (r *cutRun) client(will string, expiry, delay uint32, change func(*mqtt.Connect)) *peer {
	r.t.Helper()
	p := r.comes(mqtt.V50, "c", gives(will, mqtt.QoS2, func(c *mqtt.Connect) {
		c.KeepAlive = 100
		c.Will.Retain = true
		c.Will.Payload = []byte("gone")
		c.Will.Properties = mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, delay)}
		c.CleanStart = change == nil
		if change != nil {
			change(c)
		} else if expiry > 0 {
			expiring(expiry)(c)
			c.CleanStart = true
		}
	}))
	if r.heard(p) {
		r.must["will/"+will+" gone"] = true
		r.publishes(p, will)
	}
	return p
}

// heard reports whether p was told that it is connected.
func (r *cutRun) heard(p *peer) bool {
	got := p.take()
	if len(got) == 0 {
		return false
	}
	ack, ok := got[0].(*mqtt.Connack)
	return ok && ack.ReasonCode == mqtt.Success
}

// publishes sends a message at QoS 1 and one at QoS 2, and notes what was
// acknowledged.
func (r *cutRun) publishes(p *peer, name string, last ...mqtt.Packet) {
	p.send(append([]mqtt.Packet{publish(mqtt.QoS1, 1, "data/"+name+"-1", "m"), publish(mqtt.QoS2, 2, "data/"+name+"-2", "m")}, last...)...)
	for _, pkt := range p.take() {
		switch a := pkt.(type) {
		case *mqtt.Puback:
			r.must["data/"+name+"-1 m"] = !a.ReasonCode.Failed()
		case *mqtt.Pubrec:
			r.must["data/"+name+"-2 m"] = !a.ReasonCode.Failed()
			if len(last) == 0 && !a.ReasonCode.Failed() {
				p.send(pubrel(a.PacketID))
				p.take()
			}
		}
	}
}

// leave sends messages with the DISCONNECT in one piece.
func (r *cutRun) leave(c *peer, d *mqtt.Disconnect) { r.publishes(c, "bye", d) }

// back has the client come again.
func (r *cutRun) back(change func(*mqtt.Connect)) *peer {
	will := "two"
	if r.must["will/two gone"] {
		will = "three"
	}
	p := r.client(will, 0, 0, change)
	if r.must["will/"+will+" gone"] { // presence
		says := "here again, " + will
		r.says = append(r.says, says)
		p.send(retained(mqtt.QoS1, 7, "will/one", says))
		for _, pkt := range p.take() {
			if a, ok := pkt.(*mqtt.Puback); ok && !a.ReasonCode.Failed() {
				r.must["will/one "+says] = true
				r.says = []string{says}
			}
		}
	}
	return p
}

// resumed is what holds when p had its CONNACK before the will of the one before was
// due.
func (r *cutRun) resumed(*peer) {
	if r.must["will/two gone"] {
		delete(r.must, "will/one gone")
		r.never["will/one gone"] = true
	}
	if r.says[0] == "gone" { // else what it says was acknowledged
		r.mayGo()
	}
}

// mayGo is what holds when the first will is perhaps discarded.
func (r *cutRun) mayGo() {
	delete(r.must, "will/one gone")
	r.says = append(r.says, "")
}

// share has c leave shared messages behind, and who is here be a member then.
func (r *cutRun) share(c *peer) {
	c.subscribe(mqtt.QoS2, "$share/g/shared/+")
	c.drop()
	p := r.world.client(mqtt.V50, "shares")
	for i := range 6 {
		topic := fmt.Sprint("shared/", i)
		equal(r.t, "code", p.put(publish(mqtt.QoS(1+i%2), 1, topic, "m")), mqtt.Success)
		r.must[topic+" m"] = true
	}
	p.drop()
	r.answer()
	r.here.subscribe(mqtt.QoS2, "$share/g/shared/+")
}

// answer has the subscriber take what has come, and answer it.
func (r *cutRun) answer() {
	for {
		got := r.here.take()
		if len(got) == 0 {
			return
		}
		for _, pkt := range got {
			switch m := pkt.(type) {
			case *mqtt.Publish:
				if m.QoS == mqtt.QoS1 { // it may come again
					r.got[string(m.Topic)+" "+string(m.Payload)] = 1
					r.here.send(puback(m.PacketID))
					break
				}
				if !r.known[m.PacketID] {
					r.known[m.PacketID] = true
					r.got[string(m.Topic)+" "+string(m.Payload)]++
				}
				r.here.send(pubrec(m.PacketID))
			case *mqtt.Pubrel:
				delete(r.known, m.PacketID)
				r.here.send(pubcomp(m.PacketID))
			}
		}
	}
}

// cut starts again with what was on the disk, and waits until nothing is due any
// more.
func (r *cutRun) cut() {
	synctest.Wait()
	old := r.b
	r.disk = &cutStore{Memory: r.disk.Clone(), left: noCut}
	r.begin()
	r.here.nc.Close()
	r.end(old)
	r.here, _ = r.connect(mqtt.V50, "here", expiring(Never))
	r.answer()
	time.Sleep(time.Hour)
	r.answer()
}

func (r *cutRun) check(n int) {
	away, _ := r.connect(mqtt.V50, "away", expiring(Never))
	waited := map[string]int{}
	for _, pkt := range away.take() {
		m := pkt.(*mqtt.Publish)
		waited[string(m.Topic)+" "+string(m.Payload)]++
	}
	for who, got := range map[string]map[string]int{"here": r.got, "away": waited} {
		for key, times := range got {
			if times > 1 || r.never[key] {
				r.t.Errorf("cut behind %d: %q came %d times to who is %s", n, key, times, who)
			}
		}
		for key, must := range r.must {
			if must && got[key] == 0 && (who == "here" || !strings.HasPrefix(key, "shared/")) {
				r.t.Errorf("cut behind %d: %q has not come to who is %s", n, key, who)
			}
		}
	}
	// What is retained is the last that was published.
	p := r.world.client(mqtt.V50, "looks")
	p.subscribe(mqtt.QoS0, "will/one")
	kept := ""
	for _, pkt := range p.take() {
		kept = string(pkt.(*mqtt.Publish).Payload)
	}
	if !slices.Contains(r.says, kept) {
		r.t.Errorf("cut behind %d: %q is retained, want one of %q", n, kept, r.says)
	}
}
