package broker

import (
	"errors"
	"math"
	"net"

	"mqt/mqtt/transport"
)

// prepare makes a listener keep to the broker's limits.
func (b *Broker) prepare(o *transport.ListenOptions) {
	o.Conn.OutLimit = b.opt.OutLimit
	o.Conn.Budget = &b.memory
	o.Conn.InLimit = int(min(uint64(b.opt.MaximumPacketSize)+64<<10, math.MaxInt32))
	if !b.opt.Portable {
		o.Conn.Loops = &b.loops
	}
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = b.opt.ConnectTimeout
	}
	o.Admit = b.allowHandshake
	told := o.OnError
	o.OnError = func(peer net.Addr, err error) {
		switch {
		case peer == nil: // accept failed, nobody's handshake
		case errors.Is(err, transport.ErrTooManyHandshakes):
			b.count.handshakes.Add(1)
			b.exceeded(LimitHandshakes, "", peer)
			return // that has logged it
		default:
			b.count.handshakes.Add(1)
		}
		if told != nil {
			told(peer, err)
		}
	}
}

// allowHandshake counts a connection before it costs a handshake; leave ends that. Who has too many is not even heard.
func (b *Broker) allowHandshake(peer net.Addr) (leave func(), ok bool) {
	o := b.limit()
	b.mu.Lock()
	closed, n := b.closed, b.conns.n
	b.mu.Unlock()
	near, pending := b.gate.arrive(peer), b.gate.pending.Add(1)
	leave = func() {
		b.gate.pending.Add(-1)
		b.gate.depart(peer)
	}
	if b.overTwice(o, closed, n+int(pending), near, peer) {
		leave()
		return nil, false
	}
	return leave, true
}

// overTwice reports, and counts, that with n connections in all and near of one address there are too many to even hear
// the CONNECT of the last.
func (b *Broker) overTwice(o *Options, closed bool, n, near int, peer net.Addr) bool {
	switch {
	case closed:
	case n > 2*o.MaxConnections:
		b.exceeded(LimitConnections, "", peer)
	case near > 2*o.MaxPerAddress:
		b.exceeded(LimitAddress, "", peer)
	default:
		return false
	}
	b.count.refused.Add(1)
	return true
}
