package client_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// OnReceived is told each PUBREC that is not a failure, before the end.
func TestOnReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		told := make(chan string, 10)
		c, p := connected(f, client.Options{OnReceived: func(token uint64) { told <- fmt.Sprint("received ", token) }})
		defer end(c)
		var b client.Batch
		for token, name := range []string{"a", "b", "c"} {
			m := &mqtt.Message{Topic: "t", Payload: []byte(name), QoS: 2}
			if token == 2 {
				m.QoS = 1
			}
			if err := b.Publish(c, m, uint64(token+7), func(token uint64, code mqtt.ReasonCode, err error) {
				told <- fmt.Sprint("end ", token, " ", code, " ", err != nil)
			}); err != nil {
				t.Fatal(err)
			}
		}
		b.Flush()
		ida, idb, idc := p.expect("a", false), p.expect("b", false), p.expect("c", false)
		p.send(&mqtt.Pubrec{Ack: ack(ida, mqtt.NoMatchingSubscribers)}, &mqtt.Pubrec{Ack: ack(idb, mqtt.QuotaExceeded)}, &mqtt.Puback{Ack: ack(idc, 0)})
		next[*mqtt.Pubrel](p)
		p.send(&mqtt.Pubrec{Ack: ack(ida, 0)}) // a repeated one is told again
		next[*mqtt.Pubrel](p)
		p.send(&mqtt.Pubcomp{Ack: ack(ida, 0)}, &mqtt.Pubrec{Ack: ack(ida, 0)})
		next[*mqtt.Pubrel](p)
		want := []string{"received 7", fmt.Sprintf("end 8 %v true", mqtt.QuotaExceeded), "end 9 " + mqtt.Success.String() + " false",
			"received 7", "end 7 " + mqtt.Success.String() + " false"}
		for _, w := range want {
			if got := <-told; got != w {
				t.Errorf("told %q, want %q", got, w)
			}
		}
		synctest.Wait()
		if len(told) > 0 {
			t.Errorf("and then %q", <-told)
		}
	})
}
