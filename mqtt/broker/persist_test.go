package broker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

// kept is a world whose broker has a store that fails at will and can be started
// again with what is in it.
type kept struct {
	*world
	o      Options
	memory *storetest.Memory
	faulty *storetest.Faulty
}

func inStore(t *testing.T, o Options, test func(w *kept)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &kept{world: &world{t: t}, o: o, memory: storetest.NewMemory()}
		w.begin()
		defer w.end()
		test(w)
	})
}

func (w *kept) begin() {
	w.t.Helper()
	w.faulty = storetest.NewFaulty(w.memory)
	w.o.Store = w.faulty
	b, err := New(w.o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.b = b
}

func (w *kept) end() {
	if err := w.b.Shutdown(context.WithoutCancel(w.t.Context())); err != nil {
		w.t.Error(err)
	}
	w.faulty.Release()
	synctest.Wait()
}

// restart ends the broker in good order and starts it again.
func (w *kept) restart() {
	w.t.Helper()
	w.end()
	if err := w.memory.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.memory.Reopen()
	w.begin()
}

// crash starts another broker with what the store has at this moment. The old one
// can do what it likes.
func (w *kept) crash() {
	w.t.Helper()
	synctest.Wait()
	old, gone := w.b, w.memory
	w.memory = gone.Clone()
	w.begin()
	if err := old.Shutdown(context.WithoutCancel(w.t.Context())); err != nil {
		w.t.Error(err)
	}
	synctest.Wait()
}

// durable connects with a Session that stays.
func (w *kept) durable(v mqtt.Version, id string) *peer {
	w.t.Helper()
	p, ack := w.connect(v, id, persistent)
	if ack.ReasonCode != mqtt.Success {
		w.t.Fatalf("CONNACK %v", ack.ReasonCode)
	}
	return p
}

// step is one of the table in the documentation of package store.
type step struct {
	name string
	// prepare makes ready, with two durable Sessions: a, which has sent a QoS 2
	// message "open" and has one in flight to it, and s, subscribed at QoS 2 to "q2",
	// at QoS 1 to "q1".
	do    func(w *kept, a, s *peer)
	waits func(a, s *peer) *peer // who is owed something, nil: nothing waits
	then  func(t *testing.T, p *peer)
}

func came[T mqtt.Packet](_ *testing.T, p *peer) { p.t.Helper(); next[T](p) }

func toA(a, _ *peer) *peer { return a }
func toS(_, s *peer) *peer { return s }

func steps() []step {
	return []step{
		{"SUBSCRIBE", func(_ *kept, a, _ *peer) {
			a.send(&mqtt.Subscribe{PacketID: 5, Subscriptions: []mqtt.Subscription{{Filter: "x", QoS: 1}}})
		}, toA, came[*mqtt.Suback]},
		{"UNSUBSCRIBE", func(_ *kept, _, s *peer) { s.send(&mqtt.Unsubscribe{PacketID: 5, Filters: []string{"q1"}}) }, toS, came[*mqtt.Unsuback]},
		{"PUBLISH at QoS 1", func(_ *kept, a, _ *peer) { a.send(publish(1, 5, "q1", "m")) }, toA, came[*mqtt.Puback]},
		{"PUBLISH at QoS 2", func(_ *kept, a, _ *peer) { a.send(publish(2, 5, "nobody", "m")) }, toA, came[*mqtt.Pubrec]},
		{"PUBLISH at QoS 2 again", func(_ *kept, a, _ *peer) {
			p := publish(2, 9, "q2", "open")
			p.Dup = true
			a.send(p)
		}, toA, came[*mqtt.Pubrec]},
		{"PUBREL", func(_ *kept, a, _ *peer) { a.send(pubrel(9)) }, toA, came[*mqtt.Pubcomp]},
		{"retained", func(_ *kept, a, _ *peer) {
			p := publish(1, 5, "r", "m")
			p.Retain = true
			a.send(p)
		}, toA, came[*mqtt.Puback]},
		{"retained message cleared", func(_ *kept, a, _ *peer) {
			p := publish(1, 5, "r", "")
			p.Retain = true
			a.send(p)
		}, toA, came[*mqtt.Puback]},
		{"outbound PUBLISH at QoS 2", func(_ *kept, a, _ *peer) { a.send(publish(0, 0, "q2", "zero"), publish(2, 5, "q2", "m")) }, toS,
			func(_ *testing.T, s *peer) { s.message("q2", "m") }},
		{"PUBREC", func(_ *kept, _, s *peer) { s.send(pubrec(s.open)) }, toS, came[*mqtt.Pubrel]},
		{"PINGREQ behind what waits", func(_ *kept, a, _ *peer) { a.send(publish(1, 5, "q1", "m"), &mqtt.Pingreq{}) }, toA,
			func(t *testing.T, a *peer) { came[*mqtt.Puback](t, a); came[*mqtt.Pingresp](t, a) }},
		{"QoS 1 that nobody keeps", func(_ *kept, a, _ *peer) { a.send(publish(1, 5, "nobody", "m")); next[*mqtt.Puback](a) }, nil, nil},
		{"retained at QoS 0", func(w *kept, a, _ *peer) {
			p := publish(0, 0, "r", "m")
			p.Retain = true
			a.send(p, &mqtt.Pingreq{})
			next[*mqtt.Pingresp](a)
		}, nil, nil},
		{"outbound PUBLISH at QoS 1", func(_ *kept, a, s *peer) {
			a.send(publish(1, 5, "q1", "m"))
			m := s.message("q1", "m")
			s.send(puback(m.PacketID), &mqtt.Pingreq{})
			next[*mqtt.Pingresp](s)
		}, toA, came[*mqtt.Puback]},
	}
}

// prepare makes the state that the steps begin with.
func (w *kept) prepare(v mqtt.Version) (a, s *peer) {
	w.t.Helper()
	a, s = w.durable(v, "a"), w.durable(v, "s")
	s.subscribe(mqtt.QoS2, "q2")
	s.subscribe(mqtt.QoS1, "q1")
	a.send(publish(2, 9, "q2", "open"))
	next[*mqtt.Pubrec](a)
	s.open = s.message("q2", "open").PacketID
	return a, s
}

// Each step waits for what it promises, and nobody else does. When it is there
// it goes on; when it fails the answer says so, or there is none.
func TestStepsWaitForTheStore(t *testing.T) {
	for _, v := range []mqtt.Version{mqtt.V311, mqtt.V50} {
		for _, x := range steps() {
			t.Run(v.String()+" "+x.name, func(t *testing.T) {
				inStore(t, Options{}, func(w *kept) {
					a, s := w.prepare(v)
					other, reader := w.client(mqtt.V50, "other"), w.client(mqtt.V50, "reader")
					reader.subscribe(mqtt.QoS1, "free")
					w.faulty.Hold()
					x.do(w, a, s)
					if x.waits != nil {
						a.quietBut(mqtt.TypePublish)
						s.quietBut(mqtt.TypePublish)
						for _, p := range []*peer{a, s} {
							p.take()
						}
					}
					other.send(publish(0, 0, "free", "0"), publish(1, 1, "free", "1"))
					next[*mqtt.Puback](other)
					reader.message("free", "0")
					reader.message("free", "1")
					w.faulty.Release()
					if x.waits != nil {
						x.then(w.t, x.waits(a, s))
					}
				})
			})
		}
	}
}

// quietBut checks that nothing has come but PUBLISH at QoS 0 and 1.
func (p *peer) quietBut(typ mqtt.Type) {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, pkt := range p.got {
		if m, ok := pkt.(*mqtt.Publish); !ok || pkt.Type() != typ || m.QoS == mqtt.QoS2 {
			p.t.Fatalf("got %v before it is durable", pkt)
		}
	}
	if p.closed.Load() {
		p.t.Fatal("the broker closed the connection")
	}
}

// CONNACK waits as well, and nothing comes before it.
func TestConnackWaitsForTheStore(t *testing.T) {
	inStore(t, Options{}, func(w *kept) {
		a, _ := w.prepare(mqtt.V50)
		w.faulty.Hold()
		s := w.dial(mqtt.V50)
		c := &mqtt.Connect{Version: mqtt.V50, ClientID: "s"}
		persistent(c)
		s.send(c, &mqtt.Pingreq{})
		a.send(publish(0, 0, "q1", "lost"), publish(1, 5, "q1", "m"))
		s.quiet()
		other := w.client(mqtt.V50, "other")
		other.quiet()
		w.faulty.Release()
		if ack := next[*mqtt.Connack](s); !ack.SessionPresent || ack.ReasonCode != mqtt.Success {
			t.Fatalf("CONNACK %+v", ack)
		}
		m := s.message("q2", "open")
		equal(t, "DUP", m.Dup, true)
		s.message("q1", "m")
		next[*mqtt.Pingresp](s)
		next[*mqtt.Puback](a)
	})
}

// Who takes over while CONNACK waits, or goes away, finds nothing half done.
func TestTakeOverWhileConnackWaits(t *testing.T) {
	inStore(t, Options{}, func(w *kept) {
		w.prepare(mqtt.V50)
		w.faulty.Hold()
		connect := func() *peer {
			p := w.dial(mqtt.V50)
			c := &mqtt.Connect{Version: mqtt.V50, ClientID: "s"}
			persistent(c)
			p.send(c)
			return p
		}
		first := connect()
		second := connect()
		if got := first.take(); len(got) > 0 || !first.closed.Load() {
			t.Fatalf("the first got %v, closed %v", got, first.closed.Load())
		}
		second.drop()
		third := connect()
		w.faulty.Release()
		if ack := next[*mqtt.Connack](third); !ack.SessionPresent {
			t.Fatal("the session is gone")
		}
		third.message("q2", "open")
		third.quiet()
	})
}

// The store fails: nothing is promised.
func TestStepsFailWithTheStore(t *testing.T) {
	for _, fault := range []struct {
		err  error
		code mqtt.ReasonCode
	}{{store.ErrFull, mqtt.QuotaExceeded}, {fmt.Errorf("a sync: %w", store.ErrFailed), mqtt.UnspecifiedError}} {
		for _, v := range []mqtt.Version{mqtt.V311, mqtt.V50} {
			for _, x := range steps() {
				if x.waits == nil {
					continue
				}
				t.Run(fmt.Sprint(fault.code, " ", v, " ", x.name), func(t *testing.T) {
					inStore(t, Options{}, func(w *kept) {
						a, s := w.prepare(v)
						w.faulty.Fail(fault.err)
						x.do(w, a, s)
						for _, p := range []*peer{a, s} {
							for _, pkt := range p.take() {
								if code, promise := promised(pkt); promise {
									t.Errorf("got %v with %v", pkt, code)
								} else if code.Failed() && v >= mqtt.V50 && code != fault.code && code != mqtt.UnspecifiedError {
									t.Errorf("got %v, want %v", pkt, fault.code)
								}
							}
						}
						if final := !errors.Is(fault.err, store.ErrFull); (w.b.StoreErr() != nil) != final {
							t.Errorf("StoreErr is %v", w.b.StoreErr())
						}
						other := w.client(mqtt.V50, "other")
						other.subscribe(mqtt.QoS1, "free")
						other.send(publish(0, 0, "free", "0"))
						other.message("free", "0")
						w.faulty.Fail(nil)
					})
				})
			}
		}
	}
}

// promised reports whether a packet says that something is kept.
func promised(pkt mqtt.Packet) (mqtt.ReasonCode, bool) {
	codes := []mqtt.ReasonCode{}
	switch p := pkt.(type) {
	case *mqtt.Puback:
		codes = append(codes, p.ReasonCode)
	case *mqtt.Pubrec:
		codes = append(codes, p.ReasonCode)
	case *mqtt.Pubcomp, *mqtt.Pubrel:
		return 0, true
	case *mqtt.Suback:
		codes = p.ReasonCodes
	case *mqtt.Unsuback:
		codes = p.ReasonCodes
		if len(codes) == 0 {
			return 0, true
		}
	case *mqtt.Connack:
		codes = append(codes, p.ReasonCode)
	case *mqtt.Publish:
		return 0, p.QoS == mqtt.QoS2
	case *mqtt.Disconnect:
		return p.ReasonCode, false
	}
	for _, c := range codes {
		if !c.Failed() {
			return c, true
		}
	}
	if len(codes) > 0 {
		return codes[0], false
	}
	return 0, false
}

// A CONNECT whose Session cannot be kept is refused, and leaves none.
func TestConnectFailsWithTheStore(t *testing.T) {
	for _, v := range []mqtt.Version{mqtt.V311, mqtt.V50} {
		inStore(t, Options{}, func(w *kept) {
			w.faulty.Fail(store.ErrFull)
			p, ack := w.connect(v, "a", persistent)
			if !ack.ReasonCode.Failed() || v == mqtt.V50 && ack.ReasonCode != mqtt.QuotaExceeded {
				t.Errorf("CONNACK %v", ack.ReasonCode)
			}
			if synctest.Wait(); !p.closed.Load() {
				t.Error("the connection is open")
			}
			equal(t, "sessions", w.b.Stats().Sessions, 0)
			w.faulty.Fail(errors.New("a sync"))
			if _, ack = w.connect(v, "a", persistent); !ack.ReasonCode.Failed() || v == mqtt.V50 && ack.ReasonCode != mqtt.ServerUnavailable {
				t.Errorf("CONNACK %v", ack.ReasonCode)
			}
			w.faulty.Fail(nil)
			if _, ack = w.connect(v, "a", persistent); ack.ReasonCode.Failed() || ack.SessionPresent {
				t.Errorf("CONNACK %+v", ack)
			}
		})
	}
}

// What was refused for want of room is a new message when it comes again.
func TestRefusedMessageComesAgain(t *testing.T) {
	for _, v := range []mqtt.Version{mqtt.V311, mqtt.V50} {
		inStore(t, Options{}, func(w *kept) {
			a, s := w.prepare(v)
			w.faulty.Fail(store.ErrFull)
			a.send(publish(2, 5, "q2", "again"))
			s.quiet()
			if v >= mqtt.V50 {
				equal(t, "code", next[*mqtt.Pubrec](a).ReasonCode, mqtt.QuotaExceeded)
			} else {
				if got := a.take(); len(got) > 0 || !a.closed.Load() {
					t.Fatalf("got %v, closed %v", got, a.closed.Load())
				}
			}
			w.faulty.Fail(nil)
			if v < mqtt.V50 {
				a = w.durable(v, "a")
			}
			p := publish(2, 5, "q2", "again")
			p.Dup = v < mqtt.V50
			a.send(p)
			equal(t, "code", next[*mqtt.Pubrec](a).ReasonCode, mqtt.Success)
			s.message("q2", "again")
			s.quiet()
			w.crash()
			s = w.durable(v, "s")
			s.message("q2", "open")
			equal(t, "DUP", s.message("q2", "again").Dup, true)
			s.quiet()
		})
	}
}

// crowded is a store that has as much to write as it may have.
type crowded struct{ *storetest.Faulty }

func (c crowded) Commit(b *store.Batch, done func(error)) bool {
	c.Faulty.Commit(b, done)
	return true
}

// Who brings more than the store can write is not read until that is written;
// nor is who asks for more and more answers that wait.
func TestPressureOfTheStore(t *testing.T) {
	for _, full := range []bool{true, false} {
		t.Run(fmt.Sprint("full ", full), func(t *testing.T) {
			inStore(t, Options{}, func(w *kept) {
				if full {
					w.b.store = crowded{w.faulty}
				}
				a, s := w.prepare(mqtt.V50)
				w.faulty.Hold()
				const n = 3 * maxOwed
				a.send(publish(1, 5, "q1", "first"))
				go func() {
					for range n {
						p, _ := (&mqtt.Pingreq{}).Append(nil, mqtt.V50)
						_, _ = a.nc.Write(p)
					}
				}()
				synctest.Wait()
				s.message("q1", "first")
				a.quiet()
				most := maxOwed + 1
				if full {
					most = 1
				}
				if held := w.faulty.Held(); held > most {
					t.Errorf("%d turns wait, want %d at most", held, most)
				}
				w.faulty.Release()
				next[*mqtt.Puback](a)
				for range n {
					next[*mqtt.Pingresp](a)
				}
				a.quiet()
			})
		})
	}
}

// [MQTT-3.1.2-22]: a client whose answer waits for the store is not read meanwhile, and so is not silent.
func TestKeepAliveWaitsForTheStore(t *testing.T) {
	for _, alive := range []bool{true, false} {
		t.Run(fmt.Sprint("alive ", alive), func(t *testing.T) {
			inStore(t, Options{}, func(w *kept) {
				p, _ := w.connect(mqtt.V50, "s", func(c *mqtt.Connect) {
					persistent(c)
					c.KeepAlive = 2
				})
				w.faulty.Hold()
				p.send(subscribeTo("t"))
				time.Sleep(10 * time.Second)
				p.quiet()
				if alive {
					go p.nc.Write([]byte{0xC0, 0}) // a PINGREQ, which waits to be read
				}
				w.faulty.Release()
				next[*mqtt.Suback](p)
				if alive {
					next[*mqtt.Pingresp](p)
				}
				time.Sleep(2900 * time.Millisecond)
				p.quiet()
				time.Sleep(3100 * time.Millisecond)
				p.gone(mqtt.KeepAliveTimeout)
			})
		})
	}
}
