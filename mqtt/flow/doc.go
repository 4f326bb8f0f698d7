// Package flow is the delivery state of one Session or Network Connection:
// chapter 4 of the standard where it is the same for Client and Server. Both
// are the Sender of some messages and the Receiver of others.
//
//   - Sender: Packet Identifiers, the QoS 1 and QoS 2 flows of outgoing
//     messages, the peer's Receive Maximum, redelivery (2.2.1, 4.3, 4.4, 4.9).
//   - Receiver: the QoS 2 flows of incoming messages and our own Receive
//     Maximum (4.3.3, 4.9).
//   - AliasIn, AliasOut: Topic Aliases (3.3.2.3.4).
//   - KeepAlive: when to ping and when to give a peer up (3.1.2.10).
//
// It is state and arithmetic only: no goroutine, no clock, no lock, no packet.
// The owner holds a lock where it needs one, writes what the methods tell and
// reads the time. Zero values are ready and small, for a Server holds a
// million of them; heap memory is held only while something is in flight.
package flow
