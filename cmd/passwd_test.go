//go:build unix

package cmd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"mqt/mqtt/access"
)

// setUser is mqt passwd -b.
func setUser(t *testing.T, o passwdOptions, file, user string) (warning string) {
	t.Helper()
	var out bytes.Buffer
	o.batch = true
	if err := o.run(t.Context(), &Stdio{In: strings.NewReader(""), Out: &out, Err: &out}, []string{file, user, "secret"}); err != nil {
		t.Error(err)
	}
	return out.String()
}

func modeOf(t *testing.T, file string) os.FileMode {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// The broker may run as another user, in a group of the file: it must still
// read the file when that was changed.
func TestPasswdKeepsOwnerAndMode(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "users"), filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	setUser(t, passwdOptions{create: true}, file, "alice")
	if mode := modeOf(t, file); mode != 0o600 {
		t.Errorf("a new file has mode %o", mode)
	}
	for _, tt := range []struct{ before, after os.FileMode }{{0o640, 0o640}, {0o400, 0o400}, {0o644, 0o640}, {0o666, 0o660}} {
		if err := os.Chmod(file, tt.before); err != nil {
			t.Fatal(err)
		}
		warning := setUser(t, passwdOptions{create: tt.before == 0o400}, link, "bob")
		if mode := modeOf(t, file); mode != tt.after {
			t.Errorf("mode %o has become %o, want %o", tt.before, mode, tt.after)
		}
		if warned := strings.Contains(warning, "was open to everybody"); warned != (tt.before != tt.after) {
			t.Errorf("mode %o: %q", tt.before, warning)
		}
	}
	if os.Getuid() == 0 { // others have one owner only
		if err := os.Chown(file, 1234, 2345); err != nil {
			t.Fatal(err)
		}
		setUser(t, passwdOptions{}, file, "carol")
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if s := info.Sys().(*syscall.Stat_t); s.Uid != 1234 || s.Gid != 2345 {
			t.Errorf("the owner has become %d:%d", s.Uid, s.Gid)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("%v, %v, want the file and the link", left, err)
	}
}

// Two at the same time both find their user in the file.
func TestPasswdAtTheSameTime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	setUser(t, passwdOptions{create: true}, file, "first")
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() { setUser(t, passwdOptions{}, file, fmt.Sprint("user", i)) })
	}
	wg.Wait()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	u, err := access.ParseUsers(file, text)
	if err != nil || u.Len() != 13 {
		t.Errorf("%d users, %v, want 13", u.Len(), err)
	}
}
