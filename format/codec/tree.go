package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// object is one of JSON, in its order.
type object []member

type member struct {
	key   string
	value any
}

// checkTree tells whether the payload is JSON that may be made a tree of.
func checkTree(payload []byte) error {
	if len(payload) > MaxTree {
		return ErrTooLarge
	}
	if _, err := (jsonCodec{}).Decode("", payload); err != nil {
		return err
	}
	depth, quoted := 0, false
	for i := 0; i < len(payload); i++ {
		switch c := payload[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth >= MaxDepth {
				return ErrTooDeep
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return nil
}

// parseTree makes nil, bool, string, json.Number, []any and object of JSON. A
// key that comes twice is an error, since nobody can tell which one counts.
func parseTree(payload []byte) (any, error) {
	if err := checkTree(payload); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	return readValue(d)
}

func readValue(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := readValue(d)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	case json.Delim('{'):
		return readObject(d)
	}
	return t, nil
}

func readObject(d *json.Decoder) (any, error) {
	var o object
	seen := make(map[string]struct{})
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, _ := t.(string) // the library lets nothing else pass
		if _, twice := seen[key]; twice {
			return nil, fmt.Errorf("the key %q comes twice", key)
		}
		seen[key] = struct{}{}
		v, err := readValue(d)
		if err != nil {
			return nil, err
		}
		o = append(o, member{key, v})
	}
	_, err := d.Token()
	return o, err
}

// isFloat tells a number that no integer is, as the zero below zero.
func isFloat(s string) bool { return s == "-0" || strings.ContainsAny(s, ".eE") }

func readFloat(s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("the number %.30s is too large", s)
	}
	return f, nil
}
