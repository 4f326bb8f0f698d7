//go:build !windows

package cmd

import (
	"errors"
	"syscall"
)

// pipeClosed tells that nobody reads what was written.
func pipeClosed(err error) bool { return errors.Is(err, syscall.EPIPE) }
