package client_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// loop is a net.Conn that plays the Server in memory: what is to be read comes
// from a function, what is written goes to another.
type loop struct {
	read  func(p []byte) (int, error)
	write func(p []byte) (int, error)
	done  chan struct{}
	kick  chan struct{} // a read deadline that has passed
	once  sync.Once
}

func newLoop() *loop { return &loop{done: make(chan struct{}), kick: make(chan struct{}, 1)} }

func (l *loop) Read(p []byte) (int, error)         { return l.read(p) }
func (l *loop) Write(p []byte) (int, error)        { return l.write(p) }
func (l *loop) Close() error                       { l.once.Do(func() { close(l.done) }); return nil }
func (l *loop) LocalAddr() net.Addr                { return &net.TCPAddr{} }
func (l *loop) RemoteAddr() net.Addr               { return &net.TCPAddr{} }
func (l *loop) SetDeadline(t time.Time) error      { return l.SetReadDeadline(t) }
func (l *loop) SetWriteDeadline(t time.Time) error { return nil }

func (l *loop) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && t.Before(time.Now()) {
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
	return nil
}

// take waits for ch as a Read would.
func take[T any](l *loop, ch <-chan T) (v T, err error) {
	select {
	case v = <-ch:
	case <-l.done:
		err = io.EOF
	case <-l.kick:
		err = os.ErrDeadlineExceeded
	}
	return v, err
}

// sink takes everything and acknowledges QoS 1.
func sink(context.Context) (net.Conn, error) {
	l := newLoop()
	answers := make(chan []byte, 1024)
	answers <- []byte{0x20, 3, 0, 0, 0}
	var rest, pending []byte
	l.read = func(p []byte) (int, error) {
		if len(pending) == 0 {
			var err error
			if pending, err = take(l, answers); err != nil {
				return 0, err
			}
		}
		n := copy(p, pending)
		pending = pending[n:]
		return n, nil
	}
	r := mqtt.Reader{Version: mqtt.V50}
	l.write = func(p []byte) (int, error) {
		rest = append(rest, p...)
		at := 0
		var acks []byte
		for {
			h, ok, err := mqtt.ParseHeader(rest[at:], mqtt.V50)
			if err != nil || !ok || len(rest)-at < h.Size+h.Length {
				break
			}
			if h.Type == mqtt.TypePublish && h.Flags&6 != 0 {
				pkt, _, _ := r.Read(rest[at:])
				acks = mqtt.AppendAck(acks, mqtt.TypePuback, pkt.(*mqtt.Publish).PacketID, 0, mqtt.V50)
			}
			at += h.Size + h.Length
		}
		rest = append(rest[:0], rest[at:]...)
		if acks != nil {
			answers <- acks
		}
		return len(p), nil
	}
	return l, nil
}

func benchClient(b *testing.B, o client.Options) *client.Client {
	b.Helper()
	o.NoKeepAlive = true
	c, err := client.Connect(context.Background(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { end(c) })
	return c
}

// BenchmarkPublish is what one message costs its sender, 64 at a time, without
// the socket.
func BenchmarkPublish(b *testing.B) {
	for _, qos := range []mqtt.QoS{0, 1} {
		b.Run("q"+string('0'+rune(qos)), func(b *testing.B) {
			c := benchClient(b, client.Options{Dial: sink, InFlight: 1000})
			m := &mqtt.Message{Topic: "bench/topic/1", QoS: qos, Payload: bytes.Repeat([]byte("x"), 64)}
			var batch client.Batch
			done := func(uint64, mqtt.ReasonCode, error) {}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				for batch.Publish(c, m, uint64(i), done) != nil {
					batch.Flush()
					if err := c.WaitWindow(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
				if i%64 == 63 {
					batch.Flush()
				}
			}
		})
	}
}

// source is a Server that sends the same messages without end.
func source(qos mqtt.QoS, payload int) func(context.Context) (net.Conn, error) {
	p := mqtt.Publish{Topic: []byte("bench/topic/1"), QoS: qos, Payload: bytes.Repeat([]byte("x"), payload)}
	id := mqtt.PacketID(0)
	return func(context.Context) (net.Conn, error) {
		l := newLoop()
		pending := []byte{0x20, 3, 0, 0, 0}
		var frames []byte
		room := make(chan int, 1<<16) // acknowledgements
		credit := 1000
		l.read = func(b []byte) (int, error) {
			for len(pending) == 0 {
				select {
				case <-l.done:
					return 0, io.EOF
				default:
				}
				for range 400 {
					if qos > 0 {
						for credit == 0 {
							n, err := take(l, room)
							if err != nil {
								return 0, err
							}
							credit += n
						}
						credit--
					}
					if id++; id == 0 {
						id++
					}
					p.PacketID = id
					frames, _ = p.Append(frames, mqtt.V50)
					pending = frames
					if qos > 0 && credit == 0 {
						break
					}
				}
			}
			n := copy(b, pending)
			if pending = pending[n:]; len(pending) == 0 {
				frames = frames[:0]
			}
			return n, nil
		}
		l.write = func(b []byte) (int, error) {
			if qos > 0 && b[0] == 0x40 {
				room <- len(b) / 4
			}
			return len(b), nil
		}
		return l, nil
	}
}

// BenchmarkReceive is what one message of 64 bytes costs its receiver.
func BenchmarkReceive(b *testing.B) {
	for _, qos := range []mqtt.QoS{0, 1} {
		b.Run("q"+string('0'+rune(qos)), func(b *testing.B) {
			c := benchClient(b, client.Options{Dial: source(qos, 64), ReceiveMaximum: 65535})
			b.ReportAllocs()
			for b.Loop() {
				d, err := c.Receive(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				d.Ack()
			}
		})
	}
}

// BenchmarkOnMessage is the path without a copy.
func BenchmarkOnMessage(b *testing.B) {
	for _, qos := range []mqtt.QoS{0, 1} {
		b.Run("q"+string('0'+rune(qos)), func(b *testing.B) {
			more, stop := make(chan struct{}), make(chan struct{})
			n := 0
			benchClient(b, client.Options{Dial: source(qos, 64),
				OnMessage: func(*client.Client, *mqtt.Publish, string) bool {
					if n++; n%1000 == 0 {
						select {
						case more <- struct{}{}:
						case <-stop:
						}
					}
					return true
				}})
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%1000 == 0 {
					<-more
				}
			}
			b.Cleanup(func() { close(stop) }) // before the client ends
		})
	}
}
