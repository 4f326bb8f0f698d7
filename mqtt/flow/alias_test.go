package flow

import (
	"errors"
	"fmt"
	"testing"

	"mqt/mqtt"
)

func TestAliasIn(t *testing.T) {
	type step struct {
		alias     uint16
		topic     string
		want      string
		code      mqtt.ReasonCode
		statement string
	}
	tests := []struct {
		name    string
		maximum uint16
		steps   []step
	}{
		{"none accepted", 0, []step{{1, "a", "", mqtt.TopicAliasInvalid, "MQTT-3.3.2-9"}}},
		{"zero", 5, []step{{0, "a", "", mqtt.TopicAliasInvalid, "MQTT-3.3.2-8"}}},
		{"the largest", 5, []step{{alias: 5, topic: "a", want: "a"}, {alias: 5, want: "a"}}},
		{"beyond the largest", 5, []step{{6, "a", "", mqtt.TopicAliasInvalid, "MQTT-3.3.2-9"}}},
		{"65,535", 65535, []step{{alias: 65535, topic: "a", want: "a"}, {alias: 65535, want: "a"}}},
		{"unknown", 5, []step{{alias: 1, topic: "a", want: "a"}, {2, "", "", mqtt.ProtocolError, "3.3.2.3.4"}}},
		{"changed", 5, []step{
			{alias: 1, topic: "a", want: "a"}, {alias: 1, want: "a"}, {alias: 1, topic: "b", want: "b"}, {alias: 1, want: "b"},
		}},
		{"two for one topic", 5, []step{
			{alias: 1, topic: "a", want: "a"}, {alias: 2, topic: "a", want: "a"}, {alias: 1, topic: "b", want: "b"},
			{alias: 2, want: "a"},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var a AliasIn
			a.Reset(test.maximum)
			for _, s := range test.steps {
				got, err := a.Resolve(s.alias, []byte(s.topic))
				e, failed := errors.AsType[*mqtt.Error](err)
				if got != s.want || failed != (s.code != 0) || failed && (e.Code != s.code || e.Statement != s.statement) {
					t.Fatalf("Resolve(%d, %q): %q, %v", s.alias, s.topic, got, err)
				}
			}
		})
	}
}

// The topic is kept, not the buffer in which it came; a new Network Connection
// knows nothing [MQTT-3.3.2-7].
func TestAliasInKeepsACopy(t *testing.T) {
	var a AliasIn
	a.Reset(1)
	buf := []byte("a/b")
	if _, err := a.Resolve(1, buf); err != nil {
		t.Fatal(err)
	}
	copy(buf, "xxx")
	if got, err := a.Resolve(1, nil); got != "a/b" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	a.Reset(1)
	if got, err := a.Resolve(1, nil); err == nil {
		t.Fatalf("carried forward: %q", got)
	}
}

func TestAliasOut(t *testing.T) {
	type step struct {
		topic string
		alias uint16
		known bool
	}
	tests := []struct {
		name    string
		maximum uint16
		steps   []step
	}{
		{"none allowed", 0, []step{{"a", 0, false}, {"a", 0, false}}},
		{"an empty topic", 2, []step{{"", 0, false}}},
		{"as they come", 3, []step{{"a", 1, false}, {"b", 2, false}, {"a", 1, true}, {"c", 3, false}, {"b", 2, true}}},
		{"the unused one goes", 2, []step{
			{"a", 1, false}, {"b", 2, false}, {"b", 2, true}, {"c", 1, false}, {"c", 1, true}, {"b", 2, true},
		}},
		{"a used one stays at first", 1, []step{
			{"a", 1, false}, {"a", 1, true}, {"b", 0, false}, {"b", 1, false}, {"a", 1, false},
		}},
		{"a run over many does not drive out the used", 2, []step{
			{"a", 1, false}, {"x", 2, false}, {"a", 1, true}, {"y", 0, false}, {"a", 1, true}, {"z", 2, false},
			{"a", 1, true}, {"v", 0, false}, {"a", 1, true}, {"w", 2, false}, {"a", 1, true},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var a AliasOut
			a.Reset(test.maximum)
			for i, s := range test.steps {
				if alias, known := a.Assign(s.topic); alias != s.alias || known != s.known {
					t.Fatalf("step %d, %q: %d %v, want %d %v", i, s.topic, alias, known, s.alias, s.known)
				}
			}
			a.Reset(test.maximum)
			if _, known := a.Assign(test.steps[0].topic); known {
				t.Fatal("carried forward")
			}
		})
	}
}

// What AliasOut sends, AliasIn understands, also where some PUBLISH packets are
// not sent and taken back.
func FuzzAlias(f *testing.F) {
	f.Add(uint16(1), randomTape(1, 200))
	f.Add(uint16(3), randomTape(2, 400))
	f.Add(uint16(65535), randomTape(3, 400))
	f.Add(uint16(0), randomTape(4, 40))
	f.Fuzz(func(t *testing.T, maximum uint16, data []byte) {
		var out AliasOut
		var in AliasIn
		out.Reset(maximum)
		in.Reset(maximum)
		for _, b := range data {
			topic := fmt.Sprint("t/", b%13)
			alias, known := out.Assign(topic)
			switch {
			case alias > maximum:
				t.Fatalf("alias %d of %d", alias, maximum)
			case alias == 0:
				if known {
					t.Fatal("alias 0 is known")
				}
				continue
			case !known && b >= 200:
				out.Forget(alias)
				continue
			}
			var wire []byte
			if !known {
				wire = []byte(topic)
			}
			if got, err := in.Resolve(alias, wire); got != topic || err != nil {
				t.Fatalf("%q by alias %d, known %v: %q, %v", topic, alias, known, got, err)
			}
		}
		if n := len(out.topics()); n > int(maximum) || out.maximum == 0 && n > 0 {
			t.Fatalf("%d topics remembered of %d", n, maximum)
		}
	})
}

func (a *AliasOut) topics() map[string]uint16 {
	if a.given == nil {
		return nil
	}
	return a.given.byTopic
}

func TestAliasForgetAnything(t *testing.T) {
	var a AliasOut
	a.Forget(1)
	a.Reset(2)
	a.Forget(1)
	a.Assign("a")
	a.Forget(0)
	a.Forget(2)
	if alias, known := a.Assign("a"); alias != 1 || !known {
		t.Fatal("forgot the wrong one")
	}
	a.Forget(1)
	a.Forget(1)
	if _, known := a.Assign("a"); known {
		t.Fatal("not forgotten")
	}
}
