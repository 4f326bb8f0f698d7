package access

import (
	"slices"
	"strings"

	"mqt/mqtt/topic"
)

// ACL is an access control list. Of the rules that are for a client, the first
// whose filter matches a topic decides; where none does, the answer is no.
type ACL struct {
	rules []rule
	named map[string][]int // rules for one user
	rest  []int            // rules that must be asked whom they are for
}

// action is what a rule is about.
type action byte

const (
	publish action = 1 << iota
	subscribe
)

// rule is one line.
type rule struct {
	who     *who
	allow   bool
	action  action
	filter  string
	pattern bool // %c and %u stand for the client
}

// who are the clients that rules are for.
type who struct {
	names     []string
	globs     []string // with *, for users
	anonymous bool
	everyone  bool
}

func (w *who) is(p Principal) bool {
	switch {
	case w.everyone:
		return true
	case p.Username == "":
		return w.anonymous
	}
	return slices.Contains(w.names, p.Username) ||
		slices.ContainsFunc(w.globs, func(g string) bool { return glob(g, p.Username) })
}

// glob matches * with any text.
func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}

func newACL(rules []rule) *ACL {
	a := &ACL{rules: rules, named: make(map[string][]int)}
	for i, r := range rules {
		if len(r.who.globs) > 0 || r.who.anonymous || r.who.everyone {
			a.rest = append(a.rest, i)
			continue
		}
		for _, name := range r.who.names {
			a.named[name] = append(a.named[name], i)
		}
	}
	return a
}

// Rights are what an ACL grants to one client.
type Rights struct {
	acl   *ACL
	rules []granted
}

type granted struct {
	allow  bool
	action action
	filter string
}

// For returns the rights of p.
func (a *ACL) For(p Principal) *Rights {
	var mine []int
	if p.Username != "" {
		mine = slices.Clone(a.named[p.Username])
	}
	for _, i := range a.rest {
		if a.rules[i].who.is(p) {
			mine = append(mine, i)
		}
	}
	slices.Sort(mine) // the file's order
	r := &Rights{acl: a}
	for _, i := range slices.Compact(mine) {
		if filter, ok := a.rules[i].filterFor(p); ok {
			r.rules = append(r.rules, granted{a.rules[i].allow, a.rules[i].action, filter})
		}
	}
	return r
}

// filterFor puts the client's names into a pattern. A name that is more than
// part of a level, or is not there, could reach what is not the client's: then
// what the pattern allows is not granted, and what it denies is denied for any
// name.
func (r *rule) filterFor(p Principal) (string, bool) {
	if !r.pattern {
		return r.filter, true
	}
	levels := strings.Split(r.filter, "/")
	for i, level := range levels {
		if strings.Contains(level, "%u") && !plainName(p.Username) || strings.Contains(level, "%c") && !plainName(p.ClientID) {
			if r.allow {
				return "", false
			}
			levels[i] = "+"
			continue
		}
		// At once, so that a name with %c in it stays what it is.
		levels[i] = strings.NewReplacer("%u", p.Username, "%c", p.ClientID).Replace(level)
	}
	filter := strings.Join(levels, "/")
	return filter, topic.ValidateFilter(filter) == nil
}

func plainName(s string) bool { return s != "" && s[0] != '$' && !strings.ContainsAny(s, "+#/") }

// ACL is where the rights come from.
func (r *Rights) ACL() *ACL { return r.acl }

// MayPublish reports whether the client may publish to a topic, as its will as
// well.
func (r *Rights) MayPublish(name string) bool { return r.may(publish, name) }

// MayReceive reports whether the client may be sent a message of that topic.
func (r *Rights) MayReceive(name string) bool { return r.may(subscribe, name) }

func (r *Rights) may(a action, name string) bool {
	for i := range r.rules {
		if g := &r.rules[i]; g.action&a != 0 && topic.Match(g.filter, name) {
			return g.allow
		}
	}
	return false
}

// MaySubscribe reports whether some topic of a filter, without $share, may be
// received. A subscription may be granted then, but MayReceive has to judge
// each message that it matches.
func (r *Rights) MaySubscribe(filter string) bool {
	for i := range r.rules {
		switch g := &r.rules[i]; {
		case g.action&subscribe == 0:
		case g.allow && topic.Overlaps(g.filter, filter):
			return true
		case !g.allow && topic.Covers(g.filter, filter):
			return false
		}
	}
	return false
}
