package codec

import (
	"fmt"
	"strings"

	"mqt/mqtt/topic"
)

// SpecError is a specification that Parse does not understand.
type SpecError struct {
	Spec, Text string
	Err        error // what lies below, or nil
}

func (e *SpecError) Error() string {
	s := fmt.Sprintf("codec: %q: %s", e.Spec, e.Text)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *SpecError) Unwrap() error { return e.Err }

// kind is a codec that a specification can name.
type kind struct {
	name string
	args string // what it needs behind a colon, "" for nothing
	json bool   // it makes JSON
	make func(args string, read ReadFile) (Codec, error)
}

// ReadFile returns what a file holds: schemas are read once, by Parse.
type ReadFile func(path string) ([]byte, error)

func plain(c Codec) func(string, ReadFile) (Codec, error) {
	return func(string, ReadFile) (Codec, error) { return c, nil }
}

func kinds() []kind {
	return []kind{
		{name: "json", json: true, make: plain(jsonCodec{})},
		{name: "cbor", json: true, make: newCBOR},
		{name: "msgpack", json: true, make: plain(msgpackCodec{})},
		{name: "protobuf", json: true, make: newProtobuf, args: "FILE#MESSAGE"},
		{name: "avro", json: true, make: newAvro, args: "SCHEMA.avsc"},
		{name: "sparkplug", json: true, make: newSparkplug},
		{name: "gzip", make: plain(gzipCodec{})},
		{name: "zlib", make: plain(zlibCodec{})},
		{name: "zstd", make: newZstd},
		{name: "base64", make: plain(base64Codec{})},
	}
}

// Names are those of all codecs.
func Names() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

// Parse compiles specifications; of several whose filter matches a topic the
// first is taken. One is
//
//	FILTER=CODEC[:ARGS][|CODEC[:ARGS]]...
//
// where no FILTER stands for every topic, also those that begin with $, and +
// may stand for |. The error is a *SpecError.
func Parse(specs []string, read ReadFile) (*Table, error) {
	t := &Table{}
	for _, spec := range specs {
		r, err := parseRule(spec, read)
		if err != nil {
			return nil, err
		}
		t.rules = append(t.rules, r)
	}
	return t, nil
}

func parseRule(spec string, read ReadFile) (rule, error) {
	filter, chain, ok := cutFilter(spec)
	if !ok {
		return rule{}, &SpecError{Spec: spec, Text: "is no FILTER=CODEC; the codecs are " + strings.Join(Names(), ", ")}
	}
	if filter != "" {
		if err := topic.ValidateFilter(filter); err != nil {
			return rule{}, &SpecError{Spec: spec, Text: "the filter", Err: err}
		}
	}
	steps, err := parseChain(spec, chain, read)
	return rule{filter, steps}, err
}

// parseChain compiles CODEC[:ARGS][|CODEC[:ARGS]]..., whose first name is known.
func parseChain(spec, chain string, read ReadFile) (steps []step, err error) {
	for chain != "" {
		k, rest := named(chain)
		args, more := cutArgs(rest)
		chain = more
		switch {
		case len(steps) > 0 && steps[len(steps)-1].json:
			return nil, &SpecError{Spec: spec, Text: steps[len(steps)-1].name + " makes JSON, behind it there is nothing to decode"}
		case k.args == "" && args != "":
			return nil, &SpecError{Spec: spec, Text: k.name + " has no arguments"}
		case k.args != "" && args == "":
			return nil, &SpecError{Spec: spec, Text: k.name + " needs " + k.name + ":" + k.args}
		}
		c, err := k.make(args, read)
		if err != nil {
			return nil, &SpecError{Spec: spec, Text: k.name, Err: err}
		}
		steps = append(steps, step{k.name, c, k.json})
	}
	return steps, nil
}

// cutFilter parts at the first equals sign that a codec's name follows: filters
// and file names may hold others.
func cutFilter(spec string) (filter, chain string, ok bool) {
	for i := range len(spec) {
		if spec[i] != '=' {
			continue
		}
		if k, _ := named(spec[i+1:]); k != nil {
			return spec[:i], spec[i+1:], true
		}
	}
	return "", "", false
}

// named returns the codec that s begins with, and what follows its name.
func named(s string) (k *kind, rest string) {
	end := strings.IndexAny(s, ":|+")
	if end < 0 {
		end = len(s)
	}
	for _, k := range kinds() {
		if k.name == s[:end] {
			return &k, s[end:]
		}
	}
	return nil, s
}

// cutArgs takes the arguments off, up to the next codec of the chain.
func cutArgs(s string) (args, chain string) {
	for i := range len(s) {
		if s[i] != '|' && s[i] != '+' {
			continue
		}
		if k, _ := named(s[i+1:]); k != nil {
			return strings.TrimPrefix(s[:i], ":"), s[i+1:]
		}
	}
	return strings.TrimPrefix(s, ":"), ""
}
