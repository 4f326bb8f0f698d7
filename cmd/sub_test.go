package cmd

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"mqt/format"
	"mqt/mqtt"
)

func TestSaveEscape(t *testing.T) {
	for topic, want := range map[string]string{
		"home/kitchen/temp":   "home+kitchen+temp",
		"../../etc/passwd":    "..+..+etc+passwd",
		"/":                   "+",
		"a.":                  "a%2E",
		"a b%":                "a%20b%25",
		"größe/日本":            "größe+日本",
		"x\xff\x00\x1b\u202e": "x%FF%00%1B%E2%80%AE",
		"\ufffd":              "%EF%BF%BD",
		"\xef":                "%EF",
		`C:\x|y<z>"?*~`:       "C%3A%5Cx%7Cy%3Cz%3E%22%3F%2A%7E",
	} {
		if got := saveEscape(topic); got != want {
			t.Errorf("%q: %q, want %q", topic, got, want)
		}
	}
	long := strings.Repeat("ä", 30000)
	if a, b := saveEscape(long+"1"), saveEscape(long+"2"); a == b || len(a) > saveTopic || !utf8.ValidString(a) {
		t.Errorf("long topics: %q %q", a, b)
	}
}

// FuzzSaveName holds names to one harmless element of a path.
func FuzzSaveName(f *testing.F) {
	for _, s := range []string{"a/b", "..", "\x00", "con", strings.Repeat("💧", 100), "\xf0\x9f"} {
		f.Add(s, uint64(1))
	}
	f.Fuzz(func(t *testing.T, topic string, seq uint64) {
		m := &format.Received{Message: &mqtt.Message{Topic: topic}, At: time.Unix(1e9, 0)}
		name := saveName(m, seq)
		if !filepath.IsLocal(name) || strings.ContainsAny(name, "/\\\x00:*?\"<>| ") || len(name)+len(".json") > 255 || !utf8.ValidString(name) ||
			name[0] != '2' || strings.HasSuffix(name, ".") {
			t.Errorf("%q: %q", topic, name)
		}
	})
}

func TestTopicSet(t *testing.T) {
	s := newTopicSet()
	s.most = 2
	for _, tt := range []struct {
		topic string
		first bool
		full  bool
	}{{"a", true, false}, {"a", false, false}, {"b", true, false}, {"c", false, true}, {"a", false, false}} {
		if first, err := s.add(tt.topic); first != tt.first || (err != nil) != tt.full {
			t.Errorf("%s: %v, %v", tt.topic, first, err)
		}
	}
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := silence{start: time.Now()}
		s.begin()
		began := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- s.wait(t.Context(), 10*time.Second) }()
		time.Sleep(9 * time.Second)
		s.end() // a message, which takes long
		time.Sleep(30 * time.Second)
		s.begin()
		if err := <-ended; !errors.Is(err, errIdle) {
			t.Error(err)
		}
		if got := time.Since(began); got < 49*time.Second || got > 50*time.Second {
			t.Errorf("ended after %v, want 49 s", got)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errDone)
		if err := s.wait(ctx, time.Hour); !errors.Is(err, errDone) {
			t.Error(err)
		}
	})
}

func TestExecEnviron(t *testing.T) {
	m := &format.Received{Message: &mqtt.Message{Topic: "t=1\n", QoS: 2, Retain: true, Properties: mqtt.Properties{
		mqtt.Num(mqtt.MessageExpiryInterval, 5), mqtt.Bin(mqtt.CorrelationData, []byte("a\x00b")), mqtt.User("LD_PRELOAD", "/evil"),
		mqtt.User("ä b", "() { :; }; evil"), mqtt.User("a-b", "1"), mqtt.User("A.B", "2")}}, PacketID: 7, Dup: true, SubscriptionIdentifiers: []uint32{3, 4}}
	got := execEnviron([]string{"PATH=/bin", "MQTT_URL=u", "MQTT_CONTENT_TYPE=old", "MQTT_USER_PROPERTY_OLD=old"}, m)
	want := []string{"PATH=/bin", "MQTT_URL=u", "MQTT_TOPIC=t=1\n", "MQTT_QOS=2", "MQTT_RETAIN=1", "MQTT_DUP=1", "MQTT_MESSAGE_ID=7",
		"MQTT_SUBSCRIPTION_IDENTIFIER=3 4", "MQTT_MESSAGE_EXPIRY_INTERVAL=5", "MQTT_CORRELATION_DATA_BASE64=YQBi", "MQTT_USER_PROPERTY_LD_PRELOAD=/evil",
		"MQTT_USER_PROPERTY___B=() { :; }; evil", "MQTT_USER_PROPERTY_A_B=1",
		`MQTT_USER_PROPERTIES=[{"LD_PRELOAD":"/evil"},{"ä b":"() { :; }; evil"},{"a-b":"1"},{"A.B":"2"}]`}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestScreen(t *testing.T) {
	s := newScreen(&bytes.Buffer{})
	s.lines = 3
	var out []byte
	for _, topic := range []string{"a", "b", "a", "c", "c"} {
		out = append(out, s.place(topic, []byte(topic+"\n"))...)
	}
	for _, want := range []string{"\x1b[2J\x1b[1;1H\x1b[K\x1b[?7la\x1b[?7h\x1b[2;1H", "\x1b[2;1H\x1b[K\x1b[?7lb\x1b[?7h\x1b[3;1H", "\x1b[3;1H\x1b[Kand 2 messages of other topics"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("%q lacks %q", out, want)
		}
	}
}
