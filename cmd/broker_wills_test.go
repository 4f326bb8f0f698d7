package cmd_test

import (
	"context"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// The wills of all who were connected when the broker was killed are published when
// it is there again, section 3.1.2.5, after their delay: of Sessions that stay and of
// those that end with their connection.
func TestBrokerCrashPublishesWills(t *testing.T) {
	mqt, err := exec.LookPath("mqt")
	if err != nil {
		t.Fatal(err)
	}
	k := &killed{t: t, mqt: mqt, dir: t.TempDir(), addr: freeAddr(t)}
	k.start()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var mu sync.Mutex
	var got []string
	s := k.client(ctx, "s", func(o *client.Options) {
		o.OnMessage = func(_ *client.Client, _ *mqtt.Publish, topic string) bool {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, topic)
			return true
		}
	})
	if codes, err := s.Subscribe(ctx, []mqtt.Subscription{{Filter: "will/#", QoS: 2}}, nil); err != nil || codes[0].Failed() {
		t.Fatal(codes, err)
	}
	want := []string{"will/delayed", "will/ends", "will/stays"}
	var all []*client.Client
	for _, topic := range want {
		all = append(all, k.client(ctx, topic[len("will/"):], func(o *client.Options) {
			o.Reconnect = nil
			o.Will = &mqtt.Will{Topic: topic, Payload: []byte("gone"), QoS: 2}
			switch topic {
			case "will/ends":
				o.KeepSession, o.SessionExpiryInterval = false, 0
			case "will/delayed":
				o.Will.Properties = mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, 1)}
			}
		}))
	}
	k.crash()
	for _, c := range all {
		c.Close()
	}
	k.start()
	has := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Sorted(slices.Values(got))
	}
	for !slices.Equal(has(), want) {
		if ctx.Err() != nil {
			t.Fatalf("wills %q, want %q", has(), want)
		}
		time.Sleep(10 * time.Millisecond)
	}
	k.crash() // they do not come again
	k.start()
	for s.Ping(ctx) != nil {
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !slices.Equal(has(), want) {
		t.Errorf("wills %q, want %q", has(), want)
	}
	s.Close()
	k.stop()
}
