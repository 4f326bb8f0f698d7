package cmd

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"mqt/mqtt/broker"
)

// Every limit's flag sets a field of its own, and every limit of the library has a flag.
func TestLimitFlags(t *testing.T) {
	set := make(map[string]string) // field -> flag
	for _, f := range limitFlags(&broker.Options{}) {
		name := f.names[0]
		var o broker.Options
		for _, g := range limitFlags(&o) {
			if g.names[0] == name {
				value := "99"
				if name == "max-qos" {
					value = "1"
				}
				if _ = g.Value.Set(value); g.fault != nil {
					t.Fatalf("--%s %s: %v", name, value, g.fault)
				}
			}
		}
		v := reflect.ValueOf(o)
		n := 0
		for i := range v.NumField() {
			if field := v.Type().Field(i).Name; !v.Field(i).IsZero() {
				if other := set[field]; other != "" {
					t.Errorf("--%s and --%s set %s", name, other, field)
				}
				set[field] = name
				n++
			}
		}
		if n != 1 {
			t.Errorf("--%s sets %d fields", name, n)
		}
	}
	options := reflect.TypeFor[broker.Options]()
	for i := range options.NumField() {
		name := options.Field(i).Name
		limit := strings.HasPrefix(name, "Max") || strings.HasSuffix(name, "Maximum") || strings.HasSuffix(name, "Rate") ||
			strings.HasSuffix(name, "Timeout") || strings.HasSuffix(name, "Limit")
		if limit && set[name] == "" {
			t.Errorf("%s has no flag", name)
		}
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "4096": 4096, "64KiB": 64 << 10, "64k": 64 << 10, "1.5MB": 1_500_000, "2GiB": 2 << 30, "1 M": 1 << 20, "5B": 5,
		"": -1, "x": -1, "-1": -1, "1XB": -1, "KiB": -1, "1e30": -1, "NaN": -1, "Inf": -1, "1TiB": -1,
	} {
		n, err := parseSize(in)
		if err != nil {
			n = -1
		}
		if n != want {
			t.Errorf("%q: %d, %v; want %d", in, n, err, want)
		}
	}
}

func TestBrokerDefaults(t *testing.T) {
	o := newBrokerOptions()
	if o.limits.SysInterval != 10*time.Second || o.port != -1 || o.logLevel().String() != "WARN" {
		t.Errorf("%+v", o)
	}
	if err := o.limits.Validate(); err != nil {
		t.Error(err)
	}
}
