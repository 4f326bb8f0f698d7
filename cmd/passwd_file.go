package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// secretFile is a file with users that is about to be changed. Nobody else who
// uses secretFile changes it meanwhile.
type secretFile struct {
	path string // where links lead to
	old  os.FileInfo
	lock io.Closer
}

// rewrite has change turn what is in the file into what shall be, for its owner
// as before and for nobody else. There is no text where there is no file, which is
// a fault unless begin. warn is where to say that others could read it.
func rewrite(path string, begin bool, warn io.Writer, lock func(dir string) (io.Closer, error), change func(text []byte) ([]byte, error)) (err error) {
	f := &secretFile{path: path}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		f.path = target // the link stays
	}
	if f.lock, err = lock(filepath.Dir(f.path)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.lock.Close()) }()
	if f.old, err = os.Stat(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var text []byte
	if !begin || f.old != nil && f.old.Mode().IsRegular() {
		if text, err = os.ReadFile(f.path); err != nil && !begin {
			return err
		}
	}
	if text, err = change(text); err != nil {
		return err
	}
	return f.replace(text, warn)
}

// writeSecret puts a file there whole, for its owner only.
func writeSecret(path string, text []byte) error {
	f := &secretFile{path: path}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		f.path = target
	}
	return f.replace(text, io.Discard)
}

// replace puts the new text there whole, or leaves the old one.
func (f *secretFile) replace(text []byte, warn io.Writer) error {
	dir, name := filepath.Split(f.path)
	if dir == "" {
		dir = "."
	}
	tmp, err := os.CreateTemp(dir, "."+strings.TrimPrefix(name, ".")+"-*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone once it has its name
	_, err = tmp.Write(text)
	if err == nil && f.old != nil {
		err = f.keepOwner(tmp, warn)
	}
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), f.path); err != nil {
		return err
	}
	return syncDir(dir)
}

// keepOwner gives the new file to whom the old one belonged: a broker with
// another user must still read it. What others than owner and group may do to it
// is taken away.
func (f *secretFile) keepOwner(tmp *os.File, warn io.Writer) error {
	if err := chownLike(tmp, f.old); err != nil {
		return fmt.Errorf("%s: its owner could not be kept: %w", f.path, err)
	}
	mode := f.old.Mode().Perm()
	if mode&0o007 != 0 && othersMatter {
		fmt.Fprintf(warn, "mqt passwd: %s was open to everybody (mode %04o); it is %04o now\n", f.path, mode, mode&^0o007)
		mode &^= 0o007
	}
	return tmp.Chmod(mode)
}
