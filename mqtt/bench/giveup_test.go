package bench

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"mqt/mqtt"
)

// What is given up while it connects is no lost connection, and nothing that
// was measured is nothing to hold a rate against.
func TestInterruptedWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub()
		s.holdFor = time.Minute // nobody is answered
		sc := s.scenario()
		sc.Publishers, sc.QoS = 20, []mqtt.QoS{1}
		rule, err := ParseRule("sent.rate >= target * 0.98")
		if err != nil {
			t.Fatal(err)
		}
		sc.Rules = []Rule{rule}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errors.New("by hand")) })
		rep, err := Run(ctx, sc, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c := rep.Connections; !rep.Interrupted || rep.Verdict != Inconclusive || c.Lost+c.Failed+c.Connected > 0 {
			t.Errorf("%s %q, %+v", rep.Verdict, rep.Reasons, c)
		}
		time.Sleep(time.Minute) // the stub ends
	})
}
