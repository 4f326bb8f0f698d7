package access

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// mixed is a file in which one user in four has another kind of hash.
func mixed(lines int, more ...string) string {
	var b strings.Builder
	for i := range lines {
		salt := base64.RawStdEncoding.EncodeToString(fmt.Appendf(nil, "saltsalt%d", i))
		key := base64.RawStdEncoding.EncodeToString(fmt.Appendf(nil, "%032d", i))
		if i%4 == 3 {
			fmt.Fprintf(&b, "user%d:$argon2id$v=19$m=16,t=3,p=1$%s$%s\n", i, salt, key)
		} else {
			fmt.Fprintf(&b, "user%d:$argon2id$v=19$m=8,t=1,p=1$%s$%s\n", i, salt, key)
		}
	}
	return b.String() + strings.Join(more, "")
}

// Whoever is not there costs what those cost who are, in the same proportion,
// and the same again when the file is read again, also with another user in it.
func TestNobodyCostsWhatUsersCost(t *testing.T) {
	cost := func(u *Users, name string) string {
		h, _ := u.decoys.pick(name)
		return h.cost()
	}
	u := users(t, mixed(40))
	grown := users(t, mixed(41))
	again := users(t, mixed(40))
	n, moved := make(map[string]int), 0
	for i := range 2000 {
		name := fmt.Sprint("nobody", i)
		c := cost(u, name)
		n[c]++
		if cost(again, name) != c {
			t.Fatalf("%s costs something else the second time", name)
		}
		if cost(grown, name) != c {
			moved++
		}
	}
	if len(n) != 2 || n["argon2id m=16,t=3,p=1,32"] < 400 || n["argon2id m=16,t=3,p=1,32"] > 600 {
		t.Errorf("2000 of nobody cost %v, want a quarter of one kind", n)
	}
	if moved > 50 {
		t.Errorf("one more user has changed the cost of %d in 2000", moved)
	}
}

// What SCRAM tells of users who do not exist varies as that of those who do.
func TestScramDecoysVary(t *testing.T) {
	verifier := func(name string, iterations, salt int) string {
		v, err := deriveVerifier(ScramSHA256, "secret", []byte(strings.Repeat(name[:1], salt)), iterations)
		if err != nil {
			t.Fatal(err)
		}
		return name + ":" + v.String() + "\n"
	}
	text := verifier("alice", 4096, 16) + verifier("bob", 5000, 16) + verifier("carol", 4096, 48)
	u, again := users(t, text), users(t, text)
	ask := func(u *Users, name string) (salt []byte, iterations string) {
		s, ok := u.Scram(ScramSHA256)
		if !ok {
			t.Fatal("no SCRAM")
		}
		out, _, err := s.Step([]byte("n,,n=" + name + ",r=nonce"))
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(string(out), ",")
		salt, err = base64.StdEncoding.DecodeString(parts[1][2:])
		if err != nil {
			t.Fatal(err)
		}
		return salt, parts[2]
	}
	real, decoys := make(map[string]bool), make(map[string]int)
	for _, name := range []string{"alice", "bob", "carol"} {
		salt, n := ask(u, name)
		real[fmt.Sprint(n, " ", len(salt))] = true
	}
	for i := range 300 {
		name := fmt.Sprint("nobody", i)
		salt, n := ask(u, name)
		decoys[fmt.Sprint(n, " ", len(salt))]++
		if other, m := ask(again, name); string(other) != string(salt) || m != n {
			t.Errorf("%s is answered differently", name)
		}
	}
	for kind := range real {
		if decoys[kind] < 50 {
			t.Errorf("decoys %v, want as many as %q", decoys, kind)
		}
	}
	if len(decoys) != len(real) {
		t.Errorf("decoys %v, users %v", decoys, real)
	}
}
