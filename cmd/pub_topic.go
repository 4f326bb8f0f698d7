package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// topicFrom finds the topic in a record, and what is left as the payload.
type topicFrom func(record []byte) (topic string, payload []byte, err error)

// readTopicFrom reads --topic-from: space, tab, json:.path or a separator.
func readTopicFrom(s string) (topicFrom, error) {
	sep := s
	switch s {
	case "":
		return nil, errors.New("it is space, tab, json:.path, or the characters behind the topic")
	case "space":
		sep = " "
	case "tab", `\t`:
		sep = "\t"
	}
	if path, ok := strings.CutPrefix(s, "json:"); ok {
		steps, err := parsePath(path)
		if err != nil {
			return nil, err
		}
		return func(record []byte) (string, []byte, error) {
			topic, err := textAt(record, path, steps)
			return topic, record, err
		}, nil
	}
	return func(record []byte) (string, []byte, error) {
		topic, payload, ok := bytes.Cut(record, []byte(sep))
		if !ok {
			return "", nil, fmt.Errorf("no %s behind a topic", separatorName(sep))
		}
		return string(topic), payload, nil
	}, nil
}

func separatorName(sep string) string {
	switch sep {
	case " ":
		return "space"
	case "\t":
		return "tab"
	}
	return strconv.Quote(sep)
}

// step is one member or one place of a JSON path.
type step struct {
	key string
	at  int // -1: the key
}

// parsePath reads .a.b[0]."c d", as jq writes it.
func parsePath(path string) ([]step, error) {
	wrong := errors.New(`the path is written as .a.b, .a[0] or ."a b"`)
	var steps []step
	for rest := path; rest != ""; {
		switch {
		case rest[0] == '[':
			place, after, ok := strings.Cut(rest[1:], "]")
			n, err := strconv.ParseUint(place, 10, 31)
			if !ok || err != nil {
				return nil, wrong
			}
			steps, rest = append(steps, step{at: int(n)}), after
		case strings.HasPrefix(rest, `."`):
			quoted, err := strconv.QuotedPrefix(rest[1:])
			if err != nil {
				return nil, wrong
			}
			key, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, wrong
			}
			steps, rest = append(steps, step{key: key, at: -1}), rest[1+len(quoted):]
		case rest[0] == '.':
			end := strings.IndexAny(rest[1:], `.["`) + 1
			if end == 0 {
				end = len(rest)
			}
			if end == 1 {
				return nil, wrong
			}
			steps, rest = append(steps, step{key: rest[1:end], at: -1}), rest[end:]
		default:
			return nil, wrong
		}
	}
	if steps == nil {
		return nil, wrong
	}
	return steps, nil
}

// textAt is the string or number at a path.
func textAt(doc []byte, path string, steps []step) (string, error) {
	value := json.RawMessage(doc)
	for _, s := range steps {
		if s.at < 0 {
			var members map[string]json.RawMessage
			if err := json.Unmarshal(value, &members); err != nil {
				return "", pathError(err, path)
			}
			value = members[s.key]
		} else {
			var items []json.RawMessage
			if err := json.Unmarshal(value, &items); err != nil {
				return "", pathError(err, path)
			}
			value = nil
			if s.at < len(items) {
				value = items[s.at]
			}
		}
		if value == nil {
			return "", fmt.Errorf("there is no %s", path)
		}
	}
	var text string
	if value[0] == '-' || value[0] >= '0' && value[0] <= '9' {
		return string(value), nil
	}
	if value[0] != '"' {
		return "", fmt.Errorf("%s is no text", path)
	}
	err := json.Unmarshal(value, &text)
	return text, err
}

func pathError(err error, path string) error {
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not JSON: %w", err)
	}
	return fmt.Errorf("there is no %s", path)
}
