package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"mqt/mqtt"
)

// Errors that are compared with errors.Is.
var (
	// ErrClosed: Disconnect or Close was called.
	ErrClosed = errors.New("client: closed")
	// ErrConnectionLost: the Network Connection ended, and with it the hope for
	// what was not acknowledged. It wraps the cause, a *DisconnectError where the
	// Server gave a reason.
	ErrConnectionLost = errors.New("client: connection lost")
	// ErrNotConnected: there is no Network Connection at this moment. Publish and
	// WaitWindow wait for one, PublishAsync does not.
	ErrNotConnected = errors.New("client: not connected")
	// ErrWindowFull: as many messages are under way as the Server's Receive
	// Maximum and Options.InFlight allow, or too many bytes wait to be sent.
	// WaitWindow waits for room.
	ErrWindowFull = errors.New("client: in-flight window is full")
	// ErrPacketTooLarge: the packet is larger than the Server's Maximum Packet
	// Size [MQTT-3.2.2-15]. It was not sent.
	ErrPacketTooLarge = errors.New("client: packet is larger than the server's Maximum Packet Size")
	// ErrPingTimeout: the Server answered no PINGREQ. It is the cause in an
	// ErrConnectionLost.
	ErrPingTimeout = errors.New("client: no PINGRESP within the keep alive")
)

// ConnectError says why there is no connection: the Server refused it, or Err
// says what failed before (a net.OpError, a TLS certificate error, a context
// error, an *mqtt.Error for an answer that breaks the standard).
type ConnectError struct {
	// ReasonCode is that of the CONNACK, 0x80 or more; a 3.1.1 Connect Return
	// Code is given as its 5.0 twin. 0 when Err says why.
	ReasonCode mqtt.ReasonCode
	// Connack is the whole refusal, nil when Err says why.
	Connack *mqtt.Connack
	Err     error
}

func (e *ConnectError) Error() string {
	if e.Connack == nil {
		return "client: connect: " + e.Err.Error()
	}
	s := "client: the server refused the connection: " + e.ReasonCode.String()
	if text, ok := e.Connack.Properties.Text(mqtt.ReasonString); ok {
		s += ": " + text
	}
	return s
}

// Unwrap returns Err.
func (e *ConnectError) Unwrap() error { return e.Err }

// permanent reports whether trying again can only bring the same answer.
func (e *ConnectError) permanent() bool {
	if e.Connack == nil {
		var broken *mqtt.Error
		var encode *mqtt.EncodeError
		return errors.As(e.Err, &broken) || errors.As(e.Err, &encode)
	}
	switch e.ReasonCode {
	case mqtt.UnspecifiedError, mqtt.ImplementationSpecificError, mqtt.ServerUnavailable, mqtt.ServerBusy,
		mqtt.QuotaExceeded, mqtt.ConnectionRateExceeded:
		return false
	}
	return true
}

// DisconnectError is a DISCONNECT from the Server, section 3.14.
type DisconnectError struct {
	ReasonCode   mqtt.ReasonCode
	ReasonString string // "" if the Server gave none
	// ServerReference names another Server, with 0x9C and 0x9D.
	ServerReference string
}

func (e *DisconnectError) Error() string {
	s := "client: the server disconnected: " + e.ReasonCode.String()
	if e.ReasonString != "" {
		s += ": " + e.ReasonString
	}
	if e.ServerReference != "" {
		s += ": use " + e.ServerReference
	}
	return s
}

// permanent reports whether a new connection would end the same way, or, after
// a take-over, fight with the one that took over.
func (e *DisconnectError) permanent() bool {
	switch e.ReasonCode {
	case mqtt.Success, mqtt.UnspecifiedError, mqtt.ImplementationSpecificError, mqtt.ServerBusy,
		mqtt.ServerShuttingDown, mqtt.KeepAliveTimeout, mqtt.MessageRateTooHigh, mqtt.QuotaExceeded,
		mqtt.ConnectionRateExceeded, mqtt.MaximumConnectTime:
		return false
	}
	return true
}

// PublishError is a message that was not taken: the Server answered PUBACK or
// PUBREC with a failure, or a limit of its CONNACK says that it would.
type PublishError struct {
	ReasonCode   mqtt.ReasonCode
	ReasonString string // "" if the Server gave none
	// Err says more where nothing was sent, such as ErrPacketTooLarge.
	Err error
}

func (e *PublishError) Error() string {
	s := "client: publish: " + e.ReasonCode.String()
	if e.ReasonString != "" {
		s += ": " + e.ReasonString
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns Err.
func (e *PublishError) Unwrap() error { return e.Err }

// SubscribeError is a SUBSCRIBE or UNSUBSCRIBE that was denied, whole or in
// part.
type SubscribeError struct {
	Filters      []string
	ReasonCodes  []mqtt.ReasonCode // one for each filter
	ReasonString string            // "" if the Server gave none
}

func (e *SubscribeError) Error() string {
	var b strings.Builder
	b.WriteString("client: denied:")
	for i, code := range e.ReasonCodes {
		if code.Failed() && i < len(e.Filters) {
			fmt.Fprintf(&b, " %s: %s;", e.Filters[i], code)
		}
	}
	s := strings.TrimSuffix(b.String(), ";")
	if e.ReasonString != "" {
		s += ": " + e.ReasonString
	}
	return s
}

// ReasonCode returns the first failure.
func (e *SubscribeError) ReasonCode() mqtt.ReasonCode {
	for _, code := range e.ReasonCodes {
		if code.Failed() {
			return code
		}
	}
	return mqtt.UnspecifiedError
}

// RetryError is a connection that was lost and could not be made anew within
// the bounds of a Backoff. It wraps Cause.
type RetryError struct {
	After time.Duration // since the loss, as Backoff.Within counts
	Cause error         // why the connection was lost
	Last  error         // what became of the last attempt
}

func (e *RetryError) Error() string {
	return fmt.Sprintf("%v; gave up after %v: %v", lost(e.Cause), e.After.Round(100*time.Millisecond), e.Last)
}

// Unwrap returns ErrConnectionLost and Cause.
func (e *RetryError) Unwrap() []error { return []error{ErrConnectionLost, e.Cause} }

// lost makes the error of what was under way when the connection ended.
func lost(cause error) error {
	if cause == nil || errors.Is(cause, ErrConnectionLost) || errors.Is(cause, ErrClosed) {
		return cause
	}
	return fmt.Errorf("%w: %w", ErrConnectionLost, cause)
}
