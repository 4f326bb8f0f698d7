//go:build unix

package transport

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	urlpkg "net/url"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// counter counts whole messages of size bytes.
type counter struct {
	size int
	n    atomic.Int64
	over chan error
}

func (c *counter) Feed(_ *Batch, p []byte) (int, error) {
	n := len(p) / c.size
	c.n.Add(int64(n))
	return n * c.size, nil
}

func (c *counter) Closed(err error) { c.over <- err }

// cpu returns the processor time of this process.
func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkRead reads 20-byte messages that a peer pipelines.
func BenchmarkRead(b *testing.B) {
	peer, nc := pair(b)
	h := &counter{size: 20, over: make(chan error, 1)}
	Start(nc, h, Options{})
	block := make([]byte, 20*3000)
	b.ReportAllocs()
	b.ResetTimer()
	start := cpu()
	for sent := 0; sent < b.N; sent += 3000 {
		n := min(3000, b.N-sent)
		if _, err := peer.Write(block[:20*n]); err != nil {
			b.Fatal(err)
		}
	}
	peer.Close()
	<-h.over
	b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/op")
	if h.n.Load() != int64(b.N) {
		b.Fatalf("%d of %d", h.n.Load(), b.N)
	}
}

// echoing sends back what it is fed.
type echoing struct {
	c    *Conn
	over chan error
}

func (e *echoing) Feed(b *Batch, p []byte) (int, error) { e.c.Append(b, p); return len(p), nil }
func (e *echoing) Closed(err error)                     { e.over <- err }

func benchmarkEcho(b *testing.B, peer, nc net.Conn) {
	e := &echoing{c: New(nc, Options{}), over: make(chan error, 1)}
	e.c.Start(e)
	p := make([]byte, 20)
	b.ReportAllocs()
	b.ResetTimer()
	start := cpu()
	for range b.N {
		if _, err := peer.Write(p); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(peer, p); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/op")
	peer.Close()
	<-e.over
}

// BenchmarkEcho sends one message at a time there and back; the peer's half is in the figure.
func BenchmarkEcho(b *testing.B) {
	b.Run("tcp", func(b *testing.B) {
		peer, nc := pair(b)
		benchmarkEcho(b, peer, nc)
	})
	b.Run("netconn", func(b *testing.B) {
		peer, nc := pair(b)
		benchmarkEcho(b, peer, struct{ net.Conn }{nc})
	})
	server, client := certs(b)
	for _, url := range []string{"mqtts://127.0.0.1:0", "ws://127.0.0.1:0"} {
		name, _, _ := strings.Cut(url, ":")
		b.Run(name, func(b *testing.B) {
			conns := make(chan *echoing, 1)
			u := serve(b, url, ListenOptions{TLS: server}, func(c *Conn) Handler {
				e := &echoing{c: c, over: make(chan error, 1)}
				conns <- e
				return e
			})
			peer := dial(b, u, DialOptions{TLS: client})
			e := <-conns
			p := make([]byte, 20)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, err := peer.Write(p); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(peer, p); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			peer.Close()
			<-e.over
		})
	}
}

// BenchmarkAppend appends and flushes 20-byte messages to a socket whose peer discards, 1 or 64 for each flush.
func BenchmarkAppend(b *testing.B) {
	for _, bm := range []struct {
		name  string
		batch int
	}{{"flush1", 1}, {"flush64", 64}} {
		b.Run(bm.name, func(b *testing.B) {
			peer, nc := pair(b)
			gone := make(chan struct{})
			go func() {
				_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{peer}, make([]byte, 256<<10))
				close(gone)
			}()
			h := &counter{size: 20, over: make(chan error, 1)}
			c := Start(nc, h, Options{OutLimit: 1 << 30})
			frame := make([]byte, 20)
			var batch Batch
			b.ReportAllocs()
			b.ResetTimer()
			start := cpu()
			for i := range b.N {
				c.Append(&batch, frame)
				if i%bm.batch == 0 {
					batch.Flush()
				}
			}
			batch.Flush()
			c.Close(nil)
			<-h.over
			<-gone
			b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/op")
			peer.Close()
		})
	}
}

// BenchmarkAppendOnly is the part of a delivery that is not the kernel's, with 1 or 64 for each flush.
func BenchmarkAppendOnly(b *testing.B) {
	for _, each := range []int{1, 64} {
		b.Run(fmt.Sprint("flush", each), func(b *testing.B) {
			c := New(fakeNet{}, Options{OutLimit: 1 << 30})
			c.extra.sock = sink{}
			frame := bytes.Repeat([]byte{7}, 20)
			var batch Batch
			b.ReportAllocs()
			for i := range b.N {
				c.Append(&batch, frame)
				if i%each == 0 {
					batch.Flush()
				}
			}
		})
	}
}

// deep is a Handler whose Feed needs some stack, as a broker's does.
type deep struct {
	over chan error
	fed  atomic.Int64
}

func (d *deep) Feed(_ *Batch, p []byte) (int, error) {
	defer d.fed.Add(1)
	if stackHungry(p, 4) < 0 {
		return 0, io.EOF
	}
	return len(p), nil
}

func (d *deep) Closed(err error) { d.over <- err }

//go:noinline
func stackHungry(p []byte, depth int) int {
	var room [512]byte
	n := copy(room[:], p)
	if depth > 0 {
		n += stackHungry(room[:n], depth-1)
	}
	return n
}

// BenchmarkIdle reports the memory of idle connections that were fed a few times. Their peers are bare descriptors, so
// that all Go memory is ours; each round is one set of connections.
func BenchmarkIdle(b *testing.B) {
	for _, bm := range []struct {
		scheme string
		msgs   int
	}{{"mqtt", 0}, {"mqtt", 2}, {"mqtt", 9}, {"ws", 2}, {"mqtts", 2}} {
		b.Run(fmt.Sprintf("%s/fed=%d", bm.scheme, bm.msgs), func(b *testing.B) {
			for range b.N {
				idle(b, bm.scheme, bm.msgs)
			}
		})
	}
}

func idle(b *testing.B, scheme string, msgs int) {
	const conns = 3000
	h := &deep{over: make(chan error, conns)}
	accepted := make(chan *Conn, conns)
	server, client := certs(b)
	client.ServerName = "localhost"
	url := serve(b, scheme+"://127.0.0.1:0", ListenOptions{TLS: server}, func(c *Conn) Handler {
		accepted <- c
		return h
	})
	e, _ := ParseURL(url)
	a, err := net.ResolveTCPAddr("tcp", e.Address())
	check(b, err)
	before := memory()
	peers := make([]io.ReadWriter, conns)
	fds := make([]descriptor, conns)
	all := make([]*Conn, conns)
	for i := range fds {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		check(b, err)
		check(b, syscall.Connect(fd, &syscall.SockaddrInet4{Port: a.Port, Addr: [4]byte(a.IP.To4())}))
		fds[i] = descriptor(fd)
		peers[i] = fds[i]
		switch scheme {
		case "mqtts":
			c := tls.Client(fdConn{descriptor: fds[i]}, client)
			check(b, c.Handshake())
			peers[i] = c
		case "ws":
			u, _ := urlpkg.ParseRequestURI(url)
			_, _, err := ws.Dialer{Protocols: []string{"mqtt"}}.Upgrade(fds[i], u)
			check(b, err)
		}
		all[i] = <-accepted
	}
	message := []byte("0123456789")
	if scheme == "ws" {
		message = frame(ws.OpBinary, true, true, "0123456789")
	}
	for range msgs {
		runtime.GC() // also chooses the size of new stacks, by the average of thousands and not of a test's few
		for _, p := range peers {
			seen := h.fed.Load()
			_, err := p.Write(message)
			check(b, err)
			for h.fed.Load() == seen {
				runtime.Gosched()
			}
		}
	}
	clear(peers) // the peers' TLS state goes, their descriptors stay
	time.Sleep(50 * time.Millisecond)
	after := memory()
	b.ReportMetric((after[0]-before[0])/conns, "B/conn")
	b.ReportMetric((after[1]-before[1])/conns, "stackB/conn")
	for _, fd := range fds {
		_ = syscall.Close(int(fd))
	}
	for range fds {
		<-h.over
	}
	runtime.KeepAlive(all)
}

// descriptor is a blocking socket without an object of Go's net package.
type descriptor int

func (d descriptor) Read(p []byte) (int, error) {
	n, err := syscall.Read(int(d), p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}

func (d descriptor) Write(p []byte) (int, error) { return syscall.Write(int(d), p) }

type fdConn struct {
	fakeNet
	descriptor
}

func (c fdConn) Read(p []byte) (int, error)  { return c.descriptor.Read(p) }
func (c fdConn) Write(p []byte) (int, error) { return c.descriptor.Write(p) }

// memory returns heap and stack in use, and stack alone.
func memory() [2]float64 {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return [2]float64{float64(m.HeapAlloc + m.StackInuse), float64(m.StackInuse)}
}
