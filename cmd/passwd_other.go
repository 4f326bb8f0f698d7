//go:build !unix || solaris || aix

package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// othersMatter tells that a file's mode says what others may do.
const othersMatter = false

func chownLike(*os.File, os.FileInfo) error { return nil }

func syncDir(string) error { return nil }

// lockFile is a file that is there while something is locked.
type lockFile struct{ *os.File }

func (l lockFile) Close() error { return errors.Join(l.File.Close(), os.Remove(l.Name())) }

// lockDir waits until nobody else has a lock file in the directory.
func lockDir(ctx context.Context) func(dir string) (io.Closer, error) {
	return func(dir string) (io.Closer, error) {
		name := filepath.Join(dir, ".mqt-passwd.lock")
		late := time.After(10 * time.Second)
		for {
			f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err == nil {
				return lockFile{f}, nil
			}
			if !errors.Is(err, os.ErrExist) && !errors.Is(err, os.ErrPermission) {
				return nil, err
			}
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-late:
				return nil, fmt.Errorf("another mqt passwd is at work, or was cut off and has left %s", name)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}
