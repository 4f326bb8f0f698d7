package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/access"
	"mqt/mqtt/store"
)

// Never is a Session Expiry Interval that does not end, section 3.1.2.11.2.
const Never = 0xFFFFFFFF

// Options are the limits and habits of a [Broker]. The zero value works; each
// zero field means the default beside it.
type Options struct {
	// Log receives connections, refusals and drops. Default: none.
	Log *slog.Logger

	// Store keeps what must outlive the process: after PUBACK, PUBREC, PUBCOMP,
	// SUBACK, UNSUBACK or CONNACK it has what was acknowledged. The broker begins with
	// what is in it. Whoever gave it closes it, after Shutdown. Default nil: nothing
	// outlives the process.
	Store store.Store

	// GiveBack lets the broker collect garbage and give memory back to the system
	// when many clients have come and it is quiet again. It is for a process that is
	// a broker and nothing else.
	GiveBack bool

	// SysInterval is how often $SYS/broker/... is published. Default 0: never.
	SysInterval time.Duration
	// Version is what $SYS/broker/version says. Default "mqt".
	Version string

	// Users may connect by name and password. nil: nobody has a password, and a
	// name that is given counts for nothing. SetUsers changes it.
	Users *access.Users
	// Tokens are JSON Web Tokens that are good in the place of a password; the
	// connection ends when its token expires. nil: there are none. SetTokens
	// changes it.
	Tokens *access.Tokens
	// Anonymous is who may connect without having proved who it is. Default
	// AnonymousLocal.
	Anonymous Anonymous
	// CertificateUser makes the verified certificate of a client its user name.
	// Default CertificateNone.
	CertificateUser CertificateUser
	// ACL is what clients may publish and receive. nil: everything. SetACL
	// changes it.
	ACL *access.ACL

	// Portable gives each connection a goroutine, also where the platform can do
	// better, see transport.Loops. Default: only where it cannot.
	Portable bool

	// ConnectTimeout is how long a peer has from accept to a complete CONNECT.
	// Default 10 s.
	ConnectTimeout time.Duration
	// MaxConnections bounds Network Connections, those before CONNECT
	// included. More are refused with 0x97, or closed. Default 1,000,000.
	MaxConnections int
	// MaxPerAddress bounds those from one address, for IPv6 from one /64; this
	// machine's own are not counted. More are refused with 0x97. Default 10,000.
	MaxPerAddress int
	// MaxPerUser bounds the clients of one authenticated user. More are refused
	// with 0x97. Default 0: as many as there may be.
	MaxPerUser int
	// ConnectRate bounds the CONNECT packets a second of all clients together,
	// with two seconds' worth in a burst. More are refused with 0x9F. Default
	// 0: any.
	ConnectRate int
	// MessageRate and ByteRate bound the PUBLISH packets and the bytes that one
	// client sends in a second, with two seconds' worth in a burst. Who sends
	// more is closed with 0x96. Default 0: any.
	MessageRate, ByteRate int
	// MaxSessions bounds Sessions, connected or not. Default 1,000,000.
	MaxSessions int
	// MaxSessionsPerUser bounds the Sessions of one authenticated user, connected
	// or not. More are refused with 0x97. Default 0: as many as there may be.
	MaxSessionsPerUser int

	// MaxKeepAlive is the longest Keep Alive in seconds that is accepted; a
	// 5.0 client is given it as Server Keep Alive. Default 65,535: any, also
	// none.
	MaxKeepAlive uint16
	// MaxSessionExpiry is the longest Session Expiry Interval in seconds; a
	// 5.0 client is told. It is what clean session 0 of 3.1.1 asks for as
	// well. Default Never.
	MaxSessionExpiry uint32

	// MaximumPacketSize is the largest packet accepted, in bytes. Default 64
	// MiB. Before CONNECT it is 140 KiB, which holds the largest Will Payload and
	// as much again.
	MaximumPacketSize uint32
	// ReceiveMaximum is how many QoS 1 and 2 messages a 5.0 client may have in
	// flight towards us. Default 1,024. Older clients are not told, so they
	// may have 65,535.
	ReceiveMaximum uint16
	// TopicAliasMaximum is how many Topic Aliases a client may define. Default
	// 64. NoTopicAlias makes it 0, as CONNACK tells.
	TopicAliasMaximum uint16
	NoTopicAlias      bool
	// MaxInflight caps the QoS 1 and 2 messages in flight to one client, below
	// the client's own Receive Maximum. Default 65,535.
	MaxInflight uint16

	// MaxTopicLevels and MaxTopicLength, in bytes, bound Topic Names and Topic
	// Filters. Over it a name is answered 0x90, a filter 0x8F. Defaults 200, and
	// 65,535: any.
	MaxTopicLevels, MaxTopicLength int

	// MaximumQoS is the highest QoS granted and accepted: 0, 1 or 2, written
	// as a pointer because 0 is a setting. Default 2.
	MaximumQoS *mqtt.QoS
	// NoRetain, NoWildcard, NoShared and NoSubscriptionID switch the feature
	// off, as CONNACK tells.
	NoRetain, NoWildcard, NoShared, NoSubscriptionID bool

	// MaxQueue bounds the messages that wait for one session, and MaxQueueBytes
	// their size. What comes on top is dropped and counted, and a publisher of
	// 5.0 told by 0x97 if no subscriber gets it; QoS 0 is never queued for who is
	// away. In flight to one session there is no more than MaxQueueBytes either; the
	// rest waits. Defaults 100,000 and 64 MiB.
	MaxQueue      int
	MaxQueueBytes int
	// OutLimit bounds the bytes waiting for one connection; over it QoS 0 is
	// dropped and counted, QoS 1 and 2 go to the queue. Default 8 MiB, which
	// takes a burst of QoS 0; who does not read at all is closed after a minute.
	OutLimit int

	// MaxMemory bounds all that clients have the server keep, in bytes: queues, what
	// is in flight, the out-buffers of clients that do not read, retained messages,
	// sessions with their subscriptions and wills, Topic Aliases, and packets that
	// have come in part. These may be three eighths of it; for more, the address
	// that has most of them loses its largest with 0x97. From three
	// quarters of it on, QoS 0 for clients that do not read is dropped sooner. At
	// the limit messages are dropped as with MaxQueue, and what else would take more
	// is answered 0x97; 64 KiB in flight are spared for a client that keeps up, as
	// long as all together take no more than an eighth on top. Default 1 GiB.
	MaxMemory int64

	// MaxSubscriptions bounds the subscriptions of one session; one more is
	// answered 0x97. Default 10,000.
	MaxSubscriptions int
	// MaxRetained bounds the retained messages, and MaxRetainedBytes the sum
	// of their topics and payloads. One more is answered 0x97. Defaults
	// 1,000,000, and half of MaxMemory.
	MaxRetained      int
	MaxRetainedBytes int64
}

// Validate reports every setting that makes no sense, joined.
func (o *Options) Validate() error {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf("broker: "+format, a...)) }
	if o.MaximumQoS != nil && *o.MaximumQoS > mqtt.QoS2 {
		fault("maximum QoS %d is not 0, 1 or 2", *o.MaximumQoS)
	}
	if o.MaximumPacketSize > 0 && o.MaximumPacketSize < 64 {
		fault("a maximum packet size of %d bytes holds no packet worth having", o.MaximumPacketSize)
	}
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"connections", int64(o.MaxConnections)}, {"sessions", int64(o.MaxSessions)}, {"sessions of a user", int64(o.MaxSessionsPerUser)},
		{"queue length", int64(o.MaxQueue)}, {"queue bytes", int64(o.MaxQueueBytes)},
		{"connections of an address", int64(o.MaxPerAddress)}, {"connections of a user", int64(o.MaxPerUser)},
		{"CONNECT rate", int64(o.ConnectRate)}, {"message rate", int64(o.MessageRate)}, {"byte rate", int64(o.ByteRate)},
		{"topic levels", int64(o.MaxTopicLevels)}, {"topic length", int64(o.MaxTopicLength)}, {"memory", o.MaxMemory},
		{"out-buffer", int64(o.OutLimit)}, {"subscriptions", int64(o.MaxSubscriptions)},
		{"retained messages", int64(o.MaxRetained)}, {"retained bytes", o.MaxRetainedBytes},
		{"connect timeout", int64(o.ConnectTimeout)}, {"$SYS interval", int64(o.SysInterval)},
	} {
		if n.value < 0 {
			fault("the limit of %s is negative", n.name)
		}
	}
	return errors.Join(faults...)
}

func (o Options) withDefaults() Options {
	set(&o.Log, slog.New(slog.DiscardHandler))
	set(&o.Version, "mqt")
	set(&o.ConnectTimeout, 10*time.Second)
	set(&o.MaxConnections, 1_000_000)
	set(&o.MaxPerAddress, 10_000)
	set(&o.MaxSessions, 1_000_000)
	set(&o.MaxTopicLevels, 200)
	set(&o.MaxTopicLength, 65_535)
	set(&o.MaxMemory, 1<<30)
	set(&o.MaxKeepAlive, 65_535)
	set(&o.MaxSessionExpiry, Never)
	set(&o.MaximumPacketSize, 64<<20)
	set(&o.ReceiveMaximum, 1024)
	if o.NoTopicAlias {
		o.TopicAliasMaximum = 0
	} else {
		set(&o.TopicAliasMaximum, 64)
	}
	set(&o.MaxInflight, 65_535)
	set(&o.MaxQueue, 100_000)
	set(&o.MaxQueueBytes, 64<<20)
	set(&o.OutLimit, 8<<20)
	set(&o.MaxSubscriptions, 10_000)
	set(&o.MaxRetained, 1_000_000)
	set(&o.MaxRetainedBytes, o.MaxMemory/2)
	if o.MaximumQoS == nil {
		q := mqtt.QoS2
		o.MaximumQoS = &q
	}
	return o
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
