// Package mqtt is chapters 2 and 3 of the OASIS MQTT standards: the fifteen
// Control Packets of 3.1 (MQIsdp), 3.1.1 and 5.0, their properties and Reason
// Codes, and the codec that reads and writes them. It holds no goroutine and
// no socket.
//
// # Where things are
//
//	packet.go      Type, Packet, the fixed header and its flags
//	reader.go      Reader: bytes to packets, limits checked before the body
//	connect.go … auth.go   one Control Packet a file: struct, decode, append, size
//	properties.go  the 27 properties: one table, one decoder, one encoder
//	reason.go      Reason Codes, their names, which packet may carry which
//	message.go     Message, Will, Subscription, QoS, PacketID
//	wire.go        chapter 1.5: integers, strings, binary data
//	errors.go      Error: what is wrong, the code for the peer, the statement
//	string.go      packets on one line, for debug output
//
// # Ownership of bytes
//
// Decoding is done in place. A [Publish] and the five acknowledgements alias
// the bytes given to [Reader.Read] and the Reader itself: they are valid until
// the next Read. Every other packet is a copy that may be kept. A Reader that
// falls idle lets go of the bytes by [Reader.Release].
//
// # Statements
//
// A check names the normative statement it obeys, as [MQTT-3.3.1-4], by its
// number in 5.0; numbers of 3.1.1 are written [MQTT-3.1.1: 3.1.2-22]. Where
// the standards number no statement, the section stands for it, 2.1.4 or
// 3.1.1: 3.14.
package mqtt
