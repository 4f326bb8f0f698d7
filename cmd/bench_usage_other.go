//go:build !linux

package cmd

import (
	"errors"
	"time"
)

// Usage is not known here.
func (b *testedBroker) Usage() (cpu time.Duration, resident, peak int64, err error) {
	return 0, 0, 0, errors.New("not on this system")
}
