package flow

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mqt/mqtt"
)

// scripts runs the tables of testdata: call is given the words before "=".
func scripts(t *testing.T, file string, begin func() func(words []string) string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, text2, _ := strings.Cut(string(text), "\n== ")
	for script := range strings.SplitSeq(text2, "\n== ") {
		name, lines, _ := strings.Cut(script, "\n")
		t.Run(name, func(t *testing.T) {
			call := begin()
			for line := range strings.SplitSeq(strings.TrimSpace(lines), "\n") {
				words, want, _ := strings.Cut(line, "=")
				if got := call(strings.Fields(words)); got != strings.TrimSpace(want) {
					t.Fatalf("%s: got %q", line, got)
				}
			}
		})
	}
}

func number(word string) uint16 {
	n, err := strconv.ParseUint(word, 0, 16)
	if err != nil {
		panic(err)
	}
	return uint16(n)
}

func (s State) String() string {
	return [...]string{"none", "q1", "q2", "rel", "sub", "unsub"}[s]
}

func states(name string) State {
	for _, s := range []State{PublishQoS1, PublishQoS2, PubrelSent, SubscribeSent, UnsubscribeSent} {
		if s.String() == name {
			return s
		}
	}
	panic(name)
}

func or(ok bool, yes any, no string) string {
	if ok {
		return fmt.Sprint(yes)
	}
	return no
}

func TestSender(t *testing.T) {
	scripts(t, "testdata/sender.txt", func() func([]string) string {
		s := new(Sender[string])
		return func(w []string) string { return callSender(s, w) }
	})
}

func callSender(s *Sender[string], w []string) string {
	ack := func(m string, ok bool) string { return or(ok, m, "unknown") }
	given := func(id mqtt.PacketID, ok bool) string { return or(ok, id, "refused") }
	id := func() mqtt.PacketID { return mqtt.PacketID(number(w[1])) }
	switch w[0] {
	case "reset":
		s.Reset(number(w[1]))
		return ""
	case "drop":
		s.DropReserved()
		return ""
	case "publish":
		return given(s.Publish(mqtt.QoS(number(w[1])), w[2]))
	case "reserve":
		return given(s.Reserve(states(w[1]), w[2]))
	case "restore":
		return or(s.Restore(id(), states(w[2]), w[3]), "ok", "refused")
	case "puback":
		return ack(s.Puback(id()))
	case "pubcomp":
		return ack(s.Pubcomp(id()))
	case "suback":
		return ack(s.Release(SubscribeSent, id()))
	case "unsuback":
		return ack(s.Release(UnsubscribeSent, id()))
	case "pubrec":
		m, release, ok := s.Pubrec(id(), mqtt.ReasonCode(number(w[2])))
		return or(ok, m+or(release, " release", " end"), "unknown")
	case "resend":
		again, e, ok := s.Resend()
		packet := or(e.State == PubrelSent, "pubrel", "publish")
		return or(ok, fmt.Sprint(packet, " ", again, " ", e.Value), "none")
	case "get":
		e, ok := s.Get(id())
		return or(ok, fmt.Sprint(e.State, " ", e.Value), "none")
	case "all":
		var all []string
		for id, e := range s.All() {
			all = append(all, fmt.Sprintf("%d:%s:%s", id, e.State, e.Value))
		}
		return strings.Join(all, " ")
	case "quota":
		return fmt.Sprint(s.Quota())
	case "pending":
		return fmt.Sprint(s.Pending())
	case "len":
		return fmt.Sprint(s.Len())
	}
	return "no such call"
}

func TestReceiver(t *testing.T) {
	scripts(t, "testdata/receiver.txt", func() func([]string) string {
		r := new(Receiver)
		return func(w []string) string { return callReceiver(r, w) }
	})
}

func callReceiver(r *Receiver, w []string) string {
	id := func() mqtt.PacketID { return mqtt.PacketID(number(w[1])) }
	switch w[0] {
	case "reset":
		r.Reset(number(w[1]))
	case "restore":
		r.Restore(id())
	case "puback":
		r.Puback()
	case "pubrec":
		r.Pubrec(id(), mqtt.ReasonCode(number(w[2])))
	case "pubcomp":
		r.Pubcomp()
	case "publish":
		duplicate, err := r.Publish(id(), mqtt.QoS(number(w[2])))
		if e, ok := errors.AsType[*mqtt.Error](err); ok && e.Code == mqtt.ReceiveMaximumExceeded {
			return "exceeded"
		}
		return or(err == nil, or(duplicate, "duplicate", "new"), "other error")
	case "pubrel":
		return or(r.Pubrel(id()), "known", "unknown")
	case "quota":
		return fmt.Sprint(r.Quota())
	case "len":
		return fmt.Sprint(r.Len())
	case "ids":
		all := make([]string, 0, r.Len())
		for _, id := range slices.Sorted(r.IDs()) {
			all = append(all, fmt.Sprint(id))
		}
		return strings.Join(all, " ")
	default:
		return "no such call"
	}
	return ""
}
