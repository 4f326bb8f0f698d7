package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/topic"
	"mqt/mqtt/transport"
)

// Defaults of [Options].
const (
	DefaultKeepAlive      = 60 // seconds
	DefaultConnectTimeout = 10 * time.Second
	DefaultReceiveBuffer  = 1 << 20   // bytes
	DefaultSendBuffer     = 128 << 10 // bytes
	DefaultBackoffMin     = time.Second
	DefaultBackoffMax     = 30 * time.Second
)

// Options say what Connect does. The zero value connects to localhost, port
// 1883, with 5.0, a clean Session and an identifier that the Server assigns.
type Options struct {
	// URL of the Server, as transport.ParseURL reads it. Its user and password
	// are used where Username and Password are not set. Default
	// mqtt://localhost.
	URL string
	// Endpoint is the URL parsed already; it wins over URL.
	Endpoint *transport.Endpoint
	// DialOptions hold TLS, the local address, and more.
	DialOptions transport.DialOptions
	// Dial replaces the transport's, for every connection. URL and DialOptions
	// are not used then.
	Dial func(ctx context.Context) (net.Conn, error)
	// Transport is what each Network Connection is driven with. Its OutLimit
	// bounds what was published but not sent: the default is DefaultSendBuffer
	// here. Its Loops are for many Clients in one process, which share them; see
	// the package for what they ask of callbacks. Where Authentication or Trace is set
	// they are not used.
	Transport transport.Options

	// Version is the protocol version. Default: 5.0, and once 3.1.1 if the
	// Server refuses that; a version that is set never falls back.
	Version mqtt.Version
	// ClientID is the Client Identifier. Default: none, the Server assigns one.
	ClientID string
	// KeepSession asks for the Session that an earlier connection left: Clean
	// Start 0 (3.1.1: Clean Session 0). Default: a new Session.
	KeepSession bool
	// SessionExpiryInterval is how many seconds the Session outlives a
	// connection, 5.0 only. 0xFFFFFFFF is for ever. Default 0.
	SessionExpiryInterval uint32
	// KeepAlive is in seconds. Default DefaultKeepAlive.
	KeepAlive uint16
	// NoKeepAlive turns the keep alive off.
	NoKeepAlive bool
	// Username is sent if it is not empty or HasUsername is set.
	Username    string
	HasUsername bool
	// Password is sent if it is not nil.
	Password []byte
	// Credentials, if set, is called before each CONNECT and each
	// Reauthenticate, without locks and with time to spare; its password, if not
	// nil, takes Password's place. renew says that what it gave last is of no use
	// any more: it is the first call, or the Server refused that or let it expire
	// (0x86, 0x87, 0xA0), after which it is asked once more. An error ends the
	// attempt.
	Credentials func(ctx context.Context, renew bool) (password []byte, err error)
	// Authentication is enhanced authentication, 5.0 only, which it asks for. No
	// user and password are taken from the URL then. Default none.
	Authentication *Authentication
	// Will is the Will Message. Default none.
	Will *mqtt.Will
	// ReceiveMaximum is how many QoS 1 and 2 messages may wait for our
	// acknowledgement, 5.0 only. Default 0: the standard's 65,535.
	ReceiveMaximum uint16
	// MaximumPacketSize is the largest packet that we take, in bytes; a 3.1.1
	// Server is not told, but held to it. Default 0: the standard's 256 MiB.
	MaximumPacketSize uint32
	// TopicAliasMaximum is how many Topic Aliases the Server may use, and how
	// many of those that it offers we use, 5.0 only. Default 0: none.
	TopicAliasMaximum uint16
	// Properties are more properties for CONNECT. Those that have a field above
	// are taken for it where the field is 0.
	Properties mqtt.Properties

	// ConnectTimeout bounds one attempt, from the name's resolution to the
	// CONNACK. Default DefaultConnectTimeout.
	ConnectTimeout time.Duration
	// Reconnect says how a lost connection is made anew. Default nil: never.
	Reconnect *Backoff
	// ResendReceived publishes anew also the QoS 2 messages that the Server had
	// received, in a Session that it does not have any more. They may come twice
	// then; else they are taken for delivered and may be lost. Default false.
	ResendReceived bool
	// InFlight bounds the QoS 1 and 2 messages under way below the Server's
	// Receive Maximum. Default 0: that alone.
	InFlight int
	// ReceiveBuffer bounds the messages that Receive has not returned yet, in
	// bytes. Beyond it nothing is read any more, so that TCP holds the Server
	// back, and acknowledgements of our own messages wait as well. Default
	// DefaultReceiveBuffer.
	ReceiveBuffer int
	// AutoAck acknowledges a message when Receive returns it, so that Ack need
	// not be called.
	AutoAck bool

	// OnMessage sees each message on the goroutine that reads, before it is
	// copied. p and its bytes are valid until it returns; topic is the Topic
	// Name, also where p has an alias, and may be kept. True: it is handled, and
	// acknowledged if need be. False: it goes to Receive. It must not block, nor
	// call a method that waits.
	OnMessage func(c *Client, p *mqtt.Publish, topic string) (handled bool)
	// OnReceived is told that the Server has received a QoS 2 message: each PUBREC
	// that is no failure, with the token given to [Batch.Publish]; a repeated one
	// again. It is called as [Done] is, and before it.
	OnReceived func(token uint64)
	// OnState is told each change of State, in order; err is why a connection or
	// an attempt ended. It must not block, nor call a method that waits.
	OnState func(s State, err error)
	// Trace sees every packet. It is valid until Trace returns. It is called
	// with locks held and must call no method of the Client.
	Trace func(d Direction, p mqtt.Packet)
}

// Backoff says when a connection is tried again: after a random time between 0
// and Min, doubled for each failure, up to Max ("full jitter"), so that the
// clients of a Server that comes back do not come all at once.
type Backoff struct {
	Min time.Duration // default DefaultBackoffMin
	Max time.Duration // default DefaultBackoffMax
	// Attempts is how many are made in a row. Default 0: no bound.
	Attempts int
	// Within bounds the time without a connection that was of use: one that
	// brought a message or an acknowledgement, or that lasted so long. While any
	// other is up the time does not count, but goes on behind it: so a Server that
	// accepts and closes is given up, and who was idle for a while is not. Being
	// taken over is the end then. Default 0: no bound.
	Within time.Duration
	// First tries the first connection again as well.
	First bool
}

// lasting is how long a connection must have been up to count as one.
func (b *Backoff) lasting() time.Duration { return cmp.Or(b.Within, b.Max, DefaultBackoffMax) }

// delay returns the wait after the n-th failure in a row, from 1.
func (b *Backoff) delay(n int) time.Duration {
	ceiling, limit := cmp.Or(b.Min, DefaultBackoffMin), cmp.Or(b.Max, DefaultBackoffMax)
	for i := 1; i < n && ceiling < limit; i++ {
		ceiling *= 2
	}
	return rand.N(min(ceiling, limit)) + 1
}

// Direction is which way a packet went.
type Direction byte

// The directions.
const (
	Sent Direction = iota + 1
	Received
)

// State is what a Client is doing.
type State byte

// The states. A Client begins in Connecting.
const (
	Connecting   State = iota // the first attempts
	Connected                 // CONNACK has come
	Reconnecting              // the connection is lost and will be made anew
	Closed                    // for good
)

func (s State) String() string {
	return [...]string{"connecting", "connected", "reconnecting", "closed"}[s]
}

// Validate reports all faults at once, joined. Connect calls it.
func (o *Options) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("client: "+format, args...))
	}
	if o.Version != 0 && !o.Version.Known() {
		fault("unknown protocol version %d", byte(o.Version))
	}
	old := o.Version != 0 && o.Version < mqtt.V50
	if o.ClientID == "" && old && o.KeepSession {
		fault("%s needs a Client Identifier to keep a Session", o.Version) // [MQTT-3.1.1: 3.1.3-7]
	}
	if o.ClientID == "" && o.Version == mqtt.V31 {
		fault("3.1 needs a Client Identifier")
	}
	if old && o.Password != nil && !o.hasUsername() {
		fault("%s has no password without a user name", o.Version) // [MQTT-3.1.1: 3.1.2-22]
	}
	if old && o.Authentication != nil {
		fault("%s has no enhanced authentication", o.Version)
	}
	if a := o.Authentication; a != nil && (a.Begin == nil || !mqtt.ValidString(a.Method)) {
		fault("an authentication without a method that is UTF-8, or without its steps")
	}
	for _, text := range []struct{ name, s string }{{"Client Identifier", o.ClientID}, {"user name", o.Username}} {
		if !mqtt.ValidString(text.s) {
			fault("the %s is not UTF-8 without U+0000, or longer than 65,535 bytes", text.name)
		}
	}
	if len(o.Password) > 65535 {
		fault("the password is longer than 65,535 bytes")
	}
	if o.InFlight < 0 || o.ReceiveBuffer < 0 || o.ConnectTimeout < 0 {
		fault("a negative bound")
	}
	for i := range o.Properties {
		switch id := o.Properties[i].ID; {
		case !id.AllowedIn(mqtt.TypeConnect):
			fault("%s is no property of CONNECT", id)
		case o.Authentication != nil && (id == mqtt.AuthenticationMethod || id == mqtt.AuthenticationData):
			fault("Authentication and %s", id)
		}
	}
	faults = append(faults, o.validateWill())
	return errors.Join(faults...)
}

func (o *Options) validateWill() error {
	if o.Will == nil {
		return nil
	}
	var faults []error
	if err := topic.ValidateName(o.Will.Topic); err != nil {
		faults = append(faults, fmt.Errorf("client: will: %w", err))
	}
	if o.Will.QoS > mqtt.QoS2 {
		faults = append(faults, fmt.Errorf("client: will: QoS %d", o.Will.QoS))
	}
	if len(o.Will.Payload) > 65535 {
		faults = append(faults, errors.New("client: will: the payload is longer than 65,535 bytes"))
	}
	for i := range o.Will.Properties {
		if id := o.Will.Properties[i].ID; !id.AllowedIn(0) {
			faults = append(faults, fmt.Errorf("client: will: %s is no property of a will", id))
		}
	}
	return errors.Join(faults...)
}

func (o *Options) hasUsername() bool { return o.HasUsername || o.Username != "" }

// prepare returns the options that a Client works with: valid, URL parsed,
// defaults filled in.
func (o Options) prepare() (*Options, error) {
	if o.Endpoint == nil && o.Dial == nil {
		e, err := transport.ParseURL(cmp.Or(o.URL, "mqtt://localhost"))
		if err != nil {
			return nil, fmt.Errorf("client: %w", err)
		}
		o.Endpoint = e
	}
	if e := o.Endpoint; e != nil && o.Authentication == nil {
		o.credentials(e)
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.ReceiveMaximum = uint16(o.absorb(mqtt.ReceiveMaximum, uint32(o.ReceiveMaximum)))
	o.TopicAliasMaximum = uint16(o.absorb(mqtt.TopicAliasMaximum, uint32(o.TopicAliasMaximum)))
	o.MaximumPacketSize = o.absorb(mqtt.MaximumPacketSize, o.MaximumPacketSize)
	o.SessionExpiryInterval = o.absorb(mqtt.SessionExpiryInterval, o.SessionExpiryInterval)
	if o.NoKeepAlive {
		o.KeepAlive = 0
	} else {
		o.KeepAlive = cmp.Or(o.KeepAlive, DefaultKeepAlive)
	}
	if o.Authentication != nil {
		o.Version = mqtt.V50 // no fall-back: it would do without
	}
	if o.Authentication != nil || o.Trace != nil {
		o.Transport.Loops = nil // they may work for long, or write to a slow file
	}
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, DefaultConnectTimeout)
	o.Transport.OutLimit = cmp.Or(o.Transport.OutLimit, DefaultSendBuffer)
	o.ReceiveBuffer = cmp.Or(o.ReceiveBuffer, DefaultReceiveBuffer)
	return &o, nil
}

// credentials takes those of the URL, where the options have none.
func (o *Options) credentials(e *transport.Endpoint) {
	if !o.hasUsername() {
		o.Username, o.HasUsername = e.Username, e.HasUsername
	}
	if o.Password == nil && e.HasPassword {
		o.Password = append([]byte{}, e.Password...)
	}
}

// absorb takes a property that has a field out of Properties: CONNECT carries
// it once.
func (o *Options) absorb(id mqtt.PropertyID, field uint32) uint32 {
	n := cmp.Or(field, o.Properties.NumberOr(id, 0))
	o.Properties = o.Properties.Without(id)
	return n
}
