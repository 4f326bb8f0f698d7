package client_test

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
	"mqt/mqtt/transport"
)

// TestIdleClient holds an idle client to one goroutine and 8 KB (with the race
// detector, that is), or where event loops are to 2 KB, over real connections. -v
// shows the figures; those include about 500 bytes of the listener's end of each
// connection.
func TestIdleClient(t *testing.T) {
	t.Run("goroutines", func(t *testing.T) { idle(t, nil, 1, 8<<10) })
	if runtime.GOOS == "linux" {
		t.Run("loops", func(t *testing.T) { idle(t, &transport.Loops{}, 0, 2<<10) })
	}
}

func idle(t *testing.T, loops *transport.Loops, mostGoroutines, mostBytes int) {
	const n = 1000
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	held := make([]net.Conn, 0, n)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		buf := make([]byte, 1024)
		for {
			nc, err := listener.Accept()
			if err != nil {
				return
			}
			held = append(held, nc)
			_, _ = nc.Read(buf)
			_, _ = nc.Write([]byte{0x20, 3, 0, 0, 0})
		}
	}()
	goroutines, before := runtime.NumGoroutine(), memory()
	clients := make([]*client.Client, n)
	for i := range clients {
		clients[i], err = client.Connect(context.Background(), client.Options{
			ClientID: "idle", Transport: transport.Options{Loops: loops},
			Dial: func(context.Context) (net.Conn, error) { return net.Dial("tcp", listener.Addr().String()) },
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	goroutines = runtime.NumGoroutine() - goroutines
	each := (memory() - before) / n
	t.Logf("%d idle clients: %d goroutines and %d bytes of heap and stack each", n, goroutines/n, each)
	if goroutines > mostGoroutines*n+n/100 {
		t.Errorf("%d goroutines for %d clients", goroutines, n)
	}
	if each > mostBytes {
		t.Errorf("%d bytes for a client", each)
	}
	for _, c := range clients {
		end(c)
	}
	listener.Close()
	<-stopped
	for _, nc := range held {
		nc.Close()
	}
}

// memory is what is in use after a collection.
func memory() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// TestManyDeliveries keeps some messages while others pass: they share memory
// and must not change.
func TestManyDeliveries(t *testing.T) {
	c, err := client.Connect(context.Background(), client.Options{Dial: source(1, 100), AutoAck: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { end(c) }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var kept []*client.Delivery
	id := mqtt.PacketID(1)
	for i := range 5000 {
		d, err := c.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if d.PacketID != id {
			t.Fatalf("message %d has identifier %d", i, d.PacketID)
		}
		id++
		d.Payload = append(d.Payload, "more"...) // must not reach the next one
		if i%7 == 0 {
			kept = append(kept, d)
		}
	}
	for i, d := range kept {
		if d.PacketID != mqtt.PacketID(7*i+1) || len(d.Payload) != 104 || d.Payload[0] != 'x' || d.Payload[99] != 'x' || d.Topic != "bench/topic/1" {
			t.Fatalf("kept message %d is %+v", i, d.Message)
		}
	}
}
