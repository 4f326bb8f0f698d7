package transport

import "net"

// NetConn is what the layers of TLS and WebSocket stand on, as that of a
// tls.Conn: who closes it, or sets its options, goes past them.
func (l *link) NetConn() net.Conn { return l.Conn }
