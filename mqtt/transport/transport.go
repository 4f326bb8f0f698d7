// Package transport owns the Network Connections of the MQTT standard [MQTT-4.2.0-1]: TCP, TLS, WebSocket (chapter 6)
// and Unix domain sockets, dialled or accepted by URL. It knows nothing of packets. It feeds a [Handler] with the bytes
// that arrived and sends the bytes that the handler, or any other goroutine, appended to a [Conn].
//
// Nothing in it blocks its caller: Feed is handed what one read brought, Append copies to an out-buffer that exists only
// while there is something to send, and a [Batch] sends everything that one turn produced with one write for each
// connection. An idle connection holds no buffer.
//
// What one turn sends to very many connections leaves in slices, between which the others of the loop are read and
// answered; whoever brings so much is not read meanwhile.
//
// # Where things are
//
//	transport.go    Handler, Options; alarm.go its timer
//	url.go          Endpoint: which socket, what is spoken there
//	dial.go         connections that we make; proxy.go through whom
//	listen.go       connections that others make; handshakes.go how many of them at once
//	conn.go         Conn: what any goroutine may call; work.go what it has while something is under way
//	read.go         bytes in; partial.go keeps what Feed left
//	flush.go        bytes out; outbuf.go, batch.go
//	budget.go       the memory that many connections share
//	filters.go      TLS and WebSocket (websocket.go, upgrade.go), worked on bytes
//	loops.go        Loops: how many, and whose connections they are; loop.go one of them, spread.go its slices
//	polled.go       a Conn in a loop, in the place of a goroutine
//	sock.go         the socket; epoll_linux.go, parked_linux.go, sys_*.go what is a system's own
package transport

import (
	"errors"
	"time"
)

// Handler is the protocol core of one connection. Its methods are called by one goroutine at a time for that
// connection, never with a lock of this package held, and must not block.
type Handler interface {
	// Feed is given the bytes that arrived, behind those that the call before did not consume. It returns how many of
	// them it has consumed; the rest is presented again together with later bytes, or after Resume, or for itself when
	// that was [Batch.Enough] for one turn. It must not keep p.
	// What it appends with b is flushed when the turn ends. An error ends the connection: what is buffered is flushed
	// in bounded time, then Closed is called with that error.
	Feed(b *Batch, p []byte) (consumed int, err error)

	// Closed is the last call, made exactly once. err says why: io.EOF when the peer closed, Feed's error, the error
	// given to Close or Abort, ErrSlowConsumer, ErrMemory, or what the socket reported.
	Closed(err error)
}

// Drainer may be implemented by a Handler that wants to go on sending after Append has returned false.
type Drainer interface {
	// Drained is called, as Feed is, once the out-buffer has fallen to half of OutLimit after an Append was refused.
	Drained(b *Batch)
}

// Shedder may be implemented by a Handler that wants to have the last word when its connection ends with ErrMemory.
type Shedder interface {
	// Shed is called by any goroutine, also during Feed, before the connection is closed with err. It must not block;
	// it may call [Conn.CloseWith].
	Shed(err error)
}

// Ender may be implemented by a Handler that wants to know when the socket is gone too: see [Options.Linger].
type Ender interface {
	// Ended is called once, behind Closed.
	Ended()
}

// Answerer may be implemented by a Handler whose answers may take until long after Feed.
type Answerer interface {
	// Unanswered is called, as Feed is, when the peer has ended its half of a connection without layers. If it reports true
	// the connection is not closed yet but paused, as by [Conn.Pause], and when it is resumed it is asked again.
	Unanswered() bool
}

// Errors that Closed and Dial report. All are compared with errors.Is.
var (
	ErrSlowConsumer = errors.New("transport: the peer does not read: no write progress within the stall timeout")
	ErrClosed       = errors.New("transport: connection closed")
	ErrTooLarge     = errors.New("transport: more unconsumed bytes than the input limit")
	ErrMemory       = errors.New("transport: a packet that has come in part holds memory that others need")
	ErrCloseTimeout = errors.New("transport: the peer did not take the last bytes in time")
)

// Defaults of [Options].
const (
	DefaultOutLimit     = 1 << 20          // 1 MiB
	DefaultInLimit      = 256<<20 + 64<<10 // the largest MQTT packet (section 2.1.4) and one read
	DefaultStallTimeout = 60 * time.Second
	DefaultCloseTimeout = 5 * time.Second
	DefaultLinger       = time.Second
)

// Options are what a connection is driven with. The zero value works.
type Options struct {
	// OutLimit bounds the out-buffer, in bytes: Append is refused while more than that waits to be sent, so that at
	// most OutLimit and one packet are held. Default DefaultOutLimit.
	OutLimit int

	// Budget, if given, is shared by many connections: above its high water each of them is refused an Append as soon
	// as 64 KiB wait. Packets in part are counted and bounded there, too.
	Budget *Budget

	// InLimit bounds the bytes that Feed leaves unconsumed. Beyond it the connection ends with ErrTooLarge. Default
	// DefaultInLimit, which never stops a legal packet: the handler's own Maximum Packet Size should be lower.
	InLimit int

	// StallTimeout ends a connection with ErrSlowConsumer when bytes wait and the peer took none of them for so long.
	// Default DefaultStallTimeout; negative means never.
	StallTimeout time.Duration

	// CloseTimeout bounds the flush of Close. Default DefaultCloseTimeout.
	CloseTimeout time.Duration

	// Linger bounds how long the socket stays half open after Close has flushed, to let the peer read the last packet
	// before a reset could destroy it. Closed is not delayed by it. Default DefaultLinger; negative means not at all.
	Linger time.Duration

	// Loops, if given, drive the connections that are sockets of the system's, with TLS and WebSocket above them or
	// without, where the platform can do that. All others, and without Loops all, have a goroutine each.
	Loops *Loops
}

// withDefaults returns o with its zero fields filled in.
func (o Options) withDefaults() *Options {
	if o.OutLimit <= 0 {
		o.OutLimit = DefaultOutLimit
	}
	if o.InLimit <= 0 {
		o.InLimit = DefaultInLimit
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = DefaultStallTimeout
	}
	if o.CloseTimeout <= 0 {
		o.CloseTimeout = DefaultCloseTimeout
	}
	if o.Linger == 0 {
		o.Linger = DefaultLinger
	}
	return &o
}
