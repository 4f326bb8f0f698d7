package access

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mqt/mqtt/topic"
)

// ParseACL reads an access control file. Rules stand below the line that says
// whom they are for, and of those for a client the first that matches decides;
// what none matches is denied:
//
//	# Lines that begin with # are comments.
//	group ops = alice bob admin-*     a group of users; * is any text
//
//	user @ops                         its members
//	  allow all #
//	user sensor-*                     users, one or several
//	  deny publish sensors/%u/config  %u is the user name
//	  allow all sensors/%u/#
//	anonymous                         who has no user name
//	  allow subscribe public/#
//	everyone                          users and anonymous clients
//	  allow publish clients/%c/state  %c is the Client Identifier
//
// A name with spaces, or one that means itself whatever it contains, stands in
// double quotes. A leading wildcard does not match topics that begin with $.
// file names it in errors, which are a *FileError.
func ParseACL(file string, text []byte) (*ACL, error) {
	p := &aclParser{groups: make(map[string]*who)}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if err := p.line(strings.TrimSpace(string(line))); err != nil {
			return nil, &FileError{file, n, err.Error()}
		}
	}
	return newACL(p.rules), nil
}

type aclParser struct {
	groups map[string]*who
	who    *who // nil before the first heading
	rules  []rule
}

func (p *aclParser) line(s string) error {
	if s == "" || s[0] == '#' {
		return nil
	}
	keyword, rest := cutWord(s)
	switch keyword {
	case "allow", "deny":
		return p.rule(keyword == "allow", rest)
	case "user":
		return p.heading(rest)
	case "group":
		return p.group(rest)
	case "anonymous", "everyone":
		if rest != "" {
			return fmt.Errorf("nothing belongs behind %s: rules have a line each", keyword)
		}
		p.who = &who{anonymous: keyword == "anonymous", everyone: keyword == "everyone"}
		return nil
	}
	return fmt.Errorf("%q is none of user, group, anonymous, everyone, allow and deny", keyword)
}

// cutWord splits off the first word.
func cutWord(s string) (word, rest string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimSpace(s[i:])
}

func (p *aclParser) rule(allow bool, s string) error {
	if p.who == nil {
		return errors.New("whom is this rule for? a line with user, anonymous or everyone must come before it")
	}
	word, filter := cutWord(s)
	a, ok := map[string]action{"publish": publish, "subscribe": subscribe, "all": publish | subscribe}[word]
	if !ok {
		return fmt.Errorf("%q is none of publish, subscribe and all", word)
	}
	r, err := newRule(p.who, allow, a, filter, true)
	if err == nil {
		p.rules = append(p.rules, r)
	}
	return err
}

// newRule checks the filter.
func newRule(w *who, allow bool, a action, filter string, pattern bool) (rule, error) {
	pattern = pattern && (strings.Contains(filter, "%c") || strings.Contains(filter, "%u"))
	sample := filter
	if pattern {
		sample = strings.NewReplacer("%u", "x", "%c", "x").Replace(filter)
	}
	if filter == "" {
		return rule{}, errors.New("the topic filter is missing")
	}
	if err := topic.ValidateFilter(sample); err != nil {
		return rule{}, fmt.Errorf("%q: %w", filter, err)
	}
	if strings.HasPrefix(sample, "$share/") {
		return rule{}, errors.New("a rule holds for shared subscriptions as for any other: leave out $share and the group")
	}
	return rule{who: w, allow: allow, action: a, filter: filter, pattern: pattern}, nil
}

func (p *aclParser) heading(s string) error {
	w, err := p.members(s)
	if err == nil {
		p.who = w
	}
	return err
}

func (p *aclParser) group(s string) error {
	name, members, ok := strings.Cut(s, "=")
	name = strings.TrimSpace(name)
	if !ok || name == "" || strings.ContainsAny(name, " \t\"@*") {
		return errors.New("a group is written as group NAME = USER USER")
	}
	if p.groups[name] != nil {
		return fmt.Errorf("group %q is there twice", name)
	}
	w, err := p.members(members)
	if err == nil {
		p.groups[name] = w
	}
	return err
}

// members reads names, "names", names with * and @groups.
func (p *aclParser) members(s string) (*who, error) {
	w := &who{}
	for s = strings.TrimSpace(s); s != ""; {
		if s[0] == '"' {
			name, rest, ok := strings.Cut(s[1:], `"`)
			if !ok || name == "" {
				return nil, errors.New("a quoted name is empty or has no end")
			}
			w.names = append(w.names, name)
			s = strings.TrimSpace(rest)
			continue
		}
		var word string
		word, s = cutWord(s)
		switch group, isGroup := strings.CutPrefix(word, "@"); {
		case isGroup:
			g := p.groups[group]
			if g == nil {
				return nil, fmt.Errorf("there is no group %q above", group)
			}
			w.names, w.globs = append(w.names, g.names...), append(w.globs, g.globs...)
		case strings.Contains(word, "*"):
			w.globs = append(w.globs, word)
		default:
			w.names = append(w.names, word)
		}
	}
	if len(w.names)+len(w.globs) == 0 {
		return nil, errors.New("the names of users are missing")
	}
	slices.Sort(w.names)
	w.names = slices.Compact(w.names)
	return w, nil
}
