package cmd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"mqt/mqtt"
)

// The memory of messages under way is bounded, and so is the number at QoS 2 for servers that cannot say it.
func TestPublisherWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(&pubOptions{repeat: 1}, &Stdio{}, &source{})
		p.twos = 2
		begin := func(qos mqtt.QoS, size int) uint64 {
			token, err := p.begin(t.Context(), &mqtt.Message{QoS: qos, Payload: make([]byte, size)}, 1)
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		blocked := func(qos mqtt.QoS, size int) (token uint64, done chan struct{}) {
			done = make(chan struct{})
			go func() {
				defer close(done)
				token = begin(qos, size)
			}()
			synctest.Wait()
			select {
			case <-done:
				t.Fatal("there was room")
			default:
			}
			return token, done
		}
		large := begin(mqtt.QoS1, maxUnder+1) // one always may
		_, done := blocked(mqtt.QoS1, 1)
		p.ended(large, 0, nil)
		<-done
		begin(mqtt.QoS2, 1)
		two := begin(mqtt.QoS2, 1)
		_, done = blocked(mqtt.QoS2, 1)
		begin(mqtt.QoS1, maxUnder-3)
		p.ended(two, 0, nil)
		<-done
		_, done = blocked(mqtt.QoS1, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.begin(ctx, &mqtt.Message{QoS: mqtt.QoS1, Payload: []byte("x")}, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		p.ended(0, 0, nil)
		<-done
		begin(mqtt.QoS0, 1<<30) // is not held
		if n := len(p.tickets) - len(p.free); n != 4 {
			t.Errorf("%d under way", n)
		}
	})
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
		if err := p.readRate("3"); err != nil {
			t.Fatal(err)
		}
		begin, flushed := time.Now(), 0
		send := func(n int) {
			for range n {
				if err := p.wait(t.Context(), func() { flushed++ }); err != nil {
					t.Fatal(err)
				}
			}
		}
		at := func(want time.Duration) {
			t.Helper()
			if got := time.Since(begin); got < want-time.Microsecond || got > want+time.Microsecond {
				t.Fatalf("at %v, want %v", got, want)
			}
		}
		send(301) // a third of a second has no end, and a hundred of them have
		at(100 * time.Second)
		if flushed != 300 {
			t.Errorf("%d flushes", flushed)
		}
		time.Sleep(time.Second) // a stall is made up for
		send(3)
		at(101 * time.Second)
		time.Sleep(10 * time.Second) // a long one is not
		send(1)
		at(111 * time.Second)
		send(3)
		at(112 * time.Second)
		time.Sleep(800 * time.Millisecond) // nor is a time without anything to send
		p.idle()
		send(1)
		at(112800 * time.Millisecond)
		send(3)
		at(113800 * time.Millisecond)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.wait(ctx, func() {}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestReadRate(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1": time.Second, "4/s": time.Second / 4, "30/m": 2 * time.Second, "0.5/h": 2 * time.Hour, "1e6": time.Microsecond,
		"": 0, "0": 0, "-1": 0, "x": 0, "1/d": 0, "/s": 0, "NaN": 0, "Inf": 0, "1e99": 0,
	} {
		var p pace
		if err := p.readRate(text); p.every != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %v, %v, want %v", text, p.every, err, want)
		}
	}
}

func TestZeroes(t *testing.T) {
	var z zeroes
	send := func() { z.handed(z.begin(), true) }
	send()
	breaks, sent := z.mark()
	send()
	z.confirm(breaks, sent)
	if z.open() != 1 {
		t.Fatalf("%+v", z)
	}
	z.begin() // this one is not confirmed by a PINGREQ from before
	if _, sent := z.mark(); sent != 2 {
		t.Fatalf("%+v", z)
	}
	breaks, sent = z.mark()
	if n := z.broke(); n != 2 || z.open() != 0 || z.risk != 2 {
		t.Fatalf("%d, %+v", n, z)
	}
	z.handed(0, false) // it was not sent at all
	z.confirm(breaks, sent)
	if z.risk != 1 || z.confirmed != 0 {
		t.Fatalf("%+v", z)
	}
	at := z.begin()
	z.handed(at, false)
	if z.open() != 0 {
		t.Fatalf("%+v", z)
	}
}

func TestTopicFrom(t *testing.T) {
	tests := []struct{ from, record, topic, payload, fault string }{
		{"space", "a/b hello world", "a/b", "hello world", ""},
		{"space", "a ", "a", "", ""},
		{"space", "a\tb", "", "", "no space"},
		{"tab", "a b\tc\td", "a b", "c\td", ""},
		{`\t`, "a\tb", "a", "b", ""},
		{"tab", "a", "", "", "no tab"},
		{" => ", "a => b => c", "a", "b => c", ""},
		{",", "a", "", "", `no "," behind`},
		{"json:.t", `{"t":"a","x":1}`, "a", `{"t":"a","x":1}`, ""},
		{"json:.t", `{"t":"\u00e9\n"}`, "é\n", `{"t":"\u00e9\n"}`, ""},
		{"json:.a.b[1].c", `{"a":{"b":[0,{"c":-1.5e3}]}}`, "-1.5e3", `{"a":{"b":[0,{"c":-1.5e3}]}}`, ""},
		{"json:[0]", `["a"]`, "a", `["a"]`, ""},
		{`json:."a.b"[0]`, `{"a.b":["c"]}`, "c", `{"a.b":["c"]}`, ""},
		{"json:.t", `{"t":null}`, "", "", ".t is no text"},
		{"json:.t", `{"t":true}`, "", "", ".t is no text"},
		{"json:.t", `{}`, "", "", "there is no .t"},
		{"json:.t", `7`, "", "", "there is no .t"},
		{"json:[1]", `["a"]`, "", "", "there is no [1]"},
		{"json:[1]", `{}`, "", "", "there is no [1]"},
		{"json:.t", `{"t":"a"`, "", "", "not JSON"},
		{"json:.t", ``, "", "", "not JSON"},
	}
	for _, test := range tests {
		from, err := readTopicFrom(test.from)
		if err != nil {
			t.Errorf("%s: %v", test.from, err)
			continue
		}
		topic, payload, err := from([]byte(test.record))
		switch {
		case test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)):
			t.Errorf("%s in %s: %v, want %s", test.from, test.record, err, test.fault)
		case test.fault == "" && (err != nil || topic != test.topic || string(payload) != test.payload):
			t.Errorf("%s in %s: %q, %q, %v", test.from, test.record, topic, payload, err)
		}
	}
	for _, from := range []string{"", "json:", "json:a", "json:.", "json:..a", "json:.a.", "json:[x]", "json:[-1]", "json:[1", `json:."a`} {
		if _, err := readTopicFrom(from); err == nil {
			t.Errorf("%q: no error", from)
		}
	}
}

// Whatever the sizes in which input comes, its records are those between its delimiters, and nobody changes them later.
func TestRead(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		var input []byte
		var want [][]byte
		for range rng.IntN(40) {
			size := rng.IntN(100)
			if rng.IntN(10) == 0 {
				size = rng.IntN(5 * chunk)
			}
			record := bytes.Repeat([]byte{byte('a' + rng.IntN(26))}, size)
			want = append(want, record)
			input = append(append(input, record...), '\n')
		}
		if len(want) > 0 && round%2 == 0 { // the last delimiter may be missing
			input = input[:len(input)-1]
			if last := len(want) - 1; len(want[last]) == 0 {
				want = want[:last]
			}
		}
		var in io.Reader = bytes.NewReader(input)
		switch round % 4 {
		case 1:
			in = iotest.HalfReader(in)
		case 2:
			in = iotest.DataErrReader(in)
		case 3:
			if len(input) < 2000 {
				in = iotest.OneByteReader(in)
			}
		}
		s := &source{in: in, delim: '\n'}
		out := make(chan records)
		go s.read(out, nil)
		var got [][]byte
		for err := error(nil); err == nil; {
			r := <-out
			got, err = append(got, r.list...), r.err
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
		}
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("round %d: %d records, want %d", round, len(got), len(want))
		}
	}
}
