package cmd_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"mqt/cmd"
	"mqt/mqtt"
	"mqt/mqtt/client"
)

// roundTrips are the random messages of one run.
const roundTrips = 300

// TestRoundTrip: "mqt sub --json | mqt pub --json" from one server to another loses nothing of a message: topic, bytes,
// QoS, the retain flag, and each property in its order.
func TestRoundTrip(t *testing.T) {
	// The standard lets a Server refuse control characters (1.5.4); ours does not.
	roundTrip(t, brokerInProcess(t), brokerInProcess(t), randomMessages(rand.New(rand.NewPCG(4, 2)), roundTrips, true))
}

// brokerInProcess starts mqt broker here, and returns its URL.
func brokerInProcess(t *testing.T) string {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() {
		ended <- cmd.Main(ctx, []string{"broker", "--listen", "mqtt://127.0.0.1:0", "--ready-file", ready}, cmd.Stdio{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	for deadline := time.Now().Add(scriptTimeout); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if text, err := os.ReadFile(ready); err == nil {
			return strings.TrimSpace(string(text))
		}
	}
	t.Fatal("the broker is not ready")
	return ""
}

// roundTrip publishes the messages at from, pipes them to to, and compares what arrives there. Each has a topic of its
// own, for messages of different QoS overtake each other.
func roundTrip(t *testing.T, from, to string, messages []*mqtt.Message) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	collector := dial(ctx, t, to)
	subs := []mqtt.Subscription{{Filter: "rt/#", QoS: mqtt.QoS2, RetainAsPublished: true}}
	if _, err := collector.Subscribe(ctx, subs, nil); err != nil {
		t.Fatal(err)
	}

	r, w := io.Pipe()
	ready := &watcher{word: "<- SUBACK", seen: make(chan struct{})}
	codes := make(chan string, 2)
	go func() {
		code := cmd.Main(ctx, []string{"sub", "-d", "-L", from, "-t", "rt/#", "-q", "2", "--retain-as-published", "--json", "-C", fmt.Sprint(len(messages)), "-W", "60"},
			cmd.Stdio{In: strings.NewReader(""), Out: w, Err: ready})
		w.Close()
		codes <- fmt.Sprintf("sub ended with %d", code)
	}()
	go func() {
		var errs bytes.Buffer
		code := cmd.Main(ctx, []string{"pub", "--json", "-L", to}, cmd.Stdio{In: r, Out: io.Discard, Err: &errs})
		r.CloseWithError(io.ErrClosedPipe)
		codes <- fmt.Sprintf("pub ended with %d%s", code, errs.String())
	}()
	select {
	case <-ready.seen:
	case <-ctx.Done():
		t.Fatal("sub has not subscribed")
	}
	publisher := dial(ctx, t, from)
	for _, m := range messages {
		if _, err := publisher.Publish(ctx, m); err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
	}

	got := make(map[string]*mqtt.Message)
	for len(got) < len(messages) {
		d, err := collector.Receive(ctx)
		if err != nil {
			t.Fatalf("after %d messages: %v; %v", len(got), err, ends(codes))
		}
		if got[d.Topic] != nil {
			t.Errorf("%q came twice", d.Topic)
		}
		got[d.Topic] = d.Message
		d.Ack()
	}
	for range 2 {
		if end := <-codes; !strings.HasSuffix(end, "with 0") {
			t.Error(end)
		}
	}
	for _, want := range messages {
		if g := got[want.Topic]; g == nil || !alike(g, want) {
			t.Errorf("got  %+v\nwant %+v", g, want)
		}
	}
}

// ends are the commands that have ended.
func ends(codes <-chan string) (all []string) {
	for range len(codes) {
		all = append(all, <-codes)
	}
	return all
}

func dial(ctx context.Context, t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := client.Connect(ctx, client.Options{URL: url, Version: mqtt.V50})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// watcher is a stderr that tells when a word was written.
type watcher struct {
	mu   sync.Mutex // as a file, it is written to from everywhere
	word string
	text []byte
	seen chan struct{}
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := bytes.Contains(w.text, []byte(w.word))
	if w.text = append(w.text, p...); !before && bytes.Contains(w.text, []byte(w.word)) {
		close(w.seen)
	}
	return len(p), nil
}

// alike compares messages. Only User Properties have an order [MQTT-3.1.2.11.8], and the Message Expiry Interval is
// less by the time that the message waited [MQTT-3.3.2-6].
func alike(got, want *mqtt.Message) bool {
	if got.QoS != want.QoS || got.Retain != want.Retain || !bytes.Equal(got.Payload, want.Payload) || len(got.Properties) != len(want.Properties) {
		return false
	}
	g, w := slices.Clone(got.Properties), slices.Clone(want.Properties)
	for _, ps := range []mqtt.Properties{g, w} {
		slices.SortStableFunc(ps, func(a, b mqtt.Property) int { return cmp.Compare(a.ID, b.ID) })
	}
	return slices.EqualFunc(g, w, func(a, b mqtt.Property) bool {
		number := a.Number == b.Number || a.ID == mqtt.MessageExpiryInterval && a.Number <= b.Number && a.Number+60 > b.Number
		return a.ID == b.ID && number && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value)
	})
}

// randomMessages have all that a message can hold.
func randomMessages(r *rand.Rand, n int, controls bool) []*mqtt.Message {
	text := func(most int) string {
		ranges := [][2]rune{{0x20, 0x7e}, {0xa0, 0x24f}, {0x2018, 0x2027}, {0x4e00, 0x4eff}, {0x1f600, 0x1f64f}}
		if controls {
			ranges = append(ranges, [2]rune{0x01, 0x1f}, [2]rune{0x7f, 0x9f}, [2]rune{0x200e, 0x202e}, [2]rune{0xfff0, 0xfffd})
		}
		var b strings.Builder
		for range r.IntN(most + 1) {
			c := ranges[r.IntN(len(ranges))]
			b.WriteRune(c[0] + rune(r.IntN(int(c[1]-c[0])+1)))
		}
		return b.String()
	}
	name := strings.NewReplacer("+", "p", "#", "h")
	var all []*mqtt.Message
	for i := range n {
		m := &mqtt.Message{Topic: fmt.Sprintf("rt/%d/%s", i, name.Replace(text(12))), QoS: mqtt.QoS(r.IntN(3)), Retain: r.IntN(2) == 0, Payload: randomPayload(r, text)}
		var ps mqtt.Properties
		if r.IntN(2) == 0 && utf8.Valid(m.Payload) {
			ps = append(ps, mqtt.Num(mqtt.PayloadFormatIndicator, uint32(r.IntN(2))))
		}
		if r.IntN(2) == 0 {
			ps = append(ps, mqtt.Num(mqtt.MessageExpiryInterval, 1000+r.Uint32N(1<<31)))
		}
		if r.IntN(2) == 0 {
			ps = append(ps, mqtt.Str(mqtt.ContentType, text(20)))
		}
		if r.IntN(2) == 0 {
			ps = append(ps, mqtt.Str(mqtt.ResponseTopic, "answer/"+name.Replace(text(10))))
		}
		if r.IntN(2) == 0 {
			ps = append(ps, mqtt.Bin(mqtt.CorrelationData, randomPayload(r, text)))
		}
		for range r.IntN(5) {
			ps = append(ps, mqtt.User([]string{"k", "", text(8)}[r.IntN(3)], text(20)))
		}
		r.Shuffle(len(ps), func(a, b int) { ps[a], ps[b] = ps[b], ps[a] })
		m.Properties = ps
		all = append(all, m)
	}
	return all
}

// randomPayload is bytes, text, JSON, or nothing.
func randomPayload(r *rand.Rand, text func(int) string) []byte {
	switch r.IntN(5) {
	case 0:
		return nil
	case 1:
		return []byte(text(200))
	case 2:
		return []byte([]string{`{"a": [1.50, null]}`, ` "x" `, "null", "7", `"\ud800"`, "{", "true\n"}[r.IntN(7)])
	}
	b := make([]byte, r.IntN(500))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
