package flow

import (
	"testing"

	"mqt/mqtt"
)

// TestPublishAs sends under chosen identifiers, also those that share a place of
// the table, and refuses those in use.
func TestPublishAs(t *testing.T) {
	var s Sender[int]
	s.Reset(6)
	for i, id := range []mqtt.PacketID{7, 65_535, 7 + 8, 7 + 16, 1} {
		if !s.PublishAs(id, mqtt.QoS(1+i%2), i) {
			t.Fatalf("identifier %d was refused", id)
		}
	}
	if s.PublishAs(7, mqtt.QoS1, 9) || s.PublishAs(0, mqtt.QoS1, 9) {
		t.Fatal("an identifier in use, or 0, was accepted")
	}
	if got := s.Quota(); got != 1 {
		t.Fatalf("the quota is %d, want 1: what was refused takes none", got)
	}
	if m, ok := s.Puback(7); !ok || m != 0 {
		t.Fatalf("Puback(7) is %d, %v", m, ok)
	}
	if !s.PublishAs(7, mqtt.QoS1, 10) || !s.PublishAs(8, mqtt.QoS1, 11) || s.PublishAs(9, mqtt.QoS1, 12) {
		t.Fatal("the quota is not kept")
	}
	var order []mqtt.PacketID
	for id := range s.All() {
		order = append(order, id)
	}
	want := []mqtt.PacketID{65_535, 15, 23, 1, 7, 8}
	for i, id := range want {
		if i >= len(order) || order[i] != id {
			t.Fatalf("the order is %v, want %v", order, want)
		}
	}
}
