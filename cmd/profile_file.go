package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"

	"mqt/mqtt/transport"
)

// profiles is the file that mqt profile keeps: which profile is the default
// one, and for each the long names of flags.
type profiles struct {
	path string
	doc  *yaml.Node // kept as it is, with comments
	mode fs.FileMode
}

// profilesPath is where they are.
func profilesPath() (string, error) {
	dir := configHome()
	if dir == "" {
		return "", errors.New("there is no place for profiles: neither XDG_CONFIG_HOME nor HOME is set")
	}
	return filepath.Join(dir, "mqt", "config.yaml"), nil
}

// readProfiles reads the file; there may be none. Everything in it is checked,
// also what is not asked for.
func readProfiles() (*profiles, error) {
	path, err := profilesPath()
	if err != nil {
		return nil, err
	}
	p := &profiles{path: path, doc: &yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode, Tag: "!!map"}}}}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		p.mode = info.Mode()
	}
	return p, p.read(f)
}

// read reads the text of the file.
func (p *profiles) read(r io.Reader) error {
	var doc yaml.Node
	dec := yaml.NewDecoder(r)
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return &usageError{text: p.path + ": " + plain(err)}
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return configFault(p.path, max(more.Line, 1), "one document is all there may be")
	}
	if doc.Content[0].Tag != "!!null" {
		p.doc = &doc
	}
	return p.check()
}

func (p *profiles) root() *yaml.Node { return p.doc.Content[0] }

// check is strict: a key that is not known is a mistake.
func (p *profiles) check() error {
	fault := func(n *yaml.Node, format string, a ...any) error { return configFault(p.path, n.Line, format, a...) }
	if err := p.mapping(p.root(), "the file"); err != nil {
		return err
	}
	for key, value := range pairs(p.root()) {
		switch key.Value {
		case "default":
			if value.Kind != yaml.ScalarNode {
				return fault(value, "default needs the name of a profile")
			}
		case "profiles":
			if value.Tag == "!!null" {
				continue
			}
			if err := p.mapping(value, "profiles"); err != nil {
				return err
			}
			for name, settings := range pairs(value) {
				if !validProfile(name.Value) {
					return fault(name, "%s is no name of a profile: %s", shown(name.Value), profileNames)
				}
				if err := p.checkSettings(settings, name.Value); err != nil {
					return err
				}
			}
		default:
			return fault(key, "unknown key %s; there are default and profiles", shown(key.Value))
		}
	}
	return nil
}

// mapping checks that n has keys, each once.
func (p *profiles) mapping(n *yaml.Node, what string) error {
	if n.Kind != yaml.MappingNode {
		return configFault(p.path, n.Line, "%s is not a list of KEY: VALUE", what)
	}
	seen := make(map[string]int)
	for key := range pairs(n) {
		if line := seen[key.Value]; line > 0 {
			return configFault(p.path, key.Line, "%s was set in line %d", shown(key.Value), line)
		}
		seen[key.Value] = key.Line
	}
	return nil
}

func (p *profiles) checkSettings(settings *yaml.Node, name string) error {
	if err := p.mapping(settings, "profile "+name); err != nil {
		return err
	}
	all := profileFlags()
	for key, value := range pairs(settings) {
		if err := readSetting(p.path, key, value, all); err != nil {
			return err
		}
	}
	return nil
}

// profileFlags are fresh flags that a profile can have.
func profileFlags() []*option {
	o := &connectOptions{}
	return slices.DeleteFunc(o.flags(&Stdio{}), func(f *option) bool { return !f.shared })
}

// pairs are the keys and values of a mapping.
func pairs(n *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// lookup is the value of a key, nil if there is none.
func (p *profiles) lookup(n *yaml.Node, name string) *yaml.Node {
	if n == nil {
		return nil
	}
	for key, value := range pairs(n) {
		if key.Value == name {
			return value
		}
	}
	return nil
}

// set puts a value behind a key; nil takes the key out.
func set(n *yaml.Node, name string, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != name {
			continue
		}
		if value == nil {
			n.Content = slices.Delete(n.Content, i, i+2)
		} else {
			n.Content[i+1] = value
		}
		return
	}
	if value != nil {
		n.Content = append(n.Content, scalar(name), value)
	}
}

func scalar(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: s}
	if s == "true" || s != "" && strings.Trim(s, "0123456789") == "" {
		return n // without quotes
	}
	n.SetString(s)
	return n
}

// profile is the mapping of one, nil if there is none.
func (p *profiles) profile(name string) *yaml.Node {
	return p.lookup(p.lookup(p.root(), "profiles"), name)
}

func (p *profiles) names() []string {
	var names []string
	if all := p.lookup(p.root(), "profiles"); all != nil {
		for key := range pairs(all) {
			names = append(names, key.Value)
		}
	}
	slices.Sort(names)
	return names
}

// standard is the default profile's name, "" for none.
func (p *profiles) standard() string {
	if n := p.lookup(p.root(), "default"); n != nil && n.Tag != "!!null" {
		return n.Value
	}
	return ""
}

// missing is the error of a name that is not there.
func (p *profiles) missing(name string) error {
	hint := "there is none yet: mqt profile add " + name
	if names := p.names(); len(names) > 0 {
		hint = "there are " + strings.Join(names, ", ")
		if near := nearest(name, names); near != "" {
			hint = "did you mean " + near + "?"
		}
	}
	return &usageError{text: "there is no profile " + shown(name), hint: hint}
}

// write replaces the file in one step, for its owner only.
func (p *profiles) write() error {
	if err := os.MkdirAll(filepath.Dir(p.path), 0o700); err != nil {
		return err
	}
	text, err := p.text()
	if err != nil {
		return err
	}
	return writeSecret(p.path, text)
}

// text is what the file has.
func (p *profiles) text() ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	err := errors.Join(enc.Encode(p.doc), enc.Close())
	return b.Bytes(), err
}

// private refuses a file with secrets that others can read.
func (p *profiles) private() error {
	if runtime.GOOS == "windows" || p.mode.Perm()&0o077 == 0 {
		return nil
	}
	for _, name := range p.names() {
		for key, value := range pairs(p.profile(name)) {
			if masked(key.Value, value.Value) != value.Value || value.Kind == yaml.SequenceNode && isSecret(key.Value) {
				return &exitError{code: exitFailed, err: fmt.Errorf("%s has secrets and others can read it; run chmod 600 %s", p.path, p.path)}
			}
		}
	}
	return nil
}

// profile adds what the profile has that was asked for, or that is the default
// one. It reports whether there is one.
func (w *words) profile(c *cli.Command, f cli.Flag) (bool, error) {
	name, asked := w.value(f)
	if asked && name == "" || !asked && w.namesServer(c) {
		return false, nil
	}
	p, err := readProfiles()
	if err != nil {
		if _, mistake := errors.AsType[*usageError](err); asked || mistake {
			return false, err
		}
		return false, nil // there cannot be a default one
	}
	if !asked {
		if name = p.standard(); name == "" {
			return false, nil
		}
	}
	settings := p.profile(name)
	if settings == nil {
		return false, p.missing(name)
	}
	if err := p.private(); err != nil {
		return false, err
	}
	var found []given
	for key, value := range pairs(settings) {
		flag := lookup(c, dashed(key.Value))
		if o, ok := flag.(*option); !ok || !o.shared || w.has(flag) {
			continue // for another command, or said here
		}
		values := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			values = value.Content
		}
		for _, v := range values {
			if v.Kind == yaml.AliasNode {
				v = v.Alias
			}
			text := v.Value
			if o, ok := flag.(*option); ok && o.words != nil {
				text = splitWords(text, o.words(strings.Fields(text)))
			}
			found = append(found, given{flag: flag, typed: fmt.Sprintf("%s:%d: %s", p.path, key.Line, key.Value), value: text, origin: fromFile})
		}
	}
	w.given = append(found, w.given...)
	return true, nil
}

// namesServer tells that the server is named here: the secrets of the default
// profile are not for that one.
func (w *words) namesServer(c *cli.Command) bool {
	return slices.ContainsFunc([]string{"--host", "--url", "--unix"}, func(name string) bool { return w.has(lookup(c, name)) })
}

// isSecret tells that the value of a setting is not for everybody's eyes.
func isSecret(key string) bool {
	return slices.Contains([]string{"password", "keypass", "authentication-data", "ws-header", "property"}, key)
}

// mask stands for a secret.
const mask = "***"

// masked is the value without its secret.
func masked(key, value string) string {
	switch {
	case value == "":
		return value
	case key == "url" || key == "proxy":
		return maskedURL(value)
	case key == "ws-header":
		name, _, _ := strings.Cut(value, ":")
		if slices.Contains([]string{"origin", "user-agent", "host"}, strings.ToLower(strings.TrimSpace(name))) {
			return value
		}
		return name + ": " + mask
	case key == "property":
		if w := strings.Fields(value); len(w) < 2 || w[1] != "authentication-data" {
			return value
		}
		return "connect authentication-data " + mask
	case isSecret(key):
		return mask
	}
	return value
}

// maskedURL has no password.
func maskedURL(s string) string {
	before, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	authority, tail := rest, ""
	if at := strings.IndexAny(rest, "/?#"); at >= 0 {
		authority, tail = rest[:at], rest[at:]
	}
	at := strings.LastIndex(authority, "@")
	if at < 0 {
		return s
	}
	user, _, has := strings.Cut(authority[:at], ":")
	if !has {
		return s
	}
	return before + "://" + user + ":" + mask + authority[at:] + tail
}

// serverOf is what a list shows of a profile.
func (p *profiles) serverOf(settings *yaml.Node) string {
	value := func(name string) string {
		if n := p.lookup(settings, name); n != nil {
			return n.Value
		}
		return ""
	}
	switch {
	case value("url") != "":
		if e, err := transport.ParseURL(value("url")); err == nil {
			return e.String()
		}
		return maskedURL(value("url"))
	case value("unix") != "":
		return "unix://" + value("unix")
	}
	server := value("host")
	if port := value("port"); port != "" {
		server += ":" + port
	}
	return server
}
