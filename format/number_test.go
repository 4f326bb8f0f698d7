package format

import (
	"testing"
	"time"
)

func TestNumbers(t *testing.T) {
	tests := []struct{ got, want string }{
		{grouped(0), "0"},
		{grouped(999), "999"},
		{grouped(-1000), "-1 000"},
		{grouped(uint64(1234567)), "1 234 567"},
		{perSecond(0), "0.0/s"},
		{perSecond(999.94), "999.9/s"},
		{perSecond(3999.8), "4 000/s"},
		{milliseconds(0), "0"},
		{milliseconds(42 * time.Microsecond), "0.042"},
		{milliseconds(4200 * time.Microsecond), "4.20"},
		{milliseconds(12345 * time.Microsecond), "12.3"},
		{milliseconds(1500 * time.Millisecond), "1 500"},
		{byteSize(0), "0 B"},
		{byteSize(1023), "1023 B"},
		{byteSize(1 << 20), "1.0 MiB"},
		{byteSize(1 << 62), "4.0 EiB"},
		{percent(0.123), "12.3 %"},
		{bars(nil, 5), ""},
		{bars([]float64{0, 0}, 5), "▁▁"},
		{bars([]float64{0, 1, 4, 8}, 5), "▁▂▅█"},
		{bars([]float64{0, 1, 8, 0, 0, 4}, 3), "▂█▅"},
	}
	for i, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%d: %q, want %q", i, tt.got, tt.want)
		}
	}
}
