//go:build !unix

package bench

import (
	"context"
	"os/exec"
)

// shell runs a command as people write it.
func shell(ctx context.Context, command string) *exec.Cmd {
	return exec.CommandContext(ctx, "cmd", "/c", command) //nolint:gosec // the scenario's author says what to run
}

// endRest has nothing to do.
func endRest(*exec.Cmd) {}
