//go:build unix && !solaris && !aix

package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// othersMatter tells that a file's mode says what others may do.
const othersMatter = true

// chownLike gives f the owner and group of old.
func chownLike(f *os.File, old os.FileInfo) error {
	want, ok := old.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if have, ok := now.Sys().(*syscall.Stat_t); ok && have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}

// syncDir makes a rename last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lockDir waits until nobody else has locked the directory. Closing it, or the
// end of the program, unlocks it.
func lockDir(ctx context.Context) func(dir string) (io.Closer, error) {
	return func(dir string) (io.Closer, error) {
		d, err := os.Open(dir)
		if err != nil {
			return nil, err
		}
		for {
			err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
			if err == nil {
				return d, nil
			}
			if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
				return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), d.Close())
			}
			select {
			case <-ctx.Done():
				return nil, errors.Join(ctx.Err(), d.Close())
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}
