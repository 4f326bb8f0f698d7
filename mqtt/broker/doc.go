// Package broker is the standard's Server: sessions, subscriptions, retained
// messages, wills and the delivery of messages at QoS 0, 1 and 2 for MQTT 3.1,
// 3.1.1 and 5.0; in memory, and with Options.Store such that what it has
// acknowledged outlives it.
//
// # The walk of a PUBLISH
//
//	transport   one read's bytes -> conn.Feed (conn.go)
//	mqtt.Reader limits, decode in place
//	conn.go     one switch over the packet's type
//	publish.go  alias, name, limits, QoS 2 duplicate
//	retained.go set or clear
//	route.go    which sessions, at which QoS; shared groups (shared.go)
//	session.go  QoS 0 to the out-buffer or a counted drop; QoS 1 and 2 with a
//	            Packet Identifier to the out-buffer, or to the queue (queue.go)
//	persist.go  with a store: what the turn staged, in one batch, and the
//	            acknowledgements that wait for it
//	turn.go     acknowledgements leave in arrival order at the turn's end,
//	            then transport flushes each dirtied connection once
//
// A message to hundreds is more than one turn of an event loop: Feed returns behind
// it (transport.Batch.Enough) and is given the rest later, and what was appended is
// written in slices, between which the loop's other clients are fed and answered.
// Publishers to hundreds are not read meanwhile, so that out-buffers do not fill.
//
// One inbound packet has one file: connect.go, publish.go, ack.go,
// subscribe.go, unsubscribe.go, disconnect.go, auth.go.
//
// # Goroutines
//
// Nothing here reads a socket, and no connection has a goroutine of its own here.
//
//   - A few event loops of the transport feed all connections, TLS and WebSocket
//     included; with Options.Portable, and where there are no such loops, each
//     connection is fed by its own, and a message to many holds up nobody but its
//     publisher. TLS and WebSocket shake hands on goroutines that admit.go bounds.
//   - One runs the timers (timers.go) and all that is due: $SYS (sys.go), expired
//     retained messages, routes to forget, retries (again.go), whether it is quiet
//     (tidy.go), which gives memory back on another.
//   - As many as there are processors check passwords and tokens (checks.go); who
//     waits for the key of a token has one more.
//   - The store's calls back; maxReaders at once read pages of queues from it
//     (durable.go, handover.go).
//
// # Who owns what
//
//   - A conn is fed by one goroutine at a time, the transport's, which feeds others
//     as well and may not be held up; its fields without a lock belong to that
//     goroutine. It holds conn.feeding meanwhile.
//   - A Client Identifier passes from one connection to the next in a passage
//     (passage.go): the next CONNECT is paused until the connection before is at
//     rest and its will is published. What the client sends again may not overtake
//     what its old connection is still handling, nor what has come there and is to
//     be read, for a second at most. Nobody else waits.
//   - A session is guarded by session.mu: connection, in-flight messages,
//     queue, QoS 2 identifiers, subscriptions, will.
//   - Broker.mu guards the map of sessions and who is connected to which.
//   - A timer belongs to what it is embedded in: Keep Alive and connect timeout to
//     a conn, Session Expiry and Will Delay to a session. What puts a deadline off,
//     such as a packet that comes, does not touch its timer: when due it looks and
//     sets itself again.
//
// # What outlives the process
//
// Only a Session with an expiry is durable, and for it the table of package store
// says what is staged and what waits. Without a store, and for other Sessions,
// nothing of this happens.
//
//   - A turn stages operations where it changes what they are about, with
//     session.mu held (durable.go), and commits them at its end (persist.go). The
//     acknowledgements of the turn go with them and leave when they are durable.
//     conn.owed counts such turns: while there are any, later acknowledgements
//     wait behind them.
//   - CONNECT and SUBSCRIBE, behind whose answer messages follow, pause the
//     connection and are presented to it again when they are durable. Until then
//     the session is muted: it is the connection's, and nothing is sent.
//   - The place of a message in its session, a store.Position, gives its Packet
//     Identifier. It is pending until it is durable: at QoS 2 it is not sent before.
//   - What waits is in three parts, in order: session.queue, the disk alone, and
//     keeper.late. What is durable and late is forgotten and counted, and read back
//     on another goroutine when the queue runs low.
//   - A client that leaves with much in flight has it left to the disk as well, when
//     nothing is found there any more that it has acknowledged (away.go).
//   - The store calls back on its own goroutine, in the order of the commits. An
//     error takes back what can be: a message is unknown again, a new subscription
//     goes, the answer becomes a refusal or the connection ends.
//   - Load (load.go) begins with what is there. What was sent before goes out with
//     DUP; deadlines go on from when the connection was lost.
//
// # Who may do what
//
// access.go asks mqtt/access. A password is hashed on another goroutine: the
// connection is paused with its CONNECT unconsumed, and fed it again when the
// verdict is there; so is a token checked. In checks.go addresses take turns at
// that, the newest of each first. An Authentication Method (auth.go)
// costs no such work: its CONNECT waits in conn.auth while AUTH packets go to
// and fro, and the connect timeout runs on. The ACL judges a PUBLISH when it comes, a will at CONNECT
// and when it is due, a SUBSCRIBE by what it could deliver, and a message
// wherever it is bound to a session: when routes are made (cached with them),
// when a group chooses, when retained messages are sent, and again when a
// message leaves a queue. A Session belongs to the user that made it.
//
// # Lock order
//
// conn.feeding of the new connection, that of the one it displaces, which is only
// tried, Broker.mu with the passages, then session.mu, then shares.mu, then
// group.mu, then the leaves: those of timers, checks and gate, and what transport,
// topic and store lock within a call. publishers.mu, retries.mu and retention.mu,
// which is taken with no session locked, have only leaves behind them. No callback
// is made and nothing blocks with one of them held; two sessions are never locked
// together.
//
// # Limits
//
// Everything a peer can grow has a limit in Options, with its default beside
// it. Over it is a Reason Code for the peer where the standard has one, and
// always a counter in Stats and from time to time a line in the log (limits.go).
// What waits is counted twice: by session, and in one transport.Budget for all,
// where everything else that clients have the broker keep is counted as well
// (memory.go).
//
// # What can be seen
//
// A turn counts for itself and adds to the counters when it ends (stats.go).
// Stats reads them; sys.go publishes them below $SYS/broker. Clients lists the
// sessions one by one (clients.go).
package broker
