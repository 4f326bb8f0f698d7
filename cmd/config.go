package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// configFault is a mistake in the settings file, with its line.
func configFault(path string, line int, format string, a ...any) error {
	return &usageError{text: fmt.Sprintf("%s:%d: %s", path, line, fmt.Sprintf(format, a...))}
}

// readConfig gives the flags that are neither on the command line nor in the
// environment what the file has for them. A key is the long name of a flag.
func readConfig(path string, all []*option) error {
	if path == "" {
		return nil
	}
	text, err := readFile("--config", path)
	if err != nil {
		return err
	}
	return readSettings(path, text, all)
}

// readSettings reads the text of a settings file.
func readSettings(path string, text []byte, all []*option) error {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil // nothing but comments
	case err != nil:
		return &usageError{text: path + ": " + plain(err)}
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return configFault(path, max(more.Line, 1), "one document is all there may be")
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		return configFault(path, root.Line, "it is not a list of settings, as max-connections: 1000")
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		name := key.Value
		if o := settingNamed(name, all); o != nil {
			name = o.names[0]
		}
		if line := seen[name]; line > 0 {
			return configFault(path, key.Line, "%s was set in line %d", shown(name), line)
		}
		seen[name] = key.Line
		if err := readSetting(path, key, value, all); err != nil {
			return err
		}
	}
	return nil
}

// readSetting reads one key with its value.
func readSetting(path string, key, value *yaml.Node, all []*option) error {
	o := settingNamed(key.Value, all)
	if o == nil {
		hint := ""
		var names []string
		for _, o := range all {
			if settingNamed(o.names[0], all) != nil {
				names = append(names, o.names[0])
			}
		}
		if near := nearest(key.Value, names); near != "" {
			hint = "; did you mean " + near + "?"
		}
		return configFault(path, key.Line, "unknown key %s%s", shown(key.Value), hint)
	}
	values := []*yaml.Node{value}
	switch {
	case value.Kind == yaml.SequenceNode && o.repeats:
		values = value.Content
	case value.Kind == yaml.SequenceNode:
		return configFault(path, value.Line, "%s has one value", key.Value)
	}
	for _, v := range values {
		if v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
			return configFault(path, v.Line, "%s needs %s", key.Value, wanted(o))
		}
		if o.given() && o.origin != fromFile {
			continue
		}
		text := v.Value
		if o.words != nil {
			text = splitWords(text, o.words(strings.Fields(text)))
		}
		if _ = o.Value.Set(text); o.fault != nil {
			return configFault(path, v.Line, "%s: %s; %s", key.Value, shown(v.Value), o.fault)
		}
		o.origin = fromFile
	}
	return nil
}

// settingNamed is the flag that a key of the file stands for. What is about the
// file itself cannot be in it.
func settingNamed(name string, all []*option) *option {
	for _, o := range all {
		if len(name) > 1 && slices.Contains(o.names, name) && !slices.Contains([]string{"config", "check-config", "check", "json"}, o.names[0]) {
			return o
		}
	}
	return nil
}

// again reads the settings anew: what was on the command line and in the
// environment as it was, the file as it is now.
func (o *brokerOptions) again() (*brokerOptions, error) {
	next := newBrokerOptions()
	for i, f := range next.flags {
		if was := o.flags[i]; was.given() && was.origin != fromFile {
			for _, v := range was.values {
				_ = f.Value.Set(v) // it was read before
			}
			f.origin, f.typed = was.origin, was.typed
		}
	}
	return next, readConfig(next.config, next.flags)
}

// checked tells that the settings were good, for --check-config.
func (o *brokerOptions) checked(w io.Writer) error {
	what := "the settings are good"
	if o.config != "" {
		what = o.config + ": " + what
	}
	_, err := fmt.Fprintln(w, what)
	return err
}
