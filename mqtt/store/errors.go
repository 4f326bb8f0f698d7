package store

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of a Store. They come wrapped with what happened; use errors.Is.
var (
	// ErrFailed is what every Commit and ReadQueue returns after a write or a sync
	// has failed: nobody can say any more what is on the disk and what is not. Only
	// a new start can, on a disk that works.
	ErrFailed = errors.New("store: failed")
	// ErrFull is a batch that found the disk, or Options.MaxBytes, full. Nothing of
	// it was written, all that was durable before still is, and the next batch may
	// succeed.
	ErrFull = errors.New("store: disk full")
	// ErrClosed is a Commit after Close.
	ErrClosed = errors.New("store: closed")
	// ErrLocked is a directory that another process uses.
	ErrLocked = errors.New("store: the data directory is in use by another process: stop it, or use another directory")
	// ErrCorrupt is a file that is damaged.
	ErrCorrupt = errors.New("store: damaged: restore the data directory from a backup, or move it away to start empty")
	// ErrVersion is a file that a newer program has written.
	ErrVersion = errors.New("store: written by a newer version: use that version, or another data directory")
	// ErrForeign is a file that is a database of something else.
	ErrForeign = errors.New("store: not a store of this program: use another data directory")
)

// Error is a failure with the file or directory it is about.
type Error struct {
	Path string
	Kind error // one of the errors above
	Err  error // what happened, may be nil
}

func (e *Error) Error() string {
	kind, cause := e.Kind.Error(), ""
	if e.Err != nil {
		// It may be of the kind, and say so: once is enough.
		cause = strings.ReplaceAll(e.Err.Error(), kind+": ", "")
	}
	if cause == "" || cause == kind {
		return fmt.Sprintf("%s (%s)", kind, e.Path)
	}
	return fmt.Sprintf("%s (%s: %s)", kind, e.Path, cause)
}

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
}
