package access

import (
	"errors"
	"strings"
	"testing"

	"mqt/mqtt/topic"
)

const aclFile = `# Who may do what.
group ops = alice root-* "odd name"
user @ops
  deny  publish   audit/#
  allow all       #
  allow subscribe $SYS/#
user bob bo*b
  deny  subscribe home/secret/#
  allow subscribe home/#
  allow publish   home/+/set
anonymous
  allow subscribe public/#
everyone
  deny  all       clients/%c/private
  allow publish   clients/%c/#
  allow all       users/%u/x%c
`

func TestACL(t *testing.T) {
	a, err := ParseACL("acl", []byte(aclFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		user, client, what, topic string
		want                      bool
	}{
		{"alice", "c", "publish", "a/b", true},
		{"root-1", "c", "publish", "a/b", true},
		{"odd name", "c", "publish", "a/b", true},
		{"root", "c", "publish", "a/b", false},
		{"alice", "c", "publish", "audit/x", false},
		{"alice", "c", "receive", "audit/x", true},
		{"alice", "c", "publish", "$SYS/x", false},
		{"alice", "c", "receive", "$SYS/x", true},
		{"alice", "c", "subscribe", "$SYS/broker/+", true},
		{"alice", "c", "subscribe", "$other/#", false},
		{"bob", "c", "receive", "home/a", true},
		{"bob", "c", "receive", "home/secret/a", false},
		{"bob", "c", "receive", "home/secret", false},
		{"bob", "c", "subscribe", "home/secret/+", false},
		{"bob", "c", "subscribe", "home/+/+", true},
		{"bob", "c", "subscribe", "#", true},
		{"bob", "c", "subscribe", "garden/#", false},
		{"bob", "c", "publish", "home/lamp/set", true},
		{"bob", "c", "publish", "home/lamp", false},
		{"bob", "c", "receive", "public/x", false},
		{"boxb", "c", "receive", "home/a", true},
		{"", "c", "receive", "public/x", true},
		{"", "c", "publish", "public/x", false},
		{"", "c", "publish", "clients/c/x", true},
		{"", "c", "publish", "clients/d/x", false},
		{"", "c", "publish", "clients/c/private", false},
		{"carl", "c", "publish", "users/carl/xc", true},
		{"carl", "c", "publish", "users/carl/x", false},
		{"carl", "c", "subscribe", "users/+/xc", true},
		// Names that would reach further: nothing is granted by them, everything denied.
		{"", "+", "publish", "clients/d/x", false},
		{"", "#", "publish", "clients/d/x", false},
		{"", "c/d", "publish", "clients/c/d/x", false},
		{"", "", "publish", "clients//x", false},
		{"+", "c", "publish", "users/carl/xc", false},
		{"", "c", "publish", "users//xc", false},
		{"%c", "c", "publish", "users/%c/xc", true},
		{"%c", "c", "publish", "users/c/xc", false},
		{"alice", "+", "publish", "clients/d/private", true}, // an earlier rule has decided
	} {
		r := a.For(Principal{tt.user, tt.client})
		got := map[string]func(string) bool{"publish": r.MayPublish, "receive": r.MayReceive, "subscribe": r.MaySubscribe}[tt.what](tt.topic)
		if got != tt.want {
			t.Errorf("%q (%q) may %s %q: %v", tt.user, tt.client, tt.what, tt.topic, got)
		}
	}
	deny, err := ParseACL("acl", []byte("everyone\ndeny all x/%u/y\nallow all #"))
	if err != nil {
		t.Fatal(err)
	}
	if r := deny.For(Principal{"a/b", ""}); r.MayPublish("x/q/y") || !r.MayPublish("x/q/z") {
		t.Error("a name that fits in no level goes around what is denied")
	}
}

func TestACLErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"allow all #", ":1: whom is this rule for"},
		{"user a\n\nalow all #", `:3: "alow" is none of`},
		{"user a\nallow write #", `"write" is none of publish`},
		{"user a\nallow all", "filter is missing"},
		{"user a\nallow all a/#/b", "must stand alone"},
		{"user a\nallow all a%u#", "must stand alone"},
		{"user a\nallow all $share/g/a", "leave out $share"},
		{"user", "names of users are missing"},
		{"user @g", `no group "g"`},
		{"group g a", "written as group NAME = USER"},
		{"group g = a\ngroup g = b", "there twice"},
		{"group g =", "names of users are missing"},
		{`user "a`, "has no end"},
		{"everyone allow all #", "nothing belongs behind everyone"},
	} {
		_, err := ParseACL("acl", []byte(tt.text))
		if at := (*FileError)(nil); !errors.As(err, &at) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
	}
}

func TestMosquittoACL(t *testing.T) {
	a, err := ParseMosquittoACL("acl", []byte(`# anonymous first
topic read public/#
topic read

user alice smith
topic readwrite home/#
topic deny home/secret
topic write only/write with space
topic plain topic
pattern write dev/%c/up
pattern deny dev/bad/up
pattern read dev/%u/down
`))
	if err != nil {
		t.Fatal(err)
	}
	const alice = "alice smith"
	for _, tt := range []struct {
		user, client, what, topic string
		want                      bool
	}{
		{"", "c", "receive", "public/x", true},
		{"", "c", "publish", "public/x", false},
		{"", "c", "publish", "read", true},
		{alice, "c", "receive", "public/x", false},
		{alice, "c", "publish", "home/a", true},
		{alice, "c", "publish", "home/secret", false},
		{alice, "c", "receive", "home/secret", false},
		{alice, "c", "subscribe", "#", true},
		{alice, "c", "publish", "only/write with space", true},
		{alice, "c", "receive", "only/write with space", false},
		{alice, "c", "receive", "plain topic", true},
		{"x", "c", "publish", "dev/c/up", true},
		{"x", "bad", "publish", "dev/bad/up", false},
		{"x", "c", "receive", "dev/x/down", true},
		{"x", "c", "receive", "dev/c/up", false},
		{"x", "+", "publish", "dev/c/up", false},
	} {
		r := a.For(Principal{tt.user, tt.client})
		got := map[string]func(string) bool{"publish": r.MayPublish, "receive": r.MayReceive, "subscribe": r.MaySubscribe}[tt.what](tt.topic)
		if got != tt.want {
			t.Errorf("%q (%q) may %s %q: %v", tt.user, tt.client, tt.what, tt.topic, got)
		}
	}
	for _, text := range []string{"user", "topic", "topic read a#", "acl x", "pattern"} {
		if _, err := ParseMosquittoACL("acl", []byte(text)); err == nil || !strings.Contains(err.Error(), "acl:1: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A subscription is refused only if none of its messages would be delivered.
func FuzzParseACL(f *testing.F) {
	f.Add([]byte(aclFile), "bob", "c", "home/+", "home/a")
	f.Add([]byte("user a\ntopic deny a/%u\npattern read b/%c"), "a", "c", "#", "a/a")
	f.Fuzz(func(t *testing.T, text []byte, user, client, filter, name string) {
		for _, parse := range []func(string, []byte) (*ACL, error){ParseACL, ParseMosquittoACL} {
			a, err := parse("f", text)
			if err != nil {
				if at := (*FileError)(nil); !errors.As(err, &at) || at.Line < 1 {
					t.Errorf("%v", err)
				}
				continue
			}
			r := a.For(Principal{user, client})
			if topic.ValidateFilter(filter) != nil || strings.HasPrefix(filter, "$share/") || topic.ValidateName(name) != nil {
				continue
			}
			if topic.Match(filter, name) && r.MayReceive(name) && !r.MaySubscribe(filter) {
				t.Errorf("%q (%q) may receive %q, but not subscribe to %q", user, client, name, filter)
			}
		}
	})
}
