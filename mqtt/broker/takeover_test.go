package broker

import (
	"context"
	"log/slog"
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

// A Session may end while one of its connections, which it has lost already, is in
// the middle of a PUBLISH that is refused: one client takes the Session over, and
// before it has it another begins a clean one.
func TestSessionEndsInTheMiddleOfARefusal(t *testing.T) {
	h := stopAt{slog.DiscardHandler, "publish denied", new(sync.Once), make(chan struct{}), make(chan struct{})}
	b := liveBroker(t, Options{ACL: aclOf(t, "everyone\n  allow all open\n"), Anonymous: AnonymousAll, Log: slog.New(h)})
	defer b.stop()
	first := b.client(t, mqtt.V50, "c", persistent)
	defer first.nc.Close()
	go first.write(publish(mqtt.QoS2, 1, "closed", "m"))
	<-h.reached

	b.mu.Lock()
	s := b.sessions.get("c")
	b.mu.Unlock()
	var second sync.WaitGroup
	second.Go(func() {
		p := b.dial()
		defer p.Close()
		resume := &mqtt.Connect{Version: mqtt.V50, ClientID: "c"}
		persistent(resume)
		out, _ := resume.Append(nil, mqtt.V50)
		_, _ = p.Write(out)
		_, _ = p.Read(make([]byte, 100)) // until it is let in, and taken over in its turn
	})
	for displaced := false; !displaced; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		displaced = s.conn == nil
		s.mu.Unlock()
	}
	third := b.client(t, mqtt.V50, "c", nil)
	close(h.goOn)
	second.Wait()
	third.nc.Close()
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
