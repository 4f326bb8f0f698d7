//go:build !windows

package cmd

import (
	"context"
	"os/exec"
	"syscall"
)

// shellCommand is a command of the shell in a process group of its own, which
// gets SIGTERM when ctx ends: a Ctrl-C at the terminal is ours alone.
func shellCommand(ctx context.Context, text string) *exec.Cmd {
	c := exec.CommandContext(ctx, "/bin/sh", "-c", text) //nolint:gosec // the user's own words
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	return c
}

// killRest ends what a command that had to be ended has left behind.
func killRest(c *exec.Cmd) {
	if c.Process != nil && c.ProcessState != nil && !c.ProcessState.Exited() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // there may be nothing left
	}
}
