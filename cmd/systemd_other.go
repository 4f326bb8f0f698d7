//go:build !linux

package cmd

import "time"

// sinceBoot is the clock of a service manager that there is not.
func sinceBoot() (time.Duration, bool) { return 0, false }
