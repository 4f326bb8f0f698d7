package access

import (
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// mosquittoAlice is what mosquitto_passwd made of "secret".
const mosquittoAlice = "$7$101$WQmLHI7ON0iq+0aL$Ha2GiEQbZCawTLHVAfyYEHXe+G8LBHGoFebmTFeh9JIQyNPCqnBSPQ4wU2x3RaTW68FjWMR9r2BywhAqr5JIKQ=="

// oldHash is mosquitto's before version 2: SHA-512 of the password and the salt.
func oldHash(password string) string {
	salt := []byte("12byte--salt")
	sum := sha512.Sum512(append([]byte(password), salt...))
	return "$6$" + base64.StdEncoding.EncodeToString(salt) + "$" + base64.StdEncoding.EncodeToString(sum[:])
}

func parseFile(t *testing.T, file string) *Users {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	u, err := ParseUsers(file, text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestVerify(t *testing.T) {
	crypt, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join([]string{
		"mosquitto:" + mosquittoAlice,
		"argon:" + Hash([]byte("secret")),
		"bcrypt:" + string(crypt),
		"old:" + oldHash("secret"),
		"with space:" + Hash([]byte("secret")),
	}, "\r\n")
	u, err := ParseUsers("users", []byte("# comment\n\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	if u.Len() != 5 {
		t.Errorf("%d users", u.Len())
	}
	for _, name := range []string{"mosquitto", "argon", "bcrypt", "old", "with space"} {
		for password, want := range map[string]bool{"secret": true, "Secret": false, "": false, "secret\n": false, "secret\x00": false, "secret\x00\x00": false, "secret\x00secret": false, strings.Repeat("x", 65_535): false} {
			if got := u.Verify(name, []byte(password)); got != want {
				t.Errorf("%s, %.10q: %v", name, password, got)
			}
		}
	}
	for _, name := range []string{"", "nobody", "argon ", "with", "#"} {
		if u.Verify(name, []byte("secret")) || u.Verify(name, nil) {
			t.Errorf("%q is let in", name)
		}
	}
	empty, err := ParseUsers("users", nil)
	if err != nil || empty.Verify("", nil) || empty.Verify("x", []byte("x")) {
		t.Error("an empty file lets somebody in:", err)
	}
}

func TestUsersErrors(t *testing.T) {
	good := Hash([]byte("x"))
	for _, tt := range []struct{ text, want string }{
		{"a:" + good + "\na:" + good, `:2: user "a" is there twice`},
		{"# c\n\nplain", `:3: user "plain": the hash is none of`},
		{"a:secret", ":1: "},
		{":" + good, ":1: the user name is empty"},
		{"\xff:" + good, "UTF-8"},
		{"a:$argon2id$v=19$m=99999999,t=2,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OWFiY2RlZg", "out of bounds"},
		{"a:$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OWFiY2RlZg", "out of bounds"},
		{"a:$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OWFiY2RlZg", "broken"},
		{"a:$2a$31$" + strings.Repeat("a", 53), "cost of 31"},
		{"a:$2a$", "bcrypt hash is broken"},
		{"a:$7$0$AAAA$AAAA", "$7$ hash is broken"},
		{"a:$7$99999999999$AAAA$AAAA", "$7$ hash is broken"},
		{"a:$6$AAAA$AAAA", "$6$ hash is broken"},
	} {
		_, err := ParseUsers("users", []byte(tt.text))
		var at *FileError
		if !errors.As(err, &at) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%v tells what is behind the name", err)
		}
	}
}

func TestSetUser(t *testing.T) {
	text := []byte("# mine\nalice:1\nbob:2")
	text = SetUser(text, "carol", "3")
	text = SetUser(text, "alice", "4")
	if want := "# mine\nalice:4\nbob:2\ncarol:3\n"; string(text) != want {
		t.Errorf("got %q, want %q", text, want)
	}
	text, found := DeleteUser(text, "bob")
	if want := "# mine\nalice:4\ncarol:3\n"; string(text) != want || !found {
		t.Errorf("got %q, %v, want %q", text, found, want)
	}
	if _, found := DeleteUser(text, "al"); found {
		t.Error("al was found")
	}
}

// TestMosquittoPasswd reads what the program of this machine writes, in whichever format its version prefers.
func TestMosquittoPasswd(t *testing.T) {
	program, err := exec.LookPath("mosquitto_passwd")
	if err != nil {
		t.Skip("mosquitto_passwd is not installed here; TestVerify has a line of it")
	}
	for _, hash := range []string{"sha512-pbkdf2", "sha512"} {
		file := filepath.Join(t.TempDir(), "users")
		for i, pair := range [][2]string{{"alice", "secret"}, {"bob", "zwölf:Zeichen"}} {
			args := []string{"-H", hash, "-b", file, pair[0], pair[1]}
			if i == 0 {
				args = append([]string{"-c"}, args...)
			}
			if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		u := parseFile(t, file)
		if !u.Verify("alice", []byte("secret")) || !u.Verify("bob", []byte("zwölf:Zeichen")) || u.Verify("bob", []byte("secret")) {
			t.Errorf("%s: the passwords do not fit", hash)
		}
	}
}

func FuzzParseUsers(f *testing.F) {
	f.Add([]byte("alice:" + mosquittoAlice + "\n# x\n"))
	f.Add([]byte("a:$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OWFiY2RlZg"))
	f.Add([]byte("a:$2a$04$" + strings.Repeat("a", 53)))
	f.Add([]byte("a:" + oldHash("x")))
	f.Fuzz(func(t *testing.T, text []byte) {
		u, err := ParseUsers("f", text)
		if err != nil {
			if at := (*FileError)(nil); !errors.As(err, &at) || at.Line < 1 {
				t.Errorf("%v", err)
			}
			return
		}
		// What is put in is found, and the rest is still read.
		const name = "someone new"
		changed := SetUser(text, name, mosquittoAlice)
		v, err := ParseUsers("f", changed)
		if _, had := u.byName[name]; err != nil || !had && v.Len() != u.Len()+1 {
			t.Fatalf("%v: %q", err, changed)
		}
		if back, found := DeleteUser(changed, name); !found || strings.Contains(string(back), "\n"+name+":") {
			t.Errorf("%q", back)
		}
	})
}

func TestCountUsers(t *testing.T) {
	for text, want := range map[string]int{"": 0, "# none\n\n": 0, "a:x\n#b:x\n \nc\n": 2, "a:x": 1} {
		if n := CountUsers([]byte(text)); n != want {
			t.Errorf("%q: %d, want %d", text, n, want)
		}
	}
}
