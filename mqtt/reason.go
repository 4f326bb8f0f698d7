package mqtt

import "fmt"

// ReasonCode is the result of an operation, section 2.4. Values from 0x80 on
// are failures.
type ReasonCode byte

// The Reason Codes of 5.0. Success is also Normal disconnection and Granted
// QoS 0.
const (
	Success                             ReasonCode = 0x00
	GrantedQoS1                         ReasonCode = 0x01
	GrantedQoS2                         ReasonCode = 0x02
	DisconnectWithWill                  ReasonCode = 0x04
	NoMatchingSubscribers               ReasonCode = 0x10
	NoSubscriptionExisted               ReasonCode = 0x11
	ContinueAuthentication              ReasonCode = 0x18
	ReAuthenticate                      ReasonCode = 0x19
	UnspecifiedError                    ReasonCode = 0x80
	MalformedPacket                     ReasonCode = 0x81
	ProtocolError                       ReasonCode = 0x82
	ImplementationSpecificError         ReasonCode = 0x83
	UnsupportedProtocolVersion          ReasonCode = 0x84
	ClientIdentifierNotValid            ReasonCode = 0x85
	BadUserNameOrPassword               ReasonCode = 0x86
	NotAuthorized                       ReasonCode = 0x87
	ServerUnavailable                   ReasonCode = 0x88
	ServerBusy                          ReasonCode = 0x89
	Banned                              ReasonCode = 0x8A
	ServerShuttingDown                  ReasonCode = 0x8B
	BadAuthenticationMethod             ReasonCode = 0x8C
	KeepAliveTimeout                    ReasonCode = 0x8D
	SessionTakenOver                    ReasonCode = 0x8E
	TopicFilterInvalid                  ReasonCode = 0x8F
	TopicNameInvalid                    ReasonCode = 0x90
	PacketIdentifierInUse               ReasonCode = 0x91
	PacketIdentifierNotFound            ReasonCode = 0x92
	ReceiveMaximumExceeded              ReasonCode = 0x93
	TopicAliasInvalid                   ReasonCode = 0x94
	PacketTooLarge                      ReasonCode = 0x95
	MessageRateTooHigh                  ReasonCode = 0x96
	QuotaExceeded                       ReasonCode = 0x97
	AdministrativeAction                ReasonCode = 0x98
	PayloadFormatInvalid                ReasonCode = 0x99
	RetainNotSupported                  ReasonCode = 0x9A
	QoSNotSupported                     ReasonCode = 0x9B
	UseAnotherServer                    ReasonCode = 0x9C
	ServerMoved                         ReasonCode = 0x9D
	SharedSubscriptionsNotSupported     ReasonCode = 0x9E
	ConnectionRateExceeded              ReasonCode = 0x9F
	MaximumConnectTime                  ReasonCode = 0xA0
	SubscriptionIdentifiersNotSupported ReasonCode = 0xA1
	WildcardSubscriptionsNotSupported   ReasonCode = 0xA2
)

// Failed reports whether the code is a failure, 0x80 or more.
func (r ReasonCode) Failed() bool { return r >= 0x80 }

// String returns the standard's name with the code, "Not authorized (0x87)".
func (r ReasonCode) String() string {
	if name := r.Name(); name != "" {
		return fmt.Sprintf("%s (0x%02X)", name, byte(r))
	}
	return fmt.Sprintf("reason 0x%02X", byte(r))
}

// Name returns the standard's name, or "" for a value it does not define.
func (r ReasonCode) Name() string { return reasonNames[r] }

var reasonNames = [256]string{
	Success: "Success", GrantedQoS1: "Granted QoS 1", GrantedQoS2: "Granted QoS 2",
	DisconnectWithWill:     "Disconnect with Will Message",
	NoMatchingSubscribers:  "No matching subscribers",
	NoSubscriptionExisted:  "No subscription existed",
	ContinueAuthentication: "Continue authentication", ReAuthenticate: "Re-authenticate",
	UnspecifiedError: "Unspecified error", MalformedPacket: "Malformed Packet",
	ProtocolError: "Protocol Error", ImplementationSpecificError: "Implementation specific error",
	UnsupportedProtocolVersion: "Unsupported Protocol Version",
	ClientIdentifierNotValid:   "Client Identifier not valid",
	BadUserNameOrPassword:      "Bad User Name or Password", NotAuthorized: "Not authorized",
	ServerUnavailable: "Server unavailable", ServerBusy: "Server busy", Banned: "Banned",
	ServerShuttingDown: "Server shutting down", BadAuthenticationMethod: "Bad authentication method",
	KeepAliveTimeout: "Keep Alive timeout", SessionTakenOver: "Session taken over",
	TopicFilterInvalid: "Topic Filter invalid", TopicNameInvalid: "Topic Name invalid",
	PacketIdentifierInUse: "Packet Identifier in use", PacketIdentifierNotFound: "Packet Identifier not found",
	ReceiveMaximumExceeded: "Receive Maximum exceeded", TopicAliasInvalid: "Topic Alias invalid",
	PacketTooLarge: "Packet too large", MessageRateTooHigh: "Message rate too high",
	QuotaExceeded: "Quota exceeded", AdministrativeAction: "Administrative action",
	PayloadFormatInvalid: "Payload format invalid", RetainNotSupported: "Retain not supported",
	QoSNotSupported: "QoS not supported", UseAnotherServer: "Use another server", ServerMoved: "Server moved",
	SharedSubscriptionsNotSupported:     "Shared Subscriptions not supported",
	ConnectionRateExceeded:              "Connection rate exceeded",
	MaximumConnectTime:                  "Maximum connect time",
	SubscriptionIdentifiersNotSupported: "Subscription Identifiers not supported",
	WildcardSubscriptionsNotSupported:   "Wildcard Subscriptions not supported",
}

// reasonsOf lists what each packet may carry, by the Reason Code tables of
// chapter 3. DISCONNECT and AUTH depend on who sends them: see reasonAllowed.
var reasonsOf = [16][]ReasonCode{
	TypeConnack: {Success, UnspecifiedError, MalformedPacket, ProtocolError, ImplementationSpecificError,
		UnsupportedProtocolVersion, ClientIdentifierNotValid, BadUserNameOrPassword, NotAuthorized,
		ServerUnavailable, ServerBusy, Banned, BadAuthenticationMethod, TopicNameInvalid, PacketTooLarge,
		QuotaExceeded, PayloadFormatInvalid, RetainNotSupported, QoSNotSupported, UseAnotherServer,
		ServerMoved, ConnectionRateExceeded},
	TypePuback: {Success, NoMatchingSubscribers, UnspecifiedError, ImplementationSpecificError,
		NotAuthorized, TopicNameInvalid, PacketIdentifierInUse, QuotaExceeded, PayloadFormatInvalid},
	TypePubrec: {Success, NoMatchingSubscribers, UnspecifiedError, ImplementationSpecificError,
		NotAuthorized, TopicNameInvalid, PacketIdentifierInUse, QuotaExceeded, PayloadFormatInvalid},
	TypePubrel:  {Success, PacketIdentifierNotFound},
	TypePubcomp: {Success, PacketIdentifierNotFound},
	TypeSuback: {Success, GrantedQoS1, GrantedQoS2, UnspecifiedError, ImplementationSpecificError,
		NotAuthorized, TopicFilterInvalid, PacketIdentifierInUse, QuotaExceeded,
		SharedSubscriptionsNotSupported, SubscriptionIdentifiersNotSupported, WildcardSubscriptionsNotSupported},
	TypeUnsuback: {Success, NoSubscriptionExisted, UnspecifiedError, ImplementationSpecificError,
		NotAuthorized, TopicFilterInvalid, PacketIdentifierInUse},
	TypeDisconnect: {Success, DisconnectWithWill, UnspecifiedError, MalformedPacket, ProtocolError,
		ImplementationSpecificError, NotAuthorized, ServerBusy, ServerShuttingDown, KeepAliveTimeout,
		SessionTakenOver, TopicFilterInvalid, TopicNameInvalid, ReceiveMaximumExceeded, TopicAliasInvalid,
		PacketTooLarge, MessageRateTooHigh, QuotaExceeded, AdministrativeAction, PayloadFormatInvalid,
		RetainNotSupported, QoSNotSupported, UseAnotherServer, ServerMoved, SharedSubscriptionsNotSupported,
		ConnectionRateExceeded, MaximumConnectTime, SubscriptionIdentifiersNotSupported,
		WildcardSubscriptionsNotSupported},
	TypeAuth: {Success, ContinueAuthentication, ReAuthenticate},
}

// reasonAllowed reports whether packet t sent by the given side may carry r.
func reasonAllowed(t Type, r ReasonCode, from Side) bool {
	found := false
	for _, c := range reasonsOf[t] {
		if c == r {
			found = true
			break
		}
	}
	if !found {
		return false
	}
	switch {
	case t == TypeDisconnect && from == Client:
		// The client's half of the table in section 3.14.2.1.
		switch r {
		case Success, DisconnectWithWill, UnspecifiedError, MalformedPacket, ProtocolError,
			ImplementationSpecificError, TopicNameInvalid, ReceiveMaximumExceeded, TopicAliasInvalid,
			PacketTooLarge, MessageRateTooHigh, QuotaExceeded, AdministrativeAction, PayloadFormatInvalid:
			return true
		}
		return false
	case t == TypeDisconnect && from == Server:
		return r != DisconnectWithWill
	case t == TypeAuth && from == Client:
		return r != Success
	case t == TypeAuth && from == Server:
		return r != ReAuthenticate
	}
	return true
}

// ConnectReturnCode returns the 3.1 and 3.1.1 twin of a CONNACK's Reason Code,
// 0 to 5, section 3.2.2.3 of 3.1.1.
func (r ReasonCode) ConnectReturnCode() byte {
	switch r {
	case Success:
		return 0
	case UnsupportedProtocolVersion:
		return 1
	case ClientIdentifierNotValid:
		return 2 // [MQTT-3.1.1: 3.1.3-9]
	case BadUserNameOrPassword:
		return 4
	case NotAuthorized, Banned, BadAuthenticationMethod:
		return 5
	}
	return 3
}

// ConnackReason returns the 5.0 twin of a 3.1.1 Connect Return Code, so that
// one table of codes serves all versions. false: the code is reserved.
func ConnackReason(returnCode byte) (ReasonCode, bool) {
	codes := [...]ReasonCode{Success, UnsupportedProtocolVersion, ClientIdentifierNotValid,
		ServerUnavailable, BadUserNameOrPassword, NotAuthorized}
	if int(returnCode) >= len(codes) {
		return UnspecifiedError, false
	}
	return codes[returnCode], true
}
