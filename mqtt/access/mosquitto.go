package access

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// ParseMosquittoACL reads mosquitto's acl_file: topic lines for anonymous
// clients, then below each user line those of a user, and pattern lines for
// everyone. What is denied goes before what is allowed, and topic lines before
// pattern lines. Unlike mosquitto, which grants any subscription, one is
// refused when nothing of it could be delivered. file names it in errors, which
// are a *FileError.
func ParseMosquittoACL(file string, text []byte) (*ACL, error) {
	p := &mosquittoParser{who: &who{anonymous: true}}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if err := p.line(strings.TrimSpace(string(line))); err != nil {
			return nil, &FileError{file, n, err.Error()}
		}
	}
	var rules []rule
	for _, part := range [...][]rule{p.topicDeny, p.topicAllow, p.patternDeny, p.patternAllow} {
		rules = append(rules, part...)
	}
	return newACL(rules), nil
}

type mosquittoParser struct {
	who                                              *who
	topicDeny, topicAllow, patternDeny, patternAllow []rule
}

func (p *mosquittoParser) line(s string) error {
	if s == "" || s[0] == '#' {
		return nil
	}
	keyword, rest := cutWord(s)
	switch keyword {
	case "user":
		if rest == "" {
			return errors.New("the name of the user is missing")
		}
		p.who = &who{names: []string{rest}}
		return nil
	case "topic":
		return p.rule(p.who, rest, false, &p.topicDeny, &p.topicAllow)
	case "pattern":
		return p.rule(&who{everyone: true}, rest, true, &p.patternDeny, &p.patternAllow)
	}
	return fmt.Errorf("%q is none of user, topic and pattern", keyword)
}

func (p *mosquittoParser) rule(w *who, s string, pattern bool, deny, allow *[]rule) error {
	a, list, filter := publish|subscribe, allow, s
	if word, rest := cutWord(s); rest != "" { // a filter may be called read
		filter = rest
		switch word {
		case "read":
			a = subscribe
		case "write":
			a = publish
		case "readwrite":
		case "deny":
			list = deny
		default:
			filter = s // with a space in it
		}
	}
	r, err := newRule(w, list == allow, a, filter, pattern)
	if err == nil {
		*list = append(*list, r)
	}
	return err
}
