package cmd

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"
)

// profileName is the command's name.
const profileName = "profile"

type profileOptions struct {
	connect connectOptions
	flags   []*option
	force   bool
}

const profileNames = "it is letters, digits, dots, dashes and underscores"

func validProfile(name string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`).MatchString(name)
}

func profileCommand(s *Stdio) *cli.Command {
	o := &profileOptions{}
	o.flags = slices.DeleteFunc(o.connect.flags(s), func(f *option) bool { return !f.shared })
	force := group("Flags").toggle("force f", "replace a profile that is there", &o.force)
	return &cli.Command{
		Name: profileName, Usage: "keep the flags of connections by a name",
		UsageText: "mqt profile add [-f] NAME FLAGS\nmqt profile ls\nmqt profile show [NAME]\nmqt profile rm NAME\nmqt profile use [NAME]",
		ArgsUsage: "add|ls|show|rm|use [NAME]",
		Description: `pub, sub and bench take the flags that are neither on the command line nor in the environment from the
profile that --profile or MQT_PROFILE names, or else from the one that "use" has made the default; "use"
without a name takes that back, --profile= leaves it out once. The default one is not used when a server is
named (-h, -L, --unix, or their variables): its user and password are for its own server.
The profiles are in $XDG_CONFIG_HOME/mqt/config.yaml, which only its owner can read. "show" masks secrets.

Examples:
  mqt profile add work -L mqtts://broker.example -u me --password-command 'pass show mqtt'
  mqt sub --profile work -t 'home/#'
  mqt profile use work && mqt pub -t home/lamp -m on
  mqt profile show work
  mqt profile rm work`,
		Flags: flags([]*option{force}, o.flags),
		Action: func(c *cli.Context) error {
			p, err := readProfiles()
			if err != nil {
				return err
			}
			return o.run(s.Out, p, c.Args().Slice())
		},
	}
}

func (o *profileOptions) run(out io.Writer, p *profiles, args []string) error {
	verb, name := "", ""
	if len(args) > 0 {
		verb = args[0]
	}
	if len(args) > 1 {
		name = args[1]
	}
	fewest := map[string]int{"add": 2, "ls": 1, "show": 1, "rm": 2, "use": 1}[verb]
	most := 2
	if verb == "ls" {
		most = 1
	}
	switch {
	case fewest == 0:
		return &usageError{text: "profile " + shown(verb), hint: "it is add, ls, show, rm or use"}
	case len(args) < fewest || len(args) > most:
		return &usageError{text: "profile " + strings.Join(args, " "), hint: "see mqt profile --help"}
	case name != "" && !validProfile(name):
		return &usageError{text: "profile " + verb + " " + shown(name), hint: profileNames}
	}
	if verb != "add" {
		for _, f := range o.flags {
			if f.origin == fromArgs {
				return &usageError{text: f.typed + " is for mqt profile add"}
			}
		}
	}
	switch verb {
	case "add":
		return o.add(p, name)
	case "ls":
		return list(out, p)
	case "show":
		return show(out, p, name)
	case "rm":
		return remove(p, name)
	}
	return use(p, name)
}

// add keeps the flags of the command line, not those of the environment.
func (o *profileOptions) add(p *profiles, name string) error {
	if p.profile(name) != nil && !o.force {
		return &usageError{text: "there is a profile " + name + " already", hint: "-f replaces it"}
	}
	settings := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, f := range o.flags {
		if f.origin != fromArgs {
			continue
		}
		value := scalar(strings.ReplaceAll(f.values[len(f.values)-1], "\x00", " "))
		if f.repeats {
			value = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
			for _, v := range f.values {
				value.Content = append(value.Content, scalar(strings.ReplaceAll(v, "\x00", " ")))
			}
		}
		set(settings, f.names[0], value)
	}
	if len(settings.Content) == 0 {
		return &usageError{text: "profile add " + name + " without flags", hint: "such as -L mqtts://broker.example -u me"}
	}
	all := p.lookup(p.root(), "profiles")
	if all == nil || all.Kind != yaml.MappingNode {
		all = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		set(p.root(), "profiles", all)
	}
	set(all, name, settings)
	return p.write()
}

// list prints a name, its server and whether it is the default one, parted by tabs.
func list(out io.Writer, p *profiles) error {
	for _, name := range p.names() {
		line := name + "\t" + p.serverOf(p.profile(name))
		if name == p.standard() {
			line += "\tdefault"
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// show prints one without its secrets.
func show(out io.Writer, p *profiles, name string) error {
	if name == "" {
		if name = p.standard(); name == "" {
			return &usageError{text: "there is no default profile", hint: "name one, or choose it with mqt profile use NAME"}
		}
	}
	settings := p.profile(name)
	if settings == nil {
		return p.missing(name)
	}
	for key, value := range pairs(settings) {
		values := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			values = value.Content
		}
		for _, v := range values {
			v.Value = masked(key.Value, v.Value)
		}
	}
	enc := yaml.NewEncoder(out)
	enc.SetIndent(2)
	return errors.Join(enc.Encode(settings), enc.Close())
}

func remove(p *profiles, name string) error {
	if p.profile(name) == nil {
		return p.missing(name)
	}
	set(p.lookup(p.root(), "profiles"), name, nil)
	if p.standard() == name {
		set(p.root(), "default", nil)
	}
	return p.write()
}

// use makes a profile the default one; without a name none is.
func use(p *profiles, name string) error {
	if name == "" {
		set(p.root(), "default", nil)
		return p.write()
	}
	if p.profile(name) == nil {
		return p.missing(name)
	}
	set(p.root(), "default", scalar(name))
	return p.write()
}
