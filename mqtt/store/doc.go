// Package store keeps what must outlive a process: Sessions with their
// subscriptions, the queues of QoS 1 and 2 messages, what is in flight both
// ways, retained messages, and wills that are still to come. What [Store] has
// said is durable survives kill -9 and the loss of power.
//
// A broker without a data directory has no store: for it no Session is durable,
// just as a Session with a Session Expiry Interval of 0 is not for one that has.
// Nothing of those is ever given to a store, nor is a message that no durable
// Session queues and that is not retained.
//
// # Which step waits for what
//
// All that one read of a client brings about goes into one [Batch], and the
// answers to it leave when its done is called with nil. The answers to later
// reads wait behind those: a read that stages nothing while an answer of its
// connection waits either queues there or commits an empty batch.
//
//	step                          operations                            waits for done
//	CONNECT, Session Expiry > 0   EndSession of the one it replaces,    CONNACK
//	                              PutSession with Left zero
//	SUBSCRIBE                     Subscribe for each                    SUBACK
//	UNSUBSCRIBE                   Unsubscribe for each                  UNSUBACK
//	inbound PUBLISH, QoS 1        Enqueue for each Session, Retain      PUBACK
//	inbound PUBLISH, QoS 2        the same, and Receive                 PUBREC
//	inbound PUBLISH, QoS 0        Retain or Clear                       nothing
//	PUBREL                        Release                               PUBCOMP
//	outbound PUBLISH, QoS 1       Sent                                  nothing: it may go before its
//	                                                                    Enqueue is durable
//	outbound PUBLISH, QoS 2       (its Enqueue)                         the PUBLISH, the first time
//	PUBREC of the client          Pubrec                                PUBREL
//	PUBREC with 0x80 or above,    Done                                  nothing
//	PUBACK, PUBCOMP of the client
//	expired, dropped, denied      Done                                  nothing
//	connection ended              PutSession with Left, and without     nothing
//	                              will after a DISCONNECT with 0x00
//	CONNECT with a will, Session  PutSession of another identifier,     CONNACK
//	Expiry 0                      for the will alone
//	will published                its Enqueues and Retain, PutSession   nothing
//	                              without will
//	Session ended                 EndSession                            nothing; CONNACK of a clean start
//	the same, with a will or      PutSession with Expiry 0, so that a   the same
//	shared messages in its queue  start ends it again; in the end the
//	                              will's Enqueues with EndSession
//	shared message handed over    Done there, Enqueue here              nothing; at QoS 2 the PUBLISH
//
// Enqueue is for the durable Sessions among those that match, and Receive,
// Release, Subscribe and the like for a durable Session's own: a step that has
// nothing to say here waits for nothing. A Session that becomes durable, because
// its client connects again with another Session Expiry Interval before it has
// ended, is put down whole. One that was durable stays so to its end.
//
// "Nothing" is a Commit with done nil, or part of a batch that is committed
// anyway. What belongs together stands in one batch, which is all or nothing: a
// QoS 2 message and its Packet Identifier, a will and the record without it.
//
// # Positions
//
// The owner of a queue numbers its messages, and [Position.PacketID] of that
// number is the Packet Identifier they are sent with, so that none has to be
// stored. If it is in use the message waits: it is 65,535 messages behind one
// that has not been acknowledged. Positions begin at [Store.First], or at
// [Saved.Next] for a Session that was loaded.
//
// At the start, a message at or before [Saved.Sent] has been sent, and is sent
// again with DUP under the same identifier before anything new; one in
// [Saved.Released] gets its PUBREL again. Sent is written without a wait. If the
// process dies while there is a connection the last messages may have gone out and
// not be known to: all that was queued by then is sent with DUP, and under the same
// identifier ([Session.Unsure]).
//
// # Memory
//
// Once a batch is durable the store needs none of it. The owner of a queue may
// forget messages of an absent client and only count them, and read them back,
// a page at a time, with ReadQueue when the client returns. ReadQueue sees what
// is durable: what was committed and not yet done its owner still has.
//
// # When the disk fails
//
// ErrFull is a batch that found no room: 0x97 for its client where there is such
// a code, no answer where there is none. Nothing of it was written and nothing
// else was touched; batches that only remove, or say that a connection has ended,
// are kept until there is room. They need some themselves: a file of 1 MiB beside
// the database gives its place up for them, and while there is no room for it
// nothing is added that would leave less than that in the database and in a
// smaller one. What the journal has then
// goes to the database before them, a part at a time if there is little room.
// Anything else, and an error of a sync above all, is final: [Store.Err] returns
// it, every Commit and ReadQueue fails with ErrFailed, and what is not
// acknowledged then is for the clients to send again (0x80, or no answer). A
// sync is never tried again: the system may have dropped the pages that it could
// not write, and a second sync would succeed without them.
//
// # Pressure
//
// Commit takes everything and never blocks. When more than Options.MaxPending
// bytes wait it says so, and whoever asked reads no more from that client until
// done. So what waits is bounded by that, plus one read of each client.
//
// # Disk
//
// [Disk] has one committer. It takes all batches that wait, writes them, and
// makes them durable; meanwhile the next batches gather. Batches that nobody waits
// for are written with the next that somebody does, or after Options.Linger.
//
// A large group is one transaction of a B+tree file (bbolt): a write for each
// page, one sync of the pages and one of the meta page that makes these valid. A
// small one, as a few clients bring about, is one write and one sync of another
// file, the journal, and is applied to the tree later: with the next large group,
// when the journal is full, when somebody reads, and at Close. So the tree is
// never in a state that was not synced, and what it does not have is in the
// journal, from where the next start takes it.
//
// A message is written once, whoever refers to it: queues hold its number, and
// so does a retained topic. It goes with the last reference. What comes and goes
// within one transaction is never written at all. The queue of a Session that
// ended is taken apart a piece per transaction: more than that transaction adds,
// so that nothing piles up, and at a start that which was left.
//
// The file does not shrink while it is in use, it is used again; at the start
// one that is almost empty is written anew.
//
// Every record has a checksum, and a damaged one is ErrCorrupt, never a message.
// The database has no checksums for its own pages, and trusts them. So every page
// is verified before it is opened: kind, place, order, and that each is in use once
// or free. What is found is ErrCorrupt.
package store
