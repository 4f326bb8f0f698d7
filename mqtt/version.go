package mqtt

import "fmt"

// Version is the Protocol Version (Protocol Level) byte of CONNECT, section
// 3.1.2.2.
type Version byte

// The versions that are spoken.
const (
	V31  Version = 3 // MQTT 3.1, protocol name MQIsdp
	V311 Version = 4 // MQTT 3.1.1
	V50  Version = 5 // MQTT 5.0
)

// String returns the version as people write it: "3.1", "3.1.1" or "5.0".
func (v Version) String() string {
	switch v {
	case V31:
		return "3.1"
	case V311:
		return "3.1.1"
	case V50:
		return "5.0"
	}
	return fmt.Sprintf("level %d", byte(v))
}

// Known reports whether the version is one that is spoken here.
func (v Version) Known() bool { return v >= V31 && v <= V50 }
