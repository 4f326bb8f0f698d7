package mqtt_test

import (
	"strings"
	"testing"

	"mqt/mqtt"
)

// texts are strings as the standard sees them: "" is fine, else the statement that they break.
func texts() map[string]string {
	return map[string]string{
		"": "", "a": "", "\ufeffa": "", "\U0010ffff": "", "\ud7ff\ue000\uffff\ufdd0": "", "\x01\x7f\u0080\u009f": "", "a\u0308": "", strings.Repeat("x", 65535): "",
		"\x00": "MQTT-1.5.4-2", "a\x00b": "MQTT-1.5.4-2", "\xff": "MQTT-1.5.4-1", "\x80": "MQTT-1.5.4-1", "a\xe2\x82": "MQTT-1.5.4-1",
		"\xed\xa0\x80": "MQTT-1.5.4-1", "\xed\xbf\xbf": "MQTT-1.5.4-1", "\xed\xa0\xbd\xed\xb8\x80": "MQTT-1.5.4-1",
		"\xf4\x90\x80\x80": "MQTT-1.5.4-1", "\xf8\x88\x80\x80\x80": "MQTT-1.5.4-1",
		"\xc0\xaf": "MQTT-1.5.4-1", "\xc0\x80": "MQTT-1.5.4-1", "\xe0\x9f\xbf": "MQTT-1.5.4-1", "\xf0\x8f\xbf\xbf": "MQTT-1.5.4-1",
	}
}

// TestTexts puts every string into every UTF-8 field outside of the properties: Client Identifier [MQTT-3.1.3-4], Will
// Topic [MQTT-3.1.3-11], User Name [MQTT-3.1.3-12], Topic Name [MQTT-3.3.2-1], and the Topic Filters of SUBSCRIBE
// [MQTT-3.8.3-1] and UNSUBSCRIBE [MQTT-3.10.3-1].
func TestTexts(t *testing.T) {
	field := func(s string) string { return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }
	fields := []struct {
		name  string
		v     mqtt.Version
		first byte
		wire  func(s string) string
	}{
		{"ClientID", mqtt.V311, 0x10, func(s string) string { return "\x00\x04MQTT\x04\x02\x00\x00" + s }},
		{"ClientID", mqtt.V50, 0x10, func(s string) string { return "\x00\x04MQTT\x05\x02\x00\x00\x00" + s }},
		{"Will Topic", mqtt.V311, 0x10, func(s string) string { return "\x00\x04MQTT\x04\x06\x00\x00\x00\x00" + s + "\x00\x00" }},
		{"Will Topic", mqtt.V50, 0x10, func(s string) string { return "\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x00\x00" + s + "\x00\x00" }},
		{"User Name", mqtt.V31, 0x10, func(s string) string { return "\x00\x06MQIsdp\x03\x82\x00\x00\x00\x00" + s }},
		{"User Name", mqtt.V50, 0x10, func(s string) string { return "\x00\x04MQTT\x05\x82\x00\x00\x00\x00\x00" + s }},
		{"Topic Name", mqtt.V311, 0x30, func(s string) string { return s }},
		{"Topic Name", mqtt.V50, 0x30, func(s string) string { return s + "\x03\x23\x00\x01" }},
		{"SUBSCRIBE Topic Filter", mqtt.V311, 0x82, func(s string) string { return "\x00\x01" + s + "\x00" }},
		{"SUBSCRIBE Topic Filter", mqtt.V50, 0x82, func(s string) string { return "\x00\x01\x00\x00\x01a\x00" + s + "\x00" }},
		{"UNSUBSCRIBE Topic Filter", mqtt.V311, 0xa2, func(s string) string { return "\x00\x01" + s }},
		{"UNSUBSCRIBE Topic Filter", mqtt.V50, 0xa2, func(s string) string { return "\x00\x01\x00" + s }},
	}
	for _, f := range fields {
		for s, statement := range texts() {
			if f.name == "Topic Name" && s == "" && f.v < mqtt.V50 {
				continue // refused for another reason
			}
			r := &mqtt.Reader{Version: f.v}
			wire := frame(f.first, []byte(f.wire(field(s))))
			if statement != "" {
				wantError(t, r, wire, mqtt.MalformedPacket, statement)
				continue
			}
			wantEncoding(t, wantPacket(t, r, wire), f.v, wire)
		}
	}
	// The protocol name is a string as well; what is not one is not an unsupported protocol.
	wantError(t, new(mqtt.Reader), frame(0x10, []byte("\x00\x04MQT\xff\x04\x02\x00\x00\x00\x00")), mqtt.MalformedPacket, "MQTT-1.5.4-1")
}

func TestValidString(t *testing.T) {
	for s, statement := range texts() {
		if got := mqtt.ValidString(s); got != (statement == "") {
			t.Errorf("%.20q: %t", s, got)
		}
	}
	if mqtt.ValidString(strings.Repeat("x", 65536)) {
		t.Error("a string of 65,536 bytes is valid")
	}
}
