package access

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Users are the names with their password hashes.
type Users struct {
	byName map[string]hashed
	decoys lookalikes[hashed]              // for the password of who is not there
	scram  map[string]lookalikes[Verifier] // by method
}

// ParseUsers reads a password file: name:hash on each line; empty lines and
// those that begin with # are skipped. file names it in errors, which are a
// *FileError.
func ParseUsers(file string, text []byte) (*Users, error) {
	u := &Users{byName: make(map[string]hashed), scram: make(map[string]lookalikes[Verifier])}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		name, hash, ok := splitUser(line)
		if !ok {
			continue
		}
		if err := u.add(name, hash); err != nil {
			return nil, &FileError{file, n, err.Error()}
		}
	}
	if len(u.byName) == 0 { // so that it takes as long to find nobody
		text := Hash(nil)
		h, err := parseHash(text)
		if err != nil {
			return nil, fmt.Errorf("access: %w", err)
		}
		u.decoys.add(h.cost(), h, []byte(text))
	}
	return u, nil
}

func (u *Users) add(name, hash string) error {
	if err := ValidateUser(name); err != nil {
		return err
	}
	if _, twice := u.byName[name]; twice {
		return fmt.Errorf("user %q is there twice", name)
	}
	h, err := parseHash(hash)
	if err != nil {
		return fmt.Errorf("user %q: %w", name, err)
	}
	u.byName[name] = h
	u.decoys.add(h.cost(), h, []byte(hash))
	all, _ := h.(scramHashes)
	for _, v := range all {
		l := u.scram[v.Method]
		l.add(v.cost(), v, slices.Concat(v.StoredKey, v.ServerKey))
		u.scram[v.Method] = l
	}
	return nil
}

// splitUser takes a line apart. ok is false where it holds no user.
func splitUser(line []byte) (name, hash string, ok bool) {
	s := strings.TrimRight(string(line), "\r\n")
	if strings.TrimSpace(s) == "" || s[0] == '#' {
		return "", "", false
	}
	name, hash, _ = strings.Cut(s, ":")
	return name, strings.TrimSpace(hash), true
}

// ValidateUser reports whether a password file can hold the name.
func ValidateUser(name string) error {
	switch {
	case name == "":
		return errors.New("the user name is empty")
	case len(name) > 65_535 || !utf8.ValidString(name):
		return errors.New("the user name is not UTF-8 of at most 65,535 bytes")
	case name[0] == '#' || strings.ContainsAny(name, ":\r\n\x00"):
		return errors.New("a user name may not begin with # nor contain a colon, a line's end or NUL")
	}
	return nil
}

// Len is how many users there are.
func (u *Users) Len() int { return len(u.byName) }

// Verify reports whether the password is the user's. It takes the time of a
// hash, also when there is no such user: it costs then what that of some user
// costs, whose depends on the name alone, so that it tells nothing either.
func (u *Users) Verify(name string, password []byte) bool {
	h, known := u.byName[name]
	if !known {
		h, _ = u.decoys.pick(name)
	}
	return h.verify(password) && known
}

// SetUser returns the text of a password file with the user's line replaced, or
// added at its end. The other lines stay as they are.
func SetUser(text []byte, name, hash string) []byte {
	var out []byte
	done := false
	entry := name + ":" + hash + "\n"
	for line := range bytes.Lines(text) {
		if user, _, ok := splitUser(line); ok && user == name {
			if !done {
				out = append(out, entry...)
			}
			done = true
			continue
		}
		out = append(out, line...)
	}
	if !done {
		if len(out) > 0 && out[len(out)-1] != '\n' {
			out = append(out, '\n')
		}
		out = append(out, entry...)
	}
	return out
}

// CountUsers returns how many lines of a password file hold a user, good or not.
func CountUsers(text []byte) (n int) {
	for line := range bytes.Lines(text) {
		if _, _, ok := splitUser(line); ok {
			n++
		}
	}
	return n
}

// DeleteUser returns the text without the user's line. found is false if there
// was none.
func DeleteUser(text []byte, name string) (out []byte, found bool) {
	for line := range bytes.Lines(text) {
		if user, _, ok := splitUser(line); ok && user == name {
			found = true
			continue
		}
		out = append(out, line...)
	}
	return out, found
}
