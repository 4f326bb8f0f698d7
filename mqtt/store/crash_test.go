package store_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/store"
	"mqt/mqtt/store/storetest"
)

// childEnv makes the test binary the process that is killed.
const childEnv = "MQT_STORE_CHILD"

const writers = 8

// child appends to its queues, takes from them, and says what is durable, until
// it is killed. Session 1 to writers are its own; of the first half nothing is
// taken and every message comes with a Packet Identifier.
func child(dir string) {
	d, err := store.OpenDisk(dir, store.Options{})
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	next := map[store.SessionID]store.Position{}
	for x, err := range d.Sessions() {
		if err != nil {
			fmt.Println("load:", err)
			os.Exit(1)
		}
		next[x.ID] = x.Next
	}
	var out sync.Mutex
	say := func(sign string, id store.SessionID, at store.Position) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(sign, id, at)
	}
	for id := store.SessionID(1); id <= writers; id++ {
		go write(d, id, next[id], say)
	}
	select {}
}

func write(d *store.Disk, id store.SessionID, at store.Position, say func(string, store.SessionID, store.Position)) {
	if at == 0 {
		d.NewSession()
		at = d.First()
		_ = storetest.Write(d, func(b *store.Batch) { b.PutSession(id, &store.Session{ClientID: fmt.Sprint("c", id)}) })
	}
	for ; ; at++ {
		err := storetest.Write(d, func(b *store.Batch) {
			b.Enqueue(id, at, store.Delivery{Message: payloadFor(id, at), QoS: 2})
			if id <= writers/2 {
				b.Receive(id, at.PacketID())
			}
		})
		if err != nil {
			fmt.Println("write:", err)
			os.Exit(1)
		}
		say("+", id, at)
		if id > writers/2 && at%2 == 0 {
			say("?", id, at)
			if storetest.Write(d, func(b *store.Batch) { b.Done(id, at) }) == nil {
				say("-", id, at)
			}
		}
	}
}

func payloadFor(id store.SessionID, at store.Position) *store.Message {
	return &store.Message{Topic: "t", Payload: bytes.Repeat(fmt.Appendf(nil, "%d/%d ", id, at), 20), QoS: 1}
}

type place struct {
	id store.SessionID
	at store.Position
}

// TestKill kills the process 50 times while it writes. What it said was durable
// is there, what it said was gone is gone, and what belongs together came
// together.
func TestKill(t *testing.T) {
	kills := 50
	if testing.Short() {
		kills = 5
	}
	dir := t.TempDir()
	there, gone := map[place]bool{}, map[place]bool{}
	for range kills {
		run(t, dir, there, gone)
		if t.Failed() {
			return
		}
	}
	s := checkSound(t, dir)
	t.Logf("%d kills, %d durable messages, %d taken; %d in the store", kills, len(there), len(gone), s.Queued)
}

// run is one life and death.
func run(t *testing.T, dir string, there, gone map[place]bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	first := true
	for lines.Scan() {
		if first {
			first = false
			time.AfterFunc(time.Duration(rand.IntN(40))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		}
		var sign string
		var p place
		if _, err := fmt.Sscan(lines.Text(), &sign, &p.id, &p.at); err != nil {
			if len(sign) > 1 {
				t.Errorf("the process says %q", lines.Text())
			}
			continue // cut off
		}
		switch sign {
		case "+":
			there[p] = true
		case "?":
			delete(there, p)
		case "-":
			gone[p] = true
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	verify(t, dir, there, gone)
}

func verify(t *testing.T, dir string, there, gone map[place]bool) {
	t.Helper()
	d := openDisk(t, dir, store.Options{})
	have := map[place]bool{}
	for x, err := range d.Sessions() {
		if err != nil {
			t.Fatal(err)
		}
		q, err := d.ReadQueue(x.ID, 0, 1<<20, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		var ids []mqtt.PacketID
		for _, m := range q {
			have[place{x.ID, m.Position}] = true
			ids = append(ids, m.Position.PacketID())
			if !bytes.Equal(m.Payload, payloadFor(x.ID, m.Position).Payload) {
				t.Errorf("session %d, %d: %.20q", x.ID, m.Position, m.Payload)
			}
		}
		slices.Sort(ids)
		if slices.Sort(x.Received); x.ID <= writers/2 && !slices.Equal(ids, x.Received) {
			t.Errorf("session %d: %d messages with %d packet identifiers", x.ID, len(ids), len(x.Received))
		}
	}
	for p := range there {
		if !have[p] {
			t.Errorf("session %d, %d was durable and is lost", p.id, p.at)
		}
	}
	for p := range gone {
		if have[p] {
			t.Errorf("session %d, %d was gone and is back", p.id, p.at)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}
