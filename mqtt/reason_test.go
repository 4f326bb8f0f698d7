package mqtt_test

import (
	"strconv"
	"strings"
	"testing"

	"mqt/mqtt"
)

// reasonBody is a packet with the Reason Code last, or before an empty Property Length and what it needs.
func reasonBody(t *testing.T, packet string, v mqtt.Version, code byte) []byte {
	t.Helper()
	switch {
	case packet == "CONNACK" && v < mqtt.V50:
		return frame(0x20, []byte{0, code})
	case packet == "SUBACK" && v < mqtt.V50:
		return frame(0x90, []byte{0, 1, code})
	}
	switch packet {
	case "CONNACK":
		return frame(0x20, []byte{0, code, 0})
	case "PUBACK":
		return frame(0x40, []byte{0, 1, code})
	case "PUBREC":
		return frame(0x50, []byte{0, 1, code, 0})
	case "PUBREL":
		return frame(0x62, []byte{0, 1, code})
	case "PUBCOMP":
		return frame(0x70, []byte{0, 1, code, 0})
	case "SUBACK":
		return frame(0x90, []byte{0, 1, 0, 0, code})
	case "UNSUBACK":
		return frame(0xb0, []byte{0, 1, 0, code, 0})
	case "DISCONNECT":
		return frame(0xe0, []byte{code})
	case "AUTH":
		return frame(0xf0, []byte{code, 4, 0x15, 0, 1, 'm'})
	}
	t.Fatalf("no Reason Code in %s", packet)
	return nil
}

// TestReasonCodes tries all 256 values in every packet that has one, from each side: [MQTT-3.2.2-8], [MQTT-3.4.2-1],
// [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1], [MQTT-3.9.3-2], [MQTT-3.11.3-2], [MQTT-3.14.2-1], [MQTT-3.15.2-1].
func TestReasonCodes(t *testing.T) {
	rows := 0
	for _, line := range lines(t, "reasons.txt") {
		line, refusal, _ := strings.Cut(line, " ! ")
		head, codes, _ := strings.Cut(line, " : ")
		f := strings.Fields(head)
		packet, version := f[0], versionNamed(f[1])
		allowed := make(map[byte]bool)
		for _, c := range unhex(codes) {
			allowed[c] = true
		}
		number, statement, _ := strings.Cut(refusal, " ")
		want, err := strconv.ParseUint(number, 0, 8)
		if err != nil {
			t.Fatal(err)
		}
		for _, side := range f[2:] {
			rows++
			r := &mqtt.Reader{From: sideNamed(side), Version: version}
			for code := range 256 {
				wire := reasonBody(t, packet, version, byte(code))
				if allowed[byte(code)] {
					roundTrip(t, wantPacket(t, r, wire), r.From, version)
				} else {
					wantError(t, r, wire, mqtt.ReasonCode(want), statement)
				}
			}
		}
	}
	if rows < 19 {
		t.Errorf("only %d rows", rows)
	}
}

func TestReasonNames(t *testing.T) {
	names := make(map[string]mqtt.ReasonCode)
	for code := range 256 {
		r := mqtt.ReasonCode(code)
		if r.Failed() != (code >= 128) {
			t.Errorf("0x%02x failed: %t", code, r.Failed())
		}
		name := r.Name()
		if name == "" {
			if got, want := r.String(), "reason 0x"+strings.ToUpper(strconv.FormatInt(int64(code)+256, 16))[1:]; got != want {
				t.Errorf("0x%02x is %q, want %q", code, got, want)
			}
			continue
		}
		if other, ok := names[name]; ok {
			t.Errorf("0x%02x and 0x%02x are both called %q", code, byte(other), name)
		}
		names[name] = r
	}
	if len(names) != 43 {
		t.Errorf("%d reasons have names, table 2-6 has 43 values", len(names))
	}
	if got, want := mqtt.NotAuthorized.String(), "Not authorized (0x87)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestConnectReturnCode holds the codes of 3.1.1 to 0 … 5, and each to what it was made from.
func TestConnectReturnCode(t *testing.T) {
	for code := range 256 {
		if got := mqtt.ReasonCode(code).ConnectReturnCode(); got > 5 || (got == 0) != (code == 0) {
			t.Errorf("reason 0x%02x becomes return code %d", code, got)
		}
	}
	for code := range 256 {
		r, ok := mqtt.ConnackReason(byte(code))
		if ok != (code <= 5) {
			t.Errorf("return code %d is defined: %t", code, ok)
		}
		if ok && r.ConnectReturnCode() != byte(code) {
			t.Errorf("return code %d becomes %s and then %d", code, r, r.ConnectReturnCode())
		}
	}
	for r, want := range map[mqtt.ReasonCode]byte{mqtt.UnsupportedProtocolVersion: 1, mqtt.ClientIdentifierNotValid: 2, mqtt.ServerUnavailable: 3,
		mqtt.BadUserNameOrPassword: 4, mqtt.NotAuthorized: 5, mqtt.Banned: 5, mqtt.ServerBusy: 3, mqtt.QuotaExceeded: 3} {
		if got := r.ConnectReturnCode(); got != want {
			t.Errorf("%s becomes %d, want %d", r, got, want)
		}
	}
}
