package transport

import (
	"errors"
	"io"
	"net"
	"testing"
)

// Without a descriptor for them, all that wait learn it at once, and not one after the other.
func TestAllAreTurnedAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	var waiting []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", l.Addr().String())
		check(t, err)
		defer c.Close()
		waiting = append(waiting, c)
	}
	s := newSpare()
	defer s.close()
	s.turnAway(l)
	if s.f == nil {
		t.Error("no descriptor is held back for the next time")
	}
	check(t, l.Close()) // which resets who is left
	for i, c := range waiting {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("connection %d: %v", i, err)
		}
	}
}
