package mqtt_test

import (
	"fmt"
	"strings"
	"testing"

	"mqt/mqtt"
)

func TestString(t *testing.T) {
	user := mqtt.User("k\n", "v")
	tests := []struct {
		p    mqtt.Packet
		want string
	}{
		{&mqtt.Connect{Version: mqtt.V311, CleanStart: true, KeepAlive: 60, ClientID: "c"}, `CONNECT (v3.1.1, c1, k60, "c")`},
		{&mqtt.Connect{Version: mqtt.V50, ClientID: "c", HasUsername: true, Username: "u", HasPassword: true, Password: []byte("secret"),
			Will:       &mqtt.Will{Topic: "w", Payload: []byte("private"), QoS: 1, Retain: true, Properties: mqtt.Properties{mqtt.Num(mqtt.WillDelayInterval, 3)}},
			Properties: mqtt.Properties{mqtt.Num(mqtt.ReceiveMaximum, 10), mqtt.Str(mqtt.AuthenticationMethod, "m"), mqtt.Bin(mqtt.AuthenticationData, []byte("secret"))}},
			`CONNECT (v5.0, c0, k0, "c", username "u", password, will (q1, r1, "w", 7 bytes, will-delay-interval: 3), receive-maximum: 10, authentication-method: "m", authentication-data)`},
		{&mqtt.Connack{SessionPresent: true}, `CONNACK (s1, Success (0x00))`},
		{&mqtt.Connack{ReasonCode: mqtt.NotAuthorized, Properties: mqtt.Properties{mqtt.Str(mqtt.ReasonString, "no")}}, `CONNACK (s0, Not authorized (0x87), reason-string: "no")`},
		{&mqtt.Publish{Topic: []byte("a/b"), Payload: []byte("private")}, `PUBLISH (d0, q0, r0, "a/b", 7 bytes)`},
		{&mqtt.Publish{Dup: true, QoS: 2, Retain: true, PacketID: 9, Topic: []byte("a\x1b[31m"), Properties: mqtt.Properties{mqtt.Bin(mqtt.CorrelationData, []byte{1, 2}), user}},
			`PUBLISH (d1, q2, r1, m9, "a\x1b[31m", 0 bytes, correlation-data: 2 bytes, user-property: "k\n"="v")`},
		{&mqtt.Puback{Ack: mqtt.Ack{PacketID: 1}}, `PUBACK (m1)`},
		{&mqtt.Pubrec{Ack: mqtt.Ack{PacketID: 1, ReasonCode: mqtt.QuotaExceeded}}, `PUBREC (m1, Quota exceeded (0x97))`},
		{&mqtt.Pubrel{Ack: mqtt.Ack{PacketID: 1, ReasonCode: mqtt.PacketIdentifierNotFound}}, `PUBREL (m1, Packet Identifier not found (0x92))`},
		{&mqtt.Pubcomp{Ack: mqtt.Ack{PacketID: 1, Properties: mqtt.Properties{user}}}, `PUBCOMP (m1, user-property: "k\n"="v")`},
		{&mqtt.Subscribe{PacketID: 1, Subscriptions: []mqtt.Subscription{{Filter: "a", QoS: 1}, {Filter: "#", NoLocal: true, RetainAsPublished: true, RetainHandling: 2}}},
			`SUBSCRIBE (m1, "a" q1, "#" q0 no-local retain-as-published retain-handling=2)`},
		{&mqtt.Suback{PacketID: 1, ReasonCodes: []mqtt.ReasonCode{0, 2, mqtt.UnspecifiedError}}, `SUBACK (m1, 0, 2, Unspecified error (0x80))`},
		{&mqtt.Unsubscribe{PacketID: 1, Filters: []string{"a", "b"}}, `UNSUBSCRIBE (m1, "a", "b")`},
		{&mqtt.Unsuback{PacketID: 1, ReasonCodes: []mqtt.ReasonCode{0, mqtt.NoSubscriptionExisted}}, `UNSUBACK (m1, 0, No subscription existed (0x11))`},
		{&mqtt.Unsuback{PacketID: 1}, `UNSUBACK (m1)`},
		{&mqtt.Pingreq{}, `PINGREQ`},
		{&mqtt.Pingresp{}, `PINGRESP`},
		{&mqtt.Disconnect{}, `DISCONNECT`},
		{&mqtt.Disconnect{ReasonCode: mqtt.ServerMoved, Properties: mqtt.Properties{mqtt.Str(mqtt.ServerReference, "b")}}, `DISCONNECT (Server moved (0x9D), server-reference: "b")`},
		{&mqtt.Auth{ReasonCode: mqtt.ContinueAuthentication}, `AUTH (Continue authentication (0x18))`},
		{&mqtt.Publish{Topic: []byte(strings.Repeat("t", 200))}, `PUBLISH (d0, q0, r0, "` + strings.Repeat("t", 128) + `"…, 0 bytes)`},
	}
	for _, tt := range tests {
		if got := fmt.Sprint(tt.p); got != tt.want {
			t.Errorf("\n got %s\nwant %s", got, tt.want)
		}
	}
}

// TestStringOfVectors: every packet is shown on one line that a terminal takes as text.
func TestStringOfVectors(t *testing.T) {
	for _, v := range vectors(t) {
		v.each(t, func(t *testing.T, r *mqtt.Reader) {
			p, _, _ := r.Read(v.wire) // an error's packet may be shown as well
			if p == nil {
				return
			}
			s := fmt.Sprint(p)
			if !strings.HasPrefix(s, p.Type().String()) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("%q", s)
			}
		})
	}
}
