package broker

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

// stopAt is a log whose writer is held where it says so, until go on is closed.
type stopAt struct {
	slog.Handler
	text    string
	once    *sync.Once
	reached chan struct{}
	goOn    chan struct{}
}

func (h stopAt) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.text {
		h.once.Do(func() { close(h.reached) })
		<-h.goOn
	}
	return nil
}

func (stopAt) Enabled(context.Context, slog.Level) bool { return true }

// held is a world whose broker stops where it logs text, until goOn.
func held(t *testing.T, o Options, text string, test func(w *world, h stopAt)) {
	synctest.Test(t, func(t *testing.T) {
		h := stopAt{slog.DiscardHandler, text, new(sync.Once), make(chan struct{}), make(chan struct{})}
		o.Log = slog.New(h)
		b, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { // also when the test gives up
			select {
			case <-h.goOn:
			default:
				close(h.goOn)
			}
			if err := b.Shutdown(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			equal(t, "under way", len(b.passages), 0)
		}()
		test(&world{t, b}, h)
	})
}

// comes sends a CONNECT and what follows, and waits for nothing.
func (w *world) comes(v mqtt.Version, id string, change func(*mqtt.Connect), follows ...mqtt.Packet) *peer {
	p := w.dial(v)
	c := &mqtt.Connect{Version: v, ClientID: id, CleanStart: true}
	if change != nil {
		change(c)
	}
	p.send(append([]mqtt.Packet{c}, follows...)...)
	return p
}

// silent checks that nothing came before the end.
func (p *peer) silent() {
	p.t.Helper()
	if got := p.take(); len(got) > 0 || !p.closed.Load() {
		p.t.Fatalf("got %v, closed %v", got, p.closed.Load())
	}
}

// A connection that comes to rest between two steps of who waits for that is not
// waited for in vain: its Client Identifier would be taken for ever.
func TestRestIsNotMissed(t *testing.T) {
	b, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	c := &conn{b: b, s: &session{clientID: "x"}}
	c.feeding.Lock()
	b.mu.Lock()
	c.flags.put(displaced, true) // as await does, before it finds feeding locked
	rested := make(chan struct{})
	go func() {
		defer close(rested)
		c.rests()
	}()
	for !c.feeding.TryLock() {
		runtime.Gosched()
	}
	c.feeding.Unlock()
	for range 1000 { // it might be missed now
		runtime.Gosched()
	}
	c.flags.put(passing, true)
	b.passage("x").n++
	b.mu.Unlock()
	<-rested
	equal(t, "under way", len(b.passages), 0)
}

// [MQTT-4.6.0-6]: what the first connection is still handling comes before all that
// the last one sends, however many have taken over from each other meanwhile, with
// a clean start or not. Nobody but them waits, and of those who wait the last is
// let in.
func TestTakeOverWaitsForTheFirst(t *testing.T) {
	clean := func(*mqtt.Connect) {}
	for name, how := range map[string][]func(*mqtt.Connect){
		"resumed": {persistent, persistent, persistent}, "clean second": {persistent, clean, persistent},
		"clean third": {persistent, persistent, clean}, "never kept": {clean, clean, clean},
	} {
		t.Run(name, func(t *testing.T) {
			held(t, Options{MaxRetained: 1}, "limit exceeded", func(w *world, h stopAt) {
				sub, other := w.client(mqtt.V311, "sub"), w.client(mqtt.V311, "other")
				sub.subscribe(mqtt.QoS1, "t")
				other.put(retained(mqtt.QoS1, 1, "r", "takes all the room"))
				first, _ := w.connect(mqtt.V311, "c", how[0])
				first.send(retained(mqtt.QoS1, 1, "t", "one"), publish(mqtt.QoS1, 2, "t", "not handled any more"))
				<-h.reached
				second := w.comes(mqtt.V311, "c", how[1])
				third := w.comes(mqtt.V311, "c", how[2], publish(mqtt.QoS1, 1, "t", "two"))
				second.silent()
				third.quiet()
				other.send(publish(mqtt.QoS1, 1, "t", "who is nobody waits for nobody"))
				next[*mqtt.Puback](other)
				sub.message("t", "who is nobody waits for nobody")
				sub.quiet()
				close(h.goOn)
				sub.message("t", "one")
				sub.message("t", "two")
				sub.quiet()
				equal(t, "CONNACK", next[*mqtt.Connack](third).ReasonCode, mqtt.Success)
				next[*mqtt.Puback](third)
				first.gone(0)
			})
		})
	}
}

// Who waits for its turn and goes leaves everything as if only the one before had
// gone: its will is published, and its Session ends.
func TestWhoWaitsForItsTurnGoes(t *testing.T) {
	held(t, Options{MaxRetained: 1}, "limit exceeded", func(w *world, h stopAt) {
		sub, other := w.client(mqtt.V311, "sub"), w.client(mqtt.V311, "other")
		sub.subscribe(mqtt.QoS1, "t", "will/c")
		other.put(retained(mqtt.QoS1, 1, "r", "takes all the room"))
		first, _ := w.connect(mqtt.V50, "c", gives("c", mqtt.QoS1, expiring(10)))
		first.send(retained(mqtt.QoS0, 0, "t", "one"))
		<-h.reached
		second := w.comes(mqtt.V50, "c", gives("second", mqtt.QoS1, expiring(10)))
		time.Sleep(time.Minute) // the connect timeout is over before its turn comes
		second.silent()
		close(h.goOn)
		sub.message("t", "one")
		sub.message("will/c", "gone")
		first.gone(mqtt.SessionTakenOver)
		time.Sleep(9 * time.Second)
		equal(t, "sessions", w.b.Stats().Sessions, 3)
		time.Sleep(2 * time.Second)
		equal(t, "sessions", w.b.Stats().Sessions, 2)
		sub.quiet()
	})
}

// Who is refused when its turn has come is told, though the Session before has just
// ended and that is not durable yet.
func TestRefusedInItsTurn(t *testing.T) {
	held(t, Options{MaxRetained: 1, MaxSessions: 2, Store: storetest.NewMemory()}, "limit exceeded", func(w *world, h stopAt) {
		other := w.client(mqtt.V50, "other")
		other.put(retained(mqtt.QoS1, 1, "r", "takes all the room"))
		before, _ := w.connect(mqtt.V50, "c", persistent)
		before.drop()
		w.connect(mqtt.V50, "c", gives("c", mqtt.QoS1, func(c *mqtt.Connect) { c.CleanStart, c.Will.Retain = false, true }))
		c := w.comes(mqtt.V50, "c", nil)
		<-h.reached
		_, ack := w.connect(mqtt.V50, "takes the place", nil)
		equal(t, "CONNACK", ack.ReasonCode, mqtt.Success)
		close(h.goOn)
		c.refused(mqtt.QuotaExceeded)
	})
}

// A will is of the time before: whatever has it published, what the client sends
// when it is there again comes behind it.
func TestWillComesBeforeWhatFollows(t *testing.T) {
	for name, how := range map[string]struct {
		delay, expiry uint32
		ends          func(w *world, p *peer) *peer // returns who is there then, nil: nobody
	}{
		"connection lost":      {0, 100, func(_ *world, p *peer) *peer { p.drop(); return nil }},
		"lost and not kept":    {0, 0, func(_ *world, p *peer) *peer { p.drop(); return nil }},
		"delay":                {5, 100, func(_ *world, p *peer) *peer { p.drop(); time.Sleep(5 * time.Second); return nil }},
		"expiry":               {50, 5, func(_ *world, p *peer) *peer { p.drop(); time.Sleep(5 * time.Second); return nil }},
		"taken over":           {0, 100, func(w *world, _ *peer) *peer { return w.comes(mqtt.V50, "c", persistent) }},
		"clean start":          {50, 100, func(w *world, _ *peer) *peer { return w.comes(mqtt.V50, "c", nil) }},
		"disconnect with will": {0, 100, func(_ *world, p *peer) *peer { p.send(&mqtt.Disconnect{ReasonCode: 0x04}); return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			held(t, Options{MaxRetained: 1}, "limit exceeded", func(w *world, h stopAt) {
				sub := w.client(mqtt.V50, "sub")
				sub.subscribe(mqtt.QoS1, "will/c")
				sub.put(retained(mqtt.QoS1, 1, "r", "takes all the room"))
				p, _ := w.connect(mqtt.V50, "c", gives("c", mqtt.QoS1, func(c *mqtt.Connect) {
					expiring(how.expiry)(c)
					c.Will.Retain = true
					c.Will.Properties = mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, how.delay)}
				}))
				second := how.ends(w, p)
				<-h.reached
				third := w.comes(mqtt.V50, "c", persistent, publish(mqtt.QoS1, 1, "will/c", "here again"))
				third.quiet()
				close(h.goOn)
				sub.message("will/c", "gone")
				sub.message("will/c", "here again")
				sub.quiet()
				equal(t, "CONNACK", next[*mqtt.Connack](third).ReasonCode, mqtt.Success)
				if second != nil && !second.closed.Load() {
					t.Error("the second is still there")
				}
			})
		})
	}
}

// A Client Identifier is not another user's because nobody has it just now.
func TestTurnBelongsToAUser(t *testing.T) {
	o := Options{MaxRetained: 1, Users: usersOf(t, "u", "secret", "other", "secret"), Anonymous: AnonymousAll}
	held(t, o, "limit exceeded", func(w *world, h stopAt) {
		sub := w.client(mqtt.V50, "sub")
		sub.put(retained(mqtt.QoS1, 1, "r", "takes all the room"))
		p, _ := w.connect(mqtt.V50, "c", withPassword("u", "secret"))
		p.send(retained(mqtt.QoS0, 0, "t", "one"), &mqtt.Disconnect{})
		<-h.reached
		second := w.comes(mqtt.V50, "c", withPassword("u", "secret"))
		other := w.comes(mqtt.V50, "c", withPassword("other", "secret"))
		other.refused(mqtt.NotAuthorized)
		close(h.goOn)
		equal(t, "CONNACK", next[*mqtt.Connack](second).ReasonCode, mqtt.Success)
		second.quiet()
	})
}

// Who was not told that it is connected leaves no will when another takes over, as
// when it goes by itself.
func TestConnectThatWaitsLeavesNoWill(t *testing.T) {
	for name, expiry := range map[string]uint32{"fleeting": 0, "resumed": 1000} {
		t.Run(name, func(t *testing.T) {
			inStore(t, Options{}, func(w *kept) {
				with := func(c *mqtt.Connect) {
					c.CleanStart = false
					c.Properties = mqtt.Properties{mqtt.Num(mqtt.SessionExpiryInterval, expiry)}
				}
				here := w.client(mqtt.V50, "here")
				here.subscribe(mqtt.QoS0, "will/#")
				before, _ := w.connect(mqtt.V50, "p", with)
				before.drop()
				w.faulty.Hold()
				waits := func() *peer {
					p := w.dial(mqtt.V50)
					c := &mqtt.Connect{Version: mqtt.V50, ClientID: "p"}
					gives("p", mqtt.QoS0, with)(c)
					p.send(c)
					p.quiet()
					return p
				}
				waits().drop()
				here.quiet()
				waits()
				last := waits()
				here.quiet()
				w.faulty.Release()
				equal(t, "CONNACK", next[*mqtt.Connack](last).ReasonCode, mqtt.Success)
				here.quiet()
				w.crash() // nor later, but for the one who was told
				synctest.Wait()
				equal(t, "sessions in the store", sessionsOf(w.memory), int(min(expiry, 1)))
				last, _ = w.connect(mqtt.V50, "here", nil)
				last.quiet()
			})
		})
	}
}

// A will that is still to be published, for the disk was full, is published at the
// next start, although its client has begun another Session meanwhile.
func TestCrashPublishesWillOfReplacedSession(t *testing.T) {
	for name, left := range map[string]time.Time{"ended": time.Now(), "fleeting": {}} {
		t.Run(name, func(t *testing.T) {
			inStore(t, Options{}, func(w *kept) {
				w.durable(mqtt.V50, "s").subscribe(mqtt.QoS1, "will")
				pub := w.client(mqtt.V50, "pub")
				pub.send(&mqtt.Publish{Topic: []byte("will"), Payload: []byte("older"), Retain: true})
				older := w.durable(mqtt.V50, "s")
				older.take()
				older.send(&mqtt.Disconnect{})
				err := storetest.Write(w.memory, func(b *store.Batch) {
					b.PutSession(w.memory.NewSession(), &store.Session{ClientID: "p", Left: left,
						Will: &mqtt.Will{Topic: "will", Payload: []byte("gone"), QoS: mqtt.QoS1, Retain: true}})
					b.PutSession(w.memory.NewSession(), &store.Session{ClientID: "p", Expiry: 1000})
				})
				if err != nil {
					t.Fatal(err)
				}
				w.crash()
				w.crash()
				s := w.durable(mqtt.V50, "s")
				s.message("will", "gone")
				s.quiet()
				s.subscribe(mqtt.QoS0, "will")
				s.message("will", "gone")
				_, ack := w.connect(mqtt.V50, "p", persistent)
				equal(t, "session present", ack.SessionPresent, true)
			})
		})
	}
}

// Who is not let in has not come: what its Session was about to do goes on.
func TestConnectThatFailsKeepsTheWillBefore(t *testing.T) {
	for name, comes := range map[string]func(w *kept) *peer{
		"refused": func(w *kept) *peer {
			w.faulty.Fail(store.ErrFull)
			p := w.comes(mqtt.V50, "p", gives("second", mqtt.QoS1, expiring(2000)))
			p.refused(mqtt.QuotaExceeded)
			w.faulty.Fail(nil)
			return nil
		},
		"taken over while it waits": func(w *kept) *peer {
			w.faulty.Hold()
			w.comes(mqtt.V50, "p", gives("second", mqtt.QoS1, expiring(1000)))
			p := w.comes(mqtt.V50, "p", func(c *mqtt.Connect) { c.CleanStart = true })
			w.faulty.Release()
			next[*mqtt.Connack](p)
			return p
		},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", restart ", restart), func(t *testing.T) {
				inStore(t, Options{}, func(w *kept) {
					here := w.durable(mqtt.V50, "here")
					here.subscribe(mqtt.QoS1, "will/#")
					before, _ := w.connect(mqtt.V50, "p", gives("p", mqtt.QoS1, func(c *mqtt.Connect) {
						expiring(1000)(c)
						c.Will.Properties = mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, 100)}
					}))
					before.drop()
					time.Sleep(50 * time.Second)
					p := comes(w)
					if restart {
						w.crash()
						here = w.durable(mqtt.V50, "here")
					}
					time.Sleep(49 * time.Second)
					if p == nil {
						here.quiet()
						time.Sleep(2 * time.Second)
					} // else a clean start has ended the Session, and had it published
					here.message("will/p", "gone")
					here.quiet()
				})
			})
		}
	}
}
