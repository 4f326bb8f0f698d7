package mqtt

import (
	"errors"
	"slices"
	"testing"
	"unsafe"
)

// What a few bytes on the wire make large in memory is bounded by number: five
// bytes are a User Property, two a Topic Filter.
func TestDecodedListsAreBounded(t *testing.T) {
	users := func(n int) Properties { return slices.Repeat(Properties{User("", "")}, n) }
	for name, c := range map[string]struct {
		from  Side
		limit int
		make  func(n int) Packet
	}{
		"PUBLISH from a client": {Client, maxProperties, func(n int) Packet {
			return &Publish{Topic: []byte("t"), Properties: users(n)}
		}},
		"PUBLISH from a server": {Server, 2 * maxProperties, func(n int) Packet {
			return &Publish{Topic: []byte("t"), Properties: users(n)}
		}},
		"CONNECT": {Client, maxProperties, func(n int) Packet {
			return &Connect{Version: V50, CleanStart: true, Properties: users(n)}
		}},
		"will": {Client, maxProperties, func(n int) Packet {
			return &Connect{Version: V50, CleanStart: true, Will: &Will{Topic: "t", Properties: users(n)}}
		}},
		"SUBSCRIBE": {Client, maxFilters, func(n int) Packet {
			return &Subscribe{PacketID: 1, Subscriptions: slices.Repeat([]Subscription{{Filter: "a"}}, n)}
		}},
		"UNSUBSCRIBE": {Client, maxFilters, func(n int) Packet {
			return &Unsubscribe{PacketID: 1, Filters: slices.Repeat([]string{"a"}, n)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			read := func(n int) error {
				p, err := c.make(n).Append(nil, V50)
				if err != nil {
					t.Fatal(err)
				}
				r := Reader{From: c.from, Version: V50}
				if _, ok := c.make(n).(*Connect); ok {
					r.Version = 0
				}
				_, _, err = r.Read(p)
				return err
			}
			if err := read(c.limit); err != nil {
				t.Errorf("%d: %v", c.limit, err)
			}
			var fault *Error
			if err := read(c.limit + 1); !errors.As(err, &fault) || fault.Code != QuotaExceeded {
				t.Errorf("%d: %v, want %v", c.limit+1, err, QuotaExceeded)
			}
		})
	}
}

// What limits count is what the compiler lays out.
func TestPropertiesMemory(t *testing.T) {
	ps := Properties{User("key", "value"), Num(MessageExpiryInterval, 7)}
	if got, want := ps.Memory(), 2*int(unsafe.Sizeof(Property{}))+len("keyvalue"); got != want {
		t.Errorf("%d, want %d", got, want)
	}
}
